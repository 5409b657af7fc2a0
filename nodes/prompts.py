"""Prompts of families with several text encoders, or that are told more than a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch

from graphflow.api import Clip, Conditioning, node
from graphflow.models import loaded

from ._fields import MAX_SIDE, span
from .conditioning import Guidance, Prompt

Pixels = Annotated[int, span(0, MAX_SIDE, description="In pixels.")]
CATEGORY = "advanced/conditioning"


def _told(conditioning: Conditioning, **facts: Any) -> Conditioning:
    """With facts that one family alone takes."""
    return Conditioning(tuple(replace(entry, extras={**entry.extras, **facts}) for entry in conditioning.entries))


def _each(clip: Clip, texts: Mapping[str, Prompt]) -> Conditioning:
    with loaded(clip) as encoder:
        return encoder.encode_each(texts)


@node("CLIPTextEncodeSDXL", category=CATEGORY)
def clip_text_encode_sdxl(
    clip: Clip,
    *,
    width: Pixels = 1024,
    height: Pixels = 1024,
    crop_w: Pixels = 0,
    crop_h: Pixels = 0,
    target_width: Pixels = 1024,
    target_height: Pixels = 1024,
    text_g: Prompt,
    text_l: Prompt,
) -> Conditioning:
    """SDXL's prompt: a text for each of its two encoders, and the sizes that it was trained to be told."""
    return _told(
        _each(clip, {"g": text_g, "l": text_l}),
        width=width,
        height=height,
        crop_w=crop_w,
        crop_h=crop_h,
        target_width=target_width,
        target_height=target_height,
    )


@node("CLIPTextEncodeSDXLRefiner", category=CATEGORY)
def clip_text_encode_sdxl_refiner(
    *,
    ascore: Annotated[float, span(0.0, 1000.0, 0.01, "How beautiful the picture is to be.")] = 6.0,
    width: Pixels = 1024,
    height: Pixels = 1024,
    text: Prompt,
    clip: Clip,
) -> Conditioning:
    """The prompt of SDXL's refiner, which is also told an aesthetic score."""
    with loaded(clip) as encoder:
        return _told(encoder.encode(text), aesthetic_score=ascore, width=width, height=height)


@node("CLIPTextEncodeSD3", category=CATEGORY)
def clip_text_encode_sd3(
    clip: Clip,
    clip_l: Prompt,
    clip_g: Prompt,
    t5xxl: Prompt,
    empty_padding: Literal["none", "empty_prompt"] = "none",
) -> Conditioning:
    """A text for each of Stable Diffusion 3's encoders. With padding `none` an empty text gives zeros."""
    texts = {"l": clip_l, "g": clip_g, "t5xxl": t5xxl}
    encoded = _each(clip, texts)
    if empty_padding == "empty_prompt":
        return encoded
    return Conditioning(tuple(replace(c, context=_silenced(c.context, texts)) for c in encoded.entries))


def _silenced(context: torch.Tensor, texts: Mapping[str, str]) -> torch.Tensor:
    """Zeros where the encoders of empty texts wrote: L the first 768 and G the next 1280 channels of the tokens before
    T5's, of which there are 77 or more.
    """
    quiet = {role for role, text in texts.items() if not text.strip()}
    if not quiet or context.shape[-1] != 4096:
        return context
    context = context.clone()
    clip_tokens = min(77, context.shape[1])
    for role, part in (("l", slice(0, 768)), ("g", slice(768, 2048))):
        if role in quiet:
            context[:, :clip_tokens, part] = 0
    if "t5xxl" in quiet:
        context[:, clip_tokens:] = 0
    return context


@node("CLIPTextEncodeFlux", category="advanced/conditioning/flux")
def clip_text_encode_flux(clip: Clip, clip_l: Prompt, t5xxl: Prompt, guidance: Guidance = 3.5) -> Conditioning:
    """Flux's prompt: a short text for CLIP, a long one for T5, and the distilled guidance."""
    return _each(clip, {"l": clip_l, "t5xxl": t5xxl}).each(guidance=guidance)


@node("CLIPTextEncodeHiDream", category=CATEGORY)
def clip_text_encode_hidream(clip: Clip, clip_l: Prompt, clip_g: Prompt, t5xxl: Prompt, llama: Prompt) -> Conditioning:
    """A text for each of HiDream's four encoders."""
    return _each(clip, {"l": clip_l, "g": clip_g, "t5xxl": t5xxl, "llama": llama})


LUMINA2 = {
    "superior": (
        "You are an assistant designed to generate superior images with the superior degree of image-text alignment "
        "based on textual prompts or user prompts."
    ),
    "alignment": (
        "You are an assistant designed to generate high-quality images with the highest degree of image-text alignment "
        "based on textual prompts."
    ),
}
"""The instructions that Lumina 2 was trained with."""


@node("CLIPTextEncodeLumina2", title="CLIP Text Encode for Lumina2", category="conditioning")
def clip_text_encode_lumina2(
    *, system_prompt: Literal["superior", "alignment"] = "superior", user_prompt: Prompt, clip: Clip
) -> Conditioning:
    """Lumina 2's prompt: your text behind one of the instructions that the model was trained with."""
    with loaded(clip) as encoder:
        return encoder.encode(f"{LUMINA2[system_prompt]} <Prompt Start> {user_prompt}", user_prompt.files)

"""Pictures in prompts: for models that change pictures as a text says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from graphflow.api import Clip, Conditioning, Image, Vae, node
from graphflow.models import Shown, loaded

from ._tensors import resized
from .conditioning import Prompt

CATEGORY = "advanced/conditioning"
MARK = "<|vision_start|><|image_pad|><|vision_end|>"
"""Where the language model sees a picture."""
LOOKED, PAINTED = 384 * 384, 1024 * 1024
"""Pixels of a picture for the language model, and for the network that paints."""


@node("TextEncodeQwenImageEdit", category=CATEGORY)
def text_encode_qwen_image_edit(
    clip: Clip, prompt: Prompt, vae: Vae | None = None, image: Image | None = None
) -> Conditioning:
    """Qwen-Image Edit's prompt: what to change in the picture, which the language model sees.

    With a VAE the network that paints sees the picture, too. It is brought to about a megapixel.
    """
    if image is None:
        with loaded(clip) as encoder:
            return encoder.encode(prompt)
    picture = _scaled(image, PAINTED, 1)
    with loaded(clip) as encoder:
        told = encoder.encode_shown(MARK + prompt, Shown("edit", (picture.data[0, ..., :3],)))
    return _referring(told, [_latent(vae, picture)] if vae else [])


@node("TextEncodeQwenImageEditPlus", category=CATEGORY)
def text_encode_qwen_image_edit_plus(
    clip: Clip,
    prompt: Prompt,
    vae: Vae | None = None,
    image1: Image | None = None,
    image2: Image | None = None,
    image3: Image | None = None,
) -> Conditioning:
    """As TextEncodeQwenImageEdit for up to three pictures, which the prompt calls Picture 1, 2 and 3.

    For Qwen-Image Edit 2509 and later. The language model sees them small, the network that paints at about a megapixel.
    """
    images = [image for image in (image1, image2, image3) if image is not None]
    marks = "".join(f"Picture {n}: {MARK}" for n in range(1, len(images) + 1))
    small = tuple(_scaled(image, LOOKED, 1).data[0, ..., :3] for image in images)
    with loaded(clip) as encoder:
        told = encoder.encode_shown(marks + prompt, Shown("edit", small))
    return _referring(told, [_latent(vae, _scaled(image, PAINTED, 8)) for image in images] if vae else [])


def _scaled(image: Image, pixels: int, multiple: int) -> Image:
    """The pictures at so many pixels, their sides multiples."""
    height, width = image.data.shape[1:3]
    scale = math.sqrt(pixels / (width * height))
    width, height = (max(1, round(side * scale / multiple)) * multiple for side in (width, height))
    return resized(image, width, height, "area")


def _latent(vae: Vae, image: Image) -> Tensor:
    with loaded(vae) as autoencoder:
        return autoencoder.encode(image.data[..., :3])


def _referring(conditioning: Conditioning, latents: Sequence[Tensor]) -> Conditioning:
    return Conditioning(
        tuple(replace(entry, reference_latents=(*entry.reference_latents, *latents)) for entry in conditioning.entries)
    )


@node(
    "FluxKontextMultiReferenceLatentMethod",
    title="Edit Model Reference Method",
    category="advanced/conditioning/flux",
    experimental=True,
)
def flux_kontext_multi_reference_latent_method(
    conditioning: Conditioning,
    reference_latents_method: Literal["offset", "index", "uxo/uno", "index_timestep_zero"] = "offset",
) -> Conditioning:
    """How the network tells several reference pictures apart, where it was trained with another way than its family.

    `offset` puts them side by side, `index` gives each a number, `uxo/uno` puts them along a diagonal.
    `index_timestep_zero`, for Qwen-Image Edit 2511, also tells the network that they hold no noise.
    """
    method = "uxo" if reference_latents_method == "uxo/uno" else reference_latents_method
    return conditioning.each(reference_method=method)

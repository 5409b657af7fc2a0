"""ControlNets on prompts, and pictures beside the latent for models that inpaint or edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from graphflow.api import (
    ClipVisionOutput,
    Conditioning,
    Control,
    ControlNet,
    Image,
    Latent,
    Mask,
    UnclipImage,
    Vae,
    node,
)
from graphflow.models import loaded

from ._fields import Fraction, span
from .conditioning import Pair, Percent

Strength = Annotated[float, span(0.0, 10.0, 0.01, "How strongly the picture steers.")]
UnionType = Literal[
    "auto",
    "openpose",
    "depth",
    "hed/pidi/scribble/ted",
    "canny/lineart/anime_lineart/mlsd",
    "normal",
    "segment",
    "tile",
    "repaint",
]
CONTROLNET = "conditioning/controlnet"


@node("ControlNetApplyAdvanced", title="Apply ControlNet", category=CONTROLNET)
def control_net_apply_advanced(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
    vae: Vae | None = None,
) -> Pair:
    """Lets a picture of edges, depth or a pose steer both prompts, in a part of the sampling.

    Several in a row add up. The picture is cut around its centre to the latent's aspect. Nets that look at latents need
    the VAE.
    """
    if strength == 0:
        return Pair(positive, negative)
    control = Control(control_net, image.data, strength, start_percent, end_percent, vae)
    return Pair(_steered(positive, control), _steered(negative, control))


@node("ControlNetApplySD3", title="Apply Controlnet with VAE", category=CONTROLNET, deprecated=True)
def control_net_apply_sd3(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
) -> Pair:
    """As Apply ControlNet, with a VAE."""
    return control_net_apply_advanced(positive, negative, control_net, image, strength, start_percent, end_percent, vae)


@node("ControlNetApply", title="Apply ControlNet (OLD)", category=CONTROLNET, deprecated=True)
def control_net_apply(
    conditioning: Conditioning, control_net: ControlNet, image: Image, strength: Strength = 1.0
) -> Conditioning:
    """Lets a picture steer one prompt and, unless it has its own, the other one too, during the whole sampling."""
    if strength == 0:
        return conditioning
    return _steered(conditioning, Control(control_net, image.data, strength)).each(controls_uncond=True)


def _steered(conditioning: Conditioning, control: Control) -> Conditioning:
    return Conditioning(
        tuple(
            replace(entry, controls=(*entry.controls, control), controls_uncond=False) for entry in conditioning.entries
        )
    )


@node("SetUnionControlNetType", category=CONTROLNET)
def set_union_control_net_type(control_net: ControlNet, type: UnionType = "auto") -> ControlNet:
    """Tells a ControlNet of several kinds what the picture shows."""
    return replace(control_net, union_type="" if type == "auto" else type)


@node("ControlNetInpaintingAliMamaApply", category=CONTROLNET)
def control_net_inpainting_alimama_apply(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    mask: Mask,
    strength: Strength = 1.0,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
) -> Pair:
    """An inpainting ControlNet: the picture without what is masked, and the mask, steer both prompts."""
    if strength == 0:
        return Pair(positive, negative)
    kept = 1.0 - mask.data.reshape(-1, 1, *mask.data.shape[-2:])
    sized = interpolate(kept, size=image.data.shape[1:3], mode="nearest-exact").round()
    picture = image.data * sized.movedim(1, -1)
    control = Control(control_net, picture, strength, start_percent, end_percent, vae, kept[:, 0])
    return Pair(_steered(positive, control), _steered(negative, control))


# --- pictures beside the latent --------------------------------------------------------------------------------------


class PairAndLatent(NamedTuple):
    """Prompts for both sides of guidance, and the latent to paint on."""

    positive: Conditioning
    negative: Conditioning
    latent: Latent


@node("InpaintModelConditioning", category="conditioning/inpaint")
def inpaint_model_conditioning(
    positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image, mask: Mask, noise_mask: bool = True
) -> PairAndLatent:
    """For inpainting models: the picture with a grey hole and the hole's mask go beside the latent.

    With `noise_mask` the rest of the picture is also kept as it is.
    """
    hole = interpolate(mask.data.reshape(-1, 1, *mask.data.shape[-2:]), size=pixels.data.shape[1:3], mode="bilinear")
    picture, hole = _cut(pixels.data, 8), _cut(hole.movedim(1, -1), 8).movedim(-1, 1)
    kept = 1.0 - hole.round().movedim(1, -1)
    with loaded(vae) as autoencoder:
        around = autoencoder.encode((picture[..., :3] - 0.5) * kept + 0.5)
        original = autoencoder.encode(picture)
    changes = {"concat_latent": around, "concat_mask": hole}
    latent = Latent(original, noise_mask=hole if noise_mask else None)
    return PairAndLatent(positive.each(**changes), negative.each(**changes), latent)


@node("InstructPixToPixConditioning", category="conditioning/instructpix2pix")
def instruct_pix_to_pix_conditioning(
    positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image
) -> PairAndLatent:
    """For models that change a picture as the prompt says: the picture goes beside the latent."""
    with loaded(vae) as autoencoder:
        beside = autoencoder.encode(_cut(pixels.data, 8))
    changes = {"concat_latent": beside}
    return PairAndLatent(positive.each(**changes), negative.each(**changes), Latent(torch.zeros_like(beside)))


def _cut(data: Tensor, multiple: int) -> Tensor:
    """The centre of (B, H, W, C) whose sides are multiples."""
    height, width = (side // multiple * multiple for side in data.shape[1:3])
    y, x = ((side % multiple) // 2 for side in data.shape[1:3])
    return data[:, y : y + height, x : x + width]


@node("unCLIPConditioning", category="conditioning")
def unclip_conditioning(
    conditioning: Conditioning,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, span(-10.0, 10.0, 0.01)] = 1.0,
    noise_augmentation: Fraction = 0.0,
) -> Conditioning:
    """For unCLIP models: what an image encoder saw in a picture joins the prompt."""
    if strength == 0:
        return conditioning
    seen = UnclipImage(clip_vision_output, strength, noise_augmentation)
    return Conditioning(tuple(replace(entry, unclip=(*entry.unclip, seen)) for entry in conditioning.entries))

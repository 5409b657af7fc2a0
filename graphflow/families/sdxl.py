"""Stable Diffusion XL: two text encoders, pooled text and picture sizes as a second conditioning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common import unet
from graphflow.families.common.base import Encoded, Facts, Family, Prompt, TextPart, discrete
from graphflow.families.common.looks import Signature
from graphflow.layouts import ldm_unet

if TYPE_CHECKING:
    from graphflow.values import Cond

RGB = ((0.3920, 0.4054, 0.4549), (-0.2634, -0.0196, 0.0653), (0.0568, 0.1687, -0.0755), (-0.3112, -0.2359, -0.2076))


def latents(facts: Facts) -> LatentFormat:
    """Four channels at 0.13025; those of EDM checkpoints (Playground 2.5) are centred per channel."""
    if facts.details.get("prediction") == "edm":
        mean, std = (-1.6574, 1.886, -1.383, 2.5155), (8.4927, 5.9022, 6.5498, 5.2299)
        return LatentFormat(4, 0.5, mean=mean, std=std, rgb=RGB, tiny="taesdxl")
    return LatentFormat(4, 0.13025, rgb=RGB, tiny="taesdxl")


def both(prompt: Prompt) -> Cond:
    """CLIP-L's and CLIP-G's layers side by side, cut to the shorter; the pooled text is G's."""
    import torch

    from graphflow.values import Cond

    first, second = prompt.of("l"), prompt.of("g")
    longest = max(len_of(first), len_of(second)) // 77
    first, second = prompt.of("l", chunks=longest), prompt.of("g", chunks=longest)
    if first is None or second is None:
        return prompt.single()
    tokens = min(len_of(first), len_of(second))
    context = torch.cat([first.context[:, :tokens], second.context[:, :tokens]], dim=-1)
    return Cond(context, second.pooled)


def len_of(encoded: Encoded | None) -> int:
    """How many tokens an encoding has."""
    return 0 if encoded is None else encoded.context.shape[1]


FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    autoencoders={("kl", 4): "sdxl"},
    signatures=(
        Signature((*unet.KEYS, unet.LABEL), (unet.FOURTH,), shapes=unet.SIZED),
        Signature((*unet.KEYS_D, unet.ADDED), (unet.FOURTH_D,), layout="diffusers"),
    ),
    class_name="UNet2DConditionModel",
    config=lambda header: unet.config(header, head=64),
    layout=ldm_unet,
    forward=unet.forward,
    latents=latents,
    parametrisation=discrete,
    concat=unet.concat,
    dtypes=("float16", "bfloat16"),
    text=(
        TextPart("clip_l", "l", layer=-2, norm=False),
        TextPart("clip_g", "g", folder="text_encoder_2", layer=-2, norm=False, pad=0),
    ),
    compose=both,
    context_width=lambda config: int(config["cross_attention_dim"]),
    types=(("sdxl", ""),),
    context=2048,
)

"""Stable Diffusion 1.x, its inpainting variant, and everything trained with its parts."""

from __future__ import annotations

from graphflow.diffusion.latents import LatentFormat
from graphflow.models.families import unet
from graphflow.models.families.base import Facts, Family, TextPart, discrete
from graphflow.models.layouts import ldm_unet

RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))


def latents(facts: Facts) -> LatentFormat:
    """Four channels at 0.18215; a model that takes others says its own scale."""
    channels = int(facts.config["out_channels"])
    return LatentFormat(4, 0.18215, rgb=RGB, tiny="taesd") if channels == 4 else LatentFormat(channels)


FAMILY = Family(
    name="sd15",
    title="Stable Diffusion 1.5",
    build=unet.build,
    config=lambda header: unet.config(header, head=None),
    layout=ldm_unet,
    forward=unet.forward,
    latents=latents,
    parametrisation=discrete,
    concat=unet.concat,
    dtypes=("float16", "bfloat16"),
    text=(TextPart("clip_l", "l"),),
    context_width=lambda config: int(config["cross_attention_dim"]),
)

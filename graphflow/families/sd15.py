"""Stable Diffusion 1.x, its inpainting variant, and everything trained with its parts."""

from __future__ import annotations

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common import unet
from graphflow.families.common.base import Facts, Family, TextPart, discrete
from graphflow.families.common.looks import Signature
from graphflow.layouts import ldm_unet

RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))

ON_BOARD_RGB = (
    (0.135, 0.105, 0.030), (-0.101, 0.007, -0.055), (0.110, -0.000, 0.005), (0.005, 0.017, 0.171),
    (0.152, 0.122, -0.015), (0.066, -0.088, -0.140), (-0.005, 0.160, 0.347), (0.091, -0.001, -0.029),
    (0.038, 0.050, 0.137), (0.577, 0.302, -0.095), (0.037, 0.042, 0.133), (-0.115, -0.107, -0.070),
    (-0.130, 0.118, 0.235), (-0.094, -0.076, -0.070), (-0.144, -0.129, 0.134), (-0.041, -0.086, 0.032),
)  # fmt: skip
"""Of the model on board, fitted by `python -m training.preview` to the pictures that it was trained on."""


def latents(facts: Facts) -> LatentFormat:
    """Four channels at 0.18215; a model that takes others says its own scale."""
    channels = int(facts.config["out_channels"])
    if channels == 4:
        return LatentFormat(4, 0.18215, rgb=RGB, tiny="taesd")
    if channels == 16 and facts.config.get("sample_size") == 8:
        return LatentFormat(16, rgb=ON_BOARD_RGB, rgb_bias=(0.267, 0.038, -0.155))
    return LatentFormat(channels)


FAMILY = Family(
    name="sd15",
    title="Stable Diffusion 1.5",
    autoencoders={("kl", 4): "sd"},
    signatures=(
        Signature(unet.KEYS, (unet.LABEL,), ndim=((unet.PROJ, 4),)),
        Signature(unet.KEYS_D, (unet.ADDED,), ndim=((unet.PROJ_D, 4),), layout="diffusers"),
    ),
    class_name="UNet2DConditionModel",
    config=lambda header: unet.config(header, head=None),
    layout=ldm_unet,
    forward=unet.forward,
    latents=latents,
    parametrisation=discrete,
    concat=unet.concat,
    dtypes=("float16", "bfloat16"),
    text=(TextPart("clip_l", "l"),),
    context_width=lambda config: int(config["cross_attention_dim"]),
    types=(("stable_diffusion", "clip_l"),),
    context=768,
)

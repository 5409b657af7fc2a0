"""Stable Diffusion 1.x, its inpainting variant, and everything trained with its parts."""

from __future__ import annotations

from graphflow.diffusion.latents import LatentFormat
from graphflow.models.families import unet
from graphflow.models.families.base import Facts, Family, TextPart, discrete
from graphflow.models.layouts import ldm_unet

RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))

ON_BOARD_RGB = (
    (0.388, 0.327, 0.070), (-0.183, -0.076, -0.106), (-0.004, -0.093, -0.153), (-0.117, -0.084, 0.046),
    (0.419, 0.425, 0.132), (-0.092, -0.231, -0.317), (-0.007, 0.088, 0.243), (-0.084, -0.049, -0.166),
    (-0.015, 0.195, 0.202), (0.475, 0.334, -0.258), (0.099, 0.213, 0.070), (-0.154, -0.215, -0.077),
    (-0.271, 0.034, 0.314), (-0.399, -0.194, -0.234), (-0.260, -0.135, -0.008), (-0.135, -0.004, -0.145),
)  # fmt: skip
"""Of the model on board, fitted by `graphflow.diffusion.preview.fit_rgb` to pictures that it painted."""


def latents(facts: Facts) -> LatentFormat:
    """Four channels at 0.18215; a model that takes others says its own scale."""
    channels = int(facts.config["out_channels"])
    if channels == 4:
        return LatentFormat(4, 0.18215, rgb=RGB, tiny="taesd")
    if channels == 16 and facts.config.get("sample_size") == 8:
        return LatentFormat(16, rgb=ON_BOARD_RGB, rgb_bias=(0.482, 0.269, 0.258))
    return LatentFormat(channels)


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

"""The refiner of Stable Diffusion XL: OpenCLIP-G alone, and a score of how much people liked the picture."""

from __future__ import annotations

from dataclasses import replace

from graphflow.families import sdxl
from graphflow.families.common import unet
from graphflow.families.common.base import TextPart
from graphflow.families.common.looks import Signature

FAMILY = replace(
    sdxl.FAMILY,
    name="sdxl_refiner",
    title="Stable Diffusion XL refiner",
    signatures=(
        Signature((*unet.KEYS, unet.LABEL, unet.FOURTH), shapes=unet.SIZED),
        Signature((*unet.KEYS_D, unet.ADDED, unet.FOURTH_D), layout="diffusers"),
    ),
    text=(TextPart("clip_g", "g", folder="text_encoder_2", layer=-2, norm=False, pad=0),),
    compose=lambda prompt: prompt.single(),
    types=(("stable_diffusion", "clip_g"),),
    context=1280,
)

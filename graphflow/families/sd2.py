"""Stable Diffusion 2.x: OpenCLIP-H's penultimate layer; epsilon (base) and v prediction (768), told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graphflow.families import sd15
from graphflow.families.common import unclip, unet
from graphflow.families.common.base import Facts, Family, TextPart, discrete
from graphflow.families.common.looks import Signature
from graphflow.layouts import ldm_unet

if TYPE_CHECKING:
    from graphflow.diffusion.parametrisation import Parametrisation

LAST_NORM = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
SPREAD = 0.09
"""The biases of that norm spread wider in every network that was trained for v prediction."""


def parametrisation(facts: Facts) -> Parametrisation:
    """By what the file says; where it says nothing, by the weights, since both kinds have the same tensors."""
    if facts.config.get("class_embed_type") == "projection":  # unCLIP's were trained for v
        return discrete(replace(facts, details={"prediction": "v", **{k: v for k, v in facts.details.items() if v}}))
    told = facts.scheduler.get("prediction_type") or facts.details.get("prediction")
    if told or facts.read is None or LAST_NORM not in facts.header.tensors or facts.config["in_channels"] != 4:
        return discrete(facts)
    v = float(facts.read(LAST_NORM).float().std()) > SPREAD
    return discrete(replace(facts, details={**facts.details, "prediction": "v"} if v else facts.details))


FAMILY = Family(
    name="sd2",
    title="Stable Diffusion 2",
    autoencoders={("kl", 4): "sd"},
    signatures=(
        Signature(unet.KEYS, shapes=unet.PICTURED),
        Signature(unet.KEYS, (unet.LABEL,), ndim=((unet.PROJ, 2),)),
        Signature(unet.KEYS_D, (unet.ADDED,), ndim=((unet.PROJ_D, 2),), layout="diffusers"),
    ),
    class_name="UNet2DConditionModel",
    config=lambda header: unet.config(header, head=64),
    layout=ldm_unet,
    forward=unet.forward,
    latents=sd15.latents,
    parametrisation=parametrisation,
    concat=unet.concat,
    finish=unclip.finish,
    dtypes=("float16", "bfloat16"),
    text=(TextPart("clip_h", "h", layer=-2, pad=0),),
    context_width=lambda config: int(config["cross_attention_dim"]),
    types=(("stable_diffusion", "clip_h"),),
    context=1024,
)

"""Stable Diffusion 2.x: OpenCLIP-H's penultimate layer; epsilon (base) and v prediction (768), told apart."""

from __future__ import annotations

from dataclasses import replace

from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.models.families import sd15, unclip, unet
from graphflow.models.families.base import Facts, Family, TextPart, discrete
from graphflow.models.layouts import ldm_unet

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
    build=unet.build,
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
)

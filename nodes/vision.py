"""Pictures as prompts: image encoders and style models."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field

from graphflow.api import (
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    File,
    Folder,
    Image,
    StyleModel,
    Widget,
    node,
)
from graphflow.models import clip_vision, loaded, style_model


@node("CLIPVisionLoader", title="Load CLIP Vision", category="loaders")
def clip_vision_loader(clip_name: Annotated[File, Folder("clip_vision")]) -> ClipVision:
    """Opens an image encoder: CLIP or SigLIP."""
    return clip_vision(clip_name)


@node("CLIPVisionEncode", title="CLIP Vision Encode", category="conditioning")
def clip_vision_encode(
    clip_vision: ClipVision, image: Image, crop: Literal["center", "none"] = "center"
) -> ClipVisionOutput:
    """Looks at pictures with an image encoder. `center` cuts them square, `none` squashes them."""
    with loaded(clip_vision) as encoder:
        return encoder.encode(image.data, crop)


@node("StyleModelLoader", title="Load Style Model", category="loaders")
def style_model_loader(style_model_name: Annotated[File, Folder("style_models")]) -> StyleModel:
    """Opens a network that turns what an image encoder saw into tokens of a prompt, such as Flux Redux."""
    return style_model(style_model_name)


@node("StyleModelApply", title="Apply Style Model", category="conditioning/style_model")
def style_model_apply(
    conditioning: Conditioning,
    style_model: StyleModel,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, Field(ge=0, le=10), Widget(step=0.001)] = 1.0,
    strength_type: Literal["multiply", "attn_bias"] = "multiply",
) -> Conditioning:
    """Puts a picture's tokens after the text's. `multiply` makes them larger or smaller by `strength`."""
    if strength_type == "attn_bias" and strength != 1.0:
        raise ValueError("attn_bias with a strength other than 1 is not supported: choose multiply")
    with loaded(style_model) as style:
        tokens = style.tokens(clip_vision_output)
    tokens = tokens.flatten(0, 1)[None] * (strength if strength_type == "multiply" else 1.0)
    entries = []
    for entry in conditioning.entries:
        added = tokens.expand(len(entry.context), -1, -1)
        mask = entry.attention_mask
        if mask is not None:
            mask = torch.cat([mask, torch.ones(added.shape[:2]).to(mask)], dim=1)
        entries.append(replace(entry, context=torch.cat([entry.context, added], dim=1), attention_mask=mask))
    return Conditioning(tuple(entries))

"""LoRA and its kin: small files that change a model."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.api import Clip, File, Folder, Lora, Model, Widget, node
from graphflow.models import check_lora

Strength = Annotated[float, Field(ge=-100, le=100), Widget(step=0.01)]
LoraFile = Annotated[File, Folder("loras")]


class Patched(NamedTuple):
    """A model and its text encoder with a LoRA."""

    MODEL: Model
    CLIP: Clip


@node("LoraLoader", title="Load LoRA", category="loaders")
def lora_loader(
    model: Model, clip: Clip, lora_name: LoraFile, strength_model: Strength = 1.0, strength_clip: Strength = 1.0
) -> Patched:
    """Changes a model and its text encoder by a LoRA, LoHa, LoKr, DoRA, GLoRA, OFT, BOFT, IA3 or full difference.

    Several can follow one another. Strength 0 leaves that side as it is; a negative one turns the change round. A file
    of which nothing fits this model is refused.
    """
    if strength_model or strength_clip:
        check_lora(lora_name, model, clip)
    return Patched(
        model.patched(Lora(lora_name, strength_model)) if strength_model else model,
        clip.patched(Lora(lora_name, strength_clip)) if strength_clip else clip,
    )


@node("LoraLoaderModelOnly", category="loaders")
def lora_loader_model_only(model: Model, lora_name: LoraFile, strength_model: Strength = 1.0) -> Model:
    """Changes a model by a LoRA and leaves its text encoder alone."""
    if not strength_model:
        return model
    check_lora(lora_name, model)
    return model.patched(Lora(lora_name, strength_model))

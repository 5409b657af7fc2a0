"""Mixing models, and saving what comes of it as safetensors files in the layout of the family's authors."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from graphflow.api import Artifact, Clip, Model, Vae, Widget, node
from graphflow.models import Mix, extracted, saved_checkpoint, saved_encoders, saved_network, saved_vae

MERGING = "advanced/model_merging"
Ratio = Annotated[float, Field(ge=0, le=1), Widget(step=0.01)]
Prefix = Annotated[str, Field(description="Beginning of the file's name; may hold folders.")]
SAFETENSORS = "application/x-safetensors"


@node("ModelMergeSimple", category=MERGING)
def model_merge_simple(model1: Model, model2: Model, ratio: Ratio = 1.0) -> Model:
    """Mixes two models of one family: model1 × ratio + model2 × (1 − ratio)."""
    return model1.patched(Mix(model2.weights, model2.patches, "mix", ratio))


@node("ModelMergeBlocks", category=MERGING)
def model_merge_blocks(
    model1: Model, model2: Model, input: Ratio = 1.0, middle: Ratio = 1.0, out: Ratio = 1.0
) -> Model:
    """Mixes two U-Nets with a ratio of its own for their input, middle and output blocks; the rest goes by `input`."""
    blocks = (("input", input), ("middle", middle), ("out", out))
    return model1.patched(Mix(model2.weights, model2.patches, "mix", input, blocks))


@node("ModelMergeAdd", category=MERGING)
def model_merge_add(model1: Model, model2: Model) -> Model:
    """Adds the weights of two models."""
    return model1.patched(Mix(model2.weights, model2.patches, "add"))


@node("ModelMergeSubtract", category=MERGING)
def model_merge_subtract(
    model1: Model, model2: Model, multiplier: Annotated[float, Field(ge=-10, le=10), Widget(step=0.01)] = 1.0
) -> Model:
    """The difference of two models, times a factor: what one learnt that the other did not."""
    return model1.patched(Mix(model2.weights, model2.patches, "subtract", multiplier))


@node("CLIPMergeSimple", category=MERGING)
def clip_merge_simple(clip1: Clip, clip2: Clip, ratio: Ratio = 1.0) -> Clip:
    """Mixes two text encoders of one kind: clip1 × ratio + clip2 × (1 − ratio)."""
    return clip1.patched(Mix(clip2.weights, clip2.patches, "mix", ratio))


@node("CLIPMergeAdd", category=MERGING)
def clip_merge_add(clip1: Clip, clip2: Clip) -> Clip:
    """Adds the weights of two text encoders."""
    return clip1.patched(Mix(clip2.weights, clip2.patches, "add"))


@node("CLIPMergeSubtract", category=MERGING)
def clip_merge_subtract(
    clip1: Clip, clip2: Clip, multiplier: Annotated[float, Field(ge=-10, le=10), Widget(step=0.01)] = 1.0
) -> Clip:
    """The difference of two text encoders, times a factor."""
    return clip1.patched(Mix(clip2.weights, clip2.patches, "subtract", multiplier))


@node("CLIPSave", category=MERGING, output_node=True)
def clip_save(clip: Clip, filename_prefix: Prefix = "clip/ComfyUI") -> list[Artifact]:
    """Saves text encoders with everything that was done to their weights, each as a file of its own."""
    return [Artifact(SAFETENSORS, pieces, f"{filename_prefix}_{name}") for name, pieces in saved_encoders(clip)]


@node("ModelSave", category=MERGING, output_node=True)
def model_save(model: Model, filename_prefix: Prefix = "diffusion_models/ComfyUI") -> Artifact:
    """Saves a denoising network with everything that was done to its weights."""
    return Artifact(SAFETENSORS, partial(saved_network, model), filename_prefix)


@node("VAESave", category=MERGING, output_node=True)
def vae_save(vae: Vae, filename_prefix: Prefix = "vae/ComfyUI_vae") -> Artifact:
    """Saves a VAE by itself."""
    return Artifact(SAFETENSORS, partial(saved_vae, vae), filename_prefix)


@node("CheckpointSave", title="Save Checkpoint", category=MERGING, output_node=True)
def checkpoint_save(model: Model, clip: Clip, vae: Vae, filename_prefix: Prefix = "checkpoints/ComfyUI") -> Artifact:
    """Saves network, text encoders and VAE as one checkpoint."""
    return Artifact(SAFETENSORS, partial(saved_checkpoint, model, clip, vae), filename_prefix)


@node("LoraSave", title="Extract and Save Lora", category="_for_testing", output_node=True, experimental=True)
def lora_save(
    filename_prefix: Prefix = "loras/ComfyUI_extracted_lora",
    rank: Annotated[int, Field(ge=1, le=4096)] = 8,
    lora_type: Literal["standard", "full_diff"] = "standard",
    bias_diff: bool = True,
    model_diff: Model | None = None,
    text_encoder_diff: Clip | None = None,
) -> Artifact:
    """Saves differences of two models and of their text encoders, as the Subtract nodes give them, as one LoRA."""
    if model_diff is None and text_encoder_diff is None:
        raise ValueError(
            "there is nothing to save: connect model_diff to ModelMergeSubtract, or text_encoder_diff to CLIPMergeSubtract"
        )
    kept = None if lora_type == "full_diff" else rank
    pieces = partial(extracted, model_diff, text_encoder_diff, kept, biases=bias_diff)
    return Artifact(SAFETENSORS, pieces, filename_prefix)

"""Loaders: model files to recipes. Only headers are read here; weights are brought to the device where they are used."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple, cast

from pydantic import Field

from graphflow.api import Clip, ControlNet, File, Folder, Model, Vae, node
from graphflow.models import checkpoint, control_net, vae


class CheckpointParts(NamedTuple):
    """What a whole checkpoint holds."""

    MODEL: Model
    CLIP: Clip
    VAE: Vae


@node("CheckpointLoaderSimple", title="Load Checkpoint", category="loaders", example="text-to-image")
def checkpoint_loader_simple(ckpt_name: Annotated[File, Folder("checkpoints")]) -> CheckpointParts:
    """Opens a checkpoint: a single safetensors file, or a folder in the layout of diffusers.

    Gives the denoising network, the text encoder for prompts, and the VAE between pictures and latents. What the file
    does not hold is told when it is used.
    """
    parts = checkpoint(ckpt_name)
    return CheckpointParts(parts.model, cast(Clip, parts.clip), cast(Vae, parts.vae))


@node("DiffusersLoader", category="advanced/loaders/deprecated", deprecated=True)
def diffusers_loader(model_path: Annotated[File, Folder("diffusers")]) -> CheckpointParts:
    """Opens a folder in the layout of diffusers; CheckpointLoaderSimple does the same in its own folder."""
    return checkpoint_loader_simple(model_path)


@node("VAELoader", title="Load VAE", category="loaders")
def vae_loader(vae_name: Annotated[File, Folder("vae", extra=("pixel_space",))]) -> Vae:
    """Opens a VAE of its own, instead of a checkpoint's. `pixel_space` stands for none: latents are pixels."""
    return vae(vae_name)


@node("ControlNetLoader", title="Load ControlNet Model", category="loaders")
def control_net_loader(control_net_name: Annotated[File, Folder("controlnet")]) -> ControlNet:
    """Opens a ControlNet or T2I-Adapter, which steers a model by a picture: edges, depth, a pose."""
    return control_net(control_net_name)


@node("CLIPSetLastLayer", title="CLIP Set Last Layer", category="conditioning")
def clip_set_last_layer(clip: Clip, stop_at_clip_layer: Annotated[int, Field(ge=-24, le=-1)] = -1) -> Clip:
    """Takes the text's encoding from an earlier layer ("clip skip"): -1 is the last, -2 the one before."""
    return replace(clip, layer=stop_at_clip_layer)

"""Recipes from files: what the loader nodes put on their edges. Only headers are read."""

from __future__ import annotations

from dataclasses import dataclass

from graphflow.detect import Detected, Part, describe, detect, require
from graphflow.errors import UnsupportedFile
from graphflow.models.families import family
from graphflow.node import Blocked, File
from graphflow.values import Clip, ControlNet, Model, UpscaleModel, Vae, Weights

PIXELS = "pixel_space"


@dataclass(frozen=True)
class Checkpoint:
    """What a whole checkpoint gives; a part that the file has not is `Blocked`, with the remedy."""

    model: Model
    clip: Clip | Blocked
    vae: Vae | Blocked


def checkpoint(file: File) -> Checkpoint:
    """The recipes of a checkpoint. Raises `UnsupportedFile` when the file holds no denoising network."""
    found = detect(file.path)
    part = require(found, file.path, part="model")
    family(part.family)
    return Checkpoint(
        Model(Weights((file,), "model", part.family)),
        Clip(Weights((file,), "clip", part.family))
        if _encoders(found)
        else Blocked(f"{file.name} has no text encoder; load one with CLIPLoader, or DualCLIPLoader"),
        Vae(Weights((file,), "vae", part.family))
        if found.part("vae")
        else Blocked(f"{file.name} has no VAE; load one with VAELoader"),
    )


def _encoders(found: Detected) -> list[Part]:
    return [part for part in found.parts if part.name not in ("model", "vae", "clip_vision")]


def vae(file: File) -> Vae:
    """The recipe of an autoencoder's file, or of a checkpoint's autoencoder; of the name `pixel_space`, of none."""
    if file.name == PIXELS:
        return Vae(Weights((), "vae", PIXELS))
    found = detect(file.path)
    require(found, file.path, part="vae")
    return Vae(Weights((file,), "vae", found.family))


def upscale_model(file: File) -> UpscaleModel:
    """The recipe of an upscaler; which network it is is seen when it is loaded."""
    found = detect(file.path)
    if found.kind in ("checkpoint", "model", "lora", "text_encoder"):
        raise UnsupportedFile(f"{file.name} is no upscale model: {describe(found)}")
    return UpscaleModel(Weights((file,), "upscale_model"))


def control_net(file: File) -> ControlNet:
    """The recipe of a ControlNet or T2I-Adapter."""
    found = detect(file.path)
    if found.kind not in ("controlnet", "t2i_adapter"):
        raise UnsupportedFile(f"{file.name} is no ControlNet: {describe(found)}")
    return ControlNet(Weights((file,), "controlnet", found.family))

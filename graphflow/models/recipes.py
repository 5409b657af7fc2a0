"""Recipes from files: what the loader nodes put on their edges. Only headers are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphflow.detect import Detected, Part, describe, detect, family_of_type, read_header, require
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES, family
from graphflow.node import Blocked, File
from graphflow.values import (
    Clip,
    ClipVision,
    ControlNet,
    IpAdapter,
    Model,
    ModelPatch,
    StyleModel,
    UpscaleModel,
    Vae,
    Weights,
)

PIXELS = "pixel_space"
BORROWING = ("lora", "sd35")
"""Kinds of ControlNets that need weights of the network they work on: control-LoRAs, and Stability's for SD 3.5."""


@dataclass(frozen=True)
class Checkpoint:
    """What a whole checkpoint gives; a part that the file has not is `Blocked`, with the remedy."""

    model: Model
    clip: Clip | Blocked
    vae: Vae | Blocked
    clip_vision: ClipVision | Blocked


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
        ClipVision(Weights((file,), "clip_vision"))
        if found.part("clip_vision")
        else Blocked(f"{file.name} has no image encoder; load one with CLIPVisionLoader"),
    )


def _encoders(found: Detected) -> list[Part]:
    return [part for part in found.parts if part.name not in ("model", "vae", "clip_vision")]


def clip_vision(file: File) -> ClipVision:
    """The recipe of an image encoder's file."""
    require(detect(file.path), file.path, part="clip_vision")
    return ClipVision(Weights((file,), "clip_vision"))


def ip_adapter(file: File) -> IpAdapter:
    """The recipe of an IP-Adapter's file."""
    found = detect(file.path)
    require(found, file.path, part="ip_adapter")
    return IpAdapter(Weights((file,), "ip_adapter", found.family))


def style_model(file: File) -> StyleModel:
    """The recipe of a style model's file."""
    found = detect(file.path)
    require(found, file.path, part="style_model")
    return StyleModel(Weights((file,), "style_model", found.family))


def vae(file: File) -> Vae:
    """The recipe of an autoencoder's file, or of a checkpoint's autoencoder; of the name `pixel_space`, of none."""
    if file.name == PIXELS:
        return Vae(Weights((), "vae", PIXELS))
    found = detect(file.path)
    require(found, file.path, part="vae")
    return Vae(Weights((file,), "vae", found.family))


def network(file: File, dtype: str = "") -> Model:
    """The recipe of a denoising network, kept in `dtype` (`fp8_e4m3fn`, `fp8_e5m2`) if one is given."""
    found = detect(file.path)
    part = require(found, file.path, part="model")
    family(part.family)
    return Model(Weights((file,), "model", part.family, dtype))


def text_encoders(files: Sequence[File], type: str, device: str = "default") -> Clip:
    """The recipe of a family's text encoders, a file each; `type` names the family as the loader nodes do.

    Raises `UnsupportedFile` when a file holds no text encoder, or none that this family's prompts go through.
    """
    names = set()
    for file in files:
        found = detect(file.path)
        encoders = _encoders(found)
        if not encoders:
            raise UnsupportedFile(f"{file.name} holds no text encoder: {describe(found)}")
        names |= {part.name for part in encoders}
    name = family_of_type(type, names)
    options = (("device", "cpu"),) if device == "cpu" else ()
    return Clip(Weights(tuple(files), "clip", name, options=options))


def text_encoder_types(count: int, *named: str) -> tuple[str, ...]:
    """The types that a loader of so many text encoders offers: these, and those of every family that has so many."""
    own = (type for one in FAMILIES.values() if len(one.encoders) == count for type, _ in one.types)
    return tuple(dict.fromkeys((*named, *own)))


def upscale_model(file: File) -> UpscaleModel:
    """The recipe of an upscaler; which network it is is seen when it is loaded."""
    found = detect(file.path)
    if found.kind in ("checkpoint", "model", "lora", "text_encoder"):
        raise UnsupportedFile(f"{file.name} is no upscale model: {describe(found)}")
    return UpscaleModel(Weights((file,), "upscale_model"))


def model_patch(file: File) -> ModelPatch:
    """The recipe of a small network that works inside another. Raises `UnsupportedFile` for kinds that are not known."""
    found = detect(file.path)
    if found.kind != "model_patch":
        raise UnsupportedFile(
            f"{file.name} is no model patch that can be used: Qwen-Image's blockwise controls (DiffSynth) and the Fun "
            f"controls of Z-Image and Flux 2 can; {describe(found)}"
        )
    return ModelPatch(Weights((file,), "model_patch", found.family))


def control_net(file: File) -> ControlNet:
    """The recipe of a ControlNet or T2I-Adapter."""
    found = detect(file.path)
    if found.kind not in ("controlnet", "t2i_adapter"):
        raise UnsupportedFile(f"{file.name} is no ControlNet: {describe(found)}")
    kind = next((part.family for part in found.parts if part.family in BORROWING), "")
    if _is_difference(file):
        raise UnsupportedFile(
            f"{file.name} holds only what a ControlNet differs by from its model: load it with DiffControlNetLoader, and "
            "connect the model that it was made from"
        )
    return ControlNet(Weights((file,), "controlnet", found.family, options=(("kind", kind),) if kind else ()))


def _is_difference(file: File) -> bool:
    return "difference" in read_header(file.path).tensors


def difference_control_net(file: File, model: Model) -> ControlNet:
    """The recipe of a ControlNet whose file holds its difference from a model; of another ControlNet, as it is."""
    if not _is_difference(file):
        return control_net(file)
    found = detect(file.path)
    if found.kind != "controlnet" or found.family != model.weights.family:
        raise UnsupportedFile(
            f"{file.name} is to be added to another model than a {model.weights.family} one: {describe(found)}"
        )
    files = (file, *model.weights.files)
    return ControlNet(Weights(files, "controlnet", found.family, options=(("kind", "difference"),)))


def on_base(net: ControlNet, model: Model) -> ControlNet:
    """A ControlNet that borrows weights, with the network that it borrows from; others as they are."""
    if dict(net.weights.options).get("kind") not in BORROWING:
        return net
    files = (net.weights.files[0], *model.weights.files)
    return replace(net, weights=replace(net.weights, files=files, family=model.weights.family))

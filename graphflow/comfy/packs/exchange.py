"""Values on their way into a node of a class-style pack and out of it: our frozen classes there, bare tensors here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from graphflow.node import ANY, Blocked, File, Value
from graphflow.values import Area, Audio, Cond, Conditioning, Image, Latent, Mask, Sigmas, Video

ORIGINAL = "graphflow_entry"
"""Key under which an entry of a conditioning carries what its dict form cannot say."""


@dataclass(frozen=True, eq=False)
class Opaque(Value):
    """Something that only the pack which made it understands. It has no encoding: the cache keeps it in memory."""

    wire: ClassVar[str] = ANY
    thing: Any


class ExecutionBlocker:
    """What a pack's node returns in place of a value that nobody is to use."""

    def __init__(self, message: str | None) -> None:
        self.message = message


def outward(value: Any) -> Any:
    """One of our values as a pack's node takes it."""
    match value:
        case Opaque(thing=thing):
            return thing
        case Image(data=data) | Mask(data=data) | Sigmas(data=data):
            return data
        case Latent():
            return _latent_dict(value)
        case Conditioning(entries=entries):
            return [[entry.context, _cond_dict(entry)] for entry in entries]
        case Audio():
            return {"waveform": value.data, "sample_rate": value.sample_rate}
        case str():
            return str(value)
        case File(name=name):
            return name
        case list():
            return [outward(item) for item in value]
    return value


def inward(thing: Any, type: str, known: Mapping[int, Value] | None = None) -> Any:
    """What a pack's node returned for an output of `type`, as our value.

    `known` are the values whose outward forms were given to the node, by the identity of these forms: what comes back
    untouched is the same value again.
    """
    if isinstance(thing, ExecutionBlocker):
        return Blocked(thing.message or "")
    if isinstance(thing, Value):
        return thing
    if known and (same := known.get(id(thing))) is not None:
        return same
    match type, thing:
        case "IMAGE", Tensor():
            return Image(_batched(thing, 4).float().cpu())
        case "MASK", Tensor():
            return Mask(_batched(thing, 3).float().cpu())
        case "LATENT", dict():
            return _latent(thing)
        case "CONDITIONING", list():
            return Conditioning(tuple(_cond(context, about) for context, about in thing))
        case "SIGMAS", Tensor():
            return Sigmas(thing.float().cpu())
        case "AUDIO", dict():
            return Audio(thing["waveform"].float().cpu(), int(thing["sample_rate"]))
        case "VIDEO", Video():
            return thing
        case (("INT" | "FLOAT" | "STRING" | "BOOLEAN" | "COMBO"), (int() | float() | str() | bool())):
            return thing
    return guessed(thing)


def guessed(thing: Any) -> Any:
    """A thing without a declared type: by what it looks like."""
    if isinstance(thing, Tensor):
        if thing.ndim == 4 and thing.shape[-1] in (1, 3, 4):
            return Image(thing.float().cpu())
        if thing.ndim in (2, 3):
            return Mask(_batched(thing, 3).float().cpu())
    if isinstance(thing, dict) and isinstance(thing.get("samples"), Tensor):
        return _latent(thing)
    if isinstance(thing, bool | int | float | str):
        return thing
    return thing if isinstance(thing, Value) else Opaque(thing)


def _batched(tensor: Tensor, dimensions: int) -> Tensor:
    """With a batch axis in front where it is missing."""
    return tensor if tensor.ndim >= dimensions else tensor.unsqueeze(0)


def _latent_dict(latent: Latent) -> dict[str, Any]:
    given: dict[str, Any] = {"samples": latent.data}
    if latent.noise_mask is not None:
        given["noise_mask"] = latent.noise_mask
    if latent.batch_index is not None:
        given["batch_index"] = list(latent.batch_index)
    return given


def _latent(given: Mapping[str, Any]) -> Latent:
    mask, index = given.get("noise_mask"), given.get("batch_index")
    if isinstance(mask, Tensor) and mask.ndim < 4:
        mask = mask.reshape(-1, 1, mask.shape[-2], mask.shape[-1])
    return Latent(given["samples"].float().cpu(), mask, None if index is None else tuple(map(int, index)))


_FIELDS = {
    "pooled_output": "pooled",
    "attention_mask": "attention_mask",
    "strength": "strength",
    "mask": "mask",
    "mask_strength": "mask_strength",
    "set_area_to_bounds": "mask_bounds",
    "start_percent": "start",
    "end_percent": "end",
    "guidance": "guidance",
    "concat_latent_image": "concat_latent",
    "concat_mask": "concat_mask",
    "default": "default",
}
"""Key of an entry's dict -> our field."""


def _cond_dict(entry: Cond) -> dict[str, Any]:
    defaults = {field.name: field.default for field in dataclasses.fields(Cond)}
    about: dict[str, Any] = {}
    for key, name in _FIELDS.items():
        value = getattr(entry, name)
        if value is not defaults[name] or key == "pooled_output":
            about[key] = value
    if entry.area is not None:
        box = (entry.area.height, entry.area.width, entry.area.y, entry.area.x)
        about["area"] = ("percentage", *box) if entry.area.relative else tuple(map(int, box))
    if entry.reference_latents:
        about["reference_latents"] = list(entry.reference_latents)
    return {**entry.extras, **about, ORIGINAL: entry}


def _cond(context: Tensor, about: Mapping[str, Any]) -> Cond:
    original = about.get(ORIGINAL)
    entry = original if isinstance(original, Cond) else Cond(context)
    changes = {name: about[key] for key, name in _FIELDS.items() if key in about}
    if (area := about.get("area")) is not None:
        relative = area[0] == "percentage"
        height, width, y, x = map(float, area[1:] if relative else area)
        changes["area"] = Area(height, width, y, x, relative)
    if "reference_latents" in about:
        changes["reference_latents"] = tuple(about["reference_latents"])
    spoken = {*_FIELDS, "area", "reference_latents", ORIGINAL}
    extras = {key: value for key, value in about.items() if key not in spoken}
    return dataclasses.replace(entry, context=context, extras=extras, **changes)

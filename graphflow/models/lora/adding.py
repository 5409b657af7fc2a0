"""What an adapter's file adds to a network's own parameters, which its tensors may cut otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graphflow.errors import UnsupportedFile
from graphflow.layouts import undo
from graphflow.models.lora.formulas import change
from graphflow.models.lora.names import Group
from graphflow.models.lora.targets import Target
from graphflow.models.weights import Tensors


def added(file: str, group: Group, end: str, target: Target, parts: Sequence[Tensor], tensors: Tensors) -> list[Tensor]:
    """What the group's adapter adds at strength 1 to each of the target's parameters, which are `parts` (float32).

    It has more columns than they where the network is to see more. Raises `UnsupportedFile` when it does not fit.
    """
    weight = torch.cat([_rows(part) for part in parts])
    keys = {"diff": group.keys["diff_b"]} if end == "bias" else group.keys
    adapter = {n: tensors.get(k).to(weight.device) for n, k in keys.items() if n != "diff_b"}
    try:
        seen = _seen(adapter, weight, target.latent)
        if "set" in adapter:
            adapter = {"diff": adapter["set"].float().reshape(seen.shape) - seen}
        delta = undo(target.entry.transform, change(adapter, undo(target.entry.transform, seen)))
    except (ValueError, RuntimeError, KeyError) as error:
        raise UnsupportedFile(
            f"{file} does not fit this model at {group.name}: {error}. It was made for another family"
        ) from error
    rows = [part.shape[0] if part.ndim else 1 for part in parts]
    cut = torch.split(delta, rows)
    return [
        one.reshape(part.shape) if delta.shape == weight.shape else one for one, part in zip(cut, parts, strict=True)
    ]


def plus(weight: Tensor, delta: Tensor, strength: float) -> Tensor:
    """The weight with a change, both as wide as the wider: columns that one has not got are zero there."""
    if weight.shape == delta.shape:
        return weight + strength * delta
    columns = max(weight.shape[1], delta.shape[1])
    return widened(weight, columns) + strength * widened(delta, columns)


def widened(weight: Tensor, columns: int) -> Tensor:
    """(rows, columns), zero beyond those that it had."""
    return torch.nn.functional.pad(weight, (0, columns - weight.shape[1]))


def columns(adapter: Mapping[str, tuple[int, ...]]) -> int:
    """How many numbers the layer sees that an adapter of these shapes was made for; 0 where that does not follow."""
    shape = next((adapter[name] for name in ("down", "diff", "set") if name in adapter), ())
    return shape[1] if len(shape) == 2 else 0


def _seen(adapter: Mapping[str, Tensor], weight: Tensor, latent: int) -> Tensor:
    """The columns that the adapter was made for: of what takes in the latent, more or fewer than there are."""
    wanted = columns({name: tuple(tensor.shape) for name, tensor in adapter.items()}) if latent else 0
    if not wanted or wanted == weight.shape[1]:
        return weight
    if wanted > weight.shape[1] == latent:
        return widened(weight, wanted)
    if wanted == latent:
        return weight[:, :latent]
    raise ValueError(f"it takes in {wanted} numbers of each place, the model {weight.shape[1]}")


def _rows(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim else tensor[None]

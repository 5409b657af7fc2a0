"""What an adapter's file adds to a network's own parameters, which its tensors may cut otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from graphflow.errors import UnsupportedFile
from graphflow.header import Header
from graphflow.layouts import undo
from graphflow.models.lora.formulas import change, scale
from graphflow.models.lora.names import Group, groups
from graphflow.models.lora.targets import BIASES, Target, Targets
from graphflow.models.tensors import Tensors
from graphflow.values import Lora


def added(
    patch: Lora, group: Group, end: str, target: Target, parts: Sequence[Tensor], tensors: Tensors
) -> list[Tensor]:
    """What the group's adapter adds to each of the target's parameters, which are `parts` (float32).

    It has more columns than they where the network is to see more. Raises `UnsupportedFile` when it does not fit.
    """
    weight = torch.cat([_rows(part) for part in parts])
    try:
        adapter = _adapter(group, end, tensors, weight.device)
        seen = _seen(adapter, weight, target.latent)
        if "set" in adapter:
            adapter = {"diff": adapter["set"].float().reshape(seen.shape) - seen}
        delta = undo(target.entry.transform, change(adapter, undo(target.entry.transform, seen), patch.strength))
    except (ValueError, RuntimeError, KeyError) as error:
        raise UnsupportedFile(
            f"{patch.file.name} does not fit this model at {group.name}: {error}. It was made for another family"
        ) from error
    rows = [part.shape[0] if part.ndim else 1 for part in parts]
    cut = torch.split(delta, rows)
    return [
        one.reshape(part.shape) if delta.shape == weight.shape else one for one, part in zip(cut, parts, strict=True)
    ]


def _adapter(group: Group, end: str, tensors: Tensors, device: torch.device) -> dict[str, Tensor]:
    """The tensors for the module's weight, or for its bias; an alpha from the file's metadata with them."""
    adapter = {name: tensors.get(key).to(device) for name, key in group.keys.items()}
    if group.alpha is not None:
        adapter.setdefault("alpha", torch.tensor(group.alpha))
    if end == "weight":
        return {name: tensor for name, tensor in adapter.items() if name not in BIASES}
    if "diff_b" in adapter:
        return {"diff": adapter["diff_b"]}
    return {"diff": adapter["up_b"].float() * scale(adapter, len(adapter["down"]))}


def mixes_rows(group: Group, tensors: Tensors) -> bool:
    """Whether a row of what is added depends on other rows of the weight."""
    magnitude = tensors.get(group.keys["dora_scale"]) if "dora_scale" in group.keys else None
    return "oft_blocks" in group.keys or (magnitude is not None and magnitude.ndim > 1 and magnitude.shape[0] == 1)


def plus(weight: Tensor, delta: Tensor) -> Tensor:
    """Their sum, as wide as the wider: columns that one has not got are zero there."""
    if weight.shape == delta.shape:
        return weight + delta
    columns = max(weight.shape[1], delta.shape[1])
    return widened(weight, columns) + widened(delta, columns)


def widened(weight: Tensor, columns: int) -> Tensor:
    """(rows, columns), zero beyond those that it had."""
    return torch.nn.functional.pad(weight, (0, columns - weight.shape[1]))


def inputs(header: Header, targets: Targets) -> Iterator[tuple[Group, Target, int]]:
    """Of a file, what it adds to layers that take in the latent, and how many numbers those are to see of each place."""
    for group in groups(header.tensors)[0] if targets.widens else ():
        target = targets.find(group, "weight")
        if target and target.latent and (wanted := _columns({e: header.shape(k) for e, k in group.keys.items()})):
            yield group, target, wanted


def check_inputs(file: str, header: Header, targets: Targets) -> None:
    """Raises `UnsupportedFile` when the file has the network see what it does not, and cannot be made to."""
    for group, target, wanted in inputs(header, targets):
        if wanted not in (target.latent, width := target.shapes[0][1]) and width != target.latent:
            raise UnsupportedFile(f"{file} does not fit this model at {group.name}: {_differ(wanted, width)}")


def _differ(wanted: int, width: int) -> str:
    return f"it takes in {wanted} numbers of each place, the model {width}"


def _columns(adapter: Mapping[str, tuple[int, ...]]) -> int:
    """How many numbers the layer sees that an adapter of these shapes was made for; 0 where that does not follow."""
    shape = next((adapter[name] for name in ("down", "diff", "set") if name in adapter), ())
    return shape[1] if len(shape) == 2 else 0


def _seen(adapter: Mapping[str, Tensor], weight: Tensor, latent: int) -> Tensor:
    """The columns that the adapter was made for: of what takes in the latent, more or fewer than there are."""
    wanted = _columns({name: tuple(tensor.shape) for name, tensor in adapter.items()}) if latent else 0
    if not wanted or wanted == weight.shape[1]:
        return weight
    if wanted > weight.shape[1] == latent:
        return widened(weight, wanted)
    if wanted == latent:
        return weight[:, :latent]
    raise ValueError(_differ(wanted, weight.shape[1]))


def _rows(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim else tensor[None]

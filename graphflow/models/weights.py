"""Modules filled with tensors of files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, split
from graphflow.models.tensors import Tensors


def hollow(build: Callable[[], nn.Module]) -> nn.Module:
    """A module whose parameters have shapes and no memory; its buffers are real."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        return build().eval().requires_grad_(False)


def fill(
    module: nn.Module,
    tensors: Tensors,
    layout: Layout,
    *,
    dtype: torch.dtype,
    name: str,
    through: torch.dtype | None = None,
    done: Collection[str] = (),
) -> list[str]:
    """Puts the file's tensors into a hollow module, one at a time, as `dtype`; gives the names it had no place for.

    Those in `done` are there already. With `through`, numbers are rounded to that dtype first. Raises `UnsupportedFile` with the first missing names, or
    the first tensor of a wrong shape.
    """
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    entries, keys = layout(shapes), set(tensors.keys())
    missing = [e.theirs for e in entries if e.theirs not in keys]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UnsupportedFile(f"{name} is incomplete: it lacks {', '.join(missing[:3])}{more}")
    for entry in entries:
        if entry.theirs in keys and entry.theirs not in done:
            _place(module, entry, tensors.get(entry.theirs), shapes, dtype, name, through)
    used = {entry.theirs for entry in entries}
    return sorted(key for key in keys if key not in used)


def _place(
    module: nn.Module,
    entry: Entry,
    tensor: Tensor,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: torch.dtype,
    name: str,
    through: torch.dtype | None,
) -> None:
    try:
        parts = split(entry, tensor, shapes)
    except (ValueError, RuntimeError) as error:
        raise UnsupportedFile(f"{name} does not fit: {error}") from error
    for ours, part in parts.items():
        if tuple(part.shape) != shapes[ours]:
            raise UnsupportedFile(
                f"{name} does not fit: {entry.theirs} is {list(part.shape)} where {list(shapes[ours])} is needed. "
                f"If the model has unusual sizes, put its diffusers configs into a folder {Path(name).stem}.config beside it"
            )
        if part.is_floating_point():
            part = (part.to(through) if through else part).to(dtype, copy=True)
        put(module, ours, part.clone() if part._base is not None else part.contiguous())


def put(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Makes `tensor` the parameter or buffer of that name."""
    path, _, leaf = name.rpartition(".")
    owner: Any = module.get_submodule(path)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def nbytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors if t.device.type != "meta")

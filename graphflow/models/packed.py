"""Linear layers whose weights stay in GGUF's blocks or in fp8, each unpacked for the moment it is used.

A packed weight is a parameter of bytes (int8), a row of them for each row of the weight. Whoever changes weights (a LoRA,
a mix) unpacks it and puts a plain one in its place; the bytes are kept beside it, so that switching back is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, undo
from graphflow.models.tensors import Tensors, raw
from graphflow.models.weights import put

Kind = Any
"""A `gguf.GGMLQuantizationType`, or a dtype of eight bits."""


class Packed(nn.Linear):
    """A linear layer of packed weights; of plain ones where somebody put those."""

    scale: Tensor | None

    def __init__(self, columns: int, rows: int, bias: bool, kind: Kind, scale: Tensor | None = None) -> None:
        """`scale`, (1, 1) or (rows, 1), is what a packed weight's numbers are multiplied with."""
        super().__init__(columns, rows, bias, device="meta")
        self.kind = kind
        self.register_buffer("scale", scale, persistent=False)

    @property
    def is_packed(self) -> bool:
        """Whether the weight is in blocks now."""
        return self.weight.dtype is torch.int8

    def whole(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """(rows, columns): the weight's numbers."""
        if not self.is_packed:
            return self.weight.to(dtype)
        whole = unpacked(self.weight, self.kind, (self.out_features, self.in_features), dtype)
        return whole if self.scale is None else whole * self.scale.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """As every linear layer."""
        weight = self.whole(x.dtype) if self.is_packed else self.weight
        return linear(x, weight, self.bias)


def unpacked(blocks: Tensor, kind: Kind, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The numbers in rows of bytes, on their device."""
    if isinstance(kind, torch.dtype):
        return blocks.view(kind).to(dtype)
    from diffusers.quantizers.gguf.utils import dequantize_functions
    from gguf.constants import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    data = blocks.reshape(-1, size).view(torch.uint8)
    numbers: Tensor = dequantize_functions[kind](data, block, size, torch.float32)  # scales overflow in half precision
    return numbers.reshape(shape).to(dtype)


def plain(module: nn.Module, name: str) -> Tensor:
    """A parameter's numbers in float32, unpacked if need be."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if isinstance(owner, Packed) and leaf == "weight":
        return owner.whole()
    return module.get_parameter(name).data.float()


def dtype_of(module: nn.Module, name: str) -> torch.dtype:
    """The dtype that a changed parameter is kept in: its own, or for a packed one that of its bias or of the others."""
    dtype = module.get_parameter(name).dtype
    if dtype is not torch.int8:
        return dtype
    return next((p.dtype for p in module.parameters() if p.dtype.is_floating_point), torch.float32)


def shapes_of(module: nn.Module) -> Mapping[str, tuple[int, ...]]:
    """A module's parameters with their shapes; of packed ones, those that they have unpacked."""
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
    for name, part in module.named_modules():
        if isinstance(part, Packed):
            shapes[f"{name}.weight"] = (part.out_features, part.in_features)
    return shapes


# --- from files ------------------------------------------------------------------------------------------------------


def pack(module: nn.Module, tensors: Tensors, layout: Layout, name: str) -> set[str]:
    """Gives the blocks of a network or text encoder the weights that a file has in GGUF's blocks or in fp8; their names
    in the file.

    Only linear layers in lists of blocks, whose weights the file has in rows as they are ours or in another order.
    Raises `UnsupportedFile` when sizes do not fit.
    """
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    done = set()
    for entry in layout(shapes):
        found = raw(tensors, entry.theirs) if _can_be_packed(module, entry) else None
        if found is None or not _can_be_unpacked(found.kind):
            continue
        owners = [module.get_submodule(ours.rpartition(".")[0]) for ours in entry.ours]
        rows = [shapes[ours][0] for ours in entry.ours]
        if sum(rows) != len(found.rows) or any(shapes[ours][1] != found.columns for ours in entry.ours):
            raise UnsupportedFile(
                f"{name} does not fit: {entry.theirs} is {[len(found.rows), found.columns]} where "
                f"{[sum(rows), shapes[entry.ours[0]][1]]} is needed"
            )
        parts = torch.split(undo(entry.transform, found.rows), rows)
        scales = _scales(entry, found.scale, rows)
        for ours, owner, part, scale in zip(entry.ours, owners, parts, scales, strict=True):
            _replace(module, ours, owner, part.contiguous(), found.kind, scale)
        done.add(entry.theirs)
    return done


def _scales(entry: Entry, scale: Tensor | None, rows: list[int]) -> Sequence[Tensor | None]:
    """Each weight's own factors."""
    if scale is None or len(scale) == 1:
        return [scale] * len(rows)
    return torch.split(undo(entry.transform, scale), rows)


def _can_be_unpacked(kind: Kind) -> bool:
    from diffusers.quantizers.gguf.utils import dequantize_functions

    return isinstance(kind, torch.dtype) or kind in dequantize_functions


def _can_be_packed(module: nn.Module, entry: Entry) -> bool:
    if entry.transform not in ("", "swap"):
        return False
    return all(
        name.endswith(".weight")
        and any(part.isdigit() for part in name.split("."))
        and type(module.get_submodule(name.rpartition(".")[0])) is nn.Linear
        for name in entry.ours
    )


def _replace(module: nn.Module, name: str, owner: Any, blocks: Tensor, kind: Kind, scale: Tensor | None) -> None:
    path = name.rpartition(".")[0]
    packed = Packed(owner.in_features, owner.out_features, owner.bias is not None, kind, scale).eval()
    packed.bias = owner.bias
    parent, _, leaf = path.rpartition(".")
    holder: Any = module.get_submodule(parent)
    if isinstance(holder, nn.ModuleList | nn.Sequential):
        holder[int(leaf)] = packed
    else:
        setattr(holder, leaf, packed)
    put(module, name, blocks)

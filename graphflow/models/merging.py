"""Mixing models, one tensor at a time, so that never two models are in memory.

A mix is a patch like a LoRA: the recipe of the first model names the second's files, and the weights are mixed when the
first is brought to the device, or as they are written to a file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, join, split
from graphflow.models.tensors import Tensors
from graphflow.models.writing import Written
from graphflow.values import Patch, Weights

Shapes = Mapping[str, tuple[int, ...]]
Change = Callable[[str, Tensor], Tensor]
"""From a parameter's name and weight (float32) to the weight with a patch."""


@dataclass(frozen=True)
class Mix(Patch):
    """Another model of the same family, mixed in.

    `mix`: ratio * first + (1 - ratio) * second. `add`: first + second. `subtract`: (first - second) * ratio.
    """

    weights: Weights
    """The second model's."""
    patches: tuple[Patch, ...]
    """What is on the second model itself."""
    kind: Literal["mix", "add", "subtract"]
    ratio: float = 1.0
    blocks: tuple[tuple[str, float], ...] = ()
    """Ratios of their own for weights whose original names begin so; the longest beginning wins."""

    def of(self, name: str) -> float:
        """The ratio for a weight by its original name."""
        fitting = [(len(start), ratio) for start, ratio in self.blocks if name.startswith(start)]
        return max(fitting)[1] if fitting else self.ratio

    def apply(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        """The mixed weight, float32. Raises `UnsupportedFile` when the two differ in size."""
        if first.shape != second.shape:
            raise UnsupportedFile(
                f"the models differ in their sizes at {name}: {list(first.shape)} and {list(second.shape)}"
            )
        if self.kind == "add":
            return first + second
        ratio = self.of(name)
        return (first - second) * ratio if self.kind == "subtract" else first * ratio + second * (1.0 - ratio)


@dataclass(frozen=True)
class Scale(Patch):
    """Weights and biases of layers multiplied, by what their names end with."""

    factors: tuple[tuple[str, float], ...]
    """A module's end, such as `self_attn.q_proj`, and the factor."""

    def of(self, name: str) -> float:
        """The factor for a parameter."""
        module = name.removesuffix(".weight").removesuffix(".bias")
        return next((factor for end, factor in self.factors if module.endswith(end)), 1.0)

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """The parameter, scaled."""
        return weight * self.of(name)


@dataclass
class Stream:
    """A model's weights with its patches, one at a time, in float32."""

    tensors: Tensors
    layout: Layout
    """Of the file that `tensors` come from."""
    original: Layout
    """Of the family's files, whose names mixes go by."""
    shapes: Shapes
    changes: list[Change] = field(default_factory=list)
    """In order."""
    columns: Mapping[str, int] = field(default_factory=dict)
    """Of matrices that changes may make wider, how wide."""
    _where: dict[str, Entry] = field(init=False)

    def __post_init__(self) -> None:
        self._where = {name: entry for entry in self.layout(self.shapes) for name in entry.ours}

    def holds(self, name: str) -> bool:
        """Whether the file has one of our parameters."""
        entry = self._where.get(name)
        return entry is not None and entry.theirs in self.tensors.keys()  # noqa: SIM118 - no mapping

    def get(self, name: str) -> Tensor:
        """One of our parameters. Raises `UnsupportedFile` when the file has not got it."""
        entry = self._where.get(name)
        if entry is None or not self.holds(name):
            raise UnsupportedFile(f"the model lacks {name}; only models of the same kind can be mixed")
        try:
            weight = split(entry, self.tensors.get(entry.theirs), self.shapes)[name].float()
        except (ValueError, RuntimeError) as error:
            raise UnsupportedFile(f"the models differ in their sizes at {name}: {error}") from error
        if tuple(weight.shape) != self.shapes[name]:
            raise UnsupportedFile(
                f"the models differ in their sizes at {name}: {list(weight.shape)} and {list(self.shapes[name])}"
            )
        for change in self.changes:
            weight = change(name, weight)
        return weight

    def written(self, prefix: str, dtype: torch.dtype) -> Iterator[Written]:
        """The tensors of a file in the family's original layout."""
        for entry in self.original(self.shapes):
            make = functools.partial(self._joined, entry, dtype)
            yield Written(prefix + entry.theirs, self.shape(entry), dtype, make)

    def shape(self, entry: Entry) -> tuple[int, ...]:
        """That of a tensor of the original layout."""
        return tuple(join(entry, {name: torch.empty(self._changed(name), device="meta") for name in entry.ours}).shape)

    def _changed(self, name: str) -> tuple[int, ...]:
        """The shape of one of our parameters with the changes."""
        shape = self.shapes[name]
        return (shape[0], max(shape[1], self.columns[name])) if name in self.columns else shape

    def joined(self, entry: Entry) -> Tensor:
        """A tensor of the original layout, float32."""
        return join(entry, {name: self.get(name) for name in entry.ours})

    def _joined(self, entry: Entry, dtype: torch.dtype) -> Tensor:
        return self.joined(entry).to(dtype)


def original_names(layout: Layout, shapes: Shapes) -> dict[str, str]:
    """Our names -> the original's."""
    return {name: entry.theirs for entry in layout(shapes) for name in entry.ours}


def mixing(patch: Mix, second: Stream, names: Mapping[str, str]) -> Change:
    """The change that a mix makes."""
    return lambda name, weight: patch.apply(names.get(name, name), weight, second.get(name).to(weight.device))


def mixed(patch: Mix, second: Stream) -> Change:
    """As `mixing`, for text encoders: what only the first has (a projection, say) stays as it is."""
    change = mixing(patch, second, {})
    return lambda name, weight: change(name, weight) if second.holds(name) else weight

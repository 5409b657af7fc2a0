"""What a model file says of itself before its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Entry:
    """A tensor as its header describes it."""

    dtype: str
    """As safetensors names it: `F32`, `F16`, `BF16`, `F8_E4M3`; for GGUF the type's name, such as `Q8_0`."""
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Header:
    """All that a file says of itself before its data."""

    path: Path
    format: Literal["safetensors", "gguf", "diffusers"]
    tensors: Mapping[str, Entry]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor, empty when there is no such tensor."""
        entry = self.tensors.get(key)
        return entry.shape if entry else ()

    def under(self, prefix: str) -> Header:
        """Only the tensors whose names begin with `prefix`, which is cut off."""
        cut = len(prefix)
        return replace(self, tensors={k[cut:]: e for k, e in self.tensors.items() if k.startswith(prefix)})


def count(header: Header, pattern: str) -> int:
    """How many numbers in a row, from 0, stand in tensors' names where `{}` stands in `pattern`, their beginning."""
    n = 0
    while any(key.startswith(pattern.format(n)) for key in header.tensors):
        n += 1
    return n

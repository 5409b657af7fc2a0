"""Tensors out of files, one at a time: safetensors, GGUF, diffusers folders."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from graphflow.detect import Header, read_header, weights_file
from graphflow.errors import UnsupportedFile
from graphflow.files import files_of, is_part, shards
from graphflow.gguf_names import renaming


class Tensors(Protocol):
    """Tensors by name, read when asked for."""

    def keys(self) -> Collection[str]:
        """Every name."""

    def get(self, key: str) -> Tensor:
        """The tensor, on the CPU; of a quantised file, its numbers in float32."""


class _Shards:
    """safetensors files as one."""

    def __init__(self, paths: Collection[Path]) -> None:
        self._open: list[Any] = [safe_open(str(path), framework="pt") for path in paths]
        self._where = {key: file for file in self._open for key in file.keys()}  # noqa: SIM118 - no mapping

    def keys(self) -> Collection[str]:
        return self._where.keys()

    def get(self, key: str) -> Tensor:
        tensor: Tensor = self._where[key].get_tensor(key)
        return tensor


ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Before a tensor's name in a GGUF file: the shape it has, where the format's four axes are too few."""


class _Gguf:
    """A GGUF file, its blocks taken apart."""

    def __init__(self, path: Path) -> None:
        import gguf

        reader = gguf.GGUFReader(path)
        facts = reader.fields
        self._architecture = str(facts["general.architecture"].contents()) if "general.architecture" in facts else ""
        usual = renaming(self._architecture)
        self._tensors = {usual(tensor.name): tensor for tensor in reader.tensors}
        self._heads = {
            end: int(facts[f"llama.attention.{key}"].contents())
            for end, key in (("q_proj.weight", "head_count"), ("k_proj.weight", "head_count_kv"))
            if f"llama.attention.{key}" in facts
        }
        self._shapes = {
            name.removeprefix(ORIGINAL_SHAPE): tuple(int(n) for n in field.contents())
            for name, field in reader.fields.items()
            if name.startswith(ORIGINAL_SHAPE)
        }

    def keys(self) -> Collection[str]:
        return self._tensors.keys()

    def get(self, key: str) -> Tensor:
        from gguf.quants import dequantize

        tensor = self._tensors[key]
        shape = self._shapes.get(key) or tuple(int(n) for n in reversed(tensor.shape))
        numbers = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)
        if self._architecture == "gemma2" and key.endswith("norm.weight"):
            numbers -= 1.0  # files have it added, our class adds it itself
        return torch.from_numpy(self._ordered(key, numbers))

    def _ordered(self, key: str, rows: Any) -> Any:
        """Rows of Llama's queries and keys as their class has them: halves one after the other, not in turns."""
        heads = next((n for end, n in self._heads.items() if key.endswith(end)), 0)
        if not heads:
            return rows
        return np.ascontiguousarray(rows.reshape(heads, -1, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape))

    def raw(self, key: str) -> Raw | None:
        """A quantised matrix as it is."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        tensor = self._tensors.get(key)
        plain = (GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16)
        if tensor is None or tensor.tensor_type in plain or len(tensor.shape) != 2 or key in self._shapes:
            return None
        rows = np.array(tensor.data).view(np.int8).reshape(tensor.data.shape[0], -1)
        block, size = GGML_QUANT_SIZES[tensor.tensor_type]
        rows = self._ordered(key, rows)
        return Raw(torch.from_numpy(rows), tensor.tensor_type, rows.shape[1] // size * block)


@dataclass(frozen=True)
class Raw:
    """A matrix as a file keeps it, in fewer bits than it is computed with."""

    rows: Tensor
    """(rows, bytes) int8."""
    kind: Any
    """A `gguf.GGMLQuantizationType`, or a dtype of eight bits."""
    columns: int
    """Numbers in a row."""
    scale: Tensor | None = None
    """(1, 1) or (rows, 1) float32: what the numbers are to be multiplied with."""


def raw(tensors: Tensors, key: str) -> Raw | None:
    """A matrix in GGUF's blocks or in fp8; None for other tensors."""
    if isinstance(tensors, Under):
        return raw(tensors.tensors, tensors.prefix + key)
    return tensors.raw(key) if isinstance(tensors, _Gguf | Scaled) else None


def is_scaled(tensors: Tensors) -> bool:
    """Whether the file has fp8 weights that come with factors."""
    if isinstance(tensors, Under):
        return is_scaled(tensors.tensors)
    return isinstance(tensors, Scaled) and tensors.has_factors


@dataclass(frozen=True)
class Under:
    """The tensors whose names begin with `prefix`, which is cut off."""

    tensors: Tensors
    prefix: str

    def keys(self) -> Collection[str]:
        """Every name."""
        return [key[len(self.prefix) :] for key in self.tensors.keys() if key.startswith(self.prefix)]  # noqa: SIM118

    def get(self, key: str) -> Tensor:
        """The tensor."""
        return self.tensors.get(self.prefix + key)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Header, Tensors]]:
    """A file's header and tensors; of a diffusers folder every component's, by `subfolder.name`.

    Raises `UnsupportedFile` when the file is damaged, or was replaced while it was read.
    """
    stamp = _stamp(path)
    header = read_header(path)
    try:
        yield header, _tensors(path, header)
    except (RuntimeError, OSError) as error:
        if _stamp(path) == stamp:
            raise
        raise UnsupportedFile(f"{path.name} was replaced while it was being read; run the workflow again") from error
    if _stamp(path) != stamp:
        raise UnsupportedFile(f"{path.name} was replaced while it was being read; run the workflow again")


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """By which one sees that a file, or one of several, was replaced."""
    try:
        return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files_of(path))
    except OSError:
        return ()


EIGHT = (torch.float8_e4m3fn, torch.float8_e5m2)


class Scaled:
    """fp8 weights that come with a factor each, multiplied out."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._factors: dict[str, str] = {}
        for key in tensors.keys():  # noqa: SIM118 - no mapping
            for end in (".scale_weight", ".weight_scale"):
                if key.endswith(end):
                    self._factors[key.removesuffix(end) + ".weight"] = key

    def keys(self) -> Collection[str]:
        factors = set(self._factors.values())
        return [key for key in self._tensors.keys() if key not in factors]  # noqa: SIM118

    @property
    def has_factors(self) -> bool:
        """Whether any weight has one."""
        return bool(self._factors)

    def get(self, key: str) -> Tensor:
        tensor = self._tensors.get(key)
        return tensor.float() * self._factor(key, tensor) if key in self._factors else tensor

    def raw(self, key: str) -> Raw | None:
        """An fp8 matrix as it is."""
        if key not in self._tensors.keys() or (tensor := self._tensors.get(key)).dtype not in EIGHT or tensor.ndim != 2:  # noqa: SIM118
            return None
        scale = self._factor(key, tensor).reshape(-1, 1) if key in self._factors else None
        return Raw(tensor.view(torch.int8), tensor.dtype, tensor.shape[1], scale)

    def _factor(self, key: str, tensor: Tensor) -> Tensor:
        """One for all numbers, or one for each row."""
        factor = self._tensors.get(self._factors[key]).float()
        return factor.reshape(-1, *[1] * (tensor.ndim - 1)) if factor.numel() > 1 else factor.reshape([1] * tensor.ndim)


def _tensors(path: Path, header: Header) -> Tensors:
    if header.format == "gguf":
        return _Gguf(path)
    if header.format == "diffusers":
        return _Folder(path)
    if path.name.endswith(".index.json"):
        return Scaled(_Shards(shards(path)))
    return Scaled(_Shards([path]))


class _Folder:
    """The components of a diffusers folder."""

    def __init__(self, path: Path) -> None:
        self._parts: dict[str, _Shards] = {}
        for config in [path / "config.json"] if is_part(path) else sorted(path.glob("*/config.json")):
            if weights := weights_file(config.parent):
                files = shards(weights) if weights.suffix == ".json" else [weights]
                self._parts[config.parent.name] = _Shards(files)

    def keys(self) -> Collection[str]:
        return [f"{part}.{key}" for part, tensors in self._parts.items() for key in tensors.keys()]  # noqa: SIM118

    def get(self, key: str) -> Tensor:
        part, _, rest = key.partition(".")
        return self._parts[part].get(rest)

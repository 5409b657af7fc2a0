"""safetensors files, written tensor after tensor: their header is known before any tensor is made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.node import Progress

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip
PIECE = 2**20
"""Bytes of a file that are handed on at a time, at most; its header is one piece, however long."""


@dataclass(frozen=True)
class Written:
    """A tensor of a file to be written: what it will be, and what makes it."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]

    @staticmethod
    def like(name: str, make: Callable[[], Tensor]) -> Written:
        """A tensor that is quickly made: it is looked at once before, and made again to be written."""
        seen = make()
        return Written(name, tuple(seen.shape), seen.dtype, make)

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def pieces(tensors: Iterable[Written], metadata: Mapping[str, str]) -> Generator[bytes | Progress, None, None]:
    """The file's bytes in order, the header first, and how far it is; of the tensors, one is held at a time."""
    written = list({tensor.name: tensor for tensor in tensors}.values())
    yield _header(written, metadata)
    total, done, told = sum(tensor.size for tensor in written), 0, 0
    for tensor in written:
        for piece in _bytes(tensor):
            yield piece
            done += len(piece)
            if 100 * done // total > told:
                told = 100 * done // total
                yield Progress(done, total)


def _header(written: Iterable[Written], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for tensor in written:
        offsets = [at, at := at + tensor.size]
        entries[tensor.name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Written) -> Iterator[bytes]:
    made = tensor.make().detach().cpu().contiguous()
    assert (tuple(made.shape), made.dtype) == (tensor.shape, tensor.dtype), f"{tensor.name} is not what was announced"
    if not made.numel():
        return
    numbers = made.flatten().view(torch.uint8).numpy().data
    for start in range(0, len(numbers), PIECE):
        yield bytes(numbers[start : start + PIECE])

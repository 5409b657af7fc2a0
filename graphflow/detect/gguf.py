"""The headers of GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from graphflow.errors import UnsupportedFile
from graphflow.gguf_names import renaming
from graphflow.header import Entry, Header

_GGUF_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_GGUF_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 20: ("IQ4_NL", 32, 18),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 28: ("F64", 1, 8),
    30: ("BF16", 1, 2),
}  # fmt: skip
"""Type number: its name, and how many values a block of how many bytes holds."""


LONG = 1024
"""Items of a list in a GGUF header, above which it is passed over: vocabularies are of no use for detection."""


class _Reader:
    """Reads numbers from a GGUF file, never past its end."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size

    def number(self, code: str) -> Any:
        length = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self.take(length))[0]

    def take(self, length: int) -> bytes:
        if length > self.size - self.stream.tell():
            raise ValueError("the header runs past the end of the file")
        return self.stream.read(length)

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.number("I"), self.number("Q")
            if count > self.size:
                raise ValueError("a list in the header is longer than the file")
            return self._skip(inner, count) if count > LONG else [self.value(inner) for _ in range(count)]
        return self.number(_GGUF_SCALARS[kind])

    def _skip(self, kind: int, count: int) -> int:
        """Passes over a long list, such as a vocabulary; gives its length."""
        if kind in _GGUF_SCALARS:
            self._over(count * struct.calcsize("<" + _GGUF_SCALARS[kind]))
        else:
            for _ in range(count):
                if kind == 8:
                    self._over(self.number("Q"))
                else:
                    self.value(kind)
        return count

    def _over(self, length: int) -> None:
        if length > self.size - self.stream.tell():
            raise ValueError("the header runs past the end of the file")
        self.stream.seek(length, 1)


def gguf_header(path: Path, stream: BinaryIO) -> Header:
    """Of one file. Raises `UnsupportedFile` when it cannot be true."""
    size = path.stat().st_size
    reader = _Reader(stream, size)
    try:
        reader.take(4)
        if (version := reader.number("I")) not in (2, 3):
            raise ValueError(f"version {version} is not known")
        count, pairs = reader.number("Q"), reader.number("Q")
        if count > size or pairs > size:
            raise ValueError(f"it claims {count:,} tensors")
        metadata = {reader.text(): reader.value(reader.number("I")) for _ in range(pairs)}
        infos = [_gguf_tensor(reader) for _ in range(count)]
        alignment = int(metadata.get("general.alignment", 32))
        data = size - -(-stream.tell() // alignment) * alignment
        end = _end_of(infos)
    except (ValueError, KeyError, struct.error, ZeroDivisionError, RecursionError) as error:
        raise UnsupportedFile(f"{path.name} is a damaged GGUF file: {error}") from error
    if end > data:
        raise UnsupportedFile(f"{path.name} is cut off: its tensors need {end:,} bytes, the file has {max(data, 0):,}")
    shapes = {
        k.removeprefix(_SHAPE): tuple(v) for k, v in metadata.items() if k.startswith(_SHAPE) and isinstance(v, list)
    }
    usual = renaming(str(metadata.get("general.architecture", "")))
    tensors = {usual(name): replace(entry, shape=shapes.get(name, entry.shape)) for name, entry, _ in infos}
    return Header(path, "gguf", tensors, metadata)


def _end_of(infos: Sequence[tuple[str, Entry, int]]) -> int:
    """Where the last tensor ends. Raises `ValueError` for two of one name, and for one that lies on another."""
    names = [name for name, _, _ in infos]
    if len(set(names)) != len(names):
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} stands twice in the header")
    position = 0
    for name, entry, offset in sorted(infos, key=lambda info: info[2]):
        if offset < position:
            raise ValueError(f"{name!r} overlaps the tensor before it")
        position = offset + entry.nbytes
    return position


_SHAPE = "comfy.gguf.orig_shape."
"""Before a tensor's name: the shape it has, where the format's four axes are too few."""


def _gguf_tensor(reader: _Reader) -> tuple[str, Entry, int]:
    name, dims = reader.text(), reader.number("I")
    if dims > 8:
        raise ValueError(f"{name!r} has {dims} dimensions")
    shape = tuple(reversed([reader.number("Q") for _ in range(dims)]))
    label, block, nbytes = _GGUF_TYPES[reader.number("I")]
    offset = reader.number("Q")
    return name, Entry(label, shape, math.prod(shape) // block * nbytes), offset

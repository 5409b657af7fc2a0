"""The headers of safetensors files, and of those that an index names. One that cannot be true is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from graphflow.errors import NotFound, UnsupportedFile
from graphflow.header import Entry, Header

HEADER_LIMIT = 100_000_000
"""Bytes; the longest header that safetensors itself accepts."""

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands twice in the header")
    return found


def safetensors_header(path: Path, stream: BinaryIO) -> Header:
    """Of one file. Raises `UnsupportedFile` when it cannot be true."""
    size = path.stat().st_size
    if size < 8:
        raise UnsupportedFile(f"{path.name} is empty or cut off: {size} bytes are no safetensors file")
    length = int.from_bytes(stream.read(8), "little")
    if length > HEADER_LIMIT:
        raise UnsupportedFile(f"{path.name} is no safetensors file: its header claims {length:,} bytes")
    if length + 8 > size:
        raise UnsupportedFile(f"{path.name} is cut off: its header needs {length:,} bytes, the file has {size:,}")
    try:
        tree = json.loads(stream.read(length), object_pairs_hook=_unique)
        if not isinstance(tree, dict):
            raise ValueError("the header is no object")
        metadata = tree.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict):
            raise ValueError("its metadata is no object")
        spans = sorted((*_span(name, entry), name) for name, entry in tree.items())
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise UnsupportedFile(f"{path.name} has a damaged header: {error}") from error
    _check_spans(path, spans, size - 8 - length)
    tensors = {name: Entry(e["dtype"], tuple(e["shape"]), _nbytes(e)) for name, e in tree.items()}
    return Header(path, "safetensors", tensors, metadata)


def _nbytes(entry: Mapping[str, Any]) -> int:
    return math.prod(entry["shape"]) * _BITS[entry["dtype"]] // 8


def _span(name: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    if entry["dtype"] not in _BITS:
        raise ValueError(f"{name!r} has the unknown dtype {entry['dtype']!r}")
    if any(type(n) is not int or n < 0 for n in (begin, end, *entry["shape"])):
        raise ValueError(f"{name!r} has a negative or broken size")
    if end - begin != _nbytes(entry):
        raise ValueError(
            f"{name!r} has {end - begin:,} bytes where its shape {entry['shape']} needs {_nbytes(entry):,}"
        )
    return begin, end


def _check_spans(path: Path, spans: Sequence[tuple[int, int, str]], data: int) -> None:
    position = 0
    for begin, end, name in spans:
        if begin < position:
            raise UnsupportedFile(f"{path.name} has a damaged header: {name!r} overlaps the tensor before it")
        position = end
    if position > data:
        raise UnsupportedFile(f"{path.name} is cut off: its tensors need {position:,} bytes, the file has {data:,}")


def sharded_header(path: Path, read_shard: Callable[[Path], Header]) -> Header:
    """Of all the files that an index names, as of one."""
    try:
        places: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(places.values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UnsupportedFile(f"{path.name} is no index of a sharded file: {error!r}") from error
    if any(Path(name).name != name for name in names):
        raise UnsupportedFile(f"{path.name} names a shard outside its folder")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise NotFound(f"{path.name}: {len(missing)} of {len(names)} shards are missing, the first is {missing[0]}")
    tensors: dict[str, Entry] = {}
    for name in names:
        shard = read_shard(path.parent / name).tensors
        if twice := sorted(tensors.keys() & shard.keys()):
            raise UnsupportedFile(f"{path.name}: {twice[0]!r} stands in {name} and in a shard before it")
        tensors |= shard
    if lacking := sorted(places.keys() - tensors.keys()):
        raise UnsupportedFile(
            f"{path.name}: no shard has {lacking[0]!r}, which the index puts into {places[lacking[0]]}"
        )
    return Header(path, "safetensors", tensors)

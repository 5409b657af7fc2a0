"""The texts that travel inside finished files which are no pictures: videos, sounds and saved latents.

Each kind has one function that puts texts in, in place of those of the same keys, without touching what is encoded, and
one that reads them back; `graphflow.pictures` calls them by media type. Equal arguments give equal bytes.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from graphflow.errors import UnsupportedFile

Texts = Mapping[str, str]


# --- safetensors: https://github.com/huggingface/safetensors ---------------------------------------------------------


def _safetensors_header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header and where the tensors begin. Raises `ValueError` for another kind of file."""
    size = int.from_bytes(data[:8], "little")
    if size > len(data) - 8:
        raise ValueError("the header is longer than the file")
    header = json.loads(data[8 : 8 + size])
    if not isinstance(header, dict):
        raise ValueError("the header is no table")
    return header, 8 + size


def embed_safetensors(data: bytes, texts: Texts) -> bytes:
    """Texts as the header's metadata, where ComfyUI's latents have them."""
    try:
        header, start = _safetensors_header(data)
    except ValueError as error:
        raise UnsupportedFile(f"this is no complete safetensors file: {error}") from error
    header["__metadata__"] = {**header.get("__metadata__", {}), **texts}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def safetensors_texts(data: bytes) -> dict[str, str]:
    """The header's metadata."""
    header, _ = _safetensors_header(data)
    return {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}


# --- FLAC: RFC 9639; Vorbis comments ---------------------------------------------------------------------------------

_FLAC, _COMMENTS = b"fLaC", 4


class _Block(NamedTuple):
    kind: int
    data: bytes


def _flac_blocks(data: bytes) -> tuple[list[_Block], int]:
    """The metadata blocks and where the sound begins."""
    at, blocks, last = 4, [], False
    while not last:
        if at + 4 > len(data):
            raise ValueError("the metadata is cut short")
        last, kind = bool(data[at] & 0x80), data[at] & 0x7F
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        blocks.append(_Block(kind, data[at + 4 : at + 4 + size]))
        at += 4 + size
    return blocks, at


def _comments(block: bytes) -> tuple[bytes, list[str]]:
    """The name of the program that wrote it, and the comments `KEY=value`."""
    size = int.from_bytes(block[:4], "little")
    vendor, at = block[4 : 4 + size], 8 + size
    found = []
    for _ in range(int.from_bytes(block[at - 4 : at], "little")):
        if at + 4 > len(block):
            raise ValueError("the comments are cut short")
        length = int.from_bytes(block[at : at + 4], "little")
        found.append(block[at + 4 : at + 4 + length].decode("utf-8", "replace"))
        at += 4 + length
    return vendor, found


def embed_flac(data: bytes, texts: Texts) -> bytes:
    """Texts as Vorbis comments."""
    if not data.startswith(_FLAC):
        raise UnsupportedFile("this is no complete FLAC file")
    blocks, start = _flac_blocks(data)
    old = next((block.data for block in blocks if block.kind == _COMMENTS), bytes(8))
    vendor, comments = _comments(old)
    kept = [comment for comment in comments if comment.partition("=")[0].lower() not in texts]
    lines = [comment.encode() for comment in [*kept, *(f"{key}={text}" for key, text in texts.items())]]
    body = b"".join(len(part).to_bytes(4, "little") + part for part in lines)
    new = len(vendor).to_bytes(4, "little") + vendor + len(lines).to_bytes(4, "little") + body
    if len(new) >= 2**24:
        raise ValueError("the texts are too long for a FLAC file, which holds 16 MiB of them")
    others = [block for block in blocks if block.kind != _COMMENTS]
    written = [*others[:1], _Block(_COMMENTS, new), *others[1:]]  # the stream's own description stays first
    parts = [_FLAC]
    for i, block in enumerate(written):
        kind = block.kind | (0x80 if i == len(written) - 1 else 0)
        parts.append(bytes([kind]) + len(block.data).to_bytes(3, "big") + block.data)
    return b"".join([*parts, data[start:]])


def flac_texts(data: bytes) -> dict[str, str]:
    """The Vorbis comments by key, in small letters."""
    blocks, _ = _flac_blocks(data)
    found: dict[str, str] = {}
    for block in blocks:
        if block.kind == _COMMENTS:
            found |= {key.lower(): text for key, _, text in (c.partition("=") for c in _comments(block.data)[1])}
    return found


# --- MP3: ID3v2.4, https://id3.org/id3v2.4.0-structure ---------------------------------------------------------------


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _id3_frames(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Frames by name, and where the sound begins."""
    if not data.startswith(b"ID3") or data[3] != 4:
        return [], 0
    end = 10 + _unsyncsafe(data[6:10])
    at, frames = 10, []
    while at + 10 <= end and data[at]:
        size = _unsyncsafe(data[at + 4 : at + 8])
        frames.append((data[at : at + 4], data[at + 10 : at + 10 + size]))
        at += 10 + size
    return frames, end


def _unsyncsafe(data: bytes) -> int:
    return sum(byte << shift for byte, shift in zip(data, (21, 14, 7, 0), strict=True))


def embed_mp3(data: bytes, texts: Texts) -> bytes:
    """Texts as the user's own text frames, in UTF-8."""
    frames, start = _id3_frames(data)
    kept = [(name, body) for name, body in frames if _user_text(name, body)[0] not in texts]
    new = [(b"TXXX", b"\x03" + key.encode() + b"\0" + text.encode()) for key, text in texts.items()]
    tag = b"".join(name + _syncsafe(len(body)) + b"\0\0" + body for name, body in [*kept, *new])
    if len(tag) >= 2**28:
        raise ValueError("the texts are too long for an MP3 file, which holds 256 MiB of them")
    return b"ID3\x04\x00\x00" + _syncsafe(len(tag)) + tag + data[start:]


def _user_text(name: bytes, body: bytes) -> tuple[str, str]:
    if name != b"TXXX" or body[:1] not in (b"\x00", b"\x03"):
        return "", ""
    key, _, text = body[1:].decode("utf-8" if body[0] == 3 else "latin-1", "replace").partition("\0")
    return key.lower(), text.rstrip("\0")


def mp3_texts(data: bytes) -> dict[str, str]:
    """The user's own text frames."""
    found = dict(_user_text(name, body) for name, body in _id3_frames(data)[0])
    found.pop("", None)
    return found


# --- MP4: ISO/IEC 14496-12, with QuickTime's keyed metadata in moov/udta/meta ----------------------------------------


class _Box(NamedTuple):
    kind: bytes
    body: bytes
    start: int
    end: int


def _boxes(data: bytes) -> Iterator[_Box]:
    at = 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if size == 0 else at + size
        if end < at + head or end > len(data):
            raise ValueError("a box is longer than the file")
        yield _Box(data[at + 4 : at + 8], data[at + head : end], at, end)
        at = end


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _child(boxes: Iterable[_Box], kind: bytes) -> bytes | None:
    return next((box.body for box in boxes if box.kind == kind), None)


def embed_mp4(data: bytes, texts: Texts) -> bytes:
    """Texts as keyed metadata. A file that describes itself before its data comes back unchanged."""
    try:
        boxes = list(_boxes(data))
        moov = boxes[-1]
        inner = list(_boxes(moov.body)) if moov.kind == b"moov" else []
    except (ValueError, IndexError) as error:
        raise UnsupportedFile(f"this is no complete MP4 file: {error or 'it is empty'}") from error
    if not inner:
        return data
    both = {**_keyed(moov.body), **texts}
    udta = _child(inner, b"udta")
    others = [udta[box.start : box.end] for box in _boxes(udta)] if udta else []
    others = [box for box in others if box[4:8] != b"meta"]
    kept = [moov.body[box.start : box.end] for box in inner if box.kind != b"udta"]
    return data[: moov.start] + _box(b"moov", *kept, _box(b"udta", *others, _meta(both)))


def _meta(texts: Texts) -> bytes:
    """`meta` with a table of keys and, by their numbers, the texts."""
    handler = _box(b"hdlr", bytes(8), b"mdta", bytes(13))
    names = [struct.pack(">I4s", len(key.encode()) + 8, b"mdta") + key.encode() for key in texts]
    keys = _box(b"keys", bytes(4), struct.pack(">I", len(names)), *names)
    utf8 = struct.pack(">II", 1, 0)
    items = [_box(struct.pack(">I", i + 1), _box(b"data", utf8, t.encode())) for i, t in enumerate(texts.values())]
    return _box(b"meta", bytes(4), handler, keys, _box(b"ilst", *items))


def _keyed(moov: bytes) -> dict[str, str]:
    """The keyed texts of `moov`, in `udta` or beside it."""
    inner = list(_boxes(moov))
    udta = _child(inner, b"udta")
    meta = (_child(_boxes(udta), b"meta") if udta else None) or _child(inner, b"meta")
    if not meta:
        return {}
    fields = list(_boxes(meta if meta[4:8] == b"hdlr" else meta[4:]))
    keys, items = _child(fields, b"keys"), _child(fields, b"ilst")
    if not keys or not items:
        return {}
    names = [box.body.decode("utf-8", "replace") for box in _boxes(keys[8:])]
    found = {}
    for item in _boxes(items):
        value, place = _child(_boxes(item.body), b"data"), int.from_bytes(item.kind, "big") - 1
        if value is not None and 0 <= place < len(names):
            found[names[place]] = value[8:].decode("utf-8", "replace")
    return found


def mp4_texts(data: bytes) -> dict[str, str]:
    """The keyed metadata."""
    moov = _child(_boxes(data), b"moov")
    return _keyed(moov) if moov else {}


# --- WebM: RFC 8794 (EBML), RFC 9559 (Matroska) ----------------------------------------------------------------------

_EBML, _SEGMENT, _TAGS, _TAG = 0x1A45DFA3, 0x18538067, 0x1254C367, 0x7373
_TARGETS, _SIMPLE, _NAME, _STRING = 0x63C0, 0x67C8, 0x45A3, 0x4487


class _Element(NamedTuple):
    id: int
    start: int
    body: int
    """Where its content begins."""
    end: int


def _elements(data: bytes, at: int, end: int) -> Iterator[_Element]:
    while at < end:
        id, id_length = _vint(data, at, keep_marker=True)
        size, size_length = _vint(data, at + id_length)
        body = at + id_length + size_length
        unknown = size == (1 << 7 * size_length) - 1
        stop = end if unknown else body + size
        if stop > end:
            raise ValueError("an element is longer than the file")
        yield _Element(id, at, body, stop)
        at = stop


def _vint(data: bytes, at: int, *, keep_marker: bool = False) -> tuple[int, int]:
    """A number of variable length, and its length."""
    first = data[at]
    length = 9 - first.bit_length()
    if length > 8:
        raise ValueError("a number is damaged")
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & (1 << 7 * length) - 1), length


def _segment(data: bytes) -> _Element:
    found = [element for element in _elements(data, 0, len(data)) if element.id == _SEGMENT]
    if not data.startswith(_EBML.to_bytes(4, "big")) or not found:
        raise ValueError("it has no segment")
    return found[0]


def embed_webm(data: bytes, texts: Texts) -> bytes:
    """Texts as tags of the whole file, before its frames, where players look for them; packets are copied."""
    import av  # large, and needed for this kind of file alone

    out = io.BytesIO()
    try:
        both = {**webm_texts(data), **texts}
        with (
            av.open(io.BytesIO(data), "r") as source,
            av.open(out, "w", format="webm", options={"fflags": "+bitexact"}) as target,
        ):
            target.metadata.update(both)
            streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
            before: dict[int, int] = {}
            for packet in source.demux():
                if packet.dts is None:  # the empty one at the end of each stream
                    continue
                index = packet.stream.index
                if not packet.duration:  # where the file does not say, as long as the one before: also the last one
                    packet.duration = packet.dts - before.get(index, packet.dts)
                before[index] = packet.dts
                packet.stream = streams[index]
                target.mux(packet)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise UnsupportedFile(f"this is no complete WebM file: {error}") from error
    return out.getvalue()


def _tags(data: bytes, tags: _Element) -> dict[str, str]:
    found = {}
    for tag in _elements(data, tags.body, tags.end):
        fields = list(_elements(data, tag.body, tag.end))
        if any(field.id == _TARGETS and b"\x63\xc5" in data[field.body : field.end] for field in fields):
            continue  # of one track
        for simple in (field for field in fields if field.id == _SIMPLE):
            parts = {part.id: data[part.body : part.end] for part in _elements(data, simple.body, simple.end)}
            found[parts[_NAME].decode().lower()] = parts.get(_STRING, b"").decode("utf-8", "replace")
    return found


def webm_texts(data: bytes) -> dict[str, str]:
    """The tags of the whole file by name, in small letters."""
    segment = _segment(data)
    found: dict[str, str] = {}
    for element in _elements(data, segment.body, segment.end):
        if element.id == _TAGS:
            found |= _tags(data, element)
    return found


# --- by their first bytes --------------------------------------------------------------------------------------------

_READERS: tuple[tuple[int, bytes, Callable[[bytes], dict[str, str]]], ...] = (
    (4, b"ftyp", mp4_texts),
    (0, b"\x1aE\xdf\xa3", webm_texts),
    (0, b"fLaC", flac_texts),
    (0, b"ID3", mp3_texts),
)
"""Where in a file, which bytes, and what reads its texts."""


def reader_of(data: bytes) -> Callable[[bytes], dict[str, str]] | None:
    """What reads the texts of a file that begins so; None for another kind of file."""
    if data.startswith(b"{", 8) and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return safetensors_texts
    return next((read for at, start, read in _READERS if data.startswith(start, at)), None)

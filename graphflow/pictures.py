"""Pictures as files: opening untrusted ones, their size, thumbnails, and the texts that travel inside them.

Nothing here imports torch: the server opens uploads and puts the workflow into finished files with it. Every function
that reads takes bytes or a path, and raises `UnsupportedFile` for what is damaged or no picture and `TooLarge` for
what would not fit, before its pixels are decoded.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import PIL.Image
import PIL.ImageOps
import PIL.ImageSequence

from graphflow import containers
from graphflow.errors import TooLarge, UnsupportedFile

PIXEL_LIMIT = 2 * 89_478_485
"""Pixels of all frames together that are decoded unless told otherwise; Pillow refuses a larger frame on its own."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What is opened; some of Pillow's others start programs. A JPEG that holds several views opens as MPO."""

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "PPM": "image/x-portable-anymap",
    "AVIF": "image/avif",
}


@dataclass(frozen=True)
class Info:
    """What a picture's header says."""

    format: str
    """Pillow's name for it."""
    media_type: str
    width: int
    """As shown: after the turn that its EXIF orientation asks for."""
    height: int
    frames: int


# --- opening ---------------------------------------------------------------------------------------------------------


def info(source: bytes | Path, *, limit: int = PIXEL_LIMIT) -> Info:
    """Format, size and number of frames, from the header where the format has it there."""
    with opened(source, limit=limit) as picture:
        width, height = picture.size
        if picture.getexif().get(_ORIENTATION, 1) >= 5:  # turned by a quarter
            width, height = height, width
        format = picture.format or ""
        return Info(format, MEDIA_TYPES[format], width, height, getattr(picture, "n_frames", 1))


@contextmanager
def opened(source: bytes | Path, *, limit: int = PIXEL_LIMIT) -> Iterator[PIL.Image.Image]:
    """The picture with its header read; whatever fails while it is used is told as `UnsupportedFile`."""
    name = source.name if isinstance(source, Path) else "the picture"
    PIL.Image.init()
    known = [format for format in FORMATS if format in PIL.Image.OPEN]  # Pillow may be built without some
    try:
        with PIL.Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=known) as picture:
            _check(picture.width * picture.height, limit, f"{name} has {picture.width} × {picture.height} pixels")
            yield picture
    except (TooLarge, UnsupportedFile):
        raise
    except FileNotFoundError as error:
        raise UnsupportedFile(f"{name} is gone; upload it again") from error
    except PIL.Image.DecompressionBombError as error:
        raise TooLarge(f"{name} has more pixels than are safe to decode; send a smaller one") from error
    except PIL.UnidentifiedImageError as error:
        raise UnsupportedFile(f"{name} is no picture of a known format; known are {', '.join(known)}") from error
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        raise UnsupportedFile(f"{name} is damaged or cut short ({error}); save it again or choose another") from error


def read(source: bytes | Path, *, limit: int = PIXEL_LIMIT) -> list[PIL.Image.Image]:
    """The frames as they are meant to be seen, decoded: turned as EXIF says, all of the first one's size.

    Frames of another size are left out, as are the further pictures of an MPO, which are other views of the first.
    Modes are the file's own, except that integer greys of more than 8 bits are brought to 8.
    """
    with opened(source, limit=limit) as picture:
        count = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        _check(
            picture.width * picture.height * count,
            limit,
            f"the picture has {count} frames of {picture.width} × {picture.height} pixels",
        )
        frames = PIL.ImageSequence.Iterator(picture) if count > 1 else [picture]
        seen = [_upright(frame) for frame in frames]
        return [frame for frame in seen if frame.size == seen[0].size]


def thumbnail(source: bytes | Path, size: int = 256, *, limit: int = PIXEL_LIMIT) -> bytes:
    """The first frame as WebP, upright, no side longer than `size`, never enlarged."""
    with opened(source, limit=limit) as picture:
        picture.draft("RGB", (2 * size, 2 * size))  # JPEG decodes straight to a smaller size
        small = _upright(picture)
        small = small.convert("RGBA" if small.has_transparency_data else "RGB")
        small.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "WEBP", quality=80, method=2)
        return out.getvalue()


def _check(pixels: int, limit: int, what: str) -> None:
    if pixels > limit:
        raise TooLarge(f"{what}, {pixels:,} in all; at most {limit:,} are decoded. Send a smaller one")


def _upright(frame: PIL.Image.Image) -> PIL.Image.Image:
    turned = PIL.ImageOps.exif_transpose(frame)
    if turned.mode == "I" or turned.mode.startswith("I;16"):
        turned = turned.convert("I").point(lambda i: i * (1 / 255)).convert("L")
    return turned.copy() if turned is frame else turned


# --- texts inside files ----------------------------------------------------------------------------------------------

_ORIENTATION = 0x0112
_EXIF_PART, _USER_COMMENT = 0x8769, 0x9286
_TAGS = (0x0110, 0x010F, 0x010E, 0x010D, 0x0131, 0x013B, 0x013C)
"""EXIF tags that hold text, in the order in which they are used: Model first, where readers look for `prompt`."""
_TEXT_LIMIT = 64 * 2**20
"""Bytes that one compressed text may grow to."""
_KEY = re.compile(r"[A-Za-z][\w-]{0,78}")


def embed(data: bytes, media_type: str, texts: Mapping[str, str]) -> bytes:
    """The finished file with these texts in it, in place of those of the same keys; nothing is encoded anew.

    PNG takes them as `tEXt` or `iTXt` chunks, WebP and JPEG as EXIF texts `key:value`, videos, sounds, latents and
    models as `graphflow.containers` says; of latents and models, the header alone will do. A file of another type comes back unchanged: it has no place for them. Equal arguments
    give equal bytes.
    """
    for key in texts:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot be the key of a text in a picture: letters, digits, _ and - fit")
    writer = _WRITERS.get(media_type)
    return writer(data, texts) if writer and texts else data


def texts(data: bytes) -> dict[str, str]:
    """The texts inside a finished file by key: `graphflow`, `workflow`, `prompt`, `parameters` and whatever else.

    Of PNG, WebP, JPEG, MP4, WebM, FLAC, MP3 and safetensors; another kind, or a damaged file, has none that can be read.
    """
    try:
        if read := containers.reader_of(data):
            return read(data)
        if data.startswith(_PNG):
            return dict(_png_texts(data))
        if _is_webp(data):
            return _exif_texts(b"".join(c.data for c in _riff_chunks(data) if c.kind == b"EXIF"))
        if data.startswith(b"\xff\xd8"):
            return _jpeg_texts(data)
    except (
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        RecursionError,
        struct.error,
        zlib.error,
        OSError,
        SyntaxError,
    ):
        return {}
    return {}


class _Chunk(NamedTuple):
    """A part of a file: PNG's and RIFF's chunks, JPEG's segments."""

    kind: bytes
    data: bytes
    start: int
    """Where it begins in the file, its header included."""
    end: int


# PNG: https://www.w3.org/TR/png-3/

_PNG = b"\x89PNG\r\n\x1a\n"


def _png_chunks(data: bytes) -> Iterator[_Chunk]:
    at = len(_PNG)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield _Chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size], at, at + size + 12)
        at += size + 12


def _png_text(key: str, text: str) -> bytes:
    if text.isascii():  # the kind that every reader knows
        kind, body = b"tEXt", key.encode("latin-1") + b"\0" + text.encode("ascii")
    else:
        kind, body = b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8")
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _embed_png(data: bytes, texts: Mapping[str, str]) -> bytes:
    chunks = list(_png_chunks(data))
    if not data.startswith(_PNG) or not any(chunk.kind == b"IDAT" for chunk in chunks):
        raise UnsupportedFile("this is no complete PNG file")
    parts, written = [_PNG], False
    for chunk in chunks:
        if chunk.kind == b"IDAT" and not written:
            parts += [_png_text(key, text) for key, text in texts.items()]
            written = True
        if chunk.kind in (b"tEXt", b"iTXt", b"zTXt") and chunk.data.split(b"\0", 1)[0].decode("latin-1") in texts:
            continue
        parts.append(data[chunk.start : chunk.end])
    return b"".join(parts)


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    for chunk in _png_chunks(data):
        if chunk.kind not in (b"tEXt", b"iTXt", b"zTXt", b"comf"):
            continue
        raw_key, _, body = chunk.data.partition(b"\0")
        key = raw_key.decode("latin-1")
        if chunk.kind == b"zTXt":
            yield key, _inflate(body[1:]).decode("latin-1")
        elif chunk.kind == b"iTXt":
            text = body[2:].split(b"\0", 2)[2]
            yield key, (_inflate(text) if body[:1] == b"\1" else text).decode("utf-8", "replace")
        else:
            yield key, _decoded(body)


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, _TEXT_LIMIT)
    if inflater.unconsumed_tail:
        raise ValueError("a compressed text is larger than is safe")
    return text


def _decoded(data: bytes) -> str:
    """UTF-8, or else Latin-1, whichever the writer meant."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


# WebP: https://developers.google.com/speed/webp/docs/riff_container


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _riff_chunks(data: bytes) -> Iterator[_Chunk]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + (size & 1)
        yield _Chunk(data[at : at + 4], data[at + 8 : at + 8 + size], at, end)
        at = end


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) & 1)


def _embed_webp(data: bytes, texts: Mapping[str, str]) -> bytes:
    chunks = list(_riff_chunks(data))
    if not _is_webp(data) or not any(chunk.kind in (b"VP8 ", b"VP8L", b"ANMF") for chunk in chunks):
        raise UnsupportedFile("this is no complete WebP file")
    first = chunks[0]
    header = bytearray(first.data if first.kind == b"VP8X" else _webp_header(first))
    header[0] |= 0x08  # EXIF is there
    exif = _exif_with(b"".join(c.data for c in chunks if c.kind == b"EXIF"), texts)
    parts = [_riff_chunk(b"VP8X", bytes(header))]
    parts += [_riff_chunk(c.kind, c.data) for c in chunks if c.kind not in (b"VP8X", b"EXIF", b"XMP ")]
    parts += [_riff_chunk(b"EXIF", exif)]
    parts += [_riff_chunk(c.kind, c.data) for c in chunks if c.kind == b"XMP "]
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _webp_header(image: _Chunk) -> bytes:
    """The extended header that a simple file lacks: flags and size less one."""
    if image.kind == b"VP8L":
        bits = int.from_bytes(image.data[1:5], "little")
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bool(bits >> 28 & 1)
    else:
        width, height = (size & 0x3FFF for size in struct.unpack("<HH", image.data[6:10]))
        width, height, alpha = width - 1, height - 1, False
    return bytes([0x10 * alpha, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little")


# JPEG: ITU-T T.81, annex B; EXIF in APP1

_EXIF_START = b"Exif\0\0"
_SEGMENT = 65_533
"""Bytes that fit into one segment."""
_PART = re.compile(rb"([\w-]+)\0(\d+)/(\d+)\0(.*)", re.DOTALL)
"""A piece of a text that is too long for EXIF, in a COM segment: key, which, of how many, piece."""


def _jpeg_segments(data: bytes) -> Iterator[_Chunk]:
    """Those before the picture's own data."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        yield _Chunk(data[at + 1 : at + 2], data[at + 4 : at + 2 + size], at, at + 2 + size)
        at += 2 + size


def _jpeg_segment(kind: int, body: bytes) -> bytes:
    return bytes([0xFF, kind]) + (len(body) + 2).to_bytes(2, "big") + body


def _embed_jpeg(data: bytes, texts: Mapping[str, str]) -> bytes:
    segments = list(_jpeg_segments(data))
    if not data.startswith(b"\xff\xd8") or not segments:
        raise UnsupportedFile("this is no complete JPEG file")
    old = next((s.data[6:] for s in segments if s.kind == b"\xe1" and s.data.startswith(_EXIF_START)), b"")
    exif = _EXIF_START + _exif_with(old, texts)
    if len(exif) <= _SEGMENT:
        new = _jpeg_segment(0xE1, exif)
    else:
        plain = [_jpeg_segment(0xE1, _EXIF_START + _exif_with(old, dict.fromkeys(texts, "")))] if old else []
        new = b"".join([*plain, *_jpeg_comments(texts)])
    kept = [data[s.start : s.end] for s in segments if not _is_ours(s, texts)]
    jfif = 1 if segments[0].kind == b"\xe0" else 0  # the JFIF segment must stay first
    return b"".join([b"\xff\xd8", *kept[:jfif], new, *kept[jfif:], data[segments[-1].end :]])


def _is_ours(segment: _Chunk, texts: Mapping[str, str]) -> bool:
    if segment.kind == b"\xe1":
        return segment.data.startswith(_EXIF_START)
    part = _PART.fullmatch(segment.data) if segment.kind == b"\xfe" else None
    return part is not None and part[1].decode() in texts


def _jpeg_comments(texts: Mapping[str, str]) -> Iterator[bytes]:
    room = _SEGMENT - 120  # for the key and the numbers
    for key, text in texts.items():
        raw = text.encode("utf-8")
        pieces = [raw[at : at + room] for at in range(0, len(raw), room)] or [b""]
        for i, piece in enumerate(pieces):
            yield _jpeg_segment(0xFE, f"{key}\0{i + 1}/{len(pieces)}\0".encode() + piece)


def _jpeg_texts(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    parts: dict[str, dict[int, bytes]] = {}
    for segment in _jpeg_segments(data):
        if segment.kind == b"\xe1" and segment.data.startswith(_EXIF_START):
            found |= _exif_texts(segment.data[6:])
        elif segment.kind == b"\xfe" and (part := _PART.fullmatch(segment.data)):
            parts.setdefault(part[1].decode(), {})[int(part[2])] = part[4]
    return found | {key: _decoded(b"".join(pieces[i] for i in sorted(pieces))) for key, pieces in parts.items()}


# EXIF texts `key:value`, as ComfyUI's WebP files have them


def _exif(data: bytes) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    if data:
        exif.load(data)
    return exif


def _exif_with(old: bytes, texts: Mapping[str, str]) -> bytes:
    """EXIF data with these texts beside what was there; an empty text takes its key out."""
    exif = _exif(old)
    for tag, text in list(exif.items()):
        if tag in _TAGS and str(text).partition(":")[0] in texts:
            del exif[tag]
    free = [tag for tag in _TAGS if tag not in exif]
    wanted = sorted((key for key in texts if texts[key]), key=lambda key: key != "prompt")
    if len(wanted) > len(free):
        raise ValueError(f"{len(wanted)} texts do not fit beside the picture's own; there is room for {len(free)}")
    for tag, key in zip(free if "prompt" in texts else free[1:] + free[:1], wanted, strict=False):
        exif[tag] = f"{key}:{texts[key]}".encode()
    return bytes(exif.tobytes()).removeprefix(_EXIF_START)


def _exif_texts(data: bytes) -> dict[str, str]:
    exif = _exif(data.removeprefix(_EXIF_START))
    found = {}
    for tag, value in exif.items():
        key, colon, text = str(value).partition(":")
        if tag in _TAGS and colon and _KEY.fullmatch(key):
            name = key.lower() if key in ("Prompt", "Workflow") else key
            found[name] = _decoded(text.encode("latin-1", "replace"))
    comment = exif.get_ifd(_EXIF_PART).get(_USER_COMMENT)
    if isinstance(comment, bytes) and comment.startswith((b"UNICODE\0", b"ASCII\0\0\0")):
        # how A1111 writes its parameters into JPEG and WebP
        coding = "utf-16-be" if comment.startswith(b"UNICODE") else "utf-8"
        found.setdefault("parameters", comment[8:].decode(coding, "replace"))
    return found


_WRITERS: Mapping[str, Callable[[bytes, Mapping[str, str]], bytes]] = {
    "image/png": _embed_png,
    "image/apng": _embed_png,
    "image/webp": _embed_webp,
    "image/jpeg": _embed_jpeg,
    "video/mp4": containers.embed_mp4,
    "video/webm": containers.embed_webm,
    "audio/flac": containers.embed_flac,
    "audio/mpeg": containers.embed_mp3,
    "application/x-latent": containers.embed_safetensors,
    "application/x-safetensors": containers.embed_safetensors,
}


def media_types() -> Iterable[str]:
    """The types of file that `embed` can put texts into."""
    return _WRITERS.keys()

"""Routes for files: results and uploads by name, and the headers of model files."""

from __future__ import annotations

import asyncio
import io
import json
import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from aiohttp import BodyPartReader, web

from graphflow.assets import KINDS, Kind, safe_name
from graphflow.comfy.call import Door, answer, door_of
from graphflow.errors import BadRequest, Forbidden, GraphflowError, NotFound, TooLarge, UnsupportedFile
from graphflow.server.assets import INLINE

_ANNOTATED = re.compile(r"(?P<name>.*) \[(?P<kind>output|input|temp)\]", re.DOTALL)
HEADER_LIMIT = 2**20
"""Bytes of a safetensors header that are read."""


# --- looking ---------------------------------------------------------------------------------------------------------


async def view(request: web.Request) -> web.StreamResponse:
    """A file of the folders `output`, `input`, `temp`; `preview` and `channel` have it encoded anew."""
    query = request.query
    filename = query.get("filename")
    if filename is None:
        raise NotFound("say which file: ?filename=")
    path = locate(door_of(request), filename, query.get("subfolder", ""), query.get("type", "output"))
    channel, preview = query.get("channel", ""), query.get("preview", "")
    headers = {"Content-Disposition": f'filename="{_ascii(path.name)}"', "Content-Security-Policy": "sandbox"}
    if preview:
        body, kind = await asyncio.to_thread(_preview, path, preview, channel)
        return web.Response(body=body, content_type=kind, headers=headers)
    if channel in ("rgb", "a"):
        body = await asyncio.to_thread(_channel, path, channel)
        return web.Response(body=body, content_type="image/png", headers=headers)
    return web.FileResponse(path, headers={**headers, "Content-Type": _safe_type(path)})


def locate(door: Door, filename: str, subfolder: str, kind: str) -> Path:
    """Where a named file lies. Raises `BadRequest`, `Forbidden` or `NotFound`."""
    if annotated := _ANNOTATED.fullmatch(filename):
        filename, kind = annotated["name"], annotated["kind"]
    if not filename or filename.startswith("/") or ".." in filename or "\0" in filename + subfolder:
        raise BadRequest(f"{filename!r} is no name of a file")
    if kind not in KINDS:
        raise BadRequest(f"{kind!r} is none of output, input, temp")
    root = door.service.assets.folder(kind).resolve()
    folder = (root / subfolder.replace("\\", "/")).resolve()
    if not folder.is_relative_to(root):
        raise Forbidden(f"{subfolder!r} lies outside the folder")
    path = folder / PurePosixPath(filename.replace("\\", "/")).name
    if not path.is_file() or not path.resolve().is_relative_to(root):
        raise NotFound(f"there is no file {filename!r} in {kind}")
    return path


def _safe_type(path: Path) -> str:
    """A type that no browser runs."""
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return guessed if guessed in INLINE or guessed.startswith("model/") else "application/octet-stream"


def _ascii(name: str) -> str:
    return re.sub(r'[^\x20-\x7e]|["\\]', "_", name)


def _preview(path: Path, wanted: str, channel: str) -> tuple[bytes, str]:
    from graphflow import pictures

    format, _, quality = wanted.partition(";")
    digits = int(quality) if quality.isdecimal() else 90
    format = format if format in ("webp", "jpeg") and "a" not in channel else "webp"
    out = io.BytesIO()
    with pictures.opened(path) as picture:
        flat = picture.convert("RGB") if format == "jpeg" or channel == "rgb" else picture
        flat.save(out, format, quality=min(max(digits, 1), 100))
    return out.getvalue(), f"image/{format}"


def _channel(path: Path, channel: str) -> bytes:
    import PIL.Image

    from graphflow import pictures

    out = io.BytesIO()
    with pictures.opened(path) as picture:
        picture.load()
        if channel == "rgb":
            shown = picture.convert("RGB")
        else:
            shown = PIL.Image.new("RGBA", picture.size, (0, 0, 0, 255))
            if picture.has_transparency_data:
                shown.putalpha(picture.convert("RGBA").getchannel("A"))
        shown.save(out, "PNG")
    return out.getvalue()


# --- uploads ---------------------------------------------------------------------------------------------------------


@dataclass
class _Form:
    """An upload's fields."""

    filename: str = ""
    data: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The folder it goes to."""
        kind = self.fields.get("type") or "input"
        if kind not in KINDS:
            raise BadRequest(f"type is {kind!r}; it must be input, temp or output")
        return kind

    @property
    def name(self) -> str:
        """Its name below that folder. Raises `BadRequest` for one that leaves it."""
        subfolder = self.fields.get("subfolder", "").strip("/")
        return safe_name(f"{subfolder}/{self.filename}" if subfolder else self.filename)

    @property
    def overwrite(self) -> bool:
        """Whether a file of that name is replaced."""
        return self.fields.get("overwrite", "").lower() in ("true", "1")


async def _read_form(request: web.Request, part_name: str = "image") -> _Form:
    if not request.content_type.startswith("multipart/"):
        raise BadRequest("send the file as multipart/form-data, in the part 'image'")
    limit = int(door_of(request).config.max_upload)
    form = _Form()
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            data = await _read_part(part, limit)
            if part.name == part_name and part.filename is not None:
                form.filename = safe_name(part.filename)
                form.data = data
            elif part.name:
                form.fields[part.name] = data.decode("utf-8", "replace")
    except (ValueError, AssertionError) as error:
        raise BadRequest(f"the form cannot be read: {error}") from error
    if not form.filename:
        raise BadRequest("the form has no file in its part 'image'")
    return form


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(2**16):
        data += chunk
        if len(data) > limit:
            raise TooLarge(f"{part.filename or part.name} has more than the {limit:,} bytes that are taken at most")
    return bytes(data)


async def upload_image(request: web.Request) -> web.Response:
    """Stores a user's file; one of the same name and other content gets a number."""
    form = await _read_form(request)
    return answer(await _stored(door_of(request), form.name, form.data, form.kind, overwrite=form.overwrite))


async def upload_mask(request: web.Request) -> web.Response:
    """Stores `original_ref` with the transparency of the uploaded picture."""
    form = await _read_form(request)
    door = door_of(request)
    try:
        original = json.loads(form.fields["original_ref"])
        name = str(original["filename"])
    except (KeyError, ValueError, TypeError) as error:
        raise BadRequest("original_ref must say which picture the mask is for: {'filename': ...}") from error
    kind, subfolder = str(original.get("type", "output")), str(original.get("subfolder", ""))
    path = locate(door, name, subfolder, kind)
    data = await asyncio.to_thread(_with_alpha_of, path, form.data)
    return answer(await _stored(door, form.name, data, form.kind, overwrite=form.overwrite))


def _with_alpha_of(original: Path, mask: bytes) -> bytes:
    from graphflow import pictures

    texts = pictures.texts(original.read_bytes())
    out = io.BytesIO()
    with pictures.opened(original) as picture, pictures.opened(mask) as masked:
        shown = picture.convert("RGBA")
        alpha = masked.convert("RGBA").getchannel("A")
        shown.putalpha(alpha if alpha.size == shown.size else alpha.resize(shown.size))
        shown.save(out, "PNG", compress_level=1)
    return pictures.embed(out.getvalue(), "image/png", texts)


async def _stored(door: Door, name: str, data: bytes, kind: Kind, *, overwrite: bool) -> dict[str, str]:
    try:
        asset = await door.service.upload(name, data, kind=kind, overwrite=overwrite)
    except UnsupportedFile as error:
        raise BadRequest(error.message) from error
    folder, _, filename = asset.name.rpartition("/")
    return {"name": filename, "subfolder": folder, "type": asset.kind}


# --- model files -----------------------------------------------------------------------------------------------------


async def view_metadata(request: web.Request) -> web.Response:
    """What a safetensors file says of itself."""
    name = request.query.get("filename", "")
    if not name.endswith(".safetensors"):
        raise NotFound("only .safetensors files have such a header")
    path = await asyncio.to_thread(model_path, door_of(request), request.match_info["folder"], name)
    metadata = await asyncio.to_thread(safetensors_metadata, path)
    if metadata is None:
        raise NotFound(f"{name} says nothing of itself")
    return answer(metadata)


def model_path(door: Door, folder: str, name: str) -> Path:
    """A model file by its name. Raises `NotFound`."""
    for found in door.service.models.listing(folder):
        if found.name == name:
            return found.path
    raise NotFound(f"there is no {name!r} in {folder}")


def safetensors_metadata(path: Path) -> dict[str, Any] | None:
    """The `__metadata__` in a file's header; None without one, or when the header is too long to read."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size <= HEADER_LIMIT:
                return None
            metadata = json.loads(file.read(size)).get("__metadata__")
    except (OSError, ValueError, AttributeError, GraphflowError):
        return None
    return metadata if isinstance(metadata, dict) else None

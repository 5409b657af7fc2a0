"""Files: uploads, results, thumbnails, and the workflows inside them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import PurePosixPath
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from graphflow.assets import Asset
from graphflow.errors import BadRequest, TooLarge
from graphflow.server import schemas
from graphflow.server.call import Call, Nothing, read_raw
from graphflow.workflow import Converted, canonical

INLINE = frozenset(
    {
        "image/png", "image/apng", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp",
        "video/mp4", "video/webm", "audio/flac", "audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav", "text/plain",
    }
)  # fmt: skip
"""What a browser may show. Everything else is a download of bytes: it could be a page with a script."""
ETAG = web.RequestKey("etag", str)
"""The ETag that the response shall have, whatever aiohttp thinks."""


async def list_assets(call: Call[schemas.AssetsQuery, Nothing]) -> schemas.AssetsAnswer:
    """Files, newest first; `before` is the id of the last one that you have."""
    query = call.query
    found = await call.service.assets.page(query.kind, limit=query.limit, before=query.before, job=query.job)
    return schemas.AssetsAnswer(assets=found)


async def upload_asset(call: Call[schemas.UploadQuery, Nothing]) -> Asset:
    """Stores a file: its bytes as the body with `?name=`, or a form with a file in it.

    A name that is taken by another file gets a number; the same bytes are stored once.
    """
    query, request = call.query, call.request
    if request.content_type.startswith("multipart/"):
        name, data = await _file_of_form(request, call.config.max_upload)
        name = query.name or name
    else:
        name, data = query.name, await read_raw(request, call.config.max_upload)
    if not name:
        raise BadRequest("say what the file is called: ?name=cat.png")
    return await call.service.upload(name, data, kind=query.kind, overwrite=query.overwrite)


async def _file_of_form(request: web.Request, limit: int) -> tuple[str, bytes]:
    """The first file of a form. Raises `BadRequest` when there is none."""
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.filename:
                data = bytearray()
                while chunk := await part.read_chunk(2**16):
                    data += chunk
                    if len(data) > limit:
                        raise TooLarge(f"{part.filename} has more than the {limit:,} bytes that are taken at most")
                return PurePosixPath(part.filename.replace("\\", "/")).name, bytes(data)
    except (ValueError, AssertionError) as error:
        raise BadRequest(f"the form cannot be read: {error}") from error
    raise BadRequest("the form holds no file: send it as a part with a file name")


async def get_asset(call: Call[Nothing, Nothing]) -> web.StreamResponse:
    """A file's bytes; they never change under an id."""
    asset = await call.service.assets.get(call.part("id"))
    etag = f'"{asset.id}"'
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "ETag": etag}
    if etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    response = web.FileResponse(call.service.assets.path(asset), headers=headers | content_headers(asset))
    call.request[ETAG] = etag
    return response


def content_headers(asset: Asset) -> dict[str, str]:
    """Type and disposition of a file, so that no browser runs what is in it."""
    plain = asset.media_type.split(";")[0].strip().lower()
    shown = plain in INLINE
    name = PurePosixPath(asset.name).name
    ascii_name = re.sub(r'[^\x20-\x7e]|["\\]', "_", name)
    disposition = f"{'inline' if shown else 'attachment'}; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}"
    media_type = "text/plain; charset=utf-8" if plain == "text/plain" else plain
    return {
        "Content-Type": media_type if shown else "application/octet-stream",
        "Content-Disposition": disposition,
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


async def get_thumbnail(call: Call[schemas.ThumbnailQuery, Nothing]) -> web.StreamResponse:
    """A picture's small WebP."""
    asset = await call.service.assets.get(call.part("id"))
    path = await call.service.assets.thumbnail(asset, call.query.size)
    headers = {"Content-Type": "image/webp", "Cache-Control": "private, max-age=31536000, immutable"}
    call.request[ETAG] = f'"{asset.id}-{call.query.size}"'
    return web.FileResponse(path, headers=headers)


async def get_asset_workflow(call: Call[Nothing, Nothing]) -> schemas.ConvertedAnswer:
    """The workflow that a picture, a video or a sound carries, in our format."""
    asset = await call.service.assets.get(call.part("id"))
    if asset.size > call.config.max_upload:
        raise TooLarge(f"{asset.name} has {asset.size:,} bytes; at most {call.config.max_upload:,} are looked through")
    path = call.service.assets.path(asset)
    data = await asyncio.to_thread(path.read_bytes)
    return _converted(await call.service.open(data))


async def convert_workflow(call: Call[Nothing, Nothing]) -> schemas.ConvertedAnswer:
    """The workflow in any file: JSON of any program that is understood, or a picture that carries one."""
    data = await read_raw(call.request, call.config.max_upload)
    return _converted(await call.service.open(data))


def _converted(found: Converted) -> schemas.ConvertedAnswer:
    return schemas.ConvertedAnswer(workflow=json.loads(canonical(found.workflow)), notes=list(found.notes))

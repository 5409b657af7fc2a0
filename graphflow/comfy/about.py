"""Routes that say what there is: nodes, models, the system, users and their files."""

from __future__ import annotations

import asyncio
import base64
import json
import platform
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from graphflow.assets import KINDS
from graphflow.comfy.call import answer, door_of, is_true, read_json, read_object
from graphflow.comfy.files import safetensors_metadata
from graphflow.comfy.object_info import node_info, object_info
from graphflow.comfy.socket import features
from graphflow.errors import BadRequest, Forbidden
from graphflow.files import FOLDERS
from graphflow.server.call import read_raw

VERSION = "0.3.64"
"""Of the interface that is spoken here."""
SIDECARS = (".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp")


# --- nodes -----------------------------------------------------------------------------------------------------------


async def get_object_info(request: web.Request) -> web.Response:
    """Every node."""
    door = door_of(request)
    return answer(await asyncio.to_thread(object_info, await door.signatures(), door.names()))


async def get_object_info_of(request: web.Request) -> web.Response:
    """One node; an empty object when there is none of that class."""
    door = door_of(request)
    signatures = await door.signatures()
    type = request.match_info["type"]
    if (definition := signatures.definitions.get(type)) is None:
        return answer({})
    return answer({type: await asyncio.to_thread(node_info, definition, signatures, door.names())})


# --- models ----------------------------------------------------------------------------------------------------------


async def get_embeddings(request: web.Request) -> web.Response:
    """Textual inversions, as prompts name them."""
    names = await asyncio.to_thread(door_of(request).service.models.names, "embeddings")
    return answer([name.rpartition(".")[0] or name for name in names])


async def get_models(request: web.Request) -> web.Response:
    """The folders."""
    return answer(list(FOLDERS))


async def get_models_in(request: web.Request) -> web.Response:
    """The files of a folder."""
    return answer(await asyncio.to_thread(door_of(request).service.models.names, _folder(request)))


def _folder(request: web.Request) -> str:
    folder = request.match_info["folder"]
    if folder not in FOLDERS:
        raise web.HTTPNotFound
    return folder


async def get_model_folders(request: web.Request) -> web.Response:
    """The folders with the places they stand for."""
    models = door_of(request).service.models
    return answer(
        [
            {"name": name, "folders": [str(place) for place in models.places(name)]}
            for name in FOLDERS
            if name != "configs"
        ]
    )


async def get_model_files(request: web.Request) -> web.Response:
    """The files of a folder with size and age."""
    folder, models = _folder(request), door_of(request).service.models
    places = models.places(folder)

    def listed() -> list[dict[str, Any]]:
        return [
            {
                "name": found.name,
                "pathIndex": next((i for i, place in enumerate(places) if found.path.is_relative_to(place)), 0),
                "modified": found.modified,
                "created": found.modified,
                "size": found.size,
            }
            for found in models.listing(folder)
        ]

    return answer(await asyncio.to_thread(listed))


async def get_model_preview(request: web.Request) -> web.Response:
    """The picture that lies beside a model, or inside it, as WebP."""
    folder, models = _folder(request), door_of(request).service.models
    places, index = models.places(folder), request.match_info["index"]
    name = unquote(request.match_info["name"])
    found = [one for one in await asyncio.to_thread(models.listing, folder) if one.name == name]
    if not index.isdecimal() or int(index) >= len(places) or not found:
        raise web.HTTPNotFound
    picture = await asyncio.to_thread(_model_picture, found[0].path)
    if picture is None:
        raise web.HTTPNotFound
    return web.Response(body=picture, content_type="image/webp")


def _model_picture(path: Path) -> bytes | None:
    from graphflow import pictures

    for suffix in SIDECARS:
        beside = path.with_name(path.stem + suffix)
        if beside.is_file():
            return pictures.thumbnail(beside, 512)
    covers = (safetensors_metadata(path) or {}).get("ssmd_cover_images")
    try:
        return pictures.thumbnail(base64.b64decode(json.loads(covers)[0]), 512) if covers else None
    except (ValueError, TypeError, IndexError):
        return None


# --- system ----------------------------------------------------------------------------------------------------------


async def get_system_stats(request: web.Request) -> web.Response:
    """The machine and its devices."""
    service = door_of(request).service
    total, free = _memory()
    devices = []
    for slot in service.slots:
        details = slot.worker.greeting.details if slot.worker.greeting else {}
        kind = str(details.get("type") or "cpu")
        memory = int(details.get("memory") or details.get("total") or total)
        devices.append(
            {
                "name": str(details.get("name") or slot.status.device or kind),
                "type": kind,
                "index": details.get("index") if kind != "cpu" else None,
                "vram_total": memory,
                "vram_free": int(details.get("free") or (free if kind == "cpu" else memory)),
                "torch_vram_total": memory,
                "torch_vram_free": int(details.get("free") or (free if kind == "cpu" else memory)),
            }
        )
    system = {
        "os": sys.platform,
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": VERSION,
        "required_frontend_version": "",
        "installed_templates_version": "",
        "required_templates_version": "",
        "python_version": sys.version,
        "pytorch_version": _torch_version(),
        "embedded_python": False,
        "argv": ["graphflow", service.version],
    }
    return answer({"system": system, "devices": devices})


def _memory() -> tuple[int, int]:
    """Bytes of memory in all, and free; zeros where the system does not say."""
    import os

    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0, 0


def _torch_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        return platform.python_implementation()


async def get_features(request: web.Request) -> web.Response:
    """What this server can do."""
    return answer(features(door_of(request)))


async def empty_list(request: web.Request) -> web.Response:
    """For what this server has none of."""
    return answer([])


async def empty_object(request: web.Request) -> web.Response:
    """The same, where an object is expected."""
    return answer({})


async def get_logs(request: web.Request) -> web.Response:
    """The log stays on the server."""
    return answer("")


async def get_raw_logs(request: web.Request) -> web.Response:
    """The same, by entries."""
    return answer({"entries": [], "size": {"cols": 80, "rows": 24}})


async def done(request: web.Request) -> web.Response:
    """Takes note and says nothing."""
    return web.Response()


async def get_folder_paths(request: web.Request) -> web.Response:
    """Where models lie."""
    models = door_of(request).service.models
    return answer({name: [str(place) for place in models.places(name)] for name in FOLDERS})


async def get_files(request: web.Request) -> web.Response:
    """Files of `output`, `input` or `temp`, newest first."""
    kind = request.match_info["kind"]
    if kind not in KINDS:
        return answer({"error": "Invalid directory type"}, 400)
    assets = door_of(request).service.assets

    def newest_first() -> list[str]:
        folder = assets.folder(kind)  # type: ignore[arg-type]  # checked just above
        names = assets.names(kind)  # type: ignore[arg-type]
        return sorted(names, key=lambda name: -(folder / name).stat().st_mtime)

    return answer(await asyncio.to_thread(newest_first))


# --- users -----------------------------------------------------------------------------------------------------------


async def get_users(request: web.Request) -> web.Response:
    """There is one user."""
    return answer({"storage": "server", "migrated": True})


async def post_users(request: web.Request) -> web.Response:
    """There is one user, and there will be no other."""
    return answer({"error": "This server has a single user."}, 400)


async def get_settings(request: web.Request) -> web.Response:
    """All settings."""
    return answer(await asyncio.to_thread(door_of(request).users.settings))


async def get_setting(request: web.Request) -> web.Response:
    """One setting, or null."""
    settings = await asyncio.to_thread(door_of(request).users.settings)
    return answer(settings.get(request.match_info["id"]))


async def post_settings(request: web.Request) -> web.Response:
    """Changes some settings."""
    await door_of(request).users.change_settings(await read_object(request))
    return web.Response()


async def post_setting(request: web.Request) -> web.Response:
    """Changes one setting."""
    await door_of(request).users.change_settings({request.match_info["id"]: await read_json(request)})
    return web.Response()


async def list_userdata(request: web.Request) -> web.Response:
    """Files in a folder of the user."""
    users, wanted = door_of(request).users, request.query.get("dir", "")
    if not wanted:
        raise BadRequest("say which folder: ?dir=")
    folder = users.folder_of(wanted)
    found = await asyncio.to_thread(lambda: list(users.listing(folder, recursive=is_true(request, "recurse"))))
    if is_true(request, "full_info"):
        return answer([users.information(path, name) for name, path in found])
    if is_true(request, "split"):
        return answer([[name, *name.split("/")] for name, _ in found])
    return answer([name for name, _ in found])


async def list_userdata_v2(request: web.Request) -> web.Response:
    """Everything below a folder of the user."""
    users, wanted = door_of(request).users, request.query.get("path", "")
    if not wanted and not users.folder.is_dir():
        return answer([])
    try:
        folder = users.folder_of(wanted)
    except Forbidden as error:
        raise BadRequest(error.message) from error
    return answer(await asyncio.to_thread(users.entries, folder))


def _file(request: web.Request, part: str = "file") -> str:
    return unquote(request.match_info[part])


async def get_userdata(request: web.Request) -> web.StreamResponse:
    """A file of the user."""
    path = door_of(request).users.existing(_file(request))
    kind = "application/json" if path.suffix == ".json" else "application/octet-stream"
    return web.FileResponse(path, headers={"Content-Type": kind, "Content-Security-Policy": "sandbox"})


async def post_userdata(request: web.Request) -> web.Response:
    """Stores a file of the user."""
    door = door_of(request)
    data = await read_raw(request, int(door.config.max_upload))
    overwrite = is_true(request, "overwrite", "true")
    return _told(request, await asyncio.to_thread(door.users.write, _file(request), data, overwrite=overwrite))


async def delete_userdata(request: web.Request) -> web.Response:
    """Takes a file of the user away."""
    path = door_of(request).users.existing(_file(request))
    await asyncio.to_thread(path.unlink)
    return web.Response(status=204)


async def move_userdata(request: web.Request) -> web.Response:
    """Gives a file of the user another name."""
    users = door_of(request).users
    overwrite = is_true(request, "overwrite", "true")
    moved = await asyncio.to_thread(users.move, _file(request), _file(request, "dest"), overwrite=overwrite)
    return _told(request, moved)


def _told(request: web.Request, path: Path) -> web.Response:
    users = door_of(request).users
    return answer(users.information(path) if is_true(request, "full_info") else users.name_of(path))

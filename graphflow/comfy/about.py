"""Routes that say what there is: nodes, models, the system."""

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
from graphflow.comfy.call import answer, door_of
from graphflow.comfy.files import safetensors_metadata
from graphflow.comfy.object_info import node_info, object_info
from graphflow.comfy.socket import features
from graphflow.files import FOLDERS

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


async def empty_object(request: web.Request) -> web.Response:
    """For what this server has none of."""
    return answer({})


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
        folder = assets.folder(kind)
        names = assets.names(kind)
        return sorted(names, key=lambda name: -(folder / name).stat().st_mtime)

    return answer(await asyncio.to_thread(newest_first))

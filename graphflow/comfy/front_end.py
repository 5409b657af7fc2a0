"""ComfyUI's own editor in place of ours at `/`, from its package if the user has installed that.

It is another project's program under another licence: nothing of it is part of this one.
"""

from __future__ import annotations

import importlib.util
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from graphflow.comfy.pack_files import packs, web_folder
from graphflow.errors import BadRequest
from graphflow.server.call import CONFIG

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PACKAGE, TEMPLATES = "comfyui_frontend_package", "comfyui_workflow_templates_json"
FRESH = {"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "0"}
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json"}


def add_front_end(app: web.Application) -> None:
    """Serves the editor's files. Raises `BadRequest` when it is not installed."""
    folder = _folder_of(PACKAGE, "static")
    if folder is None:
        raise BadRequest("ComfyUI's editor is not installed: pip install comfyui-frontend-package")
    if (templates := _folder_of(TEMPLATES, "templates")) is not None:
        app.router.add_get("/templates/{path:.+}", _files_of(templates))
    scripts = {pack.name: found for pack in packs(app[CONFIG]) if (found := web_folder(pack)) is not None}
    app.router.add_get("/extensions/{pack}/{path:.+}", _scripts_of(scripts, folder))
    app.router.add_get("/", _files_of(folder))
    app.router.add_get("/{path:(?!v1/|v1$|api/).+}", _files_of(folder))


def _folder_of(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place) / name).is_dir():
            return folder
    return None


def _files_of(folder: Path) -> Handler:
    """A handler that gives the files of a folder, and nothing else."""
    root = folder.resolve()

    async def serve(request: web.Request) -> web.StreamResponse:
        return _file(root, request.match_info.get("path") or "index.html")

    return serve


def _scripts_of(scripts: Mapping[str, Path], folder: Path) -> Handler:
    """The same for packs' folders by name; what is no pack's is the editor's own."""
    root = folder.resolve()

    async def serve(request: web.Request) -> web.StreamResponse:
        pack, path = request.match_info["pack"], request.match_info["path"]
        return _file(scripts[pack], path) if pack in scripts else _file(root, f"extensions/{pack}/{path}")

    return serve


def _file(root: Path, wanted: str) -> web.StreamResponse:
    if "\0" in wanted:
        raise web.HTTPNotFound
    file = (root / wanted).resolve()
    if not file.is_relative_to(root) or not file.is_file():
        raise web.HTTPNotFound
    type = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    fresh = FRESH if file.name == "index.html" or file.suffix in TYPES else {}
    return web.FileResponse(file, headers={"Content-Type": type, **fresh})

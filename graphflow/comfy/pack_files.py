"""What node packs bring for ComfyUI's editor beside their code: example workflows, translations, and scripts.

Scripts are served to that editor alone: they can do there whatever its user can.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from graphflow.comfy.call import answer, door_of
from graphflow.config import Config
from graphflow.errors import BadRequest, NotFound
from graphflow.workflow import load_json

STYLE = "comfyui"
EXAMPLES = ("example_workflows", "example", "examples", "workflow", "workflows")
"""Folders of a pack that hold workflows."""
TEXTS = {"main.json": "", "nodeDefs.json": "nodeDefs", "commands.json": "commands", "settings.json": "settings"}
"""Files with translations, and the key under which the editor wants them; the first holds the top level."""
PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


def packs(config: Config) -> Iterator[Path]:
    """The folder of each pack that is to be loaded."""
    for entry in config.packs:
        style, _, folder = entry.partition("=")
        root = Path(folder.strip()).expanduser()
        if style.strip() == STYLE and root.is_dir():
            there = (path for path in sorted(root.iterdir()) if path.is_dir())
            yield from (path for path in there if not path.name.startswith((".", "__")) and path.suffix != ".disabled")


def web_folder(pack: Path) -> Path | None:
    """The folder of a pack's scripts for the browser, which its module names as `WEB_DIRECTORY`; nothing is imported."""
    try:
        tree = ast.parse((pack / "__init__.py").read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else ()
        named = any(isinstance(target, ast.Name) and target.id == "WEB_DIRECTORY" for target in targets)
        value = statement.value if named and isinstance(statement, ast.Assign) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and "\0" not in value.value:
            folder = (pack / value.value).resolve()
            return folder if folder.is_dir() and folder.is_relative_to(pack.resolve()) else None
    return None


async def get_extensions(request: web.Request) -> web.Response:
    """The addresses of packs' scripts, for ComfyUI's editor; none for anybody else."""
    config = door_of(request).config

    def listed() -> list[str]:
        folders = ((pack.name, web_folder(pack)) for pack in packs(config))
        return [
            f"/extensions/{quote(name)}/{quote(file.relative_to(folder).as_posix())}"
            for name, folder in folders
            if folder is not None
            for file in sorted(folder.rglob("*.js"))
            if file.resolve().is_relative_to(folder)
        ]

    return answer(await asyncio.to_thread(listed) if config.front_end == STYLE else [])


def _examples(pack: Path) -> dict[str, Path]:
    """A pack's workflows, and pictures of them, by name."""
    files = (file for folder in EXAMPLES for file in sorted((pack / folder).glob("*")))
    kept = (file for file in files if file.suffix.lower() in (".json", *PICTURES))
    return {file.name: file for file in kept if file.resolve().is_relative_to(pack.resolve())}


async def get_workflow_templates(request: web.Request) -> web.Response:
    """The names of packs' example workflows, by pack."""

    def listed() -> dict[str, list[str]]:
        found = {pack.name: _examples(pack) for pack in packs(door_of(request).config)}
        return {
            name: [Path(file).stem for file in files if file.endswith(".json")]
            for name, files in found.items()
            if files
        }

    return answer(await asyncio.to_thread(listed))


async def get_workflow_template(request: web.Request) -> web.StreamResponse:
    """An example workflow of a pack, or the picture of one."""
    wanted, name = request.match_info["pack"], request.match_info["name"]
    pack = next((pack for pack in packs(door_of(request).config) if pack.name == wanted), None)
    file = _examples(pack).get(name) if pack else None
    if file is None:
        raise NotFound(f"there is no example {name!r} of a pack {wanted!r}")
    kind = PICTURES.get(file.suffix.lower(), "application/json")
    return web.FileResponse(file, headers={"Content-Type": kind, "Content-Security-Policy": "sandbox"})


async def get_translations(request: web.Request) -> web.Response:
    """Packs' texts by language, those of later packs over those of earlier ones."""

    def merged() -> dict[str, Any]:
        texts: dict[str, Any] = {}
        for pack in packs(door_of(request).config):
            for folder in sorted((pack / "locales").glob("*")):
                into = texts.setdefault(folder.name, {})
                for file, key in TEXTS.items():
                    _merge(into.setdefault(key, {}) if key else into, _read(folder / file))
        return {language: known for language, known in texts.items() if any(known.values())}

    return answer(await asyncio.to_thread(merged))


def _read(file: Path) -> dict[str, Any]:
    try:
        data = load_json(file.read_bytes())
        json.dumps(data, allow_nan=False)
    except (OSError, ValueError, BadRequest):
        return {}
    return data if isinstance(data, dict) else {}


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value

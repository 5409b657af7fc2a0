"""What node packs bring for the editor beside their code: example workflows, and translations of their texts.

Only data is served: a pack's scripts for the browser are not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from graphflow.comfy.call import Door, answer, door_of
from graphflow.errors import BadRequest, NotFound
from graphflow.workflow import load_json

STYLE = "comfyui"
EXAMPLES = ("example_workflows", "example", "examples", "workflow", "workflows")
"""Folders of a pack that hold workflows."""
TEXTS = {"main.json": "", "nodeDefs.json": "nodeDefs", "commands.json": "commands", "settings.json": "settings"}
"""Files with translations, and the key under which the editor wants them; the first holds the top level."""
PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


def _packs(door: Door) -> Iterator[Path]:
    for entry in door.config.packs:
        style, _, folder = entry.partition("=")
        root = Path(folder.strip()).expanduser()
        if style.strip() == STYLE and root.is_dir():
            packs = (path for path in sorted(root.iterdir()) if path.is_dir())
            yield from (path for path in packs if not path.name.startswith((".", "__")) and path.suffix != ".disabled")


def _examples(pack: Path) -> dict[str, Path]:
    """A pack's workflows, and pictures of them, by name."""
    files = (file for folder in EXAMPLES for file in sorted((pack / folder).glob("*")))
    kept = (file for file in files if file.suffix.lower() in (".json", *PICTURES))
    return {file.name: file for file in kept if file.resolve().is_relative_to(pack.resolve())}


async def get_workflow_templates(request: web.Request) -> web.Response:
    """The names of packs' example workflows, by pack."""

    def listed() -> dict[str, list[str]]:
        found = {pack.name: _examples(pack) for pack in _packs(door_of(request))}
        return {
            name: [Path(file).stem for file in files if file.endswith(".json")]
            for name, files in found.items()
            if files
        }

    return answer(await asyncio.to_thread(listed))


async def get_workflow_template(request: web.Request) -> web.StreamResponse:
    """An example workflow of a pack, or the picture of one."""
    wanted, name = request.match_info["pack"], request.match_info["name"]
    pack = next((pack for pack in _packs(door_of(request)) if pack.name == wanted), None)
    file = _examples(pack).get(name) if pack else None
    if file is None:
        raise NotFound(f"there is no example {name!r} of a pack {wanted!r}")
    kind = PICTURES.get(file.suffix.lower(), "application/json")
    return web.FileResponse(file, headers={"Content-Type": kind, "Content-Security-Policy": "sandbox"})


async def get_translations(request: web.Request) -> web.Response:
    """Packs' texts by language, those of later packs over those of earlier ones."""

    def merged() -> dict[str, Any]:
        texts: dict[str, Any] = {}
        for pack in _packs(door_of(request)):
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

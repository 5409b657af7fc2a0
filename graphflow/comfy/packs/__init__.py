"""Node packs in ComfyUI's styles, from a folder: strangers' code that runs with all rights of the worker.

Off unless a folder is named (`--comfy-nodes DIR`). A pack is a module or package that defines `NODE_CLASS_MAPPINGS`,
or `comfy_entrypoint`; it may need torch, numpy, pillow and whatever is installed. One that cannot be imported is
reported and left out. This runs in the data wing.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import logging
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from graphflow.comfy.packs.adapter import node_from
from graphflow.comfy.packs.desk import PackDesk
from graphflow.comfy.packs.stage import Folders
from graphflow.comfy.packs.surface import Surface
from graphflow.files import ModelFiles
from graphflow.node import Node
from graphflow.registry import BrokenPack, Loaded

log = logging.getLogger(__name__)


def load(folder: Path, models: ModelFiles | None = None) -> Loaded:
    """The nodes of every pack in a folder, the packs and nodes that could not be read, and the packs' desk.

    `models` are the files that packs are told of; without them, those beside the folder, as ComfyUI has them.
    """
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        return Loaded([], [BrokenPack(str(folder), "there is no such folder")])
    log.warning(
        "loading node packs from %s: their code can do whatever this process can; name only packs you trust", folder
    )
    surface = Surface(Folders(folder, models), *_names())
    nodes: list[Node] = []
    broken: list[BrokenPack] = []
    packs = list(_packs(folder))
    for path in packs:
        broken += _prepared(path, surface)
    for path in packs:
        try:
            with surface.installed():
                module = _imported(path)
                found = list(_nodes_of(module, path, surface, broken))
        except BaseException as error:  # whatever a stranger's pack raises, sys.exit included
            if isinstance(error, KeyboardInterrupt):
                raise
            broken.append(BrokenPack(path.name, f"{type(error).__name__}: {error}"))
            log.warning("the node pack %s is left out: %s", path.name, error)
            continue
        nodes += found
    return Loaded(nodes, broken, (PackDesk(surface),))


def _prepared(path: Path, surface: Surface) -> Iterator[BrokenPack]:
    """Runs what a pack wants to run before any pack is imported."""
    if not (script := path / "prestartup_script.py").is_file():
        return
    try:
        with surface.installed():
            runpy.run_path(str(script), run_name=f"{_module_name(path)}_prestartup")
    except BaseException as error:  # as below
        if isinstance(error, KeyboardInterrupt):
            raise
        yield BrokenPack(path.name, f"prestartup_script.py: {type(error).__name__}: {error}")


def _names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The samplers and schedulers that are known here."""
    from graphflow.diffusion.samplers import SAMPLERS
    from graphflow.diffusion.schedules import SCHEDULERS

    return tuple(SAMPLERS), tuple(SCHEDULERS)


def _packs(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__")) or path.name.endswith(".disabled"):
            continue
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            yield path


def _module_name(path: Path) -> str:
    return f"graphflow_comfy_packs_{path.stem.replace('-', '_').replace('.', '_')}"


def _imported(path: Path) -> ModuleType:
    """A pack's module, under a name that nobody else has."""
    name = _module_name(path)
    file = path / "__init__.py" if path.is_dir() else path
    locations = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _nodes_of(module: Any, path: Path, surface: Surface, broken: list[BrokenPack]) -> Iterator[Node]:
    source = b"".join(file.read_bytes() for file in _sources(path))
    titles = getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", {}) or {}
    classes: dict[str, Any] = dict(getattr(module, "NODE_CLASS_MAPPINGS", None) or {})
    if not classes and hasattr(module, "comfy_entrypoint"):
        classes = _from_entry_point(module.comfy_entrypoint)
    elif not hasattr(module, "NODE_CLASS_MAPPINGS"):
        raise ImportError("it defines neither NODE_CLASS_MAPPINGS nor comfy_entrypoint")
    for type_, cls in classes.items():
        try:
            cls.RELATIVE_PYTHON_MODULE = f"custom_nodes.{path.stem}"
            yield node_from(cls, type_, str(titles.get(type_, type_)), path.stem, source, surface)
        except Exception as error:  # one bad node does not spoil the others
            broken.append(BrokenPack(path.name, f"{type_}: {type(error).__name__}: {error}"))


def _sources(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _from_entry_point(entry_point: Any) -> dict[str, Any]:
    async def nodes() -> dict[str, Any]:
        extension = entry_point()
        extension = await extension if inspect.isawaitable(extension) else extension
        await extension.on_load()
        return {cls.define_schema().node_id: cls for cls in await extension.get_node_list()}

    return asyncio.run(nodes())

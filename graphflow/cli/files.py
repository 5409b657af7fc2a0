"""Workflow files for the commands, the values set on them, and the files that they name."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from graphflow.assets import KINDS, safe_name
from graphflow.config import Config
from graphflow.documents import open_document
from graphflow.errors import BadRequest, NotFound
from graphflow.files import ModelFiles, missing
from graphflow.node import File
from graphflow.registry import Definitions, discover
from graphflow.service import model_files, worker_settings
from graphflow.workflow import Converted, Workflow


def read_file(name: str) -> bytes:
    """The bytes of a file; `-` is standard input. Raises `BadRequest` that says why not."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise BadRequest(f"{name} cannot be read: {error.strerror}") from error


def open_file(name: str, definitions: Definitions) -> Converted:
    """The workflow in a file."""
    return open_document(read_file(name), definitions)


def with_sets(workflow: Workflow, sets: Sequence[str]) -> Workflow:
    """The workflow with `node.input=value` set; values are JSON, or else text."""
    values: dict[str, Any] = {}
    for text in sets:
        target, equals, value = text.partition("=")
        if not equals or "." not in target:
            raise BadRequest(f"--set {text!r}: write NODE.INPUT=VALUE, for example --set sample.steps=30")
        try:
            values[target] = json.loads(value)
        except json.JSONDecodeError:
            values[target] = value
    return workflow.with_values(values) if values else workflow


def known_definitions(config: Config) -> Definitions:
    """The node types: as a worker told them since the packs last changed, or else from the packs themselves."""
    from graphflow.worker.process import read_greeting

    file = worker_settings(config).greeting
    if file is not None and file.is_file() and file.stat().st_mtime > _packs_changed():
        greeting = read_greeting(file)
        if greeting is not None:
            return Definitions(greeting.definitions)
    return discover().definitions()


def _packs_changed() -> float:
    """When the source of any installed node pack was last changed."""
    newest = 0.0
    for entry in entry_points(group="graphflow.nodes"):
        spec = importlib.util.find_spec(entry.module.partition(".")[0])
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            newest = max([newest, *(path.stat().st_mtime for path in Path(folder).rglob("*.py"))])
    return newest


class LocalFinder:
    """A `Finder` for the command line: inputs are also looked for where you are and beside the workflow."""

    def __init__(self, config: Config, beside: Path) -> None:
        self._data = config.data
        self._models: ModelFiles = model_files(config)
        self._places = (Path.cwd(), beside, config.data / "input")

    def find(self, folder: str, name: str) -> File:
        """The file of that name. Raises `NotFound`."""
        if folder not in KINDS:
            return self._models.find(folder, name)
        path = self._path(name)
        if path is None:
            raise NotFound(missing("here, beside the workflow or in the data folder's input", name, self.names(folder)))
        with path.open("rb") as file:
            return File(name, path, hashlib.file_digest(file, "sha256").hexdigest())

    def names(self, folder: str) -> Sequence[str]:
        """Every name that can be chosen."""
        if folder not in KINDS:
            return self._models.names(folder)
        return sorted({p.name for place in self._places if place.is_dir() for p in place.iterdir() if p.is_file()})

    def _path(self, name: str) -> Path | None:
        plain, _, kind = name.removesuffix("]").rpartition(" [")
        if kind in KINDS and name.endswith("]"):
            candidates = [self._data / kind / safe_name(plain)]
        else:
            candidates = [place / name for place in self._places]
        return next((path for path in candidates if path.is_file()), None)

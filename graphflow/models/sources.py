"""Model files, open: what they are, their parts, and the configs that come with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.detect import Detected, Header, Part, detect, require
from graphflow.errors import UnsupportedFile
from graphflow.files import is_part
from graphflow.models.tensors import Tensors, Under, opened
from graphflow.node import File


@dataclass(frozen=True)
class Source:
    """An open file, what it is, and the configs that come with it."""

    file: File
    header: Header
    tensors: Tensors
    found: Detected

    def part(self, name: str) -> tuple[Part, Header, Tensors]:
        """A part's own header and tensors, without prefix. Raises `UnsupportedFile` when the file has none."""
        part = require(self.found, self.file.path, part=name)
        prefix = f"{part.prefix}." if self.header.format == "diffusers" else part.prefix
        return part, self.header.under(prefix), Under(self.tensors, prefix)

    def config(self, part: Part, *folders: str) -> dict[str, Any] | None:
        """A part's config, from the diffusers folder or from `NAME.config` beside the file; None without one."""
        if self.header.format == "diffusers":
            return dict(self.header.metadata.get(part.prefix, {}))
        return next((found for folder in folders if (found := read_config(self.beside / folder / "config.json"))), None)

    @property
    def beside(self) -> Path:
        """Where configs that override detection lie: `NAME.config` beside `NAME.safetensors`, or the folder itself."""
        path = self.file.path
        if self.header.format == "diffusers":
            return path.parent if is_part(path) else path
        return path.with_suffix(".config")

    @property
    def scheduler(self) -> Mapping[str, Any]:
        """The scheduler's config, empty without one."""
        return read_config(self.beside / "scheduler" / "scheduler_config.json") or {}


def read_config(path: Path) -> dict[str, Any] | None:
    """A JSON object, without the keys that begin with an underscore; None when there is no such file."""
    if not path.is_file():
        return None
    try:
        return {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if not k.startswith("_")}
    except (ValueError, AttributeError) as error:
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is no JSON object: {error}") from error


@contextmanager
def source(file: File) -> Iterator[Source]:
    """A file, open."""
    with opened(file.path) as (header, tensors):
        yield Source(file, header, tensors, detect(file.path))

"""What ComfyUI's editor keeps on the server: settings, and files of a user (workflows above all)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphflow.assets import write_whole
from graphflow.errors import BadRequest, Conflict, Forbidden, NotFound
from graphflow.workflow import load_json

SETTINGS = "comfy.settings.json"
USER = "default"


class Users:
    """The folder of users' files; there is one user."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = asyncio.Lock()
        """Held while settings are read and written back."""

    @property
    def folder(self) -> Path:
        """The user's files."""
        return self._root / USER

    # --- settings

    def settings(self) -> dict[str, Any]:
        """All settings; a damaged file counts as none."""
        try:
            data = load_json((self.folder / SETTINGS).read_bytes())
        except (OSError, BadRequest):
            return {}
        return data if isinstance(data, dict) else {}

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Sets some, keeps the others."""
        async with self._lock:
            merged = json.dumps({**self.settings(), **changes}, indent=4)
            await asyncio.to_thread(write_whole, self.folder / SETTINGS, merged.encode(), replace=True)

    # --- files

    def path(self, name: str) -> Path:
        """Where a file of the user lies. Raises `Forbidden` for a name that leaves the folder."""
        if not name or "\0" in name:
            raise BadRequest("name a file")
        root = self.folder.resolve()
        path = (root / name.replace("\\", "/")).resolve()
        if not path.is_relative_to(root) or path == root:
            raise Forbidden(f"{name!r} lies outside the user's folder")
        return path

    def folder_of(self, name: str) -> Path:
        """A folder of the user. Raises `Forbidden` or `NotFound`."""
        if name in ("", "."):
            return self.folder
        path = self.path(name)
        if not path.is_dir():
            raise NotFound(f"there is no folder {name!r}")
        return path

    def existing(self, name: str) -> Path:
        """A file that is there. Raises `Forbidden` or `NotFound`."""
        path = self.path(name)
        if not path.is_file():
            raise NotFound(f"there is no file {name!r}")
        return path

    def write(self, name: str, data: bytes, *, overwrite: bool = True) -> Path:
        """Stores a file. Raises `Conflict` when it is there and is not to be replaced."""
        path = self.path(name)
        try:
            write_whole(path, data, replace=overwrite)
        except FileExistsError as error:
            raise Conflict(f"there is a file {name!r} already") from error
        except OSError as error:
            raise BadRequest(f"{name!r} cannot be written: {error.strerror}") from error
        return path

    def move(self, source: str, target: str, *, overwrite: bool = True) -> Path:
        """Gives a file another name."""
        old, new = self.existing(source), self.path(target)
        if new.exists() and not overwrite:
            raise Conflict(f"there is a file {target!r} already")
        new.parent.mkdir(parents=True, exist_ok=True)
        return old.replace(new)

    def name_of(self, path: Path) -> str:
        """Relative to the user's folder."""
        return path.resolve().relative_to(self.folder.resolve()).as_posix()

    def information(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """What the editor wants to know of a file."""
        stat = path.stat()
        name = self.name_of(path) if name is None else name
        return {"path": name, "size": stat.st_size, "modified": stat.st_mtime, "created": stat.st_ctime}

    def listing(self, folder: Path, *, recursive: bool) -> Iterator[tuple[str, Path]]:
        """Files in a folder, with their names relative to it."""
        found = folder.rglob("*") if recursive else folder.glob("*")
        for path in sorted(found):
            if path.is_file() and not path.name.endswith(".part"):
                yield path.relative_to(folder).as_posix(), path

    def entries(self, folder: Path) -> list[dict[str, Any]]:
        """Everything below a folder: folders first, then by name."""
        found = []
        for path in folder.rglob("*"):
            entry: dict[str, Any] = {"name": path.name, "path": self.name_of(path)}
            if path.is_dir():
                found.append({**entry, "type": "directory"})
            else:
                stat = path.stat()
                found.append({**entry, "type": "file", "size": stat.st_size, "modified": stat.st_mtime})
        return sorted(found, key=lambda one: (one["type"] == "file", one["name"].lower()))

"""What ComfyUI's editor keeps on the server for each user: settings, and files (workflows above all)."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphflow.assets import write_whole
from graphflow.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthorized
from graphflow.workflow import load_json

SETTINGS = "comfy.settings.json"
INDEX = "users.json"
USER = "default"
"""The folder of the only user."""
MAX_NAME = 60
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Users:
    """Who has files here: one user, or with `several` as many as were added, each in a folder of its own."""

    def __init__(self, root: Path, *, several: bool = False) -> None:
        self._root = root
        self.several = several
        self._lock = asyncio.Lock()
        """Held while the list is read and written back."""
        self._known: dict[str, User] = {}

    def names(self) -> dict[str, str]:
        """Users' names by id; a damaged file counts as none."""
        try:
            listed = load_json((self._root / INDEX).read_bytes())
        except (OSError, BadRequest):
            return {}
        entries = listed.items() if isinstance(listed, dict) else ()
        return {id: name for id, name in entries if _ID.fullmatch(id) and isinstance(name, str)}

    def user(self, id: str | None) -> User:
        """The user of an id; without `several` the one there is. Raises `Unauthorized` for an unknown one."""
        if not self.several:
            id = USER
        elif id is None or id not in self.names():
            raise Unauthorized(f"there is no user {(id or '')[:80]!r}: name one of GET /users in the header comfy-user")
        return self._known.setdefault(id, User(self._root / id))

    async def add(self, name: str) -> str | None:
        """Adds a user; the id, or None when there is one of that name."""
        async with self._lock:
            names = await asyncio.to_thread(self.names)
            if name in names.values():
                return None
            id = f"{_OTHERS.sub('-', name)[:MAX_NAME]}_{uuid.uuid4()}"
            text = json.dumps({**names, id: name}, indent=4)
            await asyncio.to_thread(write_whole, self._root / INDEX, text.encode(), replace=True)
            return id


class User:
    """One user's settings and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = asyncio.Lock()
        """Held while settings are read and written back."""

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
            if not path.resolve().is_relative_to(self.folder.resolve()):
                continue  # a link that leads out
            entry: dict[str, Any] = {"name": path.name, "path": self.name_of(path)}
            if path.is_dir():
                found.append({**entry, "type": "directory"})
            else:
                stat = path.stat()
                found.append({**entry, "type": "file", "size": stat.st_size, "modified": stat.st_mtime})
        return sorted(found, key=lambda one: (one["type"] == "file", one["name"].lower()))

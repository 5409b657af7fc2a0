"""Assets: the files that users bring and that nodes make, in the data folder, with a row each in the database.

Three kinds, a folder each: `input` (uploads), `output` (results) and `temp` (to be looked at only). Files bear the
names that users expect, `apple_00001_.png`; an asset's id is the first 32 hex digits of the sha256 of its bytes. A file
is written beside its place, flushed to the disk and renamed, so that a name never stands for half a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import mimetypes
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, delete, insert, select, update

from graphflow.database import Database, assets
from graphflow.errors import BadRequest, DiskFull, GraphflowError, NotFound, TooLarge, UnsupportedFile
from graphflow.files import Finder, missing
from graphflow.node import File

Kind = Literal["output", "input", "temp"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SUFFIXES = {
    "image/png": ".png",
    "image/apng": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/svg+xml": ".svg",
    "image/x-exr": ".exr",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "text/plain": ".txt",
    "application/json": ".json",
    "audio/flac": ".flac",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/opus": ".opus",
    "audio/wav": ".wav",
    "application/x-latent": ".latent",
    "application/x-safetensors": ".safetensors",
}
"""What a name's end is for a media type; for others, what the system knows, or `.bin`."""

ID = 32
"""Hex digits of an asset's id."""
PART = ".part"
"""The end of a name for a file that is not whole yet; such names begin with a dot."""

_ANNOTATED = re.compile(r"(?P<name>.+) \[(?P<kind>output|input|temp)\]")
_ID = re.compile(r"[0-9a-f]{32}")
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_COUNTER = re.compile(r"(\d+)_.*")


class Asset(BaseModel):
    """One file, as clients see it."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    """Relative to its kind's folder, with forward slashes."""
    kind: Kind
    media_type: str
    size: int
    created: float
    width: int | None = None
    height: int | None = None
    job: str | None = None
    node: str | None = None


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What a system says of a full disk."""


class Incoming:
    """A file that is written piece by piece beside its place, and gets its name once it is whole.

    Used in a `with`: what has no name at its end is taken away. Raises `DiskFull` when there is no room.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f".{secrets.token_hex(8)}{PART}"
        self._sum = hashlib.sha256()
        self._file = self._path.open("xb")
        self.size = 0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def id(self) -> str:
        """The asset's id, of what is written so far."""
        return self._sum.hexdigest()[:ID]

    def write(self, data: bytes) -> None:
        """The next piece."""
        with _full_told():
            self._file.write(data)
        self._sum.update(data)
        self.size += len(data)

    def name(self, path: Path, *, replace: bool = False) -> None:
        """Puts it in place, flushed to the disk. Raises `FileExistsError` when the name is taken and is to be kept."""
        if not self._file.closed:
            with _full_told():
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
        if replace:
            self._path.replace(path)
        else:
            _put(self._path, path)

    def discard(self) -> None:
        """Takes it away unless it has its name."""
        with contextlib.suppress(OSError):  # what was not flushed has no room
            self._file.close()
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(DiskFull.MESSAGE) from error
        raise


@dataclass(frozen=True)
class NewFile:
    """A file on its way into the store."""

    data: bytes | Incoming
    media_type: str
    width: int | None = None
    height: int | None = None
    job: str | None = None
    node: str | None = None

    @property
    def id(self) -> str:
        """The asset's."""
        return asset_id(self.data) if isinstance(self.data, bytes) else self.data.id

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data) if isinstance(self.data, bytes) else self.data.size


def asset_id(data: bytes) -> str:
    """The id of these bytes."""
    return hashlib.sha256(data).hexdigest()[:ID]


def safe_name(name: str) -> str:
    """A relative path with forward slashes that stays below its folder on any system.

    Raises `BadRequest` for one that would leave it, or that some system cannot keep.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    parts = path.parts
    if not parts or path.is_absolute() or any(part in (".", "..") for part in parts):
        raise BadRequest(f"{name!r} is no name of a file below the folder: give one without '..' and leading '/'")
    if _FORBIDDEN.search(path.as_posix()) or any(_RESERVED.fullmatch(p) or p != p.strip(" .") for p in parts):
        raise BadRequest(f"{name!r} holds characters that not every system can keep in a file name")
    if len(path.as_posix().encode()) > 1000 or any(len(part.encode()) > 240 for part in parts):
        raise BadRequest(f"the file name {name[:40]!r}… is too long: at most 240 bytes between slashes")
    return path.as_posix()


def expand_prefix(prefix: str, width: int | None, height: int | None, now: float) -> str:
    """`%date%` and the like replaced, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%` in local time.

    >>> expand_prefix("%width%x%height%/apple", 64, 32, 0.0)
    '64x32/apple'
    """
    local = time.localtime(now)
    values = {
        "width": str(width or 0),
        "height": str(height or 0),
        "year": f"{local.tm_year:04}",
        "month": f"{local.tm_mon:02}",
        "day": f"{local.tm_mday:02}",
        "hour": f"{local.tm_hour:02}",
        "minute": f"{local.tm_min:02}",
        "second": f"{local.tm_sec:02}",
        "date": time.strftime("%Y-%m-%d", local),
    }
    return re.sub(r"%(\w+)%", lambda match: values.get(match[1], match[0]), prefix)


def next_counter(stem: str, names: Iterable[str]) -> int:
    """One more than the largest `n` among the names `stem_n_...`; 1 when there is none.

    >>> next_counter("apple", ["apple_00007_.png", "apple_x_.png", "pear_00009_.png"])
    8
    """
    start = f"{stem}_".lower()
    found = [_COUNTER.fullmatch(name[len(start) :]) for name in names if name.lower().startswith(start)]
    return 1 + max((int(match[1]) for match in found if match), default=0)


def suffix_of(media_type: str) -> str:
    """How a file of that type is named."""
    plain = media_type.split(";")[0].strip().lower()
    return SUFFIXES.get(plain) or mimetypes.guess_extension(plain) or ".bin"


def media_type_of(name: str) -> str:
    """What a file of that name holds, going by its end."""
    suffix = PurePosixPath(name).suffix.lower()
    known = next((type for type, known in SUFFIXES.items() if known == suffix), None)
    return known or mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


def write_whole(path: Path, data: bytes, *, replace: bool = False) -> None:
    """The file, all of it or none: written beside, flushed, then put in place.

    Raises `FileExistsError` when it is there and is not to be replaced.
    """
    with Incoming(path.parent) as file:
        file.write(data)
        file.name(path, replace=replace)


def _put(temporary: Path, path: Path) -> None:
    """Gives the file its name unless that is taken."""
    try:
        os.link(temporary, path)  # fails where a rename would overwrite
    except FileExistsError:
        raise
    except OSError as error:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from error
        temporary.replace(path)


def counted(folder: Path, stem: str, end: str, data: bytes | Incoming) -> str:
    """Puts a file in place under the next free name, which comes back: `apple_00008_.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    counter = next_counter(stem, (path.name for path in folder.iterdir()))
    with contextlib.ExitStack() as stack:
        if isinstance(data, bytes):
            file = stack.enter_context(Incoming(folder))
            file.write(data)
        else:
            file = data
        while True:
            name = f"{stem}_{counter:05}_{end}"
            try:
                file.name(folder / name)
            except FileExistsError:
                counter += 1
                continue
            return name


class Assets:
    """The store: alone writes to the folders `output`, `input`, `temp` and `thumbnails` of the data folder."""

    def __init__(self, database: Database, data: Path, *, max_size: int = 2**32) -> None:
        self._database = database
        self._data = data
        self._max_size = max_size
        self._lock = asyncio.Lock()
        """Held from the choice of a name to its row, so that two results never choose the same."""

    def folder(self, kind: Kind) -> Path:
        """Where files of that kind lie."""
        return self._data / kind

    def path(self, asset: Asset) -> Path:
        """Where its bytes lie. Raises `NotFound` when somebody took the file away."""
        path = self.folder(asset.kind) / asset.name
        if not path.is_file():
            raise NotFound(f"the file {asset.kind}/{asset.name} is gone from the data folder")
        return path

    # --- putting in

    def incoming(self, kind: Kind) -> Incoming:
        """A file too large to hold, to be written and then saved. Raises `DiskFull`."""
        return Incoming(self.folder(kind))

    async def save(self, kind: Kind, prefix: str, file: NewFile, *, suffix: str = "") -> Asset:
        """A result under the next free name `prefix_00001_.png`; the same bytes saved again keep their first name.

        `prefix` may name subfolders. Raises `BadRequest` for one that leaves the folder.
        """
        wanted = safe_name(expand_prefix(prefix, file.width, file.height, time.time()) or "GraphFlow")
        parent, _, stem = wanted.rpartition("/")
        end = suffix or suffix_of(file.media_type)
        async with self._lock:
            for known in await self._rows(assets.c.id == file.id, assets.c.kind == kind):
                above, _, name = known.name.rpartition("/")
                if above == parent and name.lower().startswith(f"{stem}_".lower()) and self._is_there(known):
                    return await self._touch(known, file)
            name = await asyncio.to_thread(self._name_counted, kind, parent, stem, end, file.data)
            return await self._insert(kind, name, file)

    async def upload(
        self, kind: Kind, name: str, data: bytes, *, media_type: str = "", overwrite: bool = False
    ) -> Asset:
        """A user's file under its own name, or `name (1)` where another has that; equal bytes are stored once.

        Characters that not every system can keep become `_`. Raises `BadRequest` for a name that leaves the folder, `TooLarge`, or `UnsupportedFile` for a damaged picture.
        """
        if len(data) > self._max_size:
            raise TooLarge(f"{name} has {len(data):,} bytes; at most {self._max_size:,} are taken")
        if not data:
            raise UnsupportedFile(f"{name} is empty")
        name = safe_name(_FORBIDDEN.sub("_", name.replace("\\", "/")))
        file = await asyncio.to_thread(_described, name, data, media_type)
        async with self._lock:
            for candidate in _candidates(name):
                known = await self._rows(assets.c.kind == kind, assets.c.name == candidate)
                if known and known[0].id == asset_id(data) and self._is_there(known[0]):
                    return known[0]
                try:
                    await asyncio.to_thread(write_whole, self.folder(kind) / candidate, data, replace=overwrite)
                except FileExistsError:
                    if not known and await asyncio.to_thread(self._holds, kind, candidate, data):
                        return await self._insert(kind, candidate, file)
                    continue
                except (IsADirectoryError, NotADirectoryError) as error:
                    raise BadRequest(f"{candidate!r} cannot be a file: a folder or file is in its way") from error
                return await self._insert(kind, candidate, file)
        raise BadRequest(f"{name!r} is taken a thousand times over: choose another name")

    async def delete(self, kind: Kind, name: str) -> None:
        """Takes a file and its row away; nothing happens when it is not there."""
        path = self.folder(kind) / safe_name(name)
        await asyncio.to_thread(path.unlink, missing_ok=True)
        await self._database.write(
            lambda db: db.execute(delete(assets).where(assets.c.kind == kind, assets.c.name == name))
        )

    def sweep(self, older_than: float) -> None:
        """Takes away large files that never became whole and that nobody wrote to since that time."""
        for kind in KINDS:
            for path in self.folder(kind).glob(f".*{PART}"):
                with contextlib.suppress(FileNotFoundError):  # it has just got its name
                    if path.stat().st_mtime < older_than:
                        path.unlink()

    async def clear_temporary(self, older_than: float) -> None:
        """Takes away what was only to be looked at, made before that time."""
        for asset in await self._rows(assets.c.kind == "temp", assets.c.created < older_than):
            await self.delete("temp", asset.name)

    # --- looking up

    async def get(self, id: str) -> Asset:
        """The newest asset of that id whose file is there. Raises `NotFound`."""
        found = await self._rows(assets.c.id == id) if _ID.fullmatch(id) else []
        for asset in found:
            if self._is_there(asset):
                return asset
        raise NotFound(f"there is no asset {id!r}" if not found else f"the file of asset {id!r} is gone")

    def path_of(self, id: str) -> Path | None:
        """Where the bytes of an id lie, for a thread that may wait; None when nowhere."""
        query = select(assets.c.kind, assets.c.name).where(assets.c.id == id).order_by(assets.c.number.desc())
        rows = self._database.look(lambda db: db.execute(query).all()) if _ID.fullmatch(id) else []
        paths = (self._data / kind / name for kind, name in rows)
        return next((path for path in paths if path.is_file()), None)

    async def named(self, kind: Kind, name: str) -> Asset:
        """The asset of that name; a file that somebody put into the folder becomes one. Raises `NotFound`."""
        safe = safe_name(name)
        known = await self._rows(assets.c.kind == kind, assets.c.name == safe)
        if known and self._is_there(known[0]):
            return known[0]
        path = self.folder(kind) / safe
        if not path.is_file() or path.name.startswith("."):
            names = await asyncio.to_thread(self.names, kind)
            raise NotFound(missing(f"in {kind}", name, names))
        data = await asyncio.to_thread(path.read_bytes)
        return await self._insert(kind, safe, await asyncio.to_thread(_described, safe, data, ""))

    async def page(
        self, kind: Kind | None = None, *, limit: int = 100, before: str | None = None, job: str | None = None
    ) -> list[Asset]:
        """Assets, newest first, older than the asset `before`; those whose file was taken away are forgotten."""
        if kind == "input" and before is None:
            await self._adopt(kind)
        while True:
            found = await self._page(kind, limit, before, job)
            gone = [asset for asset in found if not (self.folder(asset.kind) / asset.name).is_file()]
            if not gone:
                return found
            for asset in gone:
                await self.delete(asset.kind, asset.name)

    async def _adopt(self, kind: Kind) -> None:
        """Makes assets of the files that somebody put into a folder by hand, a hundred at a time."""
        known = {asset.name for asset in await self._rows(assets.c.kind == kind)}
        names = await asyncio.to_thread(self.names, kind)
        for name in [name for name in names if name not in known][:100]:
            with contextlib.suppress(GraphflowError):  # what is no asset is not listed
                await self.named(kind, name)

    async def _page(self, kind: Kind | None, limit: int, before: str | None, job: str | None) -> list[Asset]:
        query = select(assets).order_by(assets.c.number.desc()).limit(limit)
        if kind is not None:
            query = query.where(assets.c.kind == kind)
        if job is not None:
            query = query.where(assets.c.job == job)
        if before is not None:
            last = select(assets.c.number).where(assets.c.id == before).order_by(assets.c.number).limit(1)
            query = query.where(assets.c.number < last.scalar_subquery())
        rows = await self._database.read(lambda db: db.execute(query).all())
        return [_asset(row) for row in rows]

    def names(self, kind: Kind) -> list[str]:
        """Names of all files in a kind's folder, those included that somebody put there by hand."""
        folder = self.folder(kind)
        found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted((path.relative_to(folder).as_posix() for path in found), key=str.lower)

    async def thumbnail(self, asset: Asset, size: int) -> Path:
        """A small WebP of a picture, made once. Raises `UnsupportedFile` for what is no picture."""
        path = self._data / "thumbnails" / asset.id[:2] / f"{asset.id}-{size}.webp"
        if not path.is_file():
            await asyncio.to_thread(self._make_thumbnail, self.path(asset), path, size)
        return path

    # --- inside

    @staticmethod
    def _make_thumbnail(source: Path, path: Path, size: int) -> None:
        from graphflow import pictures  # Pillow is loaded when the first picture is looked at

        write_whole(path, pictures.thumbnail(source, size), replace=True)

    def _is_there(self, asset: Asset) -> bool:
        """Whether its file still holds its bytes, as far as a look at the size can tell."""
        path = self.folder(asset.kind) / asset.name
        return path.is_file() and path.stat().st_size == asset.size

    def _holds(self, kind: Kind, name: str, data: bytes) -> bool:
        path = self.folder(kind) / name
        return path.is_file() and path.read_bytes() == data

    def _name_counted(self, kind: Kind, parent: str, stem: str, end: str, data: bytes | Incoming) -> str:
        folder = self.folder(kind) / parent
        name = counted(folder, stem, end, data)
        return f"{parent}/{name}" if parent else name

    async def _insert(self, kind: Kind, name: str, file: NewFile) -> Asset:
        asset = Asset(
            id=file.id,
            name=name,
            kind=kind,
            media_type=file.media_type,
            size=file.size,
            created=time.time(),
            width=file.width,
            height=file.height,
            job=file.job,
            node=file.node,
        )

        def change(db: Connection) -> None:
            db.execute(delete(assets).where(assets.c.kind == kind, assets.c.name == name))
            db.execute(insert(assets).values(asset.model_dump()))

        await self._database.write(change)
        return asset

    async def _touch(self, known: Asset, file: NewFile) -> Asset:
        if file.job is None or known.job == file.job:
            return known
        same = (assets.c.kind == known.kind, assets.c.name == known.name)
        await self._database.write(
            lambda db: db.execute(update(assets).where(*same).values(job=file.job, node=file.node))
        )
        return known.model_copy(update={"job": file.job, "node": file.node})

    async def _rows(self, *conditions: Any) -> list[Asset]:
        query = select(assets).where(*conditions).order_by(assets.c.number.desc())
        rows: Sequence[Row[Any]] = await self._database.read(lambda db: db.execute(query).all())
        return [_asset(row) for row in rows]


def _asset(row: Row[Any]) -> Asset:
    values = {name: value for name, value in row._mapping.items() if name != "number"}
    return Asset.model_validate(values)


def _described(name: str, data: bytes, media_type: str) -> NewFile:
    """The file with what its own bytes say it is: a name or a client may be wrong."""
    from graphflow import pictures

    claimed = media_type or media_type_of(name)
    try:
        info = pictures.info(data)
    except UnsupportedFile:
        if claimed.startswith("image/") and claimed != "image/svg+xml":
            raise
        return NewFile(data, claimed)
    return NewFile(data, info.media_type, info.width, info.height)


def _candidates(name: str) -> Iterable[str]:
    """`x.png`, `x (1).png`, `x (2).png`, ..."""
    yield name
    path = PurePosixPath(name)
    yield from (path.with_name(f"{path.stem} ({i}){path.suffix}").as_posix() for i in range(1, 1000))


class AssetFinder:
    """A `Finder` for all that workflows name: `input` means assets, the rest models.

    An input is named by its name, by `name [output]`, or by an asset's id.
    """

    def __init__(self, models: Finder, store: Assets) -> None:
        self._models = models
        self._store = store

    def find(self, folder: str, name: str) -> File:
        """The file of that name. Raises `NotFound` with the nearest names."""
        if folder not in KINDS:
            return self._models.find(folder, name)
        path = self._path(folder, name)
        if path is None:
            raise NotFound(missing(f"in {folder}", name, self.names(folder)))
        with path.open("rb") as file:
            return File(name, path, hashlib.file_digest(file, "sha256").hexdigest())

    def names(self, folder: str) -> Sequence[str]:
        """Every name that can be chosen."""
        return self._store.names(folder) if folder in KINDS else self._models.names(folder)

    def _path(self, kind: Kind, name: str) -> Path | None:
        if annotated := _ANNOTATED.fullmatch(name):
            kind, name = cast(Kind, annotated["kind"]), annotated["name"]
        try:
            path = self._store.folder(kind) / safe_name(name)
        except BadRequest:
            return None
        if path.is_file():
            return path
        return self._store.path_of(name)

"""Where a pack's node runs: folders for the files it reads and writes, its progress, and whether it is to stop."""

from __future__ import annotations

import io
import json
import logging
import queue
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from graphflow.errors import Cancelled
from graphflow.files import FOLDERS, ModelFiles
from graphflow.node import Artifact, Await, File, Progress, Say

log = logging.getLogger(__name__)
MOST_SAID = 2**20
"""Bytes of one message of a pack."""
_COUNTER = re.compile(r"_\d+_?$")


class FileNames(list[str]):
    """The files that can be chosen from a folder, and other words put before or behind them.

    A combo made of them offers what is in the folder when it is looked at, not what was there when the pack loaded.
    """

    def __init__(self, names: Iterable[str], folder: str, extra: Sequence[str] = ()) -> None:
        super().__init__(names)
        self.folder = folder
        self.extra = tuple(extra)

    def __add__(self, other: Any) -> Any:
        return FileNames([*self, *other], self.folder, (*self.extra, *other))

    def __radd__(self, other: Any) -> Any:
        return FileNames([*other, *self], self.folder, (*other, *self.extra))


FILES: ContextVar[Mapping[str, Path]] = ContextVar("pack_files", default={})  # noqa: B039 - a mapping, never changed
"""Where the files lie that the running call was given, by the names it was given."""


@contextmanager
def knowing(values: Iterable[Any]) -> Iterator[None]:
    """With the paths of those files among the values to be had."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    token = FILES.set({one.name: one.path for one in flat if isinstance(one, File) and one.path != Path()})
    try:
        yield
    finally:
        FILES.reset(token)


class Folders:
    """The folders that a pack is told of: the server's for what it reads, one of our own for what it writes."""

    def __init__(self, packs: Path, models: ModelFiles | None = None) -> None:
        """Without `models`, those beside the packs, as ComfyUI has them."""
        self.base = packs.parent
        """With `custom_nodes` of a ComfyUI, that ComfyUI."""
        self._models = models
        self._written = Path(tempfile.mkdtemp(prefix="graphflow-packs-"))
        weakref.finalize(self, shutil.rmtree, str(self._written), ignore_errors=True)

    @property
    def models(self) -> Path:
        """Where models lie."""
        return self.base / "models"

    def places(self, folder: str) -> list[Path]:
        """Where the files of a folder of models lie."""
        if self._models is not None:
            return self._models.places(folder)
        return [self.models / part for part in FOLDERS.get(folder, (folder,))]

    def of(self, kind: str) -> Path:
        """`input`, `output` or `temp`."""
        if kind == "input":
            return self.base / "input" if self._models is None else self._models.places("input")[-1]
        folder = self._written / kind
        folder.mkdir(exist_ok=True)
        return folder

    def artifact(self, entry: Mapping[str, Any]) -> Artifact | None:
        """A file that a node says it has written, taken over; None when it is not there."""
        kind, folder = str(entry.get("type", "output")), str(entry.get("subfolder", ""))
        root = self.of(kind if kind in ("input", "output", "temp") else "output").resolve()
        path = (root / folder / Path(str(entry.get("filename", ""))).name).resolve()
        if not path.is_file() or not path.is_relative_to(root):
            return None
        data = path.read_bytes()
        if kind != "input":
            path.unlink()
        media_type = guess_type(path.name)[0] or "application/octet-stream"
        prefix = _COUNTER.sub("", path.stem) or "file"
        details: dict[str, Any] = {"temporary": True} if kind == "temp" else {}
        details |= _size(data) if media_type.startswith("image/") else {}
        return Artifact(media_type, data, f"{folder}/{prefix}" if folder else prefix, details)


def _size(data: bytes) -> dict[str, int]:
    from graphflow import pictures
    from graphflow.errors import GraphflowError

    try:
        info = pictures.info(data)
    except GraphflowError:
        return {}
    return {"width": info.width, "height": info.height}


@dataclass(frozen=True)
class Call:
    """One call of a pack's node."""

    tell: Callable[[Progress | Say], Any]
    """Takes its progress and its words, from any thread."""
    pictures: list[Artifact] = field(default_factory=list)
    """What it sends over the WebSocket."""
    interrupted: threading.Event = field(default_factory=threading.Event)
    place: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """How far it is: value and total."""


CALL: ContextVar[Call | None] = ContextVar("pack_call", default=None)


def tell_progress(value: float, total: float) -> None:
    """Says how far the running call is."""
    if (call := CALL.get()) is not None:
        call.place[:] = value, total
        call.tell(Progress(value, total))


def tell_text(text: str) -> None:
    """Says in words how far the running call is."""
    if (call := CALL.get()) is not None:
        call.tell(Progress(call.place[0], call.place[1], text=text))


def say(kind: str, content: Any) -> None:
    """Says something in a form that the pack's own scripts know; what is not JSON, or large, is left unsaid."""
    if (call := CALL.get()) is None:
        return
    try:
        text = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if 0 < len(text) <= MOST_SAID:
        call.tell(Say(kind, json.loads(text)))
    else:
        log.warning("a message %r of a pack is no JSON, or larger than %d bytes: it is not sent", kind, MOST_SAID)


def send_picture(format: str, picture: PIL.Image.Image) -> None:
    """Sends a picture to the client that asked for the run, if the running node is an output."""
    if (call := CALL.get()) is None:
        return
    out = io.BytesIO()
    format = "JPEG" if format.upper() in ("JPEG", "JPG") else "PNG"
    (picture.convert("RGB") if format == "JPEG" else picture).save(out, format)
    details = {"temporary": True, "socket": True, "width": picture.width, "height": picture.height}
    call.pictures.append(Artifact(f"image/{format.lower()}", out.getvalue(), "websocket", details))


def stop_if_interrupted() -> None:
    """Raises `Cancelled` once the running call is not wanted any more."""
    if (call := CALL.get()) is not None and call.interrupted.is_set():
        raise Cancelled("the job was cancelled")


@dataclass(frozen=True)
class _Outcome:
    result: Any = None
    error: BaseException | None = None


def in_thread(work: Callable[[], Any], pictures: list[Artifact]) -> Generator[Progress | Say, Any, Any]:
    """What `work` returns; its progress and its words are yielded while it runs in a thread of its own.

    What it sends over the WebSocket is added to `pictures`.

    When the generator is closed, the thread is told to stop; it does at its next look.
    """
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    call = Call(told.put, pictures)

    def run() -> None:
        CALL.set(call)
        try:
            with torch.no_grad():
                told.put(_Outcome(work()))
        except BaseException as error:  # told where it is waited for
            told.put(_Outcome(error=error))

    threading.Thread(target=copy_context().run, args=(run,), name="pack-node", daemon=True).start()
    try:
        while not isinstance(item := told.get(), _Outcome):
            yield item
    finally:
        call.interrupted.set()
    if isinstance(item.error, Exception):
        raise item.error
    if item.error is not None:
        raise RuntimeError(f"it wants to end the whole process: {type(item.error).__name__}") from item.error
    return item.result


def on_loop(work: Callable[[], Coroutine[Any, Any, Any]], pictures: list[Artifact]) -> Generator[Await, Any, Any]:
    """What a coroutine returns, which runs on the job's event loop; other nodes of the job go on meanwhile."""

    async def run(tell: Callable[[Progress | Say], None]) -> Any:
        call = Call(tell, pictures)
        CALL.set(call)
        try:
            return await work()
        finally:
            call.interrupted.set()

    return (yield Await(run))

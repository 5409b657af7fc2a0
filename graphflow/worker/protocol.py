"""The seam: what the control wing knows of a worker. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from graphflow.errors import Problem
from graphflow.events import Chunk, Event, JobCancelled, JobDone, JobFailed, Made, Passing
from graphflow.node import NodeDef
from graphflow.registry import BrokenPack, Definitions

if TYPE_CHECKING:
    from graphflow.plan import Plan  # which loads networkx; a server answers before it needs that

State = Literal["starting", "ready", "busy", "dead"]
Item = Event | Passing | Made | Chunk
"""What a running plan gives. Whoever takes a `Chunk` says so with `Worker.took` once it is stored."""
ENDS = (JobDone, JobFailed, JobCancelled)
"""The last thing that a running plan gives is one of these."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told when it starts."""

    name: str = "local"
    device: str = "auto"
    dtype: str = "auto"
    vram_limit: int = 0
    """Bytes of device memory for weights; 0: what there is."""
    roots: tuple[Path, ...] = ()
    """Folders with models."""
    places: tuple[tuple[str, Path], ...] = ()
    """Further directories for a models folder, by its name."""
    hashes: Path | None = None
    """The file that keeps files' hashes."""
    cache: Path | None = None
    """The folder of the cache's disk tier."""
    memory_cache: int = 2**30
    disk_cache: int = 0
    batching: Literal["auto", "on", "off"] = "auto"
    """Whether jobs share calls of a network; `auto`: on accelerators, where it pays. Shared calls may differ from solo
    runs in the last bits."""
    greeting: Path | None = None
    """The file that keeps the last greeting, so that a server knows its nodes before the worker is up."""
    packs: tuple[tuple[str, Path], ...] = ()
    """Folders of node packs in another style: name of an entry point in `graphflow.pack_loaders`, and the folder."""
    options: tuple[tuple[str, str], ...] = ()
    """Compatibility settings, for example `noise`."""


class DeskSign(BaseModel):
    """What the control wing knows of a `graphflow.registry.Desk`."""

    model_config = ConfigDict(frozen=True)

    style: str
    about: Any = None


class Greeting(BaseModel):
    """What a worker says when it is up."""

    model_config = ConfigDict(frozen=True)

    version: str
    definitions: dict[str, NodeDef]
    broken: tuple[BrokenPack, ...] = ()
    desks: tuple[DeskSign, ...] = ()
    """Where its packs answer questions: see `Worker.ask`."""
    device: str = ""
    """For people: `cpu, float32`."""
    realm: str = ""
    """Enters the keys of what is computed here."""
    details: dict[str, Any] = {}
    """Device type, index, bytes of memory."""


@dataclass(frozen=True)
class Status:
    """How a worker is."""

    name: str
    state: State
    device: str = ""
    message: str = ""


class Worker(Protocol):
    """Runs plans."""

    @property
    def name(self) -> str:
        """Its name in this server."""

    @property
    def status(self) -> Status:
        """How it is now."""

    @property
    def greeting(self) -> Greeting | None:
        """What it said last; None before the first time."""

    @property
    def definitions(self) -> Definitions:
        """Its nodes; empty before the first greeting."""

    async def start(self, changed: Callable[[Status], None] = ...) -> None:
        """Begins to start; `changed` hears every change of status. Returns at once."""

    async def ready(self) -> None:
        """Returns when plans can run. Raises `WorkerDied` when it cannot be brought up."""

    def run(self, plan: Plan) -> AsyncIterator[Item]:
        """Everything that happens to a plan, up to one of `ENDS`. Raises `WorkerDied` when the worker does."""

    def cancel(self, job: str) -> None:
        """Ends a job within a step."""

    def took(self, job: str) -> None:
        """Says that a chunk of one of a job's files is stored: the worker waits while several are not."""

    def watch(self, looking: bool) -> None:
        """Says whether anybody looks at previews."""

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Literal["memory", "disk"]]:
        """For each of the keys that is cached, where."""

    async def check(self, plan: Plan) -> Sequence[Problem]:
        """What the plan's nodes themselves object to in their inputs."""

    async def ask(self, desk: int, question: Any) -> Any:
        """What a desk of its packs answers, by its place in the greeting; None while the worker is not up."""

    async def keep(self, key: str) -> bool:
        """Keeps a cached result for good, for a frozen node; False when it is not here or cannot be kept."""

    async def stats(self) -> Mapping[str, Any]:
        """Memory in use, models loaded, bytes cached."""

    async def free(self, *, models: bool = True, cache: bool = False) -> None:
        """Lets go of idle models, and of what is cached in memory."""

    async def close(self) -> None:
        """Ends it; running jobs are cancelled."""

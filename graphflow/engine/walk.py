"""One job: walks its plan task by task, on a thread of its own.

For each task: is its key cached, or being computed by another job? Then its result is taken. Otherwise its node runs
(`call`). While one awaits something, those that do not need it go on: each task is a course (`courses`).
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal

from graphflow.cache import Cache, Entry
from graphflow.engine.call import Call, output_index
from graphflow.engine.courses import Course, Flights, Loop, Strand
from graphflow.engine.peak import Meter
from graphflow.engine.stepper import Lane, Stepper
from graphflow.errors import Cancelled, ErrorBody, FrozenGone, GraphflowError, NodeFailed
from graphflow.events import (
    Chunk,
    Event,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    Made,
    NodeCached,
    NodeDone,
    NodeProgress,
    Passing,
)
from graphflow.files import Finder
from graphflow.node import PLACE, Artifact, Node
from graphflow.plan import Plan, Ref, Task
from graphflow.registry import Definitions, Registry
from graphflow.workflow import Source

log = logging.getLogger(__name__)
Emit = Callable[[Event | Passing | Made | Chunk], None]


@dataclass(frozen=True)
class Shop:
    """What all walks of an engine share."""

    registry: Registry
    definitions: Definitions
    cache: Cache
    flights: Flights
    stepper: Stepper
    finder: Finder
    free: Callable[[], None]
    watched: Callable[[], bool]
    """Whether anybody looks at previews."""
    realm: str = ""
    meter: Meter = field(default_factory=Meter)


@dataclass
class Walk:
    """One job on its way. `run` does all of it; `cancel` may be called from any thread."""

    shop: Shop
    plan: Plan
    emit: Emit
    worker: str = ""
    cancelled: bool = False
    lanes: list[Lane] = field(default_factory=list)
    """Its work on the device."""
    loop: Loop = field(default_factory=Loop)
    """Where what it awaits goes on."""
    _cancelling: Future[None] = field(default_factory=Future)

    def run(self) -> None:
        """Walks the plan; ends with exactly one of `JobDone`, `JobFailed`, `JobCancelled`."""
        job, began = self.plan.job, time.monotonic()
        self.tell(JobStarted, worker=self.worker, nodes=tuple(task.id for task in self.plan.tasks))
        try:
            with self.shop.meter.span() as span:
                self._follow(Level(self, self.plan).run(self.plan.outputs))
            self.tell(JobDone, seconds=time.monotonic() - began, peak=span.peak)
        except Cancelled:
            self.tell(JobCancelled)
        except GraphflowError as error:
            log.info("job %s failed: %s", job, error, exc_info=error)
            self.tell(JobFailed, error=error.body())
        except Exception:  # a fault of ours; the job must end all the same, and nothing of it leaks to a client
            log.exception("job %s failed by a fault of the engine", job)
            self.tell(JobFailed, error=ErrorBody(code="internal", message="a fault inside GraphFlow: see its log"))
        finally:
            self.loop.close()

    def _follow(self, course: Course[None]) -> None:
        """Goes on until the end, and waits where there is nothing to do. Raises `Cancelled` once the job is."""
        with closing(course):
            for awaited in course:
                wait({*awaited, self._cancelling}, return_when=FIRST_COMPLETED)
                self.check()

    def cancel(self) -> None:
        """Ends the job within a step."""
        self.cancelled = True
        for lane in list(self.lanes):
            lane.cancelled = True
        with suppress(InvalidStateError):
            self._cancelling.set_result(None)

    def level(self, plan: Plan, grower: Call) -> Level:
        """For a plan that a call grew."""
        return Level(self, plan, grower)

    def check(self) -> None:
        """Raises `Cancelled` once the job is."""
        if self.cancelled:
            raise Cancelled("the job was cancelled")

    def tell(self, kind: Callable[..., Event], **content: Any) -> None:
        """Tells the job's listeners of an event."""
        self.emit(kind(job=self.plan.job, time=time.time(), **content))


class Level:
    """A plan, or a plan grown inside one, with the results of its tasks."""

    def __init__(self, walk: Walk, plan: Plan, grower: Call | None = None) -> None:
        """`grower` is the call that grew the plan, if any."""
        self.walk = walk
        self.shop = walk.shop
        self.tasks = plan.tasks
        self.visible = "" if grower is None else grower.id
        """The node that the user sees, for everything that grew."""
        self.outer = None if grower is None else grower.level
        self.place = None if grower is None else PLACE.get()
        """Where the call happened that grew it."""
        self.depth: int = 0 if self.outer is None else self.outer.depth + 1
        self.going: dict[int, Call] = {}
        self.entries: dict[int, Entry] = {}
        self.keys: dict[int, str] = {}

    def run(self, wanted: Iterable[int], asker: Call | None = None) -> Course[None]:
        """Computes the wanted tasks and what they need, lazy inputs left aside, for a call that waits for them, if any.

        They begin in the plan's order; while some wait, the others go on. If one fails, all end.
        """
        places = self._eager(wanted)
        sorter = TopologicalSorter(
            {place: {ref.task for ref in self.tasks[place].refs(eager=True)} & places for place in places}
        )
        sorter.prepare()
        ready: list[int] = []
        strands: dict[int, Strand[None]] = {}
        try:
            while sorter.is_active():
                for place in sorter.get_ready():
                    heapq.heappush(ready, place)
                self.walk.check()
                resumed = min((place for place, strand in strands.items() if strand.may_go_on), default=None)
                if resumed is None and not ready:
                    yield frozenset[Future[Any]]().union(*(strand.waits_for for strand in strands.values()))
                    continue
                place = heapq.heappop(ready) if resumed is None else resumed
                if place not in strands:
                    strands[place] = Strand(self._task(place, asker))
                if strands[place].advance():
                    del strands[place]
                    sorter.done(place)
        finally:
            for strand in strands.values():
                strand.close()

    def _eager(self, wanted: Iterable[int]) -> set[int]:
        """Places of the tasks to run."""
        seen = {place for place in wanted if place not in self.entries}
        pending = list(seen)
        while pending:
            for ref in self.tasks[pending.pop()].refs(eager=True):
                if ref.task not in seen and ref.task not in self.entries:
                    seen.add(ref.task)
                    pending.append(ref.task)
        return seen

    def outside(self, source: Source, asker: Call) -> Course[tuple[tuple[Any, ...], str]]:
        """An output's values for nodes that the asker grows, and its key: of a task here, or further out.

        Raises `ValueError` for a task that is nowhere, or that waits for the asker.
        """
        level: Level | None = self
        while level is not None:
            place = next((i for i, task in enumerate(level.tasks) if task.id == source.node), None)
            if place is not None:
                break
            level = level.outer
        if level is None or place is None:
            raise ValueError(
                f"a grown node is linked to node {source.node!r}, which neither grew nor is in the workflow"
            )
        needed = level._eager([place])
        if any(call.level is level and call.place in needed for call in asker.waiting()):
            raise ValueError(f"a grown node is linked to node {source.node!r}, which waits for it: a circle")
        yield from level.run([place], asker)
        index = output_index(self.shop.registry.nodes[level.tasks[place].type], source.output)
        return level.entries[place].outputs[index], f"{level.keys[place]}/{index}"

    # --- one task ---

    def _task(self, place: int, asker: Call | None) -> Course[None]:
        """Runs a task, unless another call of this level has begun it: then waits for that."""
        if place in self.entries:
            return
        if (begun := self.going.get(place)) is not None:
            if asker is not None:
                begun.awaited_by(asker)
            yield frozenset([begun.ended])
            return
        task = self.tasks[place]
        id = self.visible or task.id
        node = self.shop.registry.nodes.get(task.type)
        if node is None:
            raise NodeFailed(id, f"this worker has no node {task.type!r}; restart it after installing a pack")
        if task.frozen:
            self._thaw(place, task, node, id)
            return
        call = self.going[place] = Call(self, task, node, id, place)
        if asker is not None:
            call.awaited_by(asker)
        try:
            yield from self._run(call)
        finally:
            del self.going[place]
            call.ended.set_result(None)

    def _run(self, call: Call) -> Course[None]:
        place, id, node = call.place, call.id, call.node
        key = self.keys[place] = call.key()
        found = yield from self.shop.flights.run(key, lambda: self.shop.cache.get(key), call.compute_and_keep)
        entry = self.entries[place] = found.result if isinstance(found.result, Entry) else found.result[0]
        if not self.visible and not isinstance(found.result, Entry):
            reason: Literal["memory", "disk", "shared"] = "shared" if found.waited else found.result[1]
            self.walk.tell(NodeCached, node=id, reason=reason, made=entry.made, key=key)
        began = time.monotonic()
        call.guarded(lambda: self._send_large(id, entry))
        if not self.visible and isinstance(found.result, Entry) and not call.skipped:
            seconds = entry.seconds + time.monotonic() - began
            self.walk.tell(NodeDone, node=id, seconds=seconds, memory=entry.size, peak=call.peak, key=key)
        if node.definition.output_node:
            self._give(id, entry)

    def _thaw(self, place: int, task: Task, node: Node, id: str) -> None:
        """Takes what is kept for a frozen node."""
        self.keys[place] = task.key
        found = self.shop.cache.get(task.key)
        if found is None or len(found[0].outputs) < len(node.definition.outputs):
            raise FrozenGone(id, FrozenGone.MESSAGE, type=task.type)
        entry = self.entries[place] = found[0]
        self.walk.tell(NodeCached, node=id, reason="frozen", made=entry.made, key=task.key)
        if node.definition.output_node:
            self._give(id, entry)

    def _send_large(self, id: str, entry: Entry) -> None:
        """Sends files that are made as they are stored on, piece by piece, before their node is done."""
        for index, artifact in enumerate(_artifacts(entry)):
            if isinstance(artifact.data, bytes):
                continue
            with closing(artifact.data()) as pieces:
                for piece in pieces:
                    self.walk.check()
                    if isinstance(piece, bytes):
                        self.walk.emit(Chunk(self.walk.plan.job, id, index, artifact.media_type, piece))
                    elif not self.visible:
                        self.walk.tell(NodeProgress, node=id, value=piece.value, total=piece.total, text=piece.text)

    def _give(self, id: str, entry: Entry) -> None:
        """Sends the files of an output node on to be stored, or says that all of them is sent."""
        for index, artifact in enumerate(_artifacts(entry)):
            data = artifact.data if isinstance(artifact.data, bytes) else b""
            details = dict(artifact.details)
            self.walk.emit(Made(self.walk.plan.job, id, index, artifact.media_type, artifact.name, data, details))

    def values(self, value: Any) -> tuple[Any, ...]:
        """The values behind an input: of another task's output, or the literal."""
        if isinstance(value, Ref):
            return self.entries[value.task].outputs[value.output]
        return (value,)


def _artifacts(entry: Entry) -> list[Artifact]:
    return [value for values in entry.outputs for value in values if isinstance(value, Artifact)]

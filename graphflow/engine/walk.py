"""One job: walks its plan task by task, on a thread of its own.

For each task: is its key cached, or being computed by another job? Then its result is taken. Otherwise its inputs are
gathered and its node runs: nodes that stand on weights and slow ones on the device (`stepper`), the others right here.
Four things go beyond a plain graph: lazy inputs are computed when asked for, lists are mapped over, blocked values let
nodes be skipped, and a node may grow further nodes, which are compiled and walked like the rest.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from graphflow.cache import Cache, Entry, Flights
from graphflow.engine.peak import Meter
from graphflow.engine.stepper import Lane, Listener, Stepper, is_out_of_memory
from graphflow.errors import (
    Cancelled,
    ErrorBody,
    FrozenGone,
    GraphflowError,
    InvalidWorkflow,
    NodeFailed,
    OutOfMemory,
    Problem,
)
from graphflow.events import (
    Event,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    Made,
    NodeCached,
    NodeDone,
    NodeProgress,
    NodeSaid,
    NodeSkipped,
    NodeStarted,
    Passing,
    Preview,
)
from graphflow.files import Finder
from graphflow.node import (
    PLACE,
    Artifact,
    Blocked,
    Denoise,
    Expansion,
    File,
    Lazy,
    Need,
    Node,
    Place,
    Progress,
    Say,
    Text,
    Value,
)
from graphflow.plan import Plan, Ref, Task, compile, digest, fitted
from graphflow.registry import Definitions, Registry
from graphflow.values import dumps, summary
from graphflow.workflow import Source, Workflow, WorkflowNode, link

MAX_GROWTH = 500
"""How deep nodes that grow may nest: a loop is growth within growth."""
PYTHON_TYPES: dict[str, type] = {"INT": int, "FLOAT": float}

log = logging.getLogger(__name__)
Emit = Callable[[Event | Passing | Made], None]


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
    _lanes: list[Lane] = field(default_factory=list)

    def run(self) -> None:
        """Walks the plan; ends with exactly one of `JobDone`, `JobFailed`, `JobCancelled`."""
        job, began = self.plan.job, time.monotonic()
        self._tell(JobStarted, worker=self.worker, nodes=tuple(task.id for task in self.plan.tasks))
        try:
            with self.shop.meter.span() as span:
                _Level(self, self.plan).run(self.plan.outputs)
            self._tell(JobDone, seconds=time.monotonic() - began, peak=span.peak)
        except Cancelled:
            self._tell(JobCancelled)
        except GraphflowError as error:
            log.info("job %s failed: %s", job, error, exc_info=error)
            self._tell(JobFailed, error=error.body())
        except Exception:  # a fault of ours; the job must end all the same, and nothing of it leaks to a client
            log.exception("job %s failed by a fault of the engine", job)
            self._tell(JobFailed, error=ErrorBody(code="internal", message="a fault inside GraphFlow: see its log"))

    def cancel(self) -> None:
        """Ends the job within a step."""
        self.cancelled = True
        for lane in list(self._lanes):
            lane.cancelled = True

    def check(self) -> None:
        """Raises `Cancelled` once the job is."""
        if self.cancelled:
            raise Cancelled("the job was cancelled")

    def _tell(self, kind: Callable[..., Event], **content: Any) -> None:
        self.emit(kind(job=self.plan.job, time=time.time(), **content))


class _Level:
    """A plan, or a plan grown inside one, with the results of its tasks."""

    def __init__(
        self, walk: Walk, plan: Plan, visible: str = "", outer: _Level | None = None, place: Place | None = None
    ) -> None:
        """`visible` is the node that the user sees, for everything that it grew at `place`, in the level `outer`."""
        self.walk = walk
        self.shop = walk.shop
        self.tasks = plan.tasks
        self.visible = visible
        self.outer = outer
        self.place = place
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.running: set[int] = set()
        self.entries: dict[int, Entry] = {}
        self.keys: dict[int, str] = {}

    def run(self, wanted: Iterable[int]) -> None:
        """Computes the wanted tasks and what they need, lazy inputs left aside."""
        for place in self._eager(wanted):
            self.walk.check()
            self._run_task(place)

    def _eager(self, wanted: Iterable[int]) -> list[int]:
        """Places of the tasks to run, in order."""
        seen = {place for place in wanted if place not in self.entries}
        pending = list(seen)
        while pending:
            for ref in self.tasks[pending.pop()].refs(eager=True):
                if ref.task not in seen and ref.task not in self.entries:
                    seen.add(ref.task)
                    pending.append(ref.task)
        return sorted(seen)

    def outside(self, source: Source) -> tuple[tuple[Any, ...], str]:
        """An output's values for nodes that grow here, and its key: of a task here, or further out.

        Raises `ValueError` for a task that is nowhere, or that waits for what grows.
        """
        level: _Level | None = self
        while level is not None:
            place = next((i for i, task in enumerate(level.tasks) if task.id == source.node), None)
            if place is not None:
                break
            level = level.outer
        if level is None or place is None:
            raise ValueError(
                f"a grown node is linked to node {source.node!r}, which neither grew nor is in the workflow"
            )
        if level.running.intersection(level._eager([place])):
            raise ValueError(f"a grown node is linked to node {source.node!r}, which waits for it: a circle")
        level.run([place])
        index = _output_index(self.shop.registry.nodes[level.tasks[place].type], source.output)
        return level.entries[place].outputs[index], f"{level.keys[place]}/{index}"

    # --- one task ---

    def _run_task(self, place: int) -> None:
        self.running.add(place)
        try:
            self._run(place)
        finally:
            self.running.discard(place)

    def _run(self, place: int) -> None:
        task = self.tasks[place]
        id = self.visible or task.id
        node = self.shop.registry.nodes.get(task.type)
        if node is None:
            raise NodeFailed(id, f"this worker has no node {task.type!r}; restart it after installing a pack")
        if task.frozen:
            self._thaw(place, task, node, id)
            return
        call = _Call(self, task, node, id, place)
        key = self.keys[place] = call.key()
        found = self.shop.flights.run(key, lambda: self.shop.cache.get(key), call.compute_and_keep, self.walk.check)
        entry = self.entries[place] = found.result if isinstance(found.result, Entry) else found.result[0]
        if not self.visible and not isinstance(found.result, Entry):
            reason: Literal["memory", "disk", "shared"] = "shared" if found.waited else found.result[1]
            self.walk._tell(NodeCached, node=id, reason=reason, made=entry.made, key=key)
        elif not self.visible and not call.skipped:
            self.walk._tell(NodeDone, node=id, seconds=entry.seconds, memory=entry.size, peak=call.peak, key=key)
        if node.definition.output_node:
            self._give(id, entry)

    def _thaw(self, place: int, task: Task, node: Node, id: str) -> None:
        """Takes what is kept for a frozen node."""
        self.keys[place] = task.key
        found = self.shop.cache.get(task.key)
        if found is None or len(found[0].outputs) < len(node.definition.outputs):
            raise FrozenGone(id, FrozenGone.MESSAGE, type=task.type)
        entry = self.entries[place] = found[0]
        self.walk._tell(NodeCached, node=id, reason="frozen", made=entry.made, key=task.key)
        if node.definition.output_node:
            self._give(id, entry)

    def _give(self, id: str, entry: Entry) -> None:
        """Sends the files of an output node on to be stored."""
        artifacts = [value for values in entry.outputs for value in values if isinstance(value, Artifact)]
        for index, artifact in enumerate(artifacts):
            details = dict(artifact.details)
            self.walk.emit(
                Made(self.walk.plan.job, id, index, artifact.media_type, artifact.name, artifact.data, details)
            )

    def values(self, value: Any) -> tuple[Any, ...]:
        """The values behind an input: of another task's output, or the literal."""
        if isinstance(value, Ref):
            return self.entries[value.task].outputs[value.output]
        return (value,)


class _Call:
    """One task being computed."""

    def __init__(self, level: _Level, task: Task, node: Node, id: str, place: int) -> None:
        self.level, self.task, self.node, self.id, self.place = level, task, node, id, place
        self.walk, self.shop = level.walk, level.shop
        named = (name for name, _ in task.inputs)
        self.ports = {port.name: port for port in (*node.definition.inputs, *node.definition.further(named))}
        self.keep = True
        self.skipped = False
        self.peak = 0
        self._inputs: dict[str, tuple[Any, ...]] = {}

    def key(self) -> str:
        """The task's key; another one where something that only now is known decides the result, too.

        That is: a parent whose key changed so, a file named by a linked text, the node's own fingerprint.
        """
        self._gather()
        extra: list[Any] = []
        for name, value in self.task.inputs:
            if isinstance(value, Ref):
                if name not in self.task.lazy and self.level.keys[value.task] != self.level.tasks[value.task].key:
                    extra.append([name, self.level.keys[value.task]])
                extra += [[name, file] for item in self._inputs.get(name, ()) for file in _files(item)]
        if self.node.fingerprint is not None:
            extra.append(["fingerprint", self._fingerprint()])
        return digest([self.task.key, extra]) if extra else self.task.key

    def _fingerprint(self) -> str:
        try:
            function = self.node.fingerprint
            assert function is not None
            with self._here_is():
                return str(function(**{name: values[0] for name, values in self._inputs.items() if values}))
        except Exception as error:
            raise self._failed(error) from error

    @contextmanager
    def _here_is(self) -> Iterator[None]:
        """Says to the node's functions where they are called."""
        plan, level = self.walk.plan, self.level
        token = PLACE.set(Place(plan.job, self.id, tuple(level.tasks), self.task.id, level.place, plan.texts))
        try:
            yield
        finally:
            PLACE.reset(token)

    def _gather(self) -> None:
        """Every eager input's values, as their ports want them."""
        for name, value in self.task.inputs:
            if name in self.task.lazy:
                continue
            values = self.level.values(value)
            if isinstance(value, Ref):
                values = tuple(self._as_port(name, item) for item in values)
            self._inputs[name] = values

    def _as_port(self, name: str, value: Any) -> Any:
        """A linked literal checked like a written one; other values as they are."""
        port = self.ports[name]
        schema = port.schema_to_fit
        if isinstance(value, Value) or schema is None:
            return value
        kind = PYTHON_TYPES.get(port.type)
        if kind is not None and isinstance(value, bool):
            value = kind(value)
        try:
            return fitted(schema, value, self.shop.finder)
        except (ValueError, GraphflowError) as error:
            raise self._failed(error, name) from error

    def compute_and_keep(self) -> Entry:
        """The task's result, put into the cache unless it was blocked."""
        entry = self.compute()
        if self.keep:
            self.shop.cache.put(self.level.keys[self.place], entry)
        return entry

    def compute(self) -> Entry:
        """Runs the node for each item of its lists, and gathers its outputs."""
        blocked = [value for values in self._inputs.values() for value in values if isinstance(value, Blocked)]
        if blocked:
            return self._skip(blocked[0])
        began = time.monotonic()
        if not self.level.visible:
            self.walk._tell(NodeStarted, node=self.id)
        with self._here_is(), self.shop.meter.span() as span:
            results = self._map()
            outputs = self._collect(results)
        self.peak = span.peak
        return Entry.of(outputs, time.monotonic() - began)

    def _skip(self, blocked: Blocked) -> Entry:
        self.skipped, self.keep = True, False
        if not self.level.visible:
            self.walk._tell(NodeSkipped, node=self.id, reason=blocked.message)
        return Entry.of(tuple((blocked,) for _ in self.node.definition.outputs), 0.0)

    def _map(self) -> list[Any]:
        """What the node returned, once for each item; a list input is given whole to every call."""
        whole = {name: list(values) for name, values in self._inputs.items() if self.ports[name].list}
        single = {name: values for name, values in self._inputs.items() if name not in whole}
        lengths = [len(values) for values in single.values()]
        count = 0 if 0 in lengths else max(lengths, default=1)
        calls = []
        for i in range(count):
            items = {name: values[min(i, len(values) - 1)] for name, values in single.items()}
            lazy = {name: Lazy[Any](name) for name, _ in self.task.inputs if name in self.task.lazy}
            calls.append({**whole, **items, **lazy})
        if self.node.definition.device:
            return self._on_device(calls)
        return [self._here(call, i, count) for i, call in enumerate(calls)]

    def _here(self, inputs: Mapping[str, Any], index: int, count: int) -> Any:
        """Runs the node on this thread."""
        self.walk.check()
        try:
            result = self.node.function(**inputs)
            if not hasattr(result, "send"):
                return result
            return self._drive(result)
        except (Cancelled, NodeFailed):
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise self._failed(error) from error
        self.shop.free()
        try:
            return self.node.function(**inputs)
        except Exception as error:
            raise self._failed(error) from error

    def _drive(self, steps: Any) -> Any:
        """A generator that needs no device: inputs it asks for, and its progress."""
        answer = None
        try:
            while True:
                self.walk.check()
                item = steps.send(answer)
                answer = None
                if isinstance(item, Need):
                    answer = self._lazily(item.input)
                elif isinstance(item, Progress):
                    _Voice(self).progress(item.value, item.total, item.text)
                elif isinstance(item, Say):
                    _Voice(self).say(item)
                elif isinstance(item, Denoise):
                    raise TypeError("a node that asks for denoising must take a model")
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()

    def _lazily(self, name: str) -> Any:
        """The value of a lazy input, computed now. A branch that is not linked gives None."""
        for port, value in self.task.inputs:
            if port == name:
                if isinstance(value, Ref):
                    self.level.run([value.task])
                values = self.level.values(value)
                return self._as_port(name, values[0]) if values else None
        return None

    def _on_device(self, calls: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Runs the node on the device: all items at once, so that they may share calls."""
        voice = _Voice(self)
        lanes = [Lane(partial(copy_context().run, self.node.function, **call), voice) for call in calls]
        self.walk._lanes.extend(lanes)
        if self.walk.cancelled:
            self.walk.cancel()
        try:
            for lane in lanes:
                self.shop.stepper.submit(lane)
            return [self._outcome(lane) for lane in lanes]
        finally:
            for lane in lanes:
                lane.cancelled = True
                self.walk._lanes.remove(lane)

    def _outcome(self, lane: Lane) -> Any:
        while True:
            kind, content = lane.messages.get()
            if kind == "done":
                return content
            if kind == "failed":
                if isinstance(content, Cancelled | NodeFailed):
                    raise content
                raise self._failed(content) from content
            try:
                self.shop.stepper.answer(lane, self._lazily(content))
            except BaseException as error:  # the lane must not wait for ever
                self.shop.stepper.answer(lane, error=error)
                raise

    # --- what came out ---

    def _collect(self, results: Sequence[Any]) -> Any:
        """For each output its values, over all calls; grown nodes are walked."""
        ports = self.node.definition.outputs
        gathered: list[list[Any]] = [[] for _ in (*ports, *(() if ports and not self.node.files else (None,)))]
        for result in results:
            for index, values in enumerate(self._outputs(result)):
                gathered[index].extend(values)
        if any(isinstance(value, Blocked) for values in gathered for value in values):
            self.keep = False
        return tuple(tuple(values) for values in gathered)

    def _outputs(self, result: Any) -> list[list[Any]]:
        """The values of each output that one call returned."""
        definition = self.node.definition
        if isinstance(result, Expansion):
            return self._grow(result)
        if not definition.outputs:
            return [list(result) if isinstance(result, list | tuple) else [] if result is None else [result]]
        if isinstance(result, Blocked):
            return [[result] for _ in definition.outputs]
        items = self.node.outputs(result)
        if len(items) != len(definition.outputs):
            message = f"it returned {len(items)} results for {len(definition.outputs)} outputs"
            raise NodeFailed(self.id, message, type=self.task.type)
        values = [
            list(item) if port.list and isinstance(item, list | tuple) else [item]
            for port, item in zip(definition.outputs, items, strict=True)
        ]
        return [*values, self.node.made(result)] if self.node.files else values

    def _grow(self, expansion: Expansion) -> list[list[Any]]:
        """The values of the outputs of grown nodes."""
        if self.level.depth >= MAX_GROWTH:
            message = f"it grew nodes {MAX_GROWTH} levels deep: a loop without an end? Bound it"
            raise NodeFailed(self.id, message, type=self.task.type)
        sources = [(output, link(output)) for output in expansion.outputs]
        inside = [source.node for _, source in sources if source is not None and source.node in expansion.nodes]
        try:
            nodes, keys = self._rooted(expansion)
            further = {
                s: self.level.outside(s)[0] for _, s in sources if s is not None and s.node not in expansion.nodes
            }
        except ValueError as error:
            raise self._failed(error) from error
        if isinstance(nodes, Blocked):
            return [[nodes] for _ in sources]
        grown = self._compiled(nodes, inside, keys)
        level = _Level(self.walk, grown, self.id, self.level, PLACE.get())
        level.run(grown.outputs)
        place = {task.id: i for i, task in enumerate(grown.tasks)}
        values: list[list[Any]] = []
        for output, source in sources:
            if source is None:
                values.append([output])
            elif source in further:
                values.append(list(further[source]))
            else:
                task = place[source.node]
                index = _output_index(self.shop.registry.nodes[level.tasks[task].type], source.output)
                values.append(list(level.entries[task].outputs[index]))
        return values

    def _rooted(self, expansion: Expansion) -> tuple[dict[str, Any] | Blocked, dict[int, str]]:
        """The grown nodes with values for their links out of what grew, and these values' keys by identity.

        One that is blocked blocks them all. Raises `ValueError` for a link that leads nowhere, or to several values.
        """
        nodes: dict[str, Any] = {}
        keys: dict[int, str] = {}
        for local, node in expansion.nodes.items():
            inputs = dict(node.get("inputs") or {})
            for name, value in inputs.items():
                source = link(value)
                if source is None or source.node in expansion.nodes:
                    continue
                values, key = self.level.outside(source)
                if len(values) != 1:
                    raise ValueError(f"node {source.node!r} gives {len(values)} values; a grown node takes one")
                if isinstance(values[0], Blocked):
                    return values[0], {}
                inputs[name] = values[0]
                keys[id(values[0])] = key
            nodes[local] = {**node, "inputs": inputs}
        return nodes, keys

    def _compiled(self, nodes: Mapping[str, Any], targets: list[str], keys: Mapping[int, str]) -> Plan:
        workflow = Workflow(nodes={id: WorkflowNode.model_validate(node) for id, node in nodes.items()})
        outputs = [
            id
            for id, node in workflow.nodes.items()
            if (definition := self.shop.definitions.lookup(node.type)) is not None and definition.output_node
        ]
        self.keep = self.keep and not outputs  # their files must be given again next time
        known = {id(value): f"{self.task.key}/{name}/{i}" for name, values in self._inputs.items()
                 for i, value in enumerate(values)} | dict(keys)  # fmt: skip

        def key_of(value: Value) -> str:
            return known.get(id(value)) or hashlib.sha256(dumps(value)).hexdigest()

        try:
            return compile(
                workflow,
                self.shop.definitions,
                self.shop.finder,
                targets=list(dict.fromkeys([*targets, *outputs])),
                realm=self.shop.realm,
                nonce=f"{time.time_ns()}",
                job=self.walk.plan.job,
                key_of=key_of,
            )
        except InvalidWorkflow as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException, input: str | None = None) -> NodeFailed:
        """The error as the user is told it: at this node, with its inputs' summary."""
        inputs = {name: summary(values[0] if len(values) == 1 else values) for name, values in self._inputs.items()}
        kind: type[NodeFailed] = NodeFailed
        message = str(error) or type(error).__name__
        if is_out_of_memory(error):
            kind = OutOfMemory
            message = "out of memory, even after everything idle was let go: use a smaller size or batch"
        elif not isinstance(error, ValueError | GraphflowError):
            message = f"{type(error).__name__}: {message}"
        failed = kind(self.id, message, type=self.task.type, inputs=inputs)
        if input is not None:
            failed.problems = (
                Problem(node=self.id, input=input, message=message, code=kind.code, details=failed.problems[0].details),
            )
        return failed


class _Voice(Listener):
    """Tells a call's progress to the job's listeners."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    def progress(self, value: float, total: float, text: str) -> None:
        self._call.walk._tell(NodeProgress, node=self._call.id, value=value, total=total, text=text)

    def say(self, words: Say) -> None:
        job, node = self._call.walk.plan.job, self._call.id
        self._call.walk.emit(NodeSaid(job=job, node=node, kind=words.kind, content=words.content))

    def preview(self, jpeg: bytes) -> None:
        self._call.walk.emit(Preview(self._call.walk.plan.job, self._call.id, "image/jpeg", jpeg))

    def wants_preview(self) -> bool:
        return self._call.shop.watched()


def _output_index(node: Node, output: str) -> int:
    """An output's place by its name, or by its index in decimal."""
    names = [port.name for port in node.definition.outputs]
    return names.index(output) if output in names else int(output)


def _files(value: Any) -> list[str]:
    """Digests of the files that a linked text turned out to name."""
    if isinstance(value, File):
        return [value.digest]
    return [file.digest for _, file in sorted(value.files.items())] if isinstance(value, Text) else []

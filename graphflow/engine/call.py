"""One task at work: its key, its inputs, its node's function, and what came out.

Nodes that stand on weights and slow ones run on the device (`stepper`), the others right here. Five things go beyond a
plain graph: lazy inputs are computed when asked for, lists are mapped over, blocked values let nodes be skipped, what is
awaited lets others go on, and a node may grow further nodes, which are compiled and walked like the rest.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from graphflow.cache import Entry
from graphflow.diffusion.memory import is_out_of_memory
from graphflow.engine.courses import Course, together
from graphflow.engine.stepper import Lane, Listener
from graphflow.errors import Cancelled, GraphflowError, InvalidWorkflow, NodeFailed, OutOfMemory, Problem
from graphflow.events import NodeProgress, NodeSaid, NodeSkipped, NodeStarted, Preview
from graphflow.node import (
    PLACE,
    Artifact,
    Await,
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
from graphflow.values import dumps, summary
from graphflow.workflow import Source, Workflow, WorkflowNode, link

if TYPE_CHECKING:
    from graphflow.engine.walk import Level

T = TypeVar("T")
MAX_GROWTH = 500
"""How deep nodes that grow may nest: a loop is growth within growth."""
PYTHON_TYPES: dict[str, type] = {"INT": int, "FLOAT": float}


class Call:
    """One task being computed."""

    def __init__(self, level: Level, task: Task, node: Node, id: str, place: int) -> None:
        """`id` is the node that the user sees, `place` the task's in its level."""
        self.level, self.task, self.node, self.id, self.place = level, task, node, id, place
        self.walk, self.shop = level.walk, level.shop
        named = (name for name, _ in task.inputs)
        self.ports = {port.name: port for port in (*node.definition.inputs, *node.definition.further(named))}
        self.keep = True
        self.skipped = False
        self.peak = 0
        self.ended: Future[None] = Future()
        self._inputs: dict[str, tuple[Any, ...]] = {}
        self._askers: list[Call] = []

    def awaited_by(self, asker: Call) -> None:
        """Another call waits for this one. Raises `NodeFailed` when this one waits for that."""
        if self in asker.waiting():
            raise asker._failed(ValueError(f"it waits for node {self.task.id!r}, which waits for it: a circle"))
        self._askers.append(asker)

    def waiting(self) -> set[Call]:
        """The calls that wait for this one, itself among them."""
        found, pending = {self}, [self]
        while pending:
            for asker in pending.pop()._askers:
                if asker not in found:
                    found.add(asker)
                    pending.append(asker)
        return found

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

    def compute_and_keep(self) -> Course[Entry]:
        """The task's result, put into the cache unless it was blocked, or is a file yet to be made."""
        entry = yield from self.compute()
        if self.keep and not _is_to_be_made(entry):
            self.shop.cache.put(self.level.keys[self.place], entry)
        return entry

    def guarded(self, work: Callable[[], None]) -> None:
        """Does what belongs to the node; its errors are the node's."""
        try:
            work()
        except (Cancelled, NodeFailed):
            raise
        except Exception as error:
            raise self._failed(error) from error

    def compute(self) -> Course[Entry]:
        """Runs the node for each item of its lists, and gathers its outputs."""
        blocked = [value for values in self._inputs.values() for value in values if isinstance(value, Blocked)]
        if blocked:
            return self._skip(blocked[0])
        began = time.monotonic()
        if not self.level.visible:
            self.walk.tell(NodeStarted, node=self.id)
        with self._here_is(), self.shop.meter.span() as span:
            results = yield from self._map()
            outputs = yield from self._collect(results)
        self.peak = span.peak
        return Entry.of(outputs, time.monotonic() - began)

    def _skip(self, blocked: Blocked) -> Entry:
        self.skipped, self.keep = True, False
        if not self.level.visible:
            self.walk.tell(NodeSkipped, node=self.id, reason=blocked.message)
        return Entry.of(tuple((blocked,) for _ in self.node.definition.outputs), 0.0)

    def _map(self) -> Course[list[Any]]:
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
            return (yield from self._on_device(calls))
        return (yield from together([self._here(call) for call in calls]))

    def _here(self, inputs: Mapping[str, Any]) -> Course[Any]:
        """Runs the node on this thread; once more, with everything idle let go, when memory runs out."""
        try:
            return (yield from self._drive(inputs))
        except (Cancelled, NodeFailed):
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise self._failed(error) from error
        self.shop.free()
        try:
            return (yield from self._drive(inputs))
        except (Cancelled, NodeFailed):
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _drive(self, inputs: Mapping[str, Any]) -> Course[Any]:
        """What the node returns; for a generator that needs no device, what it asks for is answered."""
        self.walk.check()
        steps, answer = _begun(self.node.function, inputs), None
        if not isinstance(steps, Generator):
            return steps
        voice = Voice(self)
        try:
            while True:
                self.walk.check()
                item = steps.send(answer)
                answer = None
                if isinstance(item, Need):
                    answer = yield from self._lazily(item.input)
                elif isinstance(item, Await):
                    answer = yield from self._awaited(item, voice)
                elif isinstance(item, Progress | Say):
                    voice.hear(item)
                elif isinstance(item, Denoise):
                    raise TypeError("a node that asks for denoising must take a model")
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()

    def _awaited(self, item: Await, voice: Voice) -> Course[Any]:
        """What comes of a coroutine; it is cancelled when the job ends first."""
        future = self.walk.loop.begin(item.work(voice.hear))
        while not future.done():
            yield frozenset([future])
        return future.result()

    def _lazily(self, name: str) -> Course[Any]:
        """The value of a lazy input, computed now. A branch that is not linked gives None."""
        for port, value in self.task.inputs:
            if port == name:
                if isinstance(value, Ref):
                    yield from self.level.run([value.task], self)
                values = self.level.values(value)
                return self._as_port(name, values[0]) if values else None
        return None

    def _on_device(self, calls: Sequence[Mapping[str, Any]]) -> Course[list[Any]]:
        """Runs the node on the device: all items at once, so that they may share calls."""
        voice = Voice(self)
        lanes = [Lane(partial(copy_context().run, _begun, self.node.function, call), voice) for call in calls]
        self.walk.lanes.extend(lanes)
        if self.walk.cancelled:
            self.walk.cancel()
        try:
            for lane in lanes:
                self.shop.stepper.submit(lane)
            return (yield from together([self._outcome(lane, voice) for lane in lanes]))
        finally:
            for lane in lanes:
                lane.cancelled = True
                self.walk.lanes.remove(lane)

    def _outcome(self, lane: Lane, voice: Voice) -> Course[Any]:
        while True:
            kind, content = lane.messages.get()
            if kind == "done":
                return content
            if kind == "failed":
                if isinstance(content, Cancelled | NodeFailed):
                    raise content
                raise self._failed(content) from content
            try:
                asked = self._lazily(content) if kind == "need" else self._awaited(content, voice)
                self.shop.stepper.answer(lane, (yield from asked))
            except BaseException as error:  # the lane must not wait for ever
                self.shop.stepper.answer(lane, error=error)
                raise

    # --- what came out ---

    def _collect(self, results: Sequence[Any]) -> Course[tuple[tuple[Any, ...], ...]]:
        """For each output its values, over all calls; grown nodes are walked."""
        ports = self.node.definition.outputs
        gathered: list[list[Any]] = [[] for _ in (*ports, *(() if ports and not self.node.files else (None,)))]
        for result in results:
            for index, values in enumerate((yield from self._outputs(result))):
                gathered[index].extend(values)
        if any(isinstance(value, Blocked) for values in gathered for value in values):
            self.keep = False
        return tuple(tuple(values) for values in gathered)

    def _outputs(self, result: Any) -> Course[list[list[Any]]]:
        """The values of each output that one call returned."""
        definition = self.node.definition
        if isinstance(result, Expansion):
            return (yield from self._grow(result))
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

    def _grow(self, expansion: Expansion) -> Course[list[list[Any]]]:
        """The values of the outputs of grown nodes."""
        if self.level.depth >= MAX_GROWTH:
            message = f"it grew nodes {MAX_GROWTH} levels deep: a loop without an end? Bound it"
            raise NodeFailed(self.id, message, type=self.task.type)
        sources = [(output, link(output)) for output in expansion.outputs]
        inside = [source.node for _, source in sources if source is not None and source.node in expansion.nodes]
        try:
            nodes, keys = yield from self._rooted(expansion)
            further: dict[Source, tuple[Any, ...]] = {}
            for _, source in sources:
                if source is not None and source.node not in expansion.nodes:
                    further[source], _ = yield from self.level.outside(source, self)
        except ValueError as error:
            raise self._failed(error) from error
        if isinstance(nodes, Blocked):
            return [[nodes] for _ in sources]
        grown = self._compiled(nodes, inside, keys)
        level = self.walk.level(grown, self)
        yield from level.run(grown.outputs, self)
        place = {task.id: i for i, task in enumerate(grown.tasks)}
        values: list[list[Any]] = []
        for output, source in sources:
            if source is None:
                values.append([output])
            elif source in further:
                values.append(list(further[source]))
            else:
                task = place[source.node]
                index = output_index(self.shop.registry.nodes[level.tasks[task].type], source.output)
                values.append(list(level.entries[task].outputs[index]))
        return values

    def _rooted(self, expansion: Expansion) -> Course[tuple[dict[str, Any] | Blocked, dict[int, str]]]:
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
                values, key = yield from self.level.outside(source, self)
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


class Voice(Listener):
    """Tells a call's progress to the job's listeners; from any thread."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def hear(self, item: Progress | Say) -> None:
        """Tells what a node yields by the way."""
        if isinstance(item, Say):
            self.say(item)
        else:
            self.progress(item.value, item.total, item.text)

    def progress(self, value: float, total: float, text: str) -> None:
        self._call.walk.tell(NodeProgress, node=self._call.id, value=value, total=total, text=text)

    def say(self, words: Say) -> None:
        job, node = self._call.walk.plan.job, self._call.id
        self._call.walk.emit(NodeSaid(job=job, node=node, kind=words.kind, content=words.content))

    def preview(self, jpeg: bytes, value: float) -> None:
        self._call.walk.emit(Preview(self._call.walk.plan.job, self._call.id, "image/jpeg", jpeg, value))

    def wants_preview(self) -> bool:
        return self._call.shop.watched()


def _begun(function: Callable[..., Any], inputs: Mapping[str, Any]) -> Any:
    """What a node's function returns; a coroutine as a generator that awaits it."""
    result = function(**inputs)
    return _awaiting(result) if inspect.iscoroutine(result) else result


def _awaiting(work: Coroutine[Any, Any, T]) -> Generator[Await, T, T]:
    return (yield Await(lambda _: work))


def output_index(node: Node, output: str) -> int:
    """An output's place by its name, or by its index in decimal."""
    names = [port.name for port in node.definition.outputs]
    return names.index(output) if output in names else int(output)


def _is_to_be_made(entry: Entry) -> bool:
    """Whether a file among the outputs is made only as it is stored: it is no result that could be taken again."""
    values = (value for values in entry.outputs for value in values)
    return any(isinstance(value, Artifact) and not isinstance(value.data, bytes) for value in values)


def _files(value: Any) -> list[str]:
    """Digests of the files that a linked text turned out to name."""
    if isinstance(value, File):
        return [value.digest]
    return [file.digest for _, file in sorted(value.files.items())] if isinstance(value, Text) else []

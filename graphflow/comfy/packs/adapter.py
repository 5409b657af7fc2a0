"""A node class of a pack, in the old style or with a schema, as one of our nodes: a definition and a function."""

from __future__ import annotations

import asyncio
import inspect
import math
import re
import uuid
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from graphflow.comfy.packs.dynamic import arranged, flattened
from graphflow.comfy.packs.exchange import ExecutionBlocker, Opaque, guessed, inward, outward
from graphflow.comfy.packs.graphs import is_link
from graphflow.comfy.packs.hidden import raw_link, told
from graphflow.comfy.packs.shape import Shape, definition_of, shape_of, takes, wire
from graphflow.comfy.packs.stage import in_thread, knowing, on_loop
from graphflow.comfy.packs.surface import Surface
from graphflow.comfy.packs.typed import ComfyNode, NodeOutput
from graphflow.node import PLACE, Artifact, Blocked, Expansion, Lazy, Node, Place, Value

_UNSAFE = re.compile(r"[^\w .()+-]+", re.ASCII)
"""What a node's type may hold, and a file's name had better not: `ShowText|pack`."""


def node_from(cls: type, type: str, title: str, pack: str, source: bytes, surface: Surface) -> Node:
    """The node of a class. Raises whatever the class raises when asked what it is."""
    shape = shape_of(cls, type, title)
    adapter = _Adapter(cls, shape, surface)
    definition = definition_of(shape, pack, source, checks=adapter.validator is not None)
    check = adapter.check if definition.checks else None
    return Node(definition, adapter, named_outputs=True, fingerprint=adapter.fingerprint(), check=check)


@dataclass
class _Adapter:
    """The function behind the definition."""

    cls: Any
    shape: Shape
    surface: Surface
    _instance: Any = None

    def __call__(self, **inputs: Any) -> Generator[Any, Any, Any]:
        return self._steps(PLACE.get(), inputs)

    @property
    def validator(self) -> Callable[..., Any] | None:
        """The class's own check of its inputs."""
        return getattr(self.cls, "validate_inputs" if issubclass(self.cls, ComfyNode) else "VALIDATE_INPUTS", None)

    def check(self, written: Mapping[str, Any], linked: Mapping[str, str]) -> dict[str, str]:
        """What the class's own check objects to, by each input that it was given; linked ones are None to it."""
        assert self.validator is not None
        given = {name: None if isinstance(value, Value) else _given(value, {}) for name, value in written.items()}
        given |= dict.fromkeys(linked)
        if self.shape.takes_lists:
            given = {name: [value] for name, value in given.items()}
        hidden = {} if issubclass(self.cls, ComfyNode) else self._hidden(PLACE.get(), self.validator, {})
        types = {name: type.replace("|", ",") for name, type in linked.items()}
        with self.surface.installed(), knowing(written.values()):
            given = self._arranged(given)
            answer = _awaited(_called(self.validator, {**given, **hidden, "input_types": types}))
        if answer is True:
            return {}
        message = str(answer) if isinstance(answer, str) else "the node refuses it"
        return {name: message for name in given if takes(self.validator, name)} or {"": message}

    def fingerprint(self) -> Callable[..., str] | None:
        """What decides the result beside the inputs: the class's own check for changes, and which node it is.

        None when there is neither.
        """
        is_schema = issubclass(self.cls, ComfyNode)
        check = getattr(self.cls, "fingerprint_inputs" if is_schema else "IS_CHANGED", None)
        if check is None and self.shape.idempotent:
            return None

        def said(**inputs: Any) -> str:
            place = PLACE.get()
            node = "" if self.shape.idempotent or place is None else place.task
            return f"{node} {self._changed(check, place, inputs)}" if check is not None else node

        return said

    def _changed(self, check: Callable[..., Any], place: Place | None, inputs: Mapping[str, Any]) -> str:
        given = {name: None if isinstance(value, Value | Lazy) else outward(value) for name, value in inputs.items()}
        if not issubclass(self.cls, ComfyNode):
            given |= self._hidden(place, check, {})
        try:
            with self.surface.installed(), knowing(inputs.values()):
                answer = _awaited(_called(check, self._arranged(given)))
        except Exception:  # a check that fails says nothing: the node runs
            answer = math.nan
        return uuid.uuid4().hex if isinstance(answer, float) and math.isnan(answer) else repr(answer)

    def _steps(self, place: Place | None, inputs: Mapping[str, Any]) -> Generator[Any, Any, Any]:
        known: dict[int, Value] = {}
        lazy: dict[str, Any] = {name: value for name, value in inputs.items() if isinstance(value, Lazy)}
        given = {name: _given(value, known) for name, value in inputs.items() if name not in lazy}
        for name in self.shape.raw & lazy.keys():
            raw = raw_link(place, name)
            value = lazy.pop(name)
            value = _given((yield from value), known) if raw is None else raw
            given[name] = [value] if self.shape.takes_lists else value
        given |= dict.fromkeys(lazy, (None,) if self.shape.takes_lists else None)
        target = self._target(place, known)
        method = getattr(target, self.shape.method)
        hidden = self._hidden(place, method, known) if not issubclass(self.cls, ComfyNode) else {}
        while wanted := self._wanted(target, {**given, **hidden}, lazy):
            for name in wanted:
                value = yield from lazy.pop(name)
                given[name] = [_given(value, known)] if self.shape.takes_lists else _given(value, known)
        arguments = {**self._arranged(given, checked=True), **hidden}
        sent: list[Artifact] = []
        result = yield from in_thread(lambda: self._run(method, arguments, inputs.values()), sent)
        if inspect.iscoroutine(result):
            result = yield from on_loop(partial(self._finish, result, inputs.values()), sent)
        return self._returned(result.as_dict() if isinstance(result, NodeOutput) else result, known, sent)

    def _run(self, method: Callable[..., Any], given: Mapping[str, Any], inputs: Iterable[Any]) -> Any:
        with self.surface.installed(), knowing(inputs):
            self._validate(given)
            return method(**given)

    async def _finish(self, result: Coroutine[Any, Any, Any], inputs: Iterable[Any]) -> Any:
        """Of a node that is `async`."""
        with self.surface.installed(), knowing(inputs):
            return await result

    def _arranged(self, given: Mapping[str, Any], *, checked: bool = False) -> dict[str, Any]:
        """The inputs as the class declared them, and those that it did not."""
        if self.shape.arranged is None:
            return dict(given)
        known = {one.name for one in flattened(self.shape.arranged)}
        further = {name: value for name, value in given.items() if name not in known}
        return {**further, **arranged(self.shape.arranged, given, checked=checked)}

    def _target(self, place: Place | None, known: dict[int, Value]) -> Any:
        """What the method is called on: an instance, kept from run to run; for a schema a fresh class."""
        if issubclass(self.cls, ComfyNode):
            hidden = SimpleNamespace(**{name.lower(): value for name, value in told(place, known).items()})
            return type(self.cls.__name__, (self.cls,), {"hidden": hidden})
        if self._instance is None:
            with self.surface.installed():
                self._instance = self.cls()
        return self._instance

    def _hidden(self, place: Place | None, method: Callable[..., Any], known: dict[int, Value]) -> dict[str, Any]:
        """What the class asks for beside its inputs, as far as the method takes it."""
        if not self.shape.hidden:
            return {}
        values = told(place, known)
        asked = {name: values.get(what) for name, what in self.shape.hidden.items()}
        return {name: value for name, value in asked.items() if takes(method, name)}

    def _wanted(self, target: Any, given: Mapping[str, Any], lazy: Mapping[str, Any]) -> list[str]:
        """Lazy inputs that the node asks for now."""
        check = getattr(target, "check_lazy_status", None)
        if not lazy or check is None:
            return []
        with self.surface.installed():
            asked = _awaited(_called(check, self._arranged(given))) or []
        return [name for name in lazy if any(one == name or name.endswith(f".{one}") for one in asked)]

    def _validate(self, given: Mapping[str, Any]) -> None:
        """Raises `ValueError` when the class's own check of its inputs objects."""
        check = self.validator
        if check is None:
            return
        types = {**self.shape.required, **self.shape.optional}
        groups = {key for key in given if key not in types or isinstance(types[key][0], list)}
        plain = {key: _written(value, inside=key in groups) for key, value in given.items()}
        linked = {key: wire(types[key][0]) for key in given if plain[key] is None and key in types}
        answer = _awaited(_called(check, {**plain, "input_types": linked}))
        if answer is not True:
            raise ValueError(str(answer) if isinstance(answer, str) else "the node refused its inputs")

    # --- what came out ---

    def _returned(self, result: Any, known: Mapping[int, Value], sent: Sequence[Artifact]) -> Any:
        shown: Mapping[str, Any] = {}
        if isinstance(result, dict):
            shown = result.get("ui") or {}
            if result.get("expand"):
                return _grown(result["expand"], result.get("result") or (), known)
            result = result.get("result")
        artifacts = [*sent, *self._artifacts(shown)] if self.shape.is_output else []
        if not self.shape.outputs:
            return artifacts
        if isinstance(result, ExecutionBlocker):
            return Blocked(result.message or "")
        values = tuple(result) if isinstance(result, list | tuple) else (result,)
        outputs = tuple(
            [inward(item, port.type, known) for item in value] if port.list else inward(value, port.type, known)
            for port, value in zip(self.shape.outputs, values, strict=False)
        )
        return (*outputs, artifacts) if self.shape.is_output else outputs

    def _artifacts(self, shown: Mapping[str, Any]) -> Generator[Artifact, None, None]:
        for key, entries in shown.items():
            listed = entries if isinstance(entries, list | tuple) else [entries]
            if key == "text":
                text = "\n".join(str(one) for one in listed)
                name = _UNSAFE.sub("_", self.shape.type).strip(" ._") or "text"
                yield Artifact("text/plain", text.encode(), name, {"temporary": True})
            for entry in listed:
                if isinstance(entry, dict) and (file := self.surface.folders.artifact(entry)) is not None:
                    yield file


def _given(value: Any, known: dict[int, Value]) -> Any:
    """A value's outward form; that it stands for this value is noted."""
    if isinstance(value, list):
        return [_given(item, known) for item in value]
    form = outward(value)
    if isinstance(value, Value) and not isinstance(value, Opaque):
        known[id(form)] = value
    return form


def _grown(expand: Mapping[str, Any], result: Sequence[Any], known: Mapping[int, Value]) -> Expansion:
    """The nodes that a node grew, in our words; links may lead out of them."""

    def moved(value: Any) -> Any:
        if is_link(value):
            return {"from": f"{value[0]}.{int(value[1])}"}
        if isinstance(value, Value):
            return value
        if (same := known.get(id(value))) is not None:
            return same
        if isinstance(value, bool | int | float | str | dict | list) or value is None:
            return guessed(value) if isinstance(value, dict) and "samples" in value else value
        return guessed(value)

    nodes = {
        id: {"type": node["class_type"], "inputs": {key: moved(one) for key, one in node.get("inputs", {}).items()}}
        for id, node in expand.items()
    }
    return Expansion(nodes, [moved(one) for one in result])


def _written(value: Any, *, inside: bool) -> Any:
    """A value that can be written into a workflow, and with `inside` a dict of such; None for any other."""
    if isinstance(value, dict) and inside:
        return {name: _written(one, inside=True) for name, one in value.items()}
    return value if isinstance(value, bool | int | float | str | list) else None


def _called(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """With those arguments that it takes."""
    return function(**{name: value for name, value in given.items() if takes(function, name)})


def _awaited(result: Any) -> Any:
    """The result of a coroutine; anything else as it is."""
    return asyncio.run(result) if inspect.iscoroutine(result) else result

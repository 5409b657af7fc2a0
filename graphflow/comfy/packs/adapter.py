"""A node class of a pack, in the old style or with a schema, as one of our nodes: a definition and a function."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from graphflow.comfy.packs.exchange import ExecutionBlocker, Opaque, guessed, inward, outward
from graphflow.comfy.packs.graphs import is_link
from graphflow.comfy.packs.hidden import raw_link, told
from graphflow.comfy.packs.stage import in_thread
from graphflow.comfy.packs.surface import Surface
from graphflow.comfy.packs.typed import ComfyNode, NodeOutput
from graphflow.comfy.signatures import SEEDS
from graphflow.node import PLACE, Artifact, Blocked, Expansion, Lazy, Node, NodeDef, OutputPort, Place, Port, Value

FILES = "FILES"
"""An output that is added to output nodes which also give values: the files they made."""
LIMITS = {"min": "minimum", "max": "maximum"}
KINDS = {"INT": "integer", "FLOAT": "number", "STRING": "string", "BOOLEAN": "boolean"}
EMPTY: Mapping[str, Any] = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}


@dataclass(frozen=True)
class Shape:
    """What a class says of its node, in either style."""

    type: str
    title: str
    category: str
    description: str
    required: Mapping[str, Any]
    optional: Mapping[str, Any]
    hidden: Mapping[str, str]
    outputs: tuple[OutputPort, ...]
    takes_lists: bool
    is_output: bool
    method: str
    raw: frozenset[str] = frozenset()
    """Inputs of which the node wants the link, not the value."""
    idempotent: bool = True
    """Equal calls give equal results, whichever node makes them."""
    deprecated: bool = False
    experimental: bool = False


def node_from(cls: type, type: str, title: str, pack: str, source: bytes, surface: Surface) -> Node:
    """The node of a class. Raises whatever the class raises when asked what it is."""
    shape = _schema_shape(cls) if issubclass(cls, ComfyNode) else _class_shape(cls, type, title)
    adapter = _Adapter(cls, shape, surface)
    return Node(_definition(shape, pack, source), adapter, named_outputs=True, fingerprint=adapter.fingerprint())


# --- what it is ------------------------------------------------------------------------------------------------------


def _class_shape(cls: Any, type: str, title: str) -> Shape:
    inputs = cls.INPUT_TYPES()
    types = tuple(getattr(cls, "RETURN_TYPES", ()))
    names = tuple(getattr(cls, "RETURN_NAMES", ()) or ())
    lists = tuple(getattr(cls, "OUTPUT_IS_LIST", ()) or ())
    tips = tuple(getattr(cls, "OUTPUT_TOOLTIPS", ()) or ())
    outputs = tuple(
        OutputPort(
            name=str(names[i]) if i < len(names) else _wire(one),
            type=_wire(one),
            list=bool(lists[i]) if i < len(lists) else False,
            description=str(tips[i] or "") if i < len(tips) else "",
        )
        for i, one in enumerate(types)
    )
    hidden = {str(name): str(what[0] if isinstance(what, tuple | list) else what)
              for name, what in dict(inputs.get("hidden", {})).items()}  # fmt: skip
    return Shape(
        type=type,
        title=title,
        category=str(getattr(cls, "CATEGORY", "packs")),
        description=str(getattr(cls, "DESCRIPTION", "") or ""),
        required=dict(inputs.get("required", {})),
        optional=dict(inputs.get("optional", {})),
        hidden=hidden,
        outputs=outputs,
        takes_lists=bool(getattr(cls, "INPUT_IS_LIST", False)),
        is_output=bool(getattr(cls, "OUTPUT_NODE", False)),
        method=str(cls.FUNCTION),
        raw=_raw(inputs.get("required", {}), inputs.get("optional", {})),
        idempotent=not getattr(cls, "NOT_IDEMPOTENT", False) and "UNIQUE_ID" not in hidden.values(),
        deprecated=bool(getattr(cls, "DEPRECATED", False)),
        experimental=bool(getattr(cls, "EXPERIMENTAL", False)),
    )


def _schema_shape(cls: type[ComfyNode]) -> Shape:
    schema = cls.define_schema()
    outputs = tuple(
        OutputPort(name=one.name, type=_wire(one.type), list=one.is_list, description=one.tooltip)
        for one in schema.outputs
    )
    required = {one.id: one.spec() for one in schema.inputs if not one.optional}
    optional = {one.id: one.spec() for one in schema.inputs if one.optional}
    asked = {str(getattr(one, "value", one)) for one in schema.hidden}
    return Shape(
        type=schema.node_id,
        title=schema.display_name or schema.node_id,
        category=schema.category,
        description=schema.description,
        required=required,
        optional=optional,
        hidden={},
        outputs=outputs,
        takes_lists=schema.is_input_list,
        is_output=schema.is_output_node,
        method="execute",
        raw=_raw(required, optional),
        idempotent=not schema.not_idempotent and "UNIQUE_ID" not in asked,
        deprecated=schema.is_deprecated,
        experimental=schema.is_experimental,
    )


def _raw(*inputs: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        str(name)
        for some in inputs
        for name, spec in dict(some).items()
        if not isinstance(spec, str) and len(spec) > 1 and spec[1] and spec[1].get("rawLink")
    )


def _definition(shape: Shape, pack: str, source: bytes) -> NodeDef:
    ports = [_port(name, spec, True, shape.takes_lists) for name, spec in shape.required.items()]
    ports += [_port(name, spec, False, shape.takes_lists) for name, spec in shape.optional.items()]
    files = (OutputPort(name=FILES, type=Artifact.wire, list=True),) if shape.is_output and shape.outputs else ()
    return NodeDef(
        type=shape.type,
        title=shape.title,
        category=shape.category,
        description=shape.description,
        inputs=tuple(ports),
        outputs=(*shape.outputs, *files),
        output_node=shape.is_output,
        deprecated=shape.deprecated,
        experimental=shape.experimental,
        pack=pack,
        digest=hashlib.sha256(source).hexdigest()[:16],
    )


def _wire(type: Any) -> str:
    """Our name of a wire type; a list of words is a combo."""
    return "COMBO" if isinstance(type, list | tuple) else str(type).replace(",", "|")


def _port(name: str, spec: Any, required: bool, whole: bool) -> Port:
    type, options = (spec[0], dict(spec[1]) if len(spec) > 1 and spec[1] else {}) if not isinstance(spec, str) else (
        spec, {}
    )  # fmt: skip
    field = None if options.get("forceInput") or options.get("rawLink") else _field(name, type, options)
    return Port(
        name=name,
        type=_wire(type),
        required=required,
        default=None if field is None else field.get("default"),
        field=field,
        lazy=bool(options.get("lazy") or options.get("rawLink")),
        list=whole,
        description=str(options.get("tooltip") or ""),
    )


def _field(name: str, type: Any, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """JSON schema of a widget; None for what can only be linked."""
    choices = list(type) if isinstance(type, list | tuple) else options.get("options") if type == "COMBO" else None
    if choices is not None:
        default = options.get("default", choices[0] if choices else "")
        field = {"enum": choices, "default": default} if choices else {"type": "string", "default": default}
        return {**field, "type": "string"} if all(isinstance(one, str) for one in choices) else field
    kind = KINDS.get(str(type))
    if kind is None:
        return None
    field = {"type": kind, "default": options.get("default", EMPTY[str(type)])}
    if kind in ("integer", "number"):
        numbers = {LIMITS[key]: options[key] for key in LIMITS if _is_finite(options.get(key))}
        field |= numbers | ({"step": options["step"]} if _is_finite(options.get("step")) else {})
        if options.get("control_after_generate", kind == "integer" and name in SEEDS):
            field["widget"] = "seed"
    if options.get("multiline"):
        field["widget"] = "multiline"
    return field


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- what it does ----------------------------------------------------------------------------------------------------


@dataclass
class _Adapter:
    """The function behind the definition."""

    cls: Any
    shape: Shape
    surface: Surface
    _instance: Any = None

    def __call__(self, **inputs: Any) -> Generator[Any, Any, Any]:
        return self._steps(PLACE.get(), inputs)

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
        given: dict[str, Any] = {name: None if isinstance(value, Value) else value for name, value in inputs.items()}
        if not issubclass(self.cls, ComfyNode):
            given |= self._hidden(place, check, {})
        try:
            with self.surface.installed():
                answer = _awaited(_called(check, given))
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
        result = yield from in_thread(lambda: self._run(method, {**given, **hidden}))
        return self._returned(result, known)

    def _run(self, method: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        with self.surface.installed():
            self._validate(given)
            result = _awaited(method(**given))
            return result.as_dict() if isinstance(result, NodeOutput) else result

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
        return {name: value for name, value in asked.items() if _takes(method, name)}

    def _wanted(self, target: Any, given: Mapping[str, Any], lazy: Mapping[str, Any]) -> list[str]:
        """Lazy inputs that the node asks for now."""
        check = getattr(target, "check_lazy_status", None)
        if not lazy or check is None:
            return []
        with self.surface.installed():
            asked = _awaited(_called(check, given)) or []
        return [name for name in asked if name in lazy]

    def _validate(self, given: Mapping[str, Any]) -> None:
        """Raises `ValueError` when the class's own check of its inputs objects."""
        name = "validate_inputs" if issubclass(self.cls, ComfyNode) else "VALIDATE_INPUTS"
        check = getattr(self.cls, name, None)
        if check is None:
            return
        plain = {
            key: value if isinstance(value, bool | int | float | str | list) else None for key, value in given.items()
        }
        types = {**self.shape.required, **self.shape.optional}
        linked = {key: _wire(types[key][0]) for key in given if plain[key] is None and key in types}
        answer = _awaited(_called(check, {**plain, "input_types": linked}))
        if answer is not True:
            raise ValueError(str(answer) if isinstance(answer, str) else "the node refused its inputs")

    # --- what came out ---

    def _returned(self, result: Any, known: Mapping[int, Value]) -> Any:
        shown: Mapping[str, Any] = {}
        if isinstance(result, dict):
            shown = result.get("ui") or {}
            if result.get("expand"):
                return _grown(result["expand"], result.get("result") or (), known)
            result = result.get("result")
        artifacts = list(self._artifacts(shown)) if self.shape.is_output else []
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
                yield Artifact("text/plain", text.encode(), self.shape.type, {"temporary": True})
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


def _takes(function: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _called(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """With those arguments that it takes."""
    return function(**{name: value for name, value in given.items() if _takes(function, name)})


def _awaited(result: Any) -> Any:
    """The result of a coroutine; anything else as it is."""
    return asyncio.run(result) if inspect.iscoroutine(result) else result

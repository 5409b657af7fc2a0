"""What a pack's class says of its node, in the old style or with a schema, as a definition of ours."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphflow.comfy.packs.dynamic import GROWS, WHEN, flattened
from graphflow.comfy.packs.stage import FileNames
from graphflow.comfy.packs.typed import ComfyNode
from graphflow.comfy.packs.words import Input
from graphflow.comfy.signatures import SEEDS
from graphflow.node import ANY, Artifact, NodeDef, OutputPort, Port

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
    more: Any = None
    """What inputs of any other name are, as `INPUT_TYPES` would say it; None when there can be none."""
    takes_values: bool = False
    """Of those, values as well as links."""
    judged: tuple[frozenset[str] | None, bool] = (frozenset(), False)
    """Inputs whose values its own check judges, None for all; and whether it judges the types of what is linked."""
    arranged: tuple[Input, ...] | None = None
    """Of a schema, its inputs as the node is given them; the names here are those of `dynamic.flattened`."""
    raw: frozenset[str] = frozenset()
    """Inputs of which the node wants the link, not the value."""
    idempotent: bool = True
    """Equal calls give equal results, whichever node makes them."""
    deprecated: bool = False
    experimental: bool = False


def shape_of(cls: type, type: str, title: str) -> Shape:
    """The shape of a class in either style. Raises whatever the class raises when asked what it is."""
    return _schema_shape(cls) if issubclass(cls, ComfyNode) else _class_shape(cls, type, title)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of that name."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _class_shape(cls: Any, type: str, title: str) -> Shape:
    inputs = cls.INPUT_TYPES()
    types = tuple(getattr(cls, "RETURN_TYPES", ()))
    names = tuple(getattr(cls, "RETURN_NAMES", ()) or ())
    lists = tuple(getattr(cls, "OUTPUT_IS_LIST", ()) or ())
    tips = tuple(getattr(cls, "OUTPUT_TOOLTIPS", ()) or ())
    outputs = tuple(
        OutputPort(
            name=str(names[i]) if i < len(names) else wire(one),
            type=wire(one),
            list=bool(lists[i]) if i < len(lists) else False,
            description=str(tips[i] or "") if i < len(tips) else "",
        )
        for i, one in enumerate(types)
    )
    more, takes_values = _more(cls, inputs)
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
        more=more,
        takes_values=takes_values,
        judged=_judged(getattr(cls, "VALIDATE_INPUTS", None)),
        raw=_raw(inputs.get("required", {}), inputs.get("optional", {})),
        idempotent=not getattr(cls, "NOT_IDEMPOTENT", False) and "UNIQUE_ID" not in hidden.values(),
        deprecated=bool(getattr(cls, "DEPRECATED", False)),
        experimental=bool(getattr(cls, "EXPERIMENTAL", False)),
    )


def _schema_shape(cls: type[ComfyNode]) -> Shape:
    schema = cls.define_schema()
    outputs = tuple(
        OutputPort(name=one.name, type=wire(one.type), list=one.is_list, description=one.tooltip)
        for one in schema.outputs
    )
    flat = flattened(schema.inputs)
    required = {one.name: one.spec for one in flat if one.required}
    optional = {one.name: one.spec for one in flat if not one.required}
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
        more=("*",) if schema.accept_all_inputs else None,
        takes_values=schema.accept_all_inputs,
        arranged=tuple(schema.inputs),
        judged=_judged(getattr(cls, "validate_inputs", None)),
        raw=_raw(required, optional),
        idempotent=not schema.not_idempotent and "UNIQUE_ID" not in asked,
        deprecated=schema.is_deprecated,
        experimental=schema.is_experimental,
    )


ANYTHING = "a name that no node has"


def _more(cls: Any, inputs: Mapping[str, Any]) -> tuple[Any, bool]:
    """What an input of any name is, and whether it may be a value: a pack says so with a dict that holds every key.

    A function with `**kwargs` is given whatever is linked, as ComfyUI does it.
    """
    for section in ("optional", "required"):
        listed = inputs.get(section, {})
        if ANYTHING in listed:
            try:
                return listed[ANYTHING], True
            except KeyError:
                return ("*",), True
    function = getattr(cls, str(cls.FUNCTION), None)
    return (("*",), False) if function is not None and takes(function, ANYTHING) else (None, False)


def _judged(check: Callable[..., Any] | None) -> tuple[frozenset[str] | None, bool]:
    if check is None:
        return frozenset(), False
    parameters = inspect.signature(check).parameters.values()
    everything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    names = frozenset(one.name for one in parameters)
    return (None if everything else names), "input_types" in names


def _raw(*inputs: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        str(name)
        for some in inputs
        for name, spec in dict(some).items()
        if not isinstance(spec, str) and len(spec) > 1 and spec[1] and spec[1].get("rawLink")
    )


def definition_of(shape: Shape, pack: str, source: bytes, *, checks: bool) -> NodeDef:
    """Its definition; `source` is the pack's code, `checks` whether the class judges its inputs itself."""
    ports = [_port(shape, name, spec, True) for name, spec in shape.required.items()]
    ports += [_port(shape, name, spec, False) for name, spec in shape.optional.items()]
    more = None if shape.more is None else _port(shape, "*", shape.more, False)
    if more is not None:
        more = more.model_copy(update={"field": {} if shape.takes_values else None, "default": None})
    files = (OutputPort(name=FILES, type=Artifact.wire, list=True),) if shape.is_output and shape.outputs else ()
    return NodeDef(
        type=shape.type,
        title=shape.title,
        category=shape.category,
        description=shape.description,
        inputs=tuple(ports),
        more=more,
        outputs=(*shape.outputs, *files),
        checks=checks,
        output_node=shape.is_output,
        deprecated=shape.deprecated,
        experimental=shape.experimental,
        pack=pack,
        digest=hashlib.sha256(source).hexdigest()[:16],
    )


def wire(type: Any) -> str:
    """Our name of a wire type; a list of words is a combo, and a text that differs from none fits every type."""
    if isinstance(type, list | tuple):
        return "COMBO"
    return ANY if not (type != ANYTHING) else str(type).replace(",", "|")  # noqa: SIM202 - packs override `!=`


def _port(shape: Shape, name: str, spec: Any, required: bool) -> Port:
    type, options = (spec[0], dict(spec[1]) if len(spec) > 1 and spec[1] else {}) if not isinstance(spec, str) else (
        spec, {}
    )  # fmt: skip
    field = None if options.get("forceInput") or options.get("rawLink") else _field(name, type, options)
    if field is not None and options.get(GROWS):
        field.pop("default", None)  # of what grows, only those that are given count
    if field is not None and options.get(WHEN):
        field["when"] = {name: list(choices) for name, choices in options[WHEN].items()}
    values, links = shape.judged
    root = name.partition(".")[0]
    judged: list[Literal["value", "link"]] = ["value"] if values is None or root in values else []
    return Port(
        name=name,
        type=wire(type),
        required=required,
        default=None if field is None else field.get("default"),
        field=field,
        lazy=bool(options.get("lazy") or options.get("rawLink")),
        list=shape.takes_lists,
        grows=options.get(GROWS, ""),
        judged=(*judged, "link") if links else tuple(judged),
        description=str(options.get("tooltip") or ""),
    )


def _field(name: str, type: Any, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """JSON schema of a widget; None for what can only be linked."""
    choices = type if isinstance(type, list | tuple) else options.get("options") if type == "COMBO" else None
    if choices is not None:
        if (files := _file_field(choices, options)) is not None:
            return files
        choices = list(choices)
        default = options.get("default", choices[0] if choices else "")
        field = {"enum": choices, "default": default} if choices else {"type": "string", "default": default}
        return {**field, "type": "string"} if all(isinstance(one, str) for one in choices) else field
    if options.get("anything"):
        return {}
    kinds = [KINDS[one] for one in str(type).split(",") if one in KINDS]
    type = str(options.get("widgetType") if "," in str(type) else type)
    kind = KINDS.get(type)
    if kind is None:
        return None
    if len(kinds) > 1:
        return {"anyOf": [{"type": one} for one in kinds], "default": options.get("default", EMPTY[type])}
    field = {"type": kind, "default": options.get("default", EMPTY[type])}
    if kind in ("integer", "number"):
        numbers = {LIMITS[key]: options[key] for key in LIMITS if _is_finite(options.get(key))}
        field |= numbers | ({"step": options["step"]} if _is_finite(options.get("step")) else {})
        if options.get("control_after_generate", kind == "integer" and name in SEEDS):
            field["widget"] = "seed"
    if options.get("multiline"):
        field["widget"] = "multiline"
    return field


UPLOADS = {"image_upload": "image", "animated_image_upload": "image", "video_upload": "video", "audio_upload": "audio"}
"""Options that say that a combo's words are names of uploaded files, and of which kind."""


def _file_field(choices: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any] | None:
    """JSON schema of a combo that offers files; None for one that offers words."""
    media = next((kind for option, kind in UPLOADS.items() if options.get(option)), None)
    if media is not None:
        folder = getattr(options.get("image_folder"), "value", options.get("image_folder"))
        return {"type": "string", "folder": "output" if folder == "output" else "input", "media": media}
    if not isinstance(choices, FileNames):
        return None
    field = {"type": "string", "folder": choices.folder}
    extra = [str(one) for one in choices.extra]
    default = options.get("default", extra[0] if extra and choices[0] == extra[0] else None)
    return field | ({"extra": extra} if extra else {}) | ({"default": default} if default in choices else {})


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

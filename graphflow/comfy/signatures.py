"""What ComfyUI calls the inputs and outputs of a node type, and in which order its editor stores their values.

The order comes from a shipped table of ComfyUI's core nodes (facts of its interface), else from our definitions, where
a node keeps the order that it declares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from graphflow.node import ANY, NodeDef, Port
from graphflow.registry import Definitions

WIDGET_TYPES = frozenset(
    [
        "INT",
        "FLOAT",
        "STRING",
        "BOOLEAN",
        "COMBO",
        "IMAGEUPLOAD",
        "AUDIOUPLOAD",
        "AUDIO_UI",
        "AUDIO_RECORD",
        "WEBCAM",
        "MARKDOWN",
        "LOAD_3D",
        "LOAD_3D_ANIMATION",
        "PREVIEW_3D",
        "COLOR",
        "CURVE",
        "BOUNDING_BOX",
        "COMFY_DYNAMICCOMBO_V3",
    ]
)
"""Types whose inputs have a widget, hence a place among a node's stored values."""
SEEDS = ("seed", "noise_seed")
"""INT inputs of these names have a control value after them unless their options say otherwise."""
VIRTUAL = frozenset({"Reroute", "PrimitiveNode", "Note", "MarkdownNote"})
"""Node types that only ComfyUI's editor knows."""
RENAMED: Mapping[str, str] = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
}


@dataclass(frozen=True)
class Slot:
    """An input as ComfyUI's editor has it."""

    name: str
    type: str
    optional: bool = False
    controls: int = 0
    """How many further stored values follow its own: what happens to a seed after each run."""
    upload: bool = False
    """It brings a button that is stored, too, after the required inputs' values."""
    socket: bool = False
    """It has no widget although its type could have one."""
    varied: bool = False
    """Its text is a dynamic prompt: the editor chooses between `{this|that}` before it queues."""
    choices: tuple[tuple[str, tuple[Slot, ...]], ...] = ()
    """For a combo that brings inputs along: those of each option, named `outer.inner`."""

    @property
    def has_widget(self) -> bool:
        """Whether it owns a place among the stored values."""
        return self.type in WIDGET_TYPES and not self.socket


@dataclass(frozen=True)
class Signature:
    """The inputs of a node type in ComfyUI's order, and its outputs."""

    category: str
    inputs: tuple[Slot, ...]
    outputs: tuple[tuple[str, str], ...]
    """Name and type."""


class Signatures:
    """The signature of any type that the table or our definitions know."""

    def __init__(self, definitions: Mapping[str, NodeDef] | None = None) -> None:
        known = definitions if isinstance(definitions, Definitions) else Definitions(definitions or {})
        self.definitions = known
        self._table = table()

    def of(self, type: str) -> Signature | None:
        """None for a type that nobody knows."""
        definition = self.definitions.lookup(type)
        listed = self._table.get(type)
        if listed is None:
            return _from_definition(definition) if definition else None
        if definition is None:
            return listed
        named = {self.native_input(type, slot.name) for slot in _flat(listed.inputs)}
        more = tuple(slot for slot in _slots(definition) if slot.name not in named)
        return Signature(definition.category, (*listed.inputs, *more), listed.outputs) if more else listed

    def listed(self, type: str) -> Signature | None:
        """What ComfyUI itself says of a type; None for what is not among its core nodes."""
        return self._table.get(type)

    def output_name(self, type: str, index: int) -> str:
        """How our document names an output: its name where we have the node, its index otherwise."""
        definition = self.definitions.lookup(type)
        if definition is None or index >= len(definition.outputs):
            return str(index)
        names = [output.name for output in definition.outputs]
        return names[index] if names.count(names[index]) == 1 and not _is_awkward(names[index]) else str(index)

    def output_index(self, type: str, output: str) -> int | None:
        """The index of an output that our document names."""
        definition = self.definitions.lookup(type)
        names = [port.name for port in definition.outputs] if definition else self._listed_outputs(type)
        if output in names:
            return names.index(output)
        return int(output) if output.isdecimal() else None

    def native_input(self, type: str, name: str) -> str:
        """What our node calls an input; ComfyUI's grouped names `group.name` are plain ones with us."""
        definition = self.definitions.lookup(type)
        if definition is None or "." not in name or definition.input(name):
            return name
        for ours in (name.rpartition(".")[2], name.replace(".", "_")):
            if definition.input(ours):
                return ours
        return name

    def port(self, type: str, name: str) -> Port | None:
        """Our node's input of that name, if we have it."""
        definition = self.definitions.lookup(type)
        return definition.input(name) if definition else None

    def _listed_outputs(self, type: str) -> list[str]:
        listed = self._table.get(type)
        return [name for name, _ in listed.outputs] if listed else []


def _is_awkward(name: str) -> bool:
    """Whether a name cannot stand behind the dot of a link without doubt."""
    return not name or "." in name or name.isdecimal()


def _flat(slots: tuple[Slot, ...]) -> Iterator[Slot]:
    for slot in slots:
        yield slot
        for _, inner in slot.choices:
            yield from _flat(inner)


# --- from our definitions --------------------------------------------------------------------------------------------


def _from_definition(definition: NodeDef) -> Signature:
    outputs = tuple((port.name, port.type) for port in definition.outputs)
    return Signature(definition.category, tuple(_slots(definition)), outputs)


def _slots(definition: NodeDef) -> Iterator[Slot]:
    for port in definition.inputs:
        if not switches(port):
            yield _with_choices(definition, port, "")


def _with_choices(definition: NodeDef, port: Port, outer: str) -> Slot:
    inner = inputs_by_choice(definition, port)
    choices = tuple(
        (choice, tuple(_with_choices(definition, one, port.name) for one in ports)) for choice, ports in inner.items()
    )
    return replace(_slot(port, outer), choices=choices)


def _slot(port: Port, outer: str = "") -> Slot:
    field = port.field or {}
    return Slot(
        f"{outer}.{port.name}" if outer and not port.name.startswith(f"{outer}.") else port.name,
        comfy_type(port),
        optional=not port.required,
        controls=1 if field.get("widget") == "seed" else 0,
        upload=field.get("folder") == "input" and "media" in field,
        socket=port.field is None,
    )


def switches(port: Port) -> Mapping[str, Any]:
    """For an input that matters only for some choices of another: that input's name, and the choices."""
    when = (port.field or {}).get("when")
    return when if isinstance(when, dict) else {}


def inputs_by_choice(definition: NodeDef, port: Port) -> dict[str, list[Port]]:
    """For each choice of a combo, the inputs that matter with it; empty when no input depends on it."""
    dependent = [
        one
        for one in definition.inputs
        if port.name in switches(one) and one.name.rpartition(".")[0] in ("", port.name)
    ]
    if not dependent:
        return {}
    choices = (port.field or {}).get("enum", ())
    return {str(choice): [one for one in dependent if choice in switches(one)[port.name]] for choice in choices}


def comfy_type(port: Port) -> str:
    """ComfyUI's name of a port's type: a field has a widget's type, unions are written with commas."""
    if port.field is None or ("|" not in port.type and port.type != ANY):
        return port.type.replace("|", ",")
    schemas = [schema for schema in port.field.get("anyOf", [port.field]) if schema.get("type") != "null"]
    kind = str(schemas[0].get("type")) if schemas else ""
    return {"integer": "INT", "number": "FLOAT", "boolean": "BOOLEAN"}.get(kind, "STRING")


# --- the shipped table -----------------------------------------------------------------------------------------------


@cache
def table() -> Mapping[str, Signature]:
    """ComfyUI's core nodes by type. An input reads `name:TYPE flags`, or is a list of a combo and its options' inputs.

    Flags: `?` optional, `!` one control value follows, `#` only a socket, `^` with an upload button, `{` a text in which
    the editor chooses between alternatives.
    """
    text = files("graphflow.comfy").joinpath("data/nodes.json").read_text("utf-8")
    return {type: _read(*entry) for type, entry in json.loads(text).items()}


def _read(category: str, inputs: list[Any], outputs: list[str]) -> Signature:
    named = [output if ":" in output else f"{output}:{output}" for output in outputs]
    pairs = tuple((name, type) for name, _, type in (output.rpartition(":") for output in named))
    return Signature(category, tuple(_read_slot(entry) for entry in inputs), pairs)


def _read_slot(entry: str | list[Any], prefix: str = "") -> Slot:
    text, options = (entry, {}) if isinstance(entry, str) else entry
    head, _, flags = text.partition(" ")
    name, _, type = head.rpartition(":")
    inner = tuple(
        (option, tuple(_read_slot(one, f"{prefix}{name}.") for one in slots)) for option, slots in options.items()
    )
    return Slot(
        prefix + name, type, "?" in flags, flags.count("!"), "^" in flags, "#" in flags, "{" in flags, choices=inner
    )

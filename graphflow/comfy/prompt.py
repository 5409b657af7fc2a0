"""ComfyUI's API format, `{id: {"class_type", "inputs", "_meta"}}`: read into our document, and written from it.

In it a link is a list `[id, output index]`; a constant that is itself a list is wrapped as `{"__value__": [...]}`.
Node ids stay as they are. Reading what was written gives the same document again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.comfy.signatures import RENAMED, Signatures
from graphflow.comfy.widgets import converted
from graphflow.plan import FlatNode, active
from graphflow.workflow import Converted, Source, Workflow, link, parse

Prompt = dict[str, Any]
"""The API format's JSON object."""
WRAPPED = "__value__"
BUTTONS = ("upload", "choose file to upload")
"""Inputs that old API files have for an upload button."""
_OURS = ("type", "inputs", "title", "mode", "class_type", "_meta", "is_changed")
"""Keys of a node that are translated, or that ComfyUI itself writes during a run."""


def is_prompt(document: Any) -> bool:
    """Whether JSON data is a workflow in the API format."""
    return (
        isinstance(document, dict)
        and bool(document)
        and all(isinstance(node, dict) and "class_type" in node and "inputs" in node for node in document.values())
    )


@dataclass(frozen=True)
class _Reader:
    """The state of one reading: what is known of node types, and what could not be carried over."""

    prompt: Mapping[str, Any]
    signatures: Signatures
    notes: list[str] = field(default_factory=list)

    def type_of(self, id: str) -> str:
        """The type of a node, by the name it bears now."""
        node = self.prompt.get(id)
        type = str(node.get("class_type", "")) if isinstance(node, dict) else ""
        return RENAMED.get(type, type)


def read_prompt(prompt: Mapping[str, Any], signatures: Signatures) -> Converted:
    """The workflow in a prompt. Raises `InvalidWorkflow` when its shape is not even that."""
    reader = _Reader(prompt, signatures)
    nodes = {str(id): _node(reader, str(id), node) for id, node in prompt.items()}
    return Converted(parse({"graphflow": 1, "nodes": nodes}), tuple(reader.notes))


def _node(reader: _Reader, id: str, node: Mapping[str, Any]) -> dict[str, Any]:
    type = reader.type_of(id)
    inputs = node.get("inputs")
    given = inputs if isinstance(inputs, dict) else {}
    read: dict[str, Any] = {"type": type, "inputs": _inputs(reader, id, type, given)}
    meta = node.get("_meta")
    if isinstance(meta, dict) and isinstance(meta.get("title"), str):
        read["title"] = meta["title"]
    kept = {key: value for key, value in node.items() if key not in _OURS}
    return {**kept, **read}


def _inputs(reader: _Reader, id: str, type: str, given: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in given.items():
        ours = reader.signatures.native_input(type, str(name))
        if (source := as_link(value)) is not None:
            output = reader.signatures.output_name(reader.type_of(source[0]), source[1])
            read[ours] = {"from": f"{source[0]}.{output}"}
            continue
        port = reader.signatures.port(type, ours)
        if name in BUTTONS and port is None:
            continue
        constant = converted(port.field if port else None, unwrapped(value))
        if link(constant) is not None:
            reader.notes.append(f"{id}.{name}: {constant} would read as a link here, so it was left out")
            continue
        read[ours] = constant
    return read


def as_link(value: Any) -> tuple[str, int] | None:
    """Source id and output index of a link; None for anything else."""
    if not (isinstance(value, list) and len(value) == 2):
        return None
    node, index = value
    if isinstance(node, bool) or not isinstance(node, str | int) or isinstance(index, bool):
        return None
    if not isinstance(index, int | float) or index < 0 or index != int(index):
        return None
    return str(node), int(index)


def unwrapped(value: Any) -> Any:
    """A constant without the wrapping that lists need."""
    return value[WRAPPED] if isinstance(value, dict) and set(value) == {WRAPPED} else value


# --- writing ---------------------------------------------------------------------------------------------------------


def write_prompt(workflow: Workflow, signatures: Signatures) -> Prompt:
    """The workflow in the API format: subgraphs inlined, muted nodes left out, bypassed ones passed by.

    Raises `InvalidWorkflow` when a subgraph is missing or contains itself.
    """
    flat = active(workflow, signatures.definitions)
    return {id: _written(workflow, flat, id, signatures) for id in flat}


def _written(workflow: Workflow, flat: Mapping[str, FlatNode], id: str, signatures: Signatures) -> dict[str, Any]:
    node = flat[id]
    inputs = {}
    for name, value in node.inputs.items():
        if not isinstance(value, Source):
            inputs[name] = {WRAPPED: value} if isinstance(value, list) else value
        elif value.node in flat:
            index = signatures.output_index(flat[value.node].type, value.output)
            inputs[name] = [value.node, 0 if index is None else index]
    meta = {"_meta": {"title": node.title}} if node.title else {}
    there = workflow.nodes.get(id)
    kept = {key: value for key, value in (there.model_extra or {}).items() if key not in _OURS} if there else {}
    return {**kept, "inputs": inputs, "class_type": node.type, **meta}

"""Our node definitions as ComfyUI's `/object_info` has them, in the order in which its editor stores their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from graphflow.comfy.signatures import Signatures, comfy_type, inputs_by_choice, switches
from graphflow.node import NodeDef, Port

Names = Callable[[str], Sequence[str]]
"""The files that can be chosen from a folder."""
DYNAMIC, GROWING = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"
HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
UPLOADS = {"image": "image_upload", "video": "video_upload", "audio": "audio_upload"}
BOUNDS = {"INT": 2**63 - 1, "FLOAT": 1e18}
"""Its editor takes narrower ones where none are given."""


def object_info(signatures: Signatures, names: Names) -> dict[str, Any]:
    """Every node by type."""
    return {type: node_info(definition, signatures, names) for type, definition in signatures.definitions.items()}


def node_info(definition: NodeDef, signatures: Signatures, names: Names) -> dict[str, Any]:
    """One node."""
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    listed = signatures.listed(definition.type)
    varied = {slot.name for slot in listed.inputs if slot.varied} if listed else set()
    for port in _in_order(definition, signatures):
        if group := group_of(port):
            required.setdefault(group, [GROWING, {"template": _template(definition, port)}])
        elif not switches(port):
            section = required if is_required(definition, port, signatures) else optional
            config = section[port.name] = _config(definition, port, names, signatures)
            if port.name in varied:
                config[1]["dynamicPrompts"] = True
    sections = {"required": required, "optional": optional} if optional else {"required": required}
    info: dict[str, Any] = {
        "input": {**sections, **({"hidden": HIDDEN} if definition.output_node else {})},
        "input_order": {section: list(inputs) for section, inputs in sections.items()},
        "output": [_output_type(port.type) for port in definition.outputs],
        "output_is_list": [port.list for port in definition.outputs],
        "output_name": [port.name for port in definition.outputs],
        "name": definition.type,
        "display_name": definition.title,
        "description": definition.description,
        "python_module": "nodes" if definition.pack in ("", "core") else f"custom_nodes.{definition.pack}",
        "category": definition.category,
        "output_node": definition.output_node,
    }
    if any(port.description for port in definition.outputs):
        info["output_tooltips"] = [port.description for port in definition.outputs]
    return info | {mark: True for mark in ("deprecated", "experimental") if getattr(definition, mark)}


def input_config(definition: NodeDef, port: Port, names: Names) -> list[Any]:
    """`[type, options]` of an input, as an error about it cites it."""
    return _config(definition, port, names, None)


def _in_order(definition: NodeDef, signatures: Signatures) -> Iterable[Port]:
    """The inputs as ComfyUI orders them; those it does not have follow."""
    signature = signatures.of(definition.type)
    listed = [signatures.native_input(definition.type, slot.name) for slot in signature.inputs] if signature else []
    rank = {name: place for place, name in enumerate(listed)}
    return sorted(definition.inputs, key=lambda port: rank.get(port.name, len(rank)))


def is_required(definition: NodeDef, port: Port, signatures: Signatures) -> bool:
    """By ComfyUI's own word where it has the node: the editor stores optional inputs' values after all others.

    An input that we have added to one of its nodes is required only if it has no default.
    """
    listed = signatures.listed(definition.type)
    if listed is None:
        return port.required
    added = port.required and (port.field is None or "default" not in port.field)
    return next((not slot.optional for slot in listed.inputs if slot.name == port.name), added)


def _config(definition: NodeDef, port: Port, names: Names, signatures: Signatures | None) -> list[Any]:
    inner = inputs_by_choice(definition, port)
    if inner:
        return [DYNAMIC, {"options": [_option(definition, one, inner[one], names, signatures) for one in inner]}]
    options = _options(port)
    choices = choices_of(port, names)
    if choices is not None:
        return [choices, options]
    return [_output_type(comfy_type(port)), options]


def _option(
    definition: NodeDef, choice: str, ports: Sequence[Port], names: Names, signatures: Signatures | None
) -> dict[str, Any]:
    configs = {port.name.rpartition(".")[2]: _config(definition, port, names, signatures) for port in ports}
    linked = {port.name.rpartition(".")[2] for port in ports if port.field is None}
    required = {name: config for name, config in configs.items() if name not in linked}
    optional = {name: config for name, config in configs.items() if name in linked}
    return {"key": choice, "inputs": {"required": required, **({"optional": optional} if optional else {})}}


def _template(definition: NodeDef, port: Port) -> dict[str, Any]:
    group = [one for one in definition.inputs if group_of(one) == group_of(port)]
    names = [one.name.rpartition(".")[2] for one in group]
    inner = {"input": {"required": {"value": [_output_type(port.type), {}]}}, "min": sum(p.required for p in group)}
    prefix = names[0].rstrip("0123456789")
    if names == [f"{prefix}{i}" for i in range(len(names))]:
        return {**inner, "prefix": prefix, "max": len(names)}
    return {**inner, "names": names}


def group_of(port: Port) -> str:
    """The group of inputs that it is one of, when there can be as many as are wanted."""
    return port.grows


def choices_of(port: Port, names: Names) -> list[Any] | None:
    """What a combo offers: words, or the files of a folder; None for an input that is no combo."""
    field = port.field or {}
    if "folder" in field:
        return [*names(field["folder"]), *field.get("extra", ())]
    for schema in (field, *field.get("anyOf", ())):
        if "enum" in schema:
            return list(schema["enum"])
    return None


def _options(port: Port) -> dict[str, Any]:
    field = port.field
    options: dict[str, Any] = {"tooltip": port.description} if port.description else {}
    options |= {"lazy": True} if port.lazy else {}
    options |= {"advanced": True} if port.advanced else {}
    if field is None:
        return options
    schema = next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), field)
    if "default" in field and field["default"] is not None:
        options["default"] = field["default"]
    if field.get("folder") == "input" and field.get("media") in UPLOADS:
        options[UPLOADS[field["media"]]] = True
    match comfy_type(port):
        case "INT" | "FLOAT" as type:
            options |= _number(type, {**schema, **field})
        case "STRING":
            multiline = field.get("widget") == "multiline"
            options |= {"multiline": True} if multiline else {}
            options.setdefault("default", "")
    return options


def _number(type: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "min": schema.get("minimum", schema.get("exclusiveMinimum", -BOUNDS[type])),
        "max": schema.get("maximum", schema.get("exclusiveMaximum", BOUNDS[type])),
        "default": schema.get("default", 0),
    }
    if type == "FLOAT":
        options["step"] = schema.get("step", 0.01)
    elif "step" in schema:
        options["step"] = schema["step"]
    if schema.get("widget") == "seed":
        options["control_after_generate"] = True
    if schema.get("widget") in ("slider", "color"):
        options["display"] = schema["widget"]
    return options


def _output_type(type: str) -> str:
    return type.replace("|", ",")

"""Writes docs/nodes.md from the built-in nodes' definitions: `python docs/make_nodes.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphflow.node import NodeDef, OutputPort, Port
from graphflow.registry import discover
from graphflow.server.library import shown_by

FILE = Path(__file__).parent / "nodes.md"

HEAD = """# Nodes

Every node of the built-in pack, by menu. Types, inputs, defaults and outputs are those of ComfyUI where its core has
the node, so that workflows and tutorials carry over. Written by `docs/make_nodes.py` from the nodes themselves; change
a node's docstring or annotations, then run it again.

**bold** inputs are links; the others are fields, which take a link as well. A field in brackets may be left out or
hidden; `*` fits every type.
"""


def page(definitions: Iterable[NodeDef]) -> str:
    """The whole page."""
    examples = shown_by()
    by_category: dict[str, list[NodeDef]] = {}
    for definition in sorted(definitions, key=lambda d: (_menu(d), d.title.lower(), d.type)):
        by_category.setdefault(_menu(definition), []).append(definition)
    index = [f"- [{name}](#{_anchor(name)}): {_names(nodes)}" for name, nodes in by_category.items()]
    parts = [HEAD, "\n".join(index)]
    for name, nodes in by_category.items():
        parts += [f"## {name}", *(section(node, examples.get(node.type, [])) for node in nodes)]
    return "\n\n".join(parts) + "\n"


def section(definition: NodeDef, examples: Sequence[str]) -> str:
    """One node: what it does, its inputs and its outputs, and workflows that use it."""
    title = definition.type if definition.title == definition.type else f"{definition.title} · `{definition.type}`"
    lines = [f'### {title} <a id="node-{_anchor(definition.type)}"></a>', ""]
    marks = [word for word in ("deprecated", "experimental") if getattr(definition, word)]
    lines += [f"*{', '.join(marks)}*", ""] if marks else []
    lines += [definition.description, ""]
    lines += list(_inputs(definition.inputs))
    outputs = ", ".join(_output(port) for port in definition.outputs)
    lines += [f"Gives {outputs}." if outputs else "Gives files." if definition.output_node else "Gives nothing."]
    shown = ", ".join(f"[{name}](../workflows/{name}.json)" for name in examples[:3])
    lines += ["", f"In {shown}."] if shown else []
    return "\n".join(lines)


def _menu(definition: NodeDef) -> str:
    return definition.category.removeprefix("_").replace("_", " ")


def _names(nodes: Iterable[NodeDef]) -> str:
    return ", ".join(f"[{d.type}](#node-{_anchor(d.type)})" for d in nodes)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower().replace("/", "")).strip("-")


def _inputs(ports: Iterable[Port]) -> Iterator[str]:
    shown = list(_grown(ports))
    if not shown:
        return
    yield "| input | type | default | takes |"
    yield "|---|---|---|---|"
    for port, name in shown:
        marked = f"**{name}**" if port.field is None else f"`{name}`"
        optional = not port.required or port.advanced
        default = (port.field or {}).get("default")
        cell = "" if default is None else f"`{_cell(json.dumps(default, ensure_ascii=False))}`"
        yield f"| {f'({marked})' if optional else marked} | {_cell(_kind(port))} | {cell} | {_cell(takes(port))} |"
    yield ""


def _grown(ports: Iterable[Port]) -> Iterator[tuple[Port, str]]:
    """Each port with its name; a group that grows is told once."""
    seen: set[str] = set()
    for port in ports:
        if port.grows in seen:
            continue
        if port.grows:
            seen.add(port.grows)
        yield port, f"{port.name}, …" if port.grows else port.name


def _kind(port: Port) -> str:
    kind = port.type.replace("|", " or ")
    return f"list of {kind}" if port.list else f"{kind}, lazy" if port.lazy else kind


def takes(port: Port) -> str:
    """What a field takes, and what it is for."""
    field: Mapping[str, Any] = port.field or {}
    parts = [port.description.rstrip(".")] if port.description else []
    if "enum" in field:
        parts.append(", ".join(f"`{choice}`" for choice in field["enum"]))
    elif "folder" in field:
        parts.append(f"a file in `{field['folder']}`" + "".join(f", or `{extra}`" for extra in field.get("extra", ())))
    elif "minimum" in field or "maximum" in field:
        low, high = (_number(field.get(end)) for end in ("minimum", "maximum"))
        parts.append(f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}")
    for name, values in field.get("when", {}).items():
        parts.append(f"with {name} {' or '.join(f'`{value}`' for value in values)}")
    return "; ".join(parts)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) > 2**53:
        power = round(abs(value)).bit_length()
        return f"{'-' if value < 0 else ''}2^{power if round(abs(value)) + 1 == 2**power else power - 1}"
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"


def _output(port: OutputPort) -> str:
    kind = port.type.replace("|", " or ")
    name = f"`{port.name}`" if port.name == port.type else f"`{port.name}` ({kind})"
    return f"a list of {name}" if port.list else name


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    built_in = [d for d in discover().definitions().values() if d.pack == "core"]
    FILE.write_text(page(built_in), encoding="utf-8")

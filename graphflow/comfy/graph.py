"""ComfyUI's editor format as data: nodes, links and subgraphs of schema 0.4 and 1.0, whichever way they are written.

A stranger's file: whatever is not as it should be is left out, never raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

INPUTS_ID = "-10"
"""Origin of links that come in from outside a subgraph."""
OUTPUTS_ID = "-20"
"""Target of links that go out of a subgraph."""
MODES: Mapping[Any, str] = {2: "mute", 4: "bypass"}


@dataclass(frozen=True)
class Link:
    """A connection; its target is known by whichever input names it, `slot` matters for a subgraph's outputs."""

    origin: str
    output: int
    target: str
    slot: int


@dataclass(frozen=True)
class Socket:
    """An input or output as a saved node lists it."""

    name: str
    type: str
    link: Any = None
    widget: bool = False


@dataclass(frozen=True)
class Node:
    """A saved node."""

    id: str
    type: str
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    values: Any
    """Stored widget values: a list, or an object by name."""
    mode: str | None
    title: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A workflow, or the inside of a subgraph."""

    id: str
    name: str
    nodes: Mapping[str, Node]
    links: Mapping[Any, Link]
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    raw: Mapping[str, Any]

    def source(self, socket: Socket) -> Link | None:
        """The link that feeds an input."""
        return None if socket.link is None else self.links.get(socket.link)


def is_graph(document: Any) -> bool:
    """Whether JSON data is a workflow in the editor format."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("nodes"), list)
        and ("links" in document or "last_node_id" in document or "version" in document)
    )


def read_graph(document: Mapping[str, Any]) -> Graph:
    """The workflow, or a definition of a subgraph, as data."""
    nodes = [node for raw in _objects(document.get("nodes")) if (node := _node(raw)) is not None]
    return Graph(
        id=str(document.get("id", "")),
        name=str(document.get("name") or ""),
        nodes={node.id: node for node in nodes},
        links=dict(_links(document.get("links"))),
        inputs=_sockets(document.get("inputs")),
        outputs=_sockets(document.get("outputs")),
        raw=document,
    )


def subgraphs(document: Mapping[str, Any]) -> dict[str, Graph]:
    """Every subgraph that a workflow defines, also inside other definitions, by id."""
    found: dict[str, Graph] = {}
    pending = [document]
    while pending:
        definitions = pending.pop().get("definitions")
        listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
        for raw in _objects(listed):
            graph = read_graph(raw)
            if graph.id and graph.id not in found:
                found[graph.id] = graph
                pending.append(raw)
    return found


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _node(raw: Mapping[str, Any]) -> Node | None:
    if not isinstance(raw.get("type"), str) or not raw["type"] or raw.get("id") is None:
        return None
    title = raw.get("title")
    return Node(
        id=str(raw["id"]),
        type=raw["type"],
        inputs=_sockets(raw.get("inputs")),
        outputs=_sockets(raw.get("outputs")),
        values=raw.get("widgets_values"),
        mode=MODES.get(raw.get("mode")) if isinstance(raw.get("mode"), int) else None,
        title=title if isinstance(title, str) else None,
        raw=raw,
    )


def _sockets(value: Any) -> tuple[Socket, ...]:
    return tuple(
        Socket(
            str(raw.get("name", "")),
            _type(raw.get("type")),
            link if isinstance(link := raw.get("link"), int | str) else None,
            isinstance(raw.get("widget"), dict),
        )
        for raw in _objects(value)
    )


def _type(type: Any) -> str:
    if isinstance(type, list):
        return "COMBO"
    return "*" if type in (0, -1, "", None) else str(type)


def _links(value: Any) -> Iterator[tuple[Any, Link]]:
    for raw in value if isinstance(value, list) else ():
        if isinstance(raw, list) and len(raw) >= 5:
            id, origin, output, target, slot = raw[:5]
        elif isinstance(raw, dict):
            id, origin, output = raw.get("id"), raw.get("origin_id"), raw.get("origin_slot")
            target, slot = raw.get("target_id"), raw.get("target_slot")
        else:
            continue
        if isinstance(id, int | str) and isinstance(output, int) and output >= 0:
            yield id, Link(str(origin), output, str(target), slot if isinstance(slot, int) else 0)

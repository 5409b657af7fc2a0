"""From ComfyUI's editor format to our document: names for stored values, links through what only its editor knows.

Subgraphs stay subgraphs. Reroutes and primitives dissolve into the links and values they stand for; notes and frames
become frames. Nodes that nobody knows keep their type, their links and all their settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.comfy.graph import INPUTS_ID, OUTPUTS_ID, Graph, Link, Node, Socket, read_graph, subgraphs
from graphflow.comfy.groups import is_group, with_subgraphs
from graphflow.comfy.prompt import BUTTONS
from graphflow.comfy.signatures import RENAMED, VIRTUAL, WIDGET_TYPES, Signatures, Slot
from graphflow.comfy.widgets import accounts_for, converted, draws_seed, named_values, slots_in_document
from graphflow.workflow import OUTER, SUBGRAPH, Converted, link, parse

NOTES = ("Note", "MarkdownNote")
_NOTHING = object()
"""No link and no value."""


@dataclass(frozen=True)
class _Book:
    """What holds for the whole document."""

    signatures: Signatures
    graphs: Mapping[str, Graph]
    """Subgraphs by id."""
    names: Mapping[str, str]
    """What they are called in our document."""
    shown: Mapping[str, list[tuple[str, str]]]
    """Inner widgets that nodes standing for a subgraph show on their own face: inner node and widget."""
    notes: list[str] = field(default_factory=list)

    def type_of(self, node: Node) -> str:
        """Our name of a node's type."""
        if node.type in self.graphs:
            return SUBGRAPH + self.names[node.type]
        return RENAMED.get(node.type, node.type)

    def is_missing(self, node: Node) -> bool:
        """Whether we have no such node."""
        if node.type in self.graphs:
            return False
        known = self.signatures.definitions
        return known.lookup(self.type_of(node)) is None if known else self.signatures.of(self.type_of(node)) is None


def read_editor(document: Mapping[str, Any], signatures: Signatures) -> Converted:
    """The workflow in a document of ComfyUI's editor, and what could not be carried over."""
    document, lost = with_subgraphs(document)
    root, graphs = read_graph(document), subgraphs(document)
    everywhere = [root, *graphs.values()]
    book = _Book(signatures, graphs, _names(graphs), _shown(everywhere, graphs))
    written = {
        "graphflow": 1,
        **_level(book, root),
        "subgraphs": {book.names[id]: _subgraph(book, graph) for id, graph in graphs.items()},
    }
    if files := _model_files(everywhere):
        written["models"] = files
    return Converted(parse(written), (*_missing(book, everywhere), *lost, *book.notes))


def _names(graphs: Mapping[str, Graph]) -> dict[str, str]:
    names: dict[str, str] = {}
    for id, graph in graphs.items():
        name = base = graph.name or "subgraph"
        count = 1
        while name in names.values():
            count += 1
            name = f"{base} {count}"
        names[id] = name
    return names


def _shown(levels: Iterable[Graph], graphs: Mapping[str, Graph]) -> dict[str, list[tuple[str, str]]]:
    shown: dict[str, list[tuple[str, str]]] = {}
    for node in (node for level in levels for node in level.nodes.values() if node.type in graphs):
        properties = node.raw.get("properties")
        listed = properties.get("proxyWidgets") if isinstance(properties, dict) else None
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, list) and len(entry) >= 2:
                shown.setdefault(node.type, []).append((str(entry[0]), str(entry[1])))
    return shown


def _missing(book: _Book, levels: Iterable[Graph]) -> list[str]:
    """A sentence for each type that we lack."""
    nodes = [node for level in levels for node in level.nodes.values() if node.type not in VIRTUAL]
    counts = Counter(book.type_of(node) for node in nodes if book.is_missing(node))
    return [_told(type, f" (in {count} places)" if count > 1 else "") for type, count in counts.items()]


def _told(type: str, where: str) -> str:
    if is_group(type):
        return f"{type}{where} is a group node, and the file does not say what it holds: kept with its settings"
    return f"{type}{where} is not among the nodes here: kept with its settings"


def _model_files(levels: Iterable[Graph]) -> list[dict[str, str]]:
    """Which model files the document says it wants, and where they can be had."""
    listed: list[Any] = []
    for level in levels:
        holders = [level.raw, *(node.raw.get("properties") for node in level.nodes.values())]
        for holder in holders:
            models = holder.get("models") if isinstance(holder, Mapping) else None
            listed += models if isinstance(models, list) else []
    files = [
        {key: entry[key] for key in ("name", "directory", "url") if isinstance(entry.get(key), str)}
        for entry in listed
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    ]
    return [file for i, file in enumerate(files) if file not in files[:i]]


# --- one level: the workflow itself, or the inside of a subgraph -----------------------------------------------------


def _level(book: _Book, graph: Graph, outer: Mapping[tuple[str, str], str] | None = None) -> dict[str, Any]:
    """Nodes, layout and groups; `outer` names the outer inputs that stand for inner widgets."""
    nodes, layout, groups = {}, {}, _frames(graph)
    for node in graph.nodes.values():
        if node.type in NOTES:
            groups.append(_note(node))
        elif node.type not in VIRTUAL:
            nodes[node.id] = _written(book, graph, node, outer or {})
            layout[node.id] = _box(book, node)
    return {"nodes": nodes, "layout": layout, "groups": groups}


def _written(book: _Book, graph: Graph, node: Node, outer: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    type = book.type_of(node)
    inputs = _constants(book, node, type)
    for name in list(inputs):
        if (node.id, name) in outer:
            inputs[name] = {"from": f"{OUTER}.{outer[node.id, name]}"}
    for socket in node.inputs:
        if (feeding := graph.source(socket)) is not None:
            value = _followed(book, graph, feeding, socket.type)
            name = _input_name(book, node, type, socket.name)
            port = book.signatures.port(type, name)
            is_pure = port is not None and port.field is None and link(value) is None  # a constant for a mere socket
            if value is not _NOTHING and not is_pure:
                inputs[name] = value
    written: dict[str, Any] = {"type": type, "inputs": inputs}
    if node.title and node.title not in (node.type, book.names.get(node.type)):
        written["title"] = node.title
    if node.mode:
        written["mode"] = node.mode
    if book.is_missing(node) and node.values:
        written["widgets_values"] = node.values
    return written


def _input_name(book: _Book, node: Node, type: str, name: str) -> str:
    return port_name(name) if node.type in book.graphs else book.signatures.native_input(type, name)


def port_name(name: str) -> str:
    """The name of a subgraph's port in our document, where a dot would end it."""
    return name.replace(".", "_")


def _constants(book: _Book, node: Node, type: str) -> dict[str, Any]:
    """A node's stored values by our names for its inputs, as those inputs want them; defaults where none is stored."""
    constants = _defaults(book, node, type)
    for name, value in _stored(book, node).items():
        ours = _input_name(book, node, type, name)
        port = book.signatures.port(type, ours)
        if value is None or (name in BUTTONS and port is None):
            continue
        constant = converted(port.field if port else None, value)
        if link(constant) is None:
            constants[ours] = constant
        else:
            book.notes.append(f"{node.id}.{name}: {constant} would read as a link here, so it was left out")
    return constants


def _defaults(book: _Book, node: Node, type: str) -> dict[str, Any]:
    """Of the widgets that ComfyUI's node has, which an older file may not have stored."""
    listed = book.signatures.listed(type)
    slots = [slot for slot in listed.inputs if slot.has_widget] if listed and isinstance(node.values, list) else []
    ports = [book.signatures.port(type, slot.name) for slot in slots]
    return {port.name: port.default for port in ports if port is not None and port.default is not None}


def _stored(book: _Book, node: Node) -> dict[str, Any]:
    """A node's stored values by ComfyUI's names."""
    slots = _slots(book, node)
    return named_values(slots, node.values) if slots else dict(node.values) if isinstance(node.values, dict) else {}


def _slots(book: _Book, node: Node) -> list[Slot]:
    if node.type in book.graphs:
        graph = book.graphs[node.type]
        widgets = _widget_inputs(graph)
        return [_plain_slot(socket) for i, socket in enumerate(graph.inputs) if i in widgets]
    if (signature := book.signatures.of(book.type_of(node))) is not None:
        return list(signature.inputs)
    said = slots_in_document([s for s in node.raw.get("inputs") or [] if isinstance(s, dict)])
    return said if accounts_for(said, node.values) else []


def _plain_slot(socket: Socket) -> Slot:
    type = socket.type if socket.type in WIDGET_TYPES else "STRING"
    return Slot(socket.name, type, controls=1 if type == "INT" else 0)


def _widget_inputs(graph: Graph) -> dict[int, tuple[Node, str]]:
    """Inputs of a subgraph that stand for inner widgets, by place: the first such widget's node and name."""
    found: dict[int, tuple[Node, str]] = {}
    for node in graph.nodes.values():
        for socket in node.inputs:
            feeding = graph.source(socket)
            if socket.widget and feeding is not None and feeding.origin == INPUTS_ID:
                found.setdefault(feeding.output, (node, socket.name))
    return found


# --- subgraphs -------------------------------------------------------------------------------------------------------


def _subgraph(book: _Book, graph: Graph) -> dict[str, Any]:
    widgets = _widget_inputs(graph)
    inputs = [_outer_input(book, socket, widgets.get(i)) for i, socket in enumerate(graph.inputs)]
    more, outer = _shown_widgets(book, graph, {entry["name"] for entry in inputs})
    outputs = []
    for i, socket in enumerate(graph.outputs):
        feeding = next((one for one in graph.links.values() if one.target == OUTPUTS_ID and one.slot == i), None)
        value = _followed(book, graph, feeding, socket.type) if feeding else _NOTHING
        if isinstance(value, dict) and link(value) is not None:
            outputs.append({"name": port_name(socket.name), "type": _union(socket.type), **value})
        else:
            book.notes.append(f"{graph.name}: nothing inside feeds its output {socket.name!r}, so it was left out")
    return {"inputs": [*inputs, *more], "outputs": outputs, **_level(book, graph, outer)}


def _outer_input(book: _Book, socket: Socket, widget: tuple[Node, str] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": port_name(socket.name), "type": _union(socket.type)}
    if widget is not None:
        node, name = widget
        default = _constants(book, node, book.type_of(node)).get(_input_name(book, node, book.type_of(node), name))
        if default is not None:
            entry["default"] = default
    return entry


def _shown_widgets(
    book: _Book, graph: Graph, taken: set[str]
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], str]]:
    """Further inputs, for inner widgets that are shown outside without an input of their own."""
    inputs, outer = [], {}
    for id, name in book.shown.get(graph.id, ()):
        node = graph.nodes.get(id)
        if node is None or node.type in VIRTUAL:
            continue
        type = book.type_of(node)
        ours = _input_name(book, node, type, name)
        is_linked = any(graph.source(s) is not None for s in node.inputs if s.name == name)
        value = _constants(book, node, type).get(ours)
        if value is None or is_linked or (id, ours) in outer:
            continue
        base = unique = port_name(name)
        count = 1
        while unique in taken:
            count += 1
            unique = f"{base}_{count}"
        taken.add(unique)
        outer[id, ours] = unique
        inputs.append({"name": unique, "type": _widget_type(book, node, name), "default": value})
    return inputs, outer


def _widget_type(book: _Book, node: Node, name: str) -> str:
    return next((_union(slot.type) for slot in _slots(book, node) if slot.name == name), "*")


def _union(type: str) -> str:
    return "COMBO" if type.startswith("COMFY_DYNAMICCOMBO") else type.replace(",", "|")


# --- links -----------------------------------------------------------------------------------------------------------


def _followed(book: _Book, graph: Graph, feeding: Link | None, wanted: str) -> Any:
    """What a link brings: our link to its source, a primitive's constant, or `_NOTHING`."""
    for _ in range(len(graph.nodes) + 1):
        if feeding is None:
            return _NOTHING
        if feeding.origin == INPUTS_ID:
            if feeding.output >= len(graph.inputs):
                return _NOTHING
            return {"from": f"{OUTER}.{port_name(graph.inputs[feeding.output].name)}"}
        node = graph.nodes.get(feeding.origin)
        if node is None:
            return _NOTHING
        if node.type == "PrimitiveNode":
            return node.values[0] if isinstance(node.values, list) and node.values else _NOTHING
        if node.type in VIRTUAL:
            feeding = _through(graph, node, feeding.output)
        elif node.mode == "bypass" and book.is_missing(node):
            feeding = _bypassed(graph, node, feeding.output, wanted)
        else:
            return {"from": f"{node.id}.{_output_name(book, node, feeding.output)}"}
    return _NOTHING  # a ring of reroutes


def _through(graph: Graph, node: Node, output: int) -> Link | None:
    sockets = node.inputs[output : output + 1] or node.inputs[:1]
    return graph.source(sockets[0]) if sockets else None


def _output_name(book: _Book, node: Node, index: int) -> str:
    if node.type in book.graphs:
        outputs = book.graphs[node.type].outputs
        return port_name(outputs[index].name) if index < len(outputs) else str(index)
    return book.signatures.output_name(book.type_of(node), index)


def _bypassed(graph: Graph, node: Node, output: int, wanted: str) -> Link | None:
    """The link that a bypassed node of a type we lack passes on, by ComfyUI's rule."""
    same_place = node.inputs[output] if output < len(node.inputs) else None
    if wanted == "*":
        chosen = same_place or next(iter(node.inputs), None)
    else:
        own = node.outputs[output].type if output < len(node.outputs) else wanted
        if same_place and compatible(same_place.type, own) and compatible(same_place.type, wanted):
            return graph.source(same_place)
        exact = (socket for socket in node.inputs if socket.type == wanted)
        fitting = (socket for socket in node.inputs if compatible(socket.type, wanted))
        chosen = next(exact, None) or next(fitting, None)
    return graph.source(chosen) if chosen else None


def compatible(one: str, other: str) -> bool:
    """Whether ComfyUI's editor would connect these types."""
    if "*" in (one, other):
        return True
    return bool(set(one.lower().split(",")) & set(other.lower().split(",")))


# --- what is only to be seen -----------------------------------------------------------------------------------------


def _pair(value: Any) -> list[float] | None:
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    if isinstance(value, list) and len(value) >= 2 and all(isinstance(n, int | float) for n in value[:2]):
        return [round(float(value[0]), 1), round(float(value[1]), 1)]
    return None


def _box(book: _Book, node: Node) -> dict[str, Any]:
    """Where a node stands, and which of its seeds are drawn anew for each run."""
    box: dict[str, Any] = {"position": _pair(node.raw.get("pos")) or [0.0, 0.0]}
    if (size := _pair(node.raw.get("size"))) is not None:
        box["size"] = size
    flags = node.raw.get("flags")
    if isinstance(flags, dict) and flags.get("collapsed"):
        box["collapsed"] = True
    if isinstance(node.raw.get("bgcolor") or node.raw.get("color"), str):
        box["color"] = node.raw.get("bgcolor") or node.raw.get("color")
    if drawn := draws_seed(_slots(book, node), node.values):
        box["draw"] = drawn
    return box


def _frames(graph: Graph) -> list[dict[str, Any]]:
    frames = []
    listed = graph.raw.get("groups")
    for raw in listed if isinstance(listed, list) else ():
        bounds = raw.get("bounding") if isinstance(raw, dict) else None
        if isinstance(bounds, list) and len(bounds) == 4 and all(isinstance(n, int | float) for n in bounds):
            color = {"color": raw["color"]} if isinstance(raw.get("color"), str) else {}
            frames.append({"title": str(raw.get("title") or ""), "bounds": [float(n) for n in bounds], **color})
    return frames


def _note(node: Node) -> dict[str, Any]:
    """A note as a frame with a text."""
    text = node.values[0] if isinstance(node.values, list) and node.values else ""
    position, size = _pair(node.raw.get("pos")) or [0.0, 0.0], _pair(node.raw.get("size")) or [300.0, 120.0]
    return {"title": node.title or "", "bounds": [*position, *size], "note": str(text)}

"""Group nodes, which ComfyUI's editor had before subgraphs, as subgraphs: one for each place, with that place's settings.

A group node's type is `workflow>NAME` (or `workflow/NAME`); what it holds is kept once for the whole file, its nodes named
by their place in a list. Outside it has the inputs and outputs that nothing inside is linked to, in the order of the nodes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.comfy.graph import INPUTS_ID, OUTPUTS_ID

PREFIXES = ("workflow>", "workflow/")
DEEPEST = 20
"""How deep groups may lie in groups."""


def is_group(type: Any) -> bool:
    """Whether a node's type is a group's."""
    return isinstance(type, str) and type.startswith(PREFIXES)


def with_subgraphs(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The document with subgraphs in place of its group nodes, and what could not be carried over."""
    extra = document.get("extra")
    kept = extra.get("groupNodes") if isinstance(extra, dict) else None
    groups = kept if isinstance(kept, dict) else {}
    if not groups or not any(is_group(node.get("type")) for node in _objects(document.get("nodes"))):
        return document, ()
    changed = copy.deepcopy(dict(document))
    work = _Work(groups)
    changed["nodes"] = [work.replaced(node, "", 0) for node in _objects(changed.get("nodes"))]
    definitions = changed.get("definitions")
    known = _objects(definitions.get("subgraphs")) if isinstance(definitions, dict) else []
    changed["definitions"] = {"subgraphs": [*known, *work.made]}
    return changed, tuple(work.notes)


@dataclass
class _Work:
    """The groups of a file, and the subgraphs made of them so far."""

    groups: Mapping[str, Any]
    made: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def replaced(self, node: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """A node, or the one that stands for its subgraph if it is a group of this file."""
        type = node.get("type")
        name = type[len(PREFIXES[0]) :] if is_group(type) else ""  # type: ignore[index]
        group = self.groups.get(name)
        if not isinstance(group, dict) or depth > DEEPEST:
            return node
        path = f"{path}{node.get('id')}"
        id = f"group {path} {name}"
        inside = _Inside(group, node, name)
        self.notes += inside.notes
        nodes = [self.replaced(one, f"{path}:", depth + 1) for one in inside.nodes]
        self.made.append({**inside.definition(id, name), "nodes": nodes})
        values = {"widgets_values": [], "inputs": inside.outer_inputs}
        return {**node, "type": id, **values, "title": node.get("title") if node.get("title") != type else name}


class _Inside:
    """What a group holds, with the settings and links of one node that stands for it."""

    def __init__(self, group: Mapping[str, Any], outer: Mapping[str, Any], name: str) -> None:
        self.notes: list[str] = []
        self.nodes = _objects(copy.deepcopy(group.get("nodes")))
        for place, node in enumerate(self.nodes):
            node["id"] = place
            for socket in _objects(node.get("inputs")):
                socket["link"] = None
        self._config = config if isinstance(config := group.get("config"), dict) else {}
        self._external = {(one[0], one[1]) for one in _lists(group.get("external"), 2)}
        self.links: list[dict[str, Any]] = []
        self._from: set[tuple[int, int]] = set()
        for origin, slot, target, into in (one[:4] for one in _lists(group.get("links"), 4)):
            if isinstance(origin, int) and isinstance(target, int) and self._link(origin, slot, target, into):
                self._from.add((origin, slot))
        if not self._set_values(outer.get("widgets_values")):
            self.notes.append(
                f"{outer.get('id')}: the settings of the group node {name!r} do not fit what it holds; those kept inside "
                "are used"
            )
        self.inputs: list[dict[str, Any]] = []
        self.outer_inputs = [*self._connect(_objects(outer.get("inputs")))]
        self.outputs = list(self._outputs())

    def _link(self, origin: int | str, slot: Any, target: int, into: Any) -> bool:
        """Links an output to an inner input by its place; False when there is no such input."""
        sockets = _objects(self.nodes[target].get("inputs")) if 0 <= target < len(self.nodes) else []
        if not isinstance(into, int) or not 0 <= into < len(sockets):
            return False
        number = len(self.links) + 1
        sockets[into]["link"] = number
        link = {"id": number, "origin_id": origin, "origin_slot": slot, "target_id": target, "target_slot": into}
        self.links.append(link)
        return True

    # --- settings

    def _set_values(self, values: Any) -> bool:
        """Gives each inner node its part of the outer settings, which are those of all, one after another."""
        if not isinstance(values, list) or not values:
            return True
        holders = [node for node in self.nodes if isinstance(node.get("widgets_values"), list)]
        if sum(len(node["widgets_values"]) for node in holders) != len(values):
            return False
        for node in holders:
            number = len(node["widgets_values"])
            node["widgets_values"], values = values[:number], values[number:]
        return True

    # --- inputs

    def _connect(self, outer: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """The outer inputs that lead somewhere inside, each made an input of the subgraph."""
        sockets = list(self._sockets())
        for entry in outer:
            widget = entry.get("widget")
            if isinstance(widget, dict):
                place = (
                    self._widget(str(widget.get("name", entry.get("name")))) if entry.get("link") is not None else None
                )
            else:
                place = sockets.pop(0) if sockets else None
            if place is None:
                continue
            self._link(INPUTS_ID, len(self.inputs), *place)
            self.inputs.append({"name": str(entry.get("name", "")), "type": entry.get("type", "*")})
            yield {key: value for key, value in entry.items() if key != "widget"}

    def _sockets(self) -> Iterable[tuple[int, int]]:
        """Inner sockets that are seen outside, by node and place."""
        for place, node in enumerate(self.nodes):
            for slot, socket in enumerate(_objects(node.get("inputs"))):
                is_free = socket["link"] is None and not isinstance(socket.get("widget"), dict)
                if is_free and self._is_shown(place, "input", socket.get("name"), True):
                    yield place, slot

    def _widget(self, wanted: str) -> tuple[int, int] | None:
        """The inner widget that an outer name stands for: its own, one given to it, or its own after its node's title."""
        for place, node in enumerate(self.nodes):
            given = {
                one.get("name"): name
                for name, one in self._settings(place, "input").items()
                if isinstance(one, dict) and one.get("name")
            }
            title = f"{node.get('title') or node.get('type')} "
            name = given.get(wanted, wanted.removeprefix(title))
            sockets = _objects(node.get("inputs"))
            found = next((i for i, one in enumerate(sockets) if one.get("name") == name), None)
            if found is not None and sockets[found]["link"] is None:
                return place, found
            if found is None and (wanted in given or wanted.startswith(title)):
                node["inputs"] = [*sockets, {"name": name, "type": "*", "link": None, "widget": {"name": name}}]
                return place, len(sockets)
        return None

    # --- outputs

    def _outputs(self) -> Iterable[dict[str, Any]]:
        """The outputs that are seen outside, in the order of the nodes."""
        number = 0
        for place, node in enumerate(self.nodes):
            for slot, socket in enumerate(_objects(node.get("outputs"))):
                hidden = (place, slot) in self._from and (place, slot) not in self._external
                if not self._is_shown(place, "output", str(slot), not hidden):
                    continue
                link = {"id": len(self.links) + 1, "origin_id": place, "origin_slot": slot}
                self.links.append({**link, "target_id": OUTPUTS_ID, "target_slot": number})
                number += 1
                yield {"name": str(socket.get("label") or socket.get("name") or slot), "type": socket.get("type", "*")}

    def _is_shown(self, place: int, side: str, name: Any, otherwise: bool) -> bool:
        said = self._settings(place, side).get(str(name))
        visible = said.get("visible") if isinstance(said, dict) else None
        return otherwise if visible is None else bool(visible)

    def _settings(self, place: int, side: str) -> Mapping[str, Any]:
        of_node = self._config.get(str(place))
        found = of_node.get(side) if isinstance(of_node, dict) else None
        return found if isinstance(found, dict) else {}

    def definition(self, id: str, name: str) -> dict[str, Any]:
        """The subgraph, its nodes left to the caller."""
        return {
            "id": id,
            "name": name,
            "inputs": _unique(self.inputs),
            "outputs": _unique(self.outputs),
            "links": self.links,
        }


def _unique(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with names of their own."""
    taken: set[str] = set()
    found = []
    for entry in entries:
        name, count = entry["name"], 1
        while name in taken:
            count += 1
            name = f"{entry['name']} {count}"
        taken.add(name)
        found.append({**entry, "name": name})
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _lists(value: Any, least: int) -> list[list[Any]]:
    return [item for item in value if isinstance(item, list) and len(item) >= least] if isinstance(value, list) else []

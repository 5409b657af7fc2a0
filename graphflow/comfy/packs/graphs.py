"""The small builder with which a pack's node describes the nodes that it grows."""

from __future__ import annotations

from typing import Any

from graphflow.comfy.packs.exchange import ExecutionBlocker

__all__ = ["ExecutionBlocker", "GraphBuilder", "GraphNode", "add_graph_prefix", "is_link"]


def is_link(value: Any) -> bool:
    """Whether an input's value is a link, `[node id, output index]`."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return isinstance(value[0], str) and isinstance(value[1], int | float) and not isinstance(value[1], bool)


class GraphNode:
    """A node of a graph under construction."""

    def __init__(self, id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to one of its outputs."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Sets an input, or takes it away with None."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """An input's value."""
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        """Says under which node its progress is shown; here that is always the node that grew it."""
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        """As the API format has it."""
        return {"class_type": self.class_type, "inputs": self.inputs}


class GraphBuilder:
    """Collects nodes; `finalize` gives them in the API format."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = prefix if prefix is not None else ""
        self.nodes: dict[str, GraphNode] = {}

    def node(self, class_type: str, id: str | None = None, **inputs: Any) -> GraphNode:
        """A node of that class; one that has this id already is returned as it is."""
        full = self.prefix + (str(len(self.nodes) + 1) if id is None else str(id))
        if full not in self.nodes:
            self.nodes[full] = GraphNode(full, class_type, inputs)
        return self.nodes[full]

    def lookup_node(self, id: str) -> GraphNode | None:
        """The node of an id."""
        return self.nodes.get(self.prefix + id)

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Puts another value, or nothing, wherever that output is linked."""
        source = [self.prefix + node_id, index]
        for node in self.nodes.values():
            for key in [key for key, value in node.inputs.items() if is_link(value) and value == source]:
                node.set_input(key, new_value)

    def remove_node(self, id: str) -> None:
        """Takes a node away."""
        del self.nodes[self.prefix + id]

    def finalize(self) -> dict[str, Any]:
        """All nodes in the API format."""
        return {id: node.serialize() for id, node in self.nodes.items()}


def add_graph_prefix(graph: dict[str, Any], outputs: Any, prefix: str) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """A copy of a graph with other ids, and its outputs' links led to them."""

    def moved(value: Any) -> Any:
        return [prefix + value[0], value[1]] if is_link(value) and value[0] in graph else value

    copied = {
        prefix + id: {**node, "inputs": {key: moved(value) for key, value in node.get("inputs", {}).items()}}
        for id, node in graph.items()
    }
    return copied, tuple(moved(output) for output in outputs)

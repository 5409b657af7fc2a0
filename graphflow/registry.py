"""Node packs: every installed entry point in the group `graphflow.nodes`, collected into one registry.

A pack that fails to import is reported, not raised: the others still serve. The control wing never imports packs; it
gets the definitions as data from a worker and keeps them.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from graphflow.node import Node, NodeDef


@dataclass(frozen=True)
class BrokenPack:
    """A pack that could not be imported, and why."""

    pack: str
    reason: str


class Desk(Protocol):
    """Where packs answer what they are asked beside their nodes, by a door of the server that knows their style."""

    @property
    def style(self) -> str:
        """By which the door finds it."""

    @property
    def about(self) -> Any:
        """What it answers, as JSON: in the worker's greeting."""

    def answer(self, question: Any) -> Any:
        """On any thread, while nodes run; what is asked and answered can be pickled. Raises nothing."""


class Loaded(NamedTuple):
    """What a loader found in a folder of packs."""

    nodes: list[Node]
    broken: list[BrokenPack]
    desks: tuple[Desk, ...] = ()


@dataclass(frozen=True)
class Registry:
    """Nodes by type, the packs that could not be read, and what packs have beside nodes."""

    nodes: Mapping[str, Node]
    broken: Sequence[BrokenPack] = ()
    desks: Sequence[Desk] = ()

    def definitions(self) -> Definitions:
        """The same as data."""
        return Definitions({name: node.definition for name, node in self.nodes.items()})

    def with_nodes(
        self, nodes: Sequence[Node], broken: Sequence[BrokenPack] = (), desks: Sequence[Desk] = ()
    ) -> Registry:
        """With further nodes; one of a type that is there already is reported instead."""
        merged, reports = dict(self.nodes), [*self.broken, *broken]
        for node in nodes:
            if (there := merged.get(node.definition.type)) is not None:
                reason = f"its node {node.definition.type!r} is there already, from {there.definition.pack!r}"
                reports.append(BrokenPack(node.definition.pack, reason))
            else:
                merged[node.definition.type] = node
        return Registry(merged, tuple(reports), (*self.desks, *desks))


class Definitions(dict[str, NodeDef]):
    """Node definitions by type; old names lead to the nodes that bear them now."""

    def __init__(self, definitions: Mapping[str, NodeDef]) -> None:
        super().__init__(definitions)
        self.aliases = {alias: d.type for d in definitions.values() for alias in d.aliases}

    def lookup(self, type: str) -> NodeDef | None:
        """The definition of a type or of its old name."""
        return self.get(type) or self.get(self.aliases.get(type, ""))

    def digest(self) -> str:
        """Changes whenever any definition does."""
        text = json.dumps([d.model_dump(mode="json") for _, d in sorted(self.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def discover() -> Registry:
    """Every pack installed, by entry point."""
    registry = Registry({})
    for entry in sorted(entry_points(group="graphflow.nodes"), key=lambda entry: (entry.name != "core", entry.name)):
        nodes, broken = _load(entry)
        registry = registry.with_nodes(nodes, broken)
    return registry


def _load(entry: EntryPoint) -> tuple[list[Node], list[BrokenPack]]:
    try:
        return list(nodes_in(entry.load(), entry.name)), []
    except Exception as error:  # whatever a stranger's pack raises when imported
        return [], [BrokenPack(entry.name, f"{type(error).__name__}: {error}")]


def nodes_in(package: ModuleType, pack: str) -> Iterator[Node]:
    """Every node defined in a package or module, by type."""
    found: dict[str, Node] = {}
    for module in _modules(package):
        for thing in vars(module).values():
            node = getattr(thing, "__node__", None)
            if isinstance(node, Node) and getattr(thing, "__module__", None) == module.__name__:
                definition = node.definition.model_copy(update={"pack": pack})
                found[definition.type] = replace(node, definition=definition)
    yield from (found[name] for name in sorted(found))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for info in pkgutil.iter_modules(getattr(package, "__path__", [])):
        yield from _modules(importlib.import_module(f"{package.__name__}.{info.name}"))

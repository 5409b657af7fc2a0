"""docs/nodes.md says what the nodes are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from graphflow.node import NodeDef
from graphflow.registry import discover
from graphflow.server.library import shown_by

DOCS = Path(__file__).parents[2] / "docs"
NODES = sorted((d for d in discover().definitions().values() if d.pack == "core"), key=lambda d: d.type)


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_nodes", DOCS / "make_nodes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh() -> None:
    fresh = maker().page(NODES)
    assert (DOCS / "nodes.md").read_text(encoding="utf-8") == fresh, "run: python docs/make_nodes.py"


@pytest.mark.parametrize("definition", NODES, ids=lambda d: d.type)
def test_every_node_explains_itself(definition: NodeDef) -> None:
    assert definition.description.strip(), "write a docstring"
    assert definition.description.strip().splitlines()[0].endswith((".", ":")), "its first line is a sentence"


def test_every_node_is_shown_by_a_workflow_that_ships() -> None:
    """`tests/test_shipped_workflows.py` runs these, or plans those that need a user's own files."""
    lacking = {definition.type for definition in NODES} - shown_by().keys()
    assert lacking == set(), "put them into a workflow in workflows/"


def test_examples_that_a_node_names_use_it() -> None:
    named = [(d.type, d.example) for d in NODES if d.example]
    examples = shown_by()
    assert [(type, name) for type, name in named if name not in examples.get(type, ())] == []

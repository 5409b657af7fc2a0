"""The document: read, kept whole, written the same way each time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.errors import BadRequest, GraphflowError, InvalidWorkflow, TooLarge
from graphflow.workflow import Source, canonical, json_schema, link, load_json, parse, pretty, read

DOCUMENT = {
    "graphflow": 1,
    "name": "Sum",
    "nodes": {"a.b": {"type": "One"}, "c": {"type": "Add", "inputs": {"a": {"from": "a.b.INT"}}, "note": "kept"}},
    "layout": {"c": {"position": [0.5, 2]}},
    "author": {"name": "me"},
    "subgraphs": {"s": {"outputs": [{"name": "x", "from": "n.X"}], "nodes": {"n": {"type": "One"}}}},
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
nodes = st.dictionaries(
    st.text(), st.fixed_dictionaries({"type": st.text(min_size=1, max_size=9)}, optional={
        "inputs": st.dictionaries(st.text(), json_values, max_size=3), "note": json_values, "title": st.text()}), max_size=4)  # fmt: skip


def test_unknown_keys_are_kept() -> None:
    assert json.loads(canonical(parse(DOCUMENT))) == DOCUMENT


@given(nodes, json_values)
def test_load_save_load_is_the_identity(nodes: dict[str, object], extra: object) -> None:
    text = canonical(parse({"graphflow": 1, "nodes": nodes, "extra": extra}))
    assert json.loads(text) == {"graphflow": 1, "nodes": nodes, "extra": extra}
    assert canonical(parse(load_json(text))) == text
    assert canonical(parse(load_json(pretty(parse(load_json(text)))))) == text


def test_the_last_dot_separates_node_and_output() -> None:
    assert link({"from": "a.b.INT"}) == Source("a.b", "INT")
    assert link({"from": "a", "to": "b"}) is None
    assert link("a.INT") is None


def test_values_are_set_by_node_and_input() -> None:
    changed = parse(DOCUMENT).with_values({"c.b": 3})
    assert changed.nodes["c"].inputs == {"a": {"from": "a.b.INT"}, "b": 3}
    with pytest.raises(InvalidWorkflow, match="no node 'x'"):
        parse(DOCUMENT).with_values({"x.b": 3})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("[NaN]", "NaN is no JSON number"),
        ("[1e999]", "too large"),
        ("[" + "9" * 50 + "]", "has 50 digits"),
        ("[" * 5000 + "]" * 5000, "nested deeper"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_hostile_json_is_refused_with_the_reason(text: str | bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        load_json(text)


def test_brackets_inside_texts_do_not_nest() -> None:
    assert load_json(json.dumps(["[" * 500, '\\"{{{'])) == ["[" * 500, '\\"{{{']


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "a workflow is a JSON object"),
        ({}, "no key 'graphflow'"),
        ({"graphflow": 2}, "has version 2"),
        ({"graphflow": 1, "nodes": {"a": {}}}, "a: nodes.a.type: field required"),
        ({"graphflow": 1, "nodes": {"a": {"type": "X", "mode": "off"}}}, "nodes.a.mode"),
        ({"graphflow": 1, "nodes": []}, "nodes: input should be"),
    ],
)
def test_a_faulty_document_is_refused_at_its_place(document: object, told: str) -> None:
    with pytest.raises(GraphflowError, match=told):
        parse(document)


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(TooLarge, match="100000 nodes"):
        parse({"graphflow": 1, "nodes": {str(i): {"type": "One"} for i in range(100_000)}})


def test_a_format_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadRequest, match="this is no workflow"):
        read({"hello": "world"})
    assert read(DOCUMENT).notes == ()


def test_the_schema_is_published() -> None:
    schema = json_schema()
    assert set(schema["properties"]) >= {"graphflow", "name", "nodes", "layout", "groups", "subgraphs"}


@pytest.mark.parametrize("text", [r'{"a": "\ud83d"}', r'{"\udc00": 1}', '{"a": "\udfff"}'])
def test_half_a_character_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"\\ud[0-9a-f]{3} is half of a character"):
        load_json(text)
    assert load_json(r'{"a": "\ud83d\ude00"}') == {"a": "\N{GRINNING FACE}"}

"""A workflow becomes a plan, or every problem is told at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.errors import InvalidWorkflow
from graphflow.plan import Plan, Ref, active, compile
from graphflow.workflow import Workflow, parse
from tests.toys import DEFINITIONS, SHELF, Shelf, workflow


def plan(document: Workflow, **options: Any) -> Plan:
    return compile(document, DEFINITIONS, SHELF, **options)


def problems(document: Workflow, **options: Any) -> list[tuple[str | None, str | None, str]]:
    with pytest.raises(InvalidWorkflow) as raised:
        plan(document, **options)
    return [(p.node, p.input, p.code) for p in raised.value.problems]


def message(document: Workflow, **options: Any) -> str:
    with pytest.raises(InvalidWorkflow) as raised:
        plan(document, **options)
    (problem,) = raised.value.problems
    return problem.message


def keys(document: Workflow, **options: Any) -> dict[str, str]:
    return {task.id: task.key for task in plan(document, **options).tasks}


SUM = {"one": ("One", {}), "add": ("Add", {"a": "one.INT", "b": 2}), "show": ("Show", {"value": "add.INT"})}


def test_a_plan_orders_tasks_and_resolves_links() -> None:
    made = plan(workflow({"show": SUM["show"], "add": SUM["add"], "one": SUM["one"]}))

    assert [task.id for task in made.tasks] == ["one", "add", "show"]
    assert made.tasks[1].inputs == (("a", Ref(0, 0)), ("b", 2))
    assert made.outputs == (2,)


def test_only_what_the_outputs_need_is_planned() -> None:
    made = plan(workflow({**SUM, "idle": ("Add", {"a": "one.INT"}), "broken": ("Blur", {})}))
    assert [task.id for task in made.tasks] == ["one", "add", "show"]


def test_a_node_may_take_inputs_of_any_name_and_judge_values_itself() -> None:
    nodes = {
        "one": ("One", {}),
        "g": ("Gather", {"n": 90, "x": "one.INT", "y": "text"}),
        "s": ("Show", {"value": "g.STRING"}),
    }
    made = plan(workflow(nodes))

    assert made.tasks[1].inputs == (("n", 90), ("x", Ref(0, 0)), ("y", "text"))
    assert made.tasks[1].key != plan(workflow({**nodes, "g": ("Gather", {"n": 90, "x": "one.INT"})})).tasks[1].key
    assert problems(workflow({**nodes, "g": ("Gather", {"n": "ten", "x": {"from": "on.INT"}})})) == [
        ("g", "n", "invalid_value"), ("g", "x", "unknown_source"),
    ]  # fmt: skip


def test_a_target_is_run_in_place_of_the_outputs() -> None:
    made = plan(workflow(SUM), targets=["add"])
    assert [task.id for task in made.tasks] == ["one", "add"]
    assert problems(workflow(SUM), targets=["ad"]) == [("ad", None, "unknown_node")]


def test_every_problem_is_told_at_once() -> None:
    document = workflow(
        {
            "sum": ("Add", {"a": 1.5, "b": 101}),
            "mode": ("Mode", {"mode": "fats", "scale": 0}),
            "blur": ("Blur", {"radius": True}),
            "ear": ("Hear", {}),
            "wrong": ("Blur", {"image": "ear.AUDIO"}),
            "lost": ("Add", {"a": "sum.INTEGER"}),
            "gone": ("Add", {"a": {"from": "som.INT"}}),
            "new": ("Shov", {"value": 1}),
            "s1": ("Show", {"value": "mode.FLOAT"}),
            "s2": ("Show", {"value": "blur.IMAGE"}),
            "s3": ("Show", {"value": "wrong.IMAGE"}),
            "s4": ("Show", {"value": "lost.INT"}),
            "s5": ("Show", {"value": "gone.INT"}),
        }
    )
    assert sorted(problems(document), key=str) == sorted(
        [
            ("sum", "a", "invalid_value"),
            ("sum", "b", "invalid_value"),
            ("mode", "mode", "invalid_value"),
            ("mode", "scale", "invalid_value"),
            ("blur", "image", "missing_input"),
            ("blur", "radius", "invalid_value"),
            ("wrong", "image", "wrong_type"),
            ("lost", "a", "unknown_output"),
            ("gone", "a", "unknown_source"),
            ("new", None, "unknown_type"),
        ],
        key=str,
    )


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ({"s": ("Shwo", {})}, "there is no node type 'Shwo' here; the nearest: Show"),
        ({"a": ("Add", {"a": 1, "b": 101}), "s": ("Show", {"value": "a.INT"})},
         "101 is out of range: it must be between -100 and 100"),
        ({"m": ("Mode", {"mode": "fats"}), "s": ("Show", {"value": "m.FLOAT"})},
         '"fats" is not in the list; the nearest: "fast"'),
        ({"b": ("Blur", {}), "s": ("Show", {"value": "b.IMAGE"})},
         "nothing is linked: connect an IMAGE, for example from Paint"),
        ({"o": ("Open", {"name": "sd51.safetensors"}), "s": ("Show", {"value": "o.IMAGE"})},
         "there is no 'sd51.safetensors' in checkpoints; the nearest: ['sd15.safetensors']"),
        ({"a": ("Add", {"a": "b.INT"}), "b": ("Add", {"a": "a.INT"}), "s": ("Show", {"value": "b.INT"})},
         "the links run in a circle: a → b → a; take one of them away"),
        ({"one": ("One", {})}, "nothing would come out: add an output node, for example SaveImage, and link it"),
        ({"a": ("Add", {}), "s": ("Show", {"value": "a.INT"})}, "no value: enter one, or link one"),
        ({"a": ("Blur", {"image": 3}), "s": ("Show", {"value": "a.IMAGE"})},
         "it takes a link that gives IMAGE, not the value 3"),
    ],
)  # fmt: skip
def test_a_message_says_what_is_wrong_and_what_to_do(nodes: dict[str, Any], told: str) -> None:
    if nodes.keys() == {"one"}:
        nodes = {**nodes, "two": ("Add", {"a": "one.INT"})}
    assert message(workflow(nodes)) == told


def test_literals_become_what_their_ports_want() -> None:
    made = plan(workflow({"a": ("Add", {"a": 2.0}), "m": ("Mode", {"scale": 3}), "s": ("Show", {"value": "a.INT"}),
                          "t": ("Show", {"value": "m.FLOAT"})}))  # fmt: skip
    inputs = {task.id: dict(task.inputs) for task in made.tasks}
    assert (inputs["a"], inputs["m"]) == ({"a": 2, "b": 0}, {"mode": "fast", "scale": 3.0})
    assert isinstance(inputs["a"]["a"], int)
    assert isinstance(inputs["m"]["scale"], float)


def test_an_old_name_of_a_node_is_understood() -> None:
    made = plan(workflow({"old": ("Ancient", {}), "s": ("Show", {"value": "old.0"})}))
    assert [task.type for task in made.tasks] == ["Old", "Show"]


# --- modes -----------------------------------------------------------------------------------------------------------

CHAIN = {
    "paint": ("Paint", {}),
    "b1": ("Blur", {"image": "paint.IMAGE", "radius": 5}),
    "b2": ("Blur", {"image": "b1.IMAGE"}),
    "show": ("Show", {"value": "b2.IMAGE"}),
}


def test_a_bypassed_node_passes_on_its_input_of_the_same_type() -> None:
    made = plan(workflow({**CHAIN, "b1": (*CHAIN["b1"], "bypass"), "b2": (*CHAIN["b2"], "bypass")}))
    assert [task.id for task in made.tasks] == ["paint", "show"]


def test_what_a_muted_node_gave_is_missing() -> None:
    assert problems(workflow({**CHAIN, "b1": (*CHAIN["b1"], "mute")})) == [("b2", "image", "missing_input")]
    made = plan(workflow({**CHAIN, "extra": ("Show", {"value": "nope.X"}, "mute")}))
    assert [task.id for task in made.tasks] == ["paint", "b1", "b2", "show"]


# --- subgraphs -------------------------------------------------------------------------------------------------------

TWICE = {
    "inputs": [{"name": "n", "type": "INT"}],
    "outputs": [{"name": "INT", "type": "INT", "from": "second.INT"}],
    "nodes": {
        "first": {"type": "Add", "inputs": {"a": {"from": "$inputs.n"}, "b": 1}},
        "second": {"type": "Add", "inputs": {"a": {"from": "first.INT"}, "b": {"from": "$inputs.n"}}},
    },
}


def test_a_subgraph_is_inlined() -> None:
    nodes = {"one": ("One", {}), "t": ("subgraph/twice", {"n": "one.INT"}), "s": ("Show", {"value": "t.INT"})}
    made = plan(workflow(nodes, subgraphs={"twice": TWICE}))

    assert [task.id for task in made.tasks] == ["one", "t:first", "t:second", "s"]
    assert made.tasks[2].inputs == (("a", Ref(1, 0)), ("b", Ref(0, 0)))


def test_a_literal_enters_a_subgraph_and_subgraphs_nest() -> None:
    outer = {
        "inputs": [{"name": "n"}],
        "outputs": [{"name": "INT", "from": "inner.0"}],
        "nodes": {"inner": {"type": "subgraph/twice", "inputs": {"n": {"from": "$inputs.n"}}}},
    }
    nodes = {"o": ("subgraph/outer", {"n": 7}), "s": ("Show", {"value": "o.INT"})}
    made = plan(workflow(nodes, subgraphs={"twice": TWICE, "outer": outer}))

    assert [task.id for task in made.tasks] == ["o:inner:first", "o:inner:second", "s"]
    assert dict(made.tasks[0].inputs) == {"a": 7, "b": 1}


def test_an_output_node_inside_a_subgraph_is_wanted_and_can_be_the_target() -> None:
    inside = {"inputs": [{"name": "n"}], "outputs": [], "nodes": {
        "more": {"type": "Add", "inputs": {"a": {"from": "$inputs.n"}}},
        "show": {"type": "Show", "inputs": {"value": {"from": "more.INT"}}},
    }}  # fmt: skip
    nodes = {"one": ("One", {}), "t": ("subgraph/shown", {"n": "one.INT"}), "s": ("Show", {"value": "one.INT"})}
    whole = workflow(nodes, subgraphs={"shown": inside})

    made = plan(whole)
    assert [made.tasks[place].id for place in made.outputs] == ["s", "t:show"]
    assert [task.id for task in plan(whole, targets=["t:show"]).tasks] == ["one", "t:more", "t:show"]


def test_a_bypassed_subgraph_passes_on_the_input_of_the_same_type() -> None:
    nodes = {
        "one": ("One", {}),
        "t": ("subgraph/twice", {"n": "one.INT"}, "bypass"),
        "s": ("Show", {"value": "t.INT"}),
    }
    made = plan(workflow(nodes, subgraphs={"twice": TWICE}))

    assert [(task.id, task.inputs) for task in made.tasks] == [("one", ()), ("s", (("value", Ref(0, 0)),))]


def test_a_bypassed_subgraph_with_nothing_to_pass_on_says_so_where_it_is_missed() -> None:
    nodes = {
        "t": ("subgraph/twice", {"n": 1}, "bypass"),
        "s": ("Blur", {"image": "t.INT"}),
        "x": ("Show", {"value": "s.IMAGE"}),
    }
    typed = {**TWICE, "outputs": [{"name": "INT", "type": "IMAGE", "from": "second.INT"}]}
    assert problems(workflow(nodes, subgraphs={"twice": typed})) == [("s", "image", "missing_input")]


def test_a_subgraph_can_show_what_it_was_given() -> None:
    through = {"inputs": [{"name": "n"}], "outputs": [{"name": "same", "from": "$inputs.n"}], "nodes": {}}
    nodes = {"t": ("subgraph/through", {"n": 5}), "s": ("Show", {"value": "t.same"})}
    flat = active(workflow(nodes, subgraphs={"through": through}), DEFINITIONS)

    assert {id: node.inputs for id, node in flat.items()} == {"s": {"value": 5}}


def test_a_subgraph_that_contains_itself_is_a_cycle() -> None:
    selfish = {"outputs": [{"name": "INT", "from": "me.INT"}], "nodes": {"me": {"type": "subgraph/selfish"}}}
    nodes = {"x": ("subgraph/selfish", {}), "s": ("Show", {"value": "x.INT"})}
    assert ("x:me", None, "cycle") in problems(workflow(nodes, subgraphs={"selfish": selfish}))


# --- keys ------------------------------------------------------------------------------------------------------------


def test_titles_ids_and_layout_change_no_key() -> None:
    renamed = {"uno": SUM["one"], "sum": ("Add", {"a": "uno.INT", "b": 2}), "out": ("Show", {"value": "sum.INT"})}
    document = workflow(renamed, layout={"uno": {"position": [1, 2]}})
    assert list(keys(document).values()) == list(keys(workflow(SUM)).values())


def test_a_file_enters_a_key_by_its_content() -> None:
    document = workflow({"o": ("Open", {"name": "m"}), "p": ("Prompt", {"text": "a embedding:bad"}),
                         "s": ("Show", {"value": "o.IMAGE"}), "t": ("Show", {"value": "p.STRING"})})  # fmt: skip

    def on(checkpoint: str, embedding: str) -> dict[str, str]:
        shelf = Shelf(checkpoints={"m": checkpoint}, embeddings={"bad.pt": embedding})
        return {task.id: task.key for task in compile(document, DEFINITIONS, shelf).tasks}

    before = on("1", "1")
    assert {id for id, key in on("2", "1").items() if before[id] != key} == {"o", "s"}
    assert {id for id, key in on("1", "2").items() if before[id] != key} == {"p", "t"}


def test_a_volatile_node_has_a_new_key_each_time() -> None:
    document = workflow({"dice": ("Dice", {}), "show": ("Show", {"value": "dice.INT"})})
    assert keys(document, nonce="a") != keys(document, nonce="b")
    assert keys(workflow(SUM), nonce="a") == keys(workflow(SUM), nonce="b")
    assert keys(workflow(SUM), realm="cpu") != keys(workflow(SUM), realm="cuda")


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Random acyclic sums, each with an output node."""
    nodes: dict[str, Any] = {"n0": ("One", {})}
    for i in range(1, draw(st.integers(1, 12))):
        a, b = (f"n{draw(st.integers(0, i - 1))}.INT" for _ in range(2))
        nodes[f"n{i}"] = ("Add", {"a": a, "b": b if draw(st.booleans()) else draw(st.integers(-9, 9))})
    return nodes | {f"s{i}": ("Show", {"value": f"n{i}.INT"}) for i in range(len(nodes))}


@given(graphs(), st.randoms(use_true_random=False))
def test_a_change_changes_the_keys_of_the_node_and_its_descendants_only(nodes: dict[str, Any], random: Any) -> None:
    adds = [id for id, (type_, _) in nodes.items() if type_ == "Add" and isinstance(_["b"], int)]
    if not adds:
        return
    changed = random.choice(adds)
    edited = {**nodes, changed: ("Add", {**nodes[changed][1], "b": 50})}
    before, after = keys(workflow(nodes)), keys(workflow(edited))

    descendants = {changed}
    for id, (_, inputs) in nodes.items():
        if any(isinstance(v, str) and v.split(".")[0] in descendants for v in inputs.values()):
            descendants.add(id)
    assert {id for id in before if before[id] != after[id]} == descendants


def test_a_chain_of_ten_thousand_nodes_is_planned() -> None:
    nodes: dict[str, Any] = {"n0": ("One", {})}
    nodes |= {f"n{i}": ("Add", {"a": f"n{i - 1}.INT"}) for i in range(1, 10_000)}
    made = plan(workflow({**nodes, "s": ("Show", {"value": "n9999.INT"})}))
    assert len(made.tasks) == 10_001


# --- frozen nodes ----------------------------------------------------------------------------------------------------

KEY = "ab" * 32


def frozen(nodes: dict[str, Any], *ids: str, **more: Any) -> Any:
    document = workflow(nodes, **more)
    changed = {id: document.nodes[id].model_copy(update={"frozen": KEY}) for id in ids}
    return document.model_copy(update={"nodes": {**document.nodes, **changed}})


def test_a_frozen_node_needs_nothing_and_has_its_kept_key() -> None:
    nodes = {"one": ("One", {}), "add": ("Add", {"a": "one.INT", "b": 2}), "show": ("Show", {"value": "add.INT"})}
    made = plan(frozen(nodes, "add"))
    assert [(task.id, task.frozen) for task in made.tasks] == [("add", True), ("show", False)]
    assert made.tasks[0].key == KEY
    other = plan(frozen({**nodes, "add": ("Add", {"a": "one.INT", "b": 7})}, "add"))
    assert [task.key for task in other.tasks] == [task.key for task in made.tasks]
    assert plan(workflow(nodes)).tasks[-1].key != made.tasks[-1].key


def test_what_is_wrong_above_a_frozen_node_and_in_it_does_not_matter() -> None:
    nodes = {"add": ("Add", {"a": "gone.INT", "b": 9999}), "show": ("Show", {"value": "add.INT"})}
    with pytest.raises(InvalidWorkflow):
        plan(workflow(nodes))
    assert len(plan(frozen(nodes, "add")).tasks) == 2


def test_bypassing_and_muting_go_before_freezing() -> None:
    nodes = {"one": ("One", {}), "add": ("Add", {"a": "one.INT"}, "bypass"), "show": ("Show", {"value": "add.INT"})}
    assert [task.id for task in plan(frozen(nodes, "add")).tasks] == ["one", "show"]


def test_a_node_inside_a_subgraph_can_be_frozen_the_whole_cannot() -> None:
    nodes = {"one": ("One", {}), "t": ("subgraph/twice", {"n": "one.INT"}), "s": ("Show", {"value": "t.INT"})}
    inside = {**TWICE, "nodes": {**TWICE["nodes"], "second": {**TWICE["nodes"]["second"], "frozen": KEY}}}
    assert [task.id for task in plan(workflow(nodes, subgraphs={"twice": inside})).tasks] == ["t:second", "s"]
    with pytest.raises(InvalidWorkflow) as caught:
        plan(frozen(nodes, "t", subgraphs={"twice": TWICE}))
    assert [(p.node, p.code) for p in caught.value.problems] == [("t", "frozen_subgraph")]


def test_only_the_key_of_a_result_can_stand_under_frozen() -> None:
    with pytest.raises(InvalidWorkflow, match=r"nodes\.one\.frozen"):
        parse({"graphflow": 1, "nodes": {"one": {"type": "One", "frozen": "../../etc/passwd"}}})

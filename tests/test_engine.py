"""Plans are walked: each thing computed once, jobs apart from each other, and growth, lists and lazy inputs honoured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from graphflow.cache import Cache
from graphflow.engine import Engine
from graphflow.events import JobCancelled, JobDone, JobFailed, Made, NodeCached, NodeDone
from graphflow.node import PLACE, Artifact, Blocked, Expansion, Lazy, Node, Progress, Steps, node, node_of
from graphflow.plan import compile
from graphflow.registry import Registry
from graphflow.values import Image
from graphflow.workflow import Workflow
from tests.toys import SHELF, TOYS, workflow


@node("Fail", category="toys")
def fail(a: int) -> int:
    raise ValueError(f"{a} is unlucky: take another")


@node("Bug", category="toys")
def bug(a: int) -> int:
    return {}["x"]  # type: ignore[no-any-return]


@node("Three", category="toys")
def three() -> list[int]:
    return [1, 2, 3]


@node("Total", category="toys")
def total(a: list[int], b: list[int]) -> int:
    return sum(a) + sum(b)


@node("Gate", category="toys")
def gate(a: int, open: bool = False) -> int:
    return a if open else Blocked("the gate is shut")  # type: ignore[return-value]


@node("CountDown", category="toys")
def count_down(n: int, total: int = 0) -> int:
    """n + (n - 1) + ... + 1, by growing."""
    if n == 0:
        return total
    nodes = {
        "add": {"type": "Add", "inputs": {"a": total, "b": n}},
        "next": {"type": "CountDown", "inputs": {"n": n - 1, "total": {"from": "add.INT"}}},
    }
    return Expansion(nodes, [{"from": "next.INT"}])  # type: ignore[return-value]


@node("Endless", category="toys")
def endless(n: int = 0) -> int:
    return Expansion({"x": {"type": "Endless", "inputs": {"n": n + 1}}}, [{"from": "x.INT"}])  # type: ignore[return-value]


@node("Tint", category="toys")
def tint(image: Image, steps: int = 3) -> Steps[Image]:
    for i in range(steps):
        yield Progress(i + 1, steps)
    return Image(image.data + 1)


@node("Blank", category="toys")
def blank() -> Image:
    return Image(torch.zeros(1, 1, 1, 3))


@node("TintTwice", category="toys")
def tint_twice(image: Image) -> Image:
    nodes = {
        "a": {"type": "Tint", "inputs": {"image": image}},
        "b": {"type": "Tint", "inputs": {"image": {"from": "a.IMAGE"}}},
        "show": {"type": "Show", "inputs": {"value": "grown"}},
    }
    return Expansion(nodes, [{"from": "b.0"}])  # type: ignore[return-value]


@node("Same", category="toys")
def same(a: int) -> int:
    return a


REGISTRY = Registry({toy.definition.type: toy for toy in TOYS}).with_nodes(
    [node_of(f) for f in (fail, bug, three, total, gate, count_down, endless, tint, blank, tint_twice, same)]
)


def engine(*more: Node, **options: Any) -> Engine:
    return Engine(REGISTRY.with_nodes(more), Cache(10**7), SHELF, **options)


def run(document: Workflow, on: Engine | None = None, job: str = "j", **options: Any) -> list[Any]:
    on = on or engine()
    events: list[Any] = []
    on.run(compile(document, on.shop.definitions, SHELF, job=job, **options), events.append)
    return events


def told(events: list[Any]) -> list[Any]:
    """Events in short: (type, node)."""
    return [(e.type, getattr(e, "node", None)) for e in events if not isinstance(e, Made)]


def made(events: list[Any]) -> dict[str, bytes]:
    return {e.node: e.data for e in events if isinstance(e, Made)}


SUM = {"one": ("One", {}), "add": ("Add", {"a": "one.INT", "b": 2}), "show": ("Show", {"value": "add.INT"})}


def test_a_plan_is_walked_and_its_output_given() -> None:
    events = run(workflow(SUM))
    assert made(events) == {"show": b"3"}
    assert told(events) == [
        ("job.started", None),
        ("node.started", "one"),
        ("node.done", "one"),
        ("node.started", "add"),
        ("node.done", "add"),
        ("node.started", "show"),
        ("node.done", "show"),
        ("job.done", None),
    ]


def test_what_was_computed_is_not_computed_again() -> None:
    on = engine()
    run(workflow(SUM), on)
    again = run(workflow(SUM), on)
    assert told(again) == [
        ("job.started", None),
        ("node.cached", "one"),
        ("node.cached", "add"),
        ("node.cached", "show"),
        ("job.done", None),
    ]
    assert made(again) == {"show": b"3"}
    changed = run(workflow({**SUM, "add": ("Add", {"a": "one.INT", "b": 5})}), on)
    assert ("node.cached", "one") in told(changed)
    assert made(changed) == {"show": b"6"}


def test_a_node_that_raises_fails_its_job_with_a_message_and_its_inputs() -> None:
    events = run(workflow({"f": ("Fail", {"a": 13}), "s": ("Show", {"value": "f.INT"})}))
    failed = events[-1]
    assert isinstance(failed, JobFailed)
    (problem,) = failed.error.problems
    assert (failed.error.code, problem.node, problem.message) == ("node_failed", "f", "13 is unlucky: take another")
    assert problem.details == {"type": "Fail", "inputs": {"a": "13"}}


def test_a_programming_error_in_a_node_says_its_kind() -> None:
    failed = run(workflow({"f": ("Bug", {"a": 1}), "s": ("Show", {"value": "f.INT"})}))[-1]
    assert failed.error.problems[0].message == "KeyError: 'x'"


@pytest.mark.parametrize(("on", "answer"), [(True, b"1"), (False, b"5")])
def test_a_branch_not_taken_does_not_run(on: bool, answer: bytes) -> None:
    nodes = {
        "one": ("One", {}),
        "five": ("Same", {"a": 5}),
        "switch": ("Switch", {"on": on, "when_on": "one.INT", "when_off": "five.INT"}),
        "show": ("Show", {"value": "switch.0"}),
    }
    events = run(workflow(nodes))
    ran = {node for kind, node in told(events) if kind == "node.started"}
    assert made(events) == {"show": answer}
    assert ran == {"switch", "show", "one" if on else "five"}


def test_a_node_maps_over_a_list_and_a_list_input_takes_it_whole() -> None:
    nodes = {
        "three": ("Three", {}),
        "add": ("Add", {"a": "three.INT", "b": 10}),
        "total": ("Total", {"a": "add.INT", "b": "three.INT"}),
        "each": ("Show", {"value": "add.INT"}),
        "all": ("Show", {"value": "total.INT"}),
    }
    events = run(workflow(nodes))
    assert [(e.node, e.index, e.data) for e in events if isinstance(e, Made)] == [
        ("each", 0, b"11"), ("each", 1, b"12"), ("each", 2, b"13"), ("all", 0, b"42"),
    ]  # fmt: skip


def test_what_takes_a_blocked_value_is_skipped() -> None:
    nodes = {
        "one": ("One", {}),
        "gate": ("Gate", {"a": "one.INT"}),
        "add": ("Add", {"a": "gate.INT"}),
        "s1": ("Show", {"value": "add.INT"}),
        "s2": ("Show", {"value": "one.INT"}),
    }
    events = run(workflow(nodes))
    assert [event for event in told(events) if event[0] == "node.skipped"] == [
        ("node.skipped", "add"),
        ("node.skipped", "s1"),
    ]
    assert made(events) == {"s2": b"1"}
    assert isinstance(events[-1], JobDone)


def test_a_node_may_grow_and_its_growth_is_told_under_it() -> None:
    events = run(workflow({"c": ("CountDown", {"n": 100}), "s": ("Show", {"value": "c.INT"})}))
    assert made(events) == {"s": b"5050"}
    assert {node for _, node in told(events)} == {None, "c", "s"}


def test_growth_without_an_end_is_stopped() -> None:
    failed = run(workflow({"c": ("Endless", {}), "s": ("Show", {"value": "c.INT"})}))[-1]
    assert "500 levels deep" in failed.error.message


def test_grown_nodes_take_values_and_give_files() -> None:
    nodes = {"b": ("Blank", {}), "t": ("TintTwice", {"image": "b.IMAGE"}), "s": ("Show", {"value": "t.IMAGE"})}
    events = run(workflow(nodes))
    assert made(events)["t"] == b"grown"
    assert b"2." in made(events)["s"]


def test_equal_nodes_are_computed_once() -> None:
    nodes = {
        "a": ("Same", {"a": 4}),
        "b": ("Same", {"a": 4}),
        "s": ("Show", {"value": "a.INT"}),
        "t": ("Show", {"value": "b.INT"}),
    }
    started = [node for kind, node in told(run(workflow(nodes))) if kind == "node.started"]
    assert started == ["a", "s"]


def test_a_linked_literal_is_checked_like_a_written_one() -> None:
    nodes = {"big": ("Same", {"a": 500}), "add": ("Add", {"a": 1, "b": "big.INT"}), "s": ("Show", {"value": "add.INT"})}
    (problem,) = run(workflow(nodes))[-1].error.problems
    assert (problem.node, problem.input) == ("add", "b")
    assert "between -100 and 100" in problem.message


def test_a_text_that_is_linked_brings_the_files_it_names() -> None:
    seen: list[Any] = []

    @node("Read", category="toys")
    def read(text: str) -> str:
        seen.append(text)
        return text

    nodes = {"p": ("Prompt", {"text": "embedding:bad"}), "s": ("Show", {"value": "p.STRING"})}
    assert made(run(workflow(nodes), engine(node_of(read)))) == {"s": b"embedding:bad"}


class Slow:
    """A node that waits inside until told to go on."""

    def __init__(self, device: bool) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.runs = 0

        @node("Slow", category="toys")
        def slow(a: int = 0) -> Steps[int]:
            self.runs += 1
            for i in range(1000):
                self.inside.set()
                self.go.wait(10)
                yield Progress(i, 1000)
            return a

        definition = node_of(slow).definition.model_copy(update={"device": device})
        self.node = Node(definition, slow)


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


@pytest.mark.parametrize("device", [True, False])
def test_a_job_is_cancelled_within_a_step_and_others_go_on(device: bool) -> None:
    slow = Slow(device)
    on = engine(slow.node)
    thread, results = in_thread(lambda: run(workflow({"x": ("Slow", {}), "s": ("Show", {"value": "x.INT"})}), on, "a"))
    slow.inside.wait(10)
    on.cancel("a")
    slow.go.set()
    thread.join(10)

    assert isinstance(results[0][-1], JobCancelled)
    assert len([e for e in results[0] if getattr(e, "type", "") == "node.progress"]) <= 2
    assert made(run(workflow(SUM), on, "b")) == {"show": b"3"}
    on.close()


def test_two_jobs_that_want_the_same_compute_it_once() -> None:
    slow = Slow(device=True)
    on = engine(slow.node)
    document = workflow({"x": ("Slow", {"a": 3}), "s": ("Show", {"value": "x.INT"})})
    first, one = in_thread(lambda: run(document, on, "a"))
    slow.inside.wait(10)
    second, two = in_thread(lambda: run(document, on, "b"))
    slow.go.set()
    first.join(20)
    second.join(20)

    assert slow.runs == 1
    assert made(one[0]) == made(two[0]) == {"s": b"3"}
    on.close()


def test_memory_that_runs_out_is_freed_and_tried_once_more() -> None:
    tries: list[int] = []

    @node("Hungry", category="toys")
    def hungry() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1

    @node("Greedy", category="toys")
    def greedy() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory")

    freed: list[int] = []
    on = engine(node_of(hungry), node_of(greedy), free=lambda: freed.append(1))
    assert made(run(workflow({"h": ("Hungry", {}), "s": ("Show", {"value": "h.INT"})}), on)) == {"s": b"1"}
    failed = run(workflow({"g": ("Greedy", {}), "s": ("Show", {"value": "g.INT"})}), on)[-1]
    assert (freed, failed.error.code) == ([1, 1], "out_of_memory")
    assert "smaller size" in failed.error.message


def test_a_fingerprint_decides_whether_a_result_still_holds() -> None:
    version = ["v1"]
    runs: list[int] = []

    @node("Watch", category="toys")
    def watch(a: int = 0) -> int:
        runs.append(1)
        return len(runs)

    watched = Node(node_of(watch).definition, watch, fingerprint=lambda a: version[0])
    on = engine(watched)
    document = workflow({"w": ("Watch", {}), "add": ("Add", {"a": "w.INT"}), "s": ("Show", {"value": "add.INT"})})
    assert made(run(document, on)) == {"s": b"1"}
    assert made(run(document, on)) == {"s": b"1"}
    version[0] = "v2"
    assert made(run(document, on)) == {"s": b"2"}


@pytest.mark.parametrize("device", [False, True])
def test_a_node_can_ask_where_it_is(device: bool) -> None:
    @node("Where", category="toys")
    def where() -> str:
        place = PLACE.get()
        assert place is not None
        return f"{place.job}/{place.node}/{[task.id for task in place.tasks]}"

    definition = node_of(where).definition.model_copy(update={"device": device})
    document = workflow({"w": ("Where", {}), "s": ("Show", {"value": "w.STRING"})})

    assert made(run(document, engine(Node(definition, where)))) == {"s": b"j/w/['w', 's']"}
    assert PLACE.get() is None


def test_a_lazy_input_of_a_node_on_the_device_is_computed_when_asked() -> None:
    @node("DeviceSwitch", category="toys")
    def device_switch(value: Lazy[Any]) -> Steps[Any]:
        yield Progress(1, 2)
        return (yield from value)

    definition = node_of(device_switch).definition.model_copy(update={"device": True})
    on = engine(Node(definition, device_switch))
    nodes = {"one": ("One", {}), "d": ("DeviceSwitch", {"value": "one.INT"}), "s": ("Show", {"value": "d.0"})}
    assert made(run(workflow(nodes), on)) == {"s": b"1"}
    on.close()


def test_a_wrong_number_of_results_is_said() -> None:
    @node("Odd", category="toys", output_node=False)
    def odd() -> int:
        return 1

    wrong = Node(node_of(odd).definition, lambda: (1, 2), named_outputs=True)
    failed = run(workflow({"o": ("Odd", {}), "s": ("Show", {"value": "o.INT"})}), engine(wrong))[-1]
    assert failed.error.message.endswith("it returned 2 results for 1 outputs")


def test_an_output_may_give_several_files() -> None:
    @node("Pages", category="toys", output_node=True)
    def pages() -> list[Artifact]:
        return [Artifact("text/plain", b"a", "p"), Artifact("text/plain", b"b", "p")]

    events = run(workflow({"p": ("Pages", {})}), engine(node_of(pages)))
    assert [(e.index, e.data) for e in events if isinstance(e, Made)] == [(0, b"a"), (1, b"b")]


def freeze(document: Workflow, id: str, key: str) -> Workflow:
    return document.model_copy(
        update={"nodes": {**document.nodes, id: document.nodes[id].model_copy(update={"frozen": key})}}
    )


def test_a_frozen_node_gives_what_it_gave_whatever_its_inputs_say() -> None:
    on = engine()
    first = run(workflow(SUM), on)
    key = next(e.key for e in first if isinstance(e, NodeDone) and e.node == "add")
    assert on.keep(key)
    on.shop.cache.free()
    changed = freeze(workflow({**SUM, "add": ("Add", {"a": "one.INT", "b": 50})}), "add", key)
    again = run(changed, on)
    assert made(again) == {"show": b"3"}
    assert [(e.node, e.reason) for e in again if isinstance(e, NodeCached)] == [("add", "frozen")]
    assert ("node.started", "one") not in told(again)


def test_a_frozen_result_that_is_gone_fails_at_its_node_and_says_what_to_do() -> None:
    failed = run(freeze(workflow(SUM), "add", "0" * 64))[-1]
    assert isinstance(failed, JobFailed)
    (problem,) = failed.error.problems
    assert (problem.node, problem.code) == ("add", "frozen_gone")
    assert "thaw it" in problem.message


def test_a_result_of_another_version_of_the_node_is_not_taken() -> None:
    on = engine()
    key = next(e.key for e in run(workflow(SUM), on) if isinstance(e, NodeDone) and e.node == "add")
    nodes = {"both": ("Both", {"a": 1, "b": 2}), "show": ("Show", {"value": "both.PRODUCT"})}
    failed = run(freeze(workflow(nodes), "both", key), on)[-1]
    assert failed.error.code == "frozen_gone"


@node("Hoard", category="toys")
def hoard(megabytes: int) -> int:
    return int(torch.ones(megabytes * 2**18).sum())


def test_the_peak_of_memory_is_told_for_each_node_and_for_the_job() -> None:
    nodes = {
        "much": ("Hoard", {"megabytes": 300}),
        "little": ("Hoard", {"megabytes": 1}),
        "a": ("Show", {"value": "much.INT"}),
        "b": ("Show", {"value": "little.INT"}),
    }
    events = run(workflow(nodes), engine(node_of(hoard)))
    peaks = {e.node: e.peak for e in events if isinstance(e, NodeDone)}
    assert peaks["much"] > peaks["little"] + 200 * 2**20, "and what one took is not said of the next"
    assert events[-1].peak >= peaks["much"]

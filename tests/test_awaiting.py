"""While a node awaits, the job's other nodes go on; all else is as with any node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from graphflow.events import JobCancelled, JobDone, JobFailed, NodeCached, NodeDone, NodeProgress
from graphflow.node import Await, Expansion, Lazy, Progress, Say, Steps, Value, node, node_of
from tests.test_engine import engine, in_thread, made, run
from tests.toys import workflow

FOREVER = 20.0
"""Seconds after which a test that hangs gives up."""


class Meeting:
    """Where so many meet before any of them goes on."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._all = asyncio.Event()

    async def come(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), FOREVER)


@dataclass(frozen=True)
class Weights(Value):
    wire: ClassVar[str] = "TOY_WEIGHTS"
    on_device: ClassVar[bool] = True


@node("Heavy", category="toys")
def heavy() -> Weights:
    return Weights()


def test_two_that_wait_for_each_other_meet_and_others_go_on_meanwhile() -> None:
    meeting, signal = Meeting(2), threading.Event()

    @node("Meet", category="toys")
    async def meet(a: int) -> int:
        await meeting.come()
        assert await asyncio.to_thread(signal.wait, FOREVER)
        return 10 * a

    @node("Signal", category="toys")
    def send(a: int) -> int:
        signal.set()
        return a

    nodes = {
        "m1": ("Meet", {"a": 1}),
        "double": ("Add", {"a": "m1.INT", "b": 1}),
        "m2": ("Meet", {"a": 2}),
        "send": ("Signal", {"a": 3}),
        "s1": ("Show", {"value": "double.INT"}),
        "s2": ("Show", {"value": "m2.INT"}),
        "s3": ("Show", {"value": "send.INT"}),
    }
    events = run(workflow(nodes), engine(node_of(meet), node_of(send)))
    assert made(events) == {"s1": b"11", "s2": b"20", "s3": b"3"}
    assert all(event.peak > 0 for event in events if isinstance(event, NodeDone))


@pytest.mark.parametrize("device", [False, True])
def test_all_items_of_a_list_are_awaited_at_once(device: bool) -> None:
    meeting = Meeting(3)

    async def come(a: int) -> int:
        await meeting.come()
        return a

    @node("Item", category="toys")
    async def item(a: int) -> int:
        return await come(a)

    @node("HeavyItem", category="toys")
    async def heavy_item(a: int, weights: Weights) -> int:
        return await come(a)

    nodes: dict[str, Any] = {"three": ("Three", {}), "heavy": ("Heavy", {}), "item": ("Item", {"a": "three.INT"})}
    if device:
        nodes["item"] = ("HeavyItem", {"a": "three.INT", "weights": "heavy.TOY_WEIGHTS"})
    nodes |= {"total": ("Total", {"a": "item.INT", "b": "three.INT"}), "show": ("Show", {"value": "total.INT"})}
    on = engine(node_of(heavy), node_of(item), node_of(heavy_item))
    assert made(run(workflow(nodes), on)) == {"show": b"12"}
    on.close()


def test_one_that_fails_is_told_at_its_node_and_ends_the_other() -> None:
    begun, ended = asyncio.Event(), threading.Event()

    @node("Patient", category="toys")
    async def patient() -> int:
        begun.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    @node("Refused", category="toys")
    async def refused(a: int) -> int:
        await asyncio.wait_for(begun.wait(), FOREVER)
        raise ValueError("the service says no")

    nodes = {"p": ("Patient", {}), "r": ("Refused", {"a": 4}), "s": ("Show", {"value": "p.INT"}),
             "t": ("Show", {"value": "r.INT"})}  # fmt: skip
    failed = run(workflow(nodes), engine(node_of(patient), node_of(refused)))[-1]
    assert isinstance(failed, JobFailed)
    (problem,) = failed.error.problems
    assert (problem.node, problem.message, problem.details["inputs"]) == ("r", "the service says no", {"a": "4"})
    assert ended.wait(FOREVER)


def test_a_cancelled_job_ends_what_it_awaits() -> None:
    begun, ended = threading.Event(), threading.Event()

    @node("Patient", category="toys")
    async def patient() -> int:
        begun.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    on = engine(node_of(patient))
    document = workflow({"p": ("Patient", {}), "s": ("Show", {"value": "p.INT"})})
    thread, results = in_thread(lambda: run(document, on, "a"))
    assert begun.wait(FOREVER)
    on.cancel("a")
    thread.join(FOREVER)
    assert isinstance(results[0][-1], JobCancelled)
    assert ended.wait(FOREVER)


def test_equal_ones_are_awaited_once_and_not_again() -> None:
    runs: list[int] = []

    @node("Ask", category="toys")
    async def ask(a: int) -> int:
        runs.append(a)
        await asyncio.sleep(0)
        return a + 1

    on = engine(node_of(ask))
    nodes = {"x": ("Ask", {"a": 1}), "y": ("Ask", {"a": 1}), "s": ("Show", {"value": "x.INT"}),
             "t": ("Show", {"value": "y.INT"})}  # fmt: skip
    first = run(workflow(nodes), on)
    assert made(first) == {"s": b"2", "t": b"2"}
    assert [e.node for e in first if isinstance(e, NodeCached)] == ["y", "t"]
    again = run(workflow(nodes), on)
    assert {e.node for e in again if isinstance(e, NodeCached)} == {"x", "y", "s", "t"}
    assert runs == [1]


def test_two_jobs_that_each_await_what_the_other_wants_next_both_finish() -> None:
    begun = {1: threading.Event(), 2: threading.Event()}

    @node("Ask", category="toys")
    def ask(a: int, later: int) -> Steps[int]:
        begun[a].set()
        assert begun[3 - a].wait(FOREVER)
        yield Await(lambda _: asyncio.sleep(0))
        return a

    on = engine(_here(ask))
    documents = [
        workflow({f"n{a}": ("Ask", {"a": a, "later": 0}), f"n{3 - a}": ("Ask", {"a": 3 - a, "later": 0}),
                  "s": ("Show", {"value": f"n{a}.INT"}), "t": ("Show", {"value": f"n{3 - a}.INT"})})
        for a in (1, 2)
    ]  # fmt: skip
    threads = [in_thread(lambda d=document, j=str(i): run(d, on, j)) for i, document in enumerate(documents)]  # type: ignore[misc]
    for thread, _ in threads:
        thread.join(FOREVER)
    assert [type(results[0][-1]) for _, results in threads] == [JobDone, JobDone]


def _here(function: Callable[..., Any]) -> Any:
    """The node of a generator, run on the job's own thread rather than on the device."""
    own = node_of(function)
    return type(own)(own.definition.model_copy(update={"device": False}), own.function)


@pytest.mark.parametrize("device", [False, True])
def test_a_generator_may_await_and_tell_its_progress_meanwhile(device: bool) -> None:
    @node("Fetch", category="toys")
    def fetch(a: int) -> Steps[int]:
        async def work(tell: Callable[[Progress | Say], None]) -> int:
            tell(Progress(1, 2, text="half of it"))
            await asyncio.sleep(0)
            return a

        got = yield Await(work)
        yield Progress(2, 2)
        return got + 1

    own = node_of(fetch)
    assert own.definition.device
    on = engine(own if device else _here(fetch))
    events = run(workflow({"f": ("Fetch", {"a": 1}), "s": ("Show", {"value": "f.INT"})}), on)
    assert made(events) == {"s": b"2"}
    said = [(e.node, e.value, e.text) for e in events if isinstance(e, NodeProgress)]
    assert said == [("f", 1, "half of it"), ("f", 2, "")]
    on.close()


def test_a_lazy_input_that_another_node_has_begun_to_await_is_waited_for() -> None:
    runs: list[int] = []
    asked = asyncio.Event()

    @node("Ask", category="toys")
    async def ask(a: int) -> int:
        runs.append(a)
        await asyncio.wait_for(asked.wait(), FOREVER)
        return a

    @node("Choose", category="toys")
    def choose(branch: Lazy[Any]) -> Steps[int]:
        yield Await(_set)
        return (yield from branch) + 1

    async def _set(_: Any) -> None:
        asyncio.get_running_loop().call_soon(asked.set)

    nodes = {"x": ("Ask", {"a": 1}), "c": ("Choose", {"branch": "x.INT"}), "s": ("Show", {"value": "x.INT"}),
             "t": ("Show", {"value": "c.INT"})}  # fmt: skip
    events = run(workflow(nodes), engine(node_of(ask), node_of(choose)))
    assert made(events) == {"s": b"1", "t": b"2"}
    assert runs == [1]


def test_two_that_grow_links_to_each_other_are_told_so() -> None:
    meeting = Meeting(2)

    @node("Grow", category="toys")
    async def grow(other: str) -> int:
        await meeting.come()
        return Expansion({"x": {"type": "Same", "inputs": {"a": {"from": f"{other}.INT"}}}}, [{"from": "x.INT"}])  # type: ignore[return-value]

    nodes = {"g1": ("Grow", {"other": "g 2"}), "g 2": ("Grow", {"other": "g1"}), "s": ("Show", {"value": "g1.INT"}),
             "t": ("Show", {"value": "g 2.INT"})}  # fmt: skip
    failed = run(workflow(nodes), engine(node_of(grow)))[-1]
    assert isinstance(failed, JobFailed)
    assert "circle" in failed.error.message


def test_a_coroutine_that_wants_to_end_the_process_only_fails() -> None:
    @node("Exit", category="toys")
    async def leave() -> int:
        raise SystemExit(3)

    failed = run(workflow({"x": ("Exit", {}), "s": ("Show", {"value": "x.INT"})}), engine(node_of(leave)))[-1]
    assert isinstance(failed, JobFailed)
    assert "SystemExit" in failed.error.message

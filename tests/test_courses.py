"""Work goes on by turns on one thread, and of several courses that want the same, one computes it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

import pytest

from graphflow.engine.courses import Course, Flights, Landed, together

WHERE: ContextVar[str] = ContextVar("where", default="nowhere")


def at(name: str, gate: Future[Any], log: list[str]) -> Course[str]:
    """Waits for the gate, and tells when it comes and goes, and where it believes to be."""
    WHERE.set(name)
    log.append(f"{name} in")
    while not gate.done():
        yield frozenset([gate])
    log.append(f"{WHERE.get()} out")
    return name


def ended(course: Course[Any]) -> Any:
    """What a course returns that does not wait any more."""
    with pytest.raises(StopIteration) as stop:
        next(course)
    return stop.value.value


def test_while_one_waits_the_others_go_on_each_in_its_own_context() -> None:
    gates: Sequence[Future[None]] = [Future(), Future()]
    log: list[str] = []
    both = together([at(name, gate, log) for name, gate in zip("ab", gates, strict=True)])
    assert next(both) == frozenset(gates)
    gates[1].set_result(None)
    assert next(both) == frozenset(gates[:1])
    gates[0].set_result(None)
    assert ended(both) == ["a", "b"]
    assert log == ["a in", "b in", "b out", "a out"]
    assert WHERE.get() == "nowhere"


def test_if_one_fails_the_others_end_where_they_stand() -> None:
    closed: list[str] = []

    def endless() -> Course[None]:
        try:
            yield frozenset([Future[None]()])
        finally:
            closed.append("endless")

    def failing() -> Course[None]:
        yield frozenset([done])
        raise ValueError("no")

    done: Future[None] = Future()
    both = together([endless(), failing()])
    next(both)
    done.set_result(None)
    with pytest.raises(ValueError, match="no"):
        next(both)
    assert closed == ["endless"]


def test_of_two_that_want_the_same_one_computes_and_the_other_waits() -> None:
    flights, found, gate = Flights(), list[int](), Future[None]()

    def compute() -> Course[int]:
        yield frozenset([gate])
        found.append(7)
        return 7

    def fly() -> Course[Landed]:
        return flights.run("k", lambda: found[0] if found else None, compute)

    first, second = fly(), fly()
    assert next(first) == frozenset([gate])
    (landing,) = next(second)
    assert not landing.done()
    gate.set_result(None)
    assert ended(first) == Landed(7, waited=False)
    assert landing.done()
    assert ended(second) == Landed(7, waited=True)
    assert found == [7]


def test_when_the_one_that_computes_gives_up_the_next_takes_over() -> None:
    flights = Flights()

    def compute(value: int) -> Course[int]:
        if value == 1:
            yield frozenset([Future[None]()])
        return value

    first = flights.run("k", lambda: None, lambda: compute(1))
    second = flights.run("k", lambda: None, lambda: compute(2))
    next(first)
    next(second)
    first.close()
    assert ended(second) == Landed(2, waited=True)

"""The device's lanes: fair, shared, cancelled within a step, and each fails alone."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import Any

import pytest
import torch

from graphflow.engine.previews import PreviewBudget
from graphflow.engine.stepper import Lane, Listener, Stepper
from graphflow.errors import Cancelled
from graphflow.node import Denoise, Need, Progress, Row


class Halving:
    """A network that halves; it notes what each call was asked, and can run out of memory."""

    def __init__(self, most: int = 99) -> None:
        self.calls: list[list[float]] = []
        self.most = most

    def batch_key(self, row: Row) -> Hashable:
        return row.x.shape

    def predict(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        if len(rows) > self.most:
            raise torch.OutOfMemoryError("no room")
        self.calls.append([row.x.item() for row in rows])
        return [row.x / 2 for row in rows]


class Plain:
    """A denoiser without guidance."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def evaluate(self, request: Denoise) -> Generator[Sequence[Row], list[torch.Tensor], torch.Tensor]:
        (prediction,) = yield [Row(self.network, request.x, request.sigma)]
        return prediction

    def preview(self, denoised: torch.Tensor) -> bytes:
        return str(denoised.item()).encode()


def halving(network: Any, start: float, times: int) -> Any:
    def steps() -> Any:
        x = torch.tensor(start)
        for i in range(times):
            x = yield Denoise(Plain(network), x, torch.tensor(1.0))
            yield Progress(i + 1, times, preview=x)
        return x.item()

    return steps


def drive(lanes: Sequence[Lane], stepper: Stepper) -> list[tuple[str, Any]]:
    """Runs lanes to their ends on this thread."""
    going = list(lanes)
    while going:
        stepper.round(going)
    return [lane.messages.get() for lane in lanes]


def test_lanes_on_one_model_share_its_calls() -> None:
    network = Halving()
    lanes = [Lane(halving(network, 64.0, 3)), Lane(halving(network, 80.0, 2))]

    assert drive(lanes, Stepper(batching=True)) == [("done", 8.0), ("done", 20.0)]
    assert network.calls == [[64, 80], [32, 40], [16]]


def test_without_batching_every_lane_has_calls_of_its_own() -> None:
    network = Halving()
    lanes = [Lane(halving(network, 64.0, 2)), Lane(halving(network, 80.0, 2))]

    assert drive(lanes, Stepper()) == [("done", 16.0), ("done", 20.0)]
    assert network.calls == [[64], [80], [32], [40]]


def test_a_batch_too_large_for_memory_is_split() -> None:
    network = Halving(most=1)
    lanes = [Lane(halving(network, float(x), 1)) for x in (2, 4, 6)]
    assert drive(lanes, Stepper(batching=True)) == [("done", 1.0), ("done", 2.0), ("done", 3.0)]


def test_one_row_too_large_is_tried_again_with_everything_let_go() -> None:
    network, freed = Halving(most=0), []

    def free() -> None:
        freed.append(1)
        network.most = 1

    assert drive([Lane(halving(network, 2.0, 1))], Stepper(free=free)) == [("done", 1.0)]
    assert freed == [1]


def test_a_lane_that_raises_ends_only_itself() -> None:
    network = Halving()

    def broken() -> Any:
        yield Denoise(Plain(network), torch.tensor(5.0), torch.tensor(1.0))
        raise ValueError("bad weights")

    failed, done = drive([Lane(broken), Lane(halving(network, 4.0, 2))], Stepper(batching=True))
    assert (failed[0], str(failed[1]), done) == ("failed", "bad weights", ("done", 1.0))


def test_a_network_that_fails_for_one_row_ends_that_lane_only() -> None:
    class Picky(Halving):
        def predict(self, rows: Sequence[Row]) -> list[torch.Tensor]:
            if any(row.x.item() == 5 for row in rows):
                raise ValueError("five")
            return super().predict(rows)

    network = Picky()
    failed, done = drive([Lane(halving(network, 5.0, 1)), Lane(halving(network, 4.0, 1))], Stepper(batching=True))
    assert (failed[0], str(failed[1]), done) == ("failed", "five", ("done", 2.0))


def test_a_cancelled_lane_ends_within_a_step_and_is_closed() -> None:
    network, closed = Halving(), []

    def endless() -> Any:
        try:
            while True:
                yield Denoise(Plain(network), torch.tensor(1.0), torch.tensor(1.0))
        finally:
            closed.append(True)

    lane, stepper = Lane(endless), Stepper()
    lanes = [lane]
    stepper.round(lanes)
    lane.cancelled = True
    stepper.round(lanes)

    kind, error = lane.messages.get()
    assert (kind, type(error), closed, lanes, len(network.calls)) == ("failed", Cancelled, [True], [], 1)


def test_lanes_take_turns_even_when_they_only_tell_progress() -> None:
    order: list[str] = []

    def talker(name: str) -> Any:
        def steps() -> Any:
            for i in range(4):
                order.append(name)
                yield Progress(i + 1, 4)

        return steps

    drive([Lane(talker("a")), Lane(talker("b"))], Stepper())
    assert order.index("b") < order.index("a", 2)
    assert sorted(order) == ["a"] * 4 + ["b"] * 4


def test_progress_and_previews_are_told_while_someone_looks() -> None:
    class Log(Listener):
        def __init__(self, looks: bool) -> None:
            self.told: list[Any] = []
            self.looks = looks

        def progress(self, value: float, total: float, text: str) -> None:
            self.told.append((value, total))

        def preview(self, jpeg: bytes, value: float) -> None:
            self.told.append((jpeg, value))

        def wants_preview(self) -> bool:
            return self.looks

    seen, unseen = Log(True), Log(False)
    drive([Lane(halving(Halving(), 8.0, 2), seen), Lane(halving(Halving(), 8.0, 2), unseen)], Stepper())
    assert seen.told[:2] == [(b"4.0", 1), (1, 2)]  # the first at once, a later one when there is time
    assert unseen.told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("cost", "step", "least", "most"), [
    (0.0008, 0.011, 0.006, 0.02),  # the map, of the model on board
    (0.0008, 1.0, 0.0007, 0.001),  # the map, of a large model: after each step
    (0.5, 1.0, 0.01, 0.02),  # a tiny decoder on a slow processor
    (0.5, 0.011, 0.01, 0.02),
])  # fmt: skip
def test_previews_take_a_fiftieth_of_the_time_at_most(cost: float, step: float, least: float, most: float) -> None:
    now, spent, shown = 0.0, 0.0, 0

    def work() -> None:
        nonlocal now, spent, shown
        now, spent, shown = now + cost, spent + cost, shown + 1

    budget = PreviewBudget(clock=lambda: now)
    while now < 100:
        now += step
        if budget.due(cost, last=False):
            budget.show(work)
    assert least <= spent / now <= most
    assert shown <= 10 * now + 1


def test_the_last_preview_comes_soon_after_another_but_not_for_more_than_it_may_cost() -> None:
    now = 1.0
    budget = PreviewBudget(clock=lambda: now)
    assert budget.due(0.0, last=False)
    now += 1.0
    assert budget.show(lambda: None) == 0.0
    now += 0.05
    assert not budget.due(0.001, last=False)
    assert budget.due(0.001, last=True)
    assert not budget.due(0.1, last=True)


def test_a_plain_call_is_a_lane_of_one_step() -> None:
    assert drive([Lane(lambda: 7)], Stepper()) == [("done", 7)]


def test_a_lane_waits_for_an_input_that_it_needs() -> None:
    def asks() -> Any:
        return (yield Need("image")) + 1

    stepper, lane = Stepper(), Lane(asks)
    stepper.submit(lane)
    assert lane.messages.get(timeout=5) == ("need", "image")
    stepper.answer(lane, 41)
    assert lane.messages.get(timeout=5) == ("done", 42)
    stepper.close()


def test_what_a_node_may_not_yield_is_named() -> None:
    def wrong() -> Any:
        yield "hello"

    ((kind, error),) = drive([Lane(wrong)], Stepper())
    assert kind == "failed"
    with pytest.raises(TypeError, match="not str"):
        raise error

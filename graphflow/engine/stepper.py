"""One device, many jobs: advances the generators of all running nodes, a step each in turn.

A **lane** is one node at work on the device: a generator, or a plain call. In each round every lane that is ready is
resumed once; the rows that their denoisers ask for are grouped, each group is one call of its network, and the answers
are sent back. So progress, previews, cancellation, fairness and batching across jobs live here and nowhere else.
"""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from graphflow.diffusion.memory import is_out_of_memory
from graphflow.engine.previews import PreviewBudget
from graphflow.errors import Cancelled
from graphflow.node import Await, Denoise, Need, Progress, Row, Say

if TYPE_CHECKING:
    from torch import Tensor


class Listener:
    """What a lane tells while it runs; called on the device's thread. Does nothing by itself."""

    def progress(self, value: float, total: float, text: str) -> None:
        """So many steps are done."""

    def say(self, words: Say) -> None:
        """Words in a form of the node's own."""

    def preview(self, jpeg: bytes, value: float) -> None:
        """What it looks like after so many steps; told before these are."""

    def wants_preview(self) -> bool:
        """Whether someone looks."""
        return False


@dataclass(eq=False)
class Lane:
    """One node's work on the device, and what it waits for."""

    start: Callable[[], Any]
    """Calls the node's function; a generator that it returns is driven step by step."""
    listener: Listener = field(default_factory=Listener)
    messages: queue.SimpleQueue[tuple[str, Any]] = field(default_factory=queue.SimpleQueue)
    """To the thread that waits: ("done", result), ("failed", exception), ("need", input) or ("await", `Await`)."""
    cancelled: bool = False

    _steps: Generator[Any, Any, Any] | None = None
    _answer: Any = None
    _error: BaseException | None = None
    _question: Generator[Sequence[Row], list[Tensor], Any] | None = None
    """The denoiser at work on a `Denoise`."""
    _rows: Sequence[Row] = ()
    _predictions: list[Tensor] = field(default_factory=list)
    _model: Any = None
    """The denoiser asked last, which knows how its latents look."""
    _previews: PreviewBudget = field(default_factory=PreviewBudget)


class Stepper:
    """The device's thread and the lanes on it."""

    def __init__(
        self,
        *,
        batching: bool = False,
        free: Callable[[], None] = lambda: None,
        run_in: Callable[[Callable[[], None]], None] = lambda main: main(),
    ) -> None:
        """`batching` lets lanes share calls (the last bits may then differ from a solo run); `free` lets go of caches
        and idle models when memory runs out; `run_in` runs the thread's main function in the right context."""
        self._batching = batching
        self._preview_costs: dict[tuple[int, ...], float] = defaultdict(float)
        """By the latent's shape, about the seconds that the cheapest preview took; 0 where nobody knows."""
        self._preview_shapes: set[tuple[int, ...]] = set()
        """Of which there was a preview."""
        self._free = free
        self._run_in = run_in
        self._inbox: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.calls = 0
        """Calls of networks so far."""

    def submit(self, lane: Lane) -> None:
        """Puts a lane on the device; its outcome comes through `lane.messages`."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run_in, args=(self._main,), name="device", daemon=True)
                self._thread.start()
        self._inbox.put(lane)

    def answer(self, lane: Lane, value: Any = None, error: BaseException | None = None) -> None:
        """Resumes a lane that asked for an input, or waits."""
        lane._answer, lane._error = value, error
        self._inbox.put(lane)

    def close(self) -> None:
        """Ends the thread after the lanes on it."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join()

    # --- the device's thread ---

    def _main(self) -> None:
        lanes: list[Lane] = []
        open_ = True
        with torch.no_grad():
            while open_ or lanes:
                open_ = self._take(lanes, wait=not lanes) and open_
                self.round(lanes)

    def _take(self, lanes: list[Lane], *, wait: bool) -> bool:
        """Moves what is in the inbox onto the device; False when asked to end."""
        while True:
            try:
                lane = self._inbox.get(block=wait)
            except queue.Empty:
                return True
            if lane is None:
                return False
            lanes.append(lane)
            wait = False

    def round(self, lanes: list[Lane]) -> None:
        """Resumes every lane once and answers what they ask; those that ended or wait elsewhere leave the list."""
        for lane in list(lanes):
            if not self._advance(lane):
                lanes.remove(lane)
        asking = [lane for lane in lanes if lane._rows]
        for group in self._groups(asking):
            self._predict(group)
        for lane in asking:
            lane._rows = ()

    def _advance(self, lane: Lane) -> bool:
        """Runs a lane up to its next question; whether it stays on the device."""
        if lane.cancelled:
            return self._end(lane, "failed", Cancelled("the job was cancelled"))
        try:
            if lane._steps is None and lane._question is None:
                started = self._with_memory(lane.start)
                if not isinstance(started, Generator):
                    return self._end(lane, "done", started)
                lane._steps = started
            told = False
            while not lane.cancelled:
                outcome = self._resume(lane)
                if outcome == "asks" or (outcome == "told" and told):
                    return True  # a turn ends with a question, or with the second progress without one
                if outcome == "parked":
                    return False
                told = told or outcome == "told"
            return self._end(lane, "failed", Cancelled("the job was cancelled"))
        except StopIteration as stop:
            lane._steps = None
            return self._end(lane, "done", stop.value)
        except Exception as error:  # whatever a node raises ends its own lane only
            return self._end(lane, "failed", error)

    def _resume(self, lane: Lane) -> Literal["goes on", "told", "asks", "parked"]:
        """One exchange with the lane's generators, and what came of it. Ends with `StopIteration`."""
        steps = lane._steps
        assert steps is not None
        if lane._question is not None:
            predictions, lane._predictions = lane._predictions, []
            try:
                lane._rows = _send(lane._question, predictions or None, lane)
                return "asks" if lane._rows else "goes on"
            except StopIteration as stop:
                lane._question, lane._answer = None, stop.value
        answer, lane._answer = lane._answer, None
        item = _send(steps, answer, lane)
        match item:
            case Denoise():
                lane._model = item.model
                lane._question = item.model.evaluate(item)
            case Progress():
                self._tell(lane, item)
                return "told"
            case Say():
                lane.listener.say(item)
            case Need(input=name):
                lane.messages.put(("need", name))
                return "parked"
            case Await():
                lane.messages.put(("await", item))
                return "parked"
            case other:
                raise TypeError(f"a node may yield Denoise, Progress, Say, Need and Await, not {type(other).__name__}")
        return "goes on"

    def _tell(self, lane: Lane, progress: Progress) -> None:
        self._show(lane, progress)
        lane.listener.progress(progress.value, progress.total, progress.text)

    def _show(self, lane: Lane, progress: Progress) -> None:
        model, latent = lane._model, progress.preview
        if latent is None or model is None or not lane.listener.wants_preview():
            return
        if lane._previews.due(self._preview_costs[latent.shape], last=progress.value >= progress.total):
            cost = lane._previews.show(lambda: lane.listener.preview(model.preview(latent), progress.value))
            # the first of its kind loads what it needs, and tells nothing of the next; some are dearer than others
            known = self._preview_costs[latent.shape] or cost
            self._preview_costs[latent.shape] = min(cost, known) if latent.shape in self._preview_shapes else 0.0
            self._preview_shapes.add(latent.shape)
        else:
            self._preview_costs[latent.shape] *= 0.99  # one that was dear by chance is tried again some time

    def _end(self, lane: Lane, outcome: str, value: Any) -> bool:
        for generator in (lane._question, lane._steps):
            if generator is not None:
                generator.close()
        lane._question = lane._steps = None
        lane._rows = ()
        lane.messages.put((outcome, value))
        return False

    # --- calls of networks ---

    def _groups(self, asking: Iterable[Lane]) -> list[list[tuple[Lane, int, Row]]]:
        """The rows that may share a call, each with its lane and its place among the lane's rows."""
        groups: dict[Hashable, list[tuple[Lane, int, Row]]] = {}
        for lane in asking:
            lane._predictions = [None] * len(lane._rows)  # type: ignore[list-item]  # filled in by _predict
            for index, row in enumerate(lane._rows):
                key = (id(row.network), row.network.batch_key(row), None if self._batching else id(lane))
                groups.setdefault(key, []).append((lane, index, row))
        return list(groups.values())

    def _predict(self, group: Sequence[tuple[Lane, int, Row]]) -> None:
        """One call for a group; a group that fails together is tried apart, so that only the faulty lane ends."""
        rows = [row for _, _, row in group]
        try:
            self.calls += 1
            predictions = rows[0].network.predict(rows)
        except Exception as error:
            if len(group) == 1 and not is_out_of_memory(error):
                group[0][0]._error = error
                return
        else:
            for (lane, index, _), prediction in zip(group, predictions, strict=True):
                lane._predictions[index] = prediction
            return
        # the exception is gone, and with it what the failed call had in memory
        if len(group) == 1:
            self._predict_alone(group[0])
            return
        half = len(group) // 2
        self._predict(group[:half])
        self._predict(group[half:])

    def _predict_alone(self, item: tuple[Lane, int, Row]) -> None:
        """The last try for one row: with everything idle let go."""
        lane, index, row = item
        self._free()
        try:
            (lane._predictions[index],) = row.network.predict([row])
        except Exception as error:
            lane._error = error

    def _with_memory(self, start: Callable[[], Any]) -> Any:
        """Calls a node's function; once more, with everything idle let go, when memory runs out."""
        try:
            return start()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self._free()
        return start()


def _send(generator: Generator[Any, Any, Any], answer: Any, lane: Lane) -> Any:
    """Resumes a generator with an answer, or with the error that stands in its place."""
    error, lane._error = lane._error, None
    return generator.throw(error) if error is not None else generator.send(answer)

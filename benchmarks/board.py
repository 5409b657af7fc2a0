"""How soon the model on board paints: loading, then 20 steps with guidance, on all cores.

Run with `python -m benchmarks.board`. A picture is timed against the bare loop of `benchmarks.steps`, in the same run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch

from benchmarks.steps import MODEL, bare
from graphflow.engine import Engine
from graphflow.paths import builtin_models, workflows_folder
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import build, files, warm_up
from graphflow.workflow import parse

PAINTING, LOADING = 1.5, 0.5
"""Limits in seconds."""
ROUNDS = 5


def painter() -> tuple[Engine, Callable[[int], float]]:
    """An engine, and the seconds that a new picture of text to image takes in it, by seed."""
    settings = WorkerSettings(device="cpu", dtype="float32", roots=(builtin_models(),))
    engine = build(settings).engine
    document = parse(json.loads((workflows_folder() / "text-to-image.json").read_text(encoding="utf-8")))

    def paint(seed: int) -> float:
        workflow = document.with_values({"sample.seed": seed, "sample.steps": 20})
        plan = compile(workflow, engine.shop.definitions, files(settings), job=f"job {seed}")
        return seconds(lambda: engine.run(plan, lambda _: None))

    return engine, paint


def seconds(work: Callable[[], None]) -> float:
    """By the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Prints both against their limits."""
    warm_up()
    _, paint = painter()
    first = paint(0)
    picture = min(paint(seed) for seed in range(1, ROUNDS + 1))
    loading = first - picture
    with torch.no_grad():
        loop = bare(MODEL)
        loop()
        bare_loop = min(seconds(loop) for _ in range(ROUNDS))
    print(f"a picture: {picture:.2f} s, x{picture / bare_loop:.2f} of a bare loop of 20 steps,")
    print(f"  {picture / PAINTING:.2f} of the limit of {PAINTING} s")
    print(f"loading, and whatever else only the first picture waits for: {loading:.2f} s,")
    print(f"  {loading / LOADING:.2f} of the limit of {LOADING} s")


if __name__ == "__main__":
    main()

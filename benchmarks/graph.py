"""Planning and walking, per node: flat from 100 to 10,000 nodes, and next to nothing when all is cached.

Run with `python -m benchmarks.graph`. Times are of the processor, so that a busy machine does not blur them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from graphflow.cache import Cache
from graphflow.engine import Engine
from graphflow.files import ModelFiles
from graphflow.plan import compile
from graphflow.process import settle
from graphflow.registry import discover
from graphflow.workflow import Workflow, parse

SIZES = (100, 1_000, 10_000)
ROUNDS = 3
LIMIT_NEW = 0.3
LIMIT_CACHED = 0.05


def chain(count: int) -> Workflow:
    """EmptyImage of 8x8 pixels, `count` times ImageInvert, one PreviewImage."""
    nodes: dict[str, Any] = {"start": {"type": "EmptyImage", "inputs": {"width": 8, "height": 8}}}
    last = "start"
    for i in range(count):
        nodes[f"n{i}"] = {"type": "ImageInvert", "inputs": {"image": {"from": f"{last}.IMAGE"}}}
        last = f"n{i}"
    nodes["show"] = {"type": "PreviewImage", "inputs": {"images": {"from": f"{last}.IMAGE"}}}
    return parse({"graphflow": 1, "nodes": nodes})


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    began = time.process_time()
    work()
    return 1e3 * (time.process_time() - began)


def measure(count: int) -> tuple[float, float]:
    """Milliseconds a node, new and all cached; the best of some rounds."""
    registry, files, document = discover(), ModelFiles(()), chain(count)
    settle()  # as server and worker do once they are up
    best = (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        engine = Engine(registry, Cache(2**30), files)

        def go(engine: Engine = engine) -> None:
            engine.run(compile(document, engine.shop.definitions, files, job="job"), lambda _: None)

        best = min(best[0], timed(go) / count), min(best[1], timed(go) / count)
        engine.close()
    return best


def main() -> None:
    """Prints the table."""
    print("nodes      new ms/node  cached ms/node")
    results = {count: measure(count) for count in SIZES}
    for count, (new, cached) in results.items():
        print(f"{count:6d}     {new:11.3f}  {cached:14.4f}")
    first, last = results[SIZES[0]], results[SIZES[-1]]
    print(
        f"growth from {SIZES[0]} to {SIZES[-1]} nodes: new x{last[0] / first[0]:.2f}, cached x{last[1] / first[1]:.2f}"
    )
    for name, value, limit in (("new", last[0], LIMIT_NEW), ("cached", last[1], LIMIT_CACHED)):
        print(f"{name}: {value:.3f} ms a node, {value / limit:.2f} of the limit of {limit} ms")


if __name__ == "__main__":
    main()

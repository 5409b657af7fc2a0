"""The engine: everything that running plans on one device needs, in one place."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

import torch

from graphflow.cache import Cache, Tier
from graphflow.engine.checks import check_inputs
from graphflow.engine.courses import Flights
from graphflow.engine.peak import Meter
from graphflow.engine.stepper import Stepper
from graphflow.engine.walk import Emit, Shop, Walk
from graphflow.errors import Problem
from graphflow.files import Finder
from graphflow.plan import Plan
from graphflow.registry import Registry

RECURSION = 20_000
"""Frames of Python: nodes that grow nest, see `call.MAX_GROWTH`."""


class Engine:
    """Runs plans, several at once; each on a thread of its own, their device work interleaved by the stepper.

    It must be made in the context (`contextvars`) that nodes are to run in, for example with a residency active.
    """

    def __init__(
        self,
        registry: Registry,
        cache: Cache,
        finder: Finder,
        *,
        name: str = "local",
        realm: str = "",
        meter: Meter | None = None,
        batching: bool = False,
        free: Callable[[], None] = lambda: None,
        watched: Callable[[], bool] = lambda: False,
    ) -> None:
        """`free` lets go of idle models; `watched` says whether previews are worth making; `realm` enters keys;
        `meter` measures the memory in use."""
        sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION))
        self.name = name
        self._context = contextvars.copy_context()
        self._walks: dict[str, Walk] = {}
        self._lock = threading.Lock()

        def free_all() -> None:
            cache.free()
            free()

        stepper = Stepper(batching=batching, free=free_all, run_in=lambda main: self._context.copy().run(main))
        self.shop = Shop(
            registry=registry,
            definitions=registry.definitions(),
            cache=cache,
            flights=Flights(),
            stepper=stepper,
            finder=finder,
            free=free_all,
            watched=watched,
            realm=realm,
            meter=meter or Meter(),
        )

    def run(self, plan: Plan, emit: Emit) -> None:
        """Walks a plan on the calling thread. Everything is told through `emit`, which ends with one of `JobDone`,
        `JobFailed`, `JobCancelled`."""
        walk = Walk(self.shop, plan, emit, self.name)
        with self._lock:
            self._walks[plan.job] = walk
        try:
            self._context.copy().run(self._walk, walk)
        finally:
            with self._lock:
                del self._walks[plan.job]

    @staticmethod
    def _walk(walk: Walk) -> None:
        with torch.no_grad():
            walk.run()

    def cancel(self, job: str) -> None:
        """Ends a running job within a step; does nothing when it is not running."""
        with self._lock:
            walk = self._walks.get(job)
        if walk is not None:
            walk.cancel()

    def peek(self, keys: Sequence[str]) -> Mapping[str, Tier]:
        """For each of the keys that is cached, where."""
        found = {key: self.shop.cache.peek(key) for key in keys}
        return {key: tier for key, tier in found.items() if tier is not None}

    def keep(self, key: str) -> bool:
        """Keeps a cached result for good, for a frozen node; False when it is not here or cannot be kept."""
        return self.shop.cache.keep(key)

    def check(self, plan: Plan) -> list[Problem]:
        """What the plan's nodes themselves object to in their inputs."""
        return self._context.copy().run(check_inputs, plan, self.shop.registry.nodes)

    def close(self) -> None:
        """Cancels what runs and writes the cache to disk."""
        with self._lock:
            walks = list(self._walks.values())
        for walk in walks:
            walk.cancel()
        self.shop.stepper.close()
        self.shop.cache.close()

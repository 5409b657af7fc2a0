"""How often a running node shows what it has so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

PER_SECOND = 10.0
"""More than an eye needs."""
SHARE = 0.02
"""Of a node's time that its previews may take, at most."""


@dataclass
class PreviewBudget:
    """What one node's previews have cost, and whether there is time for another."""

    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _shown: float | None = None
    _spent: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def due(self, cost: float, last: bool) -> bool:
        """Whether to show one that takes `cost` seconds, 0 if nobody knows; `last` where none will follow soon."""
        now = self.clock()
        soon = self._shown is not None and now - self._shown < 1 / PER_SECOND
        return (last or not soon) and self._spent + cost <= SHARE * (now - self._began)

    def show(self, make: Callable[[], None]) -> float:
        """Makes one; what it took, in seconds."""
        before = self.clock()
        make()
        self._shown = self.clock()
        cost = self._shown - before
        self._spent += cost
        return cost

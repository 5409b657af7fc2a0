"""How a process of ours behaves: its threads sleep while they wait, its garbage collector leaves alone what stays."""

from __future__ import annotations

import gc
import os


def let_threads_sleep() -> None:
    """Lets torch's threads sleep while they wait, not spin: on a shared machine spinning makes a step ten times slower.

    Has an effect before torch is imported only; an `OMP_WAIT_POLICY` that is set already stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def settle() -> None:
    """Takes everything imported so far out of the garbage collector's sight, and lets it look less often.

    A plan of 10,000 nodes makes hundreds of thousands of small objects at once, none of them in a cycle; with the
    collector's own thresholds a full pass over a large heap would come in the middle of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

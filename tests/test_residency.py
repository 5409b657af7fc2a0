"""What sits on the device: least recently used goes first, busy weights stay, everything comes back when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from graphflow.models.residency import Policy, Residency
from graphflow.node import File
from graphflow.values import Patch, Weights

KB = 1024


@dataclass
class Block:
    """A kilobyte of weights."""

    name: str
    module: nn.Module = field(default_factory=lambda: nn.Linear(256, 1, bias=False))
    patches: tuple[Patch, ...] = ()
    beside: int = 0
    whole: tuple[nn.Module, ...] = ()

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self.module,)

    def patch(self, patches: tuple[Patch, ...]) -> None:
        self.patches = patches


def weights(name: str) -> Weights:
    return Weights((File(name, Path(name), name),), "model")


def use(residency: Residency, name: str) -> None:
    with residency.ready(weights(name), (), lambda: Block(name)):
        pass


def where(residency: Residency) -> dict[str, str]:
    return {entry["files"][0]: entry["tier"] for entry in residency.report()}


def test_the_least_recently_used_makes_room() -> None:
    residency = Residency(device="cpu", limit=2 * KB)
    for name in ("a", "b", "a", "c"):
        use(residency, name)

    assert where(residency) == {"c": "device", "a": "device", "b": "host"}


def test_what_the_host_cannot_keep_is_dropped_and_loaded_again() -> None:
    residency = Residency(device="cpu", limit=KB, host_limit=KB)
    for name in ("a", "b", "c"):
        use(residency, name)
    assert where(residency) == {"c": "device", "b": "host"}

    use(residency, "a")

    assert where(residency) == {"a": "device", "c": "host"}


def test_busy_weights_stay_where_they_are() -> None:
    residency = Residency(device="cpu", limit=2 * KB)
    with residency.ready(weights("a"), (), lambda: Block("a")):
        use(residency, "b")
        use(residency, "c")
        assert where(residency) == {"c": "device", "b": "host", "a": "device"}
        assert residency.free() == KB
        assert where(residency) == {"c": "host", "b": "host", "a": "device"}


def test_free_moves_as_much_as_is_wanted() -> None:
    residency = Residency(device="cpu", limit=9 * KB)
    for name in ("a", "b", "c"):
        use(residency, name)

    assert residency.free(KB) == KB
    assert where(residency) == {"c": "device", "b": "device", "a": "host"}
    assert residency.free() == 2 * KB


def test_dropping_forgets_all_that_is_idle() -> None:
    residency = Residency(device="cpu")
    use(residency, "a")
    assert residency.holds("a")

    residency.drop()

    assert not residency.holds("a")
    assert residency.bytes_in("device") == residency.bytes_in("host") == 0


@pytest.mark.parametrize(
    ("device", "forced", "wanted", "dtype"),
    [
        ("cpu", None, ("float16",), torch.float32),
        ("mps", None, ("float16", "bfloat16"), torch.float16),
        ("mps", None, (), torch.float32),
        ("cpu", torch.bfloat16, ("float16",), torch.bfloat16),
    ],
)
def test_half_precision_is_used_where_it_is_fast_or_asked_for(
    device: str, forced: torch.dtype | None, wanted: tuple[str, ...], dtype: torch.dtype
) -> None:
    assert Policy(torch.device(device), forced).dtype(wanted) is dtype

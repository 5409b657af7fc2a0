"""Weights in memory: what was loaded for a recipe, where it is, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import nn

from graphflow.models.offloading import Offloaded
from graphflow.models.weights import nbytes
from graphflow.values import Patch

Tier = Literal["device", "host"]


class Content(Protocol):
    """What was loaded for a recipe: modules, and what is needed to use them."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """Everything with weights."""

    @property
    def beside(self) -> int:
        """Bytes of the host's memory that it takes beside the modules."""

    @property
    def whole(self) -> tuple[nn.Module, ...]:
        """Modules that may compute with the weights of those inside them, without a call."""

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """Makes the weights those of these patches, and no others."""


class Unpatched:
    """`Content` of one module whose weights stay as they were loaded."""

    module: nn.Module
    beside = 0
    whole: tuple[nn.Module, ...] = ()

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The module."""
        return (self.module,)

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """Nothing: such networks take no patches."""


@dataclass
class Resident:
    """Weights in memory."""

    content: Content
    nbytes: int
    tier: Tier = "host"
    used: int = 0
    """A count that rises with every use of any resident."""
    busy: int = 0
    """Calls going on; busy weights stay where they are."""
    offloaded: Offloaded | None = None
    """Larger than the room on the device: kept in the host's memory, each layer brought for its call."""
    patches: tuple[Patch, ...] | None = ()
    """In its weights now; None when nobody knows."""
    views: dict[Any, Any] = field(default_factory=dict)
    """What was handed out on top of the content, by recipe, so that equal recipes get the same object."""

    @property
    def on_device(self) -> int:
        """Bytes."""
        if self.offloaded is not None:
            return self.offloaded.nbytes
        return self.nbytes if self.tier == "device" else 0

    @property
    def needed(self) -> int:
        """Bytes on the device that have to stay there now."""
        if not self.busy:
            return 0
        return self.on_device if self.offloaded is None else self.offloaded.used

    @property
    def on_host(self) -> int:
        """Bytes."""
        gone = self.tier == "device" and self.offloaded is None
        return self.content.beside + (0 if gone else self.nbytes)

    def measure(self) -> None:
        """Counts its bytes."""
        self.nbytes = sum(nbytes(module) for module in self.content.modules)

    @property
    def packed(self) -> bool:
        """Whether weights are in blocks, and take more when they are changed."""
        return any(p.dtype is torch.int8 for module in self.content.modules for p in module.parameters())


@dataclass
class Tally:
    """What a residency had to do so far."""

    peak: int = 0
    """The most bytes of weights that were on the device."""
    evicted: int = 0
    """Models moved to the host to make room."""
    visits: int = 0
    """Layers that came to the device for a call."""
    hosted: int = 0
    """Calls of layers that were computed with the host, there being too little room."""

"""What guidance asks of a network with weights: the seam between the numerics and `graphflow.models`.

`loaded(model)` gives a `DiffusionNetwork`, `loaded(control_net)` a `ControlNetwork`. A network knows its family's
inputs; it does not know guidance, areas, time ranges or samplers. Rows of several jobs may come in one call, with
sigmas and conditionings of their own.

What changes a network without changing its weights (another noise schedule, FreeU, perturbed attention) travels with
the row, so jobs that differ in it can still share the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.node import Network, Row
from graphflow.values import Gligen, IpAdapter

Concat = Literal["", "inpaint", "fill", "image", "known", "frames", "vace"]
"""Channels that a network takes beside x: `inpaint` is mask (1) then masked picture, `fill` the same with a mask of a
channel for each pixel that a place of the latent stands for (64), `image` a picture alone. `known` is a
mask (1) alone, for networks that see what is kept without noise, and are told so. `frames` and `vace` are a film's masks
and latents as the conditioning has them, masks first; without any, `frames` gives nothing and `vace` is None."""


class Residuals(NamedTuple):
    """What ControlNets and T2I-Adapters add to a network."""

    down: Sequence[Tensor] = ()
    """To skip connections, or to blocks."""
    middle: Sequence[Tensor] = ()
    """To the middle, or to single blocks."""
    inside: Sequence[Tensor] = ()
    """To what each level of the way down makes (T2I-Adapters)."""


class ControlNetwork(Protocol):
    """A ControlNet with weights."""

    device: torch.device
    family: str
    """Of the networks that it steers."""
    latent_format: LatentFormat | None
    """For nets whose hint is a latent; None for those that look at pixels."""
    picture: Callable[[Tensor], Tensor]
    """What is done to a picture (B, C, H, W), 0 to 1, before it is encoded to such a hint."""
    takes_mask: bool
    """Behind the latent the hint has a mask, 1 where the picture stays: the net inpaints."""

    def residuals(self, x: Tensor, timestep: Tensor, cond: RowCond, control: RowControl) -> Residuals:
        """What is added to the network.

        `x` (B, C, h, w) is scaled for the network, `timestep` (B,); strength is applied by the caller.
        """


@dataclass(frozen=True, eq=False)
class RowControl:
    """A ControlNet at work on a row."""

    net: ControlNetwork
    hint: Tensor
    """(B or 1, C, H, W): pixels 0 to 1 at the latent's size times its downscale, or a latent in the net's space."""
    strength: float
    union_type: str = ""
    """For nets of several kinds in one; empty lets the network decide."""


@dataclass(frozen=True, eq=False)
class RowImage:
    """Pictures that a row looks at beside its text, through an IP-Adapter."""

    adapter: IpAdapter
    tokens: Tensor
    """(B, T, D)."""
    weight: float
    layers: str = "linear"
    """How the weight is spread over the network, by name."""
    keys: bool = False
    """The weight also scales the keys, not the values alone."""
    mask: Tensor | None = None
    """(B or 1, h, w) at the row's size, 1 where the pictures hold."""


BOXES = 30
"""Places for texts in boxes; those not in use are told to be empty."""


@dataclass(frozen=True, eq=False)
class RowGrounding:
    """Texts in boxes that a row looks at, through GLIGEN."""

    net: Gligen
    boxes: Tensor
    """(30, 4): left, top, right, bottom as shares of what the row sees."""
    masks: Tensor
    """(30,), 1 for those in use."""
    embeddings: Tensor
    """(30, P)."""


class CacheRule(Protocol):
    """What work a network may skip by what it computed before; hashable, equal when the same."""

    def answer(
        self,
        module: nn.Module,
        x: Tensor,
        state: MutableMapping[str, Any],
        compute: Callable[[], Tensor],
        *,
        steered: bool,
    ) -> Tensor:
        """The network's output for x (N, C, h, w), by what `compute` gives or without it.

        The module may be changed while `compute` runs; `steered` when ControlNets add to the network.
        """


@dataclass(frozen=True, eq=False)
class RowCache:
    """What a row's sampling keeps from call to call."""

    rule: CacheRule
    memory: MutableMapping[Any, Any]
    """The sampling's."""
    key: Hashable
    """Which of the sampling's questions the row is."""


class NetworkEdit(Protocol):
    """A change to a network's forward pass for the length of one call, such as FreeU; hashable, equal when the same."""

    def applied(self, module: nn.Module) -> AbstractContextManager[object]:
        """Changes the module on entry and restores it on exit."""


@dataclass(frozen=True, eq=False)
class RowCond:
    """A row's conditioning, resolved: on the network's device, repeated to the row's batch, nothing left to decide."""

    parametrisation: Parametrisation
    """Use this one, not the network's own: a patch may have changed it."""
    context: Tensor
    """(B, T, D), float32."""
    pooled: Tensor | None = None
    """(B, P), float32."""
    attention_mask: Tensor | None = None
    """(B, T), 1 for tokens that count."""
    uncond: bool = False
    """The row is the unguided side, where a family's defaults differ (the refiner's aesthetic score)."""
    guidance: float | None = None
    """For networks with distilled guidance; None for the family's default."""
    concat: Tensor | None = None
    """(B, c, h, w), in the network's space: channels put after x's, as `DiffusionNetwork.concat` asks."""
    controls: tuple[RowControl, ...] = ()
    """Their residuals are added up."""
    images: tuple[RowImage, ...] = ()
    """What they add to cross-attention is added up."""
    references: tuple[Tensor, ...] = ()
    """Each (B, C, h, w), in the network's space."""
    reference_method: str = ""
    """How the network tells them apart; empty for the family's own way."""
    unclip: tuple[tuple[Tensor, float, float], ...] = ()
    """(image embedding (B, P), strength, noise augmentation)."""
    cache: RowCache | None = None
    """Rows with one share calls with rows of their own sampling alone."""
    edits: tuple[NetworkEdit, ...] = ()
    """Enter every `applied(module)` around the forward pass, in order; part of the batch key."""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    """SDXL's `width`, `height`, `crop_w`, `crop_h`, `target_width`, `target_height`, `aesthetic_score`; those
    missing are the family's defaults."""
    latent_size: tuple[int, int] = (0, 0)
    """Height and width of the whole latent, which x may be a part of."""
    control_context: Tensor | None = None
    """(B, T, D): what ControlNets look at in place of `context`."""
    grounding: RowGrounding | None = None


class DiffusionNetwork(Network, Protocol):
    """A denoising network with weights; `Row.cond` is a `RowCond`."""

    device: torch.device
    latent_format: LatentFormat
    parametrisation: Parametrisation
    """As trained; a row's own wins."""
    concat: Concat

    def batch_key(self, row: Row) -> Hashable:
        """Of shapes, which optional parts are there, controls and edits; not of sigma nor of the parametrisation."""

    def predict(self, rows: Sequence[Row]) -> list[Tensor]:
        """D(x; sigma) of each row in float32: scale_in, one forward pass for all rows, to_denoised row by row.

        Raises `ValueError` when a conditioning's width does not fit, saying both widths.
        """

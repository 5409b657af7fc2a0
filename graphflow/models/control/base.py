"""What a ControlNet is: a kind, loaded weights, and the network that samplers ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import Residuals, RowCond, RowControl
from graphflow.families.common.base import Call
from graphflow.layouts import Layout
from graphflow.models.residency import Residency, Unpatched
from graphflow.values import ControlNet

UNION_TYPES = (
    "openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd", "normal", "segment", "tile",
    "repaint",
)  # fmt: skip
"""The kinds of picture that union networks know, in the order of their embeddings."""


@dataclass(frozen=True)
class Kind:
    """A kind of ControlNet: how it is built, read from files and called."""

    build: Callable[[Mapping[str, Any]], nn.Module]
    config: Callable[[Header], dict[str, Any]]
    layout: Layout
    call: Callable[[nn.Module, Call, RowControl], Residuals]
    dtypes: tuple[str, ...]
    latents: LatentFormat | None = None
    """For nets whose hint is a latent."""
    original: Callable[[Header], bool] = lambda header: "input_hint_block.0.weight" in header.tensors
    """Whether a file is in the layout of the kind's authors."""


@dataclass
class ControlContent(Unpatched):
    """A ControlNet in memory."""

    module: nn.Module
    kind: Kind
    dtype: torch.dtype
    picture: Callable[[Tensor], Tensor] = lambda pixels: pixels
    """What is done to a picture (B, C, H, W), 0 to 1, before it is encoded, for nets whose hint is a latent."""


class ResidentControl:
    """A `ControlNetwork` that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: ControlNet, load: Callable[[], ControlContent]) -> None:
        content: Any = residency.get(recipe.weights, load).content
        self.device = residency.device
        self.family = recipe.weights.family
        self.latent_format: LatentFormat | None = content.kind.latents
        self.picture: Callable[[Tensor], Tensor] = content.picture
        more = (getattr(content.module.config, f"extra_{word}_channels", 0) for word in ("condition", "conditioning"))
        self.takes_mask = any(more)
        self._residency, self._recipe, self._load = residency, recipe, load

    @torch.inference_mode()
    def residuals(self, x: Tensor, timestep: Tensor, cond: RowCond, control: RowControl) -> Residuals:
        """What is added to the network."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content

            def put(tensor: Tensor | None) -> Tensor | None:
                return None if tensor is None else tensor.to(self.device, content.dtype)

            call = Call(
                x=x.to(content.dtype),
                timestep=timestep,
                context=(cond.context if cond.control_context is None else cond.control_context).to(
                    self.device, content.dtype
                ),
                pooled=put(cond.pooled),
                attention_mask=put(cond.attention_mask),
                guidance=torch.full_like(timestep, 3.5 if cond.guidance is None else cond.guidance),
                references=(),
                conds=[(cond, len(x))],
            )
            made = content.kind.call(content.module, call, control)
            return Residuals(*([r.float() for r in some] for some in made))

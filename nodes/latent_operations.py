"""Operations on latents that travel on an edge and are applied later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from graphflow.api import Latent, Model, Value, node
from graphflow.diffusion.patches import BeforeMix, Mix

from ._fields import span
from .image_filters import sharpened


@dataclass(frozen=True)
class LatentOperation(Value):
    """A change of a latent by name, with its numbers."""

    wire: ClassVar[str] = "LATENT_OPERATION"
    name: str
    options: tuple[tuple[str, float], ...]

    def __call__(self, latent: Tensor) -> Tensor:
        """The changed latent, (B, C, h, w)."""
        return _OPERATIONS[self.name](latent, **dict(self.options))


@node("LatentApplyOperation", category="latent/advanced/operations", experimental=True)
def latent_apply_operation(samples: Latent, operation: LatentOperation) -> Latent:
    """The latent after an operation."""
    return samples.with_data(operation(samples.data))


@dataclass(frozen=True)
class OperationOnGuidance(BeforeMix):
    """An operation on the difference that guidance adds."""

    operation: LatentOperation

    def before(self, mix: Mix) -> tuple[Tensor, Tensor]:
        """cond replaced by uncond and the changed difference."""
        assert mix.uncond is not None
        return mix.uncond + self.operation(mix.cond - mix.uncond), mix.uncond


@node("LatentApplyOperationCFG", category="latent/advanced/operations", experimental=True)
def latent_apply_operation_cfg(model: Model, operation: LatentOperation) -> Model:
    """The operation on what guidance adds, at each step: with the tone map strong guidance does not burn."""
    return model.patched(OperationOnGuidance(operation))


@node("LatentOperationTonemapReinhard", category="latent/advanced/operations", experimental=True)
def latent_operation_tonemap_reinhard(
    multiplier: Annotated[float, span(0.0, 100.0, 0.01, "Of the length at which compression sets in.")] = 1.0,
) -> LatentOperation:
    """Channel vectors that are much longer than usual are shortened, softly (Reinhard's tone map)."""
    return LatentOperation("tonemap_reinhard", (("multiplier", multiplier),))


@node("LatentOperationSharpen", category="latent/advanced/operations", experimental=True)
def latent_operation_sharpen(
    sharpen_radius: Annotated[int, span(1, 31, 1, "Latent pixels each way.")] = 9,
    sigma: Annotated[float, span(0.1, 10.0, 0.1, "Width of the bell in units of the radius.")] = 1.0,
    alpha: Annotated[float, span(0.0, 5.0, 0.01, "How strongly.")] = 0.1,
) -> LatentOperation:
    """The directions of the channel vectors are sharpened, their lengths kept."""
    return LatentOperation("sharpen", (("radius", sharpen_radius), ("sigma", sigma), ("alpha", alpha)))


def tonemap_reinhard(latent: Tensor, multiplier: float) -> Tensor:
    """Lengths m become m / (m / top + 1), where top is the mean and five deviations, times the multiplier."""
    length: Tensor = latent.norm(dim=1, keepdim=True)
    inner = tuple(range(1, latent.ndim))
    deviation = length.std(dim=inner, keepdim=True) if length[0].numel() > 1 else torch.zeros_like(length)
    top = (deviation * 5 + length.mean(dim=inner, keepdim=True)) * multiplier + 1e-10
    return latent / (length + 1e-10) * (length / top / (length / top + 1) * top)


def sharpen(latent: Tensor, radius: float, sigma: float, alpha: float) -> Tensor:
    """The unit vectors sharpened as a picture would be, frame by frame, then given back their lengths."""
    if latent.ndim == 5:
        frames = [sharpen(frame, radius, sigma, alpha) for frame in latent.unbind(2)]
        return torch.stack(frames, 2)
    length: Tensor = latent.norm(dim=1, keepdim=True) + 1e-6
    return length * sharpened(latent / length, int(radius), sigma, alpha)


_OPERATIONS: Mapping[str, Callable[..., Tensor]] = {"tonemap_reinhard": tonemap_reinhard, "sharpen": sharpen}

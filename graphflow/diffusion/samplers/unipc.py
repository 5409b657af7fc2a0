"""UniPC (https://arxiv.org/abs/2302.04867): a predictor, and a corrector that reuses the next evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers.common import SampledModel, Walk
from graphflow.node import Denoise, Progress

LAST_SIGMA = 0.001
"""Where a list that ends at 0 is made to end: lambda would be infinite there."""


@dataclass(frozen=True)
class _Past:
    """A prediction in variance preserving space."""

    sigma: Tensor
    denoised: Tensor


def _log_alpha(sigma: Tensor) -> Tensor:
    """log of the picture's share in variance preserving space, x / sqrt(1 + sigma^2)."""
    return 0.5 * torch.log(1 / (sigma * sigma + 1))


def _std(sigma: Tensor) -> Tensor:
    """The noise's share in variance preserving space."""
    return torch.sqrt(1.0 - torch.exp(2.0 * _log_alpha(sigma)))


def _half_log_snr(sigma: Tensor) -> Tensor:
    return _log_alpha(sigma) - 0.5 * torch.log(1.0 - torch.exp(2.0 * _log_alpha(sigma)))


def _question(model: SampledModel, x: Tensor, sigma: Tensor) -> Denoise:
    return Denoise(model, x * torch.sqrt(sigma * sigma + 1.0), sigma)


def _answer(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """The prediction by way of the noise, as the solver's authors have it: rounding is part of the method."""
    noise = (x * torch.sqrt(sigma * sigma + 1.0) - denoised) / sigma
    return (x - _std(sigma) * noise) / torch.exp(_log_alpha(sigma))


@dataclass(frozen=True)
class _Update:
    """What predictor and corrector of one step share (algorithms 5 and 6)."""

    linear: Tensor
    """The part that needs the last prediction alone."""
    scale: Tensor
    differences: Tensor | None
    """(order - 1, B, C, h, w): divided differences of the earlier predictions."""
    predictor: Tensor
    corrector: Tensor

    def _sum(self, weights: Tensor) -> Tensor | float:
        if self.differences is None:
            return 0.0
        total: Tensor = torch.tensordot(weights.to(self.differences), self.differences, dims=1)
        return total

    def predicted(self) -> Tensor:
        """x at the next level."""
        return self.linear - self.scale * self._sum(self.predictor)

    def corrected(self, change: Tensor) -> Tensor:
        """x at the next level, `change` being the new prediction less the last one."""
        return self.linear - self.scale * (self._sum(self.corrector[:-1]) + self.corrector[-1] * change)


def _update(x: Tensor, past: list[_Past], sigma: Tensor, order: int, variant: Literal["bh1", "bh2"]) -> _Update:
    last = past[-1]
    start, end = _half_log_snr(last.sigma), _half_log_snr(sigma)
    h = end - start
    earlier = [past[-(k + 1)] for k in range(1, order)]
    ratios = [(_half_log_snr(p.sigma) - start) / h for p in earlier]
    differences = [(p.denoised - last.denoised) / r for p, r in zip(earlier, ratios, strict=True)]
    nodes = torch.stack([*ratios, torch.ones_like(h)])
    phi_1 = torch.expm1(-h)
    b_h = -h if variant == "bh1" else phi_1
    rows, right, phi, factorial = [], [], phi_1 / -h - 1, 1
    for k in range(1, order + 1):
        rows.append(nodes ** (k - 1))
        right.append(phi * factorial / b_h)
        factorial *= k + 1
        phi = phi / -h - 1 / factorial
    matrix, vector = torch.stack(rows), torch.stack(right)
    half = torch.full_like(h, 0.5)[None]
    alpha = torch.exp(_log_alpha(sigma))
    return _Update(
        linear=_std(sigma) / _std(last.sigma) * x - alpha * phi_1 * last.denoised,
        scale=alpha * b_h,
        differences=torch.stack(differences) if differences else None,
        predictor=half if order <= 2 else torch.linalg.solve(matrix[:-1, :-1], vector[:-1]),
        corrector=half if order == 1 else torch.linalg.solve(matrix, vector),
    )


def uni_pc(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, variant: Literal["bh1", "bh2"] = "bh1"
) -> Walk:
    """UniPC of order 3 on the denoised prediction, in variance preserving space, ending at sigma 0.001."""
    if len(sigmas) < 2:
        return x
    levels = sigmas.clone()
    if levels[-1] == 0:
        levels[-1] = LAST_SIGMA
    steps = len(levels) - 1
    order = max(1, min(3, len(levels) - 2))
    x = x / torch.sqrt(1.0 + levels[0] ** 2.0)
    past = [_Past(levels[0], _answer(x, levels[0], (yield _question(model, x, levels[0]))))]
    yield Progress(1, steps, preview=past[-1].denoised)
    for i in range(1, steps + 1):
        update = _update(x, past, levels[i], min(i, order, steps + 1 - i), variant)
        x = update.predicted()
        if i < steps:
            denoised = _answer(x, levels[i], (yield _question(model, x, levels[i])))
            x = update.corrected(denoised - past[-1].denoised)
            past = [*past, _Past(levels[i], denoised)][-order:]
            yield Progress(i + 1, steps, preview=denoised)
    x = x / torch.exp(_log_alpha(levels[-1]))
    # A flow model's x at sigma has (1 - sigma) of the picture; the caller, who passed 0, does not divide by it.
    return x / (1.0 - levels[-1]) if model.parametrisation.flow and sigmas[-1] == 0 else x


def uni_pc_bh2(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """`uni_pc` with B(h) = e^h - 1."""
    return uni_pc(model, x, sigmas, noise, variant="bh2")

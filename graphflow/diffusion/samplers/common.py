"""What samplers share: the model they ask, and the algebra of noise levels.

Letters as in the papers: x (B, C, h, w) at noise level sigma; D the denoised prediction; lambda the half log
signal-to-noise ratio, -log(sigma), or log((1 - sigma) / sigma) for flow models; alpha the share of the picture in x,
1, or 1 - sigma for flow models.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.node import Denoise, Denoiser, Progress

Walk = Generator[Denoise | Progress, Any, Tensor]
"""A sampler at work: yields questions and progress, returns x at the last sigma."""


class SampledModel(Denoiser, Protocol):
    """What a sampler samples: predictions, and the space they are made in."""

    @property
    def parametrisation(self) -> Parametrisation:
        """The space that x and sigma are in."""


class SamplerFunction(Protocol):
    """`sampler(model, x, sigmas, noise, **options)`."""

    def __call__(self, model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, **options: Any) -> Walk: ...


@dataclass(frozen=True)
class Step:
    """From one noise level to the next."""

    i: int
    sigma: Tensor
    sigma_next: Tensor
    total: int

    @property
    def last(self) -> bool:
        """It ends without noise."""
        return bool(self.sigma_next == 0)

    def done(self, denoised: Tensor) -> Progress:
        """What to yield after it."""
        return Progress(self.i + 1, self.total, preview=denoised)


def steps_of(sigmas: Tensor) -> Iterator[Step]:
    """The steps along a list of sigmas."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        yield Step(i, sigma, sigma_next, len(sigmas) - 1)


def slope(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """dx / dsigma of the probability flow ODE (https://arxiv.org/abs/2206.00364, equation 3)."""
    return (x - denoised) / sigma


def ancestral_step(sigma: Tensor, sigma_next: Tensor, eta: float = 1.0) -> tuple[Tensor, Tensor]:
    """The noise level to go down to, and how much noise to add there to arrive at `sigma_next`."""
    if not eta:
        return sigma_next, torch.zeros_like(sigma_next)
    up = eta * torch.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
    up = torch.minimum(sigma_next, torch.where(sigma.isinf(), eta * sigma_next, up))
    return torch.sqrt(sigma_next**2 - up**2), up


@dataclass(frozen=True)
class FlowRenoise:
    """An ancestral step of a flow model: go down to `down`, then x * scale + noise * spread is at the next level."""

    down: Tensor
    scale: Tensor
    spread: Tensor


def flow_ancestral_step(sigma: Tensor, sigma_next: Tensor, eta: float = 1.0) -> FlowRenoise:
    """For flow models, where noise replaces picture instead of adding to it."""
    down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
    alpha_next, alpha_down = 1 - sigma_next, 1 - down
    spread = torch.sqrt(sigma_next**2 - down**2 * alpha_next**2 / alpha_down**2)
    return FlowRenoise(down, alpha_next / alpha_down, spread)


def log_snr(model: SampledModel) -> Callable[[Tensor], Tensor]:
    """lambda as a function of sigma."""
    if model.parametrisation.flow:
        return lambda sigma: sigma.logit().neg()
    return lambda sigma: sigma.log().neg()


def sigma_of(model: SampledModel) -> Callable[[Tensor], Tensor]:
    """sigma as a function of lambda."""
    if model.parametrisation.flow:
        return lambda half_log_snr: half_log_snr.neg().sigmoid()
    return lambda half_log_snr: half_log_snr.neg().exp()


def picture_share(sigma: Tensor, half_log_snr: Tensor) -> Tensor:
    """alpha: how much of the picture is in x."""
    return sigma * half_log_snr.exp()


def finite_snr(model: SampledModel, sigmas: Tensor) -> Tensor:
    """The sigmas with a first one of 1 moved a little down for flow models, where lambda would be infinite."""
    if len(sigmas) > 1 and model.parametrisation.flow and bool(sigmas[0] >= 1):
        sigmas = sigmas.clone()
        sigmas[0] = model.parametrisation.percent_to_sigma(1e-4)
    return sigmas


def lagrange(nodes: Tensor, j: int, at: Tensor) -> Tensor:
    """The j-th Lagrange basis polynomial over `nodes` (order,), at the points `at`."""
    product = torch.ones_like(at)
    for k, node in enumerate(nodes):
        if k != j:
            product = product * ((at - node) / (nodes[j] - node))
    return product

"""Deterministic samplers that follow dx/dsigma = (x - D(x; sigma)) / sigma, and their ancestral kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import scipy.integrate
import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers.common import (
    SampledModel,
    Walk,
    ancestral_step,
    flow_ancestral_step,
    lagrange,
    slope,
    steps_of,
)
from graphflow.node import Denoise


def euler(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """Euler's method (https://arxiv.org/abs/2206.00364, algorithm 2 without churn)."""
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        x = x + slope(x, step.sigma, denoised) * (step.sigma_next - step.sigma)
        yield step.done(denoised)
    return x


def euler_ancestral(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 1.0, s_noise: float = 1.0
) -> Walk:
    """Euler to a lower level, then noise back up."""
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
        elif model.parametrisation.flow:
            renoise = flow_ancestral_step(step.sigma, step.sigma_next, eta)
            ratio = renoise.down / step.sigma
            x = ratio * x + (1 - ratio) * denoised
            if eta > 0:
                x = renoise.scale * x + noise.normal() * s_noise * renoise.spread
        else:
            down, up = ancestral_step(step.sigma, step.sigma_next, eta)
            x = x + slope(x, step.sigma, denoised) * (down - step.sigma) + noise.normal() * s_noise * up
        yield step.done(denoised)
    return x


def heun(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """Heun's method: the mean of the slopes at both ends (https://arxiv.org/abs/2206.00364, algorithm 1)."""
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        d = slope(x, step.sigma, denoised)
        dt = step.sigma_next - step.sigma
        if step.last:
            x = x + d * dt
        else:
            x_2 = x + d * dt
            denoised_2 = yield Denoise(model, x_2, step.sigma_next)
            x = x + (d + slope(x_2, step.sigma_next, denoised_2)) / 2 * dt
        yield step.done(denoised)
    return x


def heunpp2(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """Heun++: slopes at up to three levels, weighted by sigma (https://arxiv.org/abs/2306.13720)."""
    for step in steps_of(sigmas):
        i, dt = step.i, step.sigma_next - step.sigma
        denoised = yield Denoise(model, x, step.sigma)
        d = slope(x, step.sigma, denoised)
        if step.sigma_next == sigmas[-1]:
            yield step.done(denoised)
            x = x + d * dt
            continue
        x_2 = x + d * dt
        denoised_2 = yield Denoise(model, x_2, step.sigma_next)
        d_2 = slope(x_2, step.sigma_next, denoised_2)
        if sigmas[i + 2] == sigmas[-1]:
            w_2 = step.sigma_next / (2 * sigmas[0])
            mean = d * (1 - w_2) + d_2 * w_2
        else:
            x_3 = x_2 + d_2 * (sigmas[i + 2] - step.sigma_next)
            denoised_3 = yield Denoise(model, x_3, sigmas[i + 2])
            d_3 = slope(x_3, sigmas[i + 2], denoised_3)
            w_2, w_3 = step.sigma_next / (3 * sigmas[0]), sigmas[i + 2] / (3 * sigmas[0])
            mean = (1 - w_2 - w_3) * d + w_2 * d_2 + w_3 * d_3
        x = x + mean * dt
        yield step.done(denoised)
    return x


def _midpoint(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """The geometric mean."""
    return sigma.log().lerp(sigma_next.log(), 0.5).exp()


def dpm_2(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """DPM-Solver-2: the slope at the midpoint in log sigma (https://arxiv.org/abs/2206.00927)."""
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        d = slope(x, step.sigma, denoised)
        if step.last:
            x = x + d * (step.sigma_next - step.sigma)
        else:
            middle = _midpoint(step.sigma, step.sigma_next)
            x_2 = x + d * (middle - step.sigma)
            denoised_2 = yield Denoise(model, x_2, middle)
            x = x + slope(x_2, middle, denoised_2) * (step.sigma_next - step.sigma)
        yield step.done(denoised)
    return x


def dpm_2_ancestral(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 1.0, s_noise: float = 1.0
) -> Walk:
    """`dpm_2` to a lower level, then noise back up."""
    flow = model.parametrisation.flow
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        d = slope(x, step.sigma, denoised)
        if step.last:
            x = x + d * (step.sigma_next - step.sigma)
            yield step.done(denoised)
            continue
        renoise = flow_ancestral_step(step.sigma, step.sigma_next, eta)
        down, up = (renoise.down, renoise.spread) if flow else ancestral_step(step.sigma, step.sigma_next, eta)
        if down == 0:
            x = x + d * (down - step.sigma)
        else:
            middle = _midpoint(step.sigma, down)
            x_2 = x + d * (middle - step.sigma)
            denoised_2 = yield Denoise(model, x_2, middle)
            x = x + slope(x_2, middle, denoised_2) * (down - step.sigma)
        if eta > 0:
            x = (renoise.scale * x if flow else x) + noise.normal() * s_noise * up
        yield step.done(denoised)
    return x


def lms(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, order: int = 4) -> Walk:
    """Linear multistep: the slopes so far as a polynomial in sigma, integrated (k-diffusion)."""
    slopes: list[Tensor] = []
    levels = sigmas.detach().cpu().numpy()
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        slopes = [slope(x, step.sigma, denoised), *slopes][:order]
        if step.last:
            x = denoised
        else:
            nodes = [levels[step.i - k] for k in range(len(slopes))]
            span = float(levels[step.i]), float(levels[step.i + 1])
            x = x + sum((_adams(nodes, j, *span) * d for j, d in enumerate(slopes)), torch.zeros_like(x))
        yield step.done(denoised)
    return x


def _adams(nodes: Sequence[Any], j: int, start: float, end: float) -> float:
    """The integral of a Lagrange basis polynomial; NumPy nodes keep its values in their own precision."""

    def basis(sigma: float) -> float:
        return float(math.prod((sigma - node) / (nodes[j] - node) for k, node in enumerate(nodes) if k != j))

    return float(scipy.integrate.quad(basis, start, end, epsrel=1e-4)[0])


def ipndm(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, max_order: int = 4) -> Walk:
    """Improved PNDM: Adams-Bashforth with the weights of even steps (https://arxiv.org/abs/2204.13902)."""
    weights = {1: (1,), 2: (3, -1), 3: (23, -16, 5), 4: (55, -59, 37, -9)}
    slopes: list[Tensor] = []
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        slopes = [slope(x, step.sigma, denoised), *slopes][:max_order]
        if step.last:
            x = denoised
        else:
            used = weights[len(slopes)]
            total = used[0] * slopes[0]
            for w, d in zip(used[1:], slopes[1:], strict=True):
                total = total + w * d
            x = x + (step.sigma_next - step.sigma) * total / sum(used)
        yield step.done(denoised)
    return x


def ipndm_v(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, max_order: int = 4) -> Walk:
    """`ipndm` with weights for uneven steps, as its authors wrote them (https://github.com/zju-pi/diff-sampler)."""
    slopes: list[Tensor] = []
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        slopes = [slope(x, step.sigma, denoised), *slopes][:max_order]
        if step.last:
            x = denoised
        else:
            i = step.i
            h = [sigmas[i - k + 1] - sigmas[i - k] for k in range(len(slopes))]
            total = torch.zeros_like(x)
            for w, d in zip(_uneven_weights(h), slopes, strict=True):
                total = total + w * d
            x = x + h[0] * total
        yield step.done(denoised)
    return x


def _uneven_weights(h: list[Tensor]) -> list[Tensor]:
    """Weights of the slopes, newest first, from the lengths of the steps, newest first."""
    one = torch.ones_like(h[0])
    if len(h) == 1:
        return [one]
    r = h[0] / h[1]
    if len(h) == 2:
        return [(2 + r) / 2, -r / 2]
    a = (1 - h[0] / (3 * (h[0] + h[1])) * (h[0] * (h[0] + h[1])) / (h[1] * (h[1] + h[2]))) / 2
    s = h[1] / h[2]
    if len(h) == 3:
        return [(2 + r) / 2 + a, -r / 2 - (1 + s) * a, a * h[1] / h[2]]
    two, three = h[0] + h[1], h[0] + h[1] + h[2]
    b = (1 - h[0] / (3 * two)) / 2 + (1 - h[0] / (2 * two)) * h[0] / (6 * three)
    b = b * (h[0] * two * three) / (h[1] * (h[1] + h[2]) * (h[1] + h[2] + h[3]))
    u = h[1] * (h[1] + h[2]) / (h[2] * (h[2] + h[3]))
    return [
        (2 + r) / 2 + a + b,
        -r / 2 - (1 + s) * a - (1 + s + u) * b,
        a * h[1] / h[2] + (s + u * (1 + h[2] / h[3])) * b,
        -b * u * h[1] / h[2],
    ]


def deis(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, max_order: int = 3) -> Walk:
    """DEIS, the variant tAB (https://arxiv.org/abs/2204.13902): slopes as a polynomial in the time of a VP process."""
    weights = _deis_weights(sigmas, max_order)
    slopes: list[Tensor] = []
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        slopes = [slope(x, step.sigma, denoised), *slopes][:max_order]
        if step.last or step.i == 0:
            x = x + (step.sigma_next - step.sigma) * slopes[0]
        else:
            for w, d in zip(weights[step.i], slopes, strict=True):
                x = x + w * d
        yield step.done(denoised)
    return x


def _deis_weights(sigmas: Tensor, max_order: int, points: int = 10000) -> list[list[Tensor]]:
    """For each step the weights of the slopes, newest first: sums over `points` points in time."""
    low = (torch.tensor(0.002) ** 2 + 1).log()
    high = torch.tensor(80.0**2 + 1, dtype=torch.float64).log()  # as the authors' whole number makes it
    end = 1e-3
    beta_d = 2 * (low / end - high) / (end - 1)
    beta_min = high - 0.5 * beta_d
    times = ((beta_min**2 + 2 * beta_d * (sigmas.cpu() ** 2 + 1).log()).sqrt() - beta_min) / beta_d
    weights: list[list[Tensor]] = []
    for i in range(len(times) - 1):
        taus = torch.linspace(float(times[i]), float(times[i + 1]), points)
        alpha = torch.exp(-0.5 * taus**2 * beta_d - taus * beta_min)
        one = alpha.reciprocal() * alpha  # rounded as the chain rule through the logarithm rounds
        fall = one * beta_d * -0.5 * (2 * taus) - one * beta_min
        integrand = -0.5 * fall / torch.sqrt(alpha * (1 - alpha))
        order = min(i + 1, max_order)
        nodes = torch.stack([times[i - k] for k in range(order)])
        width = (times[i + 1] - times[i]) / points
        weights.append([torch.sum(integrand * lagrange(nodes, j, taus)) * width for j in range(order)])
    return weights


def gradient_estimation(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, gamma: float = 2.0
) -> Walk:
    """Euler with a slope moved away from the last one by gamma - 1 (https://openreview.net/forum?id=o2ND9v0CeK)."""
    old: Tensor | None = None
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        d = slope(x, step.sigma, denoised)
        dt = step.sigma_next - step.sigma
        if step.last:
            x = denoised
        else:
            x = x + d * dt
            if old is not None:
                x = x + (gamma - 1) * (d - old) * dt
        old = d
        yield step.done(denoised)
    return x

"""Deterministic samplers that follow dx/dsigma = (x - D(x; sigma)) / sigma, and their ancestral kin."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
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
from graphflow.node import Denoise, Progress


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
    levels = sigmas.detach().cpu()
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        slopes = [slope(x, step.sigma, denoised), *slopes][:order]
        if step.last:
            x = denoised
        else:
            nodes = [float(levels[step.i - k]) for k in range(len(slopes))]
            span = float(levels[step.i]), float(levels[step.i + 1])
            x = x + sum((_adams(nodes, j, *span) * d for j, d in enumerate(slopes)), torch.zeros_like(x))
        yield step.done(denoised)
    return x


def _adams(nodes: list[float], j: int, start: float, end: float) -> float:
    """The integral of a Lagrange basis polynomial."""

    def basis(sigma: float) -> float:
        return math.prod((sigma - node) / (nodes[j] - node) for k, node in enumerate(nodes) if k != j)

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
    s = h[1] / h[2]
    a = (1 - h[0] / (3 * (h[0] + h[1])) * (h[0] * (h[0] + h[1])) / (h[1] * (h[1] + h[2]))) / 2
    if len(h) == 3:
        return [(2 + r) / 2 + a, -r / 2 - (1 + s) * a, a * s]
    two, three = h[0] + h[1], h[0] + h[1] + h[2]
    b = ((1 - h[0] / (3 * two)) / 2 + (1 - h[0] / (2 * two)) * h[0] / (6 * three)) * (
        h[0] * two * three / (h[1] * (h[1] + h[2]) * (h[1] + h[2] + h[3]))
    )
    u = h[1] * (h[1] + h[2]) / (h[2] * (h[2] + h[3]))
    return [
        (2 + r) / 2 + a + b,
        -r / 2 - (1 + s) * a - (1 + s + u) * b,
        a * s + (s + u * (1 + h[2] / h[3])) * b,
        -b * u * s,
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
    low, high, end = torch.tensor(0.002**2 + 1).log(), torch.tensor(80.0**2 + 1).log(), 1e-3
    beta_d = 2 * (low / end - high) / (end - 1)
    beta_min = high - 0.5 * beta_d
    times = ((beta_min**2 + 2 * beta_d * (sigmas.cpu() ** 2 + 1).log()).sqrt() - beta_min) / beta_d
    weights: list[list[Tensor]] = []
    for i in range(len(times) - 1):
        taus = torch.linspace(float(times[i]), float(times[i + 1]), points)
        alpha = torch.exp(-0.5 * taus**2 * beta_d - taus * beta_min)
        integrand = 0.5 * (taus * beta_d + beta_min) / torch.sqrt(alpha * (1 - alpha))
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


# --- DPM-Solver in t = -log sigma, fast and adaptive -----------------------------------------------------------------

Asked = Generator[Denoise, Any, Tensor]


def _epsilon(model: SampledModel, x: Tensor, t: Tensor) -> Asked:
    """The predicted noise at t = -log sigma."""
    sigma = t.neg().exp()
    denoised: Tensor = yield Denoise(model, x, sigma)
    return (x - denoised) / sigma


def _dpm_1(x: Tensor, t: Tensor, t_next: Tensor, eps: Tensor) -> Tensor:
    """DPM-Solver-1 (https://arxiv.org/abs/2206.00927, equation 3.7)."""
    return x - t_next.neg().exp() * (t_next - t).expm1() * eps


def _dpm_2(model: SampledModel, x: Tensor, t: Tensor, t_next: Tensor, eps: Tensor, r: float = 0.5) -> Asked:
    """DPM-Solver-2 (algorithm 4)."""
    h = t_next - t
    u = _dpm_1(x, t, t + r * h, eps)
    eps_r = yield from _epsilon(model, u, t + r * h)
    end = t_next.neg().exp()
    return x - end * h.expm1() * eps - end / (2 * r) * h.expm1() * (eps_r - eps)


def _dpm_3(
    model: SampledModel, x: Tensor, t: Tensor, t_next: Tensor, eps: Tensor, eps_1: Tensor, r1: float, r2: float
) -> Asked:
    """DPM-Solver-3 (algorithm 5); `eps_1` is the noise predicted at t + r1 h."""
    h = t_next - t
    s2 = (t + r2 * h).neg().exp()
    u_2 = x - s2 * (r2 * h).expm1() * eps - s2 * (r2 / r1) * ((r2 * h).expm1() / (r2 * h) - 1) * (eps_1 - eps)
    eps_2 = yield from _epsilon(model, u_2, t + r2 * h)
    end = t_next.neg().exp()
    return x - end * h.expm1() * eps - end / r2 * (h.expm1() / h - 1) * (eps_2 - eps)


def _span(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """t at the first and at the last positive sigma."""
    last = sigmas[-2] if sigmas[-1] == 0 and len(sigmas) > 1 else sigmas[-1]
    return sigmas[0].log().neg(), last.log().neg()


def dpm_fast(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """DPM-Solver-fast: as many evaluations as there are steps, in blocks of order 3; only the ends of `sigmas` count."""
    if len(sigmas) < 2:
        return x
    start, end = _span(sigmas)
    evaluations = len(sigmas) - 1
    blocks = evaluations // 3 + 1
    rest = [2, 1] if evaluations % 3 == 0 else [evaluations % 3]
    orders = [3] * (blocks - len(rest)) + rest
    times = torch.linspace(float(start), float(end), blocks + 1, device=sigmas.device)
    for i, order in enumerate(orders):
        t, t_next = times[i], times[i + 1]
        eps = yield from _epsilon(model, x, t)
        denoised = x - t.neg().exp() * eps
        if order == 1:
            x = _dpm_1(x, t, t_next, eps)
        elif order == 2:
            x = yield from _dpm_2(model, x, t, t_next, eps)
        else:
            s1 = t + 1 / 3 * (t_next - t)
            eps_1 = yield from _epsilon(model, _dpm_1(x, t, s1, eps), s1)
            x = yield from _dpm_3(model, x, t, t_next, eps, eps_1, 1 / 3, 2 / 3)
        yield Progress(i + 1, len(orders), preview=denoised)
    return x


@dataclass
class StepSize:
    """A PID controller of the step's length (https://arxiv.org/abs/0909.0519)."""

    h: float
    order: float
    pcoeff: float = 0.0
    icoeff: float = 1.0
    dcoeff: float = 0.0
    accept_safety: float = 0.81
    errors: list[float] = field(default_factory=list)
    """Inverse errors, newest first."""

    def propose(self, error: float) -> bool:
        """Sets the next length; True when the step just tried is good enough."""
        inverse = 1 / (error + 1e-8)
        self.errors = [inverse, *(self.errors[1:] or [inverse, inverse])]
        weights = (self.pcoeff + self.icoeff + self.dcoeff, -(self.pcoeff + 2 * self.dcoeff), self.dcoeff)
        factor = math.prod(e ** (w / self.order) for e, w in zip(self.errors, weights, strict=True))
        factor = 1 + math.atan(factor - 1)
        accepted = factor >= self.accept_safety
        if accepted:
            self.errors = [self.errors[0], self.errors[0], self.errors[1]]
        self.h *= factor
        return accepted


def dpm_adaptive(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Walk:
    """DPM-Solver-12 or -23 with steps as long as the error allows; only the ends of `sigmas` count."""
    if len(sigmas) < 2:
        return x
    start, end = _span(sigmas)
    size = StepSize(h_init, order, pcoeff, icoeff, dcoeff, accept_safety)
    x_prev, s = x, start
    while s < end - 1e-5:
        t = torch.minimum(end, s + size.h)
        t_down, up = _noisy_end(s, t, end, eta)
        eps = yield from _epsilon(model, x, s)
        if order == 2:
            low = _dpm_1(x, s, t_down, eps)
            high = yield from _dpm_2(model, x, s, t_down, eps)
        else:
            third = s + 1 / 3 * (t_down - s)
            eps_1 = yield from _epsilon(model, _dpm_1(x, s, third, eps), third)
            level = t_down.neg().exp()
            grown = (t_down - s).expm1()
            low = x - level * grown * eps - level / (2 / 3) * grown * (eps_1 - eps)
            high = yield from _dpm_3(model, x, s, t_down, eps, eps_1, 1 / 3, 2 / 3)
        allowed = torch.maximum(torch.tensor(atol, device=x.device), rtol * torch.maximum(low.abs(), x_prev.abs()))
        if size.propose(float(torch.linalg.norm((low - high) / allowed) / x.numel() ** 0.5)):
            x_prev = low
            denoised = x - s.neg().exp() * eps
            x = high + up * s_noise * noise.normal() if eta else high
            s = t
            yield Progress(float((s - start) / (end - start)), 1.0, preview=denoised)
    return x


def _noisy_end(s: Tensor, t: Tensor, end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Where a step from s to t ends before noise is added, and how much is added."""
    if not eta:
        return t, torch.zeros_like(t)
    down, _ = ancestral_step(s.neg().exp(), t.neg().exp(), eta)
    t_down = torch.minimum(end, down.log().neg())
    return t_down, (t.neg().exp() ** 2 - t_down.neg().exp() ** 2) ** 0.5

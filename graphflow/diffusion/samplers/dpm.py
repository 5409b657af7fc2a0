"""DPM-Solver in t = -log sigma, with steps of its own: fast and adaptive (https://arxiv.org/abs/2206.00927)."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers.common import SampledModel, Walk, ancestral_step
from graphflow.node import Denoise, Progress

Asked = Generator[Denoise, Any, Tensor]


def _epsilon(model: SampledModel, x: Tensor, t: Tensor) -> Asked:
    """The predicted noise at t = -log sigma."""
    sigma = t.neg().exp()
    denoised: Tensor = yield Denoise(model, x, sigma)
    return (x - denoised) / sigma


def _dpm_1(x: Tensor, t_next: Tensor, h: Tensor, eps: Tensor) -> Tensor:
    """DPM-Solver-1 (https://arxiv.org/abs/2206.00927, equation 3.7): a step of length h that ends at `t_next`."""
    return x - t_next.neg().exp() * h.expm1() * eps


def _dpm_2(model: SampledModel, x: Tensor, t: Tensor, t_next: Tensor, eps: Tensor, r: float = 0.5) -> Asked:
    """DPM-Solver-2 (algorithm 4)."""
    h = t_next - t
    u = _dpm_1(x, t + r * h, r * h, eps)
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
            x = _dpm_1(x, t_next, t_next - t, eps)
        elif order == 2:
            x = yield from _dpm_2(model, x, t, t_next, eps)
        else:
            third = 1 / 3 * (t_next - t)
            eps_1 = yield from _epsilon(model, _dpm_1(x, t + third, third, eps), t + third)
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
    """DPM-Solver-12 or -23 with steps as long as the error allows; only the ends of `sigmas` count, and may rise."""
    if len(sigmas) < 2:
        return x
    start, end = _span(sigmas)
    falling = bool(end > start)
    if eta and not falling:
        raise ValueError("with eta above 0 the last sigma must be below the first: noise is added on the way down only")
    size = StepSize(h_init if falling else -h_init, order, pcoeff, icoeff, dcoeff, accept_safety)
    x_prev, s = x, start
    while s < end - 1e-5 if falling else s > end + 1e-5:
        t = torch.minimum(end, s + size.h) if falling else torch.maximum(end, s + size.h)
        t_down, up = _noisy_end(s, t, end, eta)
        eps = yield from _epsilon(model, x, s)
        if order == 2:
            low = _dpm_1(x, t_down, t_down - s, eps)
            high = yield from _dpm_2(model, x, s, t_down, eps)
        else:
            third = 1 / 3 * (t_down - s)
            eps_1 = yield from _epsilon(model, _dpm_1(x, s + third, third, eps), s + third)
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
    return t_down, torch.sqrt(t.neg().exp() ** 2 - t_down.neg().exp() ** 2)

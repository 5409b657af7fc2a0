"""Exponential integrators of the SDE with noise from a generator: ER-SDE and SEEDS."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers.common import (
    SampledModel,
    Walk,
    finite_snr,
    log_snr,
    picture_share,
    sigma_of,
    steps_of,
)
from graphflow.node import Denoise


def _default_noise_scale(lam: Tensor) -> Tensor:
    """f of ER-SDE-Solver-3: lambda (e^(lambda^0.3) + 10)."""
    return lam * ((lam**0.3).exp() + 10.0)


def er_sde(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    s_noise: float = 1.0,
    max_stage: int = 3,
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"] = "ER-SDE",
    eta: float = 1.0,
) -> Walk:
    """Extended reverse-time SDE solver (https://arxiv.org/abs/2309.06169, algorithm 2), sums over 200 points.

    `Reverse-time SDE` takes lambda^(eta + 1) for the noise's scale, `ODE` adds no noise.
    """
    if len(sigmas) < 2:
        return x
    if solver_type == "ODE" or (solver_type == "Reverse-time SDE" and eta == 0):
        eta, s_noise = 0.0, 0.0
    scale = _default_noise_scale if solver_type == "ER-SDE" else (lambda lam: lam ** (eta + 1))
    sigmas = finite_snr(model, sigmas)
    lambdas = log_snr(model)(sigmas).neg().exp()
    points = torch.arange(0, 200, dtype=torch.float32, device=x.device)
    old: Tensor | None = None
    old_d: Tensor | None = None
    for step in steps_of(sigmas):
        i = step.i
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        here, after = lambdas[i], lambdas[i + 1]
        alpha, alpha_next = step.sigma / here, step.sigma_next / after
        r = scale(after) / scale(here)
        x = (alpha_next / alpha) * r * x + alpha_next * (1 - r) * denoised
        if old is not None and max_stage >= 2:
            dt = after - here
            width = -dt / 200
            positions = after + points * width
            scaled = scale(positions)
            d = (denoised - old) / (here - lambdas[i - 1])
            x = x + alpha_next * (dt + torch.sum(1 / scaled) * width * scale(after)) * d
            if old_d is not None and max_stage >= 3:
                total = torch.sum((positions - here) / scaled) * width
                u = (d - old_d) / ((here - lambdas[i - 2]) / 2)
                x = x + alpha_next * ((dt**2) / 2 + total * scale(after)) * u
            old_d = d
        if s_noise > 0:
            spread = (after**2 - here**2 * r**2).sqrt().nan_to_num(nan=0.0)
            x = x + alpha_next * noise.normal() * s_noise * spread
        old = denoised
        yield step.done(denoised)
    return x


def seeds_2(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Walk:
    """SEEDS-2, two stages (https://arxiv.org/abs/2305.14267, algorithm 2)."""
    sigmas = finite_snr(model, sigmas)
    level, half_log_snr = sigma_of(model), log_snr(model)
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        start, end = half_log_snr(step.sigma), half_log_snr(step.sigma_next)
        h = end - start
        middle = start + r * h
        sigma_m = level(middle)
        alpha_m, alpha = picture_share(sigma_m, middle), picture_share(step.sigma_next, end)
        n = _StageNoise(noise, h * eta, (0.0, r, 1.0), s_noise if eta > 0 else 0.0)

        x_2 = sigma_m / step.sigma * (-r * h * eta).exp() * x - alpha_m * (-r * h * (eta + 1)).expm1() * denoised
        x_2 = n.added(x_2, sigma_m, 1)
        denoised_2 = yield Denoise(model, x_2, sigma_m)

        mixed = (1 - 1 / (2 * r)) * denoised + 1 / (2 * r) * denoised_2
        x = step.sigma_next / step.sigma * (-h * eta).exp() * x - alpha * (-h * (eta + 1)).expm1() * mixed
        x = n.added(x, step.sigma_next, 2)
        yield step.done(denoised)
    return x


def seeds_3(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Walk:
    """SEEDS-3, three stages (https://arxiv.org/abs/2305.14267, algorithm 3)."""
    sigmas = finite_snr(model, sigmas)
    level, half_log_snr = sigma_of(model), log_snr(model)
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        start, end = half_log_snr(step.sigma), half_log_snr(step.sigma_next)
        h = end - start
        h_eta = h * (eta + 1)
        t_1, t_2 = start + r_1 * h, start + r_2 * h
        sigma_1, sigma_2 = level(t_1), level(t_2)
        c_1, c_2, c_3 = (-r_1 * h_eta).expm1(), (-r_2 * h_eta).expm1(), (-h_eta).expm1()
        n = _StageNoise(noise, h * eta, (0.0, r_1, r_2, 1.0), s_noise if eta > 0 else 0.0)

        x_2 = sigma_1 / step.sigma * (-r_1 * h * eta).exp() * x - picture_share(sigma_1, t_1) * c_1 * denoised
        denoised_2 = yield Denoise(model, n.added(x_2, sigma_1, 1), sigma_1)

        a = r_2 / r_1 * (c_2 / (r_2 * h_eta) + 1)
        x_3 = sigma_2 / step.sigma * (-r_2 * h * eta).exp() * x
        x_3 = x_3 - picture_share(sigma_2, t_2) * ((c_2 + a) * denoised - a * denoised_2)
        denoised_3 = yield Denoise(model, n.added(x_3, sigma_2, 2), sigma_2)

        b = (c_3 / h_eta + 1) / r_2
        x = step.sigma_next / step.sigma * (-h * eta).exp() * x
        x = x - picture_share(step.sigma_next, end) * ((c_3 + b) * denoised - b * denoised_3)
        x = n.added(x, step.sigma_next, 3)
        yield step.done(denoised)
    return x


class _StageNoise:
    """One step's noise, drawn once a stage; each stage has that of the stages before it, faded."""

    def __init__(self, noise: NoiseSource, h: Tensor, ends: tuple[float, ...], s_noise: float) -> None:
        self.h, self.ends, self.s_noise = h, ends, s_noise
        self.draws = [noise.normal() for _ in ends[1:]] if s_noise > 0 else []

    def added(self, x: Tensor, sigma: Tensor, stage: int) -> Tensor:
        """x with the noise that has come in by the end of `stage` (from 1)."""
        if not self.draws:
            return x
        total = torch.zeros_like(x)
        for k in range(stage):
            length, since = self.ends[k + 1] - self.ends[k], self.ends[stage] - self.ends[k + 1]
            weight = (-2 * length * self.h).expm1().neg().sqrt() * (-since * self.h).exp()
            total = total + weight * self.draws[k]
        return x + sigma * total * self.s_noise

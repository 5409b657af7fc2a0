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
        middle = torch.lerp(start, end, r)
        sigma_m = level(middle)
        alpha_m, alpha = picture_share(sigma_m, middle), picture_share(step.sigma_next, end)
        n = _StageNoise(noise, h * eta, (r, 1 - r), s_noise if eta > 0 else 0.0)

        x_2 = sigma_m / step.sigma * (-r * h * eta).exp() * x - alpha_m * (-r * h * (eta + 1)).expm1() * denoised
        x_2 = n.added(x_2, sigma_m)
        denoised_2 = yield Denoise(model, x_2, sigma_m)

        mixed = (1 - 1 / (2 * r)) * denoised + 1 / (2 * r) * denoised_2
        x = step.sigma_next / step.sigma * (-h * eta).exp() * x - alpha * (-h * (eta + 1)).expm1() * mixed
        x = n.added(x, step.sigma_next)
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
        t_1, t_2 = torch.lerp(start, end, r_1), torch.lerp(start, end, r_2)
        sigma_1, sigma_2 = level(t_1), level(t_2)
        n = _StageNoise(noise, h * eta, (r_1, r_2 - r_1, 1 - r_2), s_noise if eta > 0 else 0.0)

        x_2 = (
            sigma_1 / step.sigma * (-r_1 * h * eta).exp() * x
            - picture_share(sigma_1, t_1) * (-r_1 * h_eta).expm1() * denoised
        )
        denoised_2 = yield Denoise(model, n.added(x_2, sigma_1), sigma_1)

        a = r_2 / r_1 * _phi_2(-r_2 * h_eta)
        x_3 = sigma_2 / step.sigma * (-r_2 * h * eta).exp() * x
        x_3 = x_3 - picture_share(sigma_2, t_2) * (((-r_2 * h_eta).expm1() - a) * denoised + a * denoised_2)
        denoised_3 = yield Denoise(model, n.added(x_3, sigma_2), sigma_2)

        b = _phi_2(-h_eta) / r_2
        x = step.sigma_next / step.sigma * (-h * eta).exp() * x
        x = x - picture_share(step.sigma_next, end) * (((-h_eta).expm1() - b) * denoised + b * denoised_3)
        x = n.added(x, step.sigma_next)
        yield step.done(denoised)
    return x


def _phi_2(h: Tensor) -> Tensor:
    """(e^h - 1 - h) / h: h times the second phi function of exponential integrators."""
    return (h.expm1() - h) / h


class _StageNoise:
    """One step's noise, drawn once a stage; that of the stages before fades as they pass."""

    def __init__(self, noise: NoiseSource, h: Tensor, shares: tuple[float, ...], s_noise: float) -> None:
        """`shares`: how much of the step's length h in lambda each stage covers."""
        self.s_noise = s_noise
        self.draws = [(share * h, noise.normal()) for share in shares] if s_noise > 0 else []
        self.total: Tensor | None = None

    def added(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x with the noise that has come in by the end of the next stage."""
        if not self.draws:
            return x
        length, fresh = self.draws.pop(0)
        fresh = (-2 * length).expm1().neg().sqrt() * fresh
        self.total = fresh if self.total is None else (-length).exp() * self.total + fresh
        return x + sigma * self.total * self.s_noise

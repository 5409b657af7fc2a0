"""Exponential integrators in lambda: DPM-Solver++, its stochastic kin, and RES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers.common import (
    SampledModel,
    Step,
    Walk,
    ancestral_step,
    finite_snr,
    flow_ancestral_step,
    log_snr,
    picture_share,
    sigma_of,
    slope,
    steps_of,
)
from graphflow.node import Denoise


def dpmpp_2m(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """DPM-Solver++(2M) (https://arxiv.org/abs/2211.01095, algorithm 2); lambda is -log sigma for flow models too."""
    old: Tensor | None = None
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        t, t_next = step.sigma.log().neg(), step.sigma_next.log().neg()
        h = t_next - t
        extrapolated = denoised
        if old is not None and not step.last:
            r = (t - sigmas[step.i - 1].log().neg()) / h
            extrapolated = (1 + 1 / (2 * r)) * denoised - (1 / (2 * r)) * old
        x = (t_next.neg().exp() / t.neg().exp()) * x - (-h).expm1() * extrapolated
        old = denoised
        yield step.done(denoised)
    return x


def dpmpp_2s_ancestral(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 1.0, s_noise: float = 1.0
) -> Walk:
    """DPM-Solver++(2S) (algorithm 1) to a lower level, then noise back up."""
    flow = model.parametrisation.flow
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        renoise = flow_ancestral_step(step.sigma, step.sigma_next, eta)
        down, up = (renoise.down, renoise.spread) if flow else ancestral_step(step.sigma, step.sigma_next, eta)
        if down == 0:
            x = x + slope(x, step.sigma, denoised) * (down - step.sigma)
        elif flow:
            middle = _flow_middle(model, step.sigma, down)
            ratio = middle / step.sigma
            denoised_2 = yield Denoise(model, ratio * x + (1 - ratio) * denoised, middle)
            ratio = down / step.sigma
            x = ratio * x + (1 - ratio) * denoised_2
        else:
            t, t_next = step.sigma.log().neg(), down.log().neg()
            h = t_next - t
            middle = (t + 0.5 * h).neg().exp()
            x_2 = (middle / t.neg().exp()) * x - (-h * 0.5).expm1() * denoised
            denoised_2 = yield Denoise(model, x_2, middle)
            x = (t_next.neg().exp() / t.neg().exp()) * x - (-h).expm1() * denoised_2
        if not step.last and eta > 0:
            x = (renoise.scale * x if flow else x) + noise.normal() * s_noise * up
        yield step.done(denoised)
    return x


def _flow_middle(model: SampledModel, sigma: Tensor, down: Tensor) -> Tensor:
    """Halfway in lambda; from pure noise, where lambda is infinite, just below it."""
    if sigma == 1.0:
        return torch.full_like(sigma, 0.9999)
    start, end = (((1 - level) / level).log() for level in (sigma, down))
    return sigma_of(model)(start + 0.5 * (end - start))


def dpmpp_sde(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    on_device: bool = False,
) -> Walk:
    """DPM-Solver++ for the SDE, two evaluations a step, with Brownian noise at the middle and at the end."""
    if len(sigmas) < 2:
        return x
    increment = noise.brownian(sigmas, on_device)
    sigmas = finite_snr(model, sigmas)
    level, half_log_snr = sigma_of(model), log_snr(model)
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        start, end = half_log_snr(step.sigma), half_log_snr(step.sigma_next)
        middle = start + r * (end - start)
        sigma_m = level(middle)
        alpha, alpha_m, alpha_next = (
            picture_share(step.sigma, start),
            picture_share(sigma_m, middle),
            picture_share(step.sigma_next, end),
        )

        down, up = ancestral_step(start.neg().exp(), middle.neg().exp(), eta)
        h = down.log().neg() - start
        x_2 = (alpha_m / alpha) * (-h).exp() * x - alpha_m * (-h).expm1() * denoised
        if eta > 0 and s_noise > 0:
            x_2 = x_2 + alpha_m * increment(step.sigma, sigma_m) * s_noise * up
        denoised_2 = yield Denoise(model, x_2, sigma_m)

        down, up = ancestral_step(start.neg().exp(), end.neg().exp(), eta)
        h = down.log().neg() - start
        mixed = (1 - 1 / (2 * r)) * denoised + 1 / (2 * r) * denoised_2
        x = (alpha_next / alpha) * (-h).exp() * x - alpha_next * (-h).expm1() * mixed
        if eta > 0 and s_noise > 0:
            x = x + alpha_next * increment(step.sigma, step.sigma_next) * s_noise * up
        yield step.done(denoised)
    return x


def dpmpp_2m_sde(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["midpoint", "heun"] = "midpoint",
    on_device: bool = False,
) -> Walk:
    """SDE-DPM-Solver++(2M) (https://arxiv.org/abs/2211.01095, appendix B) with Brownian noise."""
    if len(sigmas) < 2:
        return x
    increment = noise.brownian(sigmas, on_device)
    sigmas = finite_snr(model, sigmas)
    half_log_snr = log_snr(model)
    old: Tensor | None = None
    h_old = torch.zeros_like(sigmas[0])
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        start, end = half_log_snr(step.sigma), half_log_snr(step.sigma_next)
        h = end - start
        h_eta = h * (eta + 1)
        alpha = picture_share(step.sigma_next, end)
        x = (
            step.sigma_next / step.sigma * (-h * eta).exp() * x
            + alpha * (-h_eta).expm1().neg() * denoised
        )  # fmt: skip
        if old is not None:
            r = h_old / h
            if solver_type == "heun":
                x = x + alpha * ((-h_eta).expm1().neg() / (-h_eta) + 1) * (1 / r) * (denoised - old)
            else:
                x = x + 0.5 * alpha * (-h_eta).expm1().neg() * (1 / r) * (denoised - old)
        x = _brownian_step(x, step, h, eta, s_noise, increment)
        old, h_old = denoised, h
        yield step.done(denoised)
    return x


def _brownian_step(
    x: Tensor, step: Step, h: Tensor, eta: float, s_noise: float, increment: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The noise that a step of length h in lambda calls for."""
    if not (eta > 0 and s_noise > 0):
        return x
    spread = torch.sqrt((-2 * h * eta).expm1().neg())
    return x + increment(step.sigma, step.sigma_next) * step.sigma_next * spread * s_noise


def dpmpp_3m_sde(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    on_device: bool = False,
) -> Walk:
    """The same of third order, with divided differences of the last three predictions (k-diffusion)."""
    if len(sigmas) < 2:
        return x
    increment = noise.brownian(sigmas, on_device)
    sigmas = finite_snr(model, sigmas)
    half_log_snr = log_snr(model)
    olds: list[Tensor] = []
    hs: list[Tensor] = []
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        start, end = half_log_snr(step.sigma), half_log_snr(step.sigma_next)
        h = end - start
        h_eta = h * (eta + 1)
        alpha = picture_share(step.sigma_next, end)
        x = (
            step.sigma_next / step.sigma * (-h * eta).exp() * x
            + alpha * (-h_eta).expm1().neg() * denoised
        )  # fmt: skip
        if olds:
            phi_2 = h_eta.neg().expm1() / h_eta + 1
            r = hs[0] / h
            first = (denoised - olds[0]) / r
            if len(olds) == 1:
                x = x + (alpha * phi_2) * first
            else:
                r_1 = hs[1] / h
                second = (olds[0] - olds[1]) / r_1
                d_1 = first + (first - second) * r / (r + r_1)
                d_2 = (first - second) / (r + r_1)
                phi_3 = phi_2 / h_eta - 0.5
                x = x + (alpha * phi_2) * d_1 - (alpha * phi_3) * d_2
        x = _brownian_step(x, step, h, eta, s_noise, increment)
        olds, hs = [denoised, *olds][:2], [h, *hs][:2]
        yield step.done(denoised)
    return x


def res_multistep(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 0.0, s_noise: float = 1.0
) -> Walk:
    """RES, the refined exponential solver, as a two-step method (https://arxiv.org/abs/2308.02157)."""
    if len(sigmas) < 2:
        return x
    old: Tensor | None = None
    old_down = sigmas[0]
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        down, up = ancestral_step(step.sigma, step.sigma_next, eta)
        if down == 0 or old is None:
            x = x + slope(x, step.sigma, denoised) * (down - step.sigma)
        else:
            h, b_1, b_2 = res_weights(step.sigma, old_down, down, sigmas[step.i - 1])
            x = h.neg().exp() * x + h * (b_1 * denoised + b_2 * old)
        if not step.last and eta > 0:
            x = x + noise.normal() * s_noise * up
        old, old_down = denoised, down
        yield step.done(denoised)
    return x


def res_weights(sigma: Tensor, old_down: Tensor, down: Tensor, sigma_prev: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The step's length in -log sigma, and the weights of the newest prediction and the one before it."""
    t, t_old, t_next, t_prev = (level.log().neg() for level in (sigma, old_down, down, sigma_prev))
    h = t_next - t
    c_2 = (t_prev - t_old) / h
    phi_1 = (-h).expm1() / -h
    phi_2 = (phi_1 - 1.0) / -h
    return h, torch.nan_to_num(phi_1 - phi_2 / c_2, nan=0.0), torch.nan_to_num(phi_2 / c_2, nan=0.0)

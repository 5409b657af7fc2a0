"""Samplers that throw noise in by a rule of their own: DDPM, LCM and SA-Solver."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.resizing import LatentMethod, resized
from graphflow.diffusion.samplers.common import SampledModel, Step, Walk, finite_snr, log_snr, slope, steps_of
from graphflow.node import Denoise


def ddpm(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """The posterior of the forward process (https://arxiv.org/abs/2006.11239, equation 7), in VP space."""
    for step in steps_of(sigmas):
        sigma, after = step.sigma, step.sigma_next
        denoised = yield Denoise(model, x, sigma)
        eps = slope(x, sigma, denoised)
        bar, bar_next = 1 / (sigma * sigma + 1), 1 / (after * after + 1)
        alpha = bar / bar_next
        scaled = x / torch.sqrt(1.0 + sigma**2.0)
        x = torch.sqrt(1.0 / alpha) * (scaled - (1 - alpha) * eps / torch.sqrt(1 - bar))
        if not step.last:
            x = x + torch.sqrt((1 - alpha) * (1.0 - bar_next) / (1.0 - bar)) * noise.normal()
            x = x * torch.sqrt(1.0 + after**2.0)
        yield step.done(denoised)
    return x


def lcm(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """Multistep consistency sampling: to the prediction, then noise back up (https://arxiv.org/abs/2310.04378)."""
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        x = denoised
        if not step.last:
            x = model.parametrisation.add_noise(step.sigma_next, noise.normal(), x)
        yield step.done(denoised)
    return x


def lcm_upscale(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    total_upscale: float = 2.0,
    upscale_steps: int = -1,
    upscale_method: LatentMethod = "bislerp",
) -> Walk:
    """As `lcm`, with predictions enlarged in even stages over the first steps; half of the steps for -1."""
    height, width = x.shape[-2:]
    stages = max(len(sigmas) // 2 + 1, 2) if upscale_steps < 0 else min(upscale_steps + 1, len(sigmas) + 1)
    factors = np.linspace(1.0, total_upscale, stages)[1:]
    for step in steps_of(sigmas):
        denoised = yield Denoise(model, x, step.sigma)
        x = denoised
        if step.i < len(factors):
            factor = float(factors[step.i])
            x = resized(x, max(1, round(width * factor)), max(1, round(height * factor)), upscale_method)
        if not step.last:
            x = x + step.sigma_next * noise.further(x.shape)
        yield step.done(denoised)
    return x


def _moments(start: Tensor, end: Tensor, order: int, tau: float) -> Tensor:
    """(order,): (1 + tau^2) times the integral of e^((1 + tau^2)(x - end)) x^p over the step, for p = 0, 1, ...

    By parts: the sum over k <= p of (-1 / (1 + tau^2))^(p - k) p! / k! times x^k at the step's ends.
    """
    rate = 1 + tau**2
    powers = torch.arange(order, dtype=start.dtype, device=start.device)
    boundary = end**powers - start**powers * (-rate * (end - start)).exp()
    parts = [
        [(-1 / rate) ** (p - k) * math.perm(p, p - k) if k <= p else 0.0 for k in range(order)] for p in range(order)
    ]
    found: Tensor = start.new_tensor(parts) @ boundary
    return found


def _adams_weights(
    sigma: Tensor, nodes: Tensor, start: Tensor, end: Tensor, tau: float, correcting: bool, simple: bool
) -> Tensor:
    """(order,): weights of the predictions at the lambdas `nodes`, for the step from `start` to `end`.

    `simple` takes the two-term weights of UniPC's kind for order 2.
    """
    alpha = sigma * end.exp()
    h, rate = end - start, 1 + tau**2
    if simple and len(nodes) == 2:
        half = 0.5 * rate * h if correcting else 0.5 * rate * h**2 / (nodes[-2] - start)
        whole = (-h * rate).expm1().neg()
        pair = [whole - half, half] if correcting else [half, whole - half]
        return alpha * torch.stack(pair)
    powers = torch.vander(nodes, len(nodes), increasing=True).T
    integrals: Tensor = torch.linalg.solve(powers, _moments(start, end, len(nodes), tau))
    return alpha * integrals


def _weighted(predictions: list[Tensor], weights: Tensor) -> Tensor:
    stacked = torch.stack(predictions)
    total: Tensor = torch.tensordot(weights.to(stacked), stacked, dims=1)
    return total


def _adams_step(
    x: Tensor,
    seen: list[Tensor],
    sigmas: Tensor,
    lambdas: Tensor,
    place: int,
    newest: int,
    order: int,
    tau: float,
    simple: bool,
) -> Tensor:
    """x at `place` taken to the next place, by the last `order` predictions; `newest` is the place of the last one.

    That is `place` itself for the predictor, and the next one for the corrector.
    """
    start, end = lambdas[place], lambdas[place + 1]
    nodes = lambdas[newest - order + 1 : newest + 1]
    weights = _adams_weights(sigmas[place + 1], nodes, start, end, tau, newest > place, simple)
    decay = (-(tau**2) * (end - start)).exp()
    return sigmas[place + 1] / sigmas[place] * decay * x + _weighted(seen[-order:], weights)


def interval_tau(start_sigma: float, end_sigma: float, eta: float = 1.0) -> Callable[[Tensor], float]:
    """tau is `eta` between two sigmas and 0 elsewhere."""
    return lambda sigma: eta if end_sigma <= float(sigma) <= start_sigma else 0.0


def sa_solver(
    model: SampledModel,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 1.0,
    sde_start_sigma: float | None = None,
    sde_end_sigma: float | None = None,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Walk:
    """SA-Solver, a stochastic Adams method (https://arxiv.org/abs/2309.05019); noise comes in from 20 % to 80 %.

    `use_pece` evaluates the network again after each correction.
    """
    if len(sigmas) < 2:
        return x
    percent = model.parametrisation.percent_to_sigma
    tau_at = interval_tau(
        percent(0.2) if sde_start_sigma is None else sde_start_sigma,
        percent(0.8) if sde_end_sigma is None else sde_end_sigma,
        eta,
    )
    sigmas = finite_snr(model, sigmas)
    lambdas = log_snr(model)(sigmas)
    to_zero = bool(sigmas[-1] == 0)
    predicted, tau = x, 0.0
    added: Tensor | None = None
    seen: list[Tensor] = []
    for step in steps_of(sigmas):
        i = step.i
        denoised = yield Denoise(model, predicted, step.sigma)
        seen = [*seen, denoised][-max(predictor_order, corrector_order) :]
        order = _corrector_order(step, len(seen), corrector_order, use_pece, to_zero)
        if order == 0:
            x = predicted
        else:
            x = _adams_step(x, seen, sigmas, lambdas, i - 1, i, order, tau, simple_order_2)
            x = x if added is None else x + added
            if use_pece:
                denoised = yield Denoise(model, x, step.sigma)
                seen[-1] = denoised
        if step.last:
            predicted = denoised
        else:
            order = min(predictor_order, len(seen))
            order = min(order, step.total - 1 - i) if to_zero else order
            tau = tau_at(step.sigma_next)
            predicted = _adams_step(x, seen, sigmas, lambdas, i, i, order, tau, simple_order_2)
            added = None
            if tau > 0 and s_noise > 0:
                h = lambdas[i + 1] - lambdas[i]
                added = noise.normal() * step.sigma_next * torch.sqrt((-2 * tau**2 * h).expm1().neg()) * s_noise
                predicted = predicted + added
        yield step.done(denoised)
    return predicted


def _corrector_order(step: Step, seen: int, most: int, use_pece: bool, to_zero: bool) -> int:
    """How many predictions the corrector uses; none at the first step, nor at the last one if nothing follows it."""
    if step.i == 0 or (step.last and not use_pece):
        return 0
    order = min(most, seen)
    return min(order, step.total - step.i) if to_zero else order


def sa_solver_pece(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """`sa_solver` that evaluates again after each correction."""
    return sa_solver(model, x, sigmas, noise, use_pece=True)

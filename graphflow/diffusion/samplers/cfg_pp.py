"""CFG++ samplers: they step along the unguided prediction towards the guided one (https://arxiv.org/abs/2406.08070).

Each asks for both predictions, `uncond=True`, and is sent (guided, unguided).
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers.common import SampledModel, Walk, ancestral_step, log_snr, slope, steps_of
from graphflow.diffusion.samplers.exponential import res_weights
from graphflow.node import Denoise


def euler_ancestral_cfg_pp(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 1.0, s_noise: float = 1.0
) -> Walk:
    """DDIM with noise of strength eta, the noise taken from the unguided prediction."""
    half_log_snr = log_snr(model)
    for step in steps_of(sigmas):
        denoised, unguided = yield Denoise(model, x, step.sigma, uncond=True)
        if step.last:
            x = denoised
            yield step.done(denoised)
            continue
        alpha = step.sigma * half_log_snr(step.sigma).exp()
        alpha_next = step.sigma_next * half_log_snr(step.sigma_next).exp()
        d = slope(x, step.sigma, alpha * unguided)
        down, up = ancestral_step(step.sigma / alpha, step.sigma_next / alpha_next, eta)
        x = alpha_next * denoised + alpha_next * down * d
        if eta > 0 and s_noise > 0:
            x = x + alpha_next * noise.normal() * s_noise * up
        yield step.done(denoised)
    return x


def euler_cfg_pp(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, alternative: bool = False
) -> Walk:
    """The same without noise; `alternative` takes the slope from x moved back by what guidance adds."""
    return (
        _euler_alternative(model, x, sigmas)
        if alternative
        else euler_ancestral_cfg_pp(model, x, sigmas, noise, eta=0.0)
    )


def _euler_alternative(model: SampledModel, x: Tensor, sigmas: Tensor) -> Walk:
    for step in steps_of(sigmas):
        denoised, unguided = yield Denoise(model, x, step.sigma, uncond=True)
        x = x + slope(x - denoised + unguided, step.sigma, denoised) * (step.sigma_next - step.sigma)
        yield step.done(denoised)
    return x


def dpmpp_2s_ancestral_cfg_pp(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 1.0, s_noise: float = 1.0
) -> Walk:
    """DPM-Solver++(2S) from x moved by what guidance adds, then noise back up."""
    for step in steps_of(sigmas):
        denoised, unguided = yield Denoise(model, x, step.sigma, uncond=True)
        down, up = ancestral_step(step.sigma, step.sigma_next, eta)
        if down == 0:
            x = denoised + slope(x, step.sigma, unguided) * down
        else:
            t, t_next = step.sigma.log().neg(), down.log().neg()
            h = t_next - t
            middle = (t + 0.5 * h).neg().exp()
            x_2 = (middle / t.neg().exp()) * (x + (denoised - unguided)) - (-h * 0.5).expm1() * denoised
            denoised_2, unguided_2 = yield Denoise(model, x_2, middle, uncond=True)
            # the first guided less the second unguided prediction: so it was published, and pictures depend on it
            x = (t_next.neg().exp() / t.neg().exp()) * (x + (denoised - unguided_2)) - (-h).expm1() * denoised_2
        if not step.last:
            x = x + noise.normal() * s_noise * up
        yield step.done(denoised)
    return x


def dpmpp_2m_cfg_pp(model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Walk:
    """DPM-Solver++(2M) with the unguided prediction in the linear part."""
    old: Tensor | None = None
    for step in steps_of(sigmas):
        denoised, unguided = yield Denoise(model, x, step.sigma, uncond=True)
        t, t_next = step.sigma.log().neg(), step.sigma_next.log().neg()
        h = t_next - t
        mixed = -torch.exp(-h) * unguided
        if old is not None and not step.last:
            r = (t - sigmas[step.i - 1].log().neg()) / h
            mixed = mixed - torch.expm1(-h) * (1 / (2 * r)) * (denoised - old)
        x = denoised + mixed + torch.exp(-h) * x
        old = unguided
        yield step.done(denoised)
    return x


def res_multistep_cfg_pp(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, eta: float = 0.0, s_noise: float = 1.0
) -> Walk:
    """RES along the unguided predictions, from x moved by what guidance adds."""
    if len(sigmas) < 2:
        return x
    old: Tensor | None = None
    old_down = sigmas[0]
    for step in steps_of(sigmas):
        denoised, unguided = yield Denoise(model, x, step.sigma, uncond=True)
        down, up = ancestral_step(step.sigma, step.sigma_next, eta)
        if down == 0 or old is None:
            x = denoised + slope(x, step.sigma, unguided) * down
        else:
            h, b_1, b_2 = res_weights(step.sigma, old_down, down, sigmas[step.i - 1])
            x = h.neg().exp() * (x + (denoised - unguided)) + h * (b_1 * unguided + b_2 * old)
        if not step.last and eta > 0:
            x = x + noise.normal() * s_noise * up
        old, old_down = unguided, down
        yield step.done(denoised)
    return x


def gradient_estimation_cfg_pp(
    model: SampledModel, x: Tensor, sigmas: Tensor, noise: NoiseSource, *, gamma: float = 2.0
) -> Walk:
    """Gradient estimation with the slope of the unguided prediction."""
    old: Tensor | None = None
    for step in steps_of(sigmas):
        denoised, unguided = yield Denoise(model, x, step.sigma, uncond=True)
        d = slope(x, step.sigma, unguided)
        if step.last:
            x = denoised
        else:
            x = denoised + d * step.sigma_next
            if old is not None:
                x = x + (gamma - 1) * (d - old) * (step.sigma_next - step.sigma)
        old = d
        yield step.done(denoised)
    return x

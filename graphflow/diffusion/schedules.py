"""Which noise levels a sampling visits: schedulers over a model's sigma table, and lists of sigmas of their own.

Every function returns (N + 1,) float32 on the CPU, falling. Numbers are drawn from the table in float64 or as Python
floats and cast once, so that two machines agree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from graphflow.diffusion.parametrisation import Parametrisation

SchedulerName = Literal[
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]
Scheduler = Callable[[Parametrisation, int], Tensor]

DISCARD_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
"""Samplers that see one level more than asked for, less the last but one: their last step is too short otherwise."""


def model_sigmas(
    parametrisation: Parametrisation, scheduler: SchedulerName, steps: int, denoise: float = 1.0, sampler: str = ""
) -> Tensor:
    """The sigmas of `steps` steps; with `denoise` below 1 the end of a longer schedule, with 0 none.

    The longer schedule has at most 10,000 steps, or a hundred times as many as asked for: a `denoise` of 1e-9 is taken
    for the least that they can tell apart.
    """
    if denoise <= 0.0 or steps < 1:
        return torch.zeros(0)
    total = steps if denoise > 0.9999 else min(int(steps / denoise), max(100 * steps, 10_000))
    discards = sampler in DISCARD_PENULTIMATE
    sigmas = SCHEDULERS[scheduler](parametrisation, total + 1 if discards else total)
    if discards:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas if denoise > 0.9999 else sigmas[-(steps + 1) :]


def window(sigmas: Tensor, start: int = 0, end: int = 10000, leftover_noise: bool = False) -> Tensor:
    """The part from step `start` to step `end`; it ends in 0 unless noise may be left over. Empty when nothing is left.

    A `start` at or after the last step leaves nothing to do.
    """
    part = sigmas.clone()
    if end < len(part) - 1:
        part = part[: end + 1]
        if not leftover_noise:
            part[-1] = 0
    return part[start:] if start < len(part) - 1 else part[:0]


def append_zero(sigmas: Tensor) -> Tensor:
    """With 0 at the end."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def _floats(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


# --- schedulers over a model's table ---------------------------------------------------------------------------------


def simple(parametrisation: Parametrisation, steps: int) -> Tensor:
    """Every L/n-th entry of the table, from its end."""
    table = parametrisation.table
    stride = len(table) / steps
    return append_zero(torch.stack([table[-1 - int(i * stride)] for i in range(steps)]))


def normal(parametrisation: Parametrisation, steps: int) -> Tensor:
    """Even in timesteps, both ends included."""
    return _even_timesteps(parametrisation, steps, sgm=False)


def sgm_uniform(parametrisation: Parametrisation, steps: int) -> Tensor:
    """Even in timesteps, the last one left out."""
    return _even_timesteps(parametrisation, steps, sgm=True)


def _even_timesteps(parametrisation: Parametrisation, steps: int, sgm: bool) -> Tensor:
    start = parametrisation.timestep(parametrisation.sigma_max)
    end = parametrisation.timestep(parametrisation.sigma_min)
    ends_at_zero = not sgm and abs(float(parametrisation.sigma(end))) <= 1e-5
    if sgm:
        timesteps = torch.linspace(start.item(), end.item(), steps + 1)[:-1]
    else:
        timesteps = torch.linspace(start.item(), end.item(), steps + 1 if ends_at_zero else steps)
    sigmas = torch.stack([parametrisation.sigma(t) for t in timesteps])
    return sigmas if ends_at_zero else append_zero(sigmas)


def ddim_uniform(parametrisation: Parametrisation, steps: int) -> Tensor:
    """Every (L // n)-th entry of the table from its second on: one or more steps over when n does not divide L."""
    table = parametrisation.table
    ends_at_zero = abs(float(table[1])) <= 1e-5
    stride = max(len(table) // (steps + 1 if ends_at_zero else steps), 1)
    sigmas = table[1::stride].flip(0)
    return sigmas if ends_at_zero else append_zero(sigmas)


def karras(parametrisation: Parametrisation, steps: int) -> Tensor:
    """`karras_sigmas` between the table's ends."""
    return karras_sigmas(steps, float(parametrisation.sigma_min), float(parametrisation.sigma_max))


def exponential(parametrisation: Parametrisation, steps: int) -> Tensor:
    """`exponential_sigmas` between the table's ends."""
    return exponential_sigmas(steps, float(parametrisation.sigma_min), float(parametrisation.sigma_max))


def beta(parametrisation: Parametrisation, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Table entries at the quantiles of a Beta distribution, repeated ones dropped (https://arxiv.org/abs/2407.12173)."""
    table = parametrisation.table
    quantiles = scipy.stats.beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), alpha, beta)
    indices = dict.fromkeys(int(i) for i in np.rint(quantiles * (len(table) - 1)))
    return append_zero(torch.stack([table[i] for i in indices]))


def linear_quadratic(parametrisation: Parametrisation, steps: int, threshold: float = 0.025) -> Tensor:
    """Half of the steps over the first 2.5 % of the noise, the rest quadratic to the end."""
    if steps == 1:
        return _floats([1.0, 0.0]) * parametrisation.sigma_max
    linear = steps // 2
    rest = steps - linear
    slope = threshold / linear
    bend = linear - threshold * steps
    a = bend / (linear * rest**2)
    b = slope - 2 * bend / rest**2
    c = a * linear**2
    done = [i * slope for i in range(linear)] + [a * i**2 + b * i + c for i in range(linear, steps)] + [1.0]
    return _floats([1.0 - y for y in done]) * parametrisation.sigma_max


def kl_optimal(parametrisation: Parametrisation, steps: int) -> Tensor:
    """Even in atan(sigma) (https://arxiv.org/abs/2404.14507, equation 20); one step begins at the table's end."""
    low, high = math.atan(float(parametrisation.sigma_min)), math.atan(float(parametrisation.sigma_max))
    ramp = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    return append_zero((ramp * low + (1 - ramp) * high).tan())


SCHEDULERS: Mapping[SchedulerName, Scheduler] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "karras": karras,
    "exponential": exponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
}
assert tuple(SCHEDULERS) == get_args(SchedulerName)


# --- sigmas of their own ---------------------------------------------------------------------------------------------


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Even in sigma^(1/rho) (https://arxiv.org/abs/2206.00364, equation 5)."""
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return append_zero((high + ramp * (low - high)) ** rho)


def exponential_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Even in log sigma."""
    return append_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp())


def polyexponential_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """Log sigma along a polynomial of degree rho."""
    ramp = torch.linspace(1, 0, steps) ** rho
    return append_zero(torch.exp(ramp * (math.log(sigma_max) - math.log(sigma_min)) + math.log(sigma_min)))


def laplace_sigmas(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """Log sigma at the quantiles of a Laplace distribution (https://arxiv.org/abs/2407.03297); no 0 at the end."""
    x = torch.linspace(0, 1, steps)
    log_sigma = mu - beta * torch.sign(0.5 - x) * torch.log(1 - 2 * torch.abs(0.5 - x) + 1e-5)
    return torch.clamp(log_sigma.exp(), min=sigma_min, max=sigma_max)


def vp_sigmas(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3) -> Tensor:
    """The continuous variance preserving schedule, even in time (https://arxiv.org/abs/2011.13456)."""
    t = torch.linspace(1, eps_s, steps)
    return append_zero(torch.sqrt(torch.exp(beta_d * t**2 / 2 + beta_min * t) - 1))


def turbo_sigmas(parametrisation: Parametrisation, steps: int, denoise: float = 1.0) -> Tensor:
    """Of the timesteps 999, 899, ... 99 that turbo models were distilled for, those from 1 - denoise on."""
    start = 10 - int(10 * denoise)
    timesteps = torch.arange(999, -1, -100)[start : start + steps]
    return append_zero(parametrisation.sigma(timesteps)) if len(timesteps) else torch.zeros(0)


def flux2_sigmas(steps: int, width: int, height: int) -> Tensor:
    """Flux 2's schedule: mu from the picture's size and the number of steps, by its authors' two fitted lines."""
    tokens = round(width * height / (16 * 16))
    at_200 = 0.00016927 * tokens + 0.45666666
    at_10 = 8.73809524e-05 * tokens + 1.89833333
    mu = at_200 if tokens > 4300 else at_200 + (steps - 200) * (at_200 - at_10) / 190.0
    t = torch.linspace(1, 0, steps + 1)
    return math.exp(mu) / (math.exp(mu) + (1 / t - 1))


def ltxv_sigmas(
    steps: int,
    tokens: int,
    max_shift: float = 2.05,
    base_shift: float = 0.95,
    stretch: bool = True,
    terminal: float = 0.1,
) -> Tensor:
    """LTX-Video's schedule: mu by the number of latent tokens; `stretch` makes the last positive sigma `terminal`."""
    slope = (max_shift - base_shift) / (4096 - 1024)
    shift = tokens * slope + base_shift - slope * 1024
    t = torch.linspace(1.0, 0.0, steps + 1)
    sigmas = torch.where(t != 0, math.exp(shift) / (math.exp(shift) + (1 / t - 1)), 0)
    if stretch:
        positive = sigmas != 0
        rest = 1.0 - sigmas[positive]
        sigmas[positive] = 1.0 - rest / (rest[-1] / (1.0 - terminal))
    return sigmas


ALIGN_YOUR_STEPS: Mapping[str, tuple[float, ...]] = {
    "SD1": (
        14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
        0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582,
    ),
    "SDXL": (
        14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
        0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
    ),
    "SVD": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}  # fmt: skip
"""Ten optimised steps by family (https://arxiv.org/abs/2404.14507)."""

OPTIMAL_STEPS: Mapping[str, tuple[float, ...]] = {
    "FLUX": (0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001),
    "Wan": (
        1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973, 0.968, 0.96, 0.946, 0.927, 0.902,
        0.864, 0.776, 0.539, 0.208, 0.001,
    ),
    "Chroma": (
        0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931, 0.917, 0.9, 0.881, 0.858,
        0.832, 0.802, 0.769, 0.731, 0.69, 0.646, 0.599, 0.55, 0.501, 0.451, 0.402, 0.355, 0.311, 0.27, 0.232, 0.199,
        0.169, 0.143, 0.12, 0.101, 0.084, 0.07, 0.058, 0.048, 0.001,
    ),
}  # fmt: skip
"""Steps found by dynamic programming, by family (https://arxiv.org/abs/2503.21774)."""


def tabulated_sigmas(levels: Sequence[float], steps: int, denoise: float = 1.0) -> Tensor:
    """An optimised list brought to `steps` steps, even in the logarithm; its end is 0. None when denoise is 0."""
    kept = steps if denoise >= 1.0 else round(steps * denoise)
    if denoise <= 0.0:
        return torch.zeros(0)
    found = list(levels) if len(levels) == steps + 1 else log_linear(levels, steps + 1)
    sigmas = _floats(found[-(kept + 1) :])
    sigmas[-1] = 0
    return sigmas


def log_linear(levels: Sequence[float], count: int) -> list[float]:
    """`count` values along a falling list, interpolated in the logarithm."""
    logs = np.log(np.asarray(levels, dtype=np.float64)[::-1])
    found = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(levels)), logs)
    return [float(value) for value in np.exp(found)[::-1]]


# --- operations on sigmas --------------------------------------------------------------------------------------------


def split(sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Up to step `step`, and from it on."""
    return sigmas[: step + 1], sigmas[step:]


def split_denoise(sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
    """The last `denoise` of the steps apart from those before."""
    steps = max(len(sigmas) - 1, 0)
    kept = round(steps * denoise)
    return sigmas[: len(sigmas) - kept], sigmas[-(kept + 1) :]


def flip(sigmas: Tensor) -> Tensor:
    """From the last to the first, for adding noise; a first of 0 becomes 0.0001."""
    if len(sigmas) == 0:
        return sigmas
    flipped = sigmas.flip(0)
    if flipped[0] == 0:
        flipped[0] = 0.0001
    return flipped


def with_first(sigmas: Tensor, sigma: float) -> Tensor:
    """The first replaced."""
    changed = sigmas.clone()
    changed[:1] = sigma
    return changed


Spacing = Literal["linear", "cosine", "sine"]


def extend(sigmas: Tensor, steps: int, start_at: float, end_at: float, spacing: Spacing) -> Tensor:
    """`steps` levels put between every two neighbours whose upper one lies from `end_at` to `start_at` (-1: no end)."""
    if start_at < 0:
        start_at = math.inf
    t = torch.linspace(0, 1, steps + 1)[1:-1] if steps > 1 else torch.zeros(0)
    x = {"linear": t, "cosine": torch.sin(t * math.pi / 2), "sine": 1 - torch.cos(t * math.pi / 2)}[spacing]
    extended: list[float] = []
    for here, after in itertools.pairwise(sigmas):
        extended.append(float(here))
        if end_at <= float(here) <= start_at:
            extended += (here * (1 - x) + after * x).tolist()
    return _floats(extended + sigmas[-1:].tolist())

"""What a network's output means and which noise levels it knows: everything between x at sigma and D(x; sigma).

Two choices, free of each other. A **noise schedule** relates sigma to the network's timestep and to the fraction of
the sampling that is done. A **prediction** says how x enters the network and how its output becomes the denoised
prediction. Samplers see neither: they work on D(x; sigma) in sigma space.

Tables are made in float64 and cast once: a table summed in float32 moves the picture of a stochastic sampler by 1e-2.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

BEFORE_EVERYTHING = 999999999.9
"""A sigma above every schedule: 0 % of the sampling, for schedules without an end of noise."""
LAST_ALPHA_BAR = 4.8973451890853435e-08
"""Where a schedule rescaled to zero terminal SNR ends: zero itself would be an infinite sigma."""


# --- noise schedules -------------------------------------------------------------------------------------------------


class NoiseSchedule(Protocol):
    """Noise levels, timesteps and fractions of the sampling."""

    @property
    def table(self) -> Tensor:
        """(L,) float32, rising: the sigmas that schedulers choose from."""

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told for `sigma`; shaped like it."""

    def sigma(self, timestep: Tensor) -> Tensor:
        """The inverse of `timestep`, between the table's entries too."""

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at which that fraction (0 to 1) of the training's timesteps is done."""


def _interpolate_log(log_sigmas: Tensor, timestep: Tensor) -> Tensor:
    """exp of the log-sigmas at a fractional index."""
    t = torch.clamp(timestep.float().to(log_sigmas.device), min=0, max=len(log_sigmas) - 1)
    low, high, w = t.floor().long(), t.ceil().long(), t.frac()
    return ((1 - w) * log_sigmas[low] + w * log_sigmas[high]).exp().to(timestep.device)


@dataclass(frozen=True)
class Discrete:
    """DDPM's schedule: betas linear in their square roots (Stable Diffusion), and the timestep an index.

    `zsnr` rescales it to zero terminal signal-to-noise ratio (https://arxiv.org/abs/2305.08891, algorithm 1).
    """

    steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["scaled_linear", "linear", "squaredcos_cap_v2"] = "scaled_linear"
    zsnr: bool = False

    @functools.cached_property
    def _sigmas(self) -> Tensor:
        """(L,) float64, rising."""
        alpha_bar = torch.cumprod(1.0 - self._betas(), dim=0)
        sigmas = ((1 - alpha_bar) / alpha_bar) ** 0.5
        return _zero_terminal_snr(sigmas) if self.zsnr else sigmas

    def _betas(self) -> Tensor:
        """(L,) float64."""
        if self.beta_schedule == "linear":
            return torch.linspace(self.beta_start, self.beta_end, self.steps, dtype=torch.float64)
        if self.beta_schedule == "squaredcos_cap_v2":
            t = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
            bar = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
            return torch.clamp(1 - bar[1:] / bar[:-1], max=0.999)
        return torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float64) ** 2

    @functools.cached_property
    def table(self) -> Tensor:
        """(L,) float32, rising."""
        return self._sigmas.float()

    @functools.cached_property
    def log_table(self) -> Tensor:
        """(L,) float32: taken in float64, cast once."""
        return self._sigmas.log().float()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The index of the nearest entry in log sigma."""
        logs = self.log_table.to(sigma.device)
        distance = sigma.log() - logs.reshape(-1, *([1] * sigma.ndim))
        return distance.abs().argmin(dim=0)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Interpolated in log sigma."""
        return _interpolate_log(self.log_table, timestep)

    def percent_to_sigma(self, percent: float) -> float:
        """Timesteps run from the last (0 %) to the first (100 %)."""
        if percent <= 0.0:
            return BEFORE_EVERYTHING
        if percent >= 1.0:
            return 0.0
        return self.sigma(torch.tensor((1.0 - percent) * 999.0)).item()


def _zero_terminal_snr(sigmas: Tensor) -> Tensor:
    """Moves sqrt(alpha bar) so that it ends at zero and begins where it did."""
    root = (1 / (sigmas * sigmas + 1)).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    alpha_bar = ((root - last) * (first / (first - last))) ** 2
    alpha_bar[-1] = LAST_ALPHA_BAR
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


@dataclass(frozen=True)
class Distilled:
    """Every 20th entry of the discrete schedule: the 50 timesteps that LCM models were distilled for."""

    full: Discrete = field(default_factory=Discrete)
    steps: int = 50

    @property
    def skip(self) -> int:
        """Timesteps between two entries."""
        return self.full.steps // self.steps

    @functools.cached_property
    def table(self) -> Tensor:
        """(L,) float32, rising; its last entry is the full table's last."""
        return self.full.table[self.skip - 1 :: self.skip].clone()

    @functools.cached_property
    def log_table(self) -> Tensor:
        """(L,) float32."""
        return self.table.log()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The full schedule's index of the nearest entry."""
        distance = sigma.log() - self.log_table.to(sigma.device).reshape(-1, *([1] * sigma.ndim))
        return distance.abs().argmin(dim=0) * self.skip + (self.skip - 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Interpolated in log sigma; `timestep` counts in the full schedule."""
        return _interpolate_log(self.log_table, (timestep.float() - (self.skip - 1)) / self.skip)

    def percent_to_sigma(self, percent: float) -> float:
        """Timesteps run from the last (0 %) to the first (100 %)."""
        if percent <= 0.0:
            return BEFORE_EVERYTHING
        if percent >= 1.0:
            return 0.0
        return self.sigma(torch.tensor((1.0 - percent) * 999.0)).item()


@dataclass(frozen=True)
class LogUniform:
    """EDM's schedule: sigma from `low` to `high`, spread evenly in its logarithm; the timestep is log(sigma) / 4."""

    low: float = 0.002
    high: float = 120.0

    @functools.cached_property
    def table(self) -> Tensor:
        """(1000,) float32, rising."""
        return torch.linspace(math.log(self.low), math.log(self.high), 1000).exp()

    def timestep(self, sigma: Tensor) -> Tensor:
        """EDM's c_noise."""
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        """The inverse."""
        return (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        """Even in log sigma."""
        if percent <= 0.0:
            return BEFORE_EVERYTHING
        if percent >= 1.0:
            return 0.0
        low = math.log(self.low)
        return math.exp((math.log(self.high) - low) * (1.0 - percent) + low)


@dataclass(frozen=True)
class Angular(LogUniform):
    """As `LogUniform`, with the timestep atan(sigma) * 2 / pi, for continuous v prediction."""

    def timestep(self, sigma: Tensor) -> Tensor:
        """0 for no noise, 1 for nothing but noise."""
        return sigma.atan() / math.pi * 2

    def sigma(self, timestep: Tensor) -> Tensor:
        """The inverse."""
        return (timestep * math.pi / 2).tan()


@dataclass(frozen=True)
class FlowShift:
    """Rectified flow's schedule: sigma is the share of noise, t moved towards it by sigma = s t / (1 + (s - 1) t).

    https://arxiv.org/abs/2403.03206, section 5.3.2. The network is told sigma * `multiplier`.
    """

    shift: float = 3.0
    multiplier: float = 1000.0
    steps: int = 1000

    @functools.cached_property
    def table(self) -> Tensor:
        """(L,) float32, rising to 1."""
        return self.sigma((torch.arange(1, self.steps + 1) / self.steps) * self.multiplier)

    def timestep(self, sigma: Tensor) -> Tensor:
        """sigma, times the multiplier."""
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        """The shifted share of noise of a timestep *before* the shift."""
        t = timestep / self.multiplier
        return t if self.shift == 1.0 else self.shift * t / (1 + (self.shift - 1) * t)

    def percent_to_sigma(self, percent: float) -> float:
        """The share of noise when that share of the unshifted time is done."""
        if percent <= 0.0:
            return 1.0
        if percent >= 1.0:
            return 0.0
        t = 1.0 - percent
        return t if self.shift == 1.0 else self.shift * t / (1 + (self.shift - 1) * t)


@dataclass(frozen=True)
class FlowMu:
    """Flux's schedule: sigma = e^mu / (e^mu + 1/t - 1); the network is told sigma."""

    mu: float = 1.15
    steps: int = 10000

    @functools.cached_property
    def table(self) -> Tensor:
        """(L,) float32, rising to 1."""
        return self.sigma(torch.arange(1, self.steps + 1) / self.steps)

    def timestep(self, sigma: Tensor) -> Tensor:
        """sigma."""
        return sigma

    def sigma(self, timestep: Tensor) -> Tensor:
        """The moved share of noise of a time *before* it is moved."""
        return math.exp(self.mu) / (math.exp(self.mu) + (1 / timestep - 1))

    def percent_to_sigma(self, percent: float) -> float:
        """The share of noise when that share of the unmoved time is done."""
        if percent <= 0.0:
            return 1.0
        if percent >= 1.0:
            return 0.0
        return math.exp(self.mu) / (math.exp(self.mu) + (1 / (1.0 - percent) - 1))


# --- predictions -----------------------------------------------------------------------------------------------------


class Prediction(Protocol):
    """How x enters the network, what its output means, and how noise is put on a latent."""

    flow: bool
    """x = (1 - sigma) z + sigma n, where it is otherwise z + sigma n."""

    def scale_in(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x as the network takes it."""

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """D(x; sigma) from the network's output."""

    def add_noise(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """A latent with noise of level sigma; `max_denoise` when sigma is the most the network knows."""

    def undo(self, sigma: Tensor, x: Tensor) -> Tensor:
        """What a sampling that ended at sigma hands out."""


@dataclass(frozen=True)
class Epsilon:
    """The network predicts the noise. Variance grows with sigma: x = z + sigma n."""

    flow = False
    sigma_data: float = 1.0

    def scale_in(self, x: Tensor, sigma: Tensor) -> Tensor:
        """To unit variance: x / sqrt(sigma^2 + sigma_data^2)."""
        return x / torch.sqrt(sigma**2 + self.sigma_data**2)

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """x - sigma * out."""
        return x - out * sigma

    def add_noise(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """z + sigma n; at the most noise n is stretched so that its variance is the training's."""
        return (noise * torch.sqrt(1.0 + sigma**2.0) if max_denoise else noise * sigma) + latent

    def undo(self, sigma: Tensor, x: Tensor) -> Tensor:
        """x as it is."""
        return x


@dataclass(frozen=True)
class Velocity(Epsilon):
    """The network predicts v = (n - sigma z) / sqrt(sigma^2 + 1) (https://arxiv.org/abs/2202.00512)."""

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """c_skip x - sigma c_in out."""
        total = sigma**2 + self.sigma_data**2
        return x * self.sigma_data**2 / total - out * sigma * self.sigma_data / torch.sqrt(total)


@dataclass(frozen=True)
class Edm(Epsilon):
    """Karras' preconditioning (https://arxiv.org/abs/2206.00364, table 1)."""

    sigma_data: float = 0.5

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """c_skip x + c_out out."""
        total = sigma**2 + self.sigma_data**2
        return x * self.sigma_data**2 / total + out * sigma * self.sigma_data / torch.sqrt(total)


@dataclass(frozen=True)
class Sample(Epsilon):
    """The network predicts the picture itself."""

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """out."""
        return out


@dataclass(frozen=True)
class ImageToImage(Sample):
    """The network maps a picture to a picture: x enters unscaled and no noise is put on."""

    def scale_in(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x."""
        return x

    def add_noise(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """z + sigma n, as for every model of this space."""
        return super().add_noise(sigma, noise, latent, max_denoise)


@dataclass(frozen=True)
class Consistency(Epsilon):
    """The network predicts the noise of a consistency model (https://arxiv.org/abs/2310.04378, section 4.1)."""

    boundary: float = 0.5
    """sigma_data of the boundary condition, not of the data."""

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """c_skip x + c_out (x - sigma out), with the boundary's scalings at ten times the timestep."""
        x0 = x - out * sigma
        t = timestep * 10.0
        c_skip = self.boundary**2 / (t**2 + self.boundary**2)
        c_out = t / torch.sqrt(t**2 + self.boundary**2)
        return c_out * x0 + c_skip * x


@dataclass(frozen=True)
class Flow:
    """The network predicts the velocity n - z of x = (1 - sigma) z + sigma n (https://arxiv.org/abs/2210.02747)."""

    flow = True

    def scale_in(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x."""
        return x

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """x - sigma * out."""
        return x - out * sigma

    def add_noise(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """sigma n + (1 - sigma) z."""
        return sigma * noise + (1.0 - sigma) * latent

    def undo(self, sigma: Tensor, x: Tensor) -> Tensor:
        """Divided by the latent's share 1 - sigma, which is 1 unless noise is left."""
        return x / (1.0 - sigma)


@dataclass(frozen=True)
class EdmFlow(Edm):
    """A flow network driven from EDM's space: sigma / (sigma + 1) is the flow's share of noise."""

    sigma_data: float = 1.0

    def scale_in(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x moved to the flow's line: x (1 - s)."""
        return x * (1.0 - sigma / (sigma + 1))

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor, timestep: Tensor) -> Tensor:
        """x (1 - s) - s out."""
        s = sigma / (sigma + 1)
        return x * (1.0 - s) - out * s

    def add_noise(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """z + sigma n, never stretched."""
        return noise * sigma + latent


# --- the two together ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parametrisation:
    """A prediction under a noise schedule: the bridge between a network and D(x; sigma)."""

    prediction: Prediction = field(default_factory=Epsilon)
    schedule: NoiseSchedule = field(default_factory=Discrete)

    @property
    def flow(self) -> bool:
        """x = (1 - sigma) z + sigma n, where it is otherwise z + sigma n."""
        return self.prediction.flow

    @property
    def table(self) -> Tensor:
        """(L,) float32, rising: the sigmas that schedulers choose from."""
        return self.schedule.table

    @property
    def sigma_min(self) -> Tensor:
        """0-d."""
        return self.schedule.table[0]

    @property
    def sigma_max(self) -> Tensor:
        """0-d."""
        return self.schedule.table[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told, float32, shaped like sigma."""
        return self.schedule.timestep(sigma).float()

    def sigma(self, timestep: Tensor) -> Tensor:
        """The schedule's sigma at a timestep."""
        return self.schedule.sigma(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at which that fraction (0 to 1) of the sampling is done."""
        return self.schedule.percent_to_sigma(percent)

    def scale_in(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x as the network takes it."""
        return self.prediction.scale_in(x, sigma)

    def to_denoised(self, x: Tensor, sigma: Tensor, out: Tensor) -> Tensor:
        """D(x; sigma) from the network's output; both float32."""
        return self.prediction.to_denoised(x, sigma, out, self.timestep(sigma))

    def add_noise(self, sigma: Tensor, noise: Tensor, latent: Tensor) -> Tensor:
        """A latent with noise of level sigma."""
        return self.prediction.add_noise(sigma, noise, latent)

    def start(self, sigma: Tensor, noise: Tensor, latent: Tensor) -> Tensor:
        """What a sampling begins with: as `add_noise`, but at the model's highest sigma with the training's variance."""
        return self.prediction.add_noise(sigma, noise, latent, self.is_max(sigma))

    def is_max(self, sigma: Tensor) -> bool:
        """Whether sigma is the most noise the network knows, or more."""
        most, here = float(self.sigma_max), float(sigma)
        return math.isclose(most, here, rel_tol=1e-05) or here > most

    def undo(self, sigma: Tensor, x: Tensor) -> Tensor:
        """What a sampling that ended at sigma hands out."""
        return self.prediction.undo(sigma, x)

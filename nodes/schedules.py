"""Sigmas: the noise levels that a custom sampling visits, from schedulers, from formulas, from tables, by hand."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

import torch

from graphflow.api import Latent, Model, Multiline, Sigmas, node
from graphflow.diffusion import schedules
from graphflow.diffusion.gits import gits_levels
from graphflow.diffusion.parametrisation import BEFORE_EVERYTHING, Parametrisation
from graphflow.diffusion.patches import patched
from graphflow.diffusion.schedules import SchedulerName, Spacing, model_sigmas
from graphflow.models import loaded

from ._fields import MAX_SIDE, Fraction, span

Count = Annotated[int, span(1, 10000)]
Level = Annotated[float, span(0.0, 5000.0, 0.01)]
Rho = Annotated[float, span(0.0, 100.0, 0.01, "How much the steps lean towards the end.")]
MAX, MIN = 14.614642, 0.0291675
CATEGORY = "sampling/custom_sampling/schedulers"


def parametrisation_of(model: Model) -> Parametrisation:
    """What the model's output means and which noise levels it knows, its patches included."""
    with loaded(model) as network:
        return patched(network.parametrisation, model.patches)


@node("BasicScheduler", category=CATEGORY, example="custom-sampling")
def basic_scheduler(
    model: Model, *, scheduler: SchedulerName = "simple", steps: Count = 20, denoise: Fraction = 1.0
) -> Sigmas:
    """A scheduler's sigmas for a model; with `denoise` below 1 the end of a longer schedule."""
    return Sigmas(model_sigmas(parametrisation_of(model), scheduler, steps, denoise))


@node("KarrasScheduler", category=CATEGORY)
def karras_scheduler(steps: Count = 20, sigma_max: Level = MAX, sigma_min: Level = MIN, rho: Rho = 7.0) -> Sigmas:
    """Even in the rho-th root of sigma: more steps where details are made."""
    try:
        return _listed(schedules.karras_sigmas(steps, sigma_min, sigma_max, rho))
    except (ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"the roots of sigma are too large for rho {rho}: take one around 7") from error


@node("ExponentialScheduler", category=CATEGORY)
def exponential_scheduler(steps: Count = 20, sigma_max: Level = MAX, sigma_min: Level = MIN) -> Sigmas:
    """Even in the logarithm of sigma."""
    return Sigmas(schedules.exponential_sigmas(steps, *_positive(sigma_min, sigma_max)))


@node("PolyexponentialScheduler", category=CATEGORY)
def polyexponential_scheduler(
    steps: Count = 20, sigma_max: Level = MAX, sigma_min: Level = MIN, rho: Rho = 1.0
) -> Sigmas:
    """The logarithm of sigma along a polynomial of degree rho."""
    return Sigmas(schedules.polyexponential_sigmas(steps, *_positive(sigma_min, sigma_max), rho))


@node("LaplaceScheduler", category=CATEGORY)
def laplace_scheduler(
    steps: Count = 20,
    sigma_max: Level = MAX,
    sigma_min: Level = MIN,
    mu: Annotated[float, span(-10.0, 10.0, 0.1)] = 0.0,
    beta: Annotated[float, span(0.0, 10.0, 0.1)] = 0.5,
) -> Sigmas:
    """Most steps around the middle noise levels; no 0 at the end."""
    return Sigmas(schedules.laplace_sigmas(steps, sigma_min, sigma_max, mu, beta))


@node("VPScheduler", category=CATEGORY)
def vp_scheduler(
    steps: Count = 20,
    beta_d: Level = 19.9,
    beta_min: Level = 0.1,
    eps_s: Annotated[float, span(0.0, 1.0, 0.0001)] = 0.001,
) -> Sigmas:
    """The continuous variance preserving schedule."""
    return _listed(schedules.vp_sigmas(steps, beta_d, beta_min, eps_s))


@node("BetaSamplingScheduler", category=CATEGORY)
def beta_sampling_scheduler(
    model: Model,
    *,
    steps: Count = 20,
    alpha: Annotated[float, span(0.0, 50.0, 0.01)] = 0.6,
    beta: Annotated[float, span(0.0, 50.0, 0.01)] = 0.6,
) -> Sigmas:
    """Steps at the quantiles of a Beta distribution: with both below 1 they crowd at the two ends."""
    if alpha == 0 or beta == 0:
        raise ValueError("alpha and beta of a Beta distribution must be above 0")
    return Sigmas(schedules.beta(parametrisation_of(model), steps, alpha, beta))


@node("SDTurboScheduler", category=CATEGORY)
def sd_turbo_scheduler(model: Model, *, steps: Annotated[int, span(1, 10)] = 1, denoise: Fraction = 1.0) -> Sigmas:
    """The few timesteps that turbo models were distilled for."""
    return Sigmas(schedules.turbo_sigmas(parametrisation_of(model), steps, denoise))


@node("AlignYourStepsScheduler", category=CATEGORY)
def align_your_steps_scheduler(
    model_type: Literal["SD1", "SDXL", "SVD"] = "SD1", steps: Count = 10, denoise: Fraction = 1.0
) -> Sigmas:
    """Ten steps that were optimised for a family; other counts are interpolated between them."""
    return Sigmas(schedules.tabulated_sigmas(schedules.ALIGN_YOUR_STEPS[model_type], steps, denoise))


@node("GITSScheduler", category=CATEGORY)
def gits_scheduler(
    coeff: Annotated[float, span(0.8, 1.5, 0.05, "The lower, the more steps at high noise.")] = 1.2,
    steps: Annotated[int, span(2, 1000)] = 10,
    denoise: Fraction = 1.0,
) -> Sigmas:
    """Steps found for Stable Diffusion by following a finer sampling's path; above 20 they are interpolated."""
    return Sigmas(schedules.tabulated_sigmas(gits_levels(coeff, steps), steps, denoise))


@node("OptimalStepsScheduler", category=CATEGORY)
def optimal_steps_scheduler(
    model_type: Literal["FLUX", "Wan", "Chroma"] = "FLUX",
    steps: Annotated[int, span(3, 1000)] = 20,
    denoise: Fraction = 1.0,
) -> Sigmas:
    """Steps found by dynamic programming for a family; other counts are interpolated between them."""
    return Sigmas(schedules.tabulated_sigmas(schedules.OPTIMAL_STEPS[model_type], steps, denoise))


@node("LTXVScheduler", category=CATEGORY)
def ltxv_scheduler(
    steps: Count = 20,
    max_shift: Rho = 2.05,
    base_shift: Rho = 0.95,
    stretch: bool = True,
    terminal: Annotated[float, span(0.0, 0.99, 0.01)] = 0.1,
    latent: Latent | None = None,
) -> Sigmas:
    """LTX-Video's schedule, moved towards noise by the video's size; 4096 tokens without a latent."""
    tokens = 4096 if latent is None else latent.data.shape[2:].numel()
    return _listed(schedules.ltxv_sigmas(steps, tokens, max_shift, base_shift, stretch, terminal))


@node("Flux2Scheduler", category=CATEGORY)
def flux2_scheduler(
    steps: Annotated[int, span(1, 4096)] = 20,
    width: Annotated[int, span(16, MAX_SIDE, 1)] = 1024,
    height: Annotated[int, span(16, MAX_SIDE, 1)] = 1024,
) -> Sigmas:
    """Flux 2's schedule, moved towards noise by the picture's size."""
    return Sigmas(schedules.flux2_sigmas(steps, width, height))


def _listed(sigmas: torch.Tensor) -> Sigmas:
    if not bool(sigmas.isfinite().all()):
        raise ValueError("these numbers make sigmas that are none (NaN or infinite); take some nearer to the defaults")
    return Sigmas(sigmas)


def _positive(low: float, high: float) -> tuple[float, float]:
    if low <= 0 or high <= 0:
        raise ValueError("sigma_min and sigma_max must be above 0: the schedule takes their logarithm")
    return low, high


# --- by hand ---------------------------------------------------------------------------------------------------------


@node("ManualSigmas", category="sampling/custom_sampling/sigmas")
def manual_sigmas(sigmas: Multiline = "14.6, 6.5, 3.9, 2.7, 1.9, 1.4, 0.96, 0.65, 0.4, 0.15, 0.0") -> Sigmas:
    """Sigmas as you write them, with commas, spaces or lines between."""
    words = [word for word in re.split(r"[\s,;\[\]()]+", sigmas) if word]
    try:
        levels = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{error}; write numbers with commas between them") from error
    if any(not 0 <= level < float("inf") for level in levels):
        raise ValueError("sigmas are finite and not below 0")
    return Sigmas(torch.tensor(levels, dtype=torch.float32))


class Halves(NamedTuple):
    """Sigmas cut in two; the level at the cut is in both."""

    high_sigmas: Sigmas
    low_sigmas: Sigmas


@node("SplitSigmas", category="sampling/custom_sampling/sigmas")
def split_sigmas(sigmas: Sigmas, step: Annotated[int, span(0, 10000)] = 0) -> Halves:
    """The first steps apart from the rest, for two samplers one after the other."""
    return Halves(*map(Sigmas, schedules.split(sigmas.data, step)))


@node("SplitSigmasDenoise", category="sampling/custom_sampling/sigmas")
def split_sigmas_denoise(sigmas: Sigmas, denoise: Fraction = 1.0) -> Halves:
    """The last part of the steps, by share, apart from those before."""
    return Halves(*map(Sigmas, schedules.split_denoise(sigmas.data, denoise)))


@node("FlipSigmas", category="sampling/custom_sampling/sigmas")
def flip_sigmas(sigmas: Sigmas) -> Sigmas:
    """Backwards: from a picture to noise."""
    return Sigmas(schedules.flip(sigmas.data))


@node("SetFirstSigma", category="sampling/custom_sampling/sigmas")
def set_first_sigma(sigmas: Sigmas, sigma: Annotated[float, span(0.0, 20000.0, 0.001)] = 136.0) -> Sigmas:
    """The first level replaced."""
    return Sigmas(schedules.with_first(sigmas.data, sigma))


@node("ExtendIntermediateSigmas", category="sampling/custom_sampling/sigmas")
def extend_intermediate_sigmas(
    sigmas: Sigmas,
    steps: Annotated[int, span(1, 100)] = 2,
    start_at_sigma: Annotated[float, span(-1.0, 20000.0, 0.01, "-1 for no upper end.")] = -1.0,
    end_at_sigma: Annotated[float, span(0.0, 20000.0, 0.01)] = 12.0,
    spacing: Spacing = "linear",
) -> Sigmas:
    """Each step between two sigmas made several."""
    return Sigmas(schedules.extend(sigmas.data, steps, start_at_sigma, end_at_sigma, spacing))


@node("SamplingPercentToSigma", category="sampling/custom_sampling/sigmas", outputs=("sigma_value",))
def sampling_percent_to_sigma(
    model: Model,
    *,
    sampling_percent: Annotated[float, span(0.0, 1.0, 0.0001)] = 0.0,
    return_actual_sigma: Annotated[
        bool, span(None, None, description="At 0 and 1 the model's own ends, not their stand-ins.")
    ] = False,
) -> float:
    """The noise level at which that share of the sampling is done."""
    parametrisation = parametrisation_of(model)
    sigma = parametrisation.percent_to_sigma(sampling_percent)
    if return_actual_sigma and sampling_percent in (0.0, 1.0):
        return float(parametrisation.sigma_max if sampling_percent == 0.0 else parametrisation.sigma_min)
    return min(sigma, BEFORE_EVERYTHING)

"""Samplers with options from nodes, for one step from sigma 2 to 1 where the picture is known to be 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource
from graphflow.diffusion.samplers import SAMPLERS
from graphflow.values import Sampler
from graphflow_nodes import samplers as n
from tests.numerics import Normal, drive

HALF = math.sqrt(0.5)
UP = 0.5 * math.sqrt(1 - 1 / 4)
"""Noise that an ancestral step of eta 1/2 puts back, where it has gone down to DOWN."""
DOWN = math.sqrt(1 - UP**2)

STEPS: dict[str, tuple[Callable[[float], Sampler], float, float]] = {
    "euler_ancestral": (lambda s: n.sampler_euler_ancestral(0.5, s), DOWN, UP),
    "euler_ancestral_cfg_pp": (lambda s: n.sampler_euler_ancestral_cfg_pp(0.5, s), DOWN, UP),
    "euler_cfg_pp": (lambda s: n.sampler_euler_cfg_pp("regular"), 1.0, 0.0),
    "dpmpp_2s_ancestral": (lambda s: n.sampler_dpmpp_2s_ancestral(0.5, s), DOWN, UP),
    "dpmpp_sde": (lambda s: n.sampler_dpmpp_sde(0.5, s, 0.3, "cpu"), DOWN, UP),
    # exp(-h eta) of a step h of ln 2, and the noise that makes up for it
    "dpmpp_2m_sde": (lambda s: n.sampler_dpmpp_2m_sde("midpoint", 0.5, s, "cpu"), HALF, HALF),
    "dpmpp_2m_sde heun": (lambda s: n.sampler_dpmpp_2m_sde("heun", 0.5, s, "gpu"), HALF, HALF),
    "dpmpp_3m_sde": (lambda s: n.sampler_dpmpp_3m_sde(0.5, s, "cpu"), HALF, HALF),
    "lms": (lambda s: n.sampler_lms(1), 1.0, 0.0),
    # without noise lambda' / lambda, else its power of 1 + eta
    "er_sde ODE": (lambda s: n.sampler_er_sde("ODE", 1, 0.5, s), 1.0, 0.0),
    "er_sde": (lambda s: n.sampler_er_sde("Reverse-time SDE", 1, 0.5, s), HALF, HALF),
    "heun": (lambda s: n.k_sampler_select("heun"), 1.0, 0.0),
}


def step(sampler: Sampler) -> Tensor:
    x = torch.full((1, 4, 32, 32), 2.0)
    walk = SAMPLERS[sampler.name](  # type: ignore[index]
        Normal(mean=0.0, std=0.0), x, torch.tensor([2.0, 1.0]), NoiseSource(x, 3), **dict(sampler.options)
    )
    made: Tensor = drive(walk).result
    return made


@pytest.mark.parametrize("case", STEPS)
def test_a_step_goes_down_and_puts_noise_back_as_its_options_say(case: str) -> None:
    make, down, up = STEPS[case]
    still = step(make(0.0))
    assert (still.min().item(), still.max().item()) == (pytest.approx(down, abs=1e-5), pytest.approx(down, abs=1e-5))
    assert (step(make(0.9)) - still).std().item() == pytest.approx(0.9 * up, rel=0.05)

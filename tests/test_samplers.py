"""Samplers against the reference's numbers, and against problems whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphflow.diffusion.noise import NoiseSource, initial_noise
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.samplers import SAMPLERS, SamplerName
from graphflow.diffusion.samplers.stochastic import lcm_upscale
from graphflow.diffusion.schedules import model_sigmas
from tests.numerics import EPS, FLOW, Mixture, Normal, drive, golden, tolerance

SPACES = {"sd15": EPS, "sd3": FLOW}
STOCHASTIC = {
    "euler_ancestral", "euler_ancestral_cfg_pp", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "ddpm", "res_multistep_ancestral", "er_sde", "seeds_2", "seeds_3",
    "sa_solver", "sa_solver_pece",
}  # fmt: skip


def cases(sampler: str, prefix: str = "") -> Iterator[tuple[str, Parametrisation, Mixture, Tensor, int, Tensor]]:
    """Key, space, model, sigmas, seed and expected latent of each golden sampling of that sampler."""
    for key, expected in golden("samplers").items():
        if not key.startswith(prefix):
            continue
        parts = key.removeprefix(prefix).split("/")
        if len(parts) != 5 or parts[0] not in SPACES or parts[1] != sampler:
            continue
        space = SPACES[parts[0]]
        scheduler, steps = parts[2].rstrip("0123456789"), int("".join(c for c in parts[2] if c.isdigit()))
        model = Mixture(space, float(parts[3].removeprefix("cfg")))
        yield key, space, model, model_sigmas(space, scheduler, steps, 1.0, sampler), int(parts[4][4:]), expected


GOLDEN_NAMES = sorted(
    {key.split("/")[1] for key in golden("samplers") if key.startswith(("sd15/", "sd3/"))} - {"latent", "mask"}
)


def test_the_reference_covers_every_sampler_that_needs_no_gpu() -> None:
    assert set(GOLDEN_NAMES) == {name for name in SAMPLERS if not name.endswith("_gpu")}


@pytest.mark.parametrize("sampler", GOLDEN_NAMES)
def test_latents_equal_the_reference(sampler: SamplerName) -> None:
    checked = 0
    for key, space, model, sigmas, seed, expected in cases(sampler):
        noise = initial_noise(expected.shape, seed)
        x = space.start(sigmas[0], noise, torch.zeros_like(noise))
        found = space.undo(sigmas[-1], drive(SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, seed))).result)
        assert (found - expected).abs().max().item() <= tolerance(sampler), key
        checked += 1
    assert checked == 12


NEWER = sorted({key.split("/")[2] for key in golden("samplers") if key.startswith("newcpu_seedplus1/")})


@pytest.mark.parametrize("sampler", NEWER)
def test_newer_versions_seed_ancestral_noise_one_up(sampler: SamplerName) -> None:
    for key, space, model, sigmas, seed, expected in cases(sampler, "newcpu_seedplus1/"):
        noise = initial_noise(expected.shape, seed)
        x = space.start(sigmas[0], noise, torch.zeros_like(noise))
        walk = SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, seed, "current"))
        assert (drive(walk).result - expected).abs().max().item() <= tolerance(sampler), key


def test_a_gpu_sampler_on_the_cpu_is_its_twin() -> None:
    sigmas = model_sigmas(EPS, "karras", 4)
    x = initial_noise((1, 4, 8, 8), 1) * 14
    for sampler in ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"):
        model = Mixture(EPS, 3.0)
        here = drive(SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, 1))).result
        there = drive(SAMPLERS[f"{sampler}_gpu"](model, x, sigmas, NoiseSource(x, 1))).result
        assert torch.equal(here, there)


TOLD_OTHERWISE = {"dpm_adaptive", "dpm_fast", "uni_pc", "uni_pc_bh2", "deis", "ipndm", "ipndm_v"}
"""Steps that are not those of the list, or of which the reference tells the first x each time: ends are checked above."""


@pytest.mark.parametrize("sampler", sorted({key.split("/")[1] for key in golden("sampler_steps")} - TOLD_OTHERWISE))
def test_x_before_each_step_equals_the_reference(sampler: SamplerName) -> None:
    for key, expected in golden("sampler_steps").items():
        parts = key.split("/")
        if parts[1] != sampler:
            continue
        space, model = SPACES[parts[0]], Mixture(SPACES[parts[0]], 3.0)
        sigmas = model_sigmas(space, parts[2].rstrip("0123456789"), 10, 1.0, sampler)
        noise = initial_noise(expected.shape[1:], 42)[None]
        x = space.start(sigmas[0], noise, torch.zeros_like(noise))
        driven = drive(SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, 42)))
        for i, at in zip((1, 5, 9), expected, strict=False):
            assert (driven.first_of_step[i].x[0] - at).abs().max().item() <= 5 * tolerance(sampler), key


ORDERS: dict[str, tuple[float, dict[str, Any]]] = {
    "euler": (1, {}),
    "euler_cfg_pp": (1, {}),
    "ddim": (1, {}),
    "gradient_estimation": (1, {}),
    "gradient_estimation_cfg_pp": (1, {}),
    "heun": (2, {}),
    "heunpp2": (1, {}),
    "dpm_2": (2, {}),
    "lms": (2, {}),
    "ipndm": (2, {}),
    "ipndm_v": (2, {}),
    "deis": (2, {}),
    "dpmpp_2m": (2, {}),
    "dpmpp_2m_cfg_pp": (2, {}),
    "res_multistep": (2, {}),
    "res_multistep_cfg_pp": (2, {}),
    "uni_pc": (2, {}),
    "uni_pc_bh2": (2, {}),
    "dpm_fast": (3, {}),
    "euler_ancestral": (1, {"eta": 0.0}),
    "dpm_2_ancestral": (2, {"eta": 0.0}),
    "dpmpp_2s_ancestral": (2, {"eta": 0.0}),
    "dpmpp_sde": (2, {"eta": 0.0}),
    "dpmpp_2m_sde": (2, {"eta": 0.0}),
    "dpmpp_2m_sde_heun": (2, {"eta": 0.0}),
    "dpmpp_3m_sde": (2, {"eta": 0.0}),
    "er_sde": (2, {"solver_type": "ODE"}),
    "seeds_2": (2, {"eta": 0.0}),
    "seeds_3": (3, {"eta": 0.0}),
    "sa_solver": (2, {"eta": 0.0}),
    "sa_solver_pece": (2, {}),
    "euler_ancestral_cfg_pp": (1, {"eta": 0.0}),
    "res_multistep_ancestral": (2, {"eta": 0.0}),
    "res_multistep_ancestral_cfg_pp": (2, {"eta": 0.0}),
}
WITHOUT_ORDER = {
    "dpm_adaptive",  # chooses its steps: its error follows its tolerance, which is tested for itself
    "dpmpp_2s_ancestral_cfg_pp",  # as it was published, it takes two predictions for one: its error stays
    "ddpm",
    "lcm",  # these two are never without noise
}


def test_every_sampler_that_can_be_without_noise_has_an_order() -> None:
    assert {name for name in SAMPLERS if not name.endswith("_gpu")} == set(ORDERS) | WITHOUT_ORDER


def error(sampler: SamplerName, space: Parametrisation, steps: int, options: dict[str, Any]) -> float:
    """How far a sampler ends from the exact solution of a Gaussian's probability flow, in float64."""
    high, low = (0.9, 0.3) if space.flow else (4.0, 0.5)
    sigmas = torch.linspace(math.log(high), math.log(low), steps + 1, dtype=torch.float64).exp()
    model = Normal(space)
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(1, 1, 2, 4) * high
    found = drive(SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, 0), **options)).result
    return (found - model.exact(x, sigmas[0], sigmas[-1])).abs().max().item()


@pytest.mark.parametrize("space", ["sd15", "sd3"])
@pytest.mark.parametrize("sampler", ORDERS)
def test_errors_fall_with_the_order_of_the_method(sampler: SamplerName, space: str) -> None:
    order, options = ORDERS[sampler]
    if sampler == "sa_solver_pece":
        sampler, options = "sa_solver", {"eta": 0.0, "use_pece": True}
    # 35 and 71 leave dpm_fast blocks of the same orders, so that its steps alone differ
    coarse, fine = (error(sampler, SPACES[space], n, options) for n in (35, 71))
    measured = math.log2(coarse / fine) / math.log2(71 / 35)
    assert measured > order - 0.3
    assert fine < 0.05


@pytest.mark.parametrize("space", ["sd15", "sd3"])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_fast", "dpm_adaptive"])
def test_where_sigmas_rise_the_flow_is_followed_backwards(sampler: SamplerName, space: str) -> None:
    high, low = (0.9, 0.3) if space == "sd3" else (4.0, 0.5)
    sigmas = torch.linspace(math.log(low), math.log(high), 41, dtype=torch.float64).exp()
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(1, 1, 2, 4)
    model = Normal(SPACES[space])
    found = drive(SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, 0))).result
    assert (found - model.exact(x, sigmas[0], sigmas[-1])).abs().max() < 0.05 * found.abs().max()


@pytest.mark.parametrize("space", ["sd15", "sd3"])
@pytest.mark.parametrize("order", [2, 3])
def test_the_error_of_adaptive_steps_follows_their_tolerance(order: int, space: str) -> None:
    errors = [error("dpm_adaptive", SPACES[space], 1, {"order": order, "rtol": t, "atol": t}) for t in (1e-3, 1e-5)]
    assert 20 < errors[0] / errors[1] < 200
    assert errors[1] < 2e-5


UNBIASED = [
    (sampler, space)
    for sampler in sorted(STOCHASTIC | {"lcm"})
    for space in SPACES
    # these two renoise as if noise were added to the picture, which in a flow's space replaces it
    if (sampler, space) not in {("ddpm", "sd3"), ("res_multistep_ancestral", "sd3")}
]


@pytest.mark.parametrize(("sampler", "space"), UNBIASED)
def test_stochastic_samplers_end_in_the_data(sampler: SamplerName, space: str) -> None:
    high, low = (0.95, 0.02) if space == "sd3" else (14.6, 0.03)
    sigmas = torch.cat([torch.linspace(math.log(high), math.log(low), 60).exp(), torch.zeros(1)])
    model = Normal(SPACES[space], mean=0.3, std=0.7)
    picture = 0.3 + 0.7 * initial_noise((1, 4, 64, 64), 5)
    x = SPACES[space].add_noise(sigmas[0], initial_noise(picture.shape, 3), picture)
    found = drive(SAMPLERS[sampler](model, x, sigmas, NoiseSource(x, 11))).result
    if sampler == "lcm":  # throws all of x away each step: what is left is the last prediction
        assert found.mean().item() == pytest.approx(0.3, abs=0.1)
        return
    assert found.mean().item() == pytest.approx(0.3, abs=0.05)
    assert found.std().item() == pytest.approx(0.7, abs=0.06)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", ["sd15", "sd3"])
def test_progress_ends_at_its_total(sampler: SamplerName, space: str) -> None:
    sigmas = model_sigmas(SPACES[space], "simple", 5)
    x = initial_noise((2, 1, 2, 2), 0)
    driven = drive(SAMPLERS[sampler](Normal(SPACES[space]), x, sigmas, NoiseSource(x, 0)))
    values = [p.value for p in driven.progress]
    assert values == sorted(values)
    assert driven.progress[-1].value == pytest.approx(driven.progress[-1].total)
    assert driven.progress[-1].preview.shape == driven.result.shape == x.shape


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "levels", [[], [3.0], [3.0, 0.0], [3.0, 1.0], [3.0, 1.0, 0.5]], ids=["none", "one", "to zero", "above zero", "two"]
)
def test_odd_lists_of_sigmas_end_finite(sampler: SamplerName, levels: list[float]) -> None:
    x = initial_noise((1, 1, 2, 2), 0)
    found = drive(SAMPLERS[sampler](Normal(), x, torch.tensor(levels), NoiseSource(x, 0))).result
    assert found.isfinite().all()
    if len(levels) < 2:
        assert torch.equal(found, x)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.05, 20), min_size=2, max_size=6))
def test_euler_takes_sigmas_that_rise_or_repeat(levels: list[float]) -> None:
    x = initial_noise((1, 1, 2, 2), 0)
    assert drive(SAMPLERS["euler"](Normal(), x, torch.tensor(levels), NoiseSource(x, 0))).result.isfinite().all()


def test_a_sampler_keeps_the_callers_sigmas_and_x() -> None:
    for sampler in SAMPLERS.values():
        for space in SPACES.values():
            sigmas, x = model_sigmas(space, "normal", 3), initial_noise((1, 1, 2, 2), 0)
            before = sigmas.clone(), x.clone()
            drive(sampler(Normal(space), x, sigmas, NoiseSource(x, 0)))
            assert torch.equal(sigmas, before[0])
            assert torch.equal(x, before[1])


def test_lcm_upscale_grows_in_even_stages_and_draws_behind_the_initial_noise() -> None:
    x = initial_noise((1, 2, 4, 6), 7)
    sigmas = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.0])
    driven = drive(lcm_upscale(Normal(), x, sigmas, NoiseSource(x, 7), total_upscale=2.0, upscale_method="bilinear"))
    # len(sigmas) // 2 + 1 = 3 stages, the first of them the size that there is: 1.5 and 2
    assert [tuple(q.x.shape[-2:]) for q in driven.questions] == [(4, 6), (6, 9), (8, 12), (8, 12)]
    assert driven.result.shape == (1, 2, 8, 12)

    torch.manual_seed(7)
    torch.randn(1, 2, 4, 6)
    first = driven.questions[1].x - 2.0 * torch.randn(1, 2, 6, 9)
    variance = 0.7**2 + 4.0**2
    expected = torch.nn.functional.interpolate(0.3 + 0.7**2 / variance * (x - 0.3), size=(6, 9), mode="bilinear")
    torch.testing.assert_close(first, expected)

    one = drive(lcm_upscale(Normal(), x, sigmas, NoiseSource(x, 7), total_upscale=3.0, upscale_steps=1))
    assert [tuple(q.x.shape[-2:]) for q in one.questions] == [(4, 6), (12, 18), (12, 18), (12, 18)]
    same = drive(lcm_upscale(Normal(), x, sigmas, NoiseSource(x, 7), total_upscale=1.0))
    assert same.result.shape == x.shape

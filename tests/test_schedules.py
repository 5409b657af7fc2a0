"""Sigma tables, the nine schedulers, and sigmas of their own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphflow.diffusion import schedules
from graphflow.diffusion.parametrisation import (
    Angular,
    Consistency,
    Discrete,
    Distilled,
    Edm,
    Flow,
    FlowMu,
    FlowShift,
    LogUniform,
    Parametrisation,
    Velocity,
)
from tests.numerics import EPS, FLOW, golden, same_arithmetic

FAMILIES = {
    "sd15": EPS,
    "sd_zsnr": Parametrisation(Velocity(), Discrete(zsnr=True)),
    "sd3_shift3": FLOW,
    "flux_mu1.15": Parametrisation(Flow(), FlowMu()),
    "flow_shift1": Parametrisation(Flow(), FlowShift(1.0, 1.0)),
    "qwen_shift1.15": Parametrisation(Flow(), FlowShift(1.15, 1.0)),
    "wan_shift8": Parametrisation(Flow(), FlowShift(8.0, 1000.0)),
    "auraflow_shift1.73": Parametrisation(Flow(), FlowShift(1.73, 1.0)),
}


def assert_sigmas(found: Tensor, expected: Tensor) -> None:
    """Equal, or within two units in the last place on a CPU with other exp and log."""
    tolerance = 0.0 if same_arithmetic() else 2.4e-7
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=tolerance, atol=0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_tables_equal_the_reference_to_the_last_bit(family: str) -> None:
    assert torch.equal(FAMILIES[family].table, golden("sigmas")[f"{family}/table"])


@pytest.mark.parametrize("family", FAMILIES)
def test_schedulers_match_the_reference(family: str) -> None:
    checked = 0
    for key, expected in golden("sigmas").items():
        where, scheduler, *steps = key.split("/")
        if where == family and scheduler in schedules.SCHEDULERS:
            assert_sigmas(schedules.SCHEDULERS[scheduler](FAMILIES[family], int(steps[0])), expected)
            checked += 1
    assert checked == 36


def test_denoise_keeps_the_end_of_a_longer_schedule() -> None:
    for key, expected in golden("sigmas").items():
        if key.startswith("denoise/"):
            _, denoise, family, scheduler, steps = key.split("/")
            assert_sigmas(schedules.model_sigmas(FAMILIES[family], scheduler, int(steps), float(denoise)), expected)


def test_four_samplers_see_no_penultimate_sigma() -> None:
    for key, expected in golden("sigmas").items():
        if key.startswith("discard_penultimate/"):
            _, sampler, family, scheduler, steps = key.split("/")
            assert_sigmas(schedules.model_sigmas(FAMILIES[family], scheduler, int(steps), 1.0, sampler), expected)


def test_the_network_is_told_the_nearest_timestep() -> None:
    for key, expected in golden("sigmas").items():
        if key.startswith("model_timestep/"):
            _, family, scheduler, steps = key.split("/")
            sigmas = schedules.SCHEDULERS[scheduler](FAMILIES[family], int(steps))[:-1]
            assert_sigmas(FAMILIES[family].timestep(sigmas), expected.float())


def test_percents_become_sigmas() -> None:
    for family in ("sd15", "sd3_shift3"):
        found = [FAMILIES[family].percent_to_sigma(p) for p in (0.1, 0.25, 0.5, 0.75, 0.9)]
        assert_sigmas(torch.tensor(found), golden("sigmas")[f"percent_to_sigma/{family}"])
    assert EPS.percent_to_sigma(0) > 1e8
    assert FLOW.percent_to_sigma(0) == 1.0
    assert EPS.percent_to_sigma(1) == FLOW.percent_to_sigma(1) == 0.0


def test_nothing_to_denoise_is_no_sigmas() -> None:
    assert len(schedules.model_sigmas(EPS, "normal", 20, 0.0)) == 0
    assert len(schedules.model_sigmas(EPS, "normal", 0)) == 0


@pytest.mark.parametrize("scheduler", schedules.SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_schedule_falls_to_zero(scheduler: schedules.SchedulerName, family: str) -> None:
    for steps in (1, 2, 7, 50):
        sigmas = schedules.model_sigmas(FAMILIES[family], scheduler, steps)
        assert sigmas.isfinite().all()
        assert (sigmas.diff() < 0).all()
        assert sigmas[-1] == 0


def test_a_tiny_denoise_is_a_long_schedule_of_which_the_end_is_taken() -> None:
    sigmas = schedules.model_sigmas(EPS, "karras", 2, 1e-4)
    assert len(sigmas) == 3
    assert sigmas[0] < 0.0292
    assert schedules.model_sigmas(EPS, "karras", 20, 1e-9)[0] < 0.03


def test_a_window_on_the_steps() -> None:
    sigmas = torch.tensor([9.0, 6.0, 3.0, 1.0, 0.0])
    assert schedules.window(sigmas).tolist() == [9.0, 6.0, 3.0, 1.0, 0.0]
    assert schedules.window(sigmas, 1, 3).tolist() == [6.0, 3.0, 0.0]
    assert schedules.window(sigmas, 1, 3, leftover_noise=True).tolist() == [6.0, 3.0, 1.0]
    assert schedules.window(sigmas, 4).tolist() == []
    assert schedules.window(sigmas, 9000).tolist() == []


def test_published_formulas_at_their_ends() -> None:
    for made in (
        schedules.karras_sigmas(5, 0.1, 10.0),
        schedules.exponential_sigmas(5, 0.1, 10.0),
        schedules.polyexponential_sigmas(5, 0.1, 10.0, 2.0),
    ):
        assert len(made) == 6
        assert made[0].item() == pytest.approx(10.0)
        assert made[-2].item() == pytest.approx(0.1)
        assert made[-1] == 0
    vp = schedules.vp_sigmas(3)
    assert vp[0].item() == pytest.approx(math.sqrt(math.exp(19.9 / 2 + 0.1) - 1), rel=1e-5)
    laplace = schedules.laplace_sigmas(5, 0.03, 14.6)
    assert laplace[2].item() == pytest.approx(1.0, abs=1e-4)
    assert laplace[-1] > 0


def test_turbo_takes_every_hundredth_timestep() -> None:
    assert schedules.turbo_sigmas(EPS, 1).tolist() == [pytest.approx(14.6146412, rel=1e-6), 0.0]
    half = schedules.turbo_sigmas(EPS, 3, 0.5)
    assert EPS.timestep(half[:-1]).tolist() == [499.0, 399.0, 299.0]
    assert len(schedules.turbo_sigmas(EPS, 1, 0.0)) == 0


def test_flux_2_moves_noise_by_size_and_steps() -> None:
    small, large = schedules.flux2_sigmas(20, 512, 512), schedules.flux2_sigmas(20, 2048, 2048)
    assert small[0] == large[0] == 1
    assert small[-1] == large[-1] == 0
    assert (large[1:-1] > small[1:-1]).all()
    mu = (0.00016927 * 4096 + 0.45666666) - 180 * (
        (0.00016927 * 4096 + 0.45666666) - (8.73809524e-05 * 4096 + 1.89833333)
    ) / 190
    assert schedules.flux2_sigmas(20, 1024, 1024)[10].item() == pytest.approx(math.exp(mu) / (math.exp(mu) + 1))


def test_tabulated_sigmas_are_interpolated_in_the_logarithm() -> None:
    ten = schedules.tabulated_sigmas(schedules.ALIGN_YOUR_STEPS["SD1"], 10)
    assert ten.tolist()[:2] == [pytest.approx(14.6146412), pytest.approx(6.4745761)]
    assert ten[-1] == 0
    twenty = schedules.tabulated_sigmas(schedules.ALIGN_YOUR_STEPS["SD1"], 20)
    assert twenty[1].item() == pytest.approx(math.sqrt(14.6146412 * 6.4745761))
    assert len(schedules.tabulated_sigmas(schedules.ALIGN_YOUR_STEPS["SD1"], 10, 0.5)) == 6
    assert len(schedules.tabulated_sigmas(schedules.ALIGN_YOUR_STEPS["SD1"], 10, 0.0)) == 0


def test_ltx_video_ends_where_it_is_told() -> None:
    sigmas = schedules.ltxv_sigmas(10, 4096)
    assert sigmas[0].item() == pytest.approx(1)
    assert sigmas[-2].item() == pytest.approx(0.1)
    assert sigmas[-1] == 0


def test_sigmas_are_split_flipped_and_extended() -> None:
    sigmas = torch.tensor([8.0, 4.0, 2.0, 0.0])
    high, low = schedules.split(sigmas, 1)
    assert (high.tolist(), low.tolist()) == ([8.0, 4.0], [4.0, 2.0, 0.0])
    high, low = schedules.split_denoise(sigmas, 0.34)
    assert (high.tolist(), low.tolist()) == ([8.0, 4.0, 2.0], [2.0, 0.0])
    assert schedules.flip(sigmas).tolist() == [pytest.approx(1e-4), 2.0, 4.0, 8.0]
    assert schedules.with_first(sigmas, 10.0).tolist() == [10.0, 4.0, 2.0, 0.0]
    assert sigmas.tolist() == [8.0, 4.0, 2.0, 0.0]
    assert schedules.extend(sigmas, 2, -1, 3.0, "linear").tolist() == [8.0, 6.0, 4.0, 3.0, 2.0, 0.0]
    assert schedules.extend(sigmas, 2, 5.0, 3.0, "linear").tolist() == [8.0, 4.0, 3.0, 2.0, 0.0]


@given(st.floats(0.02, 50))
def test_timesteps_of_continuous_schedules_invert(sigma: float) -> None:
    for schedule in (LogUniform(), Angular(0.03, 500.0)):
        back = schedule.sigma(schedule.timestep(torch.tensor(sigma, dtype=torch.float64)))
        assert back.item() == pytest.approx(sigma)


@pytest.mark.parametrize("prediction", [EPS.prediction, Velocity(), Edm(), Flow()])
def test_a_perfect_network_gives_back_the_picture(prediction: object) -> None:
    p = Parametrisation(prediction, FlowShift() if prediction.flow else Discrete())
    z, n, sigma = torch.tensor([0.7]), torch.tensor([-1.3]), torch.tensor(0.6)
    x = sigma * n + ((1 - sigma) if p.flow else 1) * z
    total = (sigma**2 + getattr(prediction, "sigma_data", 1.0) ** 2) ** 0.5
    perfect = {
        "Epsilon": n,
        "Velocity": (n - sigma * z) / total,
        "Edm": (z - x * 0.25 / total**2) * total / (sigma * 0.5),
        "Flow": n - z,
    }[type(prediction).__name__]
    torch.testing.assert_close(p.to_denoised(x, sigma, perfect), z)


def test_consistency_models_know_fifty_timesteps() -> None:
    schedule = Distilled()
    assert schedule.table[-1] == Discrete().table[-1]
    assert schedule.timestep(schedule.table[:3]).tolist() == [19, 39, 59]
    assert schedule.sigma(torch.tensor(39.0)).item() == pytest.approx(schedule.table[1].item())
    p = Parametrisation(Consistency(), schedule)
    x, sigma, out = torch.tensor([2.0]), schedule.table[-1], torch.tensor([0.1])
    assert p.to_denoised(x, sigma, out).item() == pytest.approx(2.0 - 0.1 * sigma.item(), abs=1e-4)


def test_the_highest_noise_is_stretched_to_the_trainings_variance() -> None:
    one, z = torch.ones(1), torch.zeros(1)
    assert EPS.start(EPS.sigma_max, one, z).item() == pytest.approx(math.sqrt(1 + EPS.sigma_max.item() ** 2))
    assert EPS.start(torch.tensor(2.0), one, z).item() == 2.0
    assert EPS.add_noise(EPS.sigma_max, one, z).item() == EPS.sigma_max.item()
    assert FLOW.add_noise(torch.tensor(0.25), one, 2 * one).item() == pytest.approx(0.25 + 0.75 * 2)
    assert FLOW.undo(torch.tensor(0.5), one).item() == 2.0

"""What a model's output means after a node said it anew: an answer of 3 to x of 5, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import patched
from graphflow.values import Latent, Model, Weights
from graphflow_nodes import model_sampling as n
from tests.numerics import EPS

MODEL = Model(Weights((), "model"))
ROOT5 = math.sqrt(5)
EPSILON, VELOCITY = (5 / ROOT5, 5 - 2 * 3), (5 / ROOT5, 5 / 5 - 3 * 2 / ROOT5)
"""What the network is shown of x at sigma 2, and the picture that its answer means."""


def meant(model: Model) -> Parametrisation:
    return patched(EPS, model.patches)


@pytest.mark.parametrize(
    ("make", "sigma", "shown", "picture"),
    [
        (lambda: n.model_sampling_discrete(MODEL, "eps"), 2.0, *EPSILON),
        (lambda: n.model_sampling_discrete(MODEL, "v_prediction"), 2.0, *VELOCITY),
        (lambda: n.model_sampling_discrete(MODEL, "x0"), 2.0, 5 / ROOT5, 3.0),
        (lambda: n.model_sampling_discrete(MODEL, "img_to_img"), 2.0, 5.0, 3.0),
        # at the highest level a consistency model's answer counts whole
        (lambda: n.model_sampling_discrete(MODEL, "lcm"), 14.614641, 5 / 14.648814, 5 - 14.614641 * 3),
        (lambda: n.model_sampling_continuous_edm(MODEL, "eps"), 2.0, *EPSILON),
        (lambda: n.model_sampling_continuous_edm(MODEL, "v_prediction"), 2.0, *VELOCITY),
        (lambda: n.model_sampling_continuous_v(MODEL), 2.0, *VELOCITY),
        # data of deviation 1/2: x / sqrt(4 + 1/4), and x / 17 + answer * 2 * (1/2) / sqrt(4 + 1/4)
        (lambda: n.model_sampling_continuous_edm(MODEL, "edm"), 2.0, 5 / 4.25**0.5, 5 / 17 + 3 / 4.25**0.5),
        (
            lambda: n.model_sampling_continuous_edm(MODEL, "edm_playground_v2.5"),
            2.0,
            5 / 4.25**0.5,
            5 / 17 + 3 / 4.25**0.5,
        ),
        # time 2 / (1 + 2) of a flow
        (lambda: n.model_sampling_continuous_edm(MODEL, "cosmos_rflow"), 2.0, 5 / 3, 5 / 3 - 3 * 2 / 3),
        (lambda: n.model_sampling_sd3(MODEL), 0.5, 5.0, 3.5),
        (lambda: n.model_sampling_aura_flow(MODEL), 0.5, 5.0, 3.5),
        (lambda: n.model_sampling_flux(MODEL), 0.5, 5.0, 3.5),
        (lambda: n.model_sampling_ltxv(MODEL), 0.5, 5.0, 3.5),
    ],
)
def test_an_answer_means_a_picture(make: Callable[[], Model], sigma: float, shown: float, picture: float) -> None:
    x, level, answer = torch.tensor([5.0]), torch.tensor(sigma), torch.tensor([3.0])
    assert meant(make()).scale_in(x, level).item() == pytest.approx(shown, rel=1e-5)
    assert meant(make()).to_denoised(x, level, answer).item() == pytest.approx(picture, rel=1e-4)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("make", "sigma", "timestep"),
    [
        (lambda: n.model_sampling_continuous_edm(MODEL), 2.0, math.log(2) / 4),
        (lambda: n.model_sampling_continuous_v(MODEL), 1.0, 0.5),  # of a right angle
        (lambda: n.model_sampling_sd3(MODEL), 0.5, 500.0),
        (lambda: n.model_sampling_aura_flow(MODEL), 0.5, 0.5),
        (lambda: n.model_sampling_flux(MODEL), 0.5, 0.5),
        (lambda: n.model_sampling_discrete(MODEL), 14.614641, 999.0),
        (lambda: n.model_sampling_discrete(MODEL, "lcm"), 14.614641, 999.0),
    ],
)
def test_a_noise_level_is_told_as_a_timestep(make: Callable[[], Model], sigma: float, timestep: float) -> None:
    assert meant(make()).timestep(torch.tensor(sigma)).item() == pytest.approx(timestep)


@pytest.mark.parametrize(
    ("make", "level"),
    [
        # shift * t / (1 + (shift - 1) * t)
        (lambda: n.model_sampling_sd3(MODEL, 5.0), 5 / 6),
        (lambda: n.model_sampling_aura_flow(MODEL, 2.0), 2 / 3),
        # mu lies on a line through 256 and 4096 tokens of 16 x 16 pixels
        (lambda: n.model_sampling_flux(MODEL, 1.15, 0.5, 512, 1024), sigmoid(0.5 + 0.65 * 1792 / 3840)),
        (lambda: n.model_sampling_flux(MODEL, 1.15, 0.5, 256, 256), sigmoid(0.5)),
        # and through 1024 and 4096 places of a latent
        (lambda: n.model_sampling_ltxv(MODEL, 2.05, 0.95), sigmoid(2.05)),
        (
            lambda: n.model_sampling_ltxv(MODEL, 2.05, 0.95, Latent(torch.zeros(1, 1, 5, 16, 32))),
            sigmoid(0.95 + 1.1 * 1536 / 3072),
        ),
    ],
)
def test_half_of_the_time_is_moved_towards_noise(make: Callable[[], Model], level: float) -> None:
    assert meant(make()).percent_to_sigma(0.5) == pytest.approx(level, rel=1e-4)


def test_levels_end_where_they_are_told() -> None:
    for model in (
        n.model_sampling_continuous_edm(MODEL, "edm", 80.0, 0.01),
        n.model_sampling_continuous_v(MODEL, "v_prediction", 80.0, 0.01),
    ):
        ends = meant(model).sigma_min.item(), meant(model).sigma_max.item()
        assert ends == (pytest.approx(0.01), pytest.approx(80.0))
    # the last product of 1 - beta is taken for 4.897e-8
    assert meant(n.model_sampling_discrete(MODEL, zsnr=True)).sigma_max.item() == pytest.approx(4518.9, rel=1e-3)
    assert len(meant(n.model_sampling_discrete(MODEL, "lcm")).table) == 50

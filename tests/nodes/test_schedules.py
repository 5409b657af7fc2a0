"""Sigmas from nodes, on few steps each, with the numbers worked out by hand or from the published formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch

from graphflow.diffusion.gits import gits_levels
from graphflow.models import Residency
from graphflow.values import Latent, Model, Sigmas
from graphflow_nodes import schedules as n
from graphflow_nodes.loaders import checkpoint_loader_simple
from tests.tiny import golden_sd15


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


E = math.e
AT_200, AT_10 = 0.00016927 * 2048 + 0.45666666, 8.73809524e-05 * 2048 + 1.89833333
MU = AT_10 + (10 - 4) / 190 * (AT_10 - AT_200)
"""Flux 2's for 1024 x 512, which are 2048 tokens, in 4 steps, on the line through those of 10 and 200 steps."""
AYS_SD1 = [14.6146, 6.4746, 3.8637, 2.6946, 1.8842, 1.3944, 0.9643, 0.6524, 0.3977, 0.1515, 0.0]
AYS_SDXL = [14.6146, 6.3184, 3.7682, 2.1812, 1.3405, 0.8621, 0.5551, 0.3799, 0.2332, 0.1114, 0.0]
AYS_SVD = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.0]

FORMULAS: list[tuple[Callable[[], Sigmas], list[float]]] = [
    # even in sigma, in its root, in its seventh root
    (lambda: n.karras_scheduler(3, 4.0, 1.0, 1.0), [4.0, 2.5, 1.0, 0.0]),
    (lambda: n.karras_scheduler(3, 4.0, 1.0, 2.0), [4.0, 2.25, 1.0, 0.0]),
    (lambda: n.karras_scheduler(3), [14.614642, 1.274105, 0.0291675, 0.0]),
    (lambda: n.exponential_scheduler(3, 4.0, 1.0), [4.0, 2.0, 1.0, 0.0]),
    (lambda: n.exponential_scheduler(2), [14.614642, 0.0291675, 0.0]),
    # of 16 to the power of 1, 1/4 and 0
    (lambda: n.polyexponential_scheduler(3, 16.0, 1.0, 2.0), [16.0, 2.0, 1.0, 0.0]),
    # exp(mu) times 2^beta and 2^-beta at the quarters
    (lambda: n.laplace_scheduler(5, 9.0, 0.1, 0.5, 1.0), [9.0, 2 * E**0.5, E**0.5, E**0.5 / 2, 0.1]),
    (lambda: n.laplace_scheduler(5, 9.0, 0.1, 0.0, 2.0), [9.0, 4.0, 1.0, 0.25, 0.1]),
    # sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1) at t of 1, 1/2 and 0
    (lambda: n.vp_scheduler(3, 2.0, 1.0, 0.0), [math.sqrt(E**2 - 1), math.sqrt(E**0.75 - 1), 0.0, 0.0]),
    (lambda: n.vp_scheduler(2, 2.0, 1.0, 0.5), [math.sqrt(E**2 - 1), math.sqrt(E**0.75 - 1), 0.0]),
    # 4096 tokens move by max_shift, 1024 by base_shift: at t of 1/2 the level is sigmoid(shift)
    (lambda: n.ltxv_scheduler(2, stretch=False), [1.0, sigmoid(2.05), 0.0]),
    (lambda: n.ltxv_scheduler(2, 3.0, stretch=False), [1.0, sigmoid(3.0), 0.0]),
    (
        lambda: n.ltxv_scheduler(2, 3.0, 0.5, False, latent=Latent(torch.zeros(1, 1, 4, 16, 16))),
        [1.0, sigmoid(0.5), 0.0],
    ),
    # stretched, so that the last of 1, 0.9395252, 0.7952477 is the terminal
    (lambda: n.ltxv_scheduler(3), [1.0, 0.7341795, 0.1, 0.0]),
    (lambda: n.ltxv_scheduler(3, terminal=0.55), [1.0, 0.8670897, 0.55, 0.0]),
    # sigmoid(mu + log odds) at t of 3/4, 1/2 and 1/4
    (lambda: n.flux2_scheduler(4, 1024, 512), [1.0, *(sigmoid(MU + math.log(odds)) for odds in (3, 1, 1 / 3)), 0.0]),
    (lambda: n.align_your_steps_scheduler("SD1"), AYS_SD1),
    (lambda: n.align_your_steps_scheduler("SDXL"), AYS_SDXL),
    (lambda: n.align_your_steps_scheduler("SVD"), AYS_SVD),
    (lambda: n.align_your_steps_scheduler("SDXL", 10, 0.3), AYS_SDXL[-4:]),
    (lambda: n.optimal_steps_scheduler("FLUX", 10, 0.3), [0.8287, 0.5512, 0.2808, 0.0]),
    (lambda: n.optimal_steps_scheduler("Wan", 20, 0.2), [0.864, 0.776, 0.539, 0.208, 0.0]),
    (lambda: n.optimal_steps_scheduler("Chroma", 40, 0.1), [0.084, 0.07, 0.058, 0.048, 0.0]),
    (lambda: n.manual_sigmas("14.6, 3\n[1] 0"), [14.6, 3.0, 1.0, 0.0]),
]


@pytest.mark.parametrize(("make", "wanted"), FORMULAS)
def test_levels_are_those_of_the_formulas(make: Callable[[], Sigmas], wanted: list[float]) -> None:
    assert make().data.tolist() == pytest.approx(wanted, rel=1e-4, abs=6e-5)  # tables have four digits


FALL = Sigmas(torch.tensor([4.0, 2.0, 1.0, 0.0]))
HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: n.split_sigmas(FALL, 1).high_sigmas, [4.0, 2.0]),
        (lambda: n.split_sigmas(FALL, 1).low_sigmas, [2.0, 1.0, 0.0]),
        (lambda: n.split_sigmas_denoise(FALL, 0.34).high_sigmas, [4.0, 2.0, 1.0]),
        (lambda: n.split_sigmas_denoise(FALL, 0.34).low_sigmas, [1.0, 0.0]),
        (lambda: n.flip_sigmas(FALL), [0.0001, 1.0, 2.0, 4.0]),
        (lambda: n.set_first_sigma(FALL, 9.0), [9.0, 2.0, 1.0, 0.0]),
        (lambda: n.extend_intermediate_sigmas(FALL, 2, 3.0, 1.5), [4.0, 2.0, 1.5, 1.0, 0.0]),
        (lambda: n.extend_intermediate_sigmas(FALL, 2, 2.0, 2.0), [4.0, 2.0, 1.5, 1.0, 0.0]),
        (lambda: n.extend_intermediate_sigmas(FALL, 4, -1.0, 3.0), [4.0, 3.5, 3.0, 2.5, 2.0, 1.0, 0.0]),
        (lambda: n.extend_intermediate_sigmas(FALL, 2, -1.0, 3.0, "cosine"), [4.0, 4 - 2 * HALF, 2.0, 1.0, 0.0]),
        (lambda: n.extend_intermediate_sigmas(FALL, 2, -1.0, 3.0, "sine"), [4.0, 2 + 2 * HALF, 2.0, 1.0, 0.0]),
    ],
)
def test_levels_are_changed_by_hand(make: Callable[[], Sigmas], wanted: list[float]) -> None:
    assert make().data.tolist() == pytest.approx(wanted)


def levels(sigmas: Sigmas) -> list[float]:
    return [round(value, 4) for value in sigmas.data.tolist()]


def test_gits_lists_fall_have_their_steps_and_are_interpolated_above_twenty() -> None:
    assert levels(n.gits_scheduler(1.2, 4)) == [14.6146, 2.3633, 0.9219, 0.3662, 0.0]
    assert levels(n.gits_scheduler(0.8, 5, 0.4)) == [5.8552, 2.0504, 0.0]
    for hundredths in range(80, 155, 5):
        for steps in range(2, 21):
            found = gits_levels(hundredths / 100, steps)
            assert len(found) == steps + 1
            assert all(high > low for high, low in pairwise(found))
    longer = levels(n.gits_scheduler(1.2, 40))
    assert (len(longer), longer[0], longer[-1]) == (41, 14.6146, 0.0)
    assert longer[2] == 7.49  # every second level is one of the twenty


# --- of a model ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    file = golden_sd15(tmp_path_factory.mktemp("checkpoints"))
    with Residency(device="cpu", dtype="float32").active(), torch.inference_mode():
        yield checkpoint_loader_simple(file).MODEL


LEVELS = {999: 14.61464, 899: 8.3028, 706: 3.4157, 500: 1.61828, 499: 1.61289, 399: 1.16058, 250: 0.6958, 0: 0.0291672}
"""Of Stable Diffusion's thousand timesteps: sqrt((1 - a) / a), a the product of 1 - beta up to there, and the roots of
beta even between sqrt(0.00085) and sqrt(0.012)."""


def test_levels_of_stable_diffusion(model: Model) -> None:
    def at(*timesteps: int) -> list[float]:
        return [*(LEVELS[timestep] for timestep in timesteps), 0.0]

    middle = math.sqrt(LEVELS[999] * LEVELS[0])
    cases = [
        (n.basic_scheduler(model, steps=2), at(999, 499)),
        (n.basic_scheduler(model, scheduler="exponential", steps=3), [LEVELS[999], middle, LEVELS[0], 0.0]),
        (n.basic_scheduler(model, scheduler="exponential", steps=1, denoise=0.33), at(0)),
        (n.basic_scheduler(model, steps=1, denoise=0.5), at(499)),
        (n.sd_turbo_scheduler(model, steps=2), at(999, 899)),
        (n.sd_turbo_scheduler(model, steps=2, denoise=0.5), at(499, 399)),
        # quantiles q of the even distribution are q, those of a triangle sqrt(q)
        (n.beta_sampling_scheduler(model, steps=4, alpha=1.0, beta=1.0), [LEVELS[999], 4.08173, *at(500, 250)]),
        (n.beta_sampling_scheduler(model, steps=2, alpha=2.0, beta=1.0), at(999, 706)),
        (
            n.beta_sampling_scheduler(model, steps=2, alpha=1.0, beta=2.0),
            [LEVELS[999], at_share(1 - math.sqrt(0.5)), 0.0],
        ),
    ]
    for sigmas, wanted in cases:
        assert sigmas.data.tolist() == pytest.approx(wanted, abs=2e-5)
    halfway = n.sampling_percent_to_sigma(model, sampling_percent=0.5)
    assert halfway == pytest.approx(math.sqrt(LEVELS[500] * LEVELS[499]), abs=2e-5)


def at_share(share: float) -> float:
    """The level of the timestep at that share of 999, by the formula."""
    product = 1.0
    for step in range(round(999 * share) + 1):
        product *= 1 - (math.sqrt(0.00085) + step / 999 * (math.sqrt(0.012) - math.sqrt(0.00085))) ** 2
    return math.sqrt((1 - product) / product)

"""Guidance on a network that says what it was asked: areas, masks, times, defaults, scales, inpainting, patches."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.diffusion import guidance_patches as kinds
from graphflow.diffusion.conds import Canvas, resolve
from graphflow.diffusion.guidance import Cfg, DualCfg, Guided, PerpNeg, PerpNegPatch, Rule
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import RowControl
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import Mix
from graphflow.diffusion.sampling import Task, fit_latent, noise_for, sample
from graphflow.diffusion.sampling_patches import ContinuousSampling, DiscreteSampling, FlowSampling, MovedFlowSampling
from graphflow.diffusion.schedules import model_sigmas
from graphflow.node import Denoise, Row
from graphflow.values import (
    Area,
    Cond,
    Conditioning,
    Control,
    ControlNet,
    Latent,
    Model,
    Patch,
    Sampler,
    Weights,
)
from tests.numerics import EPS, FLOW, Mixture, drive, evaluate, golden, tolerance

MODEL = Model(Weights((), "model"))


@dataclass(eq=False)
class Flat:
    """Predicts, everywhere, the number that the conditioning's context begins with; remembers what it was asked."""

    parametrisation: Parametrisation = EPS
    latent_format: LatentFormat = field(default_factory=lambda: LatentFormat(4))
    concat: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    asked: list[Row] = field(default_factory=list)

    def batch_key(self, row: Row) -> Hashable:
        return row.x.shape

    def predict(self, rows: Sequence[Row]) -> list[Tensor]:
        self.asked += rows
        return [torch.ones_like(row.x) * row.cond.context[:, :1, :1, None] for row in rows]


def says(number: float, **changes: Any) -> Cond:
    return Cond(torch.full((1, 3, 2), number), **changes)


def guided(
    network: Flat,
    rule: Rule,
    patches: tuple[Patch, ...] = (),
    size: tuple[int, int] = (16, 16),
    controls: dict[int, Any] | None = None,
    **roles: Conditioning,
) -> Guided:
    canvas = Canvas(network, network.parametrisation, torch.zeros(1, 4, *size), controls=controls or {})
    return Guided(canvas, resolve(roles, canvas), rule, patches)


def ask(model: Guided, sigma: float = 1.0, x: Tensor | None = None, uncond: bool = False) -> Any:
    x = torch.zeros(model.canvas.latent.shape) if x is None else x
    return evaluate(Denoise(model, x, torch.tensor(sigma), uncond))


def conditioning(*entries: Cond) -> Conditioning:
    return Conditioning(entries)


# --- classifier-free guidance ----------------------------------------------------------------------------------------


def test_guidance_goes_from_the_negative_through_the_positive_prediction() -> None:
    network = Flat()
    model = guided(network, Cfg(3.0), positive=conditioning(says(2)), negative=conditioning(says(1)))
    assert ask(model).unique().tolist() == [4.0]
    assert [row.cond.uncond for row in network.asked] == [True, False]


def test_at_scale_1_the_negative_side_is_not_asked_unless_it_is_wanted() -> None:
    network = Flat()
    model = guided(network, Cfg(1.0), positive=conditioning(says(2)), negative=conditioning(says(1)))
    assert ask(model).unique().tolist() == [2.0]
    assert len(network.asked) == 1
    both = ask(model, uncond=True)
    assert [t.unique().tolist() for t in both] == [[2.0], [1.0]]


def test_two_scales_and_nested_guidance() -> None:
    roles = {"positive": conditioning(says(4)), "middle": conditioning(says(2)), "negative": conditioning(says(1))}
    assert ask(guided(Flat(), DualCfg(3.0, 5.0), **roles)).unique().tolist() == [1 + 5 * (2 - 1) + (4 - 2) * 3]
    nested = guided(Flat(), DualCfg(3.0, 5.0, "nested"), **roles)
    assert ask(nested).unique().tolist() == [1 + 5 * ((2 + 3 * (4 - 2)) - 1)]


def test_perpendicular_negatives_take_nothing_along_the_positive_away() -> None:
    roles = {"positive": conditioning(says(3)), "negative": conditioning(says(5)), "empty": conditioning(says(1))}
    # on a flat picture every difference is parallel: the negative takes nothing away
    assert torch.allclose(ask(guided(Flat(), PerpNeg(2.0, 1.0), **roles)), torch.tensor(1.0 + 2 * (3 - 1)))


def test_a_model_with_perpendicular_negatives_mixes_so_under_any_sampler() -> None:
    """Predictions (3, 0), (0, 2) and (0, 0): the negative is perpendicular, so all of it is taken away."""
    first, second = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1)
    patch = PerpNegPatch(conditioning(says(0)), neg_scale=0.5)
    mix = Mix(torch.zeros(1, 2, 1, 1), torch.tensor(1.0), 4.0, first, second, first, EPS)

    def again(role: str, **_: Any) -> Any:
        assert role == "empty"
        yield from ()
        return torch.zeros(1, 2, 1, 1)

    walk = patch.asking(mix, again)
    with pytest.raises(StopIteration) as end:
        next(walk)
    assert end.value.value.flatten().tolist() == [4 * 3.0, -4 * 0.5 * 2.0]

    network = Flat()
    task = Task(
        network,
        MODEL.patched(PerpNegPatch(conditioning(says(1)), 1.0)),
        Cfg(2.0),
        {"positive": conditioning(says(3)), "negative": conditioning(says(5))},
        Sampler("euler"),
        torch.tensor([1.0, 0.0]),
        Latent(torch.zeros(1, 4, 8, 8)),
        torch.zeros(1, 4, 8, 8),
    )
    # on a flat picture the negative lies along the positive: nothing of it is taken away
    assert torch.allclose(drive(sample(task)).result.latent.data, torch.tensor(1.0 + 2 * (3 - 1)))
    assert [row.cond.context[0, 0, 0].item() for row in network.asked] == [5.0, 3.0, 1.0]


# --- several entries -------------------------------------------------------------------------------------------------


def test_entries_that_hold_everywhere_are_averaged_by_strength() -> None:
    model = guided(Flat(), Cfg(1.0), positive=conditioning(says(1, strength=3.0), says(5, strength=1.0)))
    assert torch.allclose(ask(model), torch.tensor(2.0))


def test_an_area_is_shown_alone_and_fades_in_at_its_inner_edges() -> None:
    network = Flat()
    area = Area(height=8, width=8, y=0, x=8)
    answer = ask(guided(network, Cfg(1.0), positive=conditioning(says(9, area=area), says(1))))[0, 0]
    assert [tuple(row.x.shape[-2:]) for row in network.asked] == [(8, 8), (16, 16)]
    assert answer[12, 3] == 1
    assert answer[0, 15] == 5  # full weight against full weight, in the picture's corner
    assert answer[0, 8].item() == pytest.approx((9 * 0.5 + 1) / 1.5)  # half weight at the first inner column
    assert answer[7, 15].item() == pytest.approx((9 * 0.5 + 1) / 1.5)


def test_areas_in_shares_follow_the_size_of_the_latent() -> None:
    network = Flat()
    area = Area(height=0.5, width=0.25, y=0.5, x=0.75, relative=True)
    ask(guided(network, Cfg(1.0), positive=conditioning(says(1, area=area)), size=(20, 40)))
    assert tuple(network.asked[0].x.shape[-2:]) == (10, 10)


def test_an_area_is_cut_at_the_edge_and_refused_outside() -> None:
    network = Flat()
    ask(guided(network, Cfg(1.0), positive=conditioning(says(1, area=Area(100, 100, 8, 12)))))
    assert tuple(network.asked[0].x.shape[-2:]) == (8, 4)
    with pytest.raises(ValueError, match=r"area of 8x8 at \(40, 0\).*outside the latent of 16x16"):
        guided(Flat(), Cfg(1.0), positive=conditioning(says(1, area=Area(8, 8, 0, 40))))


def test_an_area_of_one_side_has_a_counterpart_on_the_other() -> None:
    network = Flat()
    positive = conditioning(says(4, area=Area(8, 8, 0, 0)), says(2))
    ask(guided(network, Cfg(2.0), positive=positive, negative=conditioning(says(1))))
    sizes = [(row.cond.uncond, tuple(row.x.shape[-2:])) for row in network.asked]
    assert sorted(sizes) == [(False, (8, 8)), (False, (16, 16)), (True, (8, 8)), (True, (16, 16))]


def test_what_nothing_covers_is_zero() -> None:
    answer = ask(guided(Flat(), Cfg(1.0), positive=conditioning(says(3, area=Area(8, 16, 0, 0)))))
    assert answer[0, 0, 15, 15] == 0
    assert answer[0, 0, 0, 0] == 3


def test_masks_are_brought_to_the_latents_size_and_weigh_softly() -> None:
    mask = torch.zeros(1, 128, 128)
    mask[:, :64] = 1.0
    network = Flat()
    positive = conditioning(says(6, mask=mask, mask_strength=2.0), says(0))
    answer = ask(guided(network, Cfg(1.0), positive=positive))[0, 0]
    assert tuple(network.asked[0].x.shape[-2:]) == (16, 16)
    assert answer[0, 0].item() == pytest.approx(6 * 2 / 3)
    assert answer[15, 0] == 0


def test_mask_bounds_show_the_box_around_the_mask_alone() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, 3:13, 4:6] = 1
    network = Flat()
    ask(guided(network, Cfg(1.0), positive=conditioning(says(1, mask=mask, mask_bounds=True))))
    assert tuple(network.asked[0].x.shape[-2:]) == (10, 8)
    ask(guided(network, Cfg(1.0), positive=conditioning(says(1, mask=torch.zeros(1, 16, 16), mask_bounds=True))))
    assert tuple(network.asked[1].x.shape[-2:]) == (8, 8)


def test_a_range_of_the_sampling_holds_at_both_its_ends() -> None:
    start, end = EPS.percent_to_sigma(0.25), EPS.percent_to_sigma(0.5)
    model = guided(Flat(), Cfg(1.0), positive=conditioning(says(3, start=0.25, end=0.5)))
    found = [ask(model, sigma).max().item() for sigma in (start * 1.01, (start + end) / 2, end * 0.99)]
    assert found == [0, 3, 0]
    assert guided(Flat(), Cfg(1.0), positive=conditioning(says(3))).regions["positive"][0].active(1e9)


def test_a_default_holds_where_the_others_do_not() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, :, :8] = 1
    answer = ask(guided(Flat(), Cfg(1.0), positive=conditioning(says(3, mask=mask), says(7, default=True))))
    assert answer[0, 0, 0].tolist() == [3.0] * 8 + [7.0] * 8


def test_batches_of_other_sizes_are_cut_or_repeated() -> None:
    network = Flat()
    many = Cond(torch.tensor([1.0, 2.0]).reshape(2, 1, 1).expand(2, 3, 2))
    model = guided(network, Cfg(1.0), positive=conditioning(many))
    answer = ask(model, x=torch.zeros(3, 4, 16, 16))
    assert answer[:, 0, 0, 0].tolist() == [1.0, 2.0, 1.0]


# --- ControlNets and channels beside x -------------------------------------------------------------------------------


class Hint:
    family = "sd15"
    latent_format = None
    takes_mask = False
    device = torch.device("cpu")


NET = ControlNet(Weights((), "controlnet"), union_type="depth")


def test_controls_work_in_their_part_of_the_sampling_with_hints_at_the_pictures_size() -> None:
    network, net = Flat(), Hint()
    control = Control(NET, torch.rand(1, 100, 200, 3), strength=0.5, start=0.25, end=0.5)
    model = guided(network, Cfg(1.0), positive=conditioning(says(1, controls=(control,))), controls={id(control): net})
    for sigma in (EPS.percent_to_sigma(0.1), EPS.percent_to_sigma(0.3), EPS.percent_to_sigma(0.9)):
        ask(model, sigma)
    before, during, after = ([*row.cond.controls] for row in network.asked)
    assert before == after == []
    (found,) = during
    assert isinstance(found, RowControl)
    assert (found.net, found.strength, found.union_type) == (net, 0.5, "depth")
    assert found.hint.shape == (1, 3, 128, 128)
    middle = control.hint[:, 50, 100]
    assert torch.allclose(found.hint[0, :, 64, 64], middle[0], atol=1.0)


def test_an_old_control_also_holds_for_the_negative_prompt() -> None:
    network, net = Flat(), Hint()
    control = Control(NET, torch.rand(1, 8, 8, 3))
    positive = conditioning(says(2, controls=(control,), controls_uncond=True))
    model = guided(network, Cfg(2.0), positive=positive, negative=conditioning(says(1)), controls={id(control): net})
    ask(model)
    assert [(row.cond.uncond, len(row.cond.controls)) for row in network.asked] == [(True, 1), (False, 1)]


def test_inpainting_networks_are_shown_the_rounded_mask_and_the_picture() -> None:
    network = Flat(concat="inpaint")
    picture = torch.full((1, 4, 16, 16), 0.5)
    mask = torch.full((1, 1, 128, 128), 0.6)
    ask(guided(network, Cfg(1.0), positive=conditioning(says(1, concat_latent=picture, concat_mask=mask))))
    beside = network.asked[0].cond.concat
    assert beside.shape == (1, 5, 16, 16)
    assert beside[0, :, 0, 0].tolist() == [1.0, 0.5, 0.5, 0.5, 0.5]


def test_without_a_mask_inpainting_networks_paint_everything_from_grey() -> None:
    network = Flat(concat="inpaint")
    ask(guided(network, Cfg(1.0), positive=conditioning(says(1))))
    assert network.asked[0].cond.concat[0, :, 3, 3].tolist() == pytest.approx([1.0, 0.8223, -0.6876, 0.6364, 0.1380])


# --- patches ---------------------------------------------------------------------------------------------------------


def mixed(patch: Patch, *, scale: float = 3.0, sigma: float = 1.0, x: float = 0.0) -> Tensor:
    model = guided(Flat(), Cfg(scale), (patch,), positive=conditioning(says(2)), negative=conditioning(says(1)))
    return ask(model, sigma, torch.full((1, 4, 16, 16), x))


def test_an_interval_switches_guidance_off_outside() -> None:
    patch = kinds.GuidanceInterval(0.2, 0.8)
    assert mixed(patch, sigma=EPS.percent_to_sigma(0.5)).unique().tolist() == [4.0]
    assert mixed(patch, sigma=EPS.percent_to_sigma(0.1)).unique().tolist() == [2.0]
    assert mixed(patch, sigma=EPS.percent_to_sigma(0.9)).unique().tolist() == [2.0]


def test_rescaled_guidance_has_the_spread_of_the_conditional_velocity() -> None:
    rng = torch.Generator().manual_seed(0)
    x, cond, uncond = (torch.randn(2, 4, 8, 8, generator=rng) for _ in range(3))
    mix = kinds.Mix(x, torch.tensor(2.0), 7.0, cond, uncond, cond, EPS)
    found = kinds.RescaleCfg(1.0).mixed(mix)

    def velocity(denoised: Tensor) -> Tensor:
        return (x / 5 - denoised) * 5**0.5 / 2

    assert torch.allclose(velocity(found).std((1, 2, 3)), velocity(cond).std((1, 2, 3)), rtol=1e-4)
    plain = kinds.RescaleCfg(0.0).mixed(mix)
    assert torch.allclose(plain, uncond + 7 * (cond - uncond), atol=1e-4)


def test_projected_guidance_without_limits_is_plain_guidance_of_one_more() -> None:
    # cond + scale * guidance, as its authors' (scale - 1) counts one less
    assert torch.allclose(mixed(kinds.ProjectedGuidance(1.0, 0.0, 0.0)), torch.tensor(1 + 3 * 1.0 + 1))


def test_projected_guidance_of_parallel_predictions_is_nothing_at_eta_0() -> None:
    assert torch.allclose(mixed(kinds.ProjectedGuidance(0.0, 0.0, 0.0)), torch.tensor(2.0), atol=1e-5)


def test_projected_guidance_is_held_to_its_norm() -> None:
    found = mixed(kinds.ProjectedGuidance(1.0, 4.0, 0.0))
    # |cond - uncond| is 32 here: the guidance is divided by 8
    assert torch.allclose(found, torch.tensor(1 + 3 * (1 / 8) + 1))


def test_projected_guidance_remembers_within_one_sampling() -> None:
    model = guided(
        Flat(), Cfg(2.0), (kinds.ProjectedGuidance(1.0, 0.0, 0.5),),
        positive=conditioning(says(2)), negative=conditioning(says(1)),
    )  # fmt: skip
    assert [ask(model, sigma).max().item() for sigma in (3.0, 2.0, 5.0)] == [4.0, 5.0, 4.0]


def test_damping_keeps_an_unguided_score_along_the_main_direction() -> None:
    assert torch.allclose(mixed(kinds.TangentialDamping(), x=5.0), torch.tensor(4.0), atol=1e-2)


def test_frequencies_of_guidance_are_scaled_apart() -> None:
    flat = mixed(kinds.FrequencyScale(0.5, 1.0, freq_cutoff=2))
    assert torch.allclose(flat, torch.tensor(1 + 3 * 0.5), atol=1e-4)  # a flat difference is all low frequency


def test_zero_star_fits_the_unguided_velocity() -> None:
    # velocities at x = 0 are -2 and -1: alpha is 2, and the unguided prediction counts double
    assert torch.allclose(mixed(kinds.CfgZeroStar()), torch.tensor(2 + (2 - 2) * 3.0), atol=1e-5)


def test_norms_are_held_to_the_conditional_predictions() -> None:
    assert torch.allclose(mixed(kinds.CfgNorm(1.0)), torch.tensor(2.0))
    assert torch.allclose(mixed(kinds.CfgNorm(0.5)), torch.tensor(1.0))
    assert torch.allclose(mixed(kinds.RenormCfg(100.0, 1.0)), torch.tensor(2.0))
    assert torch.allclose(mixed(kinds.RenormCfg(100.0, 0.0)), torch.tensor(4.0))
    assert torch.allclose(mixed(kinds.RenormCfg(0.5, 0.0)), torch.tensor(2.0))


def test_mahiro_of_alike_predictions_is_plain_guidance() -> None:
    assert torch.allclose(mixed(kinds.Mahiro()), torch.tensor(4.0), atol=1e-5)


def test_noise_is_scaled_down() -> None:
    assert torch.allclose(mixed(kinds.EpsilonScaling(2.0), x=8.0), torch.tensor(8 - (8 - 4) / 2))


def test_frames_are_guided_one_by_one() -> None:
    x, cond, uncond = torch.zeros(3, 1, 1, 1), torch.full((3, 1, 1, 1), 2.0), torch.ones(3, 1, 1, 1)
    mix = kinds.Mix(x, torch.tensor(1.0), 5.0, cond, uncond, cond, EPS)
    assert kinds.FrameScale(1.0).mixed(mix).flatten().tolist() == [2.0, 4.0, 6.0]
    assert kinds.FrameScale(1.0, triangle=True).mixed(mix).flatten().tolist() == [2.0, 6.0, 2.0]


def test_patches_compose_in_order() -> None:
    patches = (kinds.RenormCfg(100.0, 0.0), kinds.CfgNorm(1.0), kinds.EpsilonScaling(2.0))
    model = guided(Flat(), Cfg(3.0), patches, positive=conditioning(says(2)), negative=conditioning(says(1)))
    assert torch.allclose(ask(model, x=torch.full((1, 4, 16, 16), 8.0)), torch.tensor(8 - (8 - 2) / 2), atol=1e-5)


def test_perturbed_attention_and_skipped_layers_ask_once_more_with_an_edit() -> None:
    for patch in (kinds.PerturbedAttention(2.0), kinds.SkipLayers((1,), (), 2.0, 0.0, 1.0, 0.5)):
        network = Flat()
        model = guided(network, Cfg(3.0), (patch,), positive=conditioning(says(2)), negative=conditioning(says(1)))
        ask(model)
        assert [len(row.cond.edits) for row in network.asked] == [0, 0, 1]
    network = Flat()
    late = kinds.SkipLayers((1,), (), 2.0, 0.9, 1.0)
    ask(guided(network, Cfg(1.0), (late,), positive=conditioning(says(2))), sigma=10.0)
    assert len(network.asked) == 1


def test_a_differential_mask_opens_with_the_steps() -> None:
    mask = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3)
    sigmas = model_sigmas(EPS, "normal", 10)
    patch = kinds.DifferentialDiffusion()
    opened = [patch.mask(mask, s, sigmas, EPS).flatten().tolist() for s in sigmas[[0, 4, 5, 9]]]
    assert opened == [[0, 0, 1], [0, 0, 1], [0, 1, 1], [1, 1, 1]]


def test_blurring_keeps_a_flat_picture_and_spreads_a_dot() -> None:
    flat = torch.ones(1, 2, 12, 12)
    assert torch.allclose(kinds.gaussian_blur(flat, 2.0), flat, atol=1e-6)
    dot = torch.zeros(1, 1, 13, 13)
    dot[..., 6, 6] = 1
    blurred = kinds.gaussian_blur(dot, 1.0)
    assert blurred.sum().item() == pytest.approx(1.0, abs=1e-4)
    assert blurred[0, 0, 6, 6].item() == pytest.approx(1 / (2 * math.pi), rel=0.01)


def test_sampling_patches_replace_the_parametrisation() -> None:
    assert DiscreteSampling("v_prediction", True).parametrisation(EPS).sigma_max > 4000
    assert len(DiscreteSampling("lcm").parametrisation(EPS).table) == 50
    edm = ContinuousSampling("edm", 80.0, 0.002).parametrisation(EPS)
    assert (edm.sigma_max.item(), edm.sigma_min.item()) == (pytest.approx(80.0), pytest.approx(0.002))
    assert FlowSampling(3.0).parametrisation(EPS).flow
    assert MovedFlowSampling(1.15).parametrisation(EPS).percent_to_sigma(0.5) == pytest.approx(0.7595, abs=1e-4)
    with pytest.raises(ValueError, match="must be above 0 and below"):
        ContinuousSampling("edm", 1.0, 2.0).parametrisation(EPS)


# --- a whole sampling ------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class MixtureNetwork:
    """The golden denoiser as a network: the conditioning's first number says which side, 1 the positive one."""

    parametrisation: Parametrisation
    latent_format: LatentFormat = field(default_factory=lambda: LatentFormat(4))
    concat: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def batch_key(self, row: Row) -> Hashable:
        return row.x.shape

    def predict(self, rows: Sequence[Row]) -> list[Tensor]:
        mixture = Mixture(self.parametrisation)
        return [mixture._denoised(r.x, r.sigma, "cond" if r.cond.context[0, 0, 0] == 1 else "uncond") for r in rows]


def sampled(family: str, sampler: str, scheduler: str, seed: int, denoise: float = 1.0, masked: bool = False) -> Tensor:
    space = {"sd15": EPS, "sd3": FLOW}[family]
    latent = golden("samplers")[f"{family}/latent"]
    mask = golden("samplers")[f"{family}/mask"] if masked else None
    start = Latent(latent, noise_mask=mask)
    task = Task(
        network=MixtureNetwork(space),
        model=MODEL,
        rule=Cfg(3.0),
        conditionings={"positive": conditioning(says(1)), "negative": conditioning(says(0))},
        sampler=Sampler(sampler),
        sigmas=model_sigmas(space, scheduler, 10, denoise, sampler),
        latent=start,
        noise=noise_for(start, seed),
        seed=seed,
    )
    return drive(sample(task)).result.latent.data


@pytest.mark.parametrize("key", [k for k in golden("samplers") if k.startswith(("img2img/", "inpaint/"))])
def test_image_to_image_and_inpainting_equal_the_reference(key: str) -> None:
    kind, family, sampler, schedule, *_ = key.split("/")
    found = sampled(
        family, sampler, schedule.rstrip("0123456789"), 42, 0.5 if kind == "img2img" else 1.0, kind == "inpaint"
    )
    assert (found - golden("samplers")[key]).abs().max() <= tolerance(sampler)


def task(**changes: Any) -> Task:
    latent = changes.pop("latent", Latent(torch.zeros(1, 4, 8, 8)))
    facts = {
        "network": MixtureNetwork(EPS),
        "model": MODEL,
        "rule": Cfg(1.0),
        "conditionings": {"positive": conditioning(says(1))},
        "sampler": Sampler("euler"),
        "sigmas": model_sigmas(EPS, "normal", 3),
        "latent": latent,
        "noise": noise_for(latent, 1),
    }
    return Task(**(facts | changes))


def test_no_steps_give_the_latent_back() -> None:
    latent = Latent(torch.ones(1, 4, 8, 8))
    result = drive(sample(task(latent=latent, sigmas=torch.zeros(0)))).result
    assert result.latent is result.denoised is latent


def test_a_single_sigma_is_no_step_but_its_noise_is_put_on() -> None:
    start = task(latent=Latent(torch.ones(1, 4, 8, 8)), sigmas=torch.tensor([5.0]))
    result = drive(sample(start)).result
    assert torch.allclose(result.latent.data, 1 + 5 * start.noise, atol=1e-5)
    assert result.denoised is result.latent
    kept = drive(sample(task(latent=Latent(torch.ones(1, 4, 8, 8)), sigmas=torch.zeros(1)))).result
    assert torch.equal(kept.latent.data, torch.ones(1, 4, 8, 8))


@pytest.mark.parametrize(("space", "levels", "said"), [
    (EPS, [10.0, 0.0, 5.0, 0.0], "step 2 begins at sigma 0, where no noise is left to take off: of 10, 0, 5, 0 only"),
    (EPS, [0.0, 0.0], "step 1 begins at sigma 0"),
    (EPS, [5.0, float("nan"), 0.0], "numbers from 0 up, not 5, nan, 0"),
    (EPS, [5.0, -1.0], "numbers from 0 up, not 5, -1"),
    (EPS, [float("inf"), 1.0], "numbers from 0 up, not inf, 1"),
    (EPS, [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 0.0, 0.0], r"of 9, 8, 7, 6, 5, 4, \.\.\., 0 only"),
    (FLOW, [1.0], "the sigmas 1 end where a flow model's latent is noise alone"),
])  # fmt: skip
def test_lists_of_sigmas_that_no_sampler_can_walk_are_refused(
    space: Parametrisation, levels: list[float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        drive(sample(task(network=MixtureNetwork(space), sigmas=torch.tensor(levels))))


def test_leftover_noise_and_the_last_prediction_are_both_handed_out() -> None:
    result = drive(sample(task(sigmas=torch.tensor([14.6, 5.0])))).result
    assert result.latent.data.std() > 3
    assert result.denoised.data.std() < 2


def test_a_prediction_that_is_no_number_is_told_with_its_step() -> None:
    @dataclass(eq=False)
    class Broken(MixtureNetwork):
        def predict(self, rows: Sequence[Row]) -> list[Tensor]:
            found = super().predict(rows)
            return [d * float("nan") if float(r.sigma) < 5 else d for d, r in zip(found, rows, strict=True)]

    with pytest.raises(ValueError, match=r"at step 2 \(sigma 1\.6.*the model's prediction holds NaN"):
        drive(sample(task(network=Broken(EPS))))


def test_a_latent_of_another_family_is_refused_but_an_empty_one_fits() -> None:
    form = LatentFormat(16)
    assert fit_latent(Latent(torch.zeros(2, 4, 8, 8)), form).data.shape == (2, 16, 8, 8)
    assert fit_latent(Latent(torch.zeros(1, 4, 8, 8)), LatentFormat(128, downscale=16)).data.shape == (1, 128, 4, 4)
    assert fit_latent(Latent(torch.zeros(1, 4, 8, 8)), LatentFormat(16, dims=3)).data.shape == (1, 16, 1, 8, 8)
    with pytest.raises(ValueError, match="4 channels, the model 16"):
        fit_latent(Latent(torch.ones(1, 4, 8, 8)), form)
    with pytest.raises(ValueError, match="holds NaN"):
        fit_latent(Latent(torch.full((1, 4, 8, 8), float("nan"))), LatentFormat(4))


@pytest.mark.parametrize(("sampler", "levels", "said"), [
    ("euler_ancestral", [5.0, 9.0, 1.0, 0.0],
     r"at step 2 \(sigma 9\) euler_ancestral's own numbers overflowed: the sigmas rise at step 1 \(5 to 9\)"),
    ("dpmpp_2m", [9.0, 5.0, 5.0, 1.0, 0.0], r"at step \d \(sigma .*dpmpp_2m's own .* repeat 5, which it cannot follow"),
    ("euler_ancestral", [5.0, 9.0], r"after step 1 euler_ancestral's own numbers overflowed: the sigmas rise"),
    ("sa_solver", [9.0, 5.0, 5.0, 1.0, 0.0], r"at step \d sa_solver's own numbers overflowed: the sigmas repeat 5"),
    ("dpmpp_sde", [1.0, 3.0, 5.0], "let them fall, or take euler, which follows any"),
    ("euler", [3e38, 1.0, 0.0], r"at step 1 \(sigma 3e\+38\) euler's own numbers overflowed; try another scheduler"),
])  # fmt: skip
def test_sigmas_that_a_sampler_cannot_follow_are_told_with_the_step(
    sampler: str, levels: list[float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        drive(sample(task(sampler=Sampler(sampler), sigmas=torch.tensor(levels))))


def test_a_flow_model_s_brownian_noise_above_sigma_1_is_told_and_not_searched_for_without_end() -> None:
    with pytest.raises(ValueError, match="no Brownian noise between sigma 1 and nan"):
        drive(
            sample(
                task(
                    network=MixtureNetwork(FLOW),
                    sampler=Sampler("dpmpp_sde"),
                    sigmas=torch.tensor([1.0, 10.0, 5.0, 0.0]),
                )
            )
        )

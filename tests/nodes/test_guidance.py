"""What guidance nodes make of two predictions, worked out by hand on vectors of two channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.diffusion.conds import Canvas, resolve
from graphflow.diffusion.guidance import Cfg, Guided
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.patches import AskingAfterMix, AskingInsteadOfMix, MaskPatch, Mix
from graphflow.diffusion.schedules import model_sigmas
from graphflow.models import Residency
from graphflow.node import Denoise, Row, Text
from graphflow.values import Cond, Conditioning, Guider, Latent, Model, Sigmas, Weights
from graphflow_nodes import guidance, latent_operations
from graphflow_nodes import model_patches as m
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.loaders import CheckpointParts, checkpoint_loader_simple
from graphflow_nodes.samplers import k_sampler_select
from graphflow_nodes.sampling import sampler_custom_advanced
from tests.numerics import EPS, drive, evaluate
from tests.tiny import golden_sd15

MODEL = Model(Weights((), "model"))
PLAIN = [5.0, 8.0]
"""Guidance of scale 2 from the unguided prediction (1, 0) through the prompt's (3, 4)."""


@dataclass(eq=False)
class Told:
    """Predicts what the conditioning's context says, and (1, 1) when its forward pass is changed."""

    parametrisation = EPS
    latent_format = LatentFormat(2)
    concat = ""
    device = torch.device("cpu")

    def batch_key(self, row: Row) -> Hashable:
        return row.x.shape

    def predict(self, rows: Sequence[Row]) -> list[Tensor]:
        return [
            torch.ones_like(row.x) if row.cond.edits else row.cond.context[0].reshape(row.x.shape[1:]).expand_as(row.x)
            for row in rows
        ]


def says(*numbers: float) -> Conditioning:
    return Conditioning((Cond(torch.tensor(numbers).reshape(1, 1, -1)),))


def steered(
    model: Model, cond: Conditioning, uncond: Conditioning, x: Tensor, sigma: float = 1.0, scale: float = 2.0
) -> Tensor:
    """What a sampler is told at that point under classifier-free guidance of that scale."""
    canvas = Canvas(Told(), EPS, torch.zeros_like(x))
    asked = [patch.conditionings() for patch in model.patches if isinstance(patch, AskingInsteadOfMix)]
    regions = resolve(
        {"positive": cond, "negative": uncond} | {r: c for more in asked for r, c in more.items()}, canvas
    )
    told: Tensor = evaluate(Denoise(Guided(canvas, regions, Cfg(scale), model.patches), x, torch.tensor(sigma)))
    return told


EARLY, LATE = EPS.percent_to_sigma(0.1), EPS.percent_to_sigma(0.5)

CASES: dict[str, tuple[Callable[[], Model], float, list[float]]] = {
    "nothing": (lambda: MODEL, 1.0, PLAIN),
    "inside of an interval": (lambda: m.guidance_interval(MODEL, 0.05, 0.2), EARLY, PLAIN),
    "behind an interval": (lambda: m.guidance_interval(MODEL, 0.05, 0.45), LATE, [3.0, 4.0]),
    # lengths 5 and sqrt(89)
    "CFGNorm": (lambda: m.cfg_norm(MODEL), 1.0, [2.65, 4.24]),
    "CFGNorm by half": (lambda: m.cfg_norm(MODEL, 0.5), 1.0, [1.325, 2.12]),
    "RenormCFG": (lambda: m.renorm_cfg(MODEL), 1.0, [2.65, 4.24]),
    "RenormCFG to half as much again": (lambda: m.renorm_cfg(MODEL, 100.0, 1.5), 1.0, [3.975, 6.36]),
    "RenormCFG above its noise level": (lambda: m.renorm_cfg(MODEL, 0.5), 1.0, [3.0, 4.0]),
    # v = ((2.5, 1) - prediction) * sqrt(2) is (2.5, 7) against the prompt's (0.5, 3): spreads 4.5 and 2.5
    "RescaleCFG": (lambda: m.rescale_cfg(MODEL, 1.0), 1.0, [2.5 + 2.5 * 2.5 / 4.5, 1 + 7 * 2.5 / 4.5]),
    "RescaleCFG by half": (lambda: m.rescale_cfg(MODEL, 0.5), 1.0, [2.5 + 2.5 * 3.5 / 4.5, 1 + 7 * 3.5 / 4.5]),
    # noise (2, -2) and (4, 2): the unguided is a fifth of itself where it fits best, U -> U / 5
    "CFGZeroStar": (lambda: m.cfg_zero_star(MODEL), 1.0, [5.8, 8.0]),
    # the difference (2, 4) has (2.64, 3.52) along the prediction and (-0.64, 0.48) across
    "APG": (lambda: m.apg(MODEL, 0.5, 0.0), 1.0, [3 + 2 * (-0.64 + 1.32), 4 + 2 * (0.48 + 1.76)]),
    "APG held to half its length": (lambda: m.apg(MODEL, 0.5, 5**0.5), 1.0, [3 - 0.64 + 1.32, 4 + 0.48 + 1.76]),
    # roots (sqrt 2, 0) and (sqrt 5.5, sqrt 8) have the cosine sqrt(5.5 / 13.5)
    "Mahiro": (lambda: m.mahiro(MODEL), 1.0, [6 - (1 + (5.5 / 13.5) ** 0.5) / 2, 8.0]),
    "Epsilon Scaling": (lambda: m.epsilon_scaling(MODEL, 1.25), 1.0, [5.0, 6.8]),
    # scores (2, -2) and (4, 2) have the main direction (0.95709, 0.28977), along which (4, 2) is (4.2188, 1.2773)
    "TCFG": (lambda: m.tcfg(MODEL), 1.0, [6 - (5 - 4.2188), 8 - (2 - 1.2773)]),
    "PerturbedAttentionGuidance": (lambda: m.perturbed_attention_guidance(MODEL, 3.0), 1.0, [5 + 3 * 2, 8 + 3 * 3]),
    "SkipLayerGuidanceSD3": (lambda: m.skip_layer_guidance_sd3(MODEL, "1", 2.0, 0.05, 0.2), EARLY, [9.0, 14.0]),
    "SkipLayerGuidanceSD3 is over": (lambda: m.skip_layer_guidance_sd3(MODEL, "1", 2.0, 0.05, 0.2), LATE, PLAIN),
    # spreads 5 and 1: half of the way to a fifth
    "SkipLayerGuidanceDiT": (lambda: m.skip_layer_guidance_dit(MODEL, "1", "", 2.0, 0.0, 1.0, 0.5), 1.0, [5.4, 8.4]),
    "SkipLayerGuidanceDiTSimple": (lambda: m.skip_layer_guidance_dit_simple(MODEL, "1", ""), 1.0, [5.0, 7.0]),
    "SkipLayerGuidanceDiTSimple is over": (
        lambda: m.skip_layer_guidance_dit_simple(MODEL, "1", "", 0.0, 0.2),
        LATE,
        PLAIN,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_two_predictions_are_mixed_by_hand(case: str) -> None:
    make, sigma, wanted = CASES[case]
    x = torch.tensor([5.0, 2.0]).reshape(1, 2, 1, 1)
    found = steered(make(), says(3.0, 4.0), says(1.0, 0.0), x, sigma)
    assert found.flatten().tolist() == pytest.approx(wanted, abs=2e-4)


def test_only_what_is_across_is_taken_away() -> None:
    model = guidance.perp_neg(MODEL, says(1.0, 1.0), 0.5)
    found = steered(model, says(4.0, 5.0), says(1.0, 2.0), torch.zeros(1, 2, 1, 1))
    # from (1, 1) the prompt is (3, 4) away, the negative (0, 1), of which (-0.48, 0.36) is across
    assert found.flatten().tolist() == pytest.approx([1 + 2 * (3 + 0.5 * 0.48), 1 + 2 * (4 - 0.5 * 0.36)], abs=1e-5)


def test_coarse_and_fine_differences_have_scales_of_their_own() -> None:
    # a difference of 1 all over, which is coarse, and a chequered one of 0.5, which is fine
    chequers = 0.5 * torch.tensor([[1.0, -1.0] * 2, [-1.0, 1.0] * 2] * 2).reshape(1, 1, 4, 4)
    found = steered(
        m.fresca(MODEL, 0.5, 3.0, 1),
        says(*(1 + chequers).flatten().tolist()),
        says(*[0.0] * 16),
        torch.zeros(1, 1, 4, 4),
    )
    torch.testing.assert_close(found, 2 * (0.5 + 3 * chequers))


@pytest.mark.parametrize(
    ("node", "wanted"),
    [(m.video_linear_cfg_guidance, [1.5, 3.25, 5.0]), (m.video_triangle_cfg_guidance, [1.5, 5.0, 1.5])],
)
def test_frames_are_guided_by_their_place(node: Callable[[Model, float], Model], wanted: list[float]) -> None:
    found = steered(node(MODEL, 1.5), says(1.0, 1.0), says(0.0, 0.0), torch.zeros(3, 2, 1, 1), scale=5.0)
    assert found[:, 0].flatten().tolist() == wanted


def test_self_attention_guidance_leads_away_from_what_is_blurred_where_the_network_looks() -> None:
    (patch,) = m.self_attention_guidance(MODEL, 2.0, 1.0).patches
    assert isinstance(patch, AskingAfterMix)
    dot = torch.zeros(1, 1, 6, 6)
    dot[..., 2, 2] = 1
    x, guided = torch.full_like(dot, 3.0), torch.full_like(dot, 5.0)
    asked: list[Tensor] = []

    def again(role: str, *, x: Tensor | None = None, edits: tuple[Any, ...] = ()) -> Any:
        yield from ()
        for edit in edits:  # every place looks at the middle one of nine
            edit.into.maps.append(torch.zeros(1, 1, 9, 9).index_fill(3, torch.tensor([4]), 1.0))
        asked.extend([] if x is None else [x])
        return torch.full_like(dot, 0.25)

    walk = patch.asking(Mix(x, torch.tensor(1.0), 2.0, dot, dot, guided, EPS), again)
    with pytest.raises(StopIteration) as end:
        next(walk)
    bell = [math.exp(-k * k / 2) for k in range(5)]
    row = torch.tensor([bell[0] + bell[4], bell[1]]) / (2 * sum(bell) - bell[0])  # mirrored at the border, 4 away
    degraded = torch.zeros_like(dot)
    degraded[..., 2:4, 2:4] = row[:, None] * row
    torch.testing.assert_close(end.value.value, guided + 2 * (degraded - 0.25))
    torch.testing.assert_close(asked, [degraded + x - dot])


def test_an_operation_works_on_what_guidance_adds() -> None:
    tonemap = latent_operations.latent_operation_tonemap_reinhard(2.0)
    model = latent_operations.latent_apply_operation_cfg(MODEL, tonemap)
    found = steered(model, says(4.0, 4.0), says(1.0, 0.0), torch.zeros(1, 2, 1, 1))
    # the difference (3, 4) is 5 long, the top 10: it becomes 5 / (1 + 5 / 10) long
    assert found.flatten().tolist() == pytest.approx([1 + 2 * 3 / 1.5, 2 * 4 / 1.5])


def test_a_soft_mask_is_between_what_it_says_and_what_has_opened() -> None:
    (patch,) = m.differential_diffusion(MODEL, 0.4).patches
    assert isinstance(patch, MaskPatch)
    sigmas = model_sigmas(EPS, "normal", 10)
    mask = patch.mask(torch.tensor([0.0, 0.3, 0.7, 1.0]), sigmas[4], sigmas, EPS)  # 5 of 9 parts of time are to go
    assert mask.tolist() == pytest.approx([0.0, 0.6 * 0.3, 0.4 + 0.6 * 0.7, 1.0])


# --- guiders, on a small Stable Diffusion ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheckpointParts]:
    file = golden_sd15(tmp_path_factory.mktemp("checkpoints"))
    with Residency(device="cpu", dtype="float32").active(), torch.inference_mode():
        yield checkpoint_loader_simple(file)


def predicted(guider: Guider) -> Tensor:
    """The prediction at sigma 5 of a latent that is noise alone: a step of Euler's to 0 goes there."""
    sigmas, latent = Sigmas(torch.tensor([5.0, 0.0])), Latent(torch.zeros(1, 4, 8, 8))
    noise, euler = guidance.random_noise(3), k_sampler_select("euler")
    painted: Any = drive(sampler_custom_advanced(noise, guider, euler, sigmas, latent)).result
    return painted.output.data  # type: ignore[no-any-return]


def test_guiders_mix_the_predictions_of_their_prompts(parts: CheckpointParts) -> None:
    model = parts.MODEL
    cat, dog, none = (clip_text_encode(Text(text), parts.CLIP) for text in ("a cat", "a dog", ""))
    c, d, n = (predicted(guidance.basic_guider(model, prompt)) for prompt in (cat, dog, none))
    assert not torch.allclose(c, d, rtol=1e-2)
    mixed = [
        (guidance.cfg_guider(model, cat, none, 3.0), n + 3 * (c - n)),
        (guidance.dual_cfg_guider(model, cat, dog, none, 2.0, 3.0), n + 3 * (d - n) + 2 * (c - d)),
        (guidance.dual_cfg_guider(model, cat, dog, none, 2.0, 3.0, "nested"), n + 3 * (d + 2 * (c - d) - n)),
        (guidance.perp_neg_guider(model, cat, dog, none, 3.0, 0.5), n + 3 * (c - n - 0.5 * across(d - n, c - n))),
    ]
    for guider, wanted in mixed:
        torch.testing.assert_close(predicted(guider), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def across(a: Tensor, b: Tensor) -> Tensor:
    """What of `a` does not lie along `b`."""
    return a - (a * b).sum() / (b * b).sum() * b


def test_noise_is_added_to_what_is_there(parts: CheckpointParts) -> None:
    latent, sigmas = Latent(torch.full((1, 4, 2, 2), 0.5)), Sigmas(torch.tensor([5.0, 3.0, 1.0]))
    noise = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(7))
    noisy = guidance.add_noise(parts.MODEL, guidance.random_noise(7), sigmas, latent)
    torch.testing.assert_close(noisy.data, 0.5 + (5 - 1) * noise / 0.18215)
    one = guidance.add_noise(parts.MODEL, guidance.random_noise(7), Sigmas(torch.tensor([3.0])), latent)
    torch.testing.assert_close(one.data, 0.5 + 3 * noise / 0.18215)
    assert guidance.add_noise(parts.MODEL, guidance.random_noise(7), Sigmas(torch.zeros(0)), latent) is latent

"""Sampling nodes on a small Stable Diffusion: the custom ones agree with KSampler, and odd inputs are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.diffusion.noise import initial_noise
from graphflow.diffusion.samplers import SamplerName
from graphflow.diffusion.schedules import SCHEDULERS, SchedulerName
from graphflow.models import Residency
from graphflow.node import File, Text
from graphflow.values import Conditioning, Latent, Model, Sigmas
from graphflow_nodes import guidance, samplers, schedules
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.latent import empty_latent_image
from graphflow_nodes.loaders import checkpoint_loader_simple
from graphflow_nodes.model_patches import guidance_interval, perturbed_attention_guidance, self_attention_guidance
from graphflow_nodes.model_sampling import model_sampling_discrete, noise_compatibility
from graphflow_nodes.sampling import k_sampler, k_sampler_advanced, sampler_custom, sampler_custom_advanced
from tests.numerics import drive
from tests.tiny import golden_sd15

LATENT = empty_latent_image(128, 128)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as residency, torch.inference_mode():
        yield residency


@pytest.fixture
def model(tiny: File) -> Model:
    return checkpoint_loader_simple(tiny).MODEL


@pytest.fixture
def prompts(tiny: File) -> dict[str, Conditioning]:
    clip = checkpoint_loader_simple(tiny).CLIP
    return {"positive": clip_text_encode(Text("a cat"), clip), "negative": clip_text_encode(Text(""), clip)}


def paint(model: Model, prompts: dict[str, Conditioning], **changes: Any) -> Tensor:
    options = {"seed": 3, "steps": 3, "cfg": 5.0, "sampler_name": "euler_ancestral", "scheduler": "karras"}
    return drive(k_sampler(model, latent_image=LATENT, **prompts, **(options | changes))).result.data


def test_the_parts_of_a_custom_sampling_paint_what_k_sampler_paints(
    model: Model, prompts: dict[str, Conditioning]
) -> None:
    expected = paint(model, prompts)
    sigmas = schedules.basic_scheduler(model, scheduler="karras", steps=3)
    sampler = samplers.k_sampler_select("euler_ancestral")
    custom = drive(
        sampler_custom(model, noise_seed=3, cfg=5.0, sampler=sampler, sigmas=sigmas, latent_image=LATENT, **prompts)
    ).result
    guider = guidance.cfg_guider(model, prompts["positive"], prompts["negative"], 5.0)
    advanced = drive(sampler_custom_advanced(guidance.random_noise(3), guider, sampler, sigmas, LATENT)).result
    assert torch.equal(custom.output.data, expected)
    assert torch.equal(advanced.output.data, expected)
    assert torch.equal(advanced.denoised_output.data, expected)  # the last step goes to the prediction


def test_two_passes_make_one(model: Model, prompts: dict[str, Conditioning]) -> None:
    options = {"steps": 4, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", **prompts}
    first = drive(
        k_sampler_advanced(
            model, noise_seed=3, end_at_step=2, return_with_leftover_noise="enable", latent_image=LATENT, **options
        )
    ).result
    second = drive(
        k_sampler_advanced(model, add_noise="disable", start_at_step=2, latent_image=first, **options)
    ).result
    torch.testing.assert_close(
        second.data, paint(model, prompts, steps=4, sampler_name="euler", scheduler="normal"), atol=1e-2, rtol=1e-4
    )


def test_a_basic_guider_follows_the_prompt_alone(model: Model, prompts: dict[str, Conditioning]) -> None:
    guider = guidance.basic_guider(model, prompts["positive"])
    sigmas = schedules.basic_scheduler(model, scheduler="karras", steps=3)
    found = drive(
        sampler_custom_advanced(
            guidance.random_noise(3), guider, samplers.k_sampler_select("euler_ancestral"), sigmas, LATENT
        )
    ).result
    assert torch.equal(found.output.data, paint(model, prompts, cfg=1.0))
    never = guidance_interval(model, 0.0, 0.0)
    assert torch.equal(paint(never, prompts), paint(model, prompts, cfg=1.0))


def test_what_would_change_nothing_gives_the_latent_back(model: Model, prompts: dict[str, Conditioning]) -> None:
    assert torch.equal(paint(model, prompts, denoise=0.0), LATENT.data)
    none = drive(k_sampler_advanced(model, steps=3, start_at_step=3, latent_image=LATENT, **prompts)).result
    assert torch.equal(none.data, LATENT.data)


def test_an_empty_latent_fits_the_model_even_when_nothing_is_done(
    model: Model, prompts: dict[str, Conditioning]
) -> None:
    other = Latent(torch.zeros(2, 16, 8, 8))
    kept = drive(k_sampler(model, latent_image=other, denoise=0.0, **prompts)).result
    assert kept.data.shape == (2, 4, 8, 8)
    no_sigmas = Sigmas(torch.zeros(0))
    sampler = samplers.k_sampler_select("euler")
    pair = drive(sampler_custom(model, sampler=sampler, sigmas=no_sigmas, latent_image=other, **prompts)).result
    assert pair.output.data.shape == pair.denoised_output.data.shape == (2, 4, 8, 8)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("sampler", ["euler", "dpm_2"])
def test_a_denoise_of_nearly_nothing_leaves_the_picture(
    model: Model, prompts: dict[str, Conditioning], sampler: SamplerName, scheduler: SchedulerName
) -> None:
    start = replace(LATENT, data=initial_noise((1, 4, 4, 4), 1))
    options = {"steps": 1, "sampler_name": sampler, "scheduler": scheduler, "denoise": 1e-9, **prompts}
    changed = drive(k_sampler(model, latent_image=start, **options)).result.data - start.data
    assert changed.isfinite().all()
    if scheduler not in ("ddim_uniform", "linear_quadratic"):  # whose last step is long, however many there are
        assert changed.abs().mean() < 5


def test_at_cfg_1_the_negative_prompt_counts_for_nothing(model: Model, prompts: dict[str, Conditioning]) -> None:
    swapped = {"positive": prompts["positive"], "negative": prompts["positive"]}
    assert torch.equal(paint(model, prompts, cfg=1.0), paint(model, swapped, cfg=1.0))
    assert not torch.equal(paint(model, prompts, cfg=1.01), paint(model, swapped, cfg=1.01))


def test_a_split_at_step_0_is_noise_alone_and_then_everything(model: Model, prompts: dict[str, Conditioning]) -> None:
    sigmas = schedules.basic_scheduler(model, scheduler="karras", steps=3)
    high, low = schedules.split_sigmas(sigmas, 0)
    options = {"model": model, "cfg": 5.0, "sampler": samplers.k_sampler_select("euler"), **prompts}
    noise = drive(sampler_custom(noise_seed=3, sigmas=high, latent_image=LATENT, **options)).result.output
    found = drive(sampler_custom(add_noise=False, sigmas=low, latent_image=noise, **options)).result.output
    torch.testing.assert_close(found.data, paint(model, prompts, sampler_name="euler"), atol=1e-2, rtol=1e-4)


def test_masks_of_another_size_and_batch_are_brought_to_the_latent(
    model: Model, prompts: dict[str, Conditioning]
) -> None:
    def inside(latent: Latent, mask: Tensor) -> Tensor:
        options = {"seed": 3, "steps": 2, "sampler_name": "euler", **prompts}
        return drive(k_sampler(model, latent_image=replace(latent, noise_mask=mask), **options)).result.data

    three = empty_latent_image(128, 128, 3)
    masks = torch.stack([torch.zeros(5, 500), torch.ones(5, 500)])
    found = inside(three, masks)
    assert [bool(picture.abs().max() > 1e-3) for picture in found] == [False, True, False]  # the first mask again
    assert torch.equal(inside(three, torch.ones(1, 1, 1)), inside(three, torch.ones(7, 64, 64)))


def test_a_batch_index_paints_one_picture_of_a_batch(model: Model, prompts: dict[str, Conditioning]) -> None:
    options = {"seed": 3, "steps": 2, "sampler_name": "euler", **prompts}
    batch = drive(k_sampler(model, latent_image=empty_latent_image(128, 128, 2), **options)).result
    one = drive(k_sampler(model, latent_image=replace(LATENT, batch_index=(1,)), **options)).result
    torch.testing.assert_close(one.data, batch.data[1:], atol=2e-2, rtol=1e-3)


def test_noise_compatibility_moves_the_ancestral_seed_alone(model: Model, prompts: dict[str, Conditioning]) -> None:
    newer = noise_compatibility(model, "current")
    assert not torch.equal(paint(newer, prompts), paint(model, prompts))
    assert torch.equal(paint(newer, prompts, sampler_name="euler"), paint(model, prompts, sampler_name="euler"))


@pytest.mark.parametrize("patch", [perturbed_attention_guidance, self_attention_guidance, model_sampling_discrete])
def test_patches_reach_the_network(patch: Any, model: Model, prompts: dict[str, Conditioning]) -> None:
    changed = patch(model, sampling="v_prediction") if patch is model_sampling_discrete else patch(model)
    found = paint(changed, prompts)
    assert found.isfinite().all()
    assert not torch.equal(found, paint(model, prompts))


def test_noise_is_added_as_sigmas_say(model: Model) -> None:
    noisy = guidance.add_noise(model, guidance.random_noise(1), Sigmas(torch.tensor([5.0, 1.0])), LATENT)
    assert noisy.data.std().item() == pytest.approx(4 / 0.18215, rel=0.15)
    assert torch.equal(
        guidance.add_noise(model, guidance.disable_noise(), Sigmas(torch.tensor([5.0])), LATENT).data, LATENT.data
    )


def test_a_latent_of_another_family_and_one_with_nan_are_refused(
    model: Model, prompts: dict[str, Conditioning]
) -> None:
    for data, message in (
        (torch.ones(1, 16, 8, 8), "16 channels, the model 4"),
        (torch.full((1, 4, 8, 8), float("nan")), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            drive(k_sampler(model, latent_image=Latent(data), **prompts))


def test_sigmas_by_hand() -> None:
    assert schedules.manual_sigmas("14.6, 3\n[1] 0").data.tolist() == [pytest.approx(14.6), 3.0, 1.0, 0.0]
    assert len(schedules.manual_sigmas("").data) == 0
    for text, message in (("1, two", "write numbers"), ("inf", "finite"), ("-1", "not below 0")):
        with pytest.raises(ValueError, match=message):
            schedules.manual_sigmas(text)


@pytest.mark.parametrize(("made", "said"), [
    (lambda: schedules.karras_scheduler(5, rho=0.0), "too large for rho 0.0: take one around 7"),
    (lambda: schedules.karras_scheduler(5, rho=0.001), "too large for rho 0.001"),
    (lambda: schedules.vp_scheduler(5, 5000.0, 5000.0), "make sigmas that are none"),
    (lambda: schedules.ltxv_scheduler(5, 100.0, 0.0), "make sigmas that are none"),
    (lambda: schedules.exponential_scheduler(5, 14.6, 0.0), "sigma_min and sigma_max must be above 0"),
])  # fmt: skip
def test_formulas_that_give_no_numbers_are_told(made: Callable[[], Sigmas], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()


def test_percents_of_a_model(model: Model) -> None:
    percent = schedules.sampling_percent_to_sigma
    assert percent(model, sampling_percent=0.5) == pytest.approx(1.6156, abs=1e-3)
    assert percent(model, sampling_percent=0.0, return_actual_sigma=True) == pytest.approx(14.6146, abs=1e-3)
    assert percent(model, sampling_percent=1.0, return_actual_sigma=True) == pytest.approx(0.0292, abs=1e-3)

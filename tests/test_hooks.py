"""Hooks change weights for some prompts alone, as strongly as their keyframes say, and leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.diffusion.hooks import spans, strengths_at
from graphflow.errors import UnsupportedFile
from graphflow.models import Residency
from graphflow.node import File, Text
from graphflow.values import Conditioning, HookKeyframe, HookKeyframes, Hooks, Lora, Model, WeightHook
from graphflow_nodes import hooks as nodes
from graphflow_nodes.conditioning import (
    clip_text_encode,
    clip_text_encode_controlnet,
    conditioning_set_default_combine,
    conditioning_set_properties,
    conditioning_set_timestep_range,
)
from graphflow_nodes.latent import empty_latent_image
from graphflow_nodes.loaders import CheckpointParts, checkpoint_loader_simple
from graphflow_nodes.samplers import k_sampler_select
from graphflow_nodes.sampling import sampler_custom
from graphflow_nodes.schedules import manual_sigmas
from tests.numerics import drive
from tests.tiny import file, golden_sd15

NETWORK = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
LATENT = empty_latent_image(64, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, another one with its config, and a LoRA for both parts of them."""
    folder = tmp_path_factory.mktemp("models")
    tiny = golden_sd15(folder)
    r = torch.Generator().manual_seed(1)
    state = {k: v + 0.05 * torch.randn(v.shape, generator=r) for k, v in load_file(tiny.path).items()}
    save_file(state, folder / "other.safetensors")
    (folder / "other.config").symlink_to(folder / "tiny-sd15.config", target_is_directory=True)
    width = state["cond_stage_model.transformer.text_model.final_layer_norm.weight"].shape[0]
    lora = {}
    for name, rows in ((NETWORK, 128), (TEXT, width)):
        lora[f"{name}.lora_up.weight"] = torch.randn(rows, 4, generator=r)
        lora[f"{name}.lora_down.weight"] = torch.randn(4, width, generator=r)
    save_file(lora, folder / "lora.safetensors")
    return folder


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home, torch.inference_mode():
        yield home


@pytest.fixture
def lora(folder: Path) -> File:
    return file(folder / "lora.safetensors")


@pytest.fixture
def parts(folder: Path) -> CheckpointParts:
    return checkpoint_loader_simple(file(folder / "tiny-sd15.safetensors"))


def says(parts: CheckpointParts, text: str) -> Conditioning:
    return clip_text_encode(Text(text), parts.CLIP)


def paint(
    model: Model, positive: Conditioning, negative: Conditioning | None = None, cfg: float = 1.0, sigmas: str = "2, 0"
) -> Tensor:
    walk = sampler_custom(
        model, noise_seed=3, cfg=cfg, positive=positive, negative=negative or positive,
        sampler=k_sampler_select("euler"), sigmas=manual_sigmas(sigmas), latent_image=LATENT,
    )  # fmt: skip
    found: Tensor = drive(walk).result.output.data
    return found


# --- in a sampling ---------------------------------------------------------------------------------------------------


def test_a_hooked_prompt_is_asked_of_the_changed_network_and_the_other_of_the_plain_one(
    parts: CheckpointParts, lora: File
) -> None:
    cat, nothing = says(parts, "a cat"), says(parts, "")
    changed = parts.MODEL.patched(Lora(lora, 0.5))
    hooked = conditioning_set_properties(cat, hooks=nodes.create_hook_lora_model_only(lora, 0.5))
    cond, uncond = paint(changed, cat), paint(parts.MODEL, nothing)

    assert not torch.equal(cond, paint(parts.MODEL, cat))
    assert torch.equal(paint(parts.MODEL, hooked), cond)
    guided = paint(parts.MODEL, hooked, nothing, 3.0)
    torch.testing.assert_close(guided, uncond + 3 * (cond - uncond), atol=1e-4, rtol=1e-4)
    assert torch.equal(paint(parts.MODEL, nothing), uncond)


def test_keyframes_change_the_strength_from_step_to_step(parts: CheckpointParts, lora: File) -> None:
    cat = says(parts, "a cat")
    hooks = nodes.create_hook_lora(lora, 0.5, 0.0)
    none = nodes.create_hook_keyframe(0.0)
    assert torch.equal(
        paint(parts.MODEL, conditioning_set_properties(cat, hooks=nodes.set_hook_keyframes(hooks, none))),
        paint(parts.MODEL, cat),
    )
    # the multiplier 2 begins at 90 % of the timesteps, sigma 0.32: the step from 2 has none of it, that from 0.3 all
    late = nodes.create_hook_keyframe(2.0, 0.9, none)
    hooked = conditioning_set_properties(cat, hooks=nodes.set_hook_keyframes(hooks, late))
    half = paint(parts.MODEL, cat, sigmas="2, 0.3")
    latent = replace(LATENT, data=half)
    strong = parts.MODEL.patched(Lora(lora, 1.0))
    rest = sampler_custom(
        strong, add_noise=False, cfg=1.0, positive=cat, negative=cat, sampler=k_sampler_select("euler"),
        sigmas=manual_sigmas("0.3, 0"), latent_image=latent,
    )  # fmt: skip
    expected = drive(rest).result.output.data
    torch.testing.assert_close(paint(parts.MODEL, hooked, sigmas="2, 0.3, 0"), expected, atol=1e-4, rtol=1e-4)


def test_another_model_stands_in_for_the_first_where_it_is_hooked(parts: CheckpointParts, folder: Path) -> None:
    other = file(folder / "other.safetensors")
    cat = says(parts, "a cat")
    whole = conditioning_set_properties(cat, hooks=nodes.create_hook_model_as_lora_model_only(other))
    expected = paint(checkpoint_loader_simple(other).MODEL, cat)
    torch.testing.assert_close(paint(parts.MODEL, whole), expected, atol=1e-4, rtol=1e-4)

    twice = nodes.combine_hooks_2(
        nodes.create_hook_model_as_lora(other, 0.25), nodes.create_hook_model_as_lora(other, 0.5)
    )
    once = nodes.create_hook_model_as_lora(other, 0.75)
    found = [paint(parts.MODEL, conditioning_set_properties(cat, hooks=hooks)) for hooks in (twice, once)]
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_a_lora_that_does_not_fit_is_told_before_the_first_step(parts: CheckpointParts, tmp_path: Path) -> None:
    save_file({"lora_unet_nowhere.lora_up.weight": torch.ones(2, 1)}, tmp_path / "wrong.safetensors")
    hooks = nodes.create_hook_lora(file(tmp_path / "wrong.safetensors"))
    with pytest.raises(UnsupportedFile, match="nothing in wrong"):
        paint(parts.MODEL, conditioning_set_properties(says(parts, "a cat"), hooks=hooks))


# --- on text encoders ------------------------------------------------------------------------------------------------


def test_a_hooked_text_encoder_hands_its_hooks_to_what_it_encodes(parts: CheckpointParts, lora: File) -> None:
    hooks = nodes.create_hook_lora(lora, 0.5, 2.0)
    clip = nodes.set_clip_hooks(parts.CLIP, hooks=hooks)
    (entry,) = clip_text_encode(Text("a cat"), clip).entries
    expected = clip_text_encode(Text("a cat"), parts.CLIP.patched(Lora(lora, 2.0))).entries[0]
    assert torch.equal(entry.context, expected.context)
    assert not torch.equal(entry.context, says(parts, "a cat").entries[0].context)
    assert entry.hooks == hooks.hooks
    alone = nodes.set_clip_hooks(parts.CLIP, apply_to_conds=False, hooks=hooks)
    assert clip_text_encode(Text("a cat"), alone).entries[0].hooks == ()
    assert nodes.set_clip_hooks(parts.CLIP) is parts.CLIP


def test_a_scheduled_text_encoder_encodes_for_each_part_of_the_sampling(parts: CheckpointParts, lora: File) -> None:
    keyframes = nodes.create_hook_keyframe(1.0, 0.5, nodes.create_hook_keyframe(0.0))
    hooks = nodes.set_hook_keyframes(nodes.create_hook_lora(lora, 0.5, 2.0), keyframes)
    clip = nodes.set_clip_hooks(parts.CLIP, schedule_clip=True, hooks=hooks)
    early, late = clip_text_encode(Text("a cat"), clip).entries
    assert [(e.clip_start, e.clip_end) for e in (early, late)] == [(0.0, 0.5), (0.5, 1.0)]
    assert torch.equal(early.context, says(parts, "a cat").entries[0].context)
    strong = clip_text_encode(Text("a cat"), parts.CLIP.patched(Lora(lora, 2.0)))
    assert torch.equal(late.context, strong.entries[0].context)
    # a range of one's own and the encoder's hold both
    ranged = conditioning_set_timestep_range(Conditioning((early, late)), 0.25, 1.0)
    assert [(e.start, e.end, e.clip_start, e.clip_end) for e in ranged.entries] == [
        (0.25, 1.0, 0.0, 0.5),
        (0.25, 1.0, 0.5, 1.0),
    ]


# --- strengths -------------------------------------------------------------------------------------------------------


def frames(*keyframes: tuple[float, float, int]) -> WeightHook:
    return WeightHook(keyframes=tuple(HookKeyframe(*keyframe) for keyframe in keyframes))


def along(hook: WeightHook, sigmas: list[float], first: float = 10.0) -> list[float]:
    memory: dict[Any, Any] = {}
    return [
        strengths_at([hook], sigma, first, lambda p: 999.0 if p <= 0 else 10 * (1 - p), memory)[0][1]
        for sigma in sigmas
    ]


def test_the_last_keyframe_that_has_begun_holds() -> None:
    hook = frames((1.0, 0.0, 0), (2.0, 0.5, 0), (3.0, 0.6, 0))
    assert along(hook, [10.0, 6.0, 5.0, 4.5, 4.0, 0.0]) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert along(frames((5.0, 0.5, 0)), [10.0, 1.0]) == [5.0, 5.0]  # the first holds from the start
    assert along(WeightHook(), [10.0]) == [1.0]


def test_a_keyframe_is_held_for_as_many_noise_levels_as_it_is_guaranteed() -> None:
    hook = frames((1.0, 0.0, 1), (2.0, 0.1, 1), (3.0, 0.2, 2), (4.0, 0.3, 1))
    # one noise level after the other, though the last keyframe has begun; asked twice at one level it counts once
    assert along(hook, [10.0, 1.0, 1.0, 0.8, 0.6, 0.4]) == [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]
    # keyframes from before the first noise level are passed over
    assert along(hook, [5.0, 4.0], first=5.0) == [4.0, 4.0]


def test_parts_of_the_sampling_are_told_apart_by_their_multipliers() -> None:
    one, two = frames((0.5, 0.2, 1), (0.5, 0.4, 1), (0.0, 0.6, 1)), frames((3.0, 0.0, 1))
    assert [(s.start, s.end, [m for _, m in s.strengths]) for s in spans([one, two])] == [
        (0.0, 0.2, [1.0, 3.0]),
        (0.2, 0.6, [0.5, 3.0]),
        (0.6, 1.0, [0.0, 3.0]),
    ]
    assert [(s.start, s.end) for s in spans([WeightHook()])] == [(0.0, 1.0)]


# --- nodes -----------------------------------------------------------------------------------------------------------


def told(keyframes: HookKeyframes) -> list[tuple[float, float, int]]:
    return [(round(k.strength, 6), round(k.start, 6), k.guarantee) for k in keyframes.keyframes]


def test_keyframes_are_spread_and_eased_and_sorted() -> None:
    make = nodes.create_hook_keyframes_interpolated
    assert told(make(0.0, 1.0, "linear", 0.0, 0.8, 3)) == [(0, 0, 1), (0.5, 0.4, 0), (1, 0.8, 0)]
    assert [s for s, _, _ in told(make(1.0, 3.0, "ease_in", keyframes_count=3))] == [1.0, 1.5, 3.0]
    assert [s for s, _, _ in told(make(1.0, 3.0, "ease_out", keyframes_count=3))] == [1.0, 2.5, 3.0]
    assert [s for s, _, _ in told(make(0.0, 1.0, "ease_in_out", keyframes_count=5))] == [0, 0.146447, 0.5, 0.853553, 1]
    before = nodes.create_hook_keyframe(7.0, 0.5)
    numbers = nodes.create_hook_keyframes_from_floats(nodes.Floats((1.0, 2.0)), 0.25, 0.75, prev_hook_kf=before)
    assert told(numbers) == [(1.0, 0.25, 1), (7.0, 0.5, 1), (2.0, 0.75, 0)]


def test_floats_are_read_from_a_text() -> None:
    assert nodes.floats_from_text("0.5, -1\n2e-1").values == (0.5, -1.0, 0.2)
    for wrong in ("", "a", "inf"):
        with pytest.raises(ValueError, match="number"):
            nodes.floats_from_text(wrong)


def test_hooks_pile_up_and_one_counts_once(lora: File) -> None:
    one = nodes.create_hook_lora(lora, 0.5, 0.25)
    two = nodes.create_hook_lora(lora, 1.0, 1.0, one)
    assert [(h.strength_model, h.strength_clip) for h in two.hooks] == [(0.5, 0.25), (1.0, 1.0)]
    assert nodes.create_hook_lora(lora, 0.0, 0.0, one) is one
    assert nodes.combine_hooks_4(one, None, two, one) == two
    assert nodes.combine_hooks_8(hooks_H=one) == one
    assert nodes.combine_hooks_2() == Hooks()
    assert nodes.set_hook_keyframes(one) is one


def test_prompts_add_to_the_hooks_that_they_have(parts: CheckpointParts, lora: File) -> None:
    one, two = nodes.create_hook_lora(lora, 0.5), nodes.create_hook_lora(lora, 0.7)
    cat = conditioning_set_properties(says(parts, "a cat"), hooks=one)
    both = conditioning_set_default_combine(cat, cat, two)
    assert [(e.hooks, e.default) for e in both.entries] == [(one.hooks, False), ((*one.hooks, *two.hooks), True)]


def test_a_prompt_for_control_nets_leaves_the_models_own(parts: CheckpointParts) -> None:
    cat, dog = says(parts, "a cat"), says(parts, "a dog")
    (entry,) = clip_text_encode_controlnet(parts.CLIP, cat, Text("a dog")).entries
    assert torch.equal(entry.context, cat.entries[0].context)
    assert torch.equal(entry.control_context, dog.entries[0].context)

"""Models are mixed by their formulas, in memory and in files alike, and what is saved loads again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from graphflow.api import Artifact, UnsupportedFile
from graphflow.detect import detect
from graphflow.models import Residency, loaded, residency
from graphflow.node import File
from graphflow.paths import builtin_models
from graphflow.values import Clip, Lora, Model
from graphflow_nodes.loaders import checkpoint_loader_simple, clip_loader, dual_clip_loader, unet_loader, vae_loader
from graphflow_nodes.merging import (
    checkpoint_save,
    clip_merge_add,
    clip_merge_simple,
    clip_merge_subtract,
    clip_save,
    lora_save,
    model_merge_add,
    model_merge_blocks,
    model_merge_simple,
    model_merge_subtract,
    model_save,
    vae_save,
)
from graphflow_nodes.model_patches import clip_attention_multiply
from tests.test_text_encoders import clip as text_encoder
from tests.test_text_encoders import t5
from tests.test_text_encoders import write as write_encoder
from tests.tiny import TINY, config_of, contents, file, golden_sd15, network, original_state, single_file, write_config

FIRST, MIDDLE, LAST = "conv_in.weight", "mid_block.resnets.0.conv1.weight", "conv_out.weight"
TINY_SD = TINY["sd15"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def weight(model: Model, name: str) -> Tensor:
    def load() -> Any:
        raise AssertionError("it is loaded already")

    with loaded(model), residency().ready(model.weights, model.patches, load) as resident:
        return resident.content.module.get_parameter(name).clone()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Model, Model]:
    """Two networks of one shape."""
    from graphflow.families import FAMILIES

    one = single_file(tmp_path, TINY_SD, network(TINY_SD))
    other = tmp_path / "other.safetensors"
    state = original_state(network(TINY_SD), FAMILIES["sd15"].layout, "model.diffusion_model.")
    save_file({key: tensor * 2 + 1 for key, tensor in state.items()}, other)
    write_config(other, "unet", config_of(TINY_SD.config))
    return unet_loader(one), unet_loader(file(other))


def test_models_are_mixed_by_their_formulas(pair: tuple[Model, Model]) -> None:
    one, other = pair
    a, b = weight(one, MIDDLE), weight(other, MIDDLE)

    torch.testing.assert_close(weight(model_merge_simple(one, other, 0.25), MIDDLE), 0.25 * a + 0.75 * b)
    torch.testing.assert_close(weight(model_merge_add(one, other), MIDDLE), a + b)
    torch.testing.assert_close(weight(model_merge_subtract(one, other, 0.5), MIDDLE), (a - b) * 0.5)
    assert torch.equal(weight(one, MIDDLE), a)


def test_blocks_have_ratios_of_their_own(pair: tuple[Model, Model]) -> None:
    one, other = pair
    mixed = model_merge_blocks(one, other, input=1.0, middle=0.0, out=0.5)

    assert torch.equal(weight(mixed, FIRST), weight(one, FIRST))
    assert torch.equal(weight(mixed, MIDDLE), weight(other, MIDDLE))
    torch.testing.assert_close(weight(mixed, LAST), (weight(one, LAST) + weight(other, LAST)) / 2)


def save(folder: Path, artifact: Artifact, name: str, config: bool = True) -> File:
    path = folder / f"{name}.safetensors"
    path.write_bytes(contents(artifact))
    if config:
        write_config(path, "unet", config_of(TINY_SD.config))
    return file(path)


def test_a_saved_model_is_what_was_mixed_with_its_loras(pair: tuple[Model, Model], tmp_path: Path) -> None:
    one, other = pair
    key = "lora_unet_mid_block_resnets_0_conv1"
    save_file({f"{key}.diff": torch.randn(64, 64, 3, 3)}, tmp_path / "lora.safetensors")
    lora = Lora(file(tmp_path / "lora.safetensors"), 0.5)
    mixed = model_merge_simple(one.patched(lora), other.patched(lora), 0.25)

    again = unet_loader(save(tmp_path, model_save(mixed), "saved"))

    for name in (FIRST, MIDDLE, LAST):
        torch.testing.assert_close(weight(again, name), weight(mixed, name))


def test_a_saved_checkpoint_loads_whole(tmp_path: Path) -> None:
    tiny = golden_sd15(tmp_path)
    parts = checkpoint_loader_simple(tiny)

    saved = checkpoint_save(parts.MODEL, parts.CLIP, parts.VAE)

    assert detect(save(tmp_path, saved, "again", config=False).path).parts == detect(tiny.path).parts
    state, before = load(contents(saved)), load_file(tiny.path)
    assert set(state) <= set(before)
    assert all(torch.equal(tensor, before[key]) for key, tensor in state.items())


def test_a_saved_vae_stands_alone(tmp_path: Path) -> None:
    tiny = golden_sd15(tmp_path)

    saved = save(tmp_path, vae_save(checkpoint_loader_simple(tiny).VAE), "vae", config=False)

    assert detect(saved.path).kind == "vae"
    assert vae_loader(saved).weights.part == "vae"


@pytest.mark.parametrize("kind", ["standard", "full_diff"])
def test_an_extracted_lora_turns_one_model_into_the_other(pair: tuple[Model, Model], tmp_path: Path, kind: Any) -> None:
    one, other = pair
    difference = model_merge_subtract(other, one)

    lora = save(tmp_path, lora_save("x", rank=64, lora_type=kind, model_diff=difference), "lora", config=False)

    assert detect(lora.path).kind == "lora"
    torch.testing.assert_close(
        weight(one.patched(Lora(lora, 1.0)), MIDDLE), weight(other, MIDDLE), atol=2e-2, rtol=1e-2
    )


def test_models_of_other_sizes_are_not_mixed(pair: tuple[Model, Model], tmp_path: Path) -> None:
    other = single_file(tmp_path, TINY["sd2"], network(TINY["sd2"]))

    with pytest.raises(UnsupportedFile, match=r"the models? (differ|lacks)"):
        weight(model_merge_simple(pair[0], unet_loader(other), 0.5), FIRST)


# --- text encoders ---------------------------------------------------------------------------------------------------

PROJECTION = "text_model.encoder.layers.0.mlp.fc1.weight"
LORA_NAME = "lora_te_text_model_encoder_layers_0_mlp_fc1"


def text_weight(clip: Clip, name: str = PROJECTION, encoder: int = 0) -> Tensor:
    def load() -> Any:
        raise AssertionError("it is loaded already")

    with loaded(clip), residency().ready(clip.weights, clip.patches, load) as resident:
        return resident.content.encoders[encoder].module.get_parameter(name).clone()


@pytest.fixture
def clips(tmp_path: Path) -> tuple[Clip, Clip]:
    """Two text encoders of one shape; the first's file has a projection, the second's has none."""
    first = write_encoder(tmp_path, "one", text_encoder(16), tokenizer=False)
    state = load_file(first.path)
    del state["text_projection.weight"]
    save_file({key: tensor * 2 + 1 for key, tensor in state.items()}, tmp_path / "two.safetensors")
    shutil.copytree(tmp_path / "one.config", tmp_path / "two.config")
    return clip_loader(first), clip_loader(file(tmp_path / "two.safetensors"))


def test_text_encoders_are_mixed_by_their_formulas(clips: tuple[Clip, Clip]) -> None:
    one, other = clips
    a, b = text_weight(one), text_weight(other)

    def close(clip: Clip, expected: Tensor) -> None:
        torch.testing.assert_close(text_weight(clip), expected, atol=2e-3, rtol=1e-3)  # they are kept in half precision

    close(clip_merge_simple(one, other, 0.25), 0.25 * a + 0.75 * b)
    close(clip_merge_add(one, other), a + b)
    close(clip_merge_subtract(one, other, 0.5), (a - b) * 0.5)
    projection = "text_projection.weight"
    assert torch.equal(text_weight(clip_merge_simple(one, other, 0.25), projection), text_weight(one, projection))
    assert torch.equal(text_weight(one), a)


def test_text_encoders_of_other_sizes_are_not_mixed(clips: tuple[Clip, Clip], tmp_path: Path) -> None:
    wider = clip_loader(write_encoder(tmp_path, "wide", text_encoder(24), tokenizer=False))

    with pytest.raises(UnsupportedFile, match="differ in their sizes"):
        text_weight(clip_merge_simple(clips[0], wider, 0.5))


def test_a_saved_text_encoder_is_what_was_mixed_with_its_loras(clips: tuple[Clip, Clip], tmp_path: Path) -> None:
    one, other = clips
    save_file({f"{LORA_NAME}.diff": torch.randn(32, 16)}, tmp_path / "lora.safetensors")
    lora = Lora(file(tmp_path / "lora.safetensors"), 0.5)
    mixed = clip_merge_simple(one.patched(lora), other.patched(lora), 0.25)

    (saved,) = clip_save(mixed)

    assert saved.name == "clip/ComfyUI_clip_l"
    (tmp_path / "again.safetensors").write_bytes(contents(saved))
    shutil.copytree(tmp_path / "one.config", tmp_path / "again.config")
    again = clip_loader(file(tmp_path / "again.safetensors"))
    torch.testing.assert_close(text_weight(again), text_weight(mixed), atol=4e-3, rtol=2e-3)
    assert (text_weight(again) - text_weight(clip_merge_simple(one, other, 0.25))).abs().max() > 0.1


def test_two_encoders_are_saved_apart_and_in_a_checkpoint(tmp_path: Path) -> None:
    files = [write_encoder(tmp_path, name, text_encoder(n), tokenizer=False) for name, n in (("l", 16), ("g", 24))]
    pair = dual_clip_loader(*files, "sdxl")
    model = unet_loader(single_file(tmp_path, TINY["sdxl"], network(TINY["sdxl"])))
    autoencoder = checkpoint_loader_simple(golden_sd15(tmp_path)).VAE
    save_file({"lora_te2_text_model_encoder_layers_0_mlp_fc1.diff": torch.ones(48, 24)}, tmp_path / "lora.safetensors")
    patched = pair.patched(Lora(file(tmp_path / "lora.safetensors"), 1.0))

    apart = {a.name: load(contents(a)) for a in clip_save(patched)}
    whole = load(contents(checkpoint_save(model, patched, autoencoder)))

    assert list(apart) == ["clip/ComfyUI_clip_l", "clip/ComfyUI_clip_g"]
    second = load_file(files[1].path)[PROJECTION]
    torch.testing.assert_close(apart["clip/ComfyUI_clip_g"][PROJECTION], second + 1)
    torch.testing.assert_close(
        whole["conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc.weight"], second + 1
    )
    path = tmp_path / "whole.safetensors"
    save_file(whole, path)
    assert {part.name for part in detect(path).parts} == {"model", "vae", "clip_l", "clip_g"}
    assert detect(path).lacks == ()


def test_text_encoders_of_a_diffusers_folder_are_saved_into_a_checkpoint(tmp_path: Path) -> None:
    parts = checkpoint_loader_simple(File("emoji", builtin_models() / "checkpoints" / "graphflow-emoji", "x"))

    state = load(contents(checkpoint_save(parts.MODEL, parts.CLIP, parts.VAE)))

    name = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    held = load_file(builtin_models() / "checkpoints" / "graphflow-emoji" / "text_encoder" / "model.safetensors")
    ours = next(key for key in held if key.endswith("final_layer_norm.weight"))
    torch.testing.assert_close(state[name].float(), held[ours].float())


def test_a_saved_t5_is_found_in_its_checkpoint(tmp_path: Path) -> None:
    files = [write_encoder(tmp_path, "l", text_encoder(16), tokenizer=False), write_encoder(tmp_path, "t5", t5())]
    model = unet_loader(single_file(tmp_path, TINY["flux"], network(TINY["flux"])))
    autoencoder = checkpoint_loader_simple(golden_sd15(tmp_path)).VAE

    (tmp_path / "whole.safetensors").write_bytes(
        contents(checkpoint_save(model, dual_clip_loader(*files, "flux"), autoencoder))
    )

    assert detect(tmp_path / "whole.safetensors").lacks == ()


@pytest.mark.parametrize("kind", ["standard", "full_diff"])
def test_an_extracted_lora_turns_one_text_encoder_into_the_other(
    clips: tuple[Clip, Clip], tmp_path: Path, kind: Any
) -> None:
    one, other = clips
    difference = clip_merge_subtract(other, one)

    saved = lora_save("x", rank=16, lora_type=kind, text_encoder_diff=difference)
    lora = save(tmp_path, saved, "extracted", config=False)

    assert detect(lora.path).kind == "lora"
    torch.testing.assert_close(text_weight(one.patched(Lora(lora, 1.0))), text_weight(other), atol=2e-2, rtol=1e-2)


def test_a_lora_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="connect model_diff to ModelMergeSubtract, or text_encoder_diff"):
        lora_save("x")


def test_attention_of_text_encoders_is_multiplied_and_saved_so(clips: tuple[Clip, Clip]) -> None:
    one, _ = clips
    scaled = clip_attention_multiply(one, q=2.0, out=0.5)
    names = [f"text_model.encoder.layers.1.self_attn.{layer}_proj" for layer in ("q", "k", "v", "out")]

    for name, factor in zip(names, (2.0, 1.0, 1.0, 0.5), strict=True):
        for end in ("weight", "bias"):
            torch.testing.assert_close(text_weight(scaled, f"{name}.{end}"), factor * text_weight(one, f"{name}.{end}"))
    saved = load(contents(clip_save(scaled)[0]))
    torch.testing.assert_close(saved[f"{names[0]}.weight"], 2 * load(contents(clip_save(one)[0]))[f"{names[0]}.weight"])

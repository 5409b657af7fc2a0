"""Models are mixed by their formulas, in memory and in files alike, and what is saved loads again."""

from __future__ import annotations

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
from graphflow.values import Lora, Model
from graphflow_nodes.loaders import checkpoint_loader_simple, unet_loader, vae_loader
from graphflow_nodes.merging import (
    checkpoint_save,
    lora_save,
    model_merge_add,
    model_merge_blocks,
    model_merge_simple,
    model_merge_subtract,
    model_save,
    vae_save,
)
from tests.tiny import TINY, config_of, file, golden_sd15, network, original_state, single_file, write_config

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
    from graphflow.models.families import FAMILIES

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
    path.write_bytes(artifact.data)
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
    state, before = load(saved.data), load_file(tiny.path)
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

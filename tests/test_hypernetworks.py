"""Hypernetworks change what keys and values are made of, by the numbers in their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.errors import UnsupportedFile
from graphflow.models import Residency, residency
from graphflow.models.hypernetworks import Hypernetwork, load_hypernetwork
from graphflow.node import File, Text
from graphflow.values import Model, Weights
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.latent import empty_latent_image
from graphflow_nodes.loaders import checkpoint_loader_simple
from graphflow_nodes.model_networks import hypernetwork_loader
from graphflow_nodes.sampling import k_sampler
from tests.numerics import drive
from tests.tiny import file, golden_sd15

MODEL = Model(Weights((), "model", "sd15"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home, torch.inference_mode():
        yield home


def written(folder: Path, tensors: dict[str, Tensor], **said: str) -> File:
    path = folder / f"hyper{len(list(folder.iterdir()))}.safetensors"
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, path, said or None)
    return file(path)


def pair(width: int, scale: float) -> dict[str, Tensor]:
    """Keys times `scale` and values times twice as much, in two layers."""
    eye = torch.eye(width)
    return {
        f"{width}.{side}.linear.{layer}.{end}": tensor
        for side in (0, 1)
        for layer, factor in ((0, 1.0), (1, scale * (side + 1)))
        for end, tensor in (("weight", eye * factor), ("bias", torch.zeros(width)))
    }


class Attention(nn.Module):
    """Two projections that give what they get."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_k, self.to_v = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (self.to_k, self.to_v):
            layer.weight.copy_(torch.eye(width))
            layer.bias.zero_()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(2), Attention(3)


def test_keys_and_values_get_the_networks_answer_added(tmp_path: Path) -> None:
    block = Block()
    patch = Hypernetwork(written(tmp_path, pair(3, 0.5)), 2.0)
    (edit,) = patch.ready(None, (8, 8)).edits(1.0, None)  # type: ignore[arg-type]
    two, three = torch.tensor([[1.0, -2.0]]), torch.tensor([[1.0, -2.0, 3.0]])
    with edit.applied(block):
        # x + 2 * 0.5 x for keys, x + 2 * 1.0 x for values; there is no network for a width of 2
        assert block.attn2.to_k(three).tolist() == [[2.0, -4.0, 6.0]]
        assert block.attn2.to_v(three).tolist() == [[3.0, -6.0, 9.0]]
        assert block.attn1.to_k(two).tolist() == two.tolist()
    assert block.attn2.to_k(three).tolist() == three.tolist()
    with pytest.raises(ValueError, match="attention of U-Nets"), edit.applied(nn.Linear(1, 1)):
        pass


def test_activations_and_norms_stand_where_the_file_says(tmp_path: Path) -> None:
    tensors = {
        "2.0.linear.0.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "2.0.linear.0.bias": torch.zeros(2),
        "2.0.linear.1.weight": torch.ones(2), "2.0.linear.1.bias": torch.tensor([0.0, 1.0]),
    }  # fmt: skip
    tensors |= {key.replace("2.0.", "2.1."): tensor for key, tensor in tensors.items()}
    one = written(tmp_path, tensors, activation_func="relu", is_layer_norm="True", activate_output="True")
    content: Any = load_hypernetwork(Weights((one,), "hypernetwork"), residency().policy)
    keys = content.module["2"][0]
    assert [type(layer).__name__ for layer in keys] == ["Linear", "ReLU", "LayerNorm"]
    # relu of (-3, 4) is (0, 4): -1 and 1 after the norm, 1 added to the second
    assert keys(torch.tensor([[-3.0, 4.0]])).round(decimals=3).tolist() == [[-1.0, 2.0]]


def test_a_sampling_follows_it_and_strength_0_does_not(tmp_path: Path) -> None:
    parts = checkpoint_loader_simple(golden_sd15(tmp_path))
    cond = clip_text_encode(Text("a cat"), parts.CLIP)
    width = cond.entries[0].context.shape[-1]
    hyper = written(tmp_path, pair(width, 0.5))

    def paint(model: Any) -> Tensor:
        walk = k_sampler(model, positive=cond, negative=cond, latent_image=empty_latent_image(64, 64), steps=1, cfg=1.0)
        found: Tensor = drive(walk).result.data
        return found

    plain = paint(parts.MODEL)
    assert torch.equal(paint(hypernetwork_loader(parts.MODEL, hyper, 0.0)), plain)
    assert not torch.allclose(paint(hypernetwork_loader(parts.MODEL, hyper, 1.0)), plain)


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="is no hypernetwork"):
        hypernetwork_loader(MODEL, written(tmp_path, {"weight": torch.ones(1)}))
    with pytest.raises(UnsupportedFile, match="activation that is not known: gelu2"):
        hypernetwork_loader(MODEL, written(tmp_path, pair(2, 1.0), activation_func="gelu2"))

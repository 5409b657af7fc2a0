"""A small ControlNet with random weights, from its file through the nodes to the picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from graphflow.models import Residency
from graphflow.node import Text
from graphflow.values import Conditioning, ControlNet, Image, Mask
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.control import control_net_apply, control_net_apply_advanced, inpaint_model_conditioning
from graphflow_nodes.latent import empty_latent_image
from graphflow_nodes.loaders import CheckpointParts, checkpoint_loader_simple, control_net_loader
from graphflow_nodes.sampling import k_sampler
from tests.numerics import drive
from tests.tiny import GOLDEN, file, golden_sd15

PICTURE = Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as residency, torch.inference_mode():
        yield residency


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    golden_sd15(folder)
    config = json.loads((GOLDEN / "tiny_sd15_recipe.json").read_text())["diffusers_config"]["unet"]
    torch.manual_seed(0)
    net: Any = ControlNetModel.from_unet(
        UNet2DConditionModel.from_config(config), conditioning_embedding_out_channels=(8, 16, 16, 32)
    )
    state = {k: torch.randn_like(v) * 0.02 if not v.any() else v for k, v in net.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "edges.safetensors")
    (folder / "edges.config").mkdir()
    (folder / "edges.config" / "config.json").write_text(json.dumps(dict(net.config)))
    return folder


@pytest.fixture
def parts(folder: Path) -> CheckpointParts:
    return checkpoint_loader_simple(file(folder / "tiny-sd15.safetensors"))


@pytest.fixture
def edges(folder: Path) -> ControlNet:
    return control_net_loader(file(folder / "edges.safetensors"))


def paint(parts: CheckpointParts, positive: Conditioning, negative: Conditioning) -> Tensor:
    return drive(
        k_sampler(
            parts.MODEL, seed=1, steps=2, cfg=3.0, sampler_name="euler", scheduler="normal", positive=positive,
            negative=negative, latent_image=empty_latent_image(64, 64),
        )
    ).result.data  # fmt: skip


def test_a_control_net_steers_the_picture_while_it_is_on(parts: CheckpointParts, edges: ControlNet) -> None:
    prompts = [clip_text_encode(Text(text), parts.CLIP) for text in ("a cat", "")]
    plain = paint(parts, *prompts)
    steered = paint(parts, *control_net_apply_advanced(*prompts, edges, PICTURE))
    weak = paint(parts, *control_net_apply_advanced(*prompts, edges, PICTURE, strength=0.01))
    never = paint(parts, *control_net_apply_advanced(*prompts, edges, PICTURE, start_percent=1.0))
    twice = control_net_apply_advanced(*control_net_apply_advanced(*prompts, edges, PICTURE, 0.5), edges, PICTURE, 0.5)

    assert not torch.allclose(plain, steered, rtol=1e-3)
    assert (weak - plain).abs().mean() < 0.2 * (steered - plain).abs().mean()
    assert torch.equal(never, plain)
    torch.testing.assert_close(paint(parts, *twice), steered, rtol=1e-3, atol=1e-2)


def test_the_old_node_steers_both_sides_from_one(parts: CheckpointParts, edges: ControlNet) -> None:
    positive, negative = (clip_text_encode(Text(text), parts.CLIP) for text in ("a cat", ""))
    both = paint(parts, *control_net_apply_advanced(positive, negative, edges, PICTURE))
    assert torch.equal(paint(parts, control_net_apply(positive, edges, PICTURE), negative), both)


def test_inpainting_models_are_given_a_grey_hole(parts: CheckpointParts) -> None:
    hole = torch.zeros(1, 64, 64)
    hole[:, 16:48, 16:48] = 1
    positive, negative = (clip_text_encode(Text(text), parts.CLIP) for text in ("a cat", ""))
    made = inpaint_model_conditioning(positive, negative, parts.VAE, PICTURE, Mask(hole))
    (entry,) = made.positive.entries
    assert entry.concat_mask.shape == (1, 1, 64, 64)
    assert entry.concat_latent.shape == made.latent.data.shape == (1, 4, 8, 8)
    assert not torch.equal(entry.concat_latent, made.latent.data)
    assert torch.equal(made.latent.noise_mask[:, 0], hole)
    bare = inpaint_model_conditioning(positive, negative, parts.VAE, PICTURE, Mask(hole), noise_mask=False)
    assert bare.latent.noise_mask is None

"""Image to video: the film begins with the pictures given, and the network is told which frames are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.api import ClipVisionOutput, Cond, Conditioning, Image, Vae
from graphflow.diffusion.network import RowCond
from graphflow.models import Residency, loaded
from graphflow.models.autoencoders import LAYOUTS
from graphflow.node import Row
from graphflow_nodes.loaders import unet_loader, vae_loader
from graphflow_nodes.wan import wan_image_to_video
from tests.tiny import TINY, file, network, original_state, single_file


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


@pytest.fixture
def vae(tmp_path: Path) -> Vae:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    state = original_state(AutoencoderKLWan(base_dim=4, z_dim=16), LAYOUTS["wan"])
    save_file(state, tmp_path / "vae.safetensors")
    return vae_loader(file(tmp_path / "vae.safetensors"))


TEXT = Conditioning((Cond(torch.zeros(1, 6, 16)),))


def test_a_film_begins_with_the_pictures_given(vae: Vae) -> None:
    picture = torch.rand(1, 20, 40, 3)
    film = wan_image_to_video(TEXT, TEXT, vae, 32, 16, 9, 2, start_image=Image(picture))

    assert film.latent.data.shape == (2, 16, 3, 2, 4)
    (cond,) = film.positive.entries
    assert cond.concat_latent is not None
    assert cond.concat_mask is not None
    assert cond.concat_latent.shape == (1, 16, 3, 2, 4)
    assert cond.concat_mask[0, 0, :, 0, 0].tolist() == [0, 1, 1]


def test_without_a_picture_nothing_is_given(vae: Vae) -> None:
    seen = torch.rand(1, 5, 16)
    film = wan_image_to_video(TEXT, TEXT, vae, 32, 16, 5, clip_vision_output=ClipVisionOutput(seen[:, 0], seen, seen))

    (cond,) = film.negative.entries
    assert cond.concat_latent is None
    assert torch.equal(cond.extras["clip_vision"], seen)


@torch.inference_mode()
def test_the_network_is_told_as_its_pipeline_tells_it(tmp_path: Path) -> None:
    tiny = TINY["wan i2v"]
    module: Any = network(tiny)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))

    x, picture, context, seen = noise(1, 16, 2, 8, 6), noise(1, 16, 2, 8, 6), noise(1, 6, 16), noise(1, 5, 16)
    free = torch.tensor([0.0, 1.0])[None, None, :, None, None].expand(1, 1, 2, 8, 6)
    with loaded(unet_loader(single_file(tmp_path, tiny, module))) as live:
        cond = RowCond(
            live.parametrisation, context, concat=torch.cat([free, picture], dim=1), sizes={"clip_vision": seen}
        )
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), cond)])

    given = torch.cat([x, (1 - free).expand(-1, 4, -1, -1, -1), picture], dim=1)
    velocity = module(given, torch.tensor([500.0]), context, encoder_hidden_states_image=seen).sample
    torch.testing.assert_close(out, x - 0.5 * velocity, atol=1e-5, rtol=1e-4)

"""Autoencoders of every kind are read from files as users have them, and give what diffusers' classes give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from graphflow.layouts import join
from graphflow.models import Residency, loaded
from graphflow.models.autoencoders import LAYOUTS, wan_vae
from graphflow.node import File
from graphflow_nodes.loaders import vae_loader
from tests.tiny import file, write_config


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def wan() -> nn.Module:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    return AutoencoderKLWan(base_dim=4, z_dim=16).eval()


def kl(channels: int, **options: Any) -> nn.Module:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(16, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels, norm_num_groups=16, **options,
    ).eval()  # fmt: skip


def write(folder: Path, module: nn.Module, kind: str = "", prefix: str = "") -> File:
    state = module.state_dict()
    if kind:
        state = {prefix + e.theirs: join(e, state) for e in LAYOUTS[kind](state)}
    save_file({key: tensor.contiguous().clone() for key, tensor in state.items()}, folder / "vae.safetensors")
    return file(folder / "vae.safetensors")


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
@pytest.mark.parametrize("channels", [4, 16])
@torch.inference_mode()
def test_a_vae_in_the_original_layout_needs_no_config(tmp_path: Path, channels: int, prefix: str) -> None:
    module: Any = kl(channels, use_quant_conv=channels == 4, use_post_quant_conv=channels == 4)
    picture = torch.rand(1, 8, 12, 3)

    with loaded(vae_loader(write(tmp_path, module, "kl", prefix))) as live:
        latent = live.encode(picture)
        again = live.decode(latent)

    assert (live.downscale, live.channels) == (2, channels)
    expected = module.encode(picture.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(latent, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        again, ((module.decode(latent).sample + 1) / 2).clamp(0, 1).movedim(1, -1), atol=1e-5, rtol=1e-4
    )


@torch.inference_mode()
def test_wan_s_vae_works_on_frames(tmp_path: Path) -> None:
    module: Any = wan()
    frames = torch.rand(5, 16, 24, 3)

    with loaded(vae_loader(write(tmp_path, module, "wan"))) as live:
        latent = live.encode(frames)
        again = live.decode(latent)

    video = frames.movedim(-1, 0)[None] * 2 - 1
    assert latent.shape == (1, 16, 2, 2, 3)
    torch.testing.assert_close(latent, module.encode(video).latent_dist.mode(), atol=1e-5, rtol=1e-4)
    assert again.shape == (5, 16, 24, 3)


def test_wan_s_layout_is_read_as_diffusers_reads_it() -> None:
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    state = wan().state_dict()
    theirs = {e.theirs: join(e, state) for e in wan_vae(state)}

    converted = convert_wan_vae_to_diffusers(theirs)

    assert set(converted) == set(state)
    assert all(torch.equal(converted[key], tensor) for key, tensor in state.items())


@torch.inference_mode()
def test_flux_2_s_latents_are_patched_and_normalised(tmp_path: Path) -> None:
    from diffusers import AutoencoderKLFlux2, Flux2Pipeline

    torch.manual_seed(0)
    config: dict[str, Any] = {
        "block_out_channels": (16, 16), "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "latent_channels": 8, "norm_num_groups": 16,
    }  # fmt: skip
    module: Any = AutoencoderKLFlux2(**config).eval()
    module.bn.running_mean.normal_()
    module.bn.running_var.uniform_(0.5, 2)
    written = write(tmp_path, module)
    write_config(written.path, "vae", {**config, "batch_norm_eps": 1e-4})
    picture = torch.rand(1, 8, 16, 3)

    with loaded(vae_loader(written)) as live:
        latent = live.encode(picture)
        again = live.decode(latent)

    mode = module.encode(picture.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    patched = Flux2Pipeline._patchify_latents(mode)
    mean, std = module.bn.running_mean[None, :, None, None], (module.bn.running_var + 1e-4).sqrt()[None, :, None, None]
    assert (live.downscale, live.channels) == (4, 32)
    torch.testing.assert_close(latent, (patched - mean) / std, atol=1e-5, rtol=1e-4)
    expected = ((module.decode(mode).sample + 1) / 2).clamp(0, 1).movedim(1, -1)
    torch.testing.assert_close(again, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_tiny_vae_is_read_from_its_own_file(tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    module: Any = AutoencoderTiny(latent_channels=4).eval()
    picture = torch.rand(1, 16, 8, 3)

    with loaded(vae_loader(write(tmp_path, module))) as live:
        latent = live.encode(picture)

    assert live.downscale == 8
    torch.testing.assert_close(latent, module.encode(picture.movedim(-1, 1) * 2 - 1).latents, atol=1e-5, rtol=1e-4)

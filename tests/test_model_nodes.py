"""The loader, VAE and upscale nodes, called as functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from graphflow.api import Blocked, Image, Latent, Mask, UnsupportedFile, Vae, Weights
from graphflow.models import Residency, loaded
from graphflow.models.vae import ResidentVae, VaeContent
from graphflow.node import File, Progress
from graphflow_nodes.loaders import checkpoint_loader_simple, clip_set_last_layer, control_net_loader, vae_loader
from graphflow_nodes.upscale import image_upscale_with_model, upscale_model_loader
from graphflow_nodes.vae import (
    vae_decode,
    vae_decode_tiled,
    vae_encode,
    vae_encode_for_inpaint,
    vae_encode_tiled,
)
from tests.tiny import file, golden_sd15


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu").active() as residency:
        yield residency


def finish(steps: Iterator[object]) -> tuple[list[object], object]:
    """What a slow node yields, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def test_a_checkpoint_gives_model_text_encoder_and_vae(tiny: File) -> None:
    model, clip, vae = checkpoint_loader_simple(tiny)

    assert (model.weights.family, clip.weights.part, vae.weights.part) == ("sd15", "clip", "vae")
    assert clip_set_last_layer(clip, -2).layer == -2


def test_what_a_checkpoint_lacks_is_blocked_with_the_remedy(tiny: File, tmp_path: Path) -> None:
    from graphflow.models.tensors import opened

    with opened(tiny.path) as (header, tensors):
        bare = {k: tensors.get(k) for k in header.tensors if k.startswith("model.diffusion_model.")}
    save_file(bare, tmp_path / "bare.safetensors")
    parts = checkpoint_loader_simple(file(tmp_path / "bare.safetensors"))

    assert Blocked("bare.safetensors has no text encoder; load one with CLIPLoader, or DualCLIPLoader") == parts.CLIP
    assert Blocked("bare.safetensors has no VAE; load one with VAELoader") == parts.VAE


def test_a_picture_survives_encoding_in_size(tiny: File) -> None:
    vae = checkpoint_loader_simple(tiny).VAE
    latent = vae_encode(Image(torch.rand(2, 37, 44, 3)), vae)

    assert latent.data.shape == (2, 4, 4, 5)  # cut to 32 × 40
    assert vae_decode(latent, vae).data.shape == (2, 32, 40, 3)


def test_alpha_is_left_out_when_a_picture_is_encoded(tiny: File) -> None:
    vae = checkpoint_loader_simple(tiny).VAE
    picture = torch.rand(1, 16, 16, 4)

    assert torch.equal(vae_encode(Image(picture), vae).data, vae_encode(Image(picture[..., :3]), vae).data)


def test_a_picture_too_small_to_encode_is_refused(tiny: File) -> None:
    with pytest.raises(ValueError, match="7 × 30 is too small to encode: each side needs at least 8"):
        vae_encode(Image(torch.rand(1, 30, 7, 3)), checkpoint_loader_simple(tiny).VAE)


def test_a_latent_of_other_channels_is_refused(tiny: File) -> None:
    with pytest.raises(ValueError, match="16 channels, this VAE decodes 4"):
        vae_decode(Latent(torch.zeros(1, 16, 4, 4)), checkpoint_loader_simple(tiny).VAE)


def test_inpainting_greys_the_mask_and_grows_where_noise_goes(tiny: File) -> None:
    vae = Vae(vae_loader(File("pixel_space", Path(), "pixel_space")).weights)
    mask = torch.zeros(1, 8, 8)
    mask[:, 4, 4] = 1
    latent = vae_encode_for_inpaint(Image(torch.ones(1, 8, 8, 3)), vae, Mask(mask), grow_mask_by=3)

    assert latent.data[0, 0, 4, 4] == 0  # grey in -1 to 1
    assert latent.data.sum() == 3 * 63
    expected = torch.zeros(8, 8)
    expected[3:6, 3:6] = 1
    assert latent.noise_mask is not None
    assert torch.equal(latent.noise_mask[0, 0], expected)
    plain = vae_encode_for_inpaint(Image(torch.ones(1, 8, 8, 3)), vae, Mask(mask), grow_mask_by=0)
    assert plain.noise_mask is not None
    assert torch.equal(plain.noise_mask[0, 0], mask[0])


def test_tiles_tell_their_progress_and_give_the_same_sizes(tiny: File) -> None:
    vae = checkpoint_loader_simple(tiny).VAE
    seen, picture = finish(vae_decode_tiled(Latent(torch.randn(1, 4, 20, 12)), vae, tile_size=64, overlap=16))
    assert isinstance(picture, Image)
    assert picture.data.shape == (1, 160, 96, 3)
    assert [(p.value, p.total) for p in seen if isinstance(p, Progress)] == [
        (n + 1, len(seen)) for n in range(len(seen))
    ]

    seen, latent = finish(vae_encode_tiled(picture, vae, tile_size=64, overlap=16))
    assert isinstance(latent, Latent)
    assert latent.data.shape == (1, 4, 20, 12)


def test_tiles_give_the_picture_back_where_a_vae_changes_nothing() -> None:
    """Faded and put together from three passes of tiles, each place's shares sum to 1."""
    vae = Vae(vae_loader(File("pixel_space", Path(), "pixel_space")).weights)
    picture = torch.rand(1, 100, 150, 3, generator=torch.Generator().manual_seed(0))
    _, latent = finish(vae_encode_tiled(Image(picture), vae, tile_size=64, overlap=16))
    assert isinstance(latent, Latent)
    torch.testing.assert_close(latent.data, 2 * picture.movedim(-1, 1) - 1, atol=1e-5, rtol=0)
    _, back = finish(vae_decode_tiled(latent, vae, tile_size=64, overlap=16))
    assert isinstance(back, Image)
    torch.testing.assert_close(back.data, picture, atol=1e-5, rtol=0)


class Doubling(nn.Module):
    """A decoder that doubles each side, on a device with room for 4096 numbers."""

    def decode(self, latent: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        if latent.numel() > 4096:
            raise torch.OutOfMemoryError
        return (latent.repeat_interleave(2, -1).repeat_interleave(2, -2),)


def test_out_of_memory_is_met_with_tiles(home: Residency) -> None:
    latent = torch.rand(1, 3, 10, 200)
    content = VaeContent(Doubling(), torch.float32, 2, 3)
    autoencoder = ResidentVae(home, Vae(Weights((), "vae", "doubling")), lambda: content)

    picture = autoencoder.decode(latent)

    wanted = (latent.repeat_interleave(2, -1).repeat_interleave(2, -2) + 1) / 2
    torch.testing.assert_close(picture, wanted.movedim(1, -1))


@pytest.fixture
def upscaler(tmp_path: Path) -> File:
    """A compact ESRGAN that doubles each side."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    network = Compact(num_feat=4, num_conv=1, upscale=2)
    save_file(network.state_dict(), tmp_path / "double.safetensors")
    return file(tmp_path / "double.safetensors")


def test_an_upscale_model_enlarges_tile_by_tile(upscaler: File) -> None:
    seen, picture = finish(image_upscale_with_model(upscale_model_loader(upscaler), Image(torch.rand(2, 24, 600, 3))))

    assert isinstance(picture, Image)
    assert picture.data.shape == (2, 48, 1200, 3)
    assert 0 <= picture.data.min() <= picture.data.max() <= 1
    assert [(p.value, p.total) for p in seen if isinstance(p, Progress)] == [(1, 2), (2, 2)]


def test_an_upscale_model_that_adds_nothing_repeats_each_pixel(upscaler: File, tmp_path: Path) -> None:
    """This kind of network adds what it found to the pixels repeated: with weights of 0 that is nothing."""
    save_file({k: v.clone() * 0 for k, v in load_file(upscaler.path).items()}, tmp_path / "nothing.safetensors")
    picture = torch.rand(1, 20, 600, 3, generator=torch.Generator().manual_seed(0))
    model = upscale_model_loader(file(tmp_path / "nothing.safetensors"))
    _, doubled = finish(image_upscale_with_model(model, Image(picture)))
    assert isinstance(doubled, Image)
    wanted = picture.repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(doubled.data, wanted, atol=1e-5, rtol=0)


def test_tiles_of_an_upscaler_meet_without_a_seam(upscaler: File) -> None:
    picture = torch.rand(1, 20, 40, 3)
    with loaded(upscale_model_loader(upscaler)) as live:
        *_, whole = live.upscale(picture)
        *_, tiled = live.upscale(picture, tile=24, overlap=8)

    assert isinstance(whole, torch.Tensor)
    assert (whole - tiled)[:, 8:-8, 8:-8].abs().max() < 0.05


def test_files_in_the_wrong_place_say_what_they_are(tiny: File, upscaler: File, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(
        UnsupportedFile, match=r"tiny-sd15.*is no upscale model: it is a checkpoint for Stable Diffusion 1\.5"
    ):
        upscale_model_loader(tiny)
    with pytest.raises(UnsupportedFile, match="is no ControlNet"):
        control_net_loader(upscaler)
    with pytest.raises(UnsupportedFile, match="holds no denoising network"):
        checkpoint_loader_simple(upscaler)
    with (
        pytest.raises(UnsupportedFile, match="no upscale model that spandrel knows"),
        loaded(upscale_model_loader(file(tmp_path / "x.safetensors"))),
    ):
        pass

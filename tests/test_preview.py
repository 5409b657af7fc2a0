"""Small pictures of latents."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image
import pytest
import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from safetensors.torch import save_file

from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.preview import fit_rgb, previewer, rgb
from graphflow.files import ModelFiles
from graphflow.models import Residency
from graphflow.models.previews import tiny_decoder

FORM = LatentFormat(2, rgb=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), rgb_bias=(0.0, 0.0, -1.0))


def picture(jpeg: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(jpeg))


def test_channels_become_colours_by_the_familys_map() -> None:
    latent = torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert rgb(latent, FORM)[:, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert rgb(latent[:, :, None], FORM).shape == (3, 4, 4)


def test_a_fitted_map_gives_back_the_one_behind_the_pictures() -> None:
    latents = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    pictures = torch.stack([rgb(sample[None], FORM) for sample in latents])
    factors, bias = fit_rgb(latents, pictures.repeat_interleave(8, -1).repeat_interleave(8, -2))
    assert torch.allclose(torch.tensor(factors), torch.tensor(FORM.rgb), atol=1e-4)
    assert torch.allclose(torch.tensor(bias), torch.tensor(FORM.rgb_bias), atol=1e-4)


@pytest.mark.parametrize(("size", "shown"), [((8, 16), (256, 128)), ((64, 64), (256, 256)), ((1024, 256), (128, 512))])
def test_previews_are_of_a_handy_size(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert picture(previewer(FORM)(torch.zeros(2, 2, *size))).size == shown


def test_a_family_without_a_map_shows_its_first_channels() -> None:
    assert picture(previewer(LatentFormat(16))(torch.randn(1, 16, 8, 8))).mode == "RGB"


def test_a_tiny_decoder_is_asked_for_the_first_sample_alone() -> None:
    asked = []

    def decoder(latent: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(latent.shape))
        return torch.ones(1, 3, 32, 32)

    white = picture(previewer(LatentFormat(4), decoder)(torch.zeros(3, 4, 4, 4)))
    assert asked == [(1, 4, 4, 4)]
    assert white.getpixel((5, 5)) == (255, 255, 255)


def test_a_tiny_decoder_is_used_where_its_file_lies(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = DecoderTiny(
        4, 3, num_blocks=(3, 3, 3, 1), block_out_channels=(64,) * 4, upsampling_scaling_factor=2, act_fn="relu",
        upsample_fn="nearest",
    ).eval()  # fmt: skip
    state = {}
    for key, value in module.state_dict().items():
        _, number, rest = key.split(".", 2)
        state[f"{int(number) + 1}.{rest}"] = value
    (tmp_path / "vae_approx").mkdir()
    save_file(state, tmp_path / "vae_approx" / "taesd_decoder.safetensors")
    latent = torch.randn(1, 4, 4, 4)

    with Residency(device="cpu", shelf=ModelFiles([tmp_path])).active():
        decoder = tiny_decoder(LatentFormat(4, tiny="taesd"))
        assert decoder is not None
        with torch.inference_mode():
            assert torch.allclose(decoder(latent), (module(latent) + 1) / 2, atol=1e-6)
        assert tiny_decoder(LatentFormat(4, tiny="taesdxl")) is None
        assert tiny_decoder(LatentFormat(4)) is None


def test_a_file_that_is_no_tiny_decoder_leaves_the_map(tmp_path: Path) -> None:
    (tmp_path / "vae_approx").mkdir()
    save_file({"1.weight": torch.zeros(2)}, tmp_path / "vae_approx" / "taesd_decoder.safetensors")
    with Residency(device="cpu", shelf=ModelFiles([tmp_path])).active():
        assert tiny_decoder(LatentFormat(4, tiny="taesd")) is None


def test_a_decoder_that_is_too_slow_for_the_sampling_leaves_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    now, shown = 0.0, []

    def decoder(latent: torch.Tensor) -> torch.Tensor:
        nonlocal now
        now += 0.5
        shown.append(now)
        return torch.ones(1, 3, 32, 32)

    monkeypatch.setattr("graphflow.diffusion.preview.time.monotonic", lambda: now)
    latent = torch.zeros(1, 4, 5, 7)
    for _ in range(2):  # samplings of 100 steps, a second each
        show = previewer(LatentFormat(4), decoder)
        for _ in range(100):
            now += 1.0
            assert len(show(latent)) > 100
    assert len(shown) == 4
    assert 0.5 * len(shown) / now < 0.01

"""Image to video: the film begins with the pictures given, and the network is told which frames are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.api import ClipVisionOutput, Cond, Conditioning, Image, Latent, Vae
from graphflow.detect import Header, detect
from graphflow.diffusion.network import RowCond
from graphflow.families import FAMILIES, Facts
from graphflow.models import Residency, loaded
from graphflow.models.autoencoders import LAYOUTS
from graphflow.node import Row
from graphflow_nodes.loaders import unet_loader, vae_loader
from graphflow_nodes.sampling import k_sampler
from graphflow_nodes.wan import wan22_image_to_video_latent, wan_image_to_video
from tests.numerics import drive
from tests.tiny import TINY, config_of, file, network, original_state, single_file, write_config


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


# --- Wan 2.2's small model -------------------------------------------------------------------------------------------


def small_vae() -> Any:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=8, decoder_base_dim=12, z_dim=48, is_residual=True, patch_size=2, in_channels=12, out_channels=12,
        scale_factor_spatial=16, temperal_downsample=[False, True, True],
    ).eval()  # fmt: skip


@torch.inference_mode()
def test_its_vae_is_read_from_its_own_layout_by_shapes_alone(tmp_path: Path) -> None:
    module = small_vae()
    save_file(original_state(module, LAYOUTS["wan"]), tmp_path / "vae.safetensors")
    found = detect(tmp_path / "vae.safetensors")
    frames = torch.rand(5, 32, 48, 3)

    with loaded(vae_loader(file(tmp_path / "vae.safetensors"))) as live:
        latent = live.encode(frames)
        again = live.decode(latent)

    assert (found.kind, found.details) == ("vae", {"latent_channels": 48})
    assert latent.shape == (1, 48, 2, 2, 3)
    video = frames.movedim(-1, 0)[None] * 2 - 1
    torch.testing.assert_close(latent, module.encode(video).latent_dist.mode(), atol=1e-5, rtol=1e-4)
    assert again.shape == (5, 32, 48, 3)


PUBLISHED = (
    "encoder.downsamples.1.downsamples.1.residual.6.weight", "encoder.downsamples.1.downsamples.2.time_conv.weight",
    "encoder.downsamples.0.downsamples.2.resample.1.weight", "encoder.middle.1.to_qkv.weight", "encoder.head.2.weight",
    "decoder.upsamples.0.upsamples.2.residual.2.weight", "decoder.upsamples.0.upsamples.3.time_conv.weight",
    "decoder.upsamples.2.upsamples.0.shortcut.weight", "decoder.middle.2.residual.3.gamma", "conv1.weight", "conv2.bias",
)  # fmt: skip


def test_its_vae_s_names_are_the_published_ones() -> None:
    names = set(original_state(small_vae(), LAYOUTS["wan"]))

    assert names >= set(PUBLISHED)
    assert not any("block" in name or "sampler." in name for name in names)


def test_a_film_for_it_is_empty_or_keeps_the_pictures_given(tmp_path: Path) -> None:
    save_file(original_state(small_vae(), LAYOUTS["wan"]), tmp_path / "vae.safetensors")
    vae = vae_loader(file(tmp_path / "vae.safetensors"))

    empty = wan22_image_to_video_latent(vae, 64, 32, 9, 2)
    begun = wan22_image_to_video_latent(vae, 64, 32, 9, 1, Image(torch.rand(1, 40, 40, 3)))

    assert empty.data.shape == (2, 48, 3, 2, 4)
    assert not empty.data.any()
    assert begun.noise_mask is not None
    assert begun.noise_mask[0, 0, :, 0, 0].tolist() == [0, 1, 1]
    assert begun.data[:, :, 0].any()
    assert not begun.data[:, :, 1:].any()


def test_another_vae_s_pictures_are_refused(vae: Vae) -> None:
    with pytest.raises(ValueError, match=r"this VAE makes 16 channels: load that of Wan 2\.2's 5B model"):
        wan22_image_to_video_latent(vae, 64, 32, 9, 1, Image(torch.rand(1, 32, 64, 3)))


def test_its_latents_have_their_own_spread() -> None:
    facts = Facts(Header(Path("x"), "safetensors", {}), {"out_channels": 48})

    form = FAMILIES["wan"].latents(facts)

    z = torch.randn(1, 48, 2, 3, 4)
    torch.testing.assert_close(form.process_out(form.process_in(z)), z, atol=1e-5, rtol=1e-5)
    assert (form.downscale, form.channels, len(form.mean), len(form.std)) == (16, 48, 48, 48)
    assert form.process_in(z)[0, 47, 0, 0, 0] == pytest.approx(float((z[0, 47, 0, 0, 0] + 0.0667) / 0.7744), rel=1e-4)


@torch.inference_mode()
def test_it_is_told_which_frames_are_given_by_their_time_and_sees_them_clean(tmp_path: Path) -> None:
    config = {**config_of("Wan 2.1 t2v"), "in_channels": 48, "out_channels": 48}
    torch.manual_seed(5)
    module: Any = FAMILIES["wan"].build(config).eval()
    path = tmp_path / "small.safetensors"
    save_file(original_state(module, FAMILIES["wan"].layout), path)
    write_config(path, "transformer", config)
    model = unet_loader(file(path))
    given = torch.randn(1, 48, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    film = torch.cat([given, torch.zeros(1, 48, 2, 4, 4)], dim=2)
    free = torch.ones(1, 1, 3, 4, 4)
    free[:, :, 0] = 0
    text = Conditioning((Cond(torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(2))),))

    latent = Latent(film, noise_mask=free)
    walk = k_sampler(
        model, positive=text, negative=text, latent_image=latent, seed=7, steps=1, cfg=1.0, scheduler="simple"
    )
    out = drive(walk).result

    with loaded(model) as live:
        form, sigma = live.latent_format, live.parametrisation.sigma_max
    noise = torch.randn(film.shape, generator=torch.manual_seed(7))
    seen = torch.cat([form.process_in(film)[:, :, :1], noise[:, :, 1:]], dim=2)
    times = torch.tensor([[0.0] * 4 + [1000.0 * float(sigma)] * 8])
    velocity = module(seen, times, text.entries[0].context).sample
    expected = form.process_out(seen - sigma * velocity)
    torch.testing.assert_close(out.data[:, :, 1:], expected[:, :, 1:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out.data[:, :, :1], given, atol=1e-5, rtol=1e-5)

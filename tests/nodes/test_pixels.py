"""From a seed to pixels: the nodes, called one after another, paint what ComfyUI paints, value by value."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from graphflow.models import Residency
from graphflow.node import File, Text
from graphflow.values import Image, Latent, Mask
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.latent import empty_latent_image, set_latent_noise_mask
from graphflow_nodes.loaders import CheckpointParts, checkpoint_loader_simple
from graphflow_nodes.sampling import k_sampler
from graphflow_nodes.vae import vae_decode, vae_encode
from tests.numerics import drive, same_networks, tolerance
from tests.tiny import GOLDEN, golden_sd15

POSITIVE, NEGATIVE = r"a (photo:1.2) of a cat, \(studio\) ((light))", "blurry"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as residency, torch.inference_mode():
        yield residency


@cache
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "e2e_tiny_sd15.safetensors")


def paint(parts: CheckpointParts, latent: Latent, case: str, seed: int, denoise: float = 1.0) -> Latent:
    sampler, scheduler, steps = case.split("/")
    return drive(
        k_sampler(
            parts.MODEL,
            seed=seed,
            steps=int(steps),
            cfg=7.0,
            sampler_name=sampler,
            scheduler=scheduler,
            positive=clip_text_encode(Text(POSITIVE), parts.CLIP),
            negative=clip_text_encode(Text(NEGATIVE), parts.CLIP),
            latent_image=latent,
            denoise=denoise,
        )
    ).result


def wrong_values(image: Image, expected: Tensor) -> Tensor:
    """How far each 8-bit value of the picture is off, as PNG files keep them: cut, not rounded."""
    return (255 * image.data[0]).clamp(0, 255).to(torch.uint8).int() - expected.int()


def error(latent: Latent, key: str) -> float:
    """The largest difference, in parts of the largest value: random weights give values of several hundred."""
    expected = golden()[key]
    return ((latent.data - expected).abs().max() / expected.abs().max()).item()


CASES = [
    "euler/normal/8",
    "dpmpp_2m/karras/10",
    "ddim/ddim_uniform/10",
    "dpmpp_2m_sde/karras/8",
    "euler_ancestral/karras/8",
    "uni_pc/normal/8",
]


@pytest.mark.parametrize("case", CASES)
def test_text_to_image(tiny: File, case: str) -> None:
    parts = checkpoint_loader_simple(tiny)
    latent = paint(parts, empty_latent_image(128, 128), case, seed=5)
    assert error(latent, f"latent/{case}/cfg7/seed5") <= tolerance(case.split("/")[0], same_networks())
    wrong = wrong_values(vae_decode(latent, parts.VAE), golden()[f"image/{case}/cfg7/seed5"])
    assert wrong.abs().max() <= 1
    assert wrong.count_nonzero() <= (0 if same_networks() else 20)  # of 49,152


def test_image_to_image(tiny: File) -> None:
    parts = checkpoint_loader_simple(tiny)
    picture = Image(golden()["image/euler/normal/8/cfg7/seed5"][None] / 255)
    latent = paint(parts, vae_encode(picture, parts.VAE), "euler/karras/10", seed=6, denoise=0.5)
    assert error(latent, "img2img/euler/karras/10/denoise0.5/cfg7/seed6") <= tolerance("euler", same_networks())


def test_inpainting(tiny: File) -> None:
    parts = checkpoint_loader_simple(tiny)
    picture = Image(golden()["image/euler/normal/8/cfg7/seed5"][None] / 255)
    encoded = set_latent_noise_mask(vae_encode(picture, parts.VAE), Mask(golden()["inpaint/mask_pixels"][:, 0]))
    latent = paint(parts, encoded, "euler/karras/10", seed=6)
    assert error(latent, "inpaint/euler/karras/10/cfg7/seed6") <= tolerance("euler", same_networks())

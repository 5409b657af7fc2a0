"""unCLIP checkpoints bring their image encoder along, and paint after what it saw, as diffusers' pipeline does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, StableUnCLIPImg2ImgPipeline
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.detect import detect
from graphflow.diffusion.network import RowCond
from graphflow.layouts import join, ldm_unet
from graphflow.models import Residency, loaded
from graphflow.models.vision import open_clip, prepared
from graphflow.node import Blocked, File, Row
from graphflow.values import Cond, Conditioning, Image
from graphflow_nodes.control import unclip_conditioning
from graphflow_nodes.loaders import unclip_checkpoint_loader
from graphflow_nodes.vision import clip_vision_encode
from tests.test_vision import SIZES
from tests.tiny import TINY, config_of, file, single_file, write_config
from tests.tiny import network as tiny_network

TINY_SD2 = TINY["sd2"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def parts() -> tuple[Any, Any, StableUnCLIPImageNormalizer]:
    """A tiny U-Net that takes pictures, an image encoder, and the statistics between them."""
    import transformers
    from diffusers import UNet2DConditionModel

    torch.manual_seed(7)
    config = {
        **config_of(TINY_SD2.config), "class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048,
    }  # fmt: skip
    unet = UNet2DConditionModel.from_config(config).eval()
    eye = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**SIZES, projection_dim=1024)).eval()
    statistics = StableUnCLIPImageNormalizer(1024)
    with torch.no_grad():
        statistics.mean.copy_(torch.randn(1, 1024))
        statistics.std.copy_(torch.rand(1, 1024) + 0.5)
    return unet, eye, statistics


def checkpoint(folder: Path, unet: Any, eye: Any, statistics: StableUnCLIPImageNormalizer) -> File:
    """One file as the authors wrote it."""
    state, seen = unet.state_dict(), {k: v for k, v in eye.state_dict().items() if not k.endswith("position_ids")}
    seen = {k if k.startswith(("vision_model.", "visual_")) else f"vision_model.{k}": v for k, v in seen.items()}
    tensors = {
        **{f"model.diffusion_model.{e.theirs}": join(e, state) for e in ldm_unet(state)},
        **{f"embedder.model.visual.{e.theirs}": join(e, seen) for e in open_clip(seen)},
        "noise_augmentor.data_mean": statistics.mean.data, "noise_augmentor.data_std": statistics.std.data,
    }  # fmt: skip
    path = folder / "unclip.safetensors"
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, path)
    write_config(path, "unet", dict(unet.config))
    write_config(path, "image_encoder", {**SIZES, "projection_dim": 1024})
    return file(path)


def diffusers_says(statistics: StableUnCLIPImageNormalizer, embeds: Tensor, level: int) -> Tensor:
    pipeline: Any = SimpleNamespace(
        image_normalizer=statistics, image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    )
    noise = torch.randn(embeds.shape, generator=torch.Generator().manual_seed(level))
    return StableUnCLIPImg2ImgPipeline.noise_image_embeddings(pipeline, embeds, level, noise=noise)


def predict(model: Any, conditioning: Conditioning) -> Tensor:
    (cond,) = conditioning.entries
    with loaded(model) as live:
        unclip = tuple((u.output.image_embeds, u.strength, u.noise_augmentation) for u in cond.unclip)
        row = RowCond(live.parametrisation, cond.context, unclip=unclip)
        x = torch.randn(1, *TINY_SD2.latent, generator=torch.Generator().manual_seed(0))
        return live.predict([Row(live, x, torch.tensor(1.5), row)])[0]


@torch.inference_mode()
def test_a_picture_steers_as_in_diffusers(tmp_path: Path) -> None:
    unet, eye, statistics = parts()
    written = checkpoint(tmp_path, unet, eye, statistics)
    found = detect(written.path)
    assert found.family == "sd2"
    assert [part.name for part in found.parts] == ["model", "clip_vision"]

    loaded_parts = unclip_checkpoint_loader(written)
    picture = torch.rand(1, 30, 40, 3)
    output = clip_vision_encode(loaded_parts.CLIP_VISION, Image(picture))
    torch.testing.assert_close(output.image_embeds, eye(pixel_values=prepared(picture, 28, "center")).image_embeds)

    text = Conditioning((Cond(torch.randn(1, 6, 32)),))
    shown = unclip_conditioning(text, output, strength=0.8, noise_augmentation=0.3)
    ours = predict(loaded_parts.MODEL, shown)

    labels = diffusers_says(statistics, output.image_embeds, round(999 * 0.3)) * 0.8
    with loaded(loaded_parts.MODEL) as live:
        p = live.parametrisation
    x, sigma = torch.randn(1, *TINY_SD2.latent, generator=torch.Generator().manual_seed(0)), torch.tensor(1.5)
    v = unet(p.scale_in(x, sigma), p.timestep(sigma), text.entries[0].context, class_labels=labels).sample
    expected = x / (sigma**2 + 1) - v * sigma / (sigma**2 + 1) ** 0.5  # it was trained for v prediction
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_no_picture_and_several_pictures(tmp_path: Path) -> None:
    unet, eye, statistics = parts()
    loaded_parts = unclip_checkpoint_loader(checkpoint(tmp_path, unet, eye, statistics))
    text = Conditioning((Cond(torch.randn(1, 6, 32)),))
    one, other = (clip_vision_encode(loaded_parts.CLIP_VISION, Image(torch.rand(1, 28, 28, 3))) for _ in range(2))
    shown = unclip_conditioning(text, one)

    outs = [predict(loaded_parts.MODEL, c) for c in (text, shown, unclip_conditioning(shown, other))]

    assert all((a - b).abs().max() > 1e-5 for n, a in enumerate(outs) for b in outs[:n])
    wrong = unclip_conditioning(text, type(one)(torch.zeros(1, 5), one.last_hidden_state, one.last_hidden_state))
    with pytest.raises(ValueError, match="takes image embeddings of 1024, the image encoder gave 5"):
        predict(loaded_parts.MODEL, wrong)


def test_a_checkpoint_without_image_encoder_says_so(tmp_path: Path) -> None:
    plain: nn.Module = tiny_network(TINY_SD2)

    vision: Any = unclip_checkpoint_loader(single_file(tmp_path, TINY_SD2, plain)).CLIP_VISION

    assert isinstance(vision, Blocked)
    assert "no image encoder; load one with CLIPVisionLoader" in vision.message

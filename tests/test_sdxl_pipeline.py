"""A tiny SDXL paints what diffusers' own pipeline paints at float32, prompt to picture, from the file that users have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import Tensor

from graphflow.api import Text
from graphflow.detect import detect
from graphflow.diffusion.schedules import model_sigmas
from graphflow.layouts import join, ldm_unet, ldm_vae, open_clip
from graphflow.models import Residency, loaded
from graphflow.node import File
from graphflow.values import Latent
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.loaders import checkpoint_loader_simple
from graphflow_nodes.prompts import clip_text_encode_sdxl_refiner
from graphflow_nodes.sampling import k_sampler
from graphflow_nodes.vae import vae_decode
from tests.numerics import drive
from tests.test_text_encoders import clip
from tests.tiny import TINY, config_of, file, network, write_config

STEPS, GUIDANCE, SEED = 4, 5.0, 11
PROMPTS = {"a cat": [320, 2368], "": []}


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def parts() -> tuple[Any, Any, Any, Any]:
    """U-Net, both text encoders, autoencoder."""
    unet = network(TINY["sdxl"])
    torch.manual_seed(3)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16), norm_num_groups=4, latent_channels=4, scaling_factor=0.13025,
        force_upcast=False,
    ).eval()  # fmt: skip
    return unet, clip(24), clip(40, 32, seed=5), vae


def single_file(folder: Path, unet: Any, first: Any, second: Any, vae: Any, config: str = "sdxl") -> File:
    """One checkpoint as SDXL's authors wrote theirs; the refiner's without a first text encoder."""
    under = {"model.diffusion_model.": (unet, ldm_unet), "first_stage_model.": (vae, ldm_vae)}
    if first is not None:
        under["conditioner.embedders.0.transformer."] = (first, lambda names: [e for e in map(_same, names) if e])
    under[f"conditioner.embedders.{0 if first is None else 1}.model."] = (second, open_clip)
    tensors = {}
    for prefix, (module, layout) in under.items():
        state = {k: v for k, v in module.state_dict().items() if not k.endswith("position_ids")}
        tensors |= {prefix + e.theirs: join(e, state).contiguous().clone() for e in layout(state)}
    path = folder / f"{config}.safetensors"
    save_file(tensors, path)
    write_config(path, "unet", config_of(TINY[config].config))
    if first is not None:
        write_config(path, "text_encoder", first.config.to_diff_dict())
    write_config(path, "text_encoder_2", second.config.to_diff_dict())
    write_config(path, "vae", dict(vae.config))
    return file(path)


def _same(name: str) -> Any:
    from graphflow.layouts import Entry

    return None if name.startswith("text_projection") else Entry(name, (name,))  # of the first the file has none


def encoded(text: str, first: Any, second: Any) -> tuple[Tensor, Tensor]:
    """(1, 77, D) and (1, P), as the pipeline's encode_prompt makes them of token numbers."""
    sides = []
    for module, pad in ((first, 49407), (second, 0)):
        if module is None:
            continue
        tokens = PROMPTS[text]
        ids = torch.tensor([[49406, *tokens, 49407, *[pad] * (75 - len(tokens))]])
        sides.append(module(input_ids=ids, output_hidden_states=True))
    return torch.cat([side.hidden_states[-2] for side in sides], dim=-1), sides[-1].text_embeds


@torch.inference_mode()
def test_a_tiny_sdxl_paints_what_its_pipeline_paints(tmp_path: Path) -> None:
    unet, first, second, vae = parts()
    assert isinstance(unet, UNet2DConditionModel)
    written = single_file(tmp_path, unet, first, second, vae)
    assert (detect(written.path).family, detect(written.path).lacks) == ("sdxl", ())
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(SEED))

    model, encoder, autoencoder = checkpoint_loader_simple(written)
    texts = {text: clip_text_encode(Text(text), encoder) for text in PROMPTS}
    walk = k_sampler(
        model, seed=SEED, steps=STEPS, cfg=GUIDANCE, sampler_name="euler", scheduler="simple", positive=texts["a cat"],
        negative=texts[""], latent_image=Latent(torch.zeros(1, 4, 8, 8)),
    )  # fmt: skip
    latent = drive(walk).result
    picture = vae_decode(latent, autoencoder).data

    with loaded(model) as live:
        sigmas = model_sigmas(live.parametrisation, "simple", STEPS, 1.0, "euler")
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading"
    )
    pipeline: Any = StableDiffusionXLPipeline(
        vae=vae, text_encoder=first, text_encoder_2=second, tokenizer=None, tokenizer_2=None, unet=unet,
        scheduler=scheduler,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    (positive, pooled), (negative, negative_pooled) = (encoded(text, first, second) for text in PROMPTS)
    options = {
        "prompt_embeds": positive, "pooled_prompt_embeds": pooled, "negative_prompt_embeds": negative,
        "negative_pooled_prompt_embeds": negative_pooled, "latents": noise, "guidance_scale": GUIDANCE,
        "height": 64, "width": 64, "sigmas": sigmas.tolist(),
    }  # fmt: skip
    theirs = pipeline(**options, output_type="latent").images / vae.config.scaling_factor
    shown = torch.from_numpy(pipeline(**options, output_type="np").images)

    torch.testing.assert_close(texts["a cat"].entries[0].context, positive, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(latent.data, theirs, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(picture, shown, atol=1e-3, rtol=0)


@torch.inference_mode()
def test_a_tiny_refiner_finishes_a_picture_as_its_pipeline_does(tmp_path: Path) -> None:
    _, _, _, vae = parts()
    unet, second = network(TINY["sdxl_refiner"]), clip(32, 16, seed=6)
    written = single_file(tmp_path, unet, None, second, vae, "sdxl_refiner")
    assert (detect(written.path).family, detect(written.path).lacks) == ("sdxl_refiner", ())
    begun = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))

    model, encoder, _ = checkpoint_loader_simple(written)
    texts = {
        text: clip_text_encode_sdxl_refiner(ascore=score, width=64, height=64, text=Text(text), clip=encoder)
        for text, score in zip(PROMPTS, (6.0, 2.5), strict=True)
    }
    walk = k_sampler(
        model, seed=SEED, steps=STEPS, cfg=GUIDANCE, sampler_name="euler", scheduler="simple", positive=texts["a cat"],
        negative=texts[""], latent_image=Latent(begun), denoise=0.5,
    )  # fmt: skip
    latent = drive(walk).result.data

    with loaded(model) as live:
        sigmas = model_sigmas(live.parametrisation, "simple", 2 * STEPS, 1.0, "euler")
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading"
    )
    pipeline: Any = StableDiffusionXLImg2ImgPipeline(
        vae=vae, text_encoder=None, text_encoder_2=second, tokenizer=None, tokenizer_2=None, unet=unet,
        scheduler=scheduler, requires_aesthetics_score=True,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    (positive, pooled), (negative, negative_pooled) = (encoded(text, None, second) for text in PROMPTS)
    theirs = pipeline(
        prompt_embeds=positive, pooled_prompt_embeds=pooled, negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=negative_pooled, image=begun * vae.config.scaling_factor, strength=0.5,
        guidance_scale=GUIDANCE, sigmas=sigmas.tolist(), generator=torch.Generator().manual_seed(SEED),
        output_type="latent",
    ).images / vae.config.scaling_factor  # fmt: skip

    torch.testing.assert_close(latent, theirs, atol=2e-3, rtol=1e-3)

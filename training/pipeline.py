"""The parts of the text-to-image model, and the pipeline they make together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training import autoencoder

WIDTH = 192  # of the text


@dataclass(frozen=True)
class Parts:
    """What a Stable Diffusion pipeline is made of, in float32."""

    vae: AutoencoderTiny
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    unet: UNet2DConditionModel

    @property
    def pipeline(self) -> StableDiffusionPipeline:
        """The pipeline that paints with these parts."""
        pipeline = StableDiffusionPipeline(
            vae=self.vae, text_encoder=self.text_encoder, tokenizer=self.tokenizer, unet=self.unet,
            scheduler=new_scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, with v-prediction (Salimans and Ho 2022, appendix D)."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip


def new_unet(widths: tuple[int, int] = (128, 192)) -> UNet2DConditionModel:
    """An untrained U-Net for latents (16, 8, 8), with cross-attention at 8x8 and 4x4; 11 M parameters."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=autoencoder.CHANNELS,
        out_channels=autoencoder.CHANNELS,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        layers_per_block=1,
        attention_head_dim=[width // 32 for width in widths],
        norm_num_groups=16,
        cross_attention_dim=WIDTH,
    )


def new_text_encoder(tokenizer: CLIPTokenizer, layers: int = 2) -> CLIPTextModel:
    """An untrained CLIP text encoder of width 192 for the tokenizer's words."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=layers, num_attention_heads=4, max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return CLIPTextModel(config)


def open_parts(folder: Path) -> Parts:
    """The parts of a pipeline folder, in float32."""
    return Parts(
        vae=autoencoder.open_autoencoder(folder),
        text_encoder=CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32),
        tokenizer=CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32),
    )


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Ids of the captions, (B, 77), cut or padded."""
    batch = tokenizer(captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    return batch.input_ids


@torch.no_grad()
def paint(
    pipeline: StableDiffusionPipeline,
    prompts: list[str],
    guidance: float = 4.0,
    steps: int = 20,
    seed: int = 0,
    batch: int = 16,
    **options: Any,
) -> np.ndarray:
    """One picture for each prompt, (n, 64, 64, 3) in 0..1; prompt i starts from noise seed + i."""  # fmt: skip
    pictures = []
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(some))]
        result = pipeline(
            some, guidance_scale=guidance, num_inference_steps=steps, generator=generators, output_type="np", **options
        )
        pictures.append(result.images)
    return np.concatenate(pictures)

"""Whole files as they are published, with every tensor at its real size and no data: told by their headers, quickly."""

from __future__ import annotations

import functools
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from torch import Tensor, nn

from graphflow.detect import detect, read_header
from graphflow.families import FAMILIES
from graphflow.layouts import Layout, join, ldm_vae, open_clip, same
from tests.test_families import UNETS

Shapes = dict[str, tuple[str, tuple[int, ...]]]
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8, "U8": 1}


def sparse(path: Path, shapes: Shapes) -> Path:
    """A safetensors file whose data takes no room on the disk."""
    entries, end = {}, 0
    for name, (dtype, shape) in shapes.items():
        begin, end = end, end + math.prod(shape) * SIZES[dtype]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def of(state: Mapping[str, Tensor], dtype: str, prefix: str = "", layout: Layout = same) -> Shapes:
    tensors = {e.theirs: join(e, state) for e in layout(state)}
    return {prefix + name: (dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def meta(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    with torch.device("meta"):
        return dict(build().state_dict())


@functools.cache
def network(family: str) -> Mapping[str, Tensor]:
    if family in UNETS:
        return meta(lambda: diffusers.UNet2DConditionModel(**UNETS[family][1]))
    cls, options = {
        "sd3": ("SD3Transformer2DModel", {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432,
                                          "pos_embed_max_size": 192, "qk_norm": "rms_norm"}),
        "flux": ("FluxTransformer2DModel", {"guidance_embeds": True}),
        "qwen_image": ("QwenImageTransformer2DModel", {}),
        "z_image": ("ZImageTransformer2DModel", {}),
        "wan": ("WanTransformer3DModel", {"in_channels": 36}),
        "flux2": ("Flux2Transformer2DModel", {}),
    }[family]  # fmt: skip
    return meta(lambda: getattr(diffusers, cls)(**options))


@functools.cache
def clip(width: int, layers: int, projection: int) -> Mapping[str, Tensor]:
    config = transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, projection_dim=projection,
    )  # fmt: skip
    return meta(lambda: transformers.CLIPTextModelWithProjection(config))


@functools.cache
def t5(umt5: bool = False) -> Mapping[str, Tensor]:
    options: dict[str, Any] = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
                               "feed_forward_proj": "gated-gelu"}  # fmt: skip
    if umt5:
        return meta(lambda: transformers.UMT5EncoderModel(transformers.UMT5Config(vocab_size=256384, **options)))
    return meta(lambda: transformers.T5EncoderModel(transformers.T5Config(vocab_size=32128, **options)))


@functools.cache
def vae(channels: int) -> Mapping[str, Tensor]:
    options: dict[str, Any] = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": channels,
               "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}  # fmt: skip
    more = {"use_quant_conv": False, "use_post_quant_conv": False} if channels == 16 else {}
    return meta(lambda: diffusers.AutoencoderKL(**options, **more))


def network_of(family: str, dtype: str, prefix: str = "model.diffusion_model.") -> Shapes:
    return of(network(family), dtype, prefix, FAMILIES[family].layout)


def clip_l(dtype: str, prefix: str = "") -> Shapes:
    found = of({k: v for k, v in clip(768, 12, 768).items() if "projection" not in k}, dtype, prefix)
    return {**found, f"{prefix}text_model.embeddings.position_ids": ("I64", (1, 77))}


def scaled(shapes: Shapes, old: bool) -> Shapes:
    """With a factor for each matrix of the blocks."""
    more: Shapes = {}
    for name in [n for n, (_, shape) in shapes.items() if len(shape) == 2 and n.endswith(".weight")]:
        stem = name.removesuffix("weight")
        more |= {f"{stem}scale_weight": ("F32", (1,))} if old else {
            f"{stem}weight_scale": ("F32", ()), f"{stem}comfy_quant": ("U8", (27,))}  # fmt: skip
    return {**shapes, **more, **({"scaled_fp8": ("F8_E4M3", (2,))} if old else {})}


def control_lora(rank: int = 128) -> Shapes:
    """Black Forest Labs' LoRAs that widen Flux's input: every linear layer with its bias, and the norms in full."""
    shapes = dict(of(network("flux"), "BF16", "", FAMILIES["flux"].layout))
    made: Shapes = {}
    for name, (dtype, shape) in shapes.items():
        module, _, end = name.rpartition(".")
        if end == "bias":
            made[f"{module}.lora_B.bias"] = (dtype, shape)
        elif end == "weight":
            columns = 128 if module == "img_in" else shape[1]
            made |= {
                f"{module}.lora_A.weight": (dtype, (rank, columns)),
                f"{module}.lora_B.weight": (dtype, (shape[0], rank)),
            }
        else:
            made[name] = (dtype, shape)
    return made


def xlabs_ip_adapter() -> Shapes:
    made: Shapes = {"ip_adapter_proj_model.proj.weight": ("BF16", (16384, 768)), "ip_adapter_proj_model.proj.bias": ("BF16", (16384,)),
                    "ip_adapter_proj_model.norm.weight": ("BF16", (4096,)), "ip_adapter_proj_model.norm.bias": ("BF16", (4096,))}  # fmt: skip
    for n, x in itertools.product(range(19), "kv"):
        module = f"double_blocks.{n}.processor.ip_adapter_double_stream_{x}_proj"
        made |= {f"{module}.weight": ("BF16", (3072, 4096)), f"{module}.bias": ("BF16", (3072,))}
    return made


def sd35_ip_adapter() -> Shapes:
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    made = of(meta(IPAdapterTimeImageProjection), "BF16", "image_proj.")
    for n in range(38):
        made |= of(meta(lambda: SD3IPAdapterJointAttnProcessor2_0(2432, 2432, 64)), "BF16", f"ip_adapter.{n}.")
    return made


SDXL_TEXT = "conditioner.embedders.1.model."
FILES: dict[str, tuple[Callable[[], Shapes], tuple[str, str, tuple[str, ...], str, tuple[str, ...]]]] = {
    "v1-5-pruned, with the average of its weights": (
        lambda: {
            **network_of("sd15", "F32"), **clip_l("F32", "cond_stage_model.transformer."),
            **of(vae(4), "F32", "first_stage_model.", ldm_vae),
            **{"model_ema." + name.replace(".", ""): entry for name, entry in network_of("sd15", "F32").items()},
            "model_ema.decay": ("F32", ()), "betas": ("F32", (1000,)), "alphas_cumprod": ("F32", (1000,)),
        }, ("checkpoint", "sd15", ("model", "vae", "clip_l"), "F32", ()),
    ),
    "sd_xl_base_1.0": (
        lambda: {
            **network_of("sdxl", "F16"), **clip_l("F16", "conditioner.embedders.0.transformer."),
            **of(clip(1280, 32, 1280), "F16", SDXL_TEXT, open_clip), f"{SDXL_TEXT}logit_scale": ("F16", ()),
            **of(vae(4), "F16", "first_stage_model.", ldm_vae), "denoiser.sigmas": ("F32", (1000,)),
        }, ("checkpoint", "sdxl", ("model", "vae", "clip_l", "clip_g"), "F16", ()),
    ),
    "an SDXL network for v prediction": (
        lambda: {**network_of("sdxl", "F16"), "v_pred": ("F32", (0,)), "ztsnr": ("F32", (0,))},
        ("model", "sdxl", ("model",), "F16", ("clip_l", "clip_g", "vae")),
    ),
    "sd_xl_refiner_1.0": (
        lambda: {
            **network_of("sdxl_refiner", "F16"), **of(clip(1280, 32, 1280), "F16", "conditioner.embedders.0.model.", open_clip),
            **of(vae(4), "F16", "first_stage_model.", ldm_vae),
        }, ("checkpoint", "sdxl_refiner", ("model", "vae", "clip_g"), "F16", ()),
    ),
    "sd3.5_large": (
        lambda: {**network_of("sd3", "F16"), **of(vae(16), "F16", "first_stage_model.", ldm_vae)},
        ("checkpoint", "sd3", ("model", "vae"), "F16", ("clip_l", "clip_g", "t5")),
    ),
    "sd3.5_large with text encoders, fp8": (
        lambda: {
            **network_of("sd3", "F8_E4M3"), **clip_l("F8_E4M3", "text_encoders.clip_l.transformer."),
            **of(clip(1280, 32, 1280), "F8_E4M3", "text_encoders.clip_g.transformer."),
            **of(t5(), "F8_E4M3", "text_encoders.t5xxl.transformer."), **of(vae(16), "BF16", "first_stage_model.", ldm_vae),
        }, ("checkpoint", "sd3", ("model", "vae", "clip_l", "clip_g", "t5"), "F8_E4M3", ()),
    ),
    "flux1-dev": (
        lambda: network_of("flux", "BF16", ""), ("model", "flux", ("model",), "BF16", ("clip_l", "t5", "vae")),
    ),
    "flux1-dev-fp8, all in one": (
        lambda: {
            **network_of("flux", "F8_E4M3"), **clip_l("F16", "text_encoders.clip_l.transformer."),
            "text_encoders.clip_l.logit_scale": ("F16", ()), "text_encoders.t5xxl.logit_scale": ("F16", ()),
            **of(t5(), "F8_E4M3", "text_encoders.t5xxl.transformer."), **of(vae(16), "BF16", "vae.", ldm_vae),
        }, ("checkpoint", "flux", ("model", "vae", "clip_l", "t5"), "F8_E4M3", ()),
    ),
    "flux2-dev, scaled fp8": (
        lambda: scaled(network_of("flux2", "F8_E4M3", ""), old=False),
        ("model", "flux2", ("model",), "F8_E4M3", ("qwen3", "vae")),
    ),
    "qwen_image_fp8_e4m3fn_scaled": (
        lambda: scaled(network_of("qwen_image", "F8_E4M3", ""), old=False),
        ("model", "qwen_image", ("model",), "F8_E4M3", ("qwen25_vl", "vae")),
    ),
    "z_image_turbo_bf16": (
        lambda: network_of("z_image", "BF16", ""), ("model", "z_image", ("model",), "BF16", ("qwen3", "vae")),
    ),
    "wan2.2_i2v_high_noise_14B_fp8_scaled": (
        lambda: scaled(network_of("wan", "F8_E4M3", ""), old=True),
        ("model", "wan", ("model",), "F8_E4M3", ("umt5", "vae")),
    ),
    "flux1-canny-dev-lora": (control_lora, ("lora", "flux", (), "BF16", ())),
    "flux-ip-adapter": (xlabs_ip_adapter, ("ip_adapter", "flux", ("ip_adapter",), "BF16", ())),
    "SD3.5-Large-IP-Adapter": (sd35_ip_adapter, ("ip_adapter", "sd3", ("ip_adapter",), "BF16", ())),
    "ae": (lambda: of(vae(16), "F32", "", ldm_vae), ("vae", "", ("vae",), "F32", ())),
    "t5xxl_fp8_e4m3fn_scaled": (lambda: scaled(of(t5(), "F8_E4M3"), old=True), ("text_encoder", "", ("t5",), "F8_E4M3", ())),
    "umt5_xxl_fp8_e4m3fn_scaled": (
        lambda: {**scaled(of(t5(umt5=True), "F8_E4M3"), old=True), "spiece_model": ("U8", (4548313,))},
        ("text_encoder", "", ("umt5",), "F8_E4M3", ()),
    ),
    "clip_l": (lambda: clip_l("F16"), ("text_encoder", "", ("clip_l",), "F16", ())),
    "clip_g": (lambda: of(clip(1280, 32, 1280), "F16"), ("text_encoder", "", ("clip_g",), "F16", ())),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_is_told_by_its_header_in_milliseconds(tmp_path: Path, name: str) -> None:
    make, (kind, family, parts, dtype, lacks) = FILES[name]
    path = sparse(tmp_path / "published.safetensors", make())

    found, times = detect(path), []
    for _ in range(3):
        begin = time.thread_time()
        detect(path)
        times.append(time.thread_time() - begin)

    assert (found.kind, found.family, found.dtype, found.lacks) == (kind, family, dtype, lacks)
    assert tuple(part.name for part in found.parts) == parts
    assert found.parameters == sum(math.prod(entry.shape) for entry in read_header(path).tensors.values())
    assert min(times) < 0.25  # of processor time, on a busy machine; a few hundredths as a rule

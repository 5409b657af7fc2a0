"""Tiny models with random weights, written as files in the layouts that users' files have."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.families import FAMILIES
from graphflow.layouts import Layout, join
from graphflow.node import Artifact, File

GOLDEN = Path(__file__).parent / "golden"


def file(path: Path) -> File:
    """A `File` as the planner makes it."""
    return File(path.name, path, hashlib.sha256(str(path.stat().st_mtime_ns).encode() + bytes(path)).hexdigest())


def contents(artifact: Artifact) -> bytes:
    """The finished file."""
    if isinstance(artifact.data, bytes):
        return artifact.data
    return b"".join(piece for piece in artifact.data() if isinstance(piece, bytes))


def golden_sd15(folder: Path) -> File:
    """The seeded checkpoint behind the golden pictures: Stable Diffusion 1.5's layout, small, with configs beside it."""
    recipe = json.loads((GOLDEN / "tiny_sd15_recipe.json").read_text())
    path = folder / "tiny-sd15.safetensors"
    save_file(_grow(recipe["tensors"]), path)
    for part, config in recipe["diffusers_config"].items():
        write_config(path, part, config)
    return file(path)


def _grow(tensors: list[list[Any]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = {}
    for key, shape, rule in tensors:
        r = torch.randn(shape, generator=generator)
        if key is None:
            continue
        match rule:
            case "fan":
                state[key] = r * (1 / r[0].numel() ** 0.5)
            case "emb":
                state[key] = r * 0.5
            case "w1":
                state[key] = 1 + 0.1 * r
            case _:
                state[key] = 0.1 * r
    return {key: state[key].contiguous() for key in sorted(state)}


def write_config(path: Path, part: str, config: dict[str, Any], name: str = "config.json") -> None:
    """A component's config in the folder beside a single file."""
    folder = path.with_suffix(".config") / part
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(config))


# --- networks of every family ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tiny:
    """A tiny network of a family, and what a prompt and a latent for it look like."""

    config: str
    """Its name in golden/families.json."""
    family: str
    latent: tuple[int, ...]
    """(C, h, w) or (C, F, h, w)."""
    width: int
    """Of the conditioning."""
    pooled: int = 0
    folder: str = "transformer"
    layers: tuple[int, int] = (0, 0)
    """How many layers of a language model it looks at apart, and how wide they are."""


FOUR_BLOCKS = Tiny("Flux2 of four blocks", "flux2", (32, 4, 6), 32)
"""As many as a control that steers every other needs."""
TWO_BLOCKS = Tiny("Sana of two blocks", "sana", (4, 4, 6), 8)
"""As many as a ControlNet needs, whose first output goes behind the second."""
TINY: dict[str, Tiny] = {
    "flux2 of four blocks": FOUR_BLOCKS,
    "sana of two blocks": TWO_BLOCKS,
    "sd15": Tiny("SD1.5 UNet", "sd15", (4, 8, 8), 32, folder="unet"),
    "sd15 inpaint": Tiny("SD1.5 inpaint UNet 9ch", "sd15", (4, 8, 8), 32, folder="unet"),
    "sd2": Tiny("SD2 v-pred UNet", "sd2", (4, 8, 8), 32, folder="unet"),
    "sdxl": Tiny("SDXL UNet", "sdxl", (4, 8, 8), 64, 32, folder="unet"),
    "sd2 inpaint": Tiny("SD2 v-pred UNet, inpainting", "sd2", (4, 8, 8), 32, folder="unet"),
    "sdxl inpaint": Tiny("SDXL UNet, inpainting", "sdxl", (4, 8, 8), 64, 32, folder="unet"),
    "sdxl_refiner": Tiny("SDXL refiner UNet", "sdxl_refiner", (4, 8, 8), 32, 16, folder="unet"),
    "sd3": Tiny("SD3", "sd3", (16, 8, 6), 32, 64),
    "sd35": Tiny("SD3.5 medium-like", "sd3", (16, 8, 6), 32, 64),
    "flux": Tiny("Flux dev (guidance)", "flux", (16, 8, 6), 32, 32),
    "flux schnell": Tiny("Flux schnell", "flux", (16, 8, 6), 32, 32),
    "flux control": Tiny("Flux Fill/Control (wide in)", "flux", (16, 8, 6), 32, 32),
    "flux fill": Tiny("Flux Fill", "flux", (16, 8, 6), 32, 32),
    "flux2": Tiny("Flux2", "flux2", (32, 4, 6), 32),
    "chroma": Tiny("Chroma", "chroma", (16, 8, 6), 32),
    "qwen_image": Tiny("Qwen-Image", "qwen_image", (16, 1, 8, 6), 32),
    "z_image": Tiny("Z-Image", "z_image", (16, 8, 6), 16),
    "auraflow": Tiny("AuraFlow", "auraflow", (4, 8, 6), 32),
    "lumina2": Tiny("Lumina2 of 16 channels", "lumina2", (16, 8, 6), 32),
    "sana": Tiny("Sana", "sana", (4, 4, 6), 8),
    "hidream": Tiny("HiDream", "hidream", (16, 8, 6), 32, 24, layers=(3, 20)),
    "wan": Tiny("Wan 2.1 t2v", "wan", (16, 2, 8, 6), 16),
    "wan i2v": Tiny("Wan 2.1 i2v (36ch)", "wan", (16, 2, 8, 6), 16),
    "wan first and last": Tiny("Wan 2.1 first and last", "wan", (16, 2, 8, 6), 16),
    "wan vace": Tiny("Wan 2.1 VACE", "wan", (16, 2, 8, 6), 16),
    "wan fun control": Tiny("Wan 2.1 Fun control", "wan", (16, 2, 8, 6), 16),
    "wan 2.2 fun control": Tiny("Wan 2.2 Fun control", "wan", (16, 2, 8, 6), 16),
}


_WAN = {
    "patch_size": [1, 2, 2], "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16,
    "text_dim": 16, "freq_dim": 256, "ffn_dim": 32, "num_layers": 4, "cross_attn_norm": True, "rope_max_seq_len": 32,
}  # fmt: skip
_SEEING = {"image_dim": 16, "added_kv_proj_dim": 24}
MORE: dict[str, dict[str, Any]] = {
    "Sana of two blocks": {
        "in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 2,
        "num_cross_attention_heads": 2, "cross_attention_head_dim": 4, "cross_attention_dim": 8, "caption_channels": 8,
        "sample_size": 8, "patch_size": 1,
    },
    "Flux2 of four blocks": {
        "patch_size": 1, "in_channels": 32, "num_layers": 4, "num_single_layers": 1, "attention_head_dim": 16,
        "num_attention_heads": 2, "joint_attention_dim": 32, "axes_dims_rope": [4, 4, 4, 4],
    },
    "Wan 2.1 first and last": {**_WAN, **_SEEING, "in_channels": 36, "pos_embed_seq_len": 10},
    "Wan 2.1 VACE": {**_WAN, "vace_layers": [0, 2], "vace_in_channels": 96},
    "Wan 2.1 Fun control": {**_WAN, **_SEEING, "in_channels": 48},
    "Wan 2.2 Fun control": {**_WAN, "in_channels": 52, "reference_channels": 16},
    "SDXL refiner UNet": {
        "block_out_channels": [32, 32, 64, 64], "layers_per_block": 2, "cross_attention_dim": 32, "norm_num_groups": 16,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [2, 2, 4, 4], "use_linear_projection": True, "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 16 + 5 * 8,
    },
    "Flux Fill": {
        "patch_size": 1, "in_channels": 384, "out_channels": 64, "num_layers": 1, "num_single_layers": 1,
        "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32,
        "guidance_embeds": True, "axes_dims_rope": [4, 4, 8],
    },
    "Lumina2 of 16 channels": {"sample_size": 16, "patch_size": 2, "in_channels": 16, "out_channels": None, "hidden_size": 24, "num_layers": 1, "num_refiner_layers": 1, "num_attention_heads": 3, "num_kv_heads": 1, "multiple_of": 2, "ffn_dim_multiplier": None, "norm_eps": 1e-05, "scaling_factor": 1.0, "axes_dim_rope": [4, 2, 2], "axes_lens": [128, 128, 128], "cap_feat_dim": 32},
    "HiDream": {
        "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 1, "num_single_layers": 2,
        "attention_head_dim": 16, "num_attention_heads": 2, "caption_channels": [32, 20], "text_emb_dim": 24,
        "num_routed_experts": 3, "num_activated_experts": 2, "axes_dims_rope": [8, 4, 4], "max_resolution": [32, 32],
        "llama_layers": [0, 1, 2],
    },
}  # fmt: skip
"""Tiny networks that golden/families.json has not got."""


@functools.cache
def config_of(name: str) -> dict[str, Any]:
    """The config of a tiny network."""
    base, _, variant = name.partition(", ")
    config = dict(MORE[base] if base in MORE else json.loads((GOLDEN / "families.json").read_text())[base])
    return {**config, "in_channels": 9} if variant == "inpainting" else config


def network(tiny: Tiny) -> nn.Module:
    """The network itself, its weights seeded."""
    torch.manual_seed(sum(map(ord, tiny.config)))
    module = FAMILIES[tiny.family].build(config_of(tiny.config)).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.abs().sum() == 0 or name.endswith("pad_token"):
                parameter.copy_(torch.randn_like(parameter) * 0.1)  # what starts at zero would hide mistakes
    return module


def original_state(module: nn.Module, layout: Layout, prefix: str = "") -> dict[str, Tensor]:
    """A network's tensors as files in the original layout have them."""
    state = module.state_dict()
    return {prefix + entry.theirs: join(entry, state).contiguous().clone() for entry in layout(state)}


def single_file(folder: Path, tiny: Tiny, module: nn.Module, prefix: str = "model.diffusion_model.") -> File:
    """A single file in the original layout, with its config beside it, since its sizes are not those of real models."""
    path = folder / f"{tiny.config.replace('/', ' ')}.safetensors"
    save_file(original_state(module, FAMILIES[tiny.family].layout, prefix), path)
    write_config(path, tiny.folder, config_of(tiny.config))
    return file(path)

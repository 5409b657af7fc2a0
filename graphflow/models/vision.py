"""Image encoders (CLIP, SigLIP), and style models that turn what they see into text tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphflow.detect import Header, count
from graphflow.layouts import Entry, Rule, table
from graphflow.models.residency import Residency, Unpatched
from graphflow.values import ClipVision, ClipVisionOutput, StyleModel

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on, per channel."""


@dataclass
class VisionContent(Unpatched):
    """An image encoder in memory."""

    module: nn.Module
    dtype: torch.dtype
    size: int
    """Sides of the pictures that it takes."""
    siglip: bool = False


class ResidentVision:
    """An image encoder that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: ClipVision, load: Callable[[], VisionContent]) -> None:
        residency.get(recipe.weights, load)
        self._residency, self._recipe, self._load = residency, recipe, load

    @torch.inference_mode()
    def encode(self, pixels: Tensor, crop: Literal["center", "none"] = "center") -> ClipVisionOutput:
        """(B, H, W, C) in 0 to 1 -> what the encoder saw, float32 on the CPU; `none` squashes instead of cutting."""
        return self._see(lambda content: prepared(pixels, content.size, crop, siglip=content.siglip))

    @torch.inference_mode()
    def nothing(self) -> ClipVisionOutput:
        """What the encoder sees where there is no picture: zeros after normalisation."""
        return self._see(lambda content: torch.zeros(1, 3, content.size, content.size))

    def _see(self, picture: Callable[[Any], Tensor]) -> ClipVisionOutput:
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            x = picture(content)
            out = content.module(pixel_values=x.to(self._residency.device, content.dtype), output_hidden_states=True)
            last, states = out.last_hidden_state, out.hidden_states
            embeds = out.pooler_output if content.siglip else out.image_embeds
            return ClipVisionOutput(embeds.float().cpu(), last.float().cpu(), states[-2].float().cpu())


def prepared(pixels: Tensor, size: int, crop: Literal["center", "none"], *, siglip: bool = False) -> Tensor:
    """(B, H, W, C) in 0 to 1 -> (B, 3, size, size), resized, in 8-bit steps, and normalised as in training."""
    x = pixels[..., :3].movedim(-1, 1)
    height, width = x.shape[-2:]
    scale = size / min(height, width)
    target = (round(height * scale), round(width * scale)) if crop == "center" else (size, size)
    if (height, width) != target:
        x = functional.interpolate(x, size=target, mode="bicubic", antialias=True)
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    x = (x[..., top : top + size, left : left + size].clamp(0, 1) * 255).round() / 255
    mean, std = ((0.5,) * 3, (0.5,) * 3) if siglip else (CLIP_MEAN, CLIP_STD)
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def is_siglip(header: Header) -> bool:
    """SigLIP has no class token."""
    return "vision_model.embeddings.class_embedding" not in header.tensors


def config(header: Header) -> dict[str, Any]:
    """By the shapes of a file."""
    width, _, patch, _ = header.shape("vision_model.embeddings.patch_embedding.weight")
    places = header.shape("vision_model.embeddings.position_embedding.weight")[0] - (0 if is_siglip(header) else 1)
    projection = header.shape("visual_projection.weight")
    settings = {
        "hidden_size": width,
        "intermediate_size": header.shape("vision_model.encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": count(header, "vision_model.encoder.layers.{}."),
        "num_attention_heads": 12 if width == 768 else 16,
        "image_size": math.isqrt(places) * patch,
        "patch_size": patch,
        "hidden_act": "quick_gelu" if width in (768, 1024) else "gelu",
    }
    if is_siglip(header):
        return {**settings, "hidden_act": "gelu_pytorch_tanh"}
    return {**settings, "projection_dim": projection[0] if projection else width}


def build(settings: Mapping[str, Any], *, siglip: bool) -> nn.Module:
    """transformers' class."""
    import transformers

    if siglip:
        return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**settings))
    return transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**settings))


def layout(names: Iterable[str]) -> list[Entry]:
    """Files have everything but the projection under `vision_model.`, as classes had it once."""
    return [
        Entry(n if n.startswith(("vision_model.", "visual_projection")) else f"vision_model.{n}", (n,)) for n in names
    ]


_OPEN_CLIP = table(
    ("conv1", "vision_model.embeddings.patch_embedding"),
    ("class_embedding", "vision_model.embeddings.class_embedding"),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("ln_pre", "vision_model.pre_layrnorm"),
    ("ln_post", "vision_model.post_layernorm"),
    *(
        (
            f"transformer.resblocks.*.attn.in_proj_{p}",
            *(f"vision_model.encoder.layers.*.self_attn.{x}_proj.{p}" for x in "qkv"),
        )
        for p in ("weight", "bias")
    ),
    ("transformer.resblocks.*.attn.out_proj", "vision_model.encoder.layers.*.self_attn.out_proj"),
    ("transformer.resblocks.*.ln_1", "vision_model.encoder.layers.*.layer_norm1"),
    ("transformer.resblocks.*.ln_2", "vision_model.encoder.layers.*.layer_norm2"),
    ("transformer.resblocks.*.mlp.c_fc", "vision_model.encoder.layers.*.mlp.fc1"),
    ("transformer.resblocks.*.mlp.c_proj", "vision_model.encoder.layers.*.mlp.fc2"),
    Rule("proj", ("visual_projection.weight",), "transpose"),
)


def open_clip(names: Iterable[str]) -> list[Entry]:
    """OpenCLIP's image encoder: `transformer.resblocks`, query, key and value in one; as unCLIP checkpoints hold it."""
    return _OPEN_CLIP(list(names))


def is_open_clip(header: Header) -> bool:
    """Whether a file is in OpenCLIP's layout."""
    return "transformer.resblocks.0.ln_1.weight" in header.tensors


def renamed(header: Header) -> Header:
    """The header of an OpenCLIP file with our names for what a config follows from."""
    known = {
        "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "class_embedding": "vision_model.embeddings.class_embedding",
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    }
    tensors = {known.get(key, _block(key)): entry for key, entry in header.tensors.items()}
    if proj := header.tensors.get("proj"):
        tensors["visual_projection.weight"] = replace(proj, shape=proj.shape[::-1])
    return replace(header, tensors=tensors)


def _block(key: str) -> str:
    return key.replace("transformer.resblocks.", "vision_model.encoder.layers.").replace("mlp.c_fc", "mlp.fc1")


# --- style models ----------------------------------------------------------------------------------------------------


class Redux(nn.Module):
    """Flux Redux: each of SigLIP's tokens becomes one of T5's."""

    def __init__(self, seen: int, inner: int, made: int) -> None:
        super().__init__()
        self.redux_up = nn.Linear(seen, inner)
        self.redux_down = nn.Linear(inner, made)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, seen) -> (B, T, made)."""
        return self.redux_down(functional.silu(self.redux_up(x)))  # type: ignore[no-any-return]


@dataclass
class StyleContent(Unpatched):
    """A style model in memory."""

    module: nn.Module
    dtype: torch.dtype


class ResidentStyle:
    """A style model that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: StyleModel, load: Callable[[], StyleContent]) -> None:
        residency.get(recipe.weights, load)
        self._residency, self._recipe, self._load = residency, recipe, load

    @torch.inference_mode()
    def tokens(self, output: ClipVisionOutput) -> Tensor:
        """(B, T, D) text tokens, float32 on the CPU. Raises `ValueError` for another image encoder's output."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            seen = output.last_hidden_state
            if seen.shape[-1] != content.module.redux_up.in_features:
                raise ValueError(
                    f"this style model looks at {content.module.redux_up.in_features} channels, the image encoder gave "
                    f"{seen.shape[-1]}: load the SigLIP encoder that belongs to it"
                )
            made: Tensor = content.module(seen.to(self._residency.device, content.dtype))
            return made.float().cpu()

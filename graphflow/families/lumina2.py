"""Lumina Image 2.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.families.common.base import Call, Family, TextPart
from graphflow.families.common.flow import FLUX_LATENTS, even, first, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import table

if TYPE_CHECKING:
    from torch import Tensor, nn


def _block(block: str, first_norm: str) -> list[tuple[str, ...]]:
    return [
        (f"{block}.attention.qkv", *(f"{block}.attn.to_{x}" for x in "qkv")),
        (f"{block}.attention.out", f"{block}.attn.to_out.0"),
        (f"{block}.attention.q_norm", f"{block}.attn.norm_q"),
        (f"{block}.attention.k_norm", f"{block}.attn.norm_k"),
        (f"{block}.attention_norm1", f"{block}.{first_norm}"),
        (f"{block}.attention_norm2", f"{block}.norm2"),
        (f"{block}.adaLN_modulation.1", f"{block}.norm1.linear"),
        *((f"{block}.feed_forward.w{n}", f"{block}.feed_forward.linear_{n}") for n in (1, 2, 3)),
    ]


layout = table(
    *_block("layers.*", "norm1.norm"),
    *_block("noise_refiner.*", "norm1.norm"),
    *_block("context_refiner.*", "norm1"),
    ("cap_embedder.0", "time_caption_embed.caption_embedder.0"),
    ("cap_embedder.1", "time_caption_embed.caption_embedder.1"),
    ("t_embedder.mlp.0", "time_caption_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_caption_embed.timestep_embedder.linear_2"),
    ("final_layer.adaLN_modulation.1", "norm_out.linear_1"),
    ("final_layer.linear", "norm_out.linear_2"),
)


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width, patch = header.shape("x_embedder.weight")
    head = header.shape("layers.0.attention.q_norm.weight")[0]
    values = (header.shape("layers.0.attention.qkv.weight")[0] - width) // 2
    return {
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": patch // 4,
        "hidden_size": width,
        "num_layers": count(header, "layers.{}."),
        "num_refiner_layers": count(header, "noise_refiner.{}."),
        "num_attention_heads": width // head,
        "num_kv_heads": values // head,
        "multiple_of": 256,
        "axes_dim_rope": [head // 3] * 3,
        "axes_lens": [300, 512, 512],
        "cap_feat_dim": header.shape("cap_embedder.1.weight")[1],
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; the network counts time from noise to picture, and its velocity points the other way."""
    import torch

    mask = call.attention_mask
    mask = torch.ones(call.context.shape[:2]) if mask is None else mask
    out = first(
        module,
        even(call.x),
        (1.0 - call.timestep).to(call.x.dtype),
        call.context,
        mask.to(call.context.device).bool(),
    )
    return -out[..., : call.x.shape[-2], : call.x.shape[-1]]


FAMILY = Family(
    name="lumina2",
    title="Lumina 2",
    autoencoders={("kl", 16): "flux"},
    signatures=(
        Signature(("layers.0.adaLN_modulation.1.weight", "cap_embedder.0.weight")),
        Signature(("layers.0.norm1.linear.weight", "time_caption_embed.caption_embedder.0.weight"), layout="diffusers"),
    ),
    class_name="Lumina2Transformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda _: FLUX_LATENTS,
    parametrisation=shifted(6.0, 1.0),
    dtypes=("bfloat16",),
    text=(TextPart("gemma2", "gemma2", layers=(-2,), masked=True),),
    context_width=lambda config: int(config["cap_feat_dim"]),
    types=(("lumina2", "gemma2"),),
    loras=LoraLooks((r"(layers|refiner)_\d+_(attention|attn|feed_forward)_",), widths=(2304,)),
)

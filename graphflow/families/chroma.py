"""Chroma: Flux's blocks with their modulation from one small network, and T5 alone for the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.families import flux
from graphflow.families.common.base import Call, Family, TextPart
from graphflow.families.common.flow import FLUX_LATENTS, first, shifted, unpack
from graphflow.families.common.looks import FLUX_BLOCKS, JOINT, JOINT_ATTENTION, LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import table

if TYPE_CHECKING:
    from torch import Tensor, nn

layout = table(
    ("distilled_guidance_layer.layers.*.in_layer", "distilled_guidance_layer.layers.*.linear_1"),
    ("distilled_guidance_layer.layers.*.out_layer", "distilled_guidance_layer.layers.*.linear_2"),
    ("distilled_guidance_layer.norms.*.scale", "distilled_guidance_layer.norms.*.weight"),
    ("txt_in", "context_embedder"),
    ("img_in", "x_embedder"),
    *flux.double_blocks(),
    *flux.single_blocks(),
    ("final_layer.linear", "proj_out"),
)


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    head = header.shape("double_blocks.0.img_attn.norm.query_norm.scale")[0]
    width, channels = header.shape("img_in.weight")
    hidden, embedded = header.shape("distilled_guidance_layer.in_proj.weight")
    return {
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": header.shape("final_layer.linear.weight")[0],
        "num_layers": count(header, "double_blocks.{}."),
        "num_single_layers": count(header, "single_blocks.{}."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": header.shape("txt_in.weight")[1],
        "axes_dims_rope": flux.rope(head),
        "approximator_num_channels": embedded,
        "approximator_hidden_dim": hidden,
        "approximator_layers": count(header, "distilled_guidance_layer.layers.{}."),
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; tokens that fill the text up are masked."""
    import torch

    picture, ids, height, width = flux.tokens(call, 16)
    mask = call.attention_mask
    if mask is not None:
        mask = torch.cat([mask, torch.ones(picture.shape[:2]).to(mask)], dim=1)
    out = first(
        module,
        picture,
        encoder_hidden_states=call.context,
        timestep=call.timestep.to(call.x.dtype),
        img_ids=ids,
        txt_ids=torch.zeros(call.context.shape[1], 3).to(ids),
        attention_mask=mask,
    )
    out = unpack(out[:, : (height // 2) * (width // 2)], height, width)
    return out[..., : call.x.shape[-2], : call.x.shape[-1]]


FAMILY = Family(
    name="chroma",
    title="Chroma",
    autoencoders={("kl", 16): "flux"},
    signatures=(
        Signature(("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.weight")),
        Signature(
            ("transformer_blocks.0.attn.to_q.weight", "distilled_guidance_layer.in_proj.weight"),
            layout="diffusers",
        ),
    ),
    class_name="ChromaTransformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda _: FLUX_LATENTS,
    parametrisation=shifted(1.0, 1.0),
    text=(TextPart("t5", "t5xxl", masked=True),),
    context_width=lambda config: int(config["joint_attention_dim"]),
    also_understands=("flux",),
    types=(("chroma", ""),),
    loras=LoraLooks(
        (*FLUX_BLOCKS, JOINT_ATTENTION, rf"{JOINT}ff_context", "distilled_guidance_layer"),
        (
            r"_mod_lin",
            "modulation_lin",
            "vector_in",
            "guidance_in",
            r"norm1?_(context_)?linear",
            r"blocks_\d+_processor",
            rf"{JOINT}(img|txt)_",
        ),
        (3072,),
        19,
    ),
)

"""Sana."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Family, TextPart
from graphflow.families.common.flow import first, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import table

if TYPE_CHECKING:
    from torch import Tensor, nn

layout = table(
    ("x_embedder.proj", "patch_embed.proj"),
    ("t_embedder.mlp.0", "time_embed.emb.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_embed.emb.timestep_embedder.linear_2"),
    ("t_block.1", "time_embed.linear"),
    ("y_embedder.y_proj.fc1", "caption_projection.linear_1"),
    ("y_embedder.y_proj.fc2", "caption_projection.linear_2"),
    ("attention_y_norm", "caption_norm"),
    ("blocks.*.scale_shift_table", "transformer_blocks.*.scale_shift_table"),
    ("blocks.*.attn.qkv", *(f"transformer_blocks.*.attn1.to_{x}" for x in "qkv")),
    ("blocks.*.attn.proj", "transformer_blocks.*.attn1.to_out.0"),
    ("blocks.*.cross_attn.q_linear", "transformer_blocks.*.attn2.to_q"),
    ("blocks.*.cross_attn.kv_linear", "transformer_blocks.*.attn2.to_k", "transformer_blocks.*.attn2.to_v"),
    ("blocks.*.cross_attn.proj", "transformer_blocks.*.attn2.to_out.0"),
    ("blocks.*.mlp.inverted_conv.conv", "transformer_blocks.*.ff.conv_inverted"),
    ("blocks.*.mlp.depth_conv.conv", "transformer_blocks.*.ff.conv_depth"),
    ("blocks.*.mlp.point_conv.conv", "transformer_blocks.*.ff.conv_point"),
    ("final_layer.linear", "proj_out"),
    ("final_layer.scale_shift_table", "scale_shift_table"),
)


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width, channels = header.shape("x_embedder.proj.weight")[:2]
    inner = header.shape("blocks.0.mlp.inverted_conv.conv.weight")[0]
    head = 72 if width % 72 == 0 else 112  # of the small model (0.6B), and of the others
    return {
        "in_channels": channels,
        "out_channels": header.shape("final_layer.linear.weight")[0],
        "num_attention_heads": width // 32,
        "attention_head_dim": 32,
        "num_layers": count(header, "blocks.{}."),
        "num_cross_attention_heads": max(1, width // head),
        "cross_attention_head_dim": head,
        "cross_attention_dim": width,
        "caption_channels": header.shape("y_embedder.y_proj.fc1.weight")[1],
        "mlp_ratio": inner / 2 / width,
        "sample_size": 32,
        "patch_size": 1,
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; a ControlNet's residuals go to the blocks after the first in turn."""
    return first(
        module,
        call.x,
        call.context,
        call.timestep,
        encoder_attention_mask=call.attention_mask,
        controlnet_block_samples=tuple(call.residuals.down) if call.residuals else None,
    )


FAMILY = Family(
    name="sana",
    title="Sana",
    autoencoders={("dc", 32): "sana"},
    signatures=(
        Signature(("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.inverted_conv.conv.weight")),
        Signature(
            ("transformer_blocks.0.ff.conv_inverted.weight", "caption_projection.linear_1.weight"),
            layout="diffusers",
        ),
    ),
    class_name="SanaTransformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda facts: LatentFormat(int(facts.config["in_channels"]), 0.41407, downscale=32),
    parametrisation=shifted(3.0),
    dtypes=("bfloat16",),
    text=(TextPart("gemma2", "gemma2", least=300, masked=True),),
    context_width=lambda config: int(config["caption_channels"]),
    types=(("sana", ""),),
    loras=LoraLooks(
        (
            r"^(lora_|unet_|transformer_|base_model_model_)*transformer_blocks_\d+_attn[12]_",
            r"blocks_\d+_cross_attn_(q|kv)_linear",
        )
    ),
)

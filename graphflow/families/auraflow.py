"""AuraFlow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Family, TextPart
from graphflow.families.common.flow import even, first, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.families.sdxl import RGB
from graphflow.header import Header, count
from graphflow.layouts import Rule, table

if TYPE_CHECKING:
    from torch import Tensor, nn

layout = table(
    ("t_embedder.mlp.0", "time_step_proj.linear_1"),
    ("t_embedder.mlp.2", "time_step_proj.linear_2"),
    ("cond_seq_linear", "context_embedder"),
    ("positional_encoding", "pos_embed.pos_embed"),
    ("init_x_linear", "pos_embed.proj"),
    ("final_linear", "proj_out"),
    Rule("modF.1", ("norm_out.linear",), "swap"),
    *(
        (f"double_layers.*.{side}.{theirs}", f"joint_transformer_blocks.*.{ff}.{ours}")
        for side, ff in (("mlpX", "ff"), ("mlpC", "ff_context"))
        for theirs, ours in (("c_fc1", "linear_1"), ("c_fc2", "linear_2"), ("c_proj", "out_projection"))
    ),
    ("double_layers.*.modX.1", "joint_transformer_blocks.*.norm1.linear"),
    ("double_layers.*.modC.1", "joint_transformer_blocks.*.norm1_context.linear"),
    *(
        (f"double_layers.*.attn.{theirs}", f"joint_transformer_blocks.*.attn.{ours}")
        for theirs, ours in (
            ("w2q", "to_q"), ("w2k", "to_k"), ("w2v", "to_v"), ("w2o", "to_out.0"),
            ("w1q", "add_q_proj"), ("w1k", "add_k_proj"), ("w1v", "add_v_proj"), ("w1o", "to_add_out"),
        )
    ),
    *(
        (f"single_layers.*.mlp.{theirs}", f"single_transformer_blocks.*.ff.{ours}")
        for theirs, ours in (("c_fc1", "linear_1"), ("c_fc2", "linear_2"), ("c_proj", "out_projection"))
    ),
    ("single_layers.*.modCX.1", "single_transformer_blocks.*.norm1.linear"),
    *(
        (f"single_layers.*.attn.{theirs}", f"single_transformer_blocks.*.attn.{ours}")
        for theirs, ours in (("w1q", "to_q"), ("w1k", "to_k"), ("w1v", "to_v"), ("w1o", "to_out.0"))
    ),
)  # fmt: skip


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width, patch = header.shape("init_x_linear.weight")
    head = 256 if width % 256 == 0 else 8
    return {
        "sample_size": 64,
        "patch_size": 2,
        "in_channels": patch // 4,
        "num_mmdit_layers": count(header, "double_layers.{}."),
        "num_single_dit_layers": count(header, "single_layers.{}."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": header.shape("cond_seq_linear.weight")[1],
        "caption_projection_dim": width,
        "out_channels": header.shape("final_linear.weight")[0] // 4,
        "pos_embed_max_size": math.prod(header.shape("positional_encoding")[:2]),
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass."""
    out = first(module, even(call.x), encoder_hidden_states=call.context, timestep=call.timestep.to(call.x.dtype))
    return out[..., : call.x.shape[-2], : call.x.shape[-1]]


FAMILY = Family(
    name="auraflow",
    title="AuraFlow",
    autoencoders={("kl", 4): "sdxl"},
    signatures=(
        Signature(("double_layers.0.attn.w1q.weight", "cond_seq_linear.weight")),
        Signature(("joint_transformer_blocks.0.attn.add_q_proj.weight", "register_tokens"), layout="diffusers"),
    ),
    class_name="AuraFlowTransformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda _: LatentFormat(4, 0.13025, rgb=RGB, tiny="taesdxl"),  # its autoencoder is SDXL's
    parametrisation=shifted(1.73, 1.0),
    text=(TextPart("umt5", "t5xl", least=256),),
    context_width=lambda config: int(config["joint_attention_dim"]),
    types=(("auraflow", ""),),
    loras=LoraLooks((r"joint_transformer_blocks_\d+_", r"(double|single)_layers_\d+_")),
)

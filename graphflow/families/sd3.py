"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Encoded, Family, Prompt, TextPart
from graphflow.families.common.flow import even, first, shifted
from graphflow.families.common.looks import FLUX_BLOCKS, JOINT, JOINT_ATTENTION, LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import Entry, Rule, table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphflow.values import Cond


def _block(side: str, q: str, k: str, v: str, out: str, norm: str, ff: str, norms: tuple[str, str]) -> list[Any]:
    theirs, ours = f"joint_blocks.*.{side}", "transformer_blocks.*"
    return [
        (f"{theirs}.attn.qkv", *(f"{ours}.attn.{x}" for x in (q, k, v))),
        (f"{theirs}.attn.proj", f"{ours}.attn.{out}"),
        (f"{theirs}.attn.ln_q", f"{ours}.attn.{norms[0]}"),
        (f"{theirs}.attn.ln_k", f"{ours}.attn.{norms[1]}"),
        (f"{theirs}.adaLN_modulation.1", f"{ours}.{norm}.linear"),
        (f"{theirs}.mlp.fc1", f"{ours}.{ff}.net.0.proj"),
        (f"{theirs}.mlp.fc2", f"{ours}.{ff}.net.2"),
    ]


_table = table(
    ("pos_embed", "pos_embed.pos_embed"),
    ("x_embedder.proj", "pos_embed.proj"),
    ("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    ("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
    ("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    *_block("x_block", "to_q", "to_k", "to_v", "to_out.0", "norm1", "ff", ("norm_q", "norm_k")),
    *_block("context_block", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "norm1_context", "ff_context",
            ("norm_added_q", "norm_added_k")),
    ("joint_blocks.*.x_block.attn2.qkv", *(f"transformer_blocks.*.attn2.to_{x}" for x in "qkv")),
    ("joint_blocks.*.x_block.attn2.proj", "transformer_blocks.*.attn2.to_out.0"),
    ("joint_blocks.*.x_block.attn2.ln_q", "transformer_blocks.*.attn2.norm_q"),
    ("joint_blocks.*.x_block.attn2.ln_k", "transformer_blocks.*.attn2.norm_k"),
    ("final_layer.linear", "proj_out"),
    Rule("final_layer.adaLN_modulation.1", ("norm_out.linear",), "swap"),
)  # fmt: skip


def layout(names: Iterable[str]) -> list[Entry]:
    """The original's names; the last block's text side has its scale and shift the other way round."""
    entries = _table(names)
    last = max((int(e.ours[0].split(".")[1]) for e in entries if ".norm1_context." in e.ours[0]), default=-1)
    mark = f"transformer_blocks.{last}.norm1_context."
    return [Entry(e.theirs, e.ours, "swap") if e.ours[0].startswith(mark) else e for e in entries]


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width = header.shape("x_embedder.proj.weight")[0]
    layers = count(header, "joint_blocks.{}.")
    head = (header.shape("joint_blocks.0.x_block.attn.ln_q.weight") or (64,))[0]
    dual = [n for n in range(layers) if header.shape(f"joint_blocks.{n}.x_block.attn2.qkv.weight")]
    return {
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": header.shape("x_embedder.proj.weight")[1],
        "num_layers": layers,
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": header.shape("context_embedder.weight")[1],
        "caption_projection_dim": width,
        "pooled_projection_dim": header.shape("y_embedder.mlp.0.weight")[1],
        "out_channels": 16,
        "pos_embed_max_size": math.isqrt(header.shape("pos_embed")[1]),
        "dual_attention_layers": dual,
        "qk_norm": "rms_norm" if header.shape("joint_blocks.0.x_block.attn.ln_q.weight") else None,
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; a ControlNet's residuals go to the blocks in turn."""
    x = even(call.x)
    residuals = list(call.residuals.down) if call.residuals else None
    out = first(
        module,
        x,
        call.context,
        pooled_projections=call.pooled,
        timestep=call.timestep,
        block_controlnet_hidden_states=residuals,
    )
    return out[..., : call.x.shape[-2], : call.x.shape[-1]]


def three(prompt: Prompt) -> Cond:
    """CLIP-L beside CLIP-G, filled up to T5's width, then T5's tokens; the pooled texts side by side.

    An encoder that is not there, or whose text is None, leaves zeros or nothing.
    """
    import torch
    from torch.nn import functional

    from graphflow.values import Cond

    clips = [prompt.of("l"), prompt.of("g")]
    t5 = prompt.of("t5xxl")
    pooled = torch.cat([_pooled(clip, width) for clip, width in zip(clips, (768, 1280), strict=True)], dim=-1)
    width = t5.context.shape[-1] if t5 else 4096
    parts = []
    if any(clips):
        tokens = min(clip.context.shape[1] for clip in clips if clip)
        both = torch.cat([_tokens(c, tokens, w) for c, w in zip(clips, (768, 1280), strict=True)], dim=-1)
        parts.append(functional.pad(both, (0, width - both.shape[-1])) if both.shape[-1] < width else both)
    parts += [t5.context] if t5 else []
    return Cond(torch.cat(parts, dim=1) if parts else torch.zeros(1, 77, width), pooled)


def _pooled(clip: Encoded | None, width: int) -> Tensor:
    import torch

    return torch.zeros(1, width) if clip is None or clip.pooled is None else clip.pooled


def _tokens(clip: Encoded | None, tokens: int, width: int) -> Tensor:
    import torch

    return torch.zeros(1, tokens, width) if clip is None else clip.context[:, :tokens]


FAMILY = Family(
    name="sd3",
    title="Stable Diffusion 3",
    autoencoders={("kl", 16): "sd3"},
    signatures=(
        Signature(("joint_blocks.0.context_block.adaLN_modulation.1.weight", "x_embedder.proj.weight")),
        Signature(("transformer_blocks.0.norm1_context.linear.weight", "pos_embed.proj.weight"), layout="diffusers"),
    ),
    class_name="SD3Transformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda _: LatentFormat(16, 1.5305, 0.0609, tiny="taesd3"),
    parametrisation=shifted(3.0),
    text=(
        TextPart("clip_l", "l", layer=-2, norm=False),
        TextPart("clip_g", "g", folder="text_encoder_2", layer=-2, norm=False, pad=0),
        TextPart("t5", "t5xxl", folder="text_encoder_3", least=77),
    ),
    compose=three,
    context_width=lambda config: int(config["joint_attention_dim"]),
    types=(("sd3", ""),),
    loras=LoraLooks(
        (r"joint_blocks_\d+_(x|context)_block", JOINT_ATTENTION, rf"{JOINT}(norm1_context|ff_context)"),
        (*FLUX_BLOCKS, rf"{JOINT}(img|txt)_"),
        (1536, 2432),
        38,
    ),
)

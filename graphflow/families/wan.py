"""Wan 2.1 and 2.2: text to video, and image to video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Facts, Family, TextPart
from graphflow.families.common.flow import even, first, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.families.qwen_image import WAN_LATENTS
from graphflow.header import Header, count
from graphflow.layouts import table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphflow.diffusion.network import Concat

MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.157, -0.0098,
    0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567,
    -0.0729, 0.0899, -0.2799, -0.123, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.052, 0.3748, 0.0152, 0.1957,
    0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.499, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454,
    0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999,
    0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.06, 0.3943, 0.5537, 0.5444,
    0.4089, 0.7468, 0.7744,
)  # fmt: skip
"""Of the latents of Wan 2.2's autoencoder, which its small model uses, each channel's mean and spread."""


def _attention(block: str, theirs: str, ours: str) -> list[tuple[str, ...]]:
    return [
        *((f"{block}.{theirs}.{x}", f"{block}.{ours}.to_{x}") for x in "qkv"),
        (f"{block}.{theirs}.o", f"{block}.{ours}.to_out.0"),
        (f"{block}.{theirs}.norm_q", f"{block}.{ours}.norm_q"),
        (f"{block}.{theirs}.norm_k", f"{block}.{ours}.norm_k"),
    ]


layout = table(
    *((f"{x}_embedding.{n}", f"condition_embedder.{x}_embedder.linear_{n // 2 + 1}") for x in ("time", "text") for n in (0, 2)),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.modulation", "scale_shift_table"),
    ("head.head", "proj_out"),
    *_attention("blocks.*", "self_attn", "attn1"),
    *_attention("blocks.*", "cross_attn", "attn2"),
    ("blocks.*.cross_attn.k_img", "blocks.*.attn2.add_k_proj"),
    ("blocks.*.cross_attn.v_img", "blocks.*.attn2.add_v_proj"),
    ("blocks.*.cross_attn.norm_k_img", "blocks.*.attn2.norm_added_k"),
    ("blocks.*.modulation", "blocks.*.scale_shift_table"),
    ("blocks.*.ffn.0", "blocks.*.ffn.net.0.proj"),
    ("blocks.*.ffn.2", "blocks.*.ffn.net.2"),
    ("blocks.*.norm3", "blocks.*.norm2"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
)  # fmt: skip


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width, channels = header.shape("patch_embedding.weight")[:2]
    image = header.shape("img_emb.proj.1.weight")
    return {
        "patch_size": list(header.shape("patch_embedding.weight")[2:]),
        "num_attention_heads": max(1, width // 128),
        "attention_head_dim": 128 if width % 128 == 0 else width,
        "in_channels": channels,
        "out_channels": header.shape("head.head.weight")[0] // 4,
        "text_dim": header.shape("text_embedding.0.weight")[1],
        "freq_dim": header.shape("time_embedding.0.weight")[1],
        "ffn_dim": header.shape("blocks.0.ffn.0.weight")[0],
        "num_layers": count(header, "blocks.{}."),
        "image_dim": image[1] if image else None,
        "added_kv_proj_dim": width if header.shape("blocks.0.cross_attn.k_img.weight") else None,
    }


def latents(facts: Facts) -> LatentFormat:
    """Wan 2.1's, or those of 2.2's small model."""
    channels = int(facts.config["out_channels"])
    if channels == 48:
        return LatentFormat(48, mean=MEAN, std=STD, downscale=16, temporal=4, dims=3)
    return WAN_LATENTS if channels == 16 else LatentFormat(channels, downscale=16, temporal=4, dims=3)


def concat(facts: Facts) -> Concat:
    """Image to video takes a mask and the frames that are given beside the latent; the small model is told them by time."""
    if int(facts.config["in_channels"]) == int(facts.config["out_channels"]) == 48:
        return "known"
    more = int(facts.config["in_channels"]) - int(facts.config["out_channels"])
    return "inpaint" if more > 0 else ""


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; a mask of one channel, 1 where frames are free, becomes four, 1 where they are given, or for the small
    model each token's own time, 0 where it is given.
    """
    import torch

    settings: Any = module.config
    x, timestep = call.x, call.timestep
    own = settings.out_channels
    if x.shape[1] > own and settings.in_channels == own:
        free = even(x[:, own : own + 1])[:, 0, :, ::2, ::2]
        x, timestep = x[:, :own], (free * timestep[:, None, None, None]).flatten(1).to(timestep)
    elif x.shape[1] > own:
        given = 1.0 - x[:, own : own + 1]
        copies = settings.in_channels - x.shape[1] + 1
        x = torch.cat([x[:, :own], given.expand(-1, copies, *x.shape[2:]), x[:, own + 1 :]], dim=1)
    images = [
        vision for cond, n in call.conds if (vision := cond.sizes.get("clip_vision")) is not None for _ in range(n)
    ]
    out = first(
        module,
        even(x),
        timestep=timestep,
        encoder_hidden_states=call.context,
        encoder_hidden_states_image=torch.cat(images).to(call.context) if images else None,
    )
    return out[..., : call.x.shape[-2], : call.x.shape[-1]]


FAMILY = Family(
    name="wan",
    title="Wan",
    space="wan",
    signatures=(
        Signature(("head.modulation", "blocks.0.cross_attn.norm_k.weight", "patch_embedding.weight")),
        Signature(("condition_embedder.time_proj.weight", "blocks.0.attn2.norm_k.weight"), layout="diffusers"),
    ),
    class_name="WanTransformer3DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=latents,
    parametrisation=shifted(8.0),
    concat=concat,
    text=(TextPart("umt5", "t5xxl", least=512, zeroed=True),),
    context_width=lambda config: int(config["text_dim"]),
    types=(("wan", ""),),
    loras=LoraLooks(
        (
            r"blocks_\d+_(cross_attn|self_attn)_[qkvo](_img)?(_|$)",
            r"(?<!transformer_)(?<!down_)(?<!up_)blocks_\d+_attn[12]_",
        )
    ),
)

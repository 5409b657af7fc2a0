"""Wan 2.1 and 2.2: text to video, image to video, and what another film steers: VACE and Fun control."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Facts, Family, Json, TextPart
from graphflow.families.common.flow import even, first, shifted
from graphflow.families.common.looks import LoraLooks, Signature, input_channels
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


def _block(block: str) -> list[tuple[str, ...]]:
    return [
        *_attention(block, "self_attn", "attn1"),
        *_attention(block, "cross_attn", "attn2"),
        (f"{block}.cross_attn.k_img", f"{block}.attn2.add_k_proj"),
        (f"{block}.cross_attn.v_img", f"{block}.attn2.add_v_proj"),
        (f"{block}.cross_attn.norm_k_img", f"{block}.attn2.norm_added_k"),
        (f"{block}.modulation", f"{block}.scale_shift_table"),
        (f"{block}.ffn.0", f"{block}.ffn.net.0.proj"),
        (f"{block}.ffn.2", f"{block}.ffn.net.2"),
        (f"{block}.norm3", f"{block}.norm2"),
    ]


layout = table(
    *((f"{x}_embedding.{n}", f"condition_embedder.{x}_embedder.linear_{n // 2 + 1}") for x in ("time", "text") for n in (0, 2)),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.modulation", "scale_shift_table"),
    ("head.head", "proj_out"),
    *_block("blocks.*"),
    *_block("vace_blocks.*"),
    ("vace_blocks.*.before_proj", "vace_blocks.*.proj_in"),
    ("vace_blocks.*.after_proj", "vace_blocks.*.proj_out"),
    ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
)  # fmt: skip


def config(header: Header) -> dict[str, Any]:
    """By shapes. `vace_layers` are there for VACE, `reference_channels` where a picture is looked at as a frame."""
    width, channels = header.shape("patch_embedding.weight")[:2]
    image, places = header.shape("img_emb.proj.1.weight"), header.shape("img_emb.emb_pos")
    layers, steering = count(header, "blocks.{}."), count(header, "vace_blocks.{}.")
    found = {
        "patch_size": list(header.shape("patch_embedding.weight")[2:]),
        "num_attention_heads": max(1, width // 128),
        "attention_head_dim": 128 if width % 128 == 0 else width,
        "in_channels": channels,
        "out_channels": header.shape("head.head.weight")[0] // 4,
        "text_dim": header.shape("text_embedding.0.weight")[1],
        "freq_dim": header.shape("time_embedding.0.weight")[1],
        "ffn_dim": header.shape("blocks.0.ffn.0.weight")[0],
        "num_layers": layers,
        "image_dim": image[1] if image else None,
        "added_kv_proj_dim": width if header.shape("blocks.0.cross_attn.k_img.weight") else None,
        "pos_embed_seq_len": places[1] if places else None,
    }
    if steering:
        found["vace_layers"] = list(range(0, layers, layers // steering))[:steering]
        found["vace_in_channels"] = header.shape("vace_patch_embedding.weight")[1]
    if reference := header.shape("ref_conv.weight"):
        found["reference_channels"] = reference[1]
    return found


def complete(module: nn.Module, config: Json) -> None:
    """Adds the convolution of a reference picture, where the network has one."""
    from torch import nn

    if channels := config.get("reference_channels"):
        whole: Any = module
        patch = tuple(whole.config.patch_size[1:])
        whole.ref_conv = nn.Conv2d(channels, whole.patch_embedding.out_channels, kernel_size=patch, stride=patch)


def latents(facts: Facts) -> LatentFormat:
    """Wan 2.1's, or those of 2.2's small model."""
    channels = int(facts.config["out_channels"])
    if channels == 48:
        return LatentFormat(48, mean=MEAN, std=STD, downscale=16, temporal=4, dims=3)
    return WAN_LATENTS if channels == 16 else LatentFormat(channels, downscale=16, temporal=4, dims=3)


def details(header: Header) -> dict[str, Any]:
    """Channels that the network takes and gives, and what it takes beside the latent: `frames`, `control` (and frames),
    `vace`, or nothing.
    """
    last, found = header.shape("head.head.weight") or header.shape("proj_out.weight"), input_channels(header)
    if not last or not found:
        return found
    given, more = last[0] // 4, found["in_channels"] - last[0] // 4
    beside = "" if more <= 0 else "frames" if more <= given + 4 else "control"
    steered = "vace_patch_embedding.weight" in header.tensors
    return {**found, "latent_channels": given, "beside": "vace" if steered else beside}


def concat(facts: Facts) -> Concat:
    """What goes beside the latent; the small model is told given frames by their time."""
    if "vace_layers" in facts.config:
        return "vace"
    if int(facts.config["in_channels"]) == int(facts.config["out_channels"]) == 48:
        return "known"
    return "frames" if int(facts.config["in_channels"]) > int(facts.config["out_channels"]) else ""


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass."""
    import torch

    from graphflow.diffusion.films import arranged, number_of, reference, steering

    settings: Any = module.config
    own, taken = settings.out_channels, settings.in_channels
    whole = even(call.x)
    x, beside = whole[:, :own], whole[:, own:]
    more: dict[str, Tensor] = {}
    timestep, skipped = call.timestep, 0
    with contextlib.ExitStack() as stack:
        if "vace_layers" in settings:
            ones = (1.0,) * number_of(beside)
            strengths = call.stacked(lambda cond: cond.sizes.get("vace", ones)).to(beside)
            more = stack.enter_context(steering(module, beside, strengths))
        elif taken > own:
            x = torch.cat([x, arranged(beside, taken - own, own)], dim=1)
        elif beside.shape[1]:
            timestep = (beside[:, 0, :, ::2, ::2] * timestep[:, None, None, None]).flatten(1).to(timestep)
        if hasattr(module, "ref_conv"):
            x, skipped = stack.enter_context(reference(module, x, _looked(call))), 1
        out = first(
            module,
            x,
            timestep=timestep,
            encoder_hidden_states=call.context,
            encoder_hidden_states_image=_seen(settings, call),
            **more,
        )
    return out[:, :, skipped:, : call.x.shape[-2], : call.x.shape[-1]]


def _looked(call: Call) -> Tensor | None:
    """The reference picture (N, C, h, w)."""
    if not call.references:
        return None
    picture = call.references[0]
    return even(picture[:, :, 0] if picture.ndim == 5 else picture)


def _seen(settings: Any, call: Call) -> Tensor | None:
    """What an image encoder saw: (N, T, D), or both pictures of networks that look at the first and the last in a row."""
    import torch

    seen = [vision for cond, n in call.conds if (vision := cond.sizes.get("clip_vision")) is not None for _ in range(n)]
    if not seen:
        return None
    images = torch.cat(seen).to(call.context)
    if settings.pos_embed_seq_len is None:
        return images
    if images.shape[1] != settings.pos_embed_seq_len:
        raise ValueError(
            "this model looks at the film's first and last picture: connect what the image encoder saw of both"
        )
    return images.reshape(2 * len(images), -1, images.shape[-1])


FAMILY = Family(
    name="wan",
    title="Wan",
    autoencoders={("wan", 16): "wan", ("wan", 48): "wan 2.2"},
    signatures=(
        Signature(("head.modulation", "blocks.0.cross_attn.norm_k.weight", "patch_embedding.weight")),
        Signature(("condition_embedder.time_proj.weight", "blocks.0.attn2.norm_k.weight"), layout="diffusers"),
    ),
    class_name="WanTransformer3DModel",
    other_classes={"vace_layers": "WanVACETransformer3DModel"},
    complete=complete,
    config=config,
    layout=layout,
    forward=forward,
    latents=latents,
    parametrisation=shifted(8.0),
    concat=concat,
    details=details,
    text=(TextPart("umt5", "t5xxl", least=512, zeroed=True),),
    context_width=lambda config: int(config["text_dim"]),
    types=(("wan", ""),),
    loras=LoraLooks(
        (
            r"blocks_\d+_(cross_attn|self_attn)_[qkvo](_img)?(_|$)",
            r"^(lora_|unet_|base_|model_|diffusion_)*(vace_)?blocks_\d+_attn[12]_",
        )
    ),
)

"""Qwen-Image and Qwen-Image Edit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Facts, Family, Template, TextPart
from graphflow.families.common.flow import even, first, pack, shifted, unpack
from graphflow.families.common.looks import FLUX_BLOCKS, JOINT, JOINT_ATTENTION, LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import same

if TYPE_CHECKING:
    from torch import Tensor, nn

MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)  # fmt: skip
STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
       3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)  # fmt: skip
_DESCRIBE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
_EDIT = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. Generate a new image "
    "that meets the user's requirements while maintaining consistency with the original input where appropriate."
    "<|im_end|>\n<|im_start|>user\n"
)
_ANSWER = "<|im_end|>\n<|im_start|>assistant\n"

WAN_LATENTS = LatentFormat(16, mean=MEAN, std=STD, temporal=4, dims=3)
"""Of Wan 2.1's autoencoder, which Qwen-Image shares: each channel with its own mean and spread."""


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    head = header.shape("transformer_blocks.0.attn.norm_q.weight")[0]
    width, channels = header.shape("img_in.weight")
    return {
        "patch_size": 2,
        "in_channels": channels,
        "out_channels": (header.shape("proj_out.weight") or (64,))[0] // 4,
        "num_layers": count(header, "transformer_blocks.{}."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": header.shape("txt_in.weight")[1],
        "axes_dims_rope": [head // 8, head * 7 // 16, head * 7 // 16],
        "zero_cond_t": "__index_timestep_zero__" in header.tensors,
    }


def latents(facts: Facts) -> LatentFormat:
    """Wan's."""
    return WAN_LATENTS


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass over the picture's tokens, those of reference pictures, and the text's."""
    import torch

    video = call.x.ndim == 5
    x = even(call.x[:, :, 0] if video else call.x)
    pictures = [x, *(even(r[:, :, 0] if r.ndim == 5 else r) for r in call.references)]
    shapes = [(1, p.shape[-2] // 2, p.shape[-1] // 2) for p in pictures]
    mask = call.attention_mask
    if mask is None:
        mask = torch.ones(call.context.shape[:2], device=call.context.device)
    with _references_at_zero(module, call):
        out = first(
            module,
            torch.cat([pack(p) for p in pictures], dim=1),
            encoder_hidden_states=call.context,
            encoder_hidden_states_mask=mask.bool(),
            timestep=call.timestep.to(call.x.dtype),
            img_shapes=[shapes] * len(x),
            controlnet_block_samples=list(call.residuals.down) if call.residuals else None,
        )
    out = unpack(out[:, : shapes[0][1] * shapes[0][2]], x.shape[-2], x.shape[-1])
    out = out[..., : call.x.shape[-2], : call.x.shape[-1]]
    return out[:, :, None] if video else out


@contextlib.contextmanager
def _references_at_zero(module: Any, call: Call) -> Iterator[None]:
    """Reference pictures are told that they hold no noise, if the conditioning asks for it, or else the file.

    Raises `ValueError` for ways to tell references apart that Qwen-Image was not trained with.
    """
    method = call.reference_method
    if not call.references or not method:
        yield
        return
    if method not in ("index", "index_timestep_zero"):
        raise ValueError(
            f"Qwen-Image cannot tell reference pictures apart by {method}: choose index or index_timestep_zero"
        )
    parts = [module, *module.transformer_blocks]
    before = [part.zero_cond_t for part in parts]
    try:
        for part in parts:
            part.zero_cond_t = method == "index_timestep_zero"
        yield
    finally:
        for part, old in zip(parts, before, strict=True):
            part.zero_cond_t = old


FAMILY = Family(
    name="qwen_image",
    title="Qwen-Image",
    autoencoders={("wan", 16): "wan"},
    signatures=(Signature(("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"), layout="diffusers"),),
    class_name="QwenImageTransformer2DModel",
    config=config,
    layout=same,
    forward=forward,
    latents=latents,
    parametrisation=shifted(1.15, 1.0),
    text=(TextPart("qwen25_vl", "qwen25", template=Template(_DESCRIBE, _ANSWER, 34), masked=True),),
    templates={"edit": Template(_EDIT, _ANSWER, 64)},
    context_width=lambda config: int(config["joint_attention_dim"]),
    types=(("qwen_image", ""),),
    loras=LoraLooks(
        (rf"{JOINT}(img|txt)_(mod|mlp)", JOINT_ATTENTION),
        (*FLUX_BLOCKS, rf"{JOINT}(norm1_context|ff_context)"),
        (3072,),
        60,
    ),
)

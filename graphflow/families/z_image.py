"""Z-Image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.families.common.base import Call, Family, Template, TextPart
from graphflow.families.common.flow import FLUX_LATENTS, even, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import table

if TYPE_CHECKING:
    from torch import Tensor, nn

_BLOCKS = ("layers.*", "noise_refiner.*", "context_refiner.*")

CHAT = Template("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")

layout = table(
    *(
        rule
        for block in _BLOCKS
        for rule in (
            (f"{block}.attention.qkv", *(f"{block}.attention.to_{x}" for x in "qkv")),
            (f"{block}.attention.out", f"{block}.attention.to_out.0"),
            (f"{block}.attention.q_norm", f"{block}.attention.norm_q"),
            (f"{block}.attention.k_norm", f"{block}.attention.norm_k"),
        )
    ),
    ("x_embedder", "all_x_embedder.2-1"),
    ("final_layer.linear", "all_final_layer.2-1.linear"),
    ("final_layer.adaLN_modulation.1", "all_final_layer.2-1.adaLN_modulation.1"),
)


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width, patch = header.shape("x_embedder.weight")
    head = header.shape("layers.0.attention.q_norm.weight")[0]
    return {
        "all_patch_size": [2],
        "all_f_patch_size": [1],
        "in_channels": patch // 4,
        "dim": width,
        "n_layers": count(header, "layers.{}."),
        "n_refiner_layers": count(header, "noise_refiner.{}."),
        "n_heads": width // head,
        "n_kv_heads": width // head,
        "cap_feat_dim": header.shape("cap_embedder.1.weight")[1],
        "axes_dims": [head // 4, head * 3 // 8, head * 3 // 8],
        "axes_lens": [1536, 512, 512],
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; the network counts time from noise to picture, and its velocity points the other way."""
    import torch

    x = even(call.x)
    masks = call.attention_mask if call.attention_mask is not None else torch.ones(call.context.shape[:2])
    captions = [context[mask.bool().to(context.device)] for context, mask in zip(call.context, masks, strict=True)]
    time = (1.0 - call.timestep).to(call.x.dtype)
    pictures = [picture[:, None] for picture in x]
    out = module(pictures, time, captions, return_dict=False)[0]
    return -torch.stack([one[:, 0] for one in out])[..., : call.x.shape[-2], : call.x.shape[-1]]


FAMILY = Family(
    name="z_image",
    title="Z-Image",
    autoencoders={("kl", 16): "flux"},
    signatures=(Signature(("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight")),),
    class_name="ZImageTransformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda _: FLUX_LATENTS,
    parametrisation=shifted(3.0, 1.0),
    dtypes=("bfloat16",),
    text=(TextPart("qwen3", "qwen3", layers=(-2,), template=CHAT, masked=True),),
    context_width=lambda config: int(config["cap_feat_dim"]),
    types=(("lumina2", "qwen3"), ("z_image", "")),
    loras=LoraLooks((r"(layers|refiner)_\d+_(attention|feed_forward)_",), ("_attn_", "linear_[123]"), (3840,)),
)

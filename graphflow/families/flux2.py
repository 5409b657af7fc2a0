"""Flux.2 dev and Klein: a language model's hidden states for the text, latents of 128 channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Call, Family, Template, TextPart
from graphflow.families.common.flow import first, mu, places
from graphflow.families.common.looks import FLUX_BLOCKS, JOINT, JOINT_ATTENTION, LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import Rule, table

if TYPE_CHECKING:
    from torch import Tensor, nn

_SYSTEM = (
    "You are an AI that reasons about image descriptions. You give structured responses focusing on object relationships, "
    "object\nattribution and actions without speculation."
)
ANSWERED = Template("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
INSTRUCTED = Template(f"<s>[SYSTEM_PROMPT]{_SYSTEM}[/SYSTEM_PROMPT][INST]", "[/INST]")

layout = table(
    *(
        (f"{theirs}_in.{a}_layer", f"time_guidance_embed.{ours}_embedder.linear_{n}")
        for theirs, ours in (("time", "timestep"), ("guidance", "guidance"))
        for n, a in ((1, "in"), (2, "out"))
    ),
    ("txt_in", "context_embedder"),
    ("img_in", "x_embedder"),
    *((f"{name}.lin", f"{name}.linear") for name in
      ("double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation")),
    ("double_blocks.*.img_attn.qkv", *(f"transformer_blocks.*.attn.to_{x}" for x in "qkv")),
    ("double_blocks.*.txt_attn.qkv", *(f"transformer_blocks.*.attn.add_{x}_proj" for x in "qkv")),
    *(
        (f"double_blocks.*.{theirs}", f"transformer_blocks.*.{ours}")
        for theirs, ours in (
            ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"), ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
            ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
            ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"), ("img_attn.proj", "attn.to_out.0"),
            ("txt_attn.proj", "attn.to_add_out"), ("img_mlp.0", "ff.linear_in"), ("img_mlp.2", "ff.linear_out"),
            ("txt_mlp.0", "ff_context.linear_in"), ("txt_mlp.2", "ff_context.linear_out"),
        )
    ),
    *(
        (f"single_blocks.*.{theirs}", f"single_transformer_blocks.*.attn.{ours}")
        for theirs, ours in (
            ("linear1", "to_qkv_mlp_proj"), ("linear2", "to_out"), ("norm.query_norm.scale", "norm_q.weight"),
            ("norm.key_norm.scale", "norm_k.weight"),
        )
    ),
    ("final_layer.linear", "proj_out"),
    Rule("final_layer.adaLN_modulation.1", ("norm_out.linear",), "swap"),
)  # fmt: skip


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    head = header.shape("double_blocks.0.img_attn.norm.query_norm.scale")[0]
    width, channels = header.shape("img_in.weight")
    return {
        "patch_size": 1,
        "in_channels": channels,
        "num_layers": count(header, "double_blocks.{}."),
        "num_single_layers": count(header, "single_blocks.{}."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": header.shape("txt_in.weight")[1],
        "timestep_guidance_channels": header.shape("time_in.in_layer.weight")[1],
        "mlp_ratio": header.shape("double_blocks.0.img_mlp.2.weight")[1] / width,
        "axes_dims_rope": [head // 4] * 4,
        "guidance_embeds": bool(header.shape("guidance_in.in_layer.weight")),
    }


def _ids(height: int, width: int, time: int = 0, top: int = 0, left: int = 0) -> Tensor:
    """(height width, 4): time, row, column and place in the text."""
    import torch

    rows, columns = torch.arange(height) + top, torch.arange(width) + left
    axes = (torch.tensor([time]), rows, columns, torch.zeros(1, dtype=torch.long))
    return torch.cartesian_prod(*axes)


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass over the picture's tokens, those of reference pictures (usually at times 10, 20, ...), and the text's."""
    import torch

    settings: Any = module.config
    height, width = call.x.shape[-2:]
    pictures = [call.x, *call.references]
    sizes = [(p.shape[-2], p.shape[-1]) for p in call.references]
    at = places(sizes, (height, width), call.reference_method or "index", step=10)
    ids = [_ids(height, width), *(_ids(*size, *place) for size, place in zip(sizes, at, strict=True))]
    text = torch.zeros(call.context.shape[1], 4)
    text[:, 3] = torch.arange(len(text))
    out = first(
        module,
        torch.cat([p.flatten(2).transpose(1, 2) for p in pictures], dim=1),
        encoder_hidden_states=call.context,
        timestep=call.timestep.to(call.x.dtype),
        img_ids=torch.cat(ids).to(call.x),
        txt_ids=text.to(call.x),
        guidance=call.guidance if settings.guidance_embeds else None,
    )
    return out[:, : height * width].transpose(1, 2).reshape(len(out), -1, height, width)


FAMILY = Family(
    name="flux2",
    title="Flux 2",
    autoencoders={("kl", 32): "flux2"},
    signatures=(
        Signature(("double_stream_modulation_img.lin.weight", "img_in.weight")),
        Signature(
            ("transformer_blocks.0.attn.to_q.weight", "double_stream_modulation_img.linear.weight"),
            layout="diffusers",
        ),
    ),
    class_name="Flux2Transformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda facts: LatentFormat(int(facts.config["in_channels"]), downscale=16),
    parametrisation=mu(2.02),
    text=(
        TextPart("qwen3", "qwen3", layers=(9, 18, 27), template=ANSWERED, least=512, masked=True),  # Klein's
        TextPart(
            "mistral3",
            "mistral3",
            instead_of="qwen3",
            layers=(10, 20, 30),
            template=INSTRUCTED,
            least=512,
            left=True,
            masked=True,
        ),  # dev's
    ),
    guidance=4.0,
    context_width=lambda config: int(config["joint_attention_dim"]),
    types=(("flux2", ""),),
    loras=LoraLooks(
        (*FLUX_BLOCKS, JOINT_ATTENTION, rf"{JOINT}ff_context", "double_stream_modulation_img", "to_qkv_mlp_proj"),
        (
            r"(img|txt)_mod_lin",
            r"\d_modulation_lin",
            "vector_in",
            r"blocks_\d+_processor",
            "distilled_guidance_layer",
            rf"{JOINT}(img|txt)_",
        ),
        (3072, 4096, 6144),
        8,
    ),
)

"""Flux.1: dev, schnell, Fill, Canny, Depth and Kontext."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.errors import UnsupportedFile
from graphflow.families.common.base import Call, Facts, Family, Prompt, TextPart
from graphflow.families.common.flow import (
    FLUX_LATENTS,
    beside,
    even,
    first,
    mu,
    pack,
    positions,
    unpack,
)
from graphflow.families.common.looks import FLUX_BLOCKS, JOINT, JOINT_ATTENTION, LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import Rule, table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphflow.diffusion.network import Concat
    from graphflow.diffusion.parametrisation import Parametrisation
    from graphflow.values import Cond


def double_blocks() -> list[Any]:
    """The blocks that see picture and text apart."""
    rules: list[Any] = []
    for side, qkv, norms, out, norm, ff in (
        ("img", ("to_q", "to_k", "to_v"), ("norm_q", "norm_k"), "to_out.0", "norm1", "ff"),
        ("txt", ("add_q_proj", "add_k_proj", "add_v_proj"), ("norm_added_q", "norm_added_k"), "to_add_out",
         "norm1_context", "ff_context"),
    ):  # fmt: skip
        theirs, ours = f"double_blocks.*.{side}", "transformer_blocks.*"
        rules += [
            (f"{theirs}_attn.qkv", *(f"{ours}.attn.{x}" for x in qkv)),
            (f"{theirs}_attn.norm.query_norm.scale", f"{ours}.attn.{norms[0]}.weight"),
            (f"{theirs}_attn.norm.key_norm.scale", f"{ours}.attn.{norms[1]}.weight"),
            (f"{theirs}_attn.proj", f"{ours}.attn.{out}"),
            (f"{theirs}_mod.lin", f"{ours}.{norm}.linear"),
            (f"{theirs}_mlp.0", f"{ours}.{ff}.net.0.proj"),
            (f"{theirs}_mlp.2", f"{ours}.{ff}.net.2"),
        ]
    return rules


def single_blocks() -> list[Any]:
    """The blocks that see picture and text as one sequence."""
    theirs, ours = "single_blocks.*", "single_transformer_blocks.*"
    return [
        (f"{theirs}.linear1", f"{ours}.attn.to_q", f"{ours}.attn.to_k", f"{ours}.attn.to_v", f"{ours}.proj_mlp"),
        (f"{theirs}.linear2", f"{ours}.proj_out"),
        (f"{theirs}.norm.query_norm.scale", f"{ours}.attn.norm_q.weight"),
        (f"{theirs}.norm.key_norm.scale", f"{ours}.attn.norm_k.weight"),
        (f"{theirs}.modulation.lin", f"{ours}.norm.linear"),
    ]


layout = table(
    *(
        (f"{theirs}_in.{a}_layer", f"time_text_embed.{ours}_embedder.linear_{n}")
        for theirs, ours in (("time", "timestep"), ("vector", "text"), ("guidance", "guidance"))
        for n, a in ((1, "in"), (2, "out"))
    ),
    ("txt_in", "context_embedder"),
    ("img_in", "x_embedder"),
    *double_blocks(),
    *single_blocks(),
    ("final_layer.linear", "proj_out"),
    Rule("final_layer.adaLN_modulation.1", ("norm_out.linear",), "swap"),
)


xlabs = table(
    ("single_blocks.*.qkv", *(f"single_transformer_blocks.*.attn.to_{x}" for x in "qkv")),
    ("single_blocks.*.proj", "single_transformer_blocks.*.proj_out"),
)
"""What XLabs' LoRAs call the linear layers of single blocks, of which the first holds more in Flux's own files."""


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    head = header.shape("double_blocks.0.img_attn.norm.query_norm.scale")[0]
    width, channels = header.shape("img_in.weight")
    return {
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": (header.shape("final_layer.linear.weight") or (channels,))[0],
        "num_layers": count(header, "double_blocks.{}."),
        "num_single_layers": count(header, "single_blocks.{}."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": header.shape("txt_in.weight")[1],
        "pooled_projection_dim": header.shape("vector_in.in_layer.weight")[1],
        "guidance_embeds": bool(header.shape("guidance_in.in_layer.weight")),
        "axes_dims_rope": rope(head),
    }


def rope(head: int) -> list[int]:
    """How a head's channels are shared between a token's picture, row and column: an eighth, and the rest in halves."""
    return [head // 8, head * 7 // 16, head * 7 // 16]


def parametrisation(facts: Facts) -> Parametrisation:
    """Of dev the exponential shift, of schnell none."""
    from graphflow.diffusion.parametrisation import Flow, FlowShift, Parametrisation

    if facts.config.get("guidance_embeds"):
        return mu(1.15)(facts)
    return Parametrisation(Flow(), FlowShift(1.0, 1.0))


FILL = 5
"""How many times the latent's channels Fill takes beside them: a picture, and a mask of a channel for each pixel."""


def concat(facts: Facts) -> Concat:
    """Fill takes a mask and a picture beside the latent, Canny and Depth a picture."""
    own = int(facts.config.get("out_channels") or facts.config["in_channels"])
    more = int(facts.config["in_channels"]) - own
    kinds: dict[int, Concat] = {0: "", own: "image", FILL * own: "fill"}
    if more not in kinds:
        raise UnsupportedFile(
            f"a network of Flux that sees {more} numbers beside the latent's {own} is of no known kind"
        )
    return kinds[more]


def tokens(call: Call, channels: int) -> tuple[Tensor, Tensor, int, int]:
    """The picture's tokens with those of references after them, all positions, and the grown latent's size."""
    import torch

    x = even(call.x[:, :channels])
    picture = pack(x)
    if call.x.shape[1] > channels:
        more = even(call.x[:, channels:])
        picture = torch.cat([picture, pack(more[:, -channels:]), pack(more[:, :-channels])], dim=-1)
    size = x.shape[-2] // 2, x.shape[-1] // 2
    references, ids = beside(call.references, size, call.reference_method)
    ids = [positions(*size), *ids]
    return torch.cat([picture, *references], dim=1), torch.cat(ids).to(x), x.shape[-2], x.shape[-1]


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass over the picture's tokens, those of reference pictures, and the text's."""
    import torch

    settings: Any = module.config
    picture, ids, height, width = tokens(call, 16)
    blocks, singles, _ = call.residuals or (None, None, ())
    out = first(
        module,
        picture,
        encoder_hidden_states=call.context,
        pooled_projections=call.pooled,
        timestep=call.timestep.to(call.x.dtype),
        img_ids=ids,
        txt_ids=torch.zeros(call.context.shape[1], 3).to(ids),
        guidance=call.guidance if settings.guidance_embeds else None,
        controlnet_block_samples=list(blocks) if blocks else None,
        controlnet_single_block_samples=list(singles) if singles else None,
    )
    out = unpack(out[:, : (height // 2) * (width // 2)], height, width)
    return out[..., : call.x.shape[-2], : call.x.shape[-1]]


def two(prompt: Prompt) -> Cond:
    """T5's tokens, and CLIP-L's pooled text."""
    import torch

    from graphflow.values import Cond

    t5, clip = prompt.of("t5xxl"), prompt.of("l")
    pooled = clip.pooled if clip and clip.pooled is not None else torch.zeros(1, 768)
    return Cond(t5.context if t5 else torch.zeros(1, 256, 4096), pooled)


FAMILY = Family(
    name="flux",
    title="Flux",
    autoencoders={("kl", 16): "flux"},
    signatures=(
        Signature(
            ("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "vector_in.in_layer.weight"),
            ("distilled_guidance_layer.in_proj.weight",),
        ),
        Signature(
            ("transformer_blocks.0.attn.add_q_proj.weight", "single_transformer_blocks.0.proj_mlp.weight"),
            ("distilled_guidance_layer.in_proj.weight",),
            layout="diffusers",
        ),
    ),
    class_name="FluxTransformer2DModel",
    config=config,
    layout=layout,
    forward=forward,
    latents=lambda _: FLUX_LATENTS,
    parametrisation=parametrisation,
    concat=concat,
    text=(TextPart("clip_l", "l"), TextPart("t5", "t5xxl", folder="text_encoder_2", least=256)),
    compose=two,
    guidance=3.5,
    lora_names=xlabs,
    ends=("x_embedder.weight", "proj_out.weight"),
    context_width=lambda config: int(config["joint_attention_dim"]),
    types=(("flux", ""),),
    loras=LoraLooks(
        (*FLUX_BLOCKS, JOINT_ATTENTION, rf"{JOINT}(norm1_context|ff_context)"),
        ("distilled_guidance_layer", "double_stream_modulation", "to_qkv_mlp_proj", rf"{JOINT}(img|txt)_"),
        (3072,),
        19,
    ),
)

"""HiDream I1: four text encoders, of which Llama's every layer is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.families import sd3
from graphflow.families.common.base import Call, Family, Prompt, TextPart
from graphflow.families.common.flow import FLUX_LATENTS, even, first, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.header import Header, count
from graphflow.layouts import same

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphflow.values import Cond

LLAMA_LAYERS = [*range(32), *([31] * 16)]
"""Which of Llama's layers each of the 16 double and 32 single blocks sees."""


def config(header: Header) -> dict[str, Any]:
    """By shapes."""
    width, patch = header.shape("x_embedder.proj.weight")
    doubles, singles = count(header, "double_stream_blocks.{}."), count(header, "single_stream_blocks.{}.")
    return {
        "patch_size": 2,
        "in_channels": patch // 4,
        "out_channels": header.shape("final_layer.linear.weight")[0] // 4,
        "num_layers": doubles,
        "num_single_layers": singles,
        "attention_head_dim": 128,
        "num_attention_heads": max(1, width // 128),
        "caption_channels": [
            header.shape("caption_projection.0.linear.weight")[1],
            header.shape(f"caption_projection.{count(header, 'caption_projection.{}.') - 1}.linear.weight")[1],
        ],
        "text_emb_dim": header.shape("p_embedder.pooled_embedder.linear_1.weight")[1],
        "num_routed_experts": count(header, "double_stream_blocks.0.block.ff_i.experts.{}."),
        "num_activated_experts": 2,
        "axes_dims_rope": [64, 32, 32],
        "max_resolution": [128, 128],
        "llama_layers": LLAMA_LAYERS[: doubles + singles],
    }


def forward(module: nn.Module, call: Call) -> Tensor:
    """One pass; the velocity points the other way."""
    import torch

    layers: list[Tensor] = []
    for cond, n in call.conds:
        if "llama" not in cond.sizes:
            raise ValueError(
                "this model needs Llama's encoding too; load its four text encoders with QuadrupleCLIPLoader"
            )
        layers.append(cond.sizes["llama"].expand(-1, n, -1, -1))
    llama = torch.cat(layers, dim=1).to(call.context)
    x = even(call.x)
    out = first(
        module,
        x,
        timesteps=call.timestep,
        encoder_hidden_states_t5=call.context,
        encoder_hidden_states_llama3=llama,
        pooled_embeds=call.pooled,
    )
    return -out[..., : call.x.shape[-2], : call.x.shape[-1]]


def four(prompt: Prompt) -> Cond:
    """T5's tokens, both CLIPs' pooled texts, and every layer of Llama beside them."""
    import torch

    from graphflow.values import Cond

    three = sd3.three(prompt)
    t5, llama = prompt.of("t5xxl"), prompt.of("llama")
    context = t5.context if t5 else torch.zeros(1, 128, 4096)
    layers = llama.layers if llama and llama.layers is not None else torch.zeros(32, 1, 1, 4096)
    return Cond(context, three.pooled, extras={"llama": layers})


FAMILY = Family(
    name="hidream",
    title="HiDream",
    autoencoders={("kl", 16): "flux"},
    signatures=(Signature(("double_stream_blocks.0.block.adaLN_modulation.1.weight",)),),
    class_name="HiDreamImageTransformer2DModel",
    config=config,
    layout=same,
    forward=forward,
    latents=lambda _: FLUX_LATENTS,
    parametrisation=shifted(3.0),
    dtypes=("bfloat16",),
    text=(
        TextPart("clip_l", "l"),
        TextPart("clip_g", "g", folder="text_encoder_2", pad=0),
        TextPart("t5", "t5xxl", folder="text_encoder_3", least=128),
        TextPart("llama", "llama", folder="text_encoder_4", layers=tuple(range(1, 33)), least=128),
    ),
    compose=four,
    types=(("hidream", ""),),
    loras=LoraLooks((r"(double|single)_stream_blocks_\d+_",)),
)

"""ControlNets for flow transformers, which look at the picture as a latent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, count
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import Residuals, RowControl
from graphflow.families import flux, qwen_image, sana, sd3
from graphflow.families.common.base import Call, diffusers_class
from graphflow.families.common.flow import FLUX_LATENTS, even, first, pack, positions
from graphflow.layouts import same, table
from graphflow.models.control.base import Kind


def _flux_config(header: Header) -> dict[str, Any]:
    settings = flux.config(header)
    settings.pop("out_channels")
    modes = header.shape("controlnet_mode_embedder.weight")
    return {**settings, "num_mode": modes[0] if modes else None}


FLUX_MODES = {
    "canny/lineart/anime_lineart/mlsd": 0, "tile": 1, "depth": 2, "openpose": 4, "hed/pidi/scribble/ted": 5,
}  # fmt: skip
"""Numbers of the kinds of picture that Flux's union networks know."""


def _flux(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    settings: Any = module.config
    x = even(call.x)
    mode = None
    if settings.num_mode is not None:
        number = FLUX_MODES.get(control.union_type, 0)
        mode = torch.full((len(x), 1), number, dtype=torch.long, device=x.device)
    ids = positions(x.shape[-2] // 2, x.shape[-1] // 2)
    blocks, singles = module(
        pack(x),
        controlnet_cond=pack(even(control.hint.to(x))),
        controlnet_mode=mode,
        encoder_hidden_states=call.context,
        pooled_projections=call.pooled,
        timestep=call.timestep.to(x.dtype),
        img_ids=ids.to(x),
        txt_ids=torch.zeros(call.context.shape[1], 3).to(x),
        guidance=call.guidance if settings.guidance_embeds else None,
        return_dict=False,
    )
    return Residuals(list(blocks or []), list(singles or []))


# --- Stable Diffusion 3 ----------------------------------------------------------------------------------------------


def _sd3_config(header: Header) -> dict[str, Any]:
    """Of the networks of InstantX and others: a part of the transformer itself, text and all."""
    extra = header.shape("pos_embed_input.proj.weight")
    return {**sd3.config(header), "extra_conditioning_channels": extra[1] - 16 if extra else 0}


def _sd35_config(header: Header) -> dict[str, Any]:
    """Of Stability's networks for 3.5 Large: blocks that see no text, on positions that the transformer lends."""
    width, channels = header.shape("pos_embed_input.proj.weight")[:2]
    return {
        "num_layers": count(header, "transformer_blocks.{}."),
        "in_channels": channels,
        "attention_head_dim": 64,
        "num_attention_heads": width // 64,
        "joint_attention_dim": None,
        "pooled_projection_dim": header.shape("time_text_embed.text_embedder.linear_1.weight")[1],
        "use_pos_embed": False,
        "pos_embed_type": None,
        "force_zeros_for_pooled_projection": False,
    }


sd35_layout = table(
    ("transformer_blocks.*.attn.qkv", *(f"transformer_blocks.*.attn.to_{x}" for x in "qkv")),
    ("transformer_blocks.*.attn.proj", "transformer_blocks.*.attn.to_out.0"),
    ("transformer_blocks.*.adaLN_modulation.1", "transformer_blocks.*.norm1.linear"),
    ("transformer_blocks.*.mlp.fc1", "transformer_blocks.*.ff.net.0.proj"),
    ("transformer_blocks.*.mlp.fc2", "transformer_blocks.*.ff.net.2"),
)
"""Stability's own names."""


def _sd3(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    """One pass. Networks that were trained without the pooled text are told none, as their config says."""
    settings: Any = module.config
    pooled = call.pooled
    if settings.force_zeros_for_pooled_projection and pooled is not None:
        pooled = torch.zeros_like(pooled)
    blocks = first(
        module,
        even(call.x),
        even(control.hint.to(call.x)),
        encoder_hidden_states=call.context if settings.joint_attention_dim is not None else None,
        pooled_projections=pooled,
        timestep=call.timestep,
    )
    return Residuals(list(blocks))


CANNY, DEPTH = 1, 2
"""What the tensor `control_type` of Stability's files says."""


def sd35_picture(control_type: int, pixels: Tensor) -> Tensor:
    """(B, C, H, W) as the network was trained to see it: edges far brighter than white, and depth with the near dark."""
    if control_type == CANNY:
        return (pixels * 127.5 + 1.5) / 2
    return 1.0 - pixels if control_type == DEPTH else pixels


# --- Qwen-Image ------------------------------------------------------------------------------------------------------


def _qwen(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    x, hint = (even(t[:, :, 0] if t.ndim == 5 else t) for t in (call.x, control.hint.to(call.x)))
    blocks = module(
        pack(x),
        controlnet_cond=pack(hint),
        encoder_hidden_states=call.context,
        encoder_hidden_states_mask=torch.ones(call.context.shape[:2], device=x.device).bool(),
        timestep=call.timestep.to(x.dtype),
        img_shapes=[[(1, x.shape[-2] // 2, x.shape[-1] // 2)]] * len(x),
        return_dict=False,
    )
    return Residuals(list(blocks))


def _qwen_config(header: Header) -> dict[str, Any]:
    """Those that inpaint take a mask behind the picture's latent."""
    hint, own = (header.shape(f"{name}.weight") for name in ("controlnet_x_embedder", "img_in"))
    settings = qwen_image.config(header)
    settings.pop("zero_cond_t")
    return {**settings, "extra_condition_channels": hint[1] - own[1] if hint else 0}


# --- Sana ------------------------------------------------------------------------------------------------------------


def _sana_config(header: Header) -> dict[str, Any]:
    """As the transformer's, of fewer blocks and without an end."""
    channels = header.tensors["x_embedder.proj.weight"].shape[1]
    end = replace(header.tensors["x_embedder.proj.weight"], shape=(channels, 0))
    return sana.config(replace(header, tensors={**header.tensors, "final_layer.linear.weight": end}))


def _sana(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    blocks = first(
        module,
        call.x,
        encoder_hidden_states=call.context,
        timestep=call.timestep,
        controlnet_cond=control.hint.to(call.x),
        encoder_attention_mask=call.attention_mask,
    )
    return Residuals(list(blocks))


_BRAIN = ("bfloat16", "float16")
_SD3 = diffusers_class("SD3ControlNetModel")
FLUX = Kind(diffusers_class("FluxControlNetModel"), _flux_config, flux.layout, _flux, _BRAIN, FLUX_LATENTS)
SD3 = Kind(_SD3, _sd3_config, sd3.layout, _sd3, _BRAIN, LatentFormat(16, 1.5305))
"""Trained on latents that are scaled and not shifted."""
SD35 = Kind(
    _SD3, _sd35_config, sd35_layout, _sd3, _BRAIN, LatentFormat(16, 1.5305, 0.0609),
    original=lambda header: "transformer_blocks.0.attn.qkv.weight" in header.tensors,
)  # fmt: skip
QWEN_IMAGE = Kind(
    diffusers_class("QwenImageControlNetModel"), _qwen_config, same, _qwen, _BRAIN, qwen_image.WAN_LATENTS
)
SANA = Kind(
    diffusers_class("SanaControlNetModel"), _sana_config, sana.layout, _sana, ("bfloat16",),
    LatentFormat(32, 0.41407, downscale=32),
)  # fmt: skip

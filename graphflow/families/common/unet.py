"""What the families of Stable Diffusion's U-Net share: its config from shapes, and the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphflow.families.common import unclip
from graphflow.families.common.base import Call, Facts, Json
from graphflow.families.common.looks import Shape
from graphflow.header import Header, count

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphflow.diffusion.network import Concat

KEYS = ("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight")
KEYS_D = ("down_blocks.0.resnets.0.norm1.weight", "time_embedding.linear_1.weight", "conv_in.weight")
"""Tensors of every such network, in the original layout and in diffusers'."""
LABEL, ADDED = "label_emb.0.0.weight", "add_embedding.linear_1.weight"
"""Of those that take more beside the time."""
PROJ, PROJ_D = "middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"
"""A matrix, or a convolution in Stable Diffusion 1."""

UNCLIP_WIDTHS = (1536, 2048)
"""What the networks of unCLIP take beside the time: an image embedding of CLIP-L or CLIP-H, and as many numbers of noise."""
PICTURED: tuple[Shape, ...] = ((LABEL, 1, lambda n: n in UNCLIP_WIDTHS),)
SIZED: tuple[Shape, ...] = ((LABEL, 1, lambda n: n not in UNCLIP_WIDTHS),)
"""What else there is beside the time: a picture, or the sizes of one."""
FOURTH, FOURTH_D = "input_blocks.11.0.in_layers.0.weight", "down_blocks.3.resnets.0.norm1.weight"
"""Of those with four levels."""


def config(header: Header, *, head: int | None) -> dict[str, Any]:
    """The U-Net's config from a file in the original layout; `head` channels a head, or eight heads each for None."""
    levels = _levels(header)
    channels = [level.channels for level in levels]
    middle = count(header, "middle_block.1.transformer_blocks.{}.")
    context = next((e.shape[1] for k, e in header.tensors.items() if k.endswith("attn2.to_k.weight")), 768)
    label = header.shape("label_emb.0.0.weight")
    pictures = label and label[1] in UNCLIP_WIDTHS
    kinds = ["CrossAttnDownBlock2D" if level.depth else "DownBlock2D" for level in levels]
    return {
        "in_channels": header.shape("input_blocks.0.0.weight")[1],
        "out_channels": (header.shape("out.2.weight") or (4,))[0],
        "block_out_channels": channels,
        "layers_per_block": levels[0].resnets,
        "down_block_types": kinds,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": [k.replace("Down", "Up") for k in reversed(kinds)],
        "cross_attention_dim": context,
        "transformer_layers_per_block": [level.depth or middle or 1 for level in levels],
        "attention_head_dim": 8 if head is None else [max(1, c // head) for c in channels],
        "use_linear_projection": len(header.shape("middle_block.1.proj_in.weight")) == 2,
        "norm_num_groups": 32 if channels[0] % 32 == 0 else 16,
        "addition_embed_type": "text_time" if label and not pictures else None,
        "addition_time_embed_dim": 256 if label and not pictures else None,
        "class_embed_type": "projection" if pictures else None,
        "projection_class_embeddings_input_dim": label[1] if label else None,
        "sample_size": 64,
    }


class _Level:
    def __init__(self) -> None:
        self.channels = self.resnets = self.depth = 0


def _levels(header: Header) -> list[_Level]:
    """The down side, level by level."""
    levels = [_Level()]
    number = 1
    while any(key.startswith(f"input_blocks.{number}.") for key in header.tensors):
        if header.shape(f"input_blocks.{number}.0.op.weight"):
            levels.append(_Level())
        else:
            level = levels[-1]
            level.channels = header.shape(f"input_blocks.{number}.0.in_layers.2.weight")[0]
            level.resnets += 1
            level.depth = max(level.depth, count(header, f"input_blocks.{number}.1.transformer_blocks.{{}}."))
        number += 1
    return levels


def concat(facts: Facts) -> Concat:
    """By the channels that the first convolution takes beside the latent's."""
    more = int(facts.config["in_channels"]) - int(facts.config["out_channels"])
    return "" if more <= 0 else "inpaint" if more == int(facts.config["out_channels"]) + 1 else "image"


def forward(unet: nn.Module, call: Call) -> Tensor:
    """One pass, with ControlNets' residuals if there are any."""
    from graphflow.diffusion.network import Residuals

    down, middle, inside = call.residuals or Residuals()
    out: Tensor = unet(
        call.x,
        call.timestep,
        encoder_hidden_states=call.context,
        class_labels=unclip.labels(unet, call),
        added_cond_kwargs=added(unet, call),
        down_block_additional_residuals=tuple(down) or None,
        mid_block_additional_residual=middle[0] if middle else None,
        down_intrablock_additional_residuals=list(inside) or None,
        return_dict=False,
    )[0]
    return out


SIZES = ("height", "width", "crop_h", "crop_w", "target_height", "target_width")


def added(unet: nn.Module, call: Call) -> dict[str, Tensor]:
    """SDXL's second conditioning: pooled text, and the sizes that the picture is said to have had."""
    import torch

    config: Any = unet.config
    if config.addition_embed_type != "text_time":
        return {}
    if call.pooled is None:
        raise ValueError("this model needs the pooled text too; its conditioning must come from an SDXL text encoder")
    numbers = (config.projection_class_embeddings_input_dim - call.pooled.shape[1]) // config.addition_time_embed_dim
    ids = call.stacked(lambda cond: _time_ids(cond.sizes, cond.latent_size, cond.uncond, numbers))
    return {"text_embeds": call.pooled, "time_ids": ids.to(torch.float32)}


def _time_ids(sizes: Json, latent: tuple[int, int], uncond: bool, numbers: int) -> list[float]:
    height, width = latent[0] * 8, latent[1] * 8
    defaults = (height, width, 0, 0, sizes.get("height", height), sizes.get("width", width))
    ids = [float(sizes.get(name, default)) for name, default in zip(SIZES, defaults, strict=True)]
    if numbers == 5:  # the refiner: a score of how much people liked the picture stands for the target size
        return [*ids[:4], float(sizes.get("aesthetic_score", 2.5 if uncond else 6.0))]
    return ids

"""ControlNets for U-Nets: plain ones, those of several kinds of pictures in one, and control-LoRAs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, count
from graphflow.diffusion.network import Residuals, RowControl
from graphflow.families.common import unet
from graphflow.families.common.base import Call, diffusers_class
from graphflow.layouts import Entry, ldm_unet
from graphflow.models.control.base import UNION_TYPES, Kind
from graphflow.models.tensors import Tensors


def ldm_control(names: Iterable[str]) -> list[Entry]:
    """ControlNets in the layout of their authors: a U-Net's half with convolutions that begin at zero."""
    return [Entry(_ldm_control_name(e.theirs), e.ours) for e in ldm_unet(names)]


def _ldm_control_name(name: str) -> str:
    head, _, rest = name.partition(".")
    number, _, tail = rest.partition(".")
    if head == "controlnet_down_blocks":
        return f"zero_convs.{number}.0.{tail}"
    if head == "controlnet_mid_block":
        return f"middle_block_out.0.{rest}"
    if head == "controlnet_cond_embedding":
        if number == "blocks":
            index, _, tail = tail.partition(".")
            return f"input_hint_block.{2 * int(index) + 2}.{tail}"
        return f"input_hint_block.{0 if number == 'conv_in' else 14}.{tail}"
    return name


def _unet_control_config(header: Header) -> dict[str, Any]:
    head = None if len(header.shape("middle_block.1.proj_in.weight")) == 4 else 64
    return {**config_below(unet.config(header, head=head)), **hint_config(header)}


def config_below(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a U-Net's config what its half, the ControlNet, has too."""
    above = ("out_channels", "up_block_types", "sample_size", "center_input_sample")
    return {key: value for key, value in settings.items() if key not in above}


def hint_config(header: Header) -> dict[str, Any]:
    """Of the part that looks at the picture, from a file in the original layout."""
    hints = [header.shape(f"input_hint_block.{n}.weight") for n in (0, 4, 8, 12)]
    return {
        "conditioning_channels": hints[0][1],
        "conditioning_embedding_out_channels": [shape[0] for shape in hints],
    }


@dataclass(frozen=True)
class OnBase:
    """A ControlNet's tensors, those that its file only changes made of a network's: W + up down, or W + difference."""

    own: Tensors
    base: Tensors
    names: Mapping[str, str]
    """What the network's file calls a tensor, where it is not the original's name."""
    added: bool = False
    """Its tensors are added to the network's, where that has one of the name."""

    def keys(self) -> set[str]:
        """Every name, in the original layout."""
        below = set(self.base.keys())
        return {*self.own.keys(), *(name for name, there in self.names.items() if there in below), *below}

    def get(self, key: str) -> Tensor:
        """The tensor."""
        own = set(self.own.keys())
        if key in own and not (self.added and self.names.get(key, key) in self.base.keys()):  # noqa: SIM118 - no mapping
            return self.own.get(key)
        if key in own:
            return self.own.get(key).float() + self.base.get(self.names.get(key, key)).float()
        weight = self.base.get(self.names.get(key, key))
        stem = key.removesuffix("weight")
        if f"{stem}up" not in own:
            return weight
        up, down = self.own.get(f"{stem}up").float(), self.own.get(f"{stem}down").float()
        return weight.float() + (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)


def _unet_control(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    down, middle = module(
        call.x,
        call.timestep,
        encoder_hidden_states=call.context,
        controlnet_cond=control.hint.to(call.x),
        added_cond_kwargs=unet.added(module, call),
        return_dict=False,
    )
    return Residuals(down, [middle])


def _union_config(header: Header) -> dict[str, Any]:
    kinds, channels = header.shape("task_embedding")
    return {
        **_unet_control_config(header),
        "num_control_type": kinds,
        "num_trans_channel": channels,
        "num_trans_head": max(1, channels // 40),
        "num_trans_layer": count(header, "transformer_layes.{}."),
        "num_proj_channel": header.shape("spatial_ch_projs.weight")[0],
    }


def _union(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    settings: Any = module.config
    if control.union_type not in UNION_TYPES[: settings.num_control_type]:
        raise ValueError("this ControlNet serves several kinds of pictures; say which with SetUnionControlNetType")
    index = UNION_TYPES.index(control.union_type)
    kinds = torch.zeros(len(call.x), settings.num_control_type).to(call.x)
    kinds[:, index] = 1
    down, middle = module(
        call.x,
        call.timestep,
        encoder_hidden_states=call.context,
        controlnet_cond=[control.hint.to(call.x)],
        control_type=kinds,
        control_type_idx=[index],
        added_cond_kwargs=unet.added(module, call),
        return_dict=False,
    )
    return Residuals(down, [middle])


HALF = ("float16", "bfloat16")
PLAIN = Kind(diffusers_class("ControlNetModel"), _unet_control_config, ldm_control, _unet_control, HALF)
UNION = Kind(diffusers_class("ControlNetUnionModel"), _union_config, ldm_control, _union, HALF)

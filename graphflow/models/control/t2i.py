"""T2I-Adapters (https://arxiv.org/abs/2302.08453): small networks that add to a U-Net's way down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.functional import pad

from graphflow.detect import Header, count
from graphflow.diffusion.network import Residuals, RowControl
from graphflow.families.common.base import Call, diffusers_class
from graphflow.layouts import Entry
from graphflow.models.control.base import Kind
from graphflow.models.control.unets import HALF


def t2i(names: Iterable[str]) -> list[Entry]:
    """T2I-Adapters (https://arxiv.org/abs/2302.08453) in the layout of their authors: blocks in one row, or light."""
    all_names = list(names)
    light = any(name.endswith("out_conv.weight") for name in all_names)
    each = 1 + max((int(n.split(".")[4]) for n in all_names if ".resnets." in n), default=0)
    return [Entry(_t2i_name(name.removeprefix("adapter."), 1 if light else each), (name,)) for name in all_names]


def _t2i_name(name: str, each: int) -> str:
    parts = name.split(".")
    if parts[0] != "body":
        return name
    block, kind, *rest = parts[1:]
    if kind != "resnets":
        return ".".join(["body", str(int(block) * each), kind, *rest])
    number, *tail = rest
    place = ["body", block, "body", number] if each == 1 else ["body", str(int(block) * each + int(number))]
    return ".".join([*place, *tail])


def _t2i_original(header: Header) -> bool:
    return not any(key.startswith("adapter.") for key in header.tensors)


def _t2i_config(header: Header) -> dict[str, Any]:
    """By the shapes of a file in the authors' layout; XL's adapters fold sixteen pixels into one, others eight."""
    shape = header.shape
    if first := shape("conv_in.weight"):
        blocks = [shape(f"body.{2 * n}.block1.weight")[0] for n in range(count(header, "body.{}.") // 2)]
        large = first[1] in (256, 768)
        folded = 16 if large else 8
        return {
            "in_channels": first[1] // folded**2,
            "channels": blocks,
            "downscale_factor": folded,
            "adapter_type": "full_adapter_xl" if large else "full_adapter",
        }
    outs = [shape(f"body.{n}.out_conv.weight")[0] for n in range(count(header, "body.{}."))]
    return {
        "in_channels": shape("body.0.in_conv.weight")[1] // 64,
        "channels": outs[:-1],
        "num_res_blocks": count(header, "body.0.body.{}."),
        "adapter_type": "light_adapter",
    }


def _t2i(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    settings: Any = module.config
    hint = control.hint.to(call.x)
    if settings.in_channels == 1:
        hint = hint.mean(dim=1, keepdim=True)
    folded = settings.downscale_factor
    hint = pad(hint, (0, -hint.shape[-1] % folded, 0, -hint.shape[-2] % folded), mode="replicate")
    return Residuals(inside=module(hint))


ADAPTER = Kind(diffusers_class("T2IAdapter"), _t2i_config, t2i, _t2i, HALF, original=_t2i_original)

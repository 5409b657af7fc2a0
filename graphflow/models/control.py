"""ControlNets: networks that steer another by a picture, through what they add to its skip connections or blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from graphflow.detect import Header, count
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import Residuals, RowCond, RowControl
from graphflow.models.families import flux, qwen_image, sd3, unet
from graphflow.models.families.base import Call
from graphflow.models.families.flow import FLUX_LATENTS, diffusers_class, even, first, pack, positions
from graphflow.models.layouts import Entry, Layout, ldm_unet, same
from graphflow.models.residency import Residency, Unpatched
from graphflow.models.weights import Tensors
from graphflow.values import ControlNet

UNION_TYPES = (
    "openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd", "normal", "segment", "tile",
    "repaint",
)  # fmt: skip
"""The kinds of picture that union networks know, in the order of their embeddings."""


@dataclass(frozen=True)
class Kind:
    """A kind of ControlNet: how it is built, read from files and called."""

    build: Callable[[Mapping[str, Any]], nn.Module]
    config: Callable[[Header], dict[str, Any]]
    layout: Layout
    call: Callable[[nn.Module, Call, RowControl], Residuals]
    dtypes: tuple[str, ...]
    latents: LatentFormat | None = None
    """For nets whose hint is a latent."""
    original: Callable[[Header], bool] = lambda header: "input_hint_block.0.weight" in header.tensors
    """Whether a file is in the layout of the kind's authors."""


@dataclass
class ControlContent(Unpatched):
    """A ControlNet in memory."""

    module: nn.Module
    kind: Kind
    dtype: torch.dtype


class ResidentControl:
    """A `ControlNetwork` that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: ControlNet, load: Callable[[], ControlContent]) -> None:
        content: Any = residency.get(recipe.weights, load).content
        self.device = residency.device
        self.latent_format: LatentFormat | None = content.kind.latents
        self._residency, self._recipe, self._load = residency, recipe, load

    @torch.inference_mode()
    def residuals(self, x: Tensor, timestep: Tensor, cond: RowCond, control: RowControl) -> Residuals:
        """What is added to the network."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content

            def put(tensor: Tensor | None) -> Tensor | None:
                return None if tensor is None else tensor.to(self.device, content.dtype)

            call = Call(
                x=x.to(content.dtype),
                timestep=timestep,
                context=(cond.context if cond.control_context is None else cond.control_context).to(
                    self.device, content.dtype
                ),
                pooled=put(cond.pooled),
                attention_mask=put(cond.attention_mask),
                guidance=torch.full_like(timestep, 3.5 if cond.guidance is None else cond.guidance),
                references=(),
                conds=[(cond, len(x))],
            )
            made = content.kind.call(content.module, call, control)
            return Residuals(*([r.float() for r in some] for some in made))


# --- Stable Diffusion ------------------------------------------------------------------------------------------------


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
    """A control-LoRA's tensors, those that it only changes made of a network's: W + up down."""

    own: Tensors
    base: Tensors
    names: Mapping[str, str]
    """What the network's file calls a tensor, where it is not the original's name."""

    def keys(self) -> set[str]:
        """Every name, in the original layout."""
        below = set(self.base.keys())
        return {*self.own.keys(), *(name for name, there in self.names.items() if there in below), *below}

    def get(self, key: str) -> Tensor:
        """The tensor."""
        own = set(self.own.keys())
        if key in own:
            return self.own.get(key)
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


# --- T2I-Adapters ----------------------------------------------------------------------------------------------------


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


# --- flow transformers -----------------------------------------------------------------------------------------------


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


def _sd3_config(header: Header) -> dict[str, Any]:
    extra = header.shape("pos_embed_input.proj.weight")
    return {**sd3.config(header), "extra_conditioning_channels": extra[1] - 16 if extra else 0}


def _sd3(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    blocks = first(
        module,
        even(call.x),
        even(control.hint.to(call.x)),
        encoder_hidden_states=call.context,
        pooled_projections=call.pooled,
        timestep=call.timestep,
    )
    return Residuals(list(blocks))


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


_HALF = ("float16", "bfloat16")
_BRAIN = ("bfloat16", "float16")
_UNET = Kind(diffusers_class("ControlNetModel"), _unet_control_config, ldm_control, _unet_control, _HALF)
UNETS = ("sd15", "sd2", "sdxl")
KINDS: Mapping[str, Kind] = {
    "sd15": _UNET,
    "sd2": _UNET,
    "sdxl": _UNET,
    "union": Kind(diffusers_class("ControlNetUnionModel"), _union_config, ldm_control, _union, _HALF),
    "t2i": Kind(diffusers_class("T2IAdapter"), _t2i_config, t2i, _t2i, _HALF, original=_t2i_original),
    "flux": Kind(diffusers_class("FluxControlNetModel"), _flux_config, flux.layout, _flux, _BRAIN, FLUX_LATENTS),
    "sd3": Kind(
        diffusers_class("SD3ControlNetModel"), _sd3_config, sd3.layout, _sd3, _BRAIN, LatentFormat(16, 1.5305, 0.0609)
    ),
    "qwen_image": Kind(
        diffusers_class("QwenImageControlNetModel"), qwen_image.config, same, _qwen, _BRAIN, qwen_image.WAN_LATENTS
    ),
}
"""By family; `union` for SDXL's networks of several kinds in one, `t2i` for T2I-Adapters."""

"""ControlNets: networks that steer another by a picture, through what they add to its skip connections or blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, count
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import RowCond, RowControl
from graphflow.models.families import flux, qwen_image, sd3, unet
from graphflow.models.families.base import Call
from graphflow.models.families.flow import FLUX_LATENTS, diffusers_class, even, first, pack, positions
from graphflow.models.layouts import Entry, Layout, ldm_unet, same
from graphflow.models.residency import Residency
from graphflow.values import ControlNet, Patch

Residuals = tuple[Sequence[Tensor], Sequence[Tensor]]

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


@dataclass
class ControlContent:
    """A ControlNet in memory."""

    module: nn.Module
    kind: Kind
    dtype: torch.dtype

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The network."""
        return (self.module,)

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """ControlNets take no patches."""


class ResidentControl:
    """A `ControlNetwork` that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: ControlNet, load: Callable[[], ControlContent]) -> None:
        content: Any = residency.get(recipe.weights, load).content
        self.device = residency.device
        self.latent_format: LatentFormat | None = content.kind.latents
        self._residency, self._recipe, self._load = residency, recipe, load

    @torch.inference_mode()
    def residuals(self, x: Tensor, timestep: Tensor, cond: RowCond, control: RowControl) -> Residuals:
        """What is added to the network's skip connections (or blocks), and to its middle (or single blocks)."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content

            def put(tensor: Tensor | None) -> Tensor | None:
                return None if tensor is None else tensor.to(self.device, content.dtype)

            call = Call(
                x=x.to(content.dtype),
                timestep=timestep,
                context=cond.context.to(self.device, content.dtype),
                pooled=put(cond.pooled),
                attention_mask=put(cond.attention_mask),
                guidance=torch.full_like(timestep, 3.5 if cond.guidance is None else cond.guidance),
                references=(),
                conds=[(cond, len(x))],
            )
            down, middle = content.kind.call(content.module, call, control)
            return [r.float() for r in down], [r.float() for r in middle]


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
    settings = unet.config(header, head=head)
    for key in ("out_channels", "up_block_types", "sample_size"):
        settings.pop(key)
    hints = [header.shape(f"input_hint_block.{n}.weight") for n in (0, 4, 8, 12)]
    return {
        **settings,
        "conditioning_channels": hints[0][1],
        "conditioning_embedding_out_channels": [shape[0] for shape in hints],
    }


def _unet_control(module: nn.Module, call: Call, control: RowControl) -> Residuals:
    down, middle = module(
        call.x,
        call.timestep,
        encoder_hidden_states=call.context,
        controlnet_cond=control.hint.to(call.x),
        added_cond_kwargs=unet.added(module, call),
        return_dict=False,
    )
    return down, [middle]


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
    return down, [middle]


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
    return list(blocks or []), list(singles or [])


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
    return list(blocks), []


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
    return list(blocks), []


_HALF = ("float16", "bfloat16")
_BRAIN = ("bfloat16", "float16")
_UNET = Kind(diffusers_class("ControlNetModel"), _unet_control_config, ldm_control, _unet_control, _HALF)
KINDS: Mapping[str, Kind] = {
    "sd15": _UNET,
    "sd2": _UNET,
    "sdxl": _UNET,
    "union": Kind(diffusers_class("ControlNetUnionModel"), _union_config, ldm_control, _union, _HALF),
    "flux": Kind(diffusers_class("FluxControlNetModel"), _flux_config, flux.layout, _flux, _BRAIN, FLUX_LATENTS),
    "sd3": Kind(
        diffusers_class("SD3ControlNetModel"), _sd3_config, sd3.layout, _sd3, _BRAIN, LatentFormat(16, 1.5305, 0.0609)
    ),
    "qwen_image": Kind(
        diffusers_class("QwenImageControlNetModel"), qwen_image.config, same, _qwen, _BRAIN, qwen_image.WAN_LATENTS
    ),
}
"""By family; `union` for SDXL's networks of several kinds in one."""

"""Small networks that steer a denoising network by a picture from inside, and come as files of their own.

`qwen_image`: DiffSynth's blockwise control (https://github.com/modelscope/DiffSynth-Studio): after each block, something
made of the block's output and of the picture's latent is added. `z_image`: Z-Image's Fun control, blocks beside the
network's own whose outputs are added to every few of them (diffusers' `ZImageControlNetModel`). `flux2`: the same for
Flux 2 (`graphflow.models.control.flux2_fun`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from graphflow.detect import Header, count
from graphflow.diffusion.conds import cut_to_aspect, fit_batch
from graphflow.diffusion.edits import hooked, replaced
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import DiffusionNetwork, NetworkEdit
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import EditPatch
from graphflow.families.common.base import diffusers_class
from graphflow.families.common.flow import FLUX_LATENTS, even, pack
from graphflow.families.qwen_image import WAN_LATENTS
from graphflow.models.control import flux2_fun
from graphflow.models.residency import Residency, Unpatched
from graphflow.values import ModelPatch, Vae

BLOCKS = 30
"""Of the Z-Image networks that its control files were made for."""


# --- networks --------------------------------------------------------------------------------------------------------


class ControlBlock(nn.Module):
    """What is added after a block of Qwen-Image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.x_rms, self.y_rms = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.input_proj, self.output_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, T, D) from the block's output x and the hint's tokens y."""
        mixed = self.input_proj(self.x_rms(x) + self.y_rms(y))
        out: Tensor = self.output_proj(nn.functional.gelu(mixed))
        return out


class BlockwiseControl(nn.Module):
    """DiffSynth's: the hint's tokens, and a small network for each block."""

    def __init__(self, tokens: int, width: int, blocks: int) -> None:
        super().__init__()
        self.img_in = nn.Linear(tokens, width)
        self.controlnet_blocks = nn.ModuleList(ControlBlock(width) for _ in range(blocks))


@dataclass(frozen=True)
class Kind:
    """A kind of model patch."""

    network: str
    """diffusers' class of what it works in."""
    build: Callable[[Mapping[str, Any]], nn.Module]
    config: Callable[[Header, Callable[[str], Tensor]], dict[str, Any]]
    latents: LatentFormat
    channels: Callable[[nn.Module], int]
    """Of the hint: the latent's for a picture, and more where the net also takes a mask, or a mask and a picture with a
    hole."""
    steered: Callable[[nn.Module, nn.Module, Tensor, float], contextlib.AbstractContextManager[None]]
    """The network changed for a call: (network, patch, hint (B, C, h, w), strength)."""


def _qwen_config(header: Header, _: Callable[[str], Tensor]) -> dict[str, Any]:
    width, tokens = header.shape("img_in.weight")
    return {"tokens": tokens, "width": width, "blocks": count(header, "controlnet_blocks.{}.")}


@contextlib.contextmanager
def _qwen_steered(network: Any, patch: Any, hint: Tensor, strength: float) -> Iterator[None]:
    tokens: list[Tensor] = []

    def note(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        _, rows, columns = kwargs["img_shapes"][0][0]
        fitted = _fit(hint, (2 * rows, 2 * columns), len(kwargs["img_shapes"]))
        tokens[:] = [patch.img_in(pack(fitted))]

    def add(block: ControlBlock) -> Callable[[nn.Module, Any, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
        def hook(module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            text, picture = output
            own = tokens[0].shape[1]
            added = picture[:, :own] + block(picture[:, :own], tokens[0]) * strength
            return text, torch.cat([added, picture[:, own:]], dim=1)

        return hook

    pairs = zip(network.transformer_blocks, patch.controlnet_blocks, strict=False)
    handles = [network.register_forward_pre_hook(note, with_kwargs=True)]
    with hooked([*handles, *(block.register_forward_hook(add(one)) for block, one in pairs)]):
        yield


def _z_config(header: Header, read: Callable[[str], Tensor]) -> dict[str, Any]:
    width, patch = header.shape("control_all_x_embedder.2-1.weight")
    head = header.shape("control_layers.0.attention.norm_q.weight")[0]
    layers, before = count(header, "control_layers.{}."), "control_noise_refiner.0.before_proj.weight"
    refiner = None
    if header.shape("control_noise_refiner.0.after_proj.weight"):
        own = header.shape(before) and bool(read(before).any())
        refiner = "control_noise_refiner" if own else "control_layers"
    elif layers > BLOCKS // 5 + 1:
        refiner = "control_layers"
    return {
        "control_layers_places": [n * (BLOCKS // layers) for n in range(layers)],
        "control_refiner_layers_places": list(range(2)),
        "control_in_dim": patch // 4,
        "add_control_noise_refiner": refiner,
        "dim": width,
        "n_refiner_layers": max(1, count(header, "control_noise_refiner.{}.")) if refiner != "control_layers" else 2,
        "n_heads": width // head,
        "n_kv_heads": width // head,
    }


_SHARED = (
    "t_scale", "t_embedder", "all_x_embedder", "cap_embedder", "rope_embedder", "noise_refiner", "context_refiner",
    "x_pad_token", "cap_pad_token",
)  # fmt: skip
"""What the control's blocks borrow of the network's."""


@contextlib.contextmanager
def _z_steered(network: Any, patch: Any, hint: Tensor, strength: float) -> Iterator[None]:
    forward = network.forward

    def steered(pictures: list[Tensor], time: Tensor, captions: list[Tensor], **kwargs: Any) -> Any:
        fitted = _fit(hint, (pictures[0].shape[-2], pictures[0].shape[-1]), len(pictures))
        for name in _SHARED:
            setattr(patch, name, getattr(network, name))
        try:
            hints = [one[:, None] for one in fitted]
            added = patch(pictures, time, captions, hints, conditioning_scale=strength)
        finally:
            for name in _SHARED:
                setattr(patch, name, None)
        return forward(pictures, time, captions, controlnet_block_samples=added, **kwargs)

    with replaced([network], "forward", lambda _: steered):
        yield


def _fit(hint: Tensor, size: tuple[int, int], number: int) -> Tensor:
    """The hint for a part of the picture, or a grown one, and for so many rows."""
    hint = even(hint)
    if tuple(hint.shape[-2:]) != size:
        hint = interpolate(hint.float(), size=size, mode="bilinear", align_corners=False).to(hint.dtype)
    return fit_batch(hint, number)


def _qwen_channels(module: Any) -> int:
    return int(module.img_in.in_features) // 4


def _z_channels(module: Any) -> int:
    return int(module.control_in_dim)


KINDS: Mapping[str, Kind] = {
    "qwen_image": Kind(
        "QwenImageTransformer2DModel", lambda config: BlockwiseControl(**config),
        _qwen_config, WAN_LATENTS, _qwen_channels, _qwen_steered,
    ),
    "z_image": Kind(
        "ZImageTransformer2DModel", diffusers_class("ZImageControlNetModel"),
        _z_config, FLUX_LATENTS, _z_channels, _z_steered,
    ),
    "flux2": Kind(
        "Flux2Transformer2DModel", lambda config: flux2_fun.Flux2Control(**config), flux2_fun.config, LatentFormat(128),
        flux2_fun.channels, flux2_fun.steered,
    ),
}  # fmt: skip
"""By the family whose networks they work in."""


# --- in memory -------------------------------------------------------------------------------------------------------


@dataclass
class PatchContent(Unpatched):
    """A model patch in memory."""

    module: nn.Module
    kind: Kind
    dtype: torch.dtype


class ResidentPatch:
    """A model patch that brings its weights to the device for each call of the network it works in."""

    def __init__(self, residency: Residency, recipe: ModelPatch, load: Callable[[], PatchContent]) -> None:
        content: Any = residency.get(recipe.weights, load).content
        self.latent_format: LatentFormat = content.kind.latents
        self.channels: int = content.kind.channels(content.module)
        """Of the hint."""
        self._residency, self._recipe, self._load = residency, recipe, load

    @contextlib.contextmanager
    def steering(self, network: nn.Module, hint: Tensor, strength: float) -> Iterator[None]:
        """The network steered by a hint (B, C, h, w). Raises `ValueError` for one of another family."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            if type(network).__name__ != content.kind.network:
                raise ValueError(
                    f"{self._recipe.weights.files[0].name} is made for {content.kind.network}, this model is a "
                    f"{type(network).__name__}: take the node out, or load the model that it belongs to"
                )
            put = hint.to(self._residency.device, content.dtype)
            with content.kind.steered(network, content.module, put, strength):
                yield


@dataclass(frozen=True, eq=False)
class Steering:
    """The edit of one sampling."""

    live: ResidentPatch
    hint: Tensor
    strength: float

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """The network steered for a call."""
        return self.live.steering(module, self.hint, self.strength)


@dataclass(frozen=True)
class Ready(EditPatch):
    """A patch whose hint is there."""

    edit: NetworkEdit

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """The steering, at every noise level."""
        return (self.edit,)


@dataclass(frozen=True, eq=False)
class Steered(EditPatch):
    """A denoising network steered by a picture."""

    net: ModelPatch
    vae: Vae
    picture: Tensor | None
    """(B, H, W, 3), 0 to 1: what steers."""
    strength: float
    mask: Tensor | None = None
    """(B, H, W), 1 where the network paints; for nets that know masks."""
    around: Tensor | None = None
    """(B, H, W, 3), what stays around the mask."""

    def ready(self, network: DiffusionNetwork, size: tuple[int, int]) -> EditPatch:
        """With the pictures encoded at the latent's size."""
        from graphflow.models import loaded  # it knows this module

        with loaded(self.net) as live:
            return Ready(Steering(live, self._hint(live, network.latent_format.downscale, size), self.strength))

    def _hint(self, live: ResidentPatch, scale: int, size: tuple[int, int]) -> Tensor:
        pixels = (size[0] * scale, size[1] * scale)
        hole = torch.zeros(1, 1, *pixels) if self.mask is None else _sized(self.mask[:, None], pixels)
        kept = 1.0 - hole.round()
        picture, around = (None if p is None else _fitted(p, pixels) for p in (self.picture, self.around))
        if live.channels == 17 and picture is not None:
            return torch.cat([self._latent(live, picture * kept), _sized(kept, size)], dim=1)
        left = None if around is None else self._latent(live, (around - 0.5) * kept + 0.5)
        control = torch.zeros_like(left) if picture is None else self._latent(live, picture)  # type: ignore[arg-type]
        more = live.channels - control.shape[1]
        if more <= 0:
            return control
        if left is None:
            return torch.cat([control, control.new_zeros(len(control), more, *size)], dim=1)
        side = math.isqrt(more - left.shape[1])  # of the mask's places under each place of the latent
        mask = pixel_unshuffle(_sized(kept, (size[0] * side, size[1] * side)), side)
        return torch.cat([control, *(fit_batch(part, len(control)) for part in (mask, left))], dim=1)

    def _latent(self, live: ResidentPatch, picture: Tensor) -> Tensor:
        from graphflow.models import loaded  # it knows this module

        with loaded(self.vae) as autoencoder:
            latent = live.latent_format.process_in(autoencoder.encode(picture.movedim(1, -1).contiguous()))
        return latent[:, :, 0] if latent.ndim == 5 else latent


def _fitted(picture: Tensor, pixels: tuple[int, int]) -> Tensor:
    """(B, 3, H, W) of a picture (B, H, W, C), cut to the proportions."""
    return interpolate(cut_to_aspect(picture[..., :3].movedim(-1, 1), pixels), size=pixels, mode="area")


def _sized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(cut_to_aspect(mask, size), size=size, mode="nearest")

"""Deep shrink: a UNet that works on a smaller latent below some block, for pictures larger than it was trained for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from graphflow.diffusion.edits import hooked
from graphflow.diffusion.guidance_patches import between
from graphflow.diffusion.network import NetworkEdit
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import EditPatch
from graphflow.diffusion.resizing import LatentMethod, resized


def _resized(x: Tensor, size: tuple[int, int], method: LatentMethod) -> Tensor:
    return resized(x.float(), size[1], size[0], method).to(x.dtype)


def _units(unet: Any) -> list[tuple[Any, Any]]:
    """The steps of the way down, each of which leaves a skip: its first and its last module.

    Their numbers are those of the original layout's input blocks: 0 is the first convolution, 3 the first halving of
    a network with two residual blocks a level.
    """
    units = [(unet.conv_in, unet.conv_in)]
    for block in unet.down_blocks:
        attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
        units += [(r, r if a is None else a) for r, a in zip(block.resnets, attentions, strict=True)]
        units += [(d, d) for d in block.downsamplers or ()]
    return units


def _before_up(unet: Any) -> list[tuple[Any, int]]:
    """For each residual block of the way up the module whose output meets a skip there, and the number of the skip."""
    found, number = [], len(_units(unet)) - 1
    last: Any = unet.mid_block.resnets[-1]
    for block in unet.up_blocks:
        attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
        for resnet, attention in zip(block.resnets, attentions, strict=True):
            found.append((last, number))
            number -= 1
            last = resnet if attention is None else attention
        last = block.upsamplers[0] if block.upsamplers else last
    return found


@dataclass(frozen=True)
class Shrink:
    """The latent shrunk after one step of the way down, and enlarged where it meets a larger skip."""

    block: int
    factor: float
    after_skip: bool
    down: LatentMethod
    up: LatentMethod

    def applied(self, module: nn.Module) -> AbstractContextManager[None]:
        """Hooks on both ways."""
        unet: Any = module
        if not hasattr(unet, "down_blocks") or not hasattr(unet, "mid_block"):
            raise ValueError("deep shrink changes UNets; this model is none: take the node out")
        units = _units(unet)
        if self.block >= len(units):
            raise ValueError(f"block_number is {self.block}; this model has {len(units)} blocks on the way down")
        sizes = _Sizes()
        handles = [last.register_forward_hook(sizes.note(i)) for i, (_, last) in enumerate(units)]
        if self.after_skip:
            after = units[self.block + 1][0] if self.block + 1 < len(units) else unet.mid_block.resnets[0]
            handles.append(after.register_forward_pre_hook(lambda _, args: (self._shrunk(args[0]), *args[1:])))
        else:
            handles.append(units[self.block][1].register_forward_hook(_on_output(self._shrunk), prepend=True))
        for before, number in _before_up(unet):
            handles.append(before.register_forward_hook(_on_output(self._enlarge_to(sizes, number))))
        return hooked(handles)

    def _shrunk(self, x: Tensor) -> Tensor:
        height, width = (max(1, round(side / self.factor)) for side in x.shape[-2:])
        return _resized(x, (height, width), self.down)

    def _enlarge_to(self, sizes: _Sizes, number: int) -> Callable[[Tensor], Tensor]:
        def enlarge(x: Tensor) -> Tensor:
            size = sizes.by_unit[number]
            return x if tuple(x.shape[-2:]) == size else _resized(x, size, self.up)

        return enlarge


@dataclass
class _Sizes:
    """How large the skips of the call that is going on are, by number."""

    by_unit: dict[int, tuple[int, int]] = field(default_factory=dict)

    def note(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        """A hook that notes the size of an output."""

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            x = _picture(output)
            self.by_unit[number] = (x.shape[-2], x.shape[-1])

        return hook


def _picture(output: Any) -> Tensor:
    """Of a module's output, which may be a tuple or an object with a `sample`."""
    found: Tensor = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
    return found


def _on_output(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        changed = change(_picture(output))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


@dataclass(frozen=True)
class ShrinkPatch(EditPatch):
    """`Shrink` in a part of the sampling, usually its start, where the picture is laid out."""

    block: int = 3
    factor: float = 2.0
    start: float = 0.0
    end: float = 0.35
    after_skip: bool = True
    down: LatentMethod = "bicubic"
    up: LatentMethod = "bicubic"

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """One edit inside the part, none outside."""
        inside = between(sigma, self.start, self.end, parametrisation)
        return (Shrink(self.block, self.factor, self.after_skip, self.down, self.up),) if inside else ()

"""Networks that enlarge or restore pictures, through spandrel, in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.errors import UnsupportedFile
from graphflow.models.residency import Policy, Residency, Unpatched
from graphflow.models.tensors import opened
from graphflow.models.tiles import shrinking, tiled
from graphflow.node import Progress
from graphflow.values import UpscaleModel, Weights


@dataclass
class UpscaleContent(Unpatched):
    """An upscaler in memory."""

    descriptor: Any
    """spandrel's `ImageModelDescriptor`."""
    dtype: torch.dtype

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The network."""
        return (self.descriptor.model,)

    @property
    def whole(self) -> tuple[nn.Module, ...]:  # type: ignore[override]
        """The network: some of spandrel's compute with the weights of layers that they do not call."""
        return self.modules


def load_upscaler(weights: Weights, policy: Policy) -> UpscaleContent:
    """The network of a file that spandrel knows. Raises `UnsupportedFile` for others."""
    from spandrel import ImageModelDescriptor, ModelLoader

    file = weights.files[0]
    with opened(file.path) as (header, tensors):
        state = {key.removeprefix("module."): tensors.get(key) for key in header.tensors}
    try:
        descriptor = ModelLoader(device="cpu").load_from_state_dict(state)
    except Exception as error:  # its architectures raise errors of many kinds on states they half recognise
        raise UnsupportedFile(f"{file.name} is no upscale model that spandrel knows: {error}") from error
    if not isinstance(descriptor, ImageModelDescriptor):
        raise UnsupportedFile(f"{file.name} needs a mask or more than one picture; it is no upscale model")
    dtype = policy.dtype(("float16",)) if descriptor.supports_half else torch.float32
    descriptor.model.to(dtype).eval().requires_grad_(False)
    return UpscaleContent(descriptor, dtype)


class ResidentUpscaler:
    """An upscaler that brings its weights to the device for each tile."""

    def __init__(self, residency: Residency, recipe: UpscaleModel, load: Callable[[], UpscaleContent]) -> None:
        content: Any = residency.get(recipe.weights, load).content
        self.scale: int = content.descriptor.scale
        """Sides of the result to the picture's."""
        self._channels: int = content.descriptor.input_channels
        self._residency, self._recipe, self._load = residency, recipe, load

    def upscale(self, pixels: Tensor, tile: int = 512, overlap: int = 32) -> Iterator[Progress | Tensor]:
        """(B, H, W, 3) in 0 to 1 -> (B, H s, W s, 3); progress by tile, and the picture at the end.

        Out of memory, it starts again with tiles half as large, down to 128.
        """
        x = pixels[..., :3].movedim(-1, 1).contiguous()
        grey = self._channels == 1
        x = x.mean(dim=1, keepdim=True) if grey else x

        def run(side: int) -> Iterator[Progress | Tensor]:
            yield from tiled(x, self._tile, [(side, side)], overlap, self.scale)

        for step in shrinking(run, tile, 128, self._residency.free):
            yield self._leave(step) if isinstance(step, Tensor) else step

    @staticmethod
    def _leave(x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        return x.clamp(0, 1).movedim(1, -1).contiguous()

    @torch.inference_mode()
    def _tile(self, x: Tensor) -> Tensor:
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            out = torch.cat(
                [content.descriptor(one.to(self._residency.device, content.dtype)) for one in torch.split(x, 1)]
            )
            return out.float().cpu()

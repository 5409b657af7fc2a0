"""Pictures as prompts on a model's recipe, in a part of the sampling and of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphflow.diffusion.guidance_patches import between
from graphflow.diffusion.network import RowImage
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import ImagePatch
from graphflow.values import IpAdapter


@dataclass(frozen=True, eq=False)
class PicturePrompt(ImagePatch):
    """What an IP-Adapter made of pictures."""

    adapter: IpAdapter
    tokens: Tensor
    """(1, T, D)."""
    uncond: Tensor
    """(1, T, D): of no picture, or of one to steer away from."""
    weight: float = 1.0
    layers: str = "linear"
    keys: bool = False
    start: float = 0.0
    end: float = 1.0
    mask: Tensor | None = None
    """(B, H, W)."""

    def images(self, sigma: float, parametrisation: Parametrisation, *, uncond: bool) -> tuple[RowImage, ...]:
        """The pictures between start and end, none else."""
        if not between(sigma, self.start, self.end, parametrisation):
            return ()
        tokens = self.uncond if uncond else self.tokens
        return (RowImage(self.adapter, tokens, self.weight, self.layers, self.keys, self.mask),)

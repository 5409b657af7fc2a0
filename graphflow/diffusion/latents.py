"""What a latent looks like to a network: channels, scale, and the map between the autoencoder's space and its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LatentFormat:
    """The latents of a family.

    Between nodes latents are in the autoencoder's space; networks see `process_in` of them: (z - shift) * scale, or
    per channel (z - mean) / std * scale.
    """

    channels: int
    scale: float = 1.0
    shift: float = 0.0
    mean: tuple[float, ...] = ()
    """Per channel; empty when the family has one shift."""
    std: tuple[float, ...] = ()
    downscale: int = 8
    """Pixels of the picture to one of the latent, along each side."""
    temporal: int = 1
    """Frames of the video to one of the latent."""
    dims: int = 2
    """2 for pictures (B, C, h, w), 3 for video (B, C, F, h, w)."""
    rgb: tuple[tuple[float, float, float], ...] = ()
    """One row a channel of the network's space: the linear map to red, green, blue in -1 to 1 that previews use."""
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tiny: str = ""
    """Name of the tiny decoder that previews use when its file is there: `taesd`, `taesdxl`, `taesd3`, `taef1`."""

    def process_in(self, latent: Tensor) -> Tensor:
        """From the autoencoder's space to the network's."""
        if self.mean:
            mean, std = self._per_channel(latent)
            return (latent - mean) * self.scale / std
        return (latent - self.shift) * self.scale if self.shift else latent * self.scale

    def process_out(self, latent: Tensor) -> Tensor:
        """From the network's space to the autoencoder's."""
        if self.mean:
            mean, std = self._per_channel(latent)
            return latent * std / self.scale + mean
        return latent / self.scale + self.shift if self.shift else latent / self.scale

    def _per_channel(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, -1, *([1] * (latent.ndim - 2)))
        mean = latent.new_tensor(self.mean).reshape(shape)
        std = latent.new_tensor(self.std).reshape(shape)
        return mean, std

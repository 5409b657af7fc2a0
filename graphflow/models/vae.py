"""Autoencoders: pictures to latents and back, whole or in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.diffusion.memory import is_out_of_memory
from graphflow.models.residency import Residency, Unpatched
from graphflow.models.tiles import shrinking, three_passes, tiled
from graphflow.node import Progress
from graphflow.values import Vae

BATCH = 8
"""Pictures that are encoded or decoded in one call."""


class Pixels(nn.Module):
    """No autoencoder: latents are pixels from -1 to 1."""

    def encode(self, x: Tensor, return_dict: bool) -> tuple[Tensor]:
        """x."""
        return (x,)

    def decode(self, x: Tensor, return_dict: bool) -> tuple[Tensor]:
        """x."""
        return (x,)


@dataclass
class VaeContent(Unpatched):
    """An autoencoder in memory."""

    module: nn.Module
    dtype: torch.dtype
    downscale: int
    channels: int
    temporal: int = 1
    dims: int = 2
    scale: float = 1.0
    """A tiny stand-in works on latents as networks see them: (z - shift) * scale."""
    shift: float = 0.0


class ResidentVae:
    """An autoencoder that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: Vae, load: Callable[[], VaeContent]) -> None:
        content = residency.get(recipe.weights, load).content
        assert isinstance(content, VaeContent)
        self.downscale = content.downscale
        """Pixels of the picture to one of the latent, along each side."""
        self.channels = content.channels
        """Of its latents."""
        self.temporal = content.temporal
        """Frames of the video to one of the latent."""
        self.dims = content.dims
        self.device = residency.device
        self._residency, self._recipe, self._load = residency, recipe, load

    def crop(self, pixels: Tensor) -> Tensor:
        """(B, H, W, C) cut at the middle to sides that the autoencoder can halve."""
        height, width = ((n // self.downscale) * self.downscale for n in pixels.shape[1:3])
        if not height or not width:
            raise ValueError(
                f"a picture of {pixels.shape[2]} × {pixels.shape[1]} is too small to encode: "
                f"each side needs at least {self.downscale} pixels"
            )
        top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
        return pixels[:, top : top + height, left : left + width]

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, H, W, C) in 0 to 1 -> (B, c, h, w), the posterior's mode, unscaled; float32 on the CPU.

        Of a video's autoencoder (1, c, f, h, w), its frames being the batch.
        """
        x = self._enter(pixels)
        made = self._whole(self._encode, x)
        return self._run(self.encode_tiles(pixels)) if made is None else made

    def decode(self, latent: Tensor) -> Tensor:
        """(B, c, h, w) or (B, c, f, h, w) -> (B * f, H, W, 3) in 0 to 1, float32 on the CPU."""
        latent = self._fitting(latent)
        made = self._whole(self._decode, latent)
        return self._run(self.decode_tiles(latent)) if made is None else self._leave(made)

    def encode_tiles(self, pixels: Tensor, tile: int = 512, overlap: int = 64) -> Iterator[Progress | Tensor]:
        """As `encode`, in tiles of `tile` pixels that overlap; progress, and the latent at the end.

        Out of memory, it starts again with tiles half as large, down to 128.
        """
        x = self._enter(pixels)

        def run(side: int) -> Iterator[Progress | Tensor]:
            yield from tiled(x, self._encode, three_passes(side), min(overlap, side // 4), 1 / self.downscale)

        yield from shrinking(run, tile, 128, self._residency.free)

    def decode_tiles(self, latent: Tensor, tile: int = 64, overlap: int = 16) -> Iterator[Progress | Tensor]:
        """As `decode`, in tiles of `tile` latent pixels that overlap; progress, and the picture at the end.

        Out of memory, it starts again with tiles half as large, down to 16.
        """
        latent = self._fitting(latent)

        def run(side: int) -> Iterator[Progress | Tensor]:
            yield from tiled(latent, self._decode, three_passes(side), min(overlap, side // 4), self.downscale)

        for step in shrinking(run, tile, 16, self._residency.free):
            yield self._leave(step) if isinstance(step, Tensor) else step

    def _enter(self, pixels: Tensor) -> Tensor:
        x = self.crop(pixels)[..., :3].movedim(-1, 1).contiguous() * 2.0 - 1.0
        return x.movedim(0, 1)[None].contiguous() if self.dims == 3 else x

    def _leave(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) or (B, 3, F, H, W) in -1 to 1 -> (B * F, H, W, 3) in 0 to 1."""
        if x.ndim == 5:
            x = x.movedim(2, 1).flatten(0, 1)
        return ((x + 1.0) / 2.0).clamp(0.0, 1.0).movedim(1, -1).contiguous()

    def _fitting(self, latent: Tensor) -> Tensor:
        if latent.shape[1] != self.channels:
            raise ValueError(
                f"the latent has {latent.shape[1]} channels, this VAE decodes {self.channels}: "
                "take the VAE of the model that made it"
            )
        if self.dims == 3 and latent.ndim == 4:
            return latent[:, :, None]
        return latent.movedim(2, 1).flatten(0, 1).contiguous() if self.dims == 2 and latent.ndim == 5 else latent

    def _whole(self, call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor | None:
        """Not in tiles; None, with room made, when memory runs out."""
        try:
            return self._batched(call, x)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self._residency.free()
        return None

    def _batched(self, call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return torch.cat([call(part) for part in torch.split(x, BATCH if self.dims == 2 else 1)])

    @torch.inference_mode()
    def _encode(self, x: Tensor) -> Tensor:
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            out = content.module.encode(x.to(self.device, content.dtype), return_dict=False)[0]
            mode = out.mode() if hasattr(out, "mode") and not isinstance(out, Tensor) else out
            return _sound(mode.float().cpu() / content.scale + content.shift, x, "picture", "latent", content.dtype)

    @torch.inference_mode()
    def _decode(self, latent: Tensor) -> Tensor:
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            z = (latent - content.shift) * content.scale
            out = content.module.decode(z.to(self.device, content.dtype), return_dict=False)[0]
            return _sound(out.float().cpu(), latent, "latent", "picture", content.dtype)

    @staticmethod
    def _run(steps: Iterator[Progress | Tensor]) -> Tensor:
        *_, last = steps
        assert isinstance(last, Tensor)
        return last


def _sound(made: Tensor, given: Tensor, taken: str, result: str, dtype: torch.dtype) -> Tensor:
    """What was made, if it consists of numbers; else `ValueError` says whether what was given did."""
    if bool(made.isfinite().all()):
        return made
    if not bool(given.isfinite().all()):
        raise ValueError(f"the {taken} holds NaN or infinity; look at the node that made it")
    raise ValueError(
        f"the {result} that the autoencoder makes holds NaN or infinity: its weights may be damaged, or its numbers too "
        f"large for {str(dtype).removeprefix('torch.')}, in which it runs; try another VAE, or the server's --dtype float32"
    )

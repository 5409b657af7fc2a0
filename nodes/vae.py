"""VAE: pictures to latents and back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from graphflow.api import Image, Latent, Mask, Progress, Steps, Vae, Widget, node
from graphflow.models import loaded


@node("VAEDecode", title="VAE Decode", category="latent", example="text-to-image")
def vae_decode(samples: Latent, vae: Vae) -> Image:
    """Turns latents into pictures. Should the device run out of memory, it is done in tiles."""
    with loaded(vae) as autoencoder:
        return Image(autoencoder.decode(samples.data))


@node("VAEEncode", title="VAE Encode", category="latent", example="image-to-image")
def vae_encode(pixels: Image, vae: Vae) -> Latent:
    """Turns pictures into latents; sides are cut to a multiple of what the VAE can halve, usually 8."""
    with loaded(vae) as autoencoder:
        return Latent(autoencoder.encode(pixels.data))


@node("VAEEncodeForInpaint", title="VAE Encode (for Inpainting)", category="latent/inpaint")
def vae_encode_for_inpaint(
    pixels: Image, vae: Vae, mask: Mask, grow_mask_by: Annotated[int, Field(ge=0, le=64)] = 6
) -> Latent:
    """Turns a picture into a latent whose masked part is grey and will be painted anew.

    The part to paint is the mask grown by some pixels, so that seams disappear. For full denoising; to keep something of
    what is there, use VAE Encode and Set Latent Noise Mask instead.
    """
    with loaded(vae) as autoencoder:
        sized = functional.interpolate(mask.data[:, None], pixels.data.shape[1:3], mode="bilinear")
        picture = autoencoder.crop(pixels.data)[..., :3]
        here = autoencoder.crop(sized[:, 0, :, :, None])[..., 0].round()
        grey = (picture - 0.5) * (1.0 - here[..., None]) + 0.5
        return Latent(autoencoder.encode(grey), noise_mask=_grown(here[:, None], grow_mask_by).round())


def _grown(mask: Tensor, by: int) -> Tensor:
    """(B, 1, H, W) with every masked pixel grown to a square of side `by`."""
    if by == 0:
        return mask
    grown = functional.conv2d(mask, torch.ones(1, 1, by, by), padding=math.ceil((by - 1) / 2)).clamp(0, 1)
    return grown[:, :, : mask.shape[2], : mask.shape[3]]


Tile = Annotated[int, Field(ge=64, le=4096), Widget(step=32)]
Overlap = Annotated[int, Field(ge=0, le=4096), Widget(step=32)]
Frames = Annotated[int, Field(ge=8, le=4096), Widget(step=4)]
FrameOverlap = Annotated[int, Field(ge=4, le=4096), Widget(step=4)]


@node("VAEDecodeTiled", title="VAE Decode (Tiled)", category="latent")
def vae_decode_tiled(
    samples: Latent,
    vae: Vae,
    tile_size: Tile = 512,
    overlap: Overlap = 64,
    temporal_size: Frames = 64,
    temporal_overlap: FrameOverlap = 8,
) -> Steps[Image]:
    """Turns latents into pictures tile by tile, for pictures too large for the device's memory.

    Sizes are pixels of the picture. The tiles of three passes overlap and fade into each other.
    """
    with loaded(vae) as autoencoder:
        scale = autoencoder.downscale
        tile, margin = tile_size // scale, min(overlap, tile_size // 4) // scale
        picture = yield from _last(autoencoder.decode_tiles(samples.data, tile, margin))
        return Image(picture)


@node("VAEEncodeTiled", title="VAE Encode (Tiled)", category="latent")
def vae_encode_tiled(
    pixels: Image,
    vae: Vae,
    tile_size: Annotated[int, Field(ge=64, le=4096), Widget(step=64)] = 512,
    overlap: Overlap = 64,
    temporal_size: Frames = 64,
    temporal_overlap: FrameOverlap = 8,
) -> Steps[Latent]:
    """Turns pictures into latents tile by tile, for pictures too large for the device's memory. Sizes are pixels."""
    with loaded(vae) as autoencoder:
        latent = yield from _last(autoencoder.encode_tiles(pixels.data, tile_size, min(overlap, tile_size // 4)))
        return Latent(latent)


def _last(steps: Iterable[Progress | Tensor]) -> Steps[Tensor]:
    """Passes progress on, and gives the tensor that comes at the end."""
    result = None
    for step in steps:
        if isinstance(step, Tensor):
            result = step
        else:
            yield step
    assert result is not None
    return result

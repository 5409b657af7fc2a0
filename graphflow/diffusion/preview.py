"""What a latent shows, roughly and quickly: a linear map from its channels to red, green and blue.

The maps are fitted by least squares against what a family's autoencoder decodes. A tiny decoder, where its file is
there, does better and is still fast.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import PIL.Image
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from graphflow.diffusion.latents import LatentFormat

SIDE = 512
"""Pixels of a preview's longer side, at most; small latents are enlarged to half of it."""

Decoder = Callable[[Tensor], Tensor]
"""From a latent (1, C, h, w) in the network's space to pictures (1, 3, H, W), 0 to 1."""


def rgb(latent: Tensor, form: LatentFormat) -> Tensor:
    """(3, h, w), 0 to 1: the first sample of (B, C, h, w), or its middle frame, by the family's linear map.

    Without a map the first three channels are shown, each stretched to its range.
    """
    first = latent[0].float()
    first = first[:, first.shape[1] // 2] if first.ndim == 4 else first
    if not form.rgb:
        shown = first[:3] if len(first) >= 3 else first[:1].expand(3, -1, -1)
        low, high = shown.amin((1, 2), keepdim=True), shown.amax((1, 2), keepdim=True)
        return (shown - low) / (high - low).clamp(min=1e-6)
    factors = torch.tensor(form.rgb, dtype=torch.float32, device=first.device)
    bias = torch.tensor(form.rgb_bias, dtype=torch.float32, device=first.device)
    picture = torch.einsum("chw,cr->rhw", first, factors) + bias[:, None, None]
    return ((picture + 1) / 2).clamp(0, 1)


def fit_rgb(latents: Tensor, pictures: Tensor) -> tuple[tuple[tuple[float, float, float], ...], tuple[float, ...]]:
    """Factors and bias that best map latents (B, C, h, w) to pictures (B, 3, H, W) of 0 to 1, by least squares."""
    small = interpolate(pictures.float(), size=latents.shape[-2:], mode="area") * 2 - 1
    samples = latents.float().movedim(1, -1).flatten(0, 2)
    design = torch.cat([samples, torch.ones(len(samples), 1)], dim=1)
    solved = torch.linalg.lstsq(design, small.movedim(1, -1).flatten(0, 2)).solution
    rows = [(float(r), float(g), float(b)) for r, g, b in solved.tolist()]
    return tuple(rows[:-1]), rows[-1]


def jpeg(picture: Tensor) -> bytes:
    """A small JPEG of (3, h, w), 0 to 1."""
    pixels = (picture.clamp(0, 1) * 255).to(torch.uint8).movedim(0, -1).cpu().contiguous().numpy()
    image = PIL.Image.fromarray(pixels)
    longer = max(image.size)
    scale = SIDE / longer if longer > SIDE else max(1, SIDE // 2 // longer)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, PIL.Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


DECODER_SHARE = 0.01
"""Of a sampling's time that a tiny decoder may take; while it would take more, the map shows the latent."""
_costs: dict[tuple[int, ...], float] = {}
"""Seconds that the decoder took last, by the latent's shape."""


def previewer(form: LatentFormat, decoder: Decoder | None = None) -> Callable[[Tensor], bytes]:
    """From a latent in the network's space to a small JPEG; made when the sampling begins."""
    began, spent = time.monotonic(), 0.0

    def show(latent: Tensor) -> bytes:
        nonlocal spent
        now, cost = time.monotonic(), _costs.get(latent.shape, 0.0)
        if decoder is None or spent + cost > DECODER_SHARE * (now - began):
            _costs[latent.shape] = 0.99 * cost  # one that was dear by chance is tried again some time
            return jpeg(rgb(latent, form))
        first = latent[:1, :, latent.shape[2] // 2] if latent.ndim == 5 else latent[:1]
        made = jpeg(decoder(first)[0])
        _costs[latent.shape] = time.monotonic() - now
        spent += _costs[latent.shape]
        return made

    return show

"""Latents in another size."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LatentMethod = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]


def resized(x: Tensor, width: int, height: int, method: LatentMethod) -> Tensor:
    """(B, C, H, W) with another width and height, neither rounded nor clamped."""
    return bislerp(x, width, height) if method == "bislerp" else F.interpolate(x, size=(height, width), mode=method)


def bislerp(x: Tensor, width: int, height: int) -> Tensor:
    """(B, C, H, W) in another size: along each axis two neighbours' channel vectors are mixed by spherical interpolation."""
    for dim, size in ((-1, width), (-2, height)):
        left, right, ratio = (place.to(x.device) for place in _neighbours(x.shape[dim], size))
        shape = [1, 1, 1, 1]
        shape[dim] = size
        x = slerp(x.index_select(dim, left), x.index_select(dim, right), ratio.reshape(shape))
    return x


def _neighbours(old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each new place the two old ones beside it, and how far it lies from the first towards the second."""
    at = F.interpolate(torch.arange(old, dtype=torch.float32)[None, None, None], size=(1, new), mode="bilinear")
    places = at.flatten()
    left = places.floor().long()
    return left, (left + 1).clamp(max=old - 1), places - places.floor()


def slerp(a: Tensor, b: Tensor, ratio: Tensor) -> Tensor:
    """Directions of channel vectors (dim 1) mixed along the arc from `a` to `b`, their lengths linearly."""
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    unit_a, unit_b = torch.nan_to_num(a / length_a), torch.nan_to_num(b / length_b)
    cosine = (unit_a * unit_b).sum(1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    arc = (torch.sin((1 - ratio) * angle) * unit_a + torch.sin(ratio * angle) * unit_b) / angle.sin()
    mixed = arc * (length_a * (1 - ratio) + length_b * ratio)
    mixed = torch.where(cosine > 1 - 1e-5, a, mixed)  # one direction: the arc has no length
    return torch.where(cosine < 1e-5 - 1, a * (1 - ratio) + b * ratio, mixed)  # opposite: the arc has no direction

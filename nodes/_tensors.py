"""Operations on tensors that several nodes share: resizing, batches, pasting. All take and give (B, C, H, W)."""

from __future__ import annotations

import math
from typing import Literal, cast

import numpy as np
import PIL.Image
import torch
from scipy.ndimage import maximum_filter1d
from torch import Tensor
from torch.nn import functional as F

from graphflow.api import Image, Mask
from graphflow.diffusion.resizing import bislerp

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos", "bislerp"]


# --- resizing --------------------------------------------------------------------------------------------------------


def resize(x: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    """`x` with another width and height; (B, C, F, H, W) works as well, frame by frame.

    With `crop` "center", first cut about its middle to the new proportions. `lanczos` works on 8 bits a channel, as
    Pillow does; the others neither round nor clamp. Raises `ValueError` when nothing would be left.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a size of {width} × {height} leaves nothing of {x.shape[-1]} × {x.shape[-2]}; ask for more")
    if x.ndim == 5:
        b, c, frames, h, w = x.shape
        flat = resize(x.transpose(1, 2).reshape(b * frames, c, h, w), width, height, method, crop)
        return flat.reshape(b, frames, c, height, width).transpose(1, 2)
    if crop == "center":
        x = crop_to_proportions(x, width, height)
    if method == "lanczos":
        return _lanczos(x, width, height)
    if method == "bislerp":
        return bislerp(x, width, height)
    return F.interpolate(x, size=(height, width), mode=method)


def crop_to_proportions(x: Tensor, width: int, height: int) -> Tensor:
    """The middle of `x` that has the proportions of width to height, as exactly as whole pixels allow."""
    h, w = x.shape[-2:]
    old, new = w / h, width / height
    left = min(round((w - w * (new / old)) / 2), (w - 1) // 2) if old > new else 0  # at least a pixel stays
    top = min(round((h - h * (old / new)) / 2), (h - 1) // 2) if old < new else 0
    return x[..., top : h - top, left : w - left]


def _lanczos(x: Tensor, width: int, height: int) -> Tensor:
    pictures = [to_pillow(one.movedim(0, -1)) for one in x]
    sized = [picture.resize((width, height), PIL.Image.Resampling.LANCZOS) for picture in pictures]
    return torch.stack([from_pillow(picture).movedim(-1, 0) for picture in sized])


# --- pictures and masks ----------------------------------------------------------------------------------------------


def planes(image: Image) -> Tensor:
    """(B, C, H, W) of a picture's (B, H, W, C)."""
    return image.data.movedim(-1, 1)


def picture(x: Tensor) -> Image:
    """The picture of (B, C, H, W)."""
    return Image(x.movedim(1, -1).contiguous())


def resized(image: Image, width: int, height: int, method: str, crop: str = "disabled") -> Image:
    """The pictures in another size: see `resize`."""
    return picture(resize(planes(image), width, height, method, crop))


def resized_mask(mask: Mask, width: int, height: int, method: str = "bilinear", crop: str = "disabled") -> Mask:
    """The masks in another size: see `resize`."""
    return Mask(resize(mask.data.unsqueeze(1), width, height, method, crop).squeeze(1))


def to_bytes(pixels: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """0 to 1 -> 0 to 255, cut off, not rounded. Raises `ValueError` where a value is not a number."""
    if not torch.isfinite(pixels).all():
        raise ValueError(
            "the picture holds values that are no numbers (NaN or infinite): the model overflowed on the way here; "
            "choose float32 or bfloat16 for it, or a lower guidance scale"
        )
    return cast("np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", (pixels * 255).clamp(0, 255).to(torch.uint8).numpy())


def to_pillow(pixels: Tensor) -> PIL.Image.Image:
    """One picture, (H, W, C) or (H, W), C of 1, 3 or 4, as Pillow has it."""
    array = to_bytes(pixels)
    return PIL.Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def from_pillow(image: PIL.Image.Image) -> Tensor:
    """(H, W, C), 0 to 1."""
    array = np.asarray(image).astype(np.float32) / 255.0
    return torch.from_numpy(array if array.ndim == 3 else array[..., None])


def same_channels(a: Image, b: Image) -> tuple[Image, Image]:
    """Both with as many channels as the one that has more: what is added is opaque."""
    channels = max(a.data.shape[-1], b.data.shape[-1])
    first, second = (F.pad(x.data, (0, channels - x.data.shape[-1]), value=1.0) for x in (a, b))
    return Image(first), Image(second)


# --- batches and pasting ---------------------------------------------------------------------------------------------


def fit_batch(x: Tensor, count: int) -> Tensor:
    """`x` with `count` items: cut off, or repeated from the start."""
    if x.shape[0] == count:
        return x
    return x.repeat(math.ceil(count / x.shape[0]), *[1] * (x.ndim - 1))[:count]


def check_batches(**batches: Tensor) -> None:
    """Raises `ValueError` unless all batches count the same, or 1."""
    counts = {name: batch.shape[0] for name, batch in batches.items()}
    if len(set(counts.values()) - {1}) > 1:
        told = " and ".join(f"{name} has {count}" for name, count in counts.items())
        raise ValueError(f"the batches do not go together: {told}; make them equal, or one of them 1")


def check_kin(a: Tensor, b: Tensor) -> None:
    """Raises `ValueError` unless two of them differ in nothing but batch, height and width."""
    if a.ndim != b.ndim or a.shape[1:-2] != b.shape[1:-2]:
        raise ValueError(
            f"{tuple(a.shape)} and {tuple(b.shape)} do not go together: they differ in channels or frames, so they are "
            "of different models or kinds"
        )


def paste(
    destination: Tensor, source: Tensor, x: int, y: int, mask: Tensor | None = None, *, resize_source: bool = False
) -> Tensor:
    """`source` laid over `destination` with its corner at (x, y), where `mask` (B, H, W) is 1; what sticks out is cut.

    The mask is resized to the source, batches are cut or repeated to the destination's. Raises `ValueError` when the
    corner lies outside, or when they differ in channels or frames.
    """
    height, width = destination.shape[-2:]
    check_kin(destination, source)
    if resize_source:
        source = resize(source, width, height, "bilinear")
    if not (-source.shape[-1] < x < width and -source.shape[-2] < y < height):
        raise ValueError(f"x {x}, y {y} lies outside of {width} × {height}: nothing would be pasted; move it inside")
    source = fit_batch(source, destination.shape[0])
    here = torch.ones_like(source[:, :1])
    if mask is not None:
        sized = resize(mask.unsqueeze(1), source.shape[-1], source.shape[-2], "bilinear")
        here = fit_batch(sized, source.shape[0])
        here = here.unsqueeze(2) if source.ndim == 5 else here
    rows, columns = slice(max(-y, 0), height - y), slice(max(-x, 0), width - x)
    source, here = source[..., rows, columns], here[..., rows, columns]
    top, left = max(y, 0), max(x, 0)
    target = (..., slice(top, top + source.shape[-2]), slice(left, left + source.shape[-1]))
    result = destination.clone()
    result[target] = here * source + (1 - here) * destination[target]
    return result


def gaussian(radius: int, sigma: float) -> Tensor:
    """A round bell over (2 radius + 1)² places, summing to 1; `sigma` is in units of the radius, not of pixels."""
    line = torch.linspace(-1, 1, 2 * radius + 1)
    bell = torch.exp(-(line[:, None] ** 2 + line[None] ** 2) / (2 * sigma**2))
    return bell / bell.sum()


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """`x` filtered channel by channel with an odd square kernel; borders are mirrored.

    Raises `ValueError` when the picture is too small to be mirrored so far.
    """
    radius, channels = kernel.shape[0] // 2, x.shape[1]
    if min(x.shape[-2:]) <= radius:
        raise ValueError(f"a radius of {radius} is too large for {x.shape[-1]} × {x.shape[-2]}; make it smaller")
    padded = F.pad(x, (radius,) * 4, "reflect")
    return F.conv2d(padded, kernel.to(x).repeat(channels, 1, 1, 1), groups=channels)


def blurred(x: Tensor, radius: int, sigma: float) -> Tensor:
    """`x` under the bell of `gaussian`, borders mirrored."""
    bell = gaussian(radius, sigma)
    if radius < SEPARATE:
        return filtered(x, bell)
    line = bell.sum(0)  # the bell is the product of two such lines
    across = filtered_along(x, line, -1)
    return filtered_along(across, line, -2)


SEPARATE = 8
"""Radius from which on two passes of a line are taken for one of a square: the same but for rounding, and far faster."""


def filtered_along(x: Tensor, line: Tensor, dim: int) -> Tensor:
    """`x` filtered along one axis (-1 or -2), borders mirrored. Raises `ValueError` as `filtered` does."""
    radius, channels = len(line) // 2, x.shape[1]
    if x.shape[dim] <= radius:
        raise ValueError(f"a radius of {radius} is too large for {x.shape[-1]} × {x.shape[-2]}; make it smaller")
    across = dim == -1
    padded = F.pad(x, (radius, radius, 0, 0) if across else (0, 0, radius, radius), "reflect")
    kernel = line.to(x).reshape((1, 1, 1, -1) if across else (1, 1, -1, 1)).repeat(channels, 1, 1, 1)
    return F.conv2d(padded, kernel, groups=channels)


def largest(x: Tensor, before: int, after: int) -> Tensor:
    """For each place the largest value from `before` places before it to `after` behind, along both last axes.

    What lies outside counts for nothing.
    """
    size = before + after + 1
    values = x.numpy()
    for axis in (-1, -2):
        # scipy's origin moves the window's middle, which is at size // 2, towards the end
        values = maximum_filter1d(values, size, axis, mode="constant", cval=-np.inf, origin=before - size // 2)
    return torch.from_numpy(values)

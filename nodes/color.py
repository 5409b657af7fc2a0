"""Colours: between colour spaces, from one picture to another, as numbers."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from graphflow.api import Image, Widget, node

from ._fields import span
from ._tensors import fit_batch


class Yuv(NamedTuple):
    Y: Image
    U: Image
    V: Image


@node("ImageRGBToYUV", category="image/batch")
def image_rgb_to_yuv(image: Image) -> Yuv:
    """Brightness and two colour differences about 0.5 (ITU-R BT.601, full range), each as a grey picture."""
    red, green, blue = image.data[..., :3].unbind(-1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    parts = (y, (blue - y) * 0.564 + 0.5, (red - y) * 0.713 + 0.5)
    return Yuv(*(Image(part[..., None].repeat(1, 1, 1, 3)) for part in parts))


@node("ImageYUVToRGB", category="image/batch")
def image_yuv_to_rgb(Y: Image, U: Image, V: Image) -> Image:
    """The picture of a brightness and two colour differences; the mean of each one's channels counts."""
    if len({part.data.shape[:3] for part in (Y, U, V)}) > 1:
        sizes = ", ".join(" × ".join(map(str, part.data.shape[:3])) for part in (Y, U, V))
        raise ValueError(f"Y, U and V must be of one size, but are {sizes} (pictures × height × width)")
    y, u, v = (part.data.mean(-1) for part in (Y, U, V))
    red, blue = y + (v - 0.5) / 0.713, y + (u - 0.5) / 0.564
    return Image(torch.stack([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], -1))


class Rgb(NamedTuple):
    rgb_int: int
    hex: str
    alpha: float


@node("ColorToRGBInt", title="Color to RGB Int", category="utils")
def color_to_rgb_int(
    color: Annotated[str, span(None, None, description="#rrggbb, or #rrggbbaa."), Widget("color")] = "#ffffff",
) -> Rgb:
    """A colour as one number, as text, and how opaque it is."""
    digits = color.strip().removeprefix("#")
    try:
        values = bytes.fromhex(digits if len(digits) > 4 else "".join(c * 2 for c in digits))
        red, green, blue = values[:3]
        alpha = values[3] / 255 if len(values) == 4 else 1.0
    except (ValueError, IndexError) as error:
        raise ValueError(f"{color!r} is no colour; write it like #ff8000") from error
    return Rgb(red << 16 | green << 8 | blue, f"#{red:02x}{green:02x}{blue:02x}", alpha)


# --- from one picture to another -------------------------------------------------------------------------------------

_TO_XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
"""Linear sRGB to CIE XYZ under D65 (ITU-R BT.709)."""
_WHITE = torch.tensor([0.95047, 1.0, 1.08883])


@node("ColorTransfer", title="Color Transfer", category="image/color")
def color_transfer(
    image_target: Image,
    image_ref: Image,
    method: Literal["reinhard_lab", "mkl_lab", "histogram"] = "reinhard_lab",
    source_stats: Annotated[
        Literal["per_frame", "uniform", "target_frame"],
        span(None, None, description="What the colours are measured on: each frame, all together, or one of them."),
    ] = "per_frame",
    target_index: Annotated[
        int, span(0, 10000, description="Which frame."), Widget(extra={"when": {"source_stats": ["target_frame"]}})
    ] = 0,
    strength: Annotated[float, span(0.0, 10.0, 0.01, "0 leaves the picture as it is.")] = 1.0,
) -> Image:
    """Pictures in the colours of others.

    `reinhard_lab` gives each channel of CIELAB the reference's mean and deviation (Reinhard et al., 2001), `mkl_lab`
    its covariance as well (Pitié and Kokaram, 2007), `histogram` each channel of RGB the reference's distribution.
    """
    target, reference = image_target.data[..., :3], image_ref.data[..., :3]
    if strength == 0:
        return image_target
    measured = {"per_frame": target, "uniform": target.flatten(0, 1)[None]}.get(source_stats)
    if measured is None:
        measured = target[min(target_index, len(target) - 1)][None]
    references = fit_batch(reference, len(target))
    sources = [measured[min(i, len(measured) - 1)] for i in range(len(target))]
    change = {"reinhard_lab": _reinhard, "mkl_lab": _mkl, "histogram": _histogram}[method]
    frames = [change(x, source, to) for x, source, to in zip(target, sources, references, strict=True)]
    mixed = (target + (torch.stack(frames) - target) * strength).clamp(0, 1)
    return Image(torch.cat([mixed, image_target.data[..., 3:]], -1))


def _reinhard(x: Tensor, source: Tensor, reference: Tensor) -> Tensor:
    lab, a, b = (to_lab(t).flatten(0, -2) for t in (x, source, reference))
    scale = b.std(0, correction=0) / a.std(0, correction=0).clamp(min=1e-6)
    return from_lab((lab - a.mean(0)) * scale + b.mean(0)).reshape(x.shape)


def _mkl(x: Tensor, source: Tensor, reference: Tensor) -> Tensor:
    """The linear map of least effort between two normal distributions."""
    lab, a, b = (to_lab(t).flatten(0, -2).double() for t in (x, source, reference))
    cov_a, cov_b = (t.T.cov(correction=0) + 1e-6 * torch.eye(3, dtype=t.dtype) for t in (a, b))
    root = _root(cov_a)
    inverse = torch.linalg.inv(root)
    change = inverse @ _root(root @ cov_b @ root) @ inverse
    return from_lab(((lab - a.mean(0)) @ change + b.mean(0)).float()).reshape(x.shape)


def _root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _histogram(x: Tensor, source: Tensor, reference: Tensor) -> Tensor:
    """Each value replaced by the reference's of the same rank, in 256 levels."""
    levels = torch.arange(256) / 255
    channels = []
    for c in range(3):
        share, wanted = (_cumulative(t[..., c]) for t in (source, reference))
        places = torch.searchsorted(wanted, share).clamp(max=255)
        channels.append(levels[places][(x[..., c] * 255).round().clamp(0, 255).long()])
    return torch.stack(channels, -1)


def _cumulative(values: Tensor) -> Tensor:
    counts = torch.bincount((values * 255).round().clamp(0, 255).long().flatten(), minlength=256)
    return counts.cumsum(0) / counts.sum()


def to_lab(rgb: Tensor) -> Tensor:
    """(..., 3) sRGB, 0 to 1, as CIELAB under D65."""
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-9) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def from_lab(lab: Tensor) -> Tensor:
    """(..., 3) CIELAB under D65 as sRGB; colours that it does not have lie outside of 0 to 1."""
    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], -1)
    xyz = torch.where(f**3 > 0.008856, f**3, (f - 16 / 116) / 7.787) * _WHITE
    linear = xyz @ torch.linalg.inv(_TO_XYZ).T
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear)

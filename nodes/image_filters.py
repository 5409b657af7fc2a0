"""Filters on pictures: blends, blur, sharpening, edges, morphology, noise, fewer colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
import PIL.Image
import torch
from scipy.ndimage import label
from torch import Tensor
from torch.nn import functional as F

from graphflow.api import Image, Seed, node

from ._fields import Fraction, said, span
from ._tensors import (
    SEPARATE,
    blurred,
    check_batches,
    filtered,
    from_pillow,
    gaussian,
    largest,
    picture,
    planes,
    resized,
    same_channels,
    to_bytes,
)

# --- blends ----------------------------------------------------------------------------------------------------------


def _soft_light(a: Tensor, b: Tensor) -> Tensor:
    """W3C Compositing and Blending, 10.1.9."""
    lifted = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.clamp(min=0).sqrt())
    return torch.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (lifted - a))


_BLENDS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "normal": lambda a, b: b,
    "multiply": lambda a, b: a * b,
    "screen": lambda a, b: 1 - (1 - a) * (1 - b),
    "overlay": lambda a, b: torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b)),
    "soft_light": _soft_light,
    "difference": lambda a, b: a - b,
}


@node("ImageBlend", category="image/postprocessing")
def image_blend(
    image1: Image,
    image2: Image,
    blend_factor: Annotated[float, span(0.0, 1.0, 0.01, "Weight of the blend; the rest is the first picture.")] = 0.5,
    blend_mode: Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"] = "normal",
) -> Image:
    """The first picture mixed with a blend of both; the second is resized to it about its middle.

    `difference` is first less second, cut off at 0.
    """
    height, width = image1.data.shape[1:3]
    if image2.data.shape[1:3] != (height, width):
        image2 = resized(image2, width, height, "bicubic", "center")
    first, second = (image.data for image in same_channels(image1, image2))
    check_batches(image1=first, image2=second)
    blend = _BLENDS[blend_mode](first, second)
    return Image((first * (1 - blend_factor) + blend * blend_factor).clamp(0, 1))


# --- blur and sharpening ---------------------------------------------------------------------------------------------


@node("ImageBlur", category="image/postprocessing")
def image_blur(
    image: Image,
    blur_radius: Annotated[int, span(1, 31, 1, "Pixels each way.")] = 1,
    sigma: Annotated[float, span(0.1, 10.0, 0.1, "Width of the bell in units of the radius.")] = 1.0,
) -> Image:
    """Blurred by a round bell; borders are mirrored."""
    return picture(blurred(planes(image), blur_radius, sigma))


@node("ImageSharpen", category="image/postprocessing")
def image_sharpen(
    image: Image,
    sharpen_radius: Annotated[int, span(1, 31, 1, "Pixels each way.")] = 1,
    sigma: Annotated[float, span(0.1, 10.0, 0.01, "Width of the bell in units of the radius.")] = 1.0,
    alpha: Annotated[float, span(0.0, 5.0, 0.01, "How strongly.")] = 1.0,
) -> Image:
    """Each pixel moved away from the blurred picture, by ten times `alpha`; cut off to 0 to 1."""
    return picture(sharpened(planes(image), sharpen_radius, sigma, alpha).clamp(0, 1))


def sharpened(x: Tensor, radius: int, sigma: float, alpha: float) -> Tensor:
    """`x` and 10 alpha times what a blur would take away from it."""
    if radius >= SEPARATE:
        return x + (x - blurred(x, radius, sigma)) * (10 * alpha)
    kernel = gaussian(radius, sigma) * (-10 * alpha)
    kernel[radius, radius] += 1 - kernel.sum()
    return filtered(x, kernel)


# --- edges and morphology --------------------------------------------------------------------------------------------


@node("Canny", category="image/preprocessors")
def canny(
    image: Image,
    low_threshold: Annotated[float, span(0.01, 0.99, 0.01, "Weaker edges are dropped.")] = 0.4,
    high_threshold: Annotated[float, span(0.01, 0.99, 0.01, "Stronger edges, and what hangs on them, stay.")] = 0.8,
) -> Image:
    """White edges on black, by Canny's method (1986): thin lines where the brightness changes most."""
    if low_threshold > high_threshold:
        raise ValueError(f"low_threshold {low_threshold} is above high_threshold {high_threshold}; exchange them")
    edges = canny_edges(planes(image)[:, :3], low_threshold, high_threshold)
    return picture(edges.repeat(1, 3, 1, 1))


def canny_edges(x: Tensor, low: float, high: float) -> Tensor:
    """(B, 1, H, W) of 0 and 1 from (B, 3, H, W): blur, Sobel gradients, thinning, hysteresis."""
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    grey = (x * weights).sum(1, keepdim=True)
    line = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / 2)
    line /= line.sum()
    smooth = filtered(grey, line[:, None] * line[None])
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    around = F.pad(smooth, (1, 1, 1, 1), "replicate")
    dx, dy = torch.split(F.conv2d(around, torch.stack([sobel, sobel.T])[:, None]), 1, 1)
    strength = (dx * dx + dy * dy + 1e-6).sqrt()
    thin = _crests(strength, torch.atan2(dy, dx))
    return _connected(thin > low, thin > high).float()


_AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""Rows and columns to the eight neighbours, by angle in steps of 45 degrees, downwards."""


def _shifted(x: Tensor, rows: int, columns: int) -> Tensor:
    """Each place's neighbour so far away; 0 outside."""
    height, width = x.shape[-2:]
    return F.pad(x, (1, 1, 1, 1))[..., 1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]


def _crests(strength: Tensor, angle: Tensor) -> Tensor:
    """The strength where it is above that of both neighbours along the gradient, else 0."""
    direction = (angle / (torch.pi / 4)).round().long() % 8
    neighbours = torch.cat([_shifted(strength, *step) for step in _AROUND], 1)
    ahead, behind = neighbours.gather(1, direction), neighbours.gather(1, (direction + 4) % 8)
    return strength * ((strength > ahead) & (strength > behind))


def _connected(weak: Tensor, strong: Tensor) -> Tensor:
    """The strong, and the weak ones that hang together with them, also corner to corner."""
    kept = []
    for edges, seeds in zip((weak | strong)[:, 0].numpy(), strong[:, 0].numpy(), strict=True):
        labels, count = label(edges, structure=np.ones((3, 3)))
        wanted = np.zeros(count + 1, bool)
        wanted[np.unique(labels[seeds])] = True
        wanted[0] = False  # the background
        kept.append(torch.from_numpy(wanted[labels]))
    return torch.stack(kept)[:, None]


@node("Morphology", title="ImageMorphology", category="image/postprocessing")
def morphology(
    image: Image,
    operation: Literal["erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"] = "erode",
    kernel_size: Annotated[int, span(3, 999, 1, "Pixels each way of the square.")] = 3,
) -> Image:
    """Bright parts shrunk or grown by a square, channel by channel, and what that makes of them."""
    x = planes(image)
    return picture(_MORPHOLOGY[operation](x, kernel_size))


def dilated(x: Tensor, size: int) -> Tensor:
    """The largest value in the square about each place, whose middle is the pixel before it where `size` is even."""
    return largest(x, (size - 1) // 2, size // 2)


def eroded(x: Tensor, size: int) -> Tensor:
    """The smallest value in the square about each place, whose middle is the pixel behind it where `size` is even."""
    return -largest(-x, size // 2, (size - 1) // 2)


_MORPHOLOGY: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "erode": eroded,
    "dilate": dilated,
    "open": lambda x, size: dilated(eroded(x, size), size),
    "close": lambda x, size: eroded(dilated(x, size), size),
    "gradient": lambda x, size: dilated(x, size) - eroded(x, size),
    "top_hat": lambda x, size: x - dilated(eroded(x, size), size),
    "bottom_hat": lambda x, size: eroded(dilated(x, size), size) - x,
}


# --- noise and colours -----------------------------------------------------------------------------------------------


@node("ImageAddNoise", category="image")
def image_add_noise(image: Image, seed: Seed = 0, strength: Fraction = 0.5) -> Image:
    """Normal noise of the seed added, times the strength; cut off to 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(image.data.shape, generator=generator)
    return Image((image.data + strength * noise).clamp(0, 1))


Dither = Annotated[
    Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"],
    said("How colours in between are shown: not, by spreading the error, or by a pattern of that size."),
]


@node("ImageQuantize", category="image/postprocessing")
def image_quantize(
    image: Image, colors: Annotated[int, span(1, 256, 1, "At most.")] = 256, dither: Dither = "none"
) -> Image:
    """Pictures of at most so many colours, each with a palette of its own; ordered dithering by Bayer's matrix."""
    frames = [PIL.Image.fromarray(to_bytes(one[..., :3])) for one in image.data]
    return Image(torch.stack([from_pillow(_quantized(frame, colors, dither).convert("RGB")) for frame in frames]))


def _quantized(frame: PIL.Image.Image, colors: int, dither: Dither) -> PIL.Image.Image:
    palette = frame.quantize(colors)
    if dither == "floyd-steinberg":
        return frame.quantize(colors, palette=palette, dither=PIL.Image.Dither.FLOYDSTEINBERG)
    if dither.startswith("bayer"):
        frame = _bayered(frame, int(dither.removeprefix("bayer-")), len(palette.getpalette() or ()) // 3)
    return frame.quantize(colors, palette=palette, dither=PIL.Image.Dither.NONE)


def _bayered(frame: PIL.Image.Image, order: int, colors: int) -> PIL.Image.Image:
    """With the ordered threshold added, spread over about two steps between the palette's colours."""
    pixels = np.asarray(frame).astype(np.float32)
    matrix = np.zeros((1, 1))
    while len(matrix) < order:
        cells = 4 * len(matrix) ** 2
        matrix = (
            np.block([[cells * matrix - 1.5, cells * matrix + 0.5], [cells * matrix + 1.5, cells * matrix - 0.5]])
            / cells
        )
    spread = (2 * 256 / colors * matrix + 0.5).astype(np.float32)
    repeats = [-(-side // order) for side in pixels.shape[:2]]
    added = np.tile(spread, repeats)[: pixels.shape[0], : pixels.shape[1], None]
    return PIL.Image.fromarray((pixels + added).clip(0, 255).astype(np.uint8))

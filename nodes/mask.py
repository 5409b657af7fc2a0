"""Masks: made, converted, combined, grown; and pictures with alpha, put together by Porter and Duff's rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor

from graphflow.api import Image, Mask, Widget, node

from ._fields import MAX_SIDE, Fraction, Offset, Side, said, span
from ._tensors import check_batches, fit_batch, largest, resized, resized_mask
from .image import ImageAndMask

# --- made and converted ----------------------------------------------------------------------------------------------


@node("SolidMask", category="mask")
def solid_mask(value: Fraction = 1.0, width: Side = 512, height: Side = 512) -> Mask:
    """A mask with one value all over."""
    return Mask(torch.full((1, height, width), value))


@node("InvertMask", category="mask")
def invert_mask(mask: Mask) -> Mask:
    """1 less each value."""
    return Mask(1.0 - mask.data)


@node("MaskToImage", title="Convert Mask to Image", category="mask")
def mask_to_image(mask: Mask) -> Image:
    """Grey pictures: 1 becomes white."""
    return Image(mask.data[..., None].repeat(1, 1, 1, 3))


@node("ImageToMask", title="Convert Image to Mask", category="mask")
def image_to_mask(image: Image, channel: Literal["red", "green", "blue", "alpha"] = "red") -> Mask:
    """One channel as it is; alpha is not inverted here."""
    index = ("red", "green", "blue", "alpha").index(channel)
    if index >= image.data.shape[-1]:
        raise ValueError("the picture has no alpha channel; choose red, green or blue, or use Load Image's own mask")
    return Mask(image.data[..., index])


@node("ImageColorToMask", category="mask")
def image_color_to_mask(
    image: Image, color: Annotated[int, span(0, 0xFFFFFF, 1, "0xRRGGBB as one number."), Widget("color")] = 0
) -> Mask:
    """1 where the picture has exactly this colour, in 8 bits a channel."""
    wanted = torch.tensor([color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF])
    found = (image.data[..., :3].clamp(0, 1) * 255).round().int()
    return Mask((found == wanted).all(-1).float())


@node("ThresholdMask", category="mask")
def threshold_mask(mask: Mask, value: Fraction = 0.5) -> Mask:
    """1 where the mask is above the value, else 0."""
    return Mask((mask.data > value).float())


# --- shapes ----------------------------------------------------------------------------------------------------------


@node("CropMask", category="mask")
def crop_mask(mask: Mask, x: Offset = 0, y: Offset = 0, width: Side = 512, height: Side = 512) -> Mask:
    """The part whose corner is at (x, y); smaller where the mask ends sooner."""
    _check_inside(mask.data, x, y)
    return Mask(mask.data[:, y : y + height, x : x + width])


@node("GrowMask", category="mask")
def grow_mask(
    mask: Mask,
    expand: Annotated[int, span(-MAX_SIDE, MAX_SIDE, 1, "Pixels; negative shrinks.")] = 0,
    tapered_corners: Annotated[bool, span(None, None, description="Grow diamonds, not squares.")] = True,
) -> Mask:
    """Masks grown (or shrunk) by so many pixels on all sides; values between 0 and 1 keep their shape."""
    sign = 1 if expand > 0 else -1
    x = mask.data * sign
    if not tapered_corners:
        return Mask(largest(x, abs(expand), abs(expand)) * sign)
    for _ in range(min(abs(expand), sum(x.shape[1:]))):  # after that many nothing changes any more
        x = _largest_beside(x)
    return Mask(x * sign)


def _largest_beside(x: Tensor) -> Tensor:
    """For each place of (B, H, W) the largest of its value and those of the four beside it."""
    grown = x.clone()
    for here, there in ((grown[:, 1:], x[:, :-1]), (grown[:, :-1], x[:, 1:])):
        torch.maximum(here, there, out=here)
    for here, there in ((grown[:, :, 1:], x[:, :, :-1]), (grown[:, :, :-1], x[:, :, 1:])):
        torch.maximum(here, there, out=here)
    return grown


Ramp = Annotated[int, span(0, MAX_SIDE, 1, "Pixels over which this side fades.")]


@node("FeatherMask", category="mask")
def feather_mask(mask: Mask, left: Ramp = 0, top: Ramp = 0, right: Ramp = 0, bottom: Ramp = 0) -> Mask:
    """Masks that fade out towards their borders, over so many pixels on each side.

    The right and bottom ramps begin one pixel late and reach the opposite border, as ComfyUI's do, so that the same
    workflow gives the same pixels.
    """
    x = mask.data.clone()
    height, width = x.shape[1:]
    for i in range(min(left, width)):
        x[:, :, i] *= (i + 1) / min(left, width)
    for i in range(min(right, width)):
        x[:, :, -i] *= (i + 1) / min(right, width)
    for i in range(min(top, height)):
        x[:, i, :] *= (i + 1) / min(top, height)
    for i in range(min(bottom, height)):
        x[:, -i, :] *= (i + 1) / min(bottom, height)
    return Mask(x)


# --- together --------------------------------------------------------------------------------------------------------


@node("MaskComposite", category="mask")
def mask_composite(
    destination: Mask,
    source: Mask,
    x: Offset = 0,
    y: Offset = 0,
    operation: Annotated[
        Literal["multiply", "add", "subtract", "and", "or", "xor"], said("What becomes of both where they meet.")
    ] = "multiply",
) -> Mask:
    """One mask combined with another, its corner at (x, y); what sticks out is cut off. and, or, xor round first."""
    check_batches(destination=destination.data, source=source.data)
    _check_inside(destination.data, x, y)
    count = max(destination.data.shape[0], source.data.shape[0])
    result = fit_batch(destination.data, count).clone()
    below = result[:, y : y + source.data.shape[1], x : x + source.data.shape[2]]
    above = source.data[:, : below.shape[1], : below.shape[2]]
    below.copy_(_OPERATIONS[operation](below, above))
    return Mask(result.clamp(0, 1))


_OPERATIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "and": lambda a, b: a.round().bool() & b.round().bool(),
    "or": lambda a, b: a.round().bool() | b.round().bool(),
    "xor": lambda a, b: a.round().bool() ^ b.round().bool(),
}


def _check_inside(x: Tensor, left: int, top: int) -> None:
    height, width = x.shape[1:]
    if left >= width or top >= height:
        raise ValueError(f"x {left}, y {top} lies outside of the mask, which is {width} × {height}; move it inside")


@node("JoinImageWithAlpha", title="Join Image with Alpha", category="mask/compositing")
def join_image_with_alpha(image: Image, alpha: Mask) -> Image:
    """Pictures that are transparent where the mask is 1; the mask is resized, the shorter batch repeated."""
    height, width = image.data.shape[1:3]
    count = max(image.data.shape[0], alpha.data.shape[0])
    opaque = fit_batch(1.0 - resized_mask(alpha, width, height).data, count)
    return Image(torch.cat([fit_batch(image.data[..., :3], count), opaque[..., None]], -1))


@node("SplitImageWithAlpha", title="Split Image with Alpha", category="mask/compositing")
def split_image_with_alpha(image: Image) -> ImageAndMask:
    """Colours, and a mask that is 1 where the pictures are transparent; without alpha it is 0."""
    alpha = image.data[..., 3] if image.data.shape[-1] > 3 else torch.ones(image.data.shape[:3])
    return ImageAndMask(Image(image.data[..., :3]), Mask(1.0 - alpha))


Mode = Literal[
    "ADD", "CLEAR", "DARKEN", "DST", "DST_ATOP", "DST_IN", "DST_OUT", "DST_OVER", "LIGHTEN", "MULTIPLY", "OVERLAY",
    "SCREEN", "SRC", "SRC_ATOP", "SRC_IN", "SRC_OUT", "SRC_OVER", "XOR",
]  # fmt: skip
_Rule = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
_Overlap = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _weighted(source: Callable[[Tensor, Tensor], Tensor], destination: Callable[[Tensor, Tensor], Tensor]) -> _Rule:
    """Porter and Duff's own twelve: a share of the source plus a share of the destination, in colour and alpha."""

    def rule(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
        of_s, of_d = source(sa, da), destination(sa, da)
        return s * of_s + d * of_d, sa * of_s + da * of_d

    return rule


def _blended(overlap: _Overlap) -> _Rule:
    """Where both are, a blend; where one is alone, that one; alpha as that of both together."""

    def rule(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
        return s * (1 - da) + d * (1 - sa) + overlap(s, sa, d, da), sa + da - sa * da

    return rule


def _overlay(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> Tensor:
    return torch.where(2 * d < da, 2 * s * d, sa * da - 2 * (da - s) * (sa - d))


_RULES: Mapping[str, _Rule] = {
    "ADD": lambda s, sa, d, da: ((s + d).clamp(0, 1), (sa + da).clamp(0, 1)),
    "CLEAR": lambda s, sa, d, da: (torch.zeros_like(s), torch.zeros_like(sa)),
    "DARKEN": _blended(lambda s, sa, d, da: torch.minimum(s, d)),
    "DST": lambda s, sa, d, da: (d, da),
    "DST_ATOP": _weighted(lambda sa, da: 1 - da, lambda sa, da: sa),
    "DST_IN": lambda s, sa, d, da: (d * sa, da * sa),
    "DST_OUT": lambda s, sa, d, da: (d * (1 - sa), da * (1 - sa)),
    "DST_OVER": _weighted(lambda sa, da: 1 - da, lambda sa, da: torch.ones_like(da)),
    "LIGHTEN": _blended(lambda s, sa, d, da: torch.maximum(s, d)),
    "MULTIPLY": lambda s, sa, d, da: (s * d, sa * da),
    "OVERLAY": lambda s, sa, d, da: (_overlay(s, sa, d, da), sa + da - sa * da),
    "SCREEN": lambda s, sa, d, da: (s + d - s * d, sa + da - sa * da),
    "SRC": lambda s, sa, d, da: (s, sa),
    "SRC_ATOP": _weighted(lambda sa, da: da, lambda sa, da: 1 - sa),
    "SRC_IN": lambda s, sa, d, da: (s * da, sa * da),
    "SRC_OUT": lambda s, sa, d, da: (s * (1 - da), sa * (1 - da)),
    "SRC_OVER": _weighted(lambda sa, da: torch.ones_like(sa), lambda sa, da: 1 - sa),
    "XOR": _weighted(lambda sa, da: 1 - da, lambda sa, da: 1 - sa),
}
"""On premultiplied colours: (source, its alpha, destination, its alpha) -> (colour, alpha)."""


@node("PorterDuffImageComposite", title="Porter-Duff Image Composite", category="mask/compositing")
def porter_duff_image_composite(
    source: Image,
    source_alpha: Mask,
    destination: Image,
    destination_alpha: Mask,
    mode: Annotated[Mode, said("What becomes of source and destination where they meet.")] = "DST",
) -> ImageAndMask:
    """Two pictures with masks (1 is transparent) by one of the rules of Porter and Duff (1984) and their successors.

    The source is resized to the destination; as many pictures come out as the shortest batch has.
    """
    height, width = destination.data.shape[1:3]
    sources = resized(source, width, height, "bicubic", "center") if _differ(source, destination) else source
    inputs = (
        sources.data[..., :3],
        _opaque(source_alpha, width, height),
        destination.data[..., :3],
        _opaque(destination_alpha, width, height),
    )
    count = min(len(x) for x in inputs)
    s, sa, d, da = (x[:count] for x in inputs)
    color, alpha = _RULES[mode](s * sa, sa, d * da, da)
    color = torch.where(alpha > 1e-5, color / alpha, torch.zeros_like(color)).clamp(0, 1)
    return ImageAndMask(Image(color), Mask(1.0 - alpha[..., 0]))


def _differ(a: Image, b: Image) -> bool:
    return a.data.shape[1:3] != b.data.shape[1:3]


def _opaque(mask: Mask, width: int, height: int) -> Tensor:
    """(B, H, W, 1) alpha of a mask in a picture's size."""
    fits = mask.data.shape[1:] == (height, width)
    return 1.0 - (mask if fits else resized_mask(mask, width, height, "bicubic", "center")).data[..., None]

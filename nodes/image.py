"""Pictures: made, resized, cut, turned, put together."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import torch
from torch.nn import functional as F

from graphflow.api import Image, Mask, Widget, node

from ._fields import MAX_SIDE, BatchSize, Crop, Factor, Flip, ImageResize, Offset, Rotation, Side, said, span
from ._tensors import paste, picture, planes, resized, resized_mask, same_channels

Scaled = Annotated[int, span(0, MAX_SIDE, 1, "In pixels; 0 follows from the other side by the picture's proportions.")]


class ImageAndMask(NamedTuple):
    IMAGE: Image
    MASK: Mask


class Size(NamedTuple):
    width: int
    height: int
    batch_size: int


@node("EmptyImage", category="image")
def empty_image(
    width: Side = 512,
    height: Side = 512,
    batch_size: BatchSize = 1,
    color: Annotated[int, span(0, 0xFFFFFF, 1, "0xRRGGBB as one number."), Widget("color")] = 0,
) -> Image:
    """Pictures of one colour."""
    rgb = torch.tensor([color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF]) / 255
    return Image(rgb.expand(batch_size, height, width, 3).contiguous())


@node("GetImageSize", category="image")
def get_image_size(image: Image) -> Size:
    """Width and height in pixels, and how many pictures there are."""
    count, height, width = image.data.shape[:3]
    return Size(width, height, count)


@node("ImageInvert", title="Invert Image", category="image")
def image_invert(image: Image) -> Image:
    """The negative: 1 less each value, also of alpha."""
    return Image(1.0 - image.data)


# --- size ------------------------------------------------------------------------------------------------------------


@node("ImageScale", title="Upscale Image", category="image/upscaling")
def image_scale(
    image: Image,
    upscale_method: ImageResize = "nearest-exact",
    width: Scaled = 512,
    height: Scaled = 512,
    crop: Crop = "disabled",
) -> Image:
    """Pictures in a given size, larger or smaller.

    With width and height 0 they stay as they are. `crop` "center" keeps their proportions by cutting off the sides.
    """
    if width == 0 and height == 0:
        return image
    return resized(image, *_both(_sides(image), width, height), method=upscale_method, crop=crop)


@node("ImageScaleBy", title="Upscale Image By", category="image/upscaling")
def image_scale_by(
    image: Image,
    upscale_method: ImageResize = "nearest-exact",
    scale_by: Factor = 1.0,
) -> Image:
    """Pictures larger or smaller by a factor."""
    height, width = image.data.shape[1:3]
    return resized(image, round(width * scale_by), round(height * scale_by), upscale_method)


@node("ImageScaleToTotalPixels", category="image/upscaling")
def image_scale_to_total_pixels(
    image: Image,
    upscale_method: ImageResize = "nearest-exact",
    megapixels: Annotated[float, span(0.01, 16.0, 0.01, "One megapixel is 1024 × 1024.")] = 1.0,
    resolution_steps: Annotated[
        int, span(1, 256, description="Sides become multiples of this."), Widget(advanced=True)
    ] = 1,
) -> Image:
    """Pictures with about so many pixels in all, in their own proportions: what a model was trained on."""
    height, width = image.data.shape[1:3]
    factor = math.sqrt(int(megapixels * 1024 * 1024) / (width * height))
    width, height = (round(side * factor / resolution_steps) * resolution_steps for side in (width, height))
    return resized(image, width, height, upscale_method)


@node("ImageScaleToMaxDimension", category="image/upscaling")
def image_scale_to_max_dimension(
    image: Image,
    upscale_method: Literal["area", "lanczos", "bilinear", "nearest-exact", "bicubic"] = "area",
    largest_size: Offset = 512,
) -> Image:
    """Pictures whose longer side has so many pixels, in their own proportions."""
    sides = _sides(image)
    return resized(image, *_by_side(sides, largest_size, max(sides)), method=upscale_method)


Edge = Annotated[int, span(1, MAX_SIDE, 1, "In pixels.")]


@node("ResizeImagesByLongerEdge", title="Resize Images by Longer Edge", category="image/upscaling", outputs=("images",))
def resize_images_by_longer_edge(images: Image, longer_edge: Edge = 1024) -> Image:
    """Pictures whose longer side has so many pixels, in their own proportions, by Lanczos' filter."""
    sides = _sides(images)
    return resized(images, *_by_side(sides, longer_edge, max(sides)), method="lanczos")


@node(
    "ResizeImagesByShorterEdge", title="Resize Images by Shorter Edge", category="image/upscaling", outputs=("images",)
)
def resize_images_by_shorter_edge(images: Image, shorter_edge: Edge = 512) -> Image:
    """Pictures whose shorter side has so many pixels, in their own proportions, by Lanczos' filter."""
    sides = _sides(images)
    return resized(images, *_by_side(sides, shorter_edge, min(sides)), method="lanczos")


Kind = Literal[
    "scale dimensions",
    "scale by multiplier",
    "scale longer dimension",
    "scale shorter dimension",
    "scale width",
    "scale height",
    "scale total pixels",
    "match size",
    "scale to multiple",
]


def _when(*kinds: str) -> Widget:
    """A field that matters for some kinds of resizing only."""
    return Widget(extra={"when": {"resize_type": list(kinds)}})


@node("ResizeImageMaskNode", title="Resize Image/Mask", category="transform", outputs=("resized",))
def resize_image_mask(
    input: Image | Mask,
    resize_type: Kind = "scale dimensions",
    width: Annotated[Scaled, _when("scale dimensions", "scale width")] = 512,
    height: Annotated[Scaled, _when("scale dimensions", "scale height")] = 512,
    multiplier: Annotated[Factor, _when("scale by multiplier")] = 1.0,
    longer_size: Annotated[Offset, _when("scale longer dimension")] = 512,
    shorter_size: Annotated[Offset, _when("scale shorter dimension")] = 512,
    megapixels: Annotated[float, span(0.01, 16.0, 0.01), _when("scale total pixels")] = 1.0,
    match: Annotated[Image | Mask | None, _when("match size")] = None,
    multiple: Annotated[int, span(1, MAX_SIDE, 1), _when("scale to multiple")] = 8,
    crop: Annotated[Crop, _when("scale dimensions", "match size")] = "center",
    scale_method: Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"] = "area",
) -> Image | Mask:
    """Pictures or masks in another size: by sides, by a factor, by one side, by pixels in all, or as large as others.

    Kinds that name one side keep the proportions. `scale to multiple` cuts both sides down to the nearest multiple.
    """
    old = _sides(input)
    match resize_type:
        case "scale dimensions":
            width, height = _both(old, width, height)
        case "scale by multiplier":
            width, height = round(old[0] * multiplier), round(old[1] * multiplier)
        case "scale longer dimension":
            width, height = _by_side(old, longer_size, max(old))
        case "scale shorter dimension":
            width, height = _by_side(old, shorter_size, min(old))
        case "scale width":
            width, height = _by_side(old, width, old[0])
        case "scale height":
            width, height = _by_side(old, height, old[1])
        case "scale total pixels":
            factor = math.sqrt(int(megapixels * 1024 * 1024) / (old[0] * old[1]))
            width, height = round(old[0] * factor), round(old[1] * factor)
        case "match size":
            if match is None:
                raise ValueError("resize_type is 'match size', but nothing is linked to match; link a picture or mask")
            width, height = _sides(match)
        case "scale to multiple":
            width, height = old[0] // multiple * multiple, old[1] // multiple * multiple
    cut = crop if resize_type in ("scale dimensions", "match size") else "disabled"
    if isinstance(input, Mask):
        return resized_mask(input, width, height, scale_method, cut)
    return resized(input, width, height, scale_method, cut)


def _sides(x: Image | Mask) -> tuple[int, int]:
    return x.data.shape[2], x.data.shape[1]


def _both(old: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Both sides; one of 0 follows from the other, and both of 0 stay."""
    if width == 0 and height == 0:
        return old
    return width or max(1, round(old[0] * height / old[1])), height or max(1, round(old[1] * width / old[0]))


def _by_side(old: tuple[int, int], wanted: int, side: int) -> tuple[int, int]:
    """Both sides in proportion when one of them becomes as long as wanted."""
    return round(old[0] * wanted / side), round(old[1] * wanted / side)


@node("ResizeAndPadImage", category="image/transform")
def resize_and_pad_image(
    image: Image,
    target_width: Side = 512,
    target_height: Side = 512,
    padding_color: Literal["white", "black"] = "white",
    interpolation: Literal["area", "bicubic", "nearest-exact", "bilinear", "lanczos"] = "area",
) -> Image:
    """Pictures as large as fit, in their own proportions, in the middle of a canvas of the given size."""
    count, height, width, channels = image.data.shape
    factor = min(target_width / width, target_height / height)
    inner = resized(image, int(width * factor), int(height * factor), interpolation).data
    canvas = torch.full((count, target_height, target_width, channels), float(padding_color == "white"))
    top, left = (target_height - inner.shape[1]) // 2, (target_width - inner.shape[2]) // 2
    canvas[:, top : top + inner.shape[1], left : left + inner.shape[2]] = inner
    return Image(canvas)


KONTEXT_SIZES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024),
    (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688), (1568, 672),
)  # fmt: skip
"""Width and height of the pictures that Flux Kontext was trained on."""


@node("FluxKontextImageScale", category="advanced/conditioning/flux")
def flux_kontext_image_scale(image: Image) -> Image:
    """Pictures in the one of Flux Kontext's sizes that is nearest in proportions, about their middle."""
    height, width = image.data.shape[1:3]
    _, *sides = min((abs(width / height - w / h), w, h) for w, h in KONTEXT_SIZES)
    return resized(image, int(sides[0]), int(sides[1]), "lanczos", "center")


# --- parts -----------------------------------------------------------------------------------------------------------


@node("ImageCrop", category="image/transform")
def image_crop(image: Image, width: Side = 512, height: Side = 512, x: Offset = 0, y: Offset = 0) -> Image:
    """The part of each picture whose corner is at (x, y); smaller where the picture ends sooner.

    A corner outside is moved to the last column or row.
    """
    x, y = min(x, image.data.shape[2] - 1), min(y, image.data.shape[1] - 1)
    return Image(image.data[:, y : y + height, x : x + width])


Margin = Annotated[int, span(0, MAX_SIDE, 8, "Pixels that are added on this side.")]


@node("ImagePadForOutpaint", title="Pad Image for Outpainting", category="image")
def image_pad_for_outpaint(
    image: Image,
    left: Margin = 0,
    top: Margin = 0,
    right: Margin = 0,
    bottom: Margin = 0,
    feathering: Annotated[int, span(0, MAX_SIDE, 1, "Pixels over which the mask fades into the picture.")] = 40,
) -> ImageAndMask:
    """Pictures with grey margins, and the mask that says where to paint: 1 in the margins, fading inwards.

    Nothing fades when twice the feathering does not fit into the picture.
    """
    padded = F.pad(planes(image), (left, right, top, bottom), value=0.5)
    inside = _fading(image.data.shape[1], image.data.shape[2], (left, top, right, bottom), feathering)
    mask = F.pad(inside, (left, right, top, bottom), value=1.0)
    return ImageAndMask(picture(padded), Mask(mask[None]))


def _fading(height: int, width: int, margins: tuple[int, int, int, int], feathering: int) -> torch.Tensor:
    """(H, W): the square of how near, in units of the feathering, the nearest side with a margin is; 0 beyond."""
    if feathering == 0 or feathering * 2 >= min(height, width):
        return torch.zeros(height, width)
    left, top, right, bottom = margins
    far = torch.full((height, width), float(max(height, width)))
    rows, columns = torch.arange(height).float()[:, None], torch.arange(width).float()[None]
    sides = [(top, rows), (bottom, height - rows), (left, columns), (right, width - columns)]
    nearest = far
    for margin, distance in sides:
        nearest = torch.minimum(nearest, distance.expand_as(far)) if margin else nearest
    return ((feathering - nearest) / feathering).clamp(min=0) ** 2


@node("ImageFlip", category="image/transform")
def image_flip(image: Image, flip_method: Flip = "x-axis: vertically") -> Image:
    """Mirrored about the x axis (upside down) or the y axis (left and right exchanged)."""
    return Image(image.data.flip(1 if flip_method.startswith("x") else 2))


@node("ImageRotate", category="image/transform")
def image_rotate(image: Image, rotation: Rotation = "none") -> Image:
    """Turned clockwise by quarters."""
    return Image(image.data.rot90(quarters(rotation), (2, 1)).contiguous())


def quarters(rotation: Rotation) -> int:
    """Quarter turns of a choice."""
    return {"none": 0, "90 degrees": 1, "180 degrees": 2, "270 degrees": 3}[rotation]


# --- together --------------------------------------------------------------------------------------------------------


@node("ImageCompositeMasked", category="image")
def image_composite_masked(
    destination: Image,
    source: Image,
    x: Offset = 0,
    y: Offset = 0,
    resize_source: Annotated[bool, said("Make it as large as the destination first.")] = False,
    mask: Mask | None = None,
) -> Image:
    """One picture laid over another, its corner at (x, y), where the mask is 1; what sticks out is cut off."""
    below, above = same_channels(destination, source)
    where = None if mask is None else mask.data
    return picture(paste(planes(below), planes(above), x, y, where, resize_source=resize_source))


COLORS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}


@node("ImageStitch", category="image/transform")
def image_stitch(
    image1: Image,
    direction: Literal["right", "down", "left", "up"] = "right",
    match_image_size: Annotated[bool, span(None, None, description="Resize the second to fit the first.")] = True,
    spacing_width: Annotated[int, span(0, 1024, 2, "Pixels between them, made even.")] = 0,
    spacing_color: Literal["white", "black", "red", "green", "blue"] = "white",
    image2: Image | None = None,
) -> Image:
    """Two pictures side by side or one above the other; a shorter batch goes on with its last picture.

    Without `match_image_size` the smaller one is centred in the spacing's colour.
    """
    if image2 is None:
        return image1
    across = direction in ("left", "right")
    first, second = same_channels(*_as_many(image1, image2))
    if match_image_size:
        height, width = first.data.shape[1:3]
        proportions = second.data.shape[2] / second.data.shape[1]
        sides = (int(height * proportions), height) if across else (width, int(width / proportions))
        second = resized(second, *sides, "lanczos")
    color = torch.tensor([*COLORS[spacing_color], 1.0][: first.data.shape[-1]])
    side = max(x.data.shape[1 if across else 2] for x in (first, second))
    parts = [_centred(x.data, side, color, 1 if across else 2) for x in (first, second)]
    if direction in ("left", "up"):
        parts.reverse()
    if spacing_width:
        gap = spacing_width + spacing_width % 2
        shape = (parts[0].shape[0], side, gap) if across else (parts[0].shape[0], gap, side)
        parts.insert(1, color.expand(*shape, -1))
    return Image(torch.cat(parts, dim=2 if across else 1))


def _as_many(a: Image, b: Image) -> tuple[Image, Image]:
    count = max(len(a.data), len(b.data))
    first, second = (torch.cat([x.data, x.data[-1:].expand(count - len(x.data), -1, -1, -1)]) for x in (a, b))
    return Image(first), Image(second)


def _centred(x: torch.Tensor, side: int, color: torch.Tensor, dim: int) -> torch.Tensor:
    """(B, H, W, C) with `side` pixels along `dim`, what is missing filled with the colour on both ends."""
    missing = side - x.shape[dim]
    if missing == 0:
        return x
    shape = list(x.shape)
    ends = []
    for size in (missing // 2, missing - missing // 2):
        shape[dim] = size
        ends.append(color.expand(shape))
    return torch.cat([ends[0], x, ends[1]], dim=dim)

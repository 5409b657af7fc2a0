"""Pictures in and out: uploaded files to tensors, tensors to finished files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

import av
import numpy as np
import PIL.Image
import torch
from torch import Tensor

from graphflow.api import Artifact, File, Folder, Image, Mask, Widget, node, pictures

from ._fields import said, span
from ._tensors import from_pillow, to_bytes, to_pillow
from .image import ImageAndMask

Upload = Annotated[File, Folder("input", media="image")]
Prefix = Annotated[str, span(None, None, description="Beginning of the file's name; may hold folders.")]
NO_MASK = (64, 64)
"""Height and width of the empty mask that a picture without alpha comes with."""


class Saved(NamedTuple):
    images: Image
    files: list[Artifact]


class ShownMask(NamedTuple):
    mask: Mask
    files: list[Artifact]


# --- loading ---------------------------------------------------------------------------------------------------------


@node("LoadImage", title="Load Image", category="image")
def load_image(image: Upload) -> ImageAndMask:
    """An uploaded picture, upright, and the mask of its transparency: 1 where it is transparent.

    An animation's frames form a batch. A picture without alpha comes with an empty mask of 64 × 64.
    """
    frames = pictures.read(image.path)
    colors = torch.stack([from_pillow(frame.convert("RGB")) for frame in frames])
    if not any(frame.has_transparency_data for frame in frames):
        return ImageAndMask(Image(colors), Mask(torch.zeros(len(frames), *NO_MASK)))
    alphas = torch.stack([from_pillow(frame.convert("RGBA"))[..., 3] for frame in frames])
    return ImageAndMask(Image(colors), Mask(1.0 - alphas))


@node("LoadImageMask", title="Load Image (as Mask)", category="mask")
def load_image_mask(
    image: Upload, channel: Annotated[Literal["alpha", "red", "green", "blue"], said("Alpha is inverted.")] = "alpha"
) -> Mask:
    """One channel of an uploaded picture as a mask; alpha is inverted, so that 1 is where it is transparent."""
    pixels = from_pillow(pictures.read(image.path)[0].convert("RGBA"))
    values = pixels[..., ("red", "green", "blue", "alpha").index(channel)]
    return Mask((1.0 - values if channel == "alpha" else values)[None])


@node("LoadImageOutput", title="Load Image (from Outputs)", category="image", experimental=True)
def load_image_output(image: Annotated[File, Folder("output", media="image")]) -> ImageAndMask:
    """A picture that an earlier job made, as Load Image gives it."""
    return load_image(image)


# --- saving ----------------------------------------------------------------------------------------------------------


@node("SaveImage", title="Save Image", category="image", output_node=True)
def save_image(images: Image, filename_prefix: Prefix = "ComfyUI") -> Saved:
    """Each picture as a PNG file that carries the workflow which made it. The pictures are passed on."""
    return Saved(images, list(_pngs(images.data, filename_prefix, compress_level=4)))


@node("PreviewImage", title="Preview Image", category="image", output_node=True)
def preview_image(images: Image) -> Saved:
    """Shows the pictures without keeping them, and passes them on."""
    return Saved(images, list(_pngs(images.data, "preview", compress_level=1, temporary=True)))


@node("MaskPreview", title="Preview Mask", category="mask", output_node=True)
def mask_preview(mask: Mask) -> ShownMask:
    """Shows the masks, 1 as white, without keeping them, and passes them on."""
    grey = mask.data[..., None].expand(-1, -1, -1, 3)
    return ShownMask(mask, list(_pngs(grey, "mask", compress_level=1, temporary=True)))


@node("ImageCompare", title="Image Compare", category="image", output_node=True)
def image_compare(image_a: Image | None = None, image_b: Image | None = None) -> list[Artifact]:
    """Shows two pictures, one against the other, without keeping them."""
    shown = [("before", image_a), ("after", image_b)]
    return [
        png
        for side, image in shown
        if image is not None
        for png in _pngs(image.data, side, compress_level=1, temporary=True, compare=side)
    ]


@node("SaveImageAdvanced", title="Save Image (Advanced)", category="image", output_node=True)
def save_image_advanced(
    images: Image,
    filename_prefix: Prefix = "ComfyUI",
    format: Annotated[Literal["png", "exr", "webp", "jpeg"], said("Of the files.")] = "png",
    bit_depth: Annotated[
        Literal["8-bit", "16-bit", "32-bit float"],
        span(None, None, description="PNG has 8 or 16 bits a channel, EXR 32; the others 8."),
        Widget(extra={"when": {"format": ["png", "exr"]}}),
    ] = "8-bit",
    input_color_space: Annotated[
        Literal["sRGB", "HDR", "linear"],
        span(None, None, description="What the values mean; EXR files hold linear light."),
        Widget(extra={"when": {"format": ["png", "exr"]}}),
    ] = "sRGB",
    quality: Annotated[
        int,
        span(1, 100, 1, "100 is lossless for WebP."),
        Widget(extra={"when": {"format": ["webp", "jpeg"]}}),
    ] = 90,
) -> Saved:
    """Each picture as PNG of 8 or 16 bits, EXR, WebP or JPEG; all but EXR carry the workflow which made them."""
    if format == "exr":
        files = _exrs(images.data, filename_prefix, input_color_space)
    elif format == "png":
        files = _pngs(images.data, filename_prefix, compress_level=4, sixteen=bit_depth == "16-bit")
    else:
        files = _lossy(images.data, filename_prefix, format, quality)
    return Saved(images, list(files))


def _pngs(
    images: Tensor, prefix: str, *, compress_level: int, sixteen: bool = False, **details: Any
) -> Iterator[Artifact]:
    for i, one in enumerate(images):
        name = file_name(prefix, one, i)
        data = png16(one, compress_level) if sixteen else encoded(to_pillow(one), "PNG", compress_level=compress_level)
        yield Artifact("image/png", data, name, {"width": one.shape[1], "height": one.shape[0], **details})


def _lossy(images: Tensor, prefix: str, format: Literal["webp", "jpeg"], quality: int) -> Iterator[Artifact]:
    for i, one in enumerate(images):
        frame = to_pillow(one)
        if format == "jpeg":
            data = encoded(frame.convert("RGB"), "JPEG", quality=quality, subsampling=0 if quality > 90 else 2)
        else:
            data = encoded(frame, "WEBP", quality=quality, lossless=quality == 100, method=4)
        size = {"width": frame.width, "height": frame.height}
        yield Artifact(f"image/{format}", data, file_name(prefix, one, i), size)


def _exrs(images: Tensor, prefix: str, space: Literal["sRGB", "HDR", "linear"]) -> Iterator[Artifact]:
    for i, one in enumerate(images):
        to_bytes(one[:1, :1])  # the same refusal of what is no number
        size = {"width": one.shape[1], "height": one.shape[0]}
        yield Artifact("image/x-exr", exr(linear_light(one[..., :3], space)), file_name(prefix, one, i), size)


def linear_light(x: Tensor, space: Literal["sRGB", "HDR", "linear"]) -> Tensor:
    """Values proportional to light: the inverse of sRGB (IEC 61966-2-1) or of HLG (ITU-R BT.2100), or as they are."""
    if space == "sRGB":
        return torch.where(x <= 0.04045, x / 12.92, ((x.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    if space == "HDR":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return torch.where(x <= 0.5, x**2 / 3, (torch.exp((x - c) / a) + b) / 12)
    return x


def exr(pixels: Tensor) -> bytes:
    """An OpenEXR file of (H, W, 3) in 32-bit floats."""
    codec = av.CodecContext.create("exr", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width, codec.pix_fmt = pixels.shape[0], pixels.shape[1], "gbrpf32le"
    codec.time_base = Fraction(1, 1)
    codec.options = {"compression": "zip16", "format": "float"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.numpy()), format="gbrpf32le")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def file_name(prefix: str, pixels: Tensor, index: int) -> str:
    """The prefix with `%width%`, `%height%` and `%batch_num%` filled in."""
    known = {"%width%": pixels.shape[1], "%height%": pixels.shape[0], "%batch_num%": index}
    for mark, value in known.items():
        prefix = prefix.replace(mark, str(value))
    return prefix


def encoded(frame: PIL.Image.Image, format: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    out = io.BytesIO()
    frame.save(out, format, **options)
    return out.getvalue()


def png16(pixels: Tensor, compress_level: int = 4) -> bytes:
    """A PNG of 16 bits a channel of (H, W, 3 or 4), which Pillow cannot write: rounded, big-endian, filter "up"."""
    to_bytes(pixels[:1, :1])  # the same refusal of what is no number
    height, width, channels = pixels.shape
    values = (pixels.clamp(0, 1) * 65535).round().to(torch.int32).numpy().astype(">u2")
    rows = values.reshape(height, width * channels).view(np.uint8)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    lines = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", width, height, 16, 6 if channels == 4 else 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), compress_level)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

"""Pictures as the frames of one animated file."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from graphflow.api import Artifact, Image, node

from ._fields import span
from ._tensors import to_pillow
from .image_io import Prefix, encoded, file_name

Fps = Annotated[float, span(0.01, 1000.0, 0.01, "Frames a second.")]


@node("SaveAnimatedWEBP", category="image/animation", output_node=True)
def save_animated_webp(
    images: Image,
    filename_prefix: Prefix = "ComfyUI",
    fps: Fps = 6.0,
    lossless: bool = True,
    quality: Annotated[int, span(0, 100, description="Of a lossless file: effort.")] = 80,
    method: Literal["default", "fastest", "slowest"] = "default",
) -> Artifact:
    """A batch of pictures as one animated WebP file, with the workflow which made it."""
    effort = {"default": 4, "fastest": 0, "slowest": 6}[method]
    options = {"lossless": lossless, "quality": quality, "method": effort}
    return _animation(images.data, "image/webp", filename_prefix, fps, options)


@node("SaveAnimatedPNG", category="image/animation", output_node=True)
def save_animated_png(
    images: Image,
    filename_prefix: Prefix = "ComfyUI",
    fps: Fps = 6.0,
    compress_level: Annotated[int, span(0, 9, description="Higher is smaller and slower.")] = 4,
) -> Artifact:
    """A batch of pictures as one animated PNG file, with the workflow which made it."""
    return _animation(images.data, "image/png", filename_prefix, fps, {"compress_level": compress_level})


def _animation(images: torch.Tensor, media_type: str, prefix: str, fps: float, options: dict[str, int]) -> Artifact:
    first, *rest = [to_pillow(one) for one in images]
    format = media_type.partition("/")[2].upper()
    data = encoded(first, format, save_all=True, append_images=rest, duration=int(1000 / fps), loop=0, **options)
    details = {"width": first.width, "height": first.height, "frames": len(images), "fps": fps}
    return Artifact(media_type, data, file_name(prefix, images[0], 0), details)

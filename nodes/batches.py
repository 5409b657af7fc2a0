"""Batches and lists: many pictures in one value, and many values one after the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Annotated, Any

import torch

from graphflow.api import Grows, Image, Latent, Mask, node

from ._fields import BatchSize, span
from ._tensors import check_kin, resize, resized, resized_mask, same_channels

MANY = 50
"""Inputs of a node that batches."""


def _names(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}{i}" for i in range(MANY))


@node("ImageBatch", title="Batch Images", category="image")
def image_batch(image1: Image, image2: Image) -> Image:
    """Two batches as one; the second is resized to the first about its middle."""
    return batched([image1, image2])


@node("BatchImagesNode", title="Batch Images", category="image")
def batch_images(**images: Annotated[Image, Grows(_names("image"))]) -> Image:
    """Several batches as one; all are resized to the first about their middle."""
    return batched(list(images.values()))


def batched(images: list[Image]) -> Image:
    """All as one batch, in the first one's size; opaque alpha is added where others have it."""
    height, width = images[0].data.shape[1:3]
    widest = max(images, key=lambda image: image.data.shape[-1])
    images = [same_channels(image, widest)[0] for image in images]
    fits = [image.data.shape[1:3] == (height, width) for image in images]
    sized = [i if fit else resized(i, width, height, "bilinear", "center") for i, fit in zip(images, fits, strict=True)]
    return Image(torch.cat([image.data for image in sized]))


@node("BatchMasksNode", title="Batch Masks", category="mask")
def batch_masks(**masks: Annotated[Mask, Grows(_names("mask"))]) -> Mask:
    """Several batches as one; all are resized to the first about their middle."""
    first, *rest = masks.values()
    height, width = first.data.shape[1:]
    sized = [m if m.data.shape[1:] == (height, width) else _sized(m, width, height) for m in rest]
    return Mask(torch.cat([mask.data for mask in (first, *sized)]))


def _sized(mask: Mask, width: int, height: int) -> Mask:
    return resized_mask(mask, width, height, "bilinear", "center")


@node("BatchLatentsNode", title="Batch Latents", category="latent")
def batch_latents(**latents: Annotated[Latent, Grows(_names("latent"))]) -> Latent:
    """Several batches as one; all are resized to the first about their middle, which gives the noise mask, too."""
    first, *rest = latents.values()
    for latent in rest:
        check_kin(first.data, latent.data)
    rows, columns = first.data.shape[-2:]
    same = [x.data if x.data.shape[-2:] == (rows, columns) else _like(x.data, columns, rows) for x in rest]
    index = tuple(i for x in (first, *rest) for i in x.batch_index or range(x.data.shape[0]))
    return replace(first, data=torch.cat([first.data, *same]), batch_index=index)


def _like(x: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
    return resize(x, columns, rows, "bilinear", "center")


@node("ImageFromBatch", category="image/batch")
def image_from_batch(
    image: Image,
    batch_index: Annotated[int, span(-4096, 4095, description="Place of the first; negative counts from the end.")] = 0,
    length: BatchSize = 1,
) -> Image:
    """Some pictures of a batch, from the last one where there are fewer."""
    count = image.data.shape[0]
    start = max(0, min(batch_index if batch_index >= 0 else count + batch_index, count - 1))
    return Image(image.data[start : start + length])


@node("RepeatImageBatch", category="image/batch")
def repeat_image_batch(image: Image, amount: BatchSize = 1) -> Image:
    """A batch several times over."""
    return Image(image.data.repeat(amount, 1, 1, 1))


@node("RebatchImages", title="Rebatch Images", category="image/batch", outputs=("IMAGE",))
def rebatch_images(images: list[Image], batch_size: BatchSize = 1) -> list[Image]:
    """A list of batches of `batch_size`, from a list of batches of any size; the last may be smaller."""
    sizes = {tuple(image.data.shape[1:]) for image in images}
    if len(sizes) > 1:
        told = ", ".join(f"{width} × {height} × {channels}" for height, width, channels in sorted(sizes))
        raise ValueError(f"pictures of different sizes cannot be one batch: {told}; resize them first")
    return [Image(part) for part in torch.split(torch.cat([image.data for image in images]), batch_size)]


# --- lists -----------------------------------------------------------------------------------------------------------


@node("CreateList", title="Create List", category="utils", outputs=("list",))
def create_list(**inputs: Annotated[list[Any], Grows(_names("input"))]) -> list[Any]:
    """The inputs as a list, in order; a node that takes one of them runs once for each."""
    return list(chain.from_iterable(inputs.values()))


@node("GetItemFromList", title="Get Item From List", category="utils", outputs=("item",))
def get_item_from_list(
    list: list[Any], index: Annotated[int, span(None, None, description="From 0; negative counts from the end.")] = 0
) -> Any:
    """One item of a list."""
    if not -len(list) <= index < len(list):
        raise ValueError(f"index is {index}, but the list has {len(list)} items; choose 0 to {len(list) - 1}")
    return list[index]

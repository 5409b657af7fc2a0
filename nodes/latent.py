"""Latents: made empty, resized, cut, turned, mixed, batched, kept in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Annotated, Literal, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from graphflow.api import Artifact, File, Folder, Latent, Mask, UnsupportedFile, node

from ._fields import (
    MAX_SIDE,
    BatchSize,
    Crop,
    Factor,
    Flip,
    LatentOffset,
    LatentResize,
    LatentSide,
    Rotation,
    said,
    span,
)
from ._tensors import check_batches, check_kin, fit_batch, paste, resize
from .image import quarters

Blend = Annotated[float, span(0.0, 1.0, 0.01, "Weight of the first.")]


@node("EmptyLatentImage", title="Empty Latent Image", category="latent")
def empty_latent_image(width: LatentSide = 512, height: LatentSide = 512, batch_size: BatchSize = 1) -> Latent:
    """Zeros, to paint on; fits any image model: the sampler gives them the channels that the model has."""
    return Latent(torch.zeros(batch_size, 4, height // 8, width // 8))


@node("SetLatentNoiseMask", title="Set Latent Noise Mask", category="latent/inpaint")
def set_latent_noise_mask(samples: Latent, mask: Mask) -> Latent:
    """Paint where the mask is 1 alone; the rest is kept."""
    return replace(samples, noise_mask=mask.data.unsqueeze(1))


# --- size and parts --------------------------------------------------------------------------------------------------


@node("LatentUpscale", title="Upscale Latent", category="latent")
def latent_upscale(
    samples: Latent,
    upscale_method: LatentResize = "nearest-exact",
    width: Annotated[int, span(0, MAX_SIDE, 8, "In pixels; 0 follows from the other side.")] = 512,
    height: Annotated[int, span(0, MAX_SIDE, 8, "In pixels; 0 follows from the other side.")] = 512,
    crop: Crop = "disabled",
) -> Latent:
    """A latent for a picture of another size, at least 64 pixels a side. With width and height 0 it stays as it is."""
    if width == 0 and height == 0:
        return samples
    rows, columns = samples.data.shape[-2:]
    width, height = (max(64, side) if side else 0 for side in (width, height))
    width = width or max(64, round(columns * height / rows))
    height = height or max(64, round(rows * width / columns))
    return samples.with_data(resize(samples.data, width // 8, height // 8, upscale_method, crop))


@node("LatentUpscaleBy", title="Upscale Latent By", category="latent")
def latent_upscale_by(
    samples: Latent,
    upscale_method: LatentResize = "nearest-exact",
    scale_by: Factor = 1.5,
) -> Latent:
    """A latent for a picture larger or smaller by a factor."""
    rows, columns = samples.data.shape[-2:]
    return samples.with_data(resize(samples.data, round(columns * scale_by), round(rows * scale_by), upscale_method))


@node("LatentCrop", title="Crop Latent", category="latent/transform")
def latent_crop(
    samples: Latent,
    width: Annotated[int, span(64, MAX_SIDE, 8, "In pixels.")] = 512,
    height: Annotated[int, span(64, MAX_SIDE, 8, "In pixels.")] = 512,
    x: LatentOffset = 0,
    y: LatentOffset = 0,
) -> Latent:
    """The part whose corner is at (x, y), in pixels of the picture; a corner outside is moved in by 64 pixels."""
    rows, columns = samples.data.shape[-2:]
    left, top = max(0, min(x // 8, columns - 8)), max(0, min(y // 8, rows - 8))
    return samples.with_data(samples.data[..., top : top + height // 8, left : left + width // 8])


@node("LatentFlip", title="Flip Latent", category="latent/transform")
def latent_flip(samples: Latent, flip_method: Flip = "x-axis: vertically") -> Latent:
    """Mirrored about the x axis (upside down) or the y axis (left and right exchanged)."""
    return samples.with_data(samples.data.flip(-2 if flip_method.startswith("x") else -1))


@node("LatentRotate", title="Rotate Latent", category="latent/transform")
def latent_rotate(samples: Latent, rotation: Rotation = "none") -> Latent:
    """Turned clockwise by quarters."""
    return samples.with_data(samples.data.rot90(quarters(rotation), (-1, -2)).contiguous())


AXES = "x: columns, y: rows, t: frames of a video."
Axis = Annotated[Literal["x", "y", "t"], said(AXES)]


@node("LatentConcat", category="latent/advanced")
def latent_concat(
    samples1: Latent, samples2: Latent, dim: Annotated[Literal["x", "-x", "y", "-y", "t", "-t"], said(AXES)] = "x"
) -> Latent:
    """The second behind the first along an axis, or before it with `-`; the second's batch is fitted to the first's."""
    first, second = samples1.data, fit_batch(samples2.data, samples1.data.shape[0])
    along = _axis(first, dim.removeprefix("-"))
    sizes = [[s for d, s in enumerate(x.shape) if d != x.ndim + along] for x in (first, second)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{tuple(first.shape)} and {tuple(second.shape)} differ in more than {dim}; resize one first")
    return samples1.with_data(torch.cat([second, first] if dim.startswith("-") else [first, second], along))


@node("LatentCut", category="latent/advanced")
def latent_cut(
    samples: Latent,
    dim: Axis = "x",
    index: Annotated[int, span(-MAX_SIDE, MAX_SIDE, 1, "In latent units; negative counts from the end.")] = 0,
    amount: Annotated[int, span(1, MAX_SIDE, 1, "In latent units.")] = 1,
) -> Latent:
    """`amount` columns (x), rows (y) or frames (t) from `index` on; as many as there are."""
    along = _axis(samples.data, dim)
    size = samples.data.shape[along]
    start = min(index, size - 1) if index >= 0 else max(0, size + index)
    return samples.with_data(samples.data.narrow(along, start, min(amount, size - start)))


@node("LatentCutToBatch", category="latent/advanced", experimental=True)
def latent_cut_to_batch(
    samples: Latent,
    dim: Annotated[Literal["t", "x", "y"], said(AXES)] = "t",
    slice_size: Annotated[int, span(1, MAX_SIDE, 1, "In latent units.")] = 1,
) -> Latent:
    """Slices along an axis as a batch; what does not fill a slice is left out."""
    along = _axis(samples.data, dim)
    size = min(slice_size, samples.data.shape[along])
    whole = samples.data.shape[along] // size * size
    parts = torch.split(samples.data.narrow(along, 0, whole), size, along)
    return Latent(torch.stack(parts, 1).flatten(0, 1))


def _axis(x: Tensor, name: str) -> int:
    if name == "t" and x.ndim < 5:
        raise ValueError("t is the axis of frames, but this is a latent of pictures; choose x or y")
    return {"x": -1, "y": -2, "t": -3}[name]


@node("TrimVideoLatent", category="latent/video")
def trim_video_latent(
    samples: Latent, trim_amount: Annotated[int, span(0, 99999, description="In latent frames.")] = 0
) -> Latent:
    """Without the first `trim_amount` latent frames."""
    frames = samples.data.shape[_axis(samples.data, "t")]
    if trim_amount >= frames:
        raise ValueError(f"trim_amount is {trim_amount}, but there are only {frames} latent frames; keep at least one")
    return samples.with_data(samples.data[:, :, trim_amount:])


# --- mixing ----------------------------------------------------------------------------------------------------------


@node("LatentComposite", title="Latent Composite", category="latent")
def latent_composite(
    samples_to: Latent, samples_from: Latent, x: LatentOffset = 0, y: LatentOffset = 0, feather: LatentOffset = 0
) -> Latent:
    """One latent laid over another, its corner at (x, y) in pixels; borders inside the lower one fade over `feather`."""
    below, above, left, top = samples_to.data, samples_from.data, x // 8, y // 8
    check_batches(samples_to=below, samples_from=above)
    rows, columns = above.shape[-2:]
    mask = torch.ones(1, rows, columns)
    for i in range(min(feather // 8, rows, columns)):
        weight = (i + 1) / (feather // 8)
        mask[:, i, :] *= weight if top else 1
        mask[:, rows - 1 - i, :] *= weight if top + rows < below.shape[-2] else 1
        mask[:, :, i] *= weight if left else 1
        mask[:, :, columns - 1 - i] *= weight if left + columns < below.shape[-1] else 1
    return samples_to.with_data(paste(below, above, left, top, mask))


@node("LatentCompositeMasked", category="latent")
def latent_composite_masked(
    destination: Latent,
    source: Latent,
    x: LatentOffset = 0,
    y: LatentOffset = 0,
    resize_source: Annotated[bool, said("Make it as large as the destination first.")] = False,
    mask: Mask | None = None,
) -> Latent:
    """One latent laid over another, its corner at (x, y) in pixels, where the mask is 1; what sticks out is cut off."""
    where = None if mask is None else mask.data
    pasted = paste(destination.data, source.data, x // 8, y // 8, where, resize_source=resize_source)
    return destination.with_data(pasted)


@node("LatentBlend", title="Latent Blend", category="latent")
def latent_blend(samples1: Latent, samples2: Latent, blend_factor: Blend = 0.5) -> Latent:
    """blend_factor · first + (1 - blend_factor) · second; the second is resized to the first."""
    second = _like(samples1.data, samples2.data, "bicubic")
    return samples1.with_data(samples1.data * blend_factor + second * (1 - blend_factor))


@node("LatentAdd", category="latent/advanced")
def latent_add(samples1: Latent, samples2: Latent) -> Latent:
    """The sum; the second is fitted to the first."""
    return samples1.with_data(samples1.data + _like(samples1.data, samples2.data))


@node("LatentSubtract", category="latent/advanced")
def latent_subtract(samples1: Latent, samples2: Latent) -> Latent:
    """The difference; the second is fitted to the first."""
    return samples1.with_data(samples1.data - _like(samples1.data, samples2.data))


@node("LatentMultiply", category="latent/advanced")
def latent_multiply(samples: Latent, multiplier: Annotated[float, span(-10.0, 10.0, 0.01)] = 1.0) -> Latent:
    """Each value times a number."""
    return samples.with_data(samples.data * multiplier)


@node("LatentInterpolate", category="latent/advanced")
def latent_interpolate(samples1: Latent, samples2: Latent, ratio: Blend = 1.0) -> Latent:
    """Directions of the channel vectors and their lengths mixed apart, so that a mixture keeps its contrast."""
    a, b = samples1.data, _like(samples1.data, samples2.data)
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    mixed = torch.nan_to_num(a / length_a) * ratio + torch.nan_to_num(b / length_b) * (1 - ratio)
    direction = torch.nan_to_num(mixed / mixed.norm(dim=1, keepdim=True))
    return samples1.with_data(direction * (length_a * ratio + length_b * (1 - ratio)))


def _like(target: Tensor, x: Tensor, method: str = "bilinear") -> Tensor:
    """`x` with the size and batch of the target."""
    return fit_batch(_sized_like(target, x, method), target.shape[0])


def _sized_like(target: Tensor, x: Tensor, method: str = "bilinear") -> Tensor:
    """`x` with the size of the target. Raises `ValueError` when their channels or frames differ."""
    check_kin(target, x)
    if x.shape[1:] != target.shape[1:]:
        return resize(x, target.shape[-1], target.shape[-2], method, "center")
    return x


# --- batches ---------------------------------------------------------------------------------------------------------


@node("LatentFromBatch", title="Latent From Batch", category="latent/batch")
def latent_from_batch(
    samples: Latent,
    batch_index: Annotated[int, span(0, 63, description="Place of the first, from 0.")] = 0,
    length: Annotated[int, span(1, 64, description="How many.")] = 1,
) -> Latent:
    """Some of a batch, with the noise that they would have had in it."""
    count = samples.data.shape[0]
    start = min(batch_index, count - 1)
    part = slice(start, start + min(length, count - start))
    index = samples.batch_index or tuple(range(count))
    mask = samples.noise_mask
    if mask is not None and mask.shape[0] > 1:
        mask = fit_batch(mask, count)[part]
    return Latent(samples.data[part], mask, index[part])


@node("RepeatLatentBatch", title="Repeat Latent Batch", category="latent/batch")
def repeat_latent_batch(
    samples: Latent, amount: Annotated[int, span(1, 64, description="How many times.")] = 1
) -> Latent:
    """The batch several times over; each repetition gets noise of its own."""
    data, mask, index = samples.data, samples.noise_mask, samples.batch_index
    if mask is not None and mask.shape[0] > 1:
        mask = fit_batch(mask, data.shape[0]).repeat(amount, 1, 1, 1)
    if index is not None:
        stride = max(index) - min(index) + 1
        index = tuple(one + stride * i for i in range(amount) for one in index)
    return Latent(data.repeat(amount, *[1] * (data.ndim - 1)), mask, index)


@node("LatentBatch", category="latent/batch")
def latent_batch(samples1: Latent, samples2: Latent) -> Latent:
    """Two batches as one; the second is resized to the first, whose noise mask is kept."""
    second = _sized_like(samples1.data, samples2.data)
    index = tuple(i for x in (samples1, samples2) for i in x.batch_index or range(x.data.shape[0]))
    return replace(samples1, data=torch.cat([samples1.data, second]), batch_index=index)


@node("LatentBatchSeedBehavior", category="latent/advanced")
def latent_batch_seed_behavior(samples: Latent, seed_behavior: Literal["random", "fixed"] = "fixed") -> Latent:
    """`fixed`: every sample gets the noise of the first; `random`: each its own, as in a new batch."""
    if seed_behavior == "random":
        return replace(samples, batch_index=None)
    first = samples.batch_index[0] if samples.batch_index else 0
    return replace(samples, batch_index=(first,) * samples.data.shape[0])


class _Sample(NamedTuple):
    """One of a batch."""

    data: Tensor
    mask: Tensor | None
    place: int
    """In the batch that its noise is drawn for."""


@node("RebatchLatents", title="Rebatch Latents", category="latent/batch", outputs=("LATENT",))
def rebatch_latents(latents: list[Latent], batch_size: BatchSize = 1) -> list[Latent]:
    """Batches joined and split to `batch_size`, with masks and noise as before; unlike sizes are not joined."""
    runs = groupby(_samples(latents), key=lambda sample: sample.data.shape)
    chunks = [list(run) for _, run in runs]
    return [_joined(run[at : at + batch_size]) for run in chunks for at in range(0, len(run), batch_size)]


def _samples(latents: list[Latent]) -> Iterator[_Sample]:
    before = 0
    for latent in latents:
        count = latent.data.shape[0]
        index = latent.batch_index or tuple(range(before, before + count))
        mask = None if latent.noise_mask is None else fit_batch(latent.noise_mask, count)
        for i in range(count):
            yield _Sample(latent.data[i], None if mask is None else mask[i], index[i])
        before += count


def _joined(samples: list[_Sample]) -> Latent:
    data = torch.stack([sample.data for sample in samples])
    index = tuple(sample.place for sample in samples)
    if all(sample.mask is None for sample in samples):
        return Latent(data, None, index)
    height, width = data.shape[-2] * 8, data.shape[-1] * 8
    masks = [torch.ones(1, 1, 1) if sample.mask is None else sample.mask for sample in samples]
    return Latent(data, torch.cat([resize(mask[None], width, height, "bilinear") for mask in masks]), index)


# --- files -----------------------------------------------------------------------------------------------------------

_VERSION = "latent_format_version_0"
"""Name of the empty tensor in a file whose latent is unscaled."""


@node("SaveLatent", category="latent", output_node=True, experimental=True)
def save_latent(
    samples: Latent,
    filename_prefix: Annotated[str, said("Beginning of the file's name; may hold folders.")] = "latents/ComfyUI",
) -> Artifact:
    """A latent as a file that Load Latent reads, here and in ComfyUI."""
    data = save({"latent_tensor": samples.data.contiguous(), _VERSION: torch.zeros(0)})
    details: Mapping[str, object] = {"shape": list(samples.data.shape)}
    return Artifact("application/x-latent", data, filename_prefix, details)


@node("LoadLatent", category="latent", experimental=True)
def load_latent(latent: Annotated[File, Folder("input", media="latent")]) -> Latent:
    """A latent from a file; one of the oldest kind, which holds scaled values, is brought to scale."""
    try:
        tensors = load(latent.path.read_bytes())
        data = tensors["latent_tensor"].float()
    except Exception as error:  # safetensors has an error class of its own; KeyError: another kind of file
        raise UnsupportedFile(f"{latent.name} is no file of a saved latent ({error}); choose a .latent file") from error
    return Latent(data if _VERSION in tensors else data / 0.18215)

"""Recipes as safetensors files in the layout of the family's authors: their bytes, made one tensor at a time."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from graphflow.detect import detect, layout_of
from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, join, ldm_vae, same
from graphflow.models.encoders import stored, text_streams
from graphflow.models.loading import network_shapes
from graphflow.models.merged import stream_of
from graphflow.models.merging import Stream
from graphflow.models.residency import residency
from graphflow.models.sources import Source, source
from graphflow.models.tensors import Tensors
from graphflow.models.training_marks import marks, metadata
from graphflow.models.writing import Written, pieces
from graphflow.node import File, Progress
from graphflow.values import Clip, Model, Vae

Pieces = Generator[bytes | Progress, None, None]
"""A file's bytes in order, and how far it is."""

ENCODERS = {
    ("sd15", "clip_l"): "cond_stage_model.transformer.",
    ("sd2", "clip_h"): "cond_stage_model.model.",
    ("sdxl", "clip_l"): "conditioner.embedders.0.transformer.",
    ("sdxl", "clip_g"): "conditioner.embedders.1.model.",
    ("sdxl_refiner", "clip_g"): "conditioner.embedders.0.model.",
}
"""Where a family's checkpoints keep an encoder; others are under `text_encoders.NAME.transformer.`."""

NAMES = {
    "t5": "t5xxl", "umt5": "umt5xxl", "gemma2": "gemma2_2b", "qwen3": "qwen3_4b", "qwen25_vl": "qwen25_7b",
    "qwen25": "qwen25_7b",
}  # fmt: skip
"""What checkpoints and LoRAs call an encoder, where it is not our name."""


def encoder_prefix(family: str, name: str) -> str:
    """What stands before an encoder's tensors in a checkpoint."""
    return ENCODERS.get((family, name), f"text_encoders.{NAMES.get(name, name)}.transformer.")


def saved_network(model: Model) -> Pieces:
    """The network with its patches, names as in `diffusion_models`."""
    with (
        source(model.weights.files[0]) as src,
        stream_of(model.weights, model.patches, network_shapes(model.weights)) as stream,
    ):
        dtype = _kept(model.weights.files[0])
        yield from pieces([*stream.written("", dtype), *marks(model, src)], metadata(model, src))


def saved_vae(vae: Vae) -> Pieces:
    """The autoencoder alone."""
    with _autoencoder(vae) as src:
        yield from pieces(_vae(src, ""), {})


def saved_checkpoint(model: Model, clip: Clip, vae: Vae) -> Pieces:
    """Network, text encoders with their patches, and autoencoder in one file."""
    shapes = network_shapes(model.weights)
    with (
        source(model.weights.files[0]) as src,
        stream_of(model.weights, model.patches, shapes) as stream,
        _autoencoder(vae) as autoencoder,
        text_streams(clip.weights, clip.patches) as encoders,
    ):
        parts = [
            *stream.written("model.diffusion_model.", _kept(model.weights.files[0])),
            *_vae(autoencoder, "first_stage_model."),
            *marks(model, src),
        ]
        for name, encoder in encoders.items():
            parts += encoder.written(encoder_prefix(clip.weights.family, name), _kept(clip.weights.files[0]))
        yield from pieces(parts, metadata(model, src))


def saved_encoders(clip: Clip) -> list[tuple[str, Callable[[], Pieces]]]:
    """Each text encoder with its patches as a file of its own, by the name that its file usually has."""
    with text_streams(clip.weights, clip.patches) as encoders:
        return [(NAMES.get(name, name), functools.partial(_saved_encoder, clip, name)) for name in encoders]


def _saved_encoder(clip: Clip, name: str) -> Pieces:
    with text_streams(clip.weights, clip.patches) as encoders:
        parts = alone(encoders[name], name).written("", _kept(clip.weights.files[0]))
        yield from pieces(parts, {"format": "pt"})


def alone(encoder: Stream, name: str) -> Stream:
    """The same weights, named as an encoder's own file names them."""
    return replace(encoder, original=stored("", name))


def extracted(model: Model | None, clip: Clip | None, rank: int | None, *, biases: bool) -> Pieces:
    """A network and text encoders that are differences, as a LoRA of that rank; in full for None."""
    parts: list[Written] = []
    with contextlib.ExitStack() as stack:
        if model is not None:
            shapes = network_shapes(model.weights)
            parts += difference(
                stack.enter_context(stream_of(model.weights, model.patches, shapes)),
                "diffusion_model.",
                rank,
                biases=biases,
            )
        if clip is not None:
            for name, encoder in stack.enter_context(text_streams(clip.weights, clip.patches)).items():
                prefix = f"text_encoders.{NAMES.get(name, name)}.transformer."
                parts += difference(alone(encoder, name), prefix, rank, biases=biases)
        yield from pieces(parts, {"modelspec.title": "extracted LoRA"})


def difference(stream: Stream, prefix: str, rank: int | None, *, biases: bool) -> Iterator[Written]:
    """One difference, weight by weight, in half precision; each is made when it is written."""
    for entry in stream.original(stream.shapes):
        name = prefix + entry.theirs.removesuffix(".weight").removesuffix(".bias")
        shape = stream.shape(entry)
        whole = functools.partial(stream.joined, entry)
        if entry.theirs.endswith(".bias") or len(stream.shapes[entry.ours[0]]) < 2:
            if biases:
                end = "diff_b" if entry.theirs.endswith(".bias") else "diff"
                yield _half(f"{name}.{end}", shape, whole)
        elif rank is None:
            yield _half(f"{name}.diff", shape, whole)
        else:
            factors = _Factors(whole, rank)
            least, more = min(rank, shape[0], math.prod(shape[1:])), (1,) * (len(shape) - 2)
            yield _half(f"{name}.lora_up.weight", (shape[0], least, *more), factors.up)
            yield _half(f"{name}.lora_down.weight", (least, *shape[1:]), factors.down)


def _half(name: str, shape: tuple[int, ...], make: Callable[[], Tensor]) -> Written:
    return Written(name, shape, torch.float16, lambda: make().half())


class _Factors:
    """A difference in two factors, taken apart once: the first is written, the second is kept until then."""

    def __init__(self, whole: Callable[[], Tensor], rank: int) -> None:
        self._whole, self._rank = whole, rank
        self._down: Tensor | None = None

    def up(self) -> Tensor:
        """(rows, r, 1 ...)."""
        up, self._down = low_rank(self._whole(), self._rank)
        return up

    def down(self) -> Tensor:
        """(r, columns ...), asked for after `up`."""
        down, self._down = self._down, None
        assert down is not None
        return down


def low_rank(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(rows, r, 1 ...) and (r, columns ...), whose product is nearest to the weight (Eckart and Young)."""
    flat = weight.flatten(1)
    rank = min(rank, *flat.shape)
    u, s, v = torch.linalg.svd(flat, full_matrices=False)
    up, down = u[:, :rank] * s[:rank], v[:rank]
    more = weight.ndim - 2
    return up.reshape(*up.shape, *([1] * more)), down.reshape(rank, *weight.shape[1:])


@contextlib.contextmanager
def _autoencoder(vae: Vae) -> Iterator[Source]:
    """Its file, open. Raises `UnsupportedFile` for one without weights, and for a file that was replaced."""
    if not vae.weights.files:
        raise UnsupportedFile("pixel_space has no weights to save")
    residency().check(vae.weights.files)
    with source(vae.weights.files[0]) as src:
        yield src


def _vae(src: Source, prefix: str) -> Iterator[Written]:
    part, header, tensors = src.part("vae")
    ours = src.header.format == "diffusers" or layout_of(src.header, part) == "diffusers"
    # autoencoders without an older layout keep the names they have
    layout = ldm_vae if ours and part.family == "kl" else same
    for entry in layout(header.tensors):
        yield Written.like(prefix + entry.theirs, functools.partial(_joined, tensors, entry))


def _joined(tensors: Tensors, entry: Entry) -> Tensor:
    return join(entry, {name: tensors.get(name) for name in entry.ours})


def _kept(file: File) -> torch.dtype:
    """The dtype that the file's weights have, float16 for those in eight bits or GGUF."""
    return {"F32": torch.float32, "BF16": torch.bfloat16}.get(detect(file.path).dtype, torch.float16)

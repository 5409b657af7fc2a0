"""Recipes as safetensors files in the layout of the family's authors, one tensor at a time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from graphflow.detect import detect, layout_of
from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, join, ldm_vae
from graphflow.models.encoders import stored, text_streams
from graphflow.models.loading import network_shapes
from graphflow.models.merged import stream_of
from graphflow.models.merging import Stream, serialised
from graphflow.models.sources import Source, source
from graphflow.models.training_marks import Parts, marks, metadata
from graphflow.node import File
from graphflow.values import Clip, Model, Vae

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


def saved_network(model: Model) -> bytes:
    """The network with its patches, names as in `diffusion_models`."""
    with (
        source(model.weights.files[0]) as src,
        stream_of(model.weights, model.patches, network_shapes(model.weights)) as stream,
    ):
        dtype = _kept(model.weights.files[0])
        return serialised([*stream.written("", lambda _: dtype), *marks(model, src)], metadata(model, src))


def saved_vae(vae: Vae) -> bytes:
    """The autoencoder alone."""
    with source(_only(vae.weights.files)) as src:
        return serialised(_vae(src, ""), {})


def saved_checkpoint(model: Model, clip: Clip, vae: Vae) -> bytes:
    """Network, text encoders with their patches, and autoencoder in one file."""
    shapes = network_shapes(model.weights)
    dtype = _kept(model.weights.files[0])
    with (
        source(model.weights.files[0]) as src,
        stream_of(model.weights, model.patches, shapes) as stream,
        source(_only(vae.weights.files)) as autoencoder,
        text_streams(clip.weights, clip.patches) as encoders,
    ):
        parts: Parts = [
            *stream.written("model.diffusion_model.", lambda _: dtype),
            *_vae(autoencoder, "first_stage_model."),
            *marks(model, src),
        ]
        for name, encoder in encoders.items():
            dtype = _kept(clip.weights.files[0])
            parts += encoder.written(encoder_prefix(clip.weights.family, name), lambda _, dtype=dtype: dtype)  # type: ignore[misc]
        return serialised(parts, metadata(model, src))


def saved_encoders(clip: Clip) -> list[tuple[str, bytes]]:
    """Each text encoder with its patches as a file of its own, by the name that its file usually has."""
    dtype = _kept(clip.weights.files[0])
    with text_streams(clip.weights, clip.patches) as encoders:
        return [
            (
                NAMES.get(name, name),
                serialised(list(alone(encoder, name).written("", lambda _: dtype)), {"format": "pt"}),
            )
            for name, encoder in encoders.items()
        ]


def alone(encoder: Stream, name: str) -> Stream:
    """The same weights, named as an encoder's own file names them."""
    return replace(encoder, original=stored("", name))


def extracted(model: Model | None, clip: Clip | None, rank: int | None, *, biases: bool) -> bytes:
    """A network and text encoders that are differences, as a LoRA of that rank; in full for None."""
    parts: Parts = []
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
        return serialised(parts, {"modelspec.title": "extracted LoRA"})


def difference(
    stream: Stream, prefix: str, rank: int | None, *, biases: bool
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """One difference, weight by weight, in half precision; each is made when it is written."""
    for entry in stream.original(stream.shapes):
        name = prefix + entry.theirs.removesuffix(".weight").removesuffix(".bias")
        whole = functools.partial(_joined, stream, entry)
        if entry.theirs.endswith(".bias") or len(stream.shapes[entry.ours[0]]) < 2:
            if biases:
                end = "diff_b" if entry.theirs.endswith(".bias") else "diff"
                yield f"{name}.{end}", lambda whole=whole: whole().half()  # type: ignore[misc]
        elif rank is None:
            yield f"{name}.diff", lambda whole=whole: whole().half()  # type: ignore[misc]
        else:
            factors = _Factors(whole, rank)
            yield f"{name}.lora_up.weight", factors.up
            yield f"{name}.lora_down.weight", factors.down


def _joined(stream: Stream, entry: Entry) -> Tensor:
    return join(entry, {name: stream.get(name) for name in entry.ours})


class _Factors:
    """A difference in two factors, taken apart once: the first is written, the second is kept until then."""

    def __init__(self, whole: Callable[[], Tensor], rank: int) -> None:
        self._whole, self._rank = whole, rank
        self._down: Tensor | None = None

    def up(self) -> Tensor:
        """(rows, r, 1 ...)."""
        up, down = low_rank(self._whole(), self._rank)
        self._down = down.half()
        return up.half()

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


def _vae(src: Source, prefix: str) -> Parts:
    part, header, tensors = src.part("vae")
    ours = src.header.format == "diffusers" or layout_of(src.header, part) == "diffusers"
    if not ours or part.family != "kl":  # autoencoders without an older layout keep the names they have
        return [(prefix + key, lambda key=key: tensors.get(key)) for key in header.tensors]  # type: ignore[misc]
    return [
        (prefix + e.theirs, lambda e=e: join(e, {name: tensors.get(name) for name in e.ours}))  # type: ignore[misc]
        for e in ldm_vae(header.tensors)
    ]


def _only(files: tuple[File, ...]) -> File:
    if not files:
        raise UnsupportedFile("pixel_space has no weights to save")
    return files[0]


def _kept(file: File) -> torch.dtype:
    """The dtype that the file's weights have, float16 for those in eight bits or GGUF."""
    return {"F32": torch.float32, "BF16": torch.bfloat16}.get(detect(file.path).dtype, torch.float16)

"""Recipes as safetensors files in the layout of the family's authors, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from graphflow.detect import detect, layout_of
from graphflow.errors import UnsupportedFile
from graphflow.models.families import family
from graphflow.models.layouts import join, ldm_vae
from graphflow.models.loading import Source, network_shapes, source
from graphflow.models.merged import stream_of
from graphflow.models.merging import serialised
from graphflow.models.weights import opened
from graphflow.node import File
from graphflow.values import Clip, Model, Vae

Parts = list[tuple[str, Callable[[], Tensor]]]

ENCODERS = {
    ("sd15", "clip_l"): "cond_stage_model.transformer.",
    ("sd2", "clip_h"): "cond_stage_model.model.",
    ("sdxl", "clip_l"): "conditioner.embedders.0.transformer.",
    ("sdxl_refiner", "clip_g"): "conditioner.embedders.0.model.",
}
"""Where a family's checkpoints keep an encoder; others are under `text_encoders.NAME.transformer.`."""


def saved_network(model: Model) -> bytes:
    """The network with its patches, names as in `diffusion_models`."""
    with stream_of(model.weights, model.patches, network_shapes(model.weights)) as stream:
        dtype = _kept(model.weights.files[0])
        return serialised(list(stream.written("", lambda _: dtype)), _about(model))


def saved_vae(vae: Vae) -> bytes:
    """The autoencoder alone."""
    with source(_only(vae.weights.files)) as src:
        return serialised(_vae(src, ""), {})


def saved_checkpoint(model: Model, clip: Clip, vae: Vae) -> bytes:
    """Network, text encoders and autoencoder in one file. Raises `UnsupportedFile` for what cannot be written so."""
    if clip.patches:
        raise UnsupportedFile("LoRAs on a text encoder cannot be written into a checkpoint: take the unpatched CLIP")
    shapes = network_shapes(model.weights)
    dtype = _kept(model.weights.files[0])
    with stream_of(model.weights, model.patches, shapes) as stream, source(_only(vae.weights.files)) as autoencoder:
        parts: Parts = [
            *stream.written("model.diffusion_model.", lambda _: dtype),
            *_vae(autoencoder, "first_stage_model."),
        ]
        for file in clip.weights.files:
            parts += _encoders(file, clip.weights.family)
        return serialised(parts, _about(model))


def extracted(model: Model, rank: int | None, *, biases: bool) -> bytes:
    """A network that is a difference, as a LoRA of that rank; in full for None."""
    shapes = network_shapes(model.weights)
    parts: Parts = []
    with stream_of(model.weights, model.patches, shapes) as stream:
        for entry in stream.original(shapes):
            name = entry.theirs.removesuffix(".weight").removesuffix(".bias")
            difference = join(entry, {o: stream.get(o) for o in entry.ours})
            if entry.theirs.endswith(".bias") or difference.ndim < 2:
                if biases:
                    end = "diff_b" if entry.theirs.endswith(".bias") else "diff"
                    parts.append((f"diffusion_model.{name}.{end}", lambda d=difference: d.half()))  # type: ignore[misc]
            elif rank is None:
                parts.append((f"diffusion_model.{name}.diff", lambda d=difference: d.half()))  # type: ignore[misc]
            else:
                up, down = low_rank(difference, rank)
                parts.append((f"diffusion_model.{name}.lora_up.weight", lambda t=up: t.half()))  # type: ignore[misc]
                parts.append((f"diffusion_model.{name}.lora_down.weight", lambda t=down: t.half()))  # type: ignore[misc]
    return serialised(parts, {"modelspec.title": "extracted LoRA"})


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
    if not ours:
        return [(prefix + key, lambda key=key: tensors.get(key)) for key in header.tensors]  # type: ignore[misc]
    if part.family != "kl":
        raise UnsupportedFile(f"the VAE of {src.file.name} has no layout of its own to be written in")
    held = {name: tensors.get(name) for name in header.tensors}
    return [(prefix + e.theirs, lambda e=e: join(e, held)) for e in ldm_vae(held)]  # type: ignore[misc]


def _encoders(file: File, name: str) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    with opened(file.path) as (header, tensors):
        found = detect(file.path)
        if header.format == "diffusers":
            raise UnsupportedFile(
                f"the text encoders of {file.name} are in a diffusers folder, which cannot be written so"
            )
        for part in found.parts:
            if part.name in ("model", "vae", "clip_vision"):
                continue
            prefix = part.prefix or ENCODERS.get((name, part.name), f"text_encoders.{part.name}.transformer.")
            for key in header.under(part.prefix).tensors:
                yield prefix + key, lambda key=part.prefix + key: tensors.get(key)  # type: ignore[misc]


def _only(files: tuple[File, ...]) -> File:
    if not files:
        raise UnsupportedFile("pixel_space has no weights to save")
    return files[0]


def _kept(file: File) -> torch.dtype:
    """The dtype that the file's weights have, float16 for those in eight bits or GGUF."""
    return {"F32": torch.float32, "BF16": torch.bfloat16}.get(detect(file.path).dtype, torch.float16)


def _about(model: Model) -> dict[str, str]:
    """Metadata as other tools read it."""
    files = ", ".join(file.name for file in model.weights.files)
    return {"modelspec.title": f"{family(model.weights.family).title} from {files}", "format": "pt"}

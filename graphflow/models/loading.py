"""From a recipe's files to modules with weights: the parts of checkpoints, folders and single files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from graphflow.detect import Detected, Header, layout_of
from graphflow.errors import UnsupportedFile
from graphflow.families import Facts, family
from graphflow.layouts import Layout, same
from graphflow.models import autoencoders, vision
from graphflow.models.model_patches import KINDS as PATCHES
from graphflow.models.model_patches import PatchContent
from graphflow.models.networks import NetworkContent
from graphflow.models.packed import pack
from graphflow.models.residency import Policy
from graphflow.models.sources import Source, read_config, source
from graphflow.models.tensors import is_scaled
from graphflow.models.vae import Pixels, VaeContent
from graphflow.models.vision import StyleContent, VisionContent
from graphflow.models.weights import fill, hollow
from graphflow.values import Weights

# --- networks --------------------------------------------------------------------------------------------------------


def network_config(src: Source) -> tuple[dict[str, Any], bool]:
    """The config of a file's network, and whether its names are diffusers'."""
    part, header, _ = src.part("model")
    kind = family(part.family)
    ours = src.header.format == "diffusers" or layout_of(src.header, part) == "diffusers"
    found = src.config(part, "unet", "transformer")
    return found or kind.config(as_original(header, kind.layout) if ours else header), ours


def network_shapes(weights: Weights) -> Mapping[str, tuple[int, ...]]:
    """The shapes of all that a network's file holds, from its header alone."""
    with source(weights.files[0]) as src:
        config, _ = network_config(src)
        module = hollow(lambda: family(weights.family).build(config))
        return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def load_network(weights: Weights, policy: Policy) -> NetworkContent:
    """The denoising network of a file."""
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("model")
        kind = family(part.family)
        config, ours = network_config(src)
        layout: Layout = same if ours else kind.layout
        module: Any = hollow(lambda: kind.build(config))
        facts = Facts(header, {**module.config, **config}, src.scheduler, src.found.details, tensors.get)
        dtype = policy.dtype(kind.dtypes)
        packed = not weights.dtype and (src.header.format == "gguf" or is_scaled(tensors))
        done = pack(module, tensors, layout, src.file.name) if packed else ()
        fill(module, tensors, layout, dtype=dtype, name=src.file.name, done=done)
        kind.finish(module, lambda key: src.tensors.get(key) if key in src.header.tensors else None)
        if not packed:
            store(module, storage(weights, src.found), dtype)
        return NetworkContent(module, kind, facts, dtype)


def storage(weights: Weights, found: Detected) -> torch.dtype | None:
    """fp8, if the loading node asked for it or the file is kept so; None for as the network computes."""
    if weights.dtype:
        return torch.float8_e5m2 if weights.dtype == "fp8_e5m2" else torch.float8_e4m3fn
    return {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}.get(found.dtype)


def store(module: nn.Module, kept: torch.dtype | None, computed: torch.dtype) -> None:
    """Keeps the weights of linear layers and convolutions in fp8, each cast for the moment it is used."""
    if kept is not None:
        from diffusers.hooks import apply_layerwise_casting

        apply_layerwise_casting(module, kept, computed, skip_modules_pattern=("norm", "embed", "proj_out$", "conv_out"))


def as_original(header: Header, layout: Layout) -> Header:
    """The header that the same network would have in the original layout."""
    tensors = {}
    for entry in layout(header.tensors):
        parts = [header.tensors[name] for name in entry.ours if name in header.tensors]
        rows = sum(part.shape[0] for part in parts if part.shape)
        tensors[entry.theirs] = replace(parts[0], shape=(rows, *parts[0].shape[1:]) if parts[0].shape else ())
    return replace(header, tensors=tensors)


def load_model_patch(weights: Weights, policy: Policy) -> PatchContent:
    """The small network of a model patch's file."""
    with source(weights.files[0]) as src:
        kind = PATCHES[weights.family]
        config = read_config(src.beside / "config.json") or kind.config(src.header, src.tensors.get)
        module = hollow(lambda: kind.build(config))
        dtype = policy.dtype(("bfloat16", "float16"))
        fill(module, src.tensors, same, dtype=dtype, name=src.file.name)
        return PatchContent(module, kind, dtype)


def load_vision(weights: Weights, policy: Policy) -> VisionContent:
    """The image encoder of a file."""
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("clip_vision")
        opened_ = vision.is_open_clip(header)
        header = vision.renamed(header) if opened_ else header
        siglip = vision.is_siglip(header)
        config = src.config(part, "image_encoder") or vision.config(header)
        module = hollow(lambda: vision.build(config, siglip=siglip))
        if not siglip and "visual_projection.weight" not in header.tensors:
            module.visual_projection = nn.Identity()
        dtype = policy.dtype(("float16",))
        fill(module, tensors, vision.open_clip if opened_ else vision.layout, dtype=dtype, name=src.file.name)
        return VisionContent(module, dtype, int(config["image_size"]), siglip)


def load_style(weights: Weights, policy: Policy) -> StyleContent:
    """The style model of a file."""
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("style_model")
        if part.family != "flux":
            raise UnsupportedFile(f"{src.file.name} is a style model of {part.family}, which cannot be used")
        inner, seen = header.shape("redux_up.weight")
        module = hollow(lambda: vision.Redux(seen, inner, header.shape("redux_down.weight")[0]))
        dtype = policy.dtype(("bfloat16",))
        fill(module, tensors, same, dtype=dtype, name=src.file.name)
        return StyleContent(module, dtype)


# --- autoencoders ----------------------------------------------------------------------------------------------------


def load_vae(weights: Weights, policy: Policy) -> VaeContent:
    """The autoencoder of a file; without a file, pixels as they are."""
    if not weights.files:
        return VaeContent(Pixels(), torch.float32, 1, 3)
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("vae")
        ours = src.header.format == "diffusers" or layout_of(src.header, part) == "diffusers"
        config = src.config(part, "vae") or autoencoders.config(part.family, header)
        kind = autoencoders.kind_of(part.family, header, config)
        module = hollow(lambda: autoencoders.build(kind, config))
        dtype = policy.dtype(("bfloat16",))
        layout = same if ours else autoencoders.LAYOUTS.get(part.family, same)
        fill(module, tensors, layout, dtype=dtype, name=weights.files[0].name)
        return autoencoders.content(kind, module, dtype, config, weights.family)

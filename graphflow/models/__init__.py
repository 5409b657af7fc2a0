"""Models: found by their looks, loaded by recipe, kept where there is room.

`with loaded(recipe) as live:` gives what can be computed with: for a `Model` a `DiffusionNetwork`, for a `Clip` a
`TextEncoder`, for a `Vae` a `ResidentVae`, for an `UpscaleModel` a `ResidentUpscaler`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

from graphflow.detect import describe, detect, read_header
from graphflow.errors import UnsupportedFile
from graphflow.models.adapters import LAYERS as IMAGE_LAYERS
from graphflow.models.adapters import ResidentAdapter, load_adapter
from graphflow.models.control import ResidentControl
from graphflow.models.control.loading import load_control
from graphflow.models.encoders import load_text
from graphflow.models.gligen import gligen
from graphflow.models.hooks import hooked_clip, hooked_model, loras_for_networks
from graphflow.models.hypernetworks import Hypernetwork, hypernetwork_file
from graphflow.models.loading import load_model_patch, load_network, load_style, load_vae, load_vision
from graphflow.models.lora import Fit, Targets, check_inputs, fit
from graphflow.models.merged import weight_patches
from graphflow.models.merging import Mix, Scale
from graphflow.models.model_patches import ResidentPatch, Steered
from graphflow.models.networks import ResidentNetwork
from graphflow.models.recipes import (
    Checkpoint,
    checkpoint,
    clip_vision,
    control_net,
    difference_control_net,
    ip_adapter,
    model_patch,
    network,
    on_base,
    style_model,
    text_encoder_types,
    text_encoders,
    upscale_model,
    vae,
)
from graphflow.models.residency import Residency, residency
from graphflow.models.saving import extracted, saved_checkpoint, saved_encoders, saved_network, saved_vae
from graphflow.models.text import Shown, TextEncoder
from graphflow.models.upscale import ResidentUpscaler, load_upscaler
from graphflow.models.vae import ResidentVae
from graphflow.models.vision import ResidentStyle, ResidentVision
from graphflow.node import File
from graphflow.values import Clip, ClipVision, ControlNet, IpAdapter, Model, ModelPatch, StyleModel, UpscaleModel, Vae

_LIVE: Mapping[type, tuple[Callable[..., Any], Callable[..., Any]]] = {
    Model: (ResidentNetwork, load_network),
    Clip: (TextEncoder, load_text),
    Vae: (ResidentVae, load_vae),
    UpscaleModel: (ResidentUpscaler, load_upscaler),
    ControlNet: (ResidentControl, load_control),
    ClipVision: (ResidentVision, load_vision),
    StyleModel: (ResidentStyle, load_style),
    ModelPatch: (ResidentPatch, load_model_patch),
    IpAdapter: (ResidentAdapter, load_adapter),
}


@overload
def loaded(recipe: Model) -> AbstractContextManager[ResidentNetwork]: ...
@overload
def loaded(recipe: Clip) -> AbstractContextManager[TextEncoder]: ...
@overload
def loaded(recipe: Vae) -> AbstractContextManager[ResidentVae]: ...
@overload
def loaded(recipe: ClipVision) -> AbstractContextManager[ResidentVision]: ...
@overload
def loaded(recipe: StyleModel) -> AbstractContextManager[ResidentStyle]: ...
@overload
def loaded(recipe: ModelPatch) -> AbstractContextManager[ResidentPatch]: ...
@overload
def loaded(recipe: IpAdapter) -> AbstractContextManager[ResidentAdapter]: ...
@overload
def loaded(recipe: ControlNet) -> AbstractContextManager[ResidentControl]: ...
@overload
def loaded(recipe: UpscaleModel) -> AbstractContextManager[ResidentUpscaler]: ...
def loaded(recipe: Any) -> Any:
    """What a recipe stands for, ready to be computed with.

    Equal recipes give the same object, so that jobs can share its calls. It stays usable after the block: weights that
    had to go are brought back when they are needed. Raises `UnsupportedFile` when the file cannot be used.
    """
    return _enter(recipe)


@contextmanager
def _enter(recipe: Any) -> Iterator[Any]:
    home = residency()
    live, load = _LIVE[type(recipe)]
    fetch = functools.partial(load, recipe.weights, home.policy)
    views = home.get(recipe.weights, fetch).views
    key = (
        type(recipe),
        *(getattr(recipe, name, None) for name in ("layer", "filling", "hooks", "union_type")),
        _patches(recipe),
    )
    if key not in views:
        views[key] = live(home, recipe, fetch)
    yield views[key]


def check_lora(file: File, model: Model | None = None, clip: Clip | None = None) -> Fit:
    """How a LoRA fits. Raises `UnsupportedFile`, listing names, when nothing of it applies to either, or a part cannot."""
    header = read_header(file.path)
    if detect(file.path).kind != "lora":
        raise UnsupportedFile(f"{file.name} is no LoRA: {describe(detect(file.path))}")
    targets = Targets()
    home = residency()
    for recipe in (model, clip):
        if recipe is not None:
            fetch = functools.partial(_LIVE[type(recipe)][1], recipe.weights, home.policy)
            content: Any = home.get(recipe.weights, fetch).content
            targets = targets.joined(content.merged.targets)
    check_inputs(file.name, header, targets)
    return fit(file, header.tensors, targets)


def _patches(recipe: Any) -> tuple[Any, ...]:
    return weight_patches(getattr(recipe, "patches", ()))


__all__ = [
    "IMAGE_LAYERS",
    "Checkpoint",
    "Fit",
    "Hypernetwork",
    "Mix",
    "Residency",
    "ResidentAdapter",
    "ResidentControl",
    "ResidentNetwork",
    "ResidentPatch",
    "ResidentStyle",
    "ResidentUpscaler",
    "ResidentVae",
    "ResidentVision",
    "Scale",
    "Shown",
    "Steered",
    "TextEncoder",
    "check_lora",
    "checkpoint",
    "clip_vision",
    "control_net",
    "difference_control_net",
    "extracted",
    "gligen",
    "hooked_clip",
    "hooked_model",
    "hypernetwork_file",
    "ip_adapter",
    "loaded",
    "loras_for_networks",
    "model_patch",
    "network",
    "on_base",
    "residency",
    "saved_checkpoint",
    "saved_encoders",
    "saved_network",
    "saved_vae",
    "style_model",
    "text_encoder_types",
    "text_encoders",
    "upscale_model",
    "vae",
]

"""What a checkpoint says beside its weights, so that it is run as it was trained: marks and the rest of its file."""

from __future__ import annotations

import functools

import torch

from graphflow.diffusion.parametrisation import Discrete, LogUniform, Parametrisation, Velocity
from graphflow.diffusion.patches import ParametrisationPatch
from graphflow.families import Facts, family
from graphflow.models.loading import network_config
from graphflow.models.sources import Source
from graphflow.models.writing import Written
from graphflow.values import Model

KEPT = ("embedder.model.visual.", "noise_augmentor.", "edm_mean", "edm_std")
"""Beginnings of names: unCLIP's image encoder with its statistics, and what EDM checkpoints were centred by."""


def parametrisation(model: Model, src: Source) -> Parametrisation:
    """How the model predicts, its patches included; from its file's header and, where need be, a single tensor."""
    part, header, tensors = src.part("model")
    config, _ = network_config(src)
    kind = family(part.family)
    found = kind.parametrisation(Facts(header, config, src.scheduler, src.found.details, tensors.get))
    for patch in model.patches:
        found = patch.parametrisation(found) if isinstance(patch, ParametrisationPatch) else found
    return found


def marks(model: Model, src: Source) -> list[Written]:
    """Empty tensors by whose names loaders tell v prediction and zero terminal signal-to-noise ratio of U-Nets, and what
    the rest of the model's file holds for it.
    """
    kept = [
        Written.like(key, functools.partial(src.tensors.get, key)) for key in src.header.tensors if key.startswith(KEPT)
    ]
    if not family(model.weights.family).context:
        return kept
    found = parametrisation(model, src)
    names = ["v_pred"] if isinstance(found.prediction, Velocity) and isinstance(found.schedule, Discrete) else []
    names += ["ztsnr"] if isinstance(found.schedule, Discrete) and found.schedule.zsnr else []
    edm = isinstance(found.prediction, Velocity) and isinstance(found.schedule, LogUniform)
    limits = {"edm_vpred.sigma_max": found.sigma_max, "edm_vpred.sigma_min": found.sigma_min} if edm else {}
    return [
        *kept,
        *(Written.like(name, functools.partial(torch.zeros, 0)) for name in names),
        *(Written.like(name, value.reshape(1).clone) for name, value in limits.items()),
    ]


def metadata(model: Model, src: Source) -> dict[str, str]:
    """As other tools read it."""
    files = ", ".join(file.name for file in model.weights.files)
    about = {"modelspec.title": f"{family(model.weights.family).title} from {files}", "format": "pt"}
    if not family(model.weights.family).context:
        return about
    is_v = isinstance(parametrisation(model, src).prediction, Velocity)
    return {**about, "modelspec.prediction_type": "v" if is_v else "epsilon"}

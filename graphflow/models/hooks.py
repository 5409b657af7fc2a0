"""Recipes with the changes of weights that hooks make, as strong as they are just now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from graphflow.detect import read_header
from graphflow.diffusion.hooks import Strengths
from graphflow.models.lora import groups
from graphflow.models.merging import Mix
from graphflow.node import File
from graphflow.values import Clip, Lora, Model, Patch, WeightHook, Weights


def hooked_model(model: Model, strengths: Strengths) -> Model:
    """The model with hooks: other models first, as differences from its own weights, LoRAs after all its patches."""
    mixes = _mixes([(hook.model, hook.strength_model * factor) for hook, factor in strengths])
    loras = _loras((hook.lora, hook.strength_model * factor) for hook, factor in strengths)
    return replace(model, patches=(*mixes, *model.patches, *loras))


def hooked_clip(clip: Clip, strengths: Strengths) -> Clip:
    """The text encoders with hooks."""
    mixes = _mixes([(hook.clip, hook.strength_clip * factor) for hook, factor in strengths])
    loras = _loras((hook.lora, hook.strength_clip * factor) for hook, factor in strengths)
    return replace(clip, patches=(*mixes, *clip.patches, *loras), hooks=None)


def _loras(wanted: Iterable[tuple[File | None, float]]) -> tuple[Patch, ...]:
    return tuple(Lora(file, strength) for file, strength in wanted if file is not None and strength != 0)


def _mixes(wanted: Sequence[tuple[Weights | None, float]]) -> tuple[Patch, ...]:
    """Mixes one after another that add up to W + sum of strength * (other - W)."""
    found: list[Patch] = []
    rest = 1.0
    for weights, strength in reversed(wanted):
        if weights is None or strength == 0:
            continue
        if rest == 0:
            raise ValueError(
                "several models as LoRAs whose strengths add up to exactly 1 cannot be told apart: change one a little"
            )
        found.append(Mix(weights, (), "mix", 1.0 - strength / rest))
        rest -= strength
    return tuple(reversed(found))


def loras_for_networks(hooks: Iterable[WeightHook]) -> list[File]:
    """The LoRAs that change a network and not a text encoder alone."""
    files = dict.fromkeys(hook.lora for hook in hooks if hook.lora is not None and hook.strength_model != 0)
    return [file for file in files if any(group.encoder is None for group in groups(read_header(file.path).tensors)[0])]

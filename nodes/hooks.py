"""Hooks: LoRAs and other models that change weights for some prompts alone, as strongly as keyframes say."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from graphflow.api import (
    Clip,
    ClipHooks,
    File,
    Folder,
    HookKeyframe,
    HookKeyframes,
    Hooks,
    Multiline,
    Value,
    WeightHook,
    node,
)
from graphflow.models import checkpoint

from ._fields import span
from .conditioning import Percent

HOOKS = "advanced/hooks"
Strength = Annotated[float, span(-20.0, 20.0, 0.01)]
LoraFile = Annotated[File, Folder("loras")]
CheckpointFile = Annotated[File, Folder("checkpoints")]
log = logging.getLogger(__name__)


# --- what changes the weights ----------------------------------------------------------------------------------------


@node("CreateHookLora", title="Create Hook LoRA", category=f"{HOOKS}/create", experimental=True)
def create_hook_lora(
    lora_name: LoraFile, strength_model: Strength = 1.0, strength_clip: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """A LoRA for some prompts alone: put it on them with Cond Set Props, or on their text encoder with Set CLIP Hooks."""
    if strength_model == 0 and strength_clip == 0:
        return prev_hooks or Hooks()
    return _after(prev_hooks, WeightHook(lora_name, None, None, strength_model, strength_clip))


@node("CreateHookLoraModelOnly", title="Create Hook LoRA (MO)", category=f"{HOOKS}/create", experimental=True)
def create_hook_lora_model_only(
    lora_name: LoraFile, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """As Create Hook LoRA, with the text encoder left as it is."""
    return create_hook_lora(lora_name, strength_model, 0.0, prev_hooks)


@node("CreateHookModelAsLora", title="Create Hook Model as LoRA", category=f"{HOOKS}/create", experimental=True)
def create_hook_model_as_lora(
    ckpt_name: CheckpointFile,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """Another checkpoint of the same family in the model's place for some prompts: wholly at strength 1."""
    parts = checkpoint(ckpt_name)
    clip = parts.clip.weights if isinstance(parts.clip, Clip) else None
    return _after(prev_hooks, WeightHook(None, parts.model.weights, clip, strength_model, strength_clip))


@node(
    "CreateHookModelAsLoraModelOnly",
    title="Create Hook Model as LoRA (MO)",
    category=f"{HOOKS}/create",
    experimental=True,
)
def create_hook_model_as_lora_model_only(
    ckpt_name: CheckpointFile, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """As Create Hook Model as LoRA, with the text encoder left as it is."""
    return create_hook_model_as_lora(ckpt_name, strength_model, 0.0, prev_hooks)


def _after(before: Hooks | None, *hooks: WeightHook) -> Hooks:
    """Hooks behind others; one that is there already counts once."""
    return Hooks(tuple(dict.fromkeys((*(before.hooks if before else ()), *hooks))))


def _together(*groups: Hooks | None) -> Hooks:
    return _after(None, *(hook for group in groups if group for hook in group.hooks))


@node("CombineHooks2", title="Combine Hooks [2]", category=f"{HOOKS}/combine", experimental=True)
def combine_hooks_2(hooks_A: Hooks | None = None, hooks_B: Hooks | None = None) -> Hooks:
    """All of them at once."""
    return _together(hooks_A, hooks_B)


@node("CombineHooks4", title="Combine Hooks [4]", category=f"{HOOKS}/combine", experimental=True)
def combine_hooks_4(
    hooks_A: Hooks | None = None,
    hooks_B: Hooks | None = None,
    hooks_C: Hooks | None = None,
    hooks_D: Hooks | None = None,
) -> Hooks:
    """All of them at once."""
    return _together(hooks_A, hooks_B, hooks_C, hooks_D)


@node("CombineHooks8", title="Combine Hooks [8]", category=f"{HOOKS}/combine", experimental=True)
def combine_hooks_8(
    hooks_A: Hooks | None = None,
    hooks_B: Hooks | None = None,
    hooks_C: Hooks | None = None,
    hooks_D: Hooks | None = None,
    hooks_E: Hooks | None = None,
    hooks_F: Hooks | None = None,
    hooks_G: Hooks | None = None,
    hooks_H: Hooks | None = None,
) -> Hooks:
    """All of them at once."""
    return _together(hooks_A, hooks_B, hooks_C, hooks_D, hooks_E, hooks_F, hooks_G, hooks_H)


# --- where they hold -------------------------------------------------------------------------------------------------


@node("SetClipHooks", title="Set CLIP Hooks", category=f"{HOOKS}/clip", experimental=True)
def set_clip_hooks(
    clip: Clip, apply_to_conds: bool = True, schedule_clip: bool = False, hooks: Hooks | None = None
) -> Clip:
    """Hooks on a text encoder, and on the model for every prompt that it encodes, unless `apply_to_conds` is off.

    With `schedule_clip` a prompt is encoded for each part of the sampling anew in which keyframes set other strengths.
    """
    return clip if hooks is None else replace(clip, hooks=ClipHooks(hooks.hooks, apply_to_conds, schedule_clip))


# --- how strongly, over the sampling ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Floats(Value):
    """Numbers in a row."""

    wire: ClassVar[str] = "FLOATS"
    values: tuple[float, ...]


@node("FloatsFromText", title="Floats from Text", category=f"{HOOKS}/scheduling")
def floats_from_text(numbers: Multiline = "0.0, 0.5, 1.0") -> Floats:
    """Numbers in a row, written with commas, spaces or lines between."""
    words = [word for word in re.split(r"[\s,;]+", numbers) if word]
    try:
        values = tuple(float(word) for word in words)
    except ValueError as error:
        raise ValueError(f"{error}; write numbers with commas between them") from error
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("write at least one number, each of them finite")
    return Floats(values)


@node("SetHookKeyframes", title="Set Hook Keyframes", category=f"{HOOKS}/scheduling", experimental=True)
def set_hook_keyframes(hooks: Hooks, hook_kf: HookKeyframes | None = None) -> Hooks:
    """Hooks whose strength goes along keyframes."""
    if hook_kf is None:
        return hooks
    return Hooks(tuple(replace(hook, keyframes=hook_kf.keyframes) for hook in hooks.hooks))


@node(
    "CreateHookKeyframe",
    title="Create Hook Keyframe",
    category=f"{HOOKS}/scheduling",
    outputs=("HOOK_KF",),
    experimental=True,
)
def create_hook_keyframe(
    strength_mult: Strength = 1.0, start_percent: Percent = 0.0, prev_hook_kf: HookKeyframes | None = None
) -> HookKeyframes:
    """From a share of the sampling on hooks are so many times as strong; the first one holds from the start."""
    return _sorted(prev_hook_kf, [HookKeyframe(strength_mult, start_percent)])


Interpolation = Literal["linear", "ease_in", "ease_out", "ease_in_out"]


@node(
    "CreateHookKeyframesInterpolated",
    title="Create Hook Keyframes Interp.",
    category=f"{HOOKS}/scheduling",
    outputs=("HOOK_KF",),
    experimental=True,
)
def create_hook_keyframes_interpolated(
    strength_start: Annotated[float, span(0.0, 10.0, 0.001)] = 1.0,
    strength_end: Annotated[float, span(0.0, 10.0, 0.001)] = 1.0,
    interpolation: Interpolation = "linear",
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
    keyframes_count: Annotated[int, span(2, 100, 1)] = 5,
    print_keyframes: Annotated[bool, span(None, None, description="Also write them into the log.")] = False,
    prev_hook_kf: HookKeyframes | None = None,
) -> HookKeyframes:
    """Keyframes from one strength to another; with `ease` slowly at the start, the end or both."""
    shares = [i / (keyframes_count - 1) for i in range(keyframes_count)]
    strengths = [strength_start + (strength_end - strength_start) * _eased(share, interpolation) for share in shares]
    return _spread(strengths, start_percent, end_percent, print_keyframes, prev_hook_kf)


def _eased(share: float, interpolation: Interpolation) -> float:
    match interpolation:
        case "ease_in":
            return share**2
        case "ease_out":
            return 1 - (1 - share) ** 2
        case "ease_in_out":
            return (1 - math.cos(share * math.pi)) / 2
        case _:
            return share


@node(
    "CreateHookKeyframesFromFloats",
    title="Create Hook Keyframes From Floats",
    category=f"{HOOKS}/scheduling",
    outputs=("HOOK_KF",),
    experimental=True,
)
def create_hook_keyframes_from_floats(
    floats_strength: Floats,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
    print_keyframes: Annotated[bool, span(None, None, description="Also write them into the log.")] = False,
    prev_hook_kf: HookKeyframes | None = None,
) -> HookKeyframes:
    """A keyframe for each of a row of numbers, spread evenly."""
    return _spread(list(floats_strength.values), start_percent, end_percent, print_keyframes, prev_hook_kf)


def _spread(
    strengths: list[float], start: float, end: float, told: bool, before: HookKeyframes | None
) -> HookKeyframes:
    """Evenly from start to end; the first alone is held for a noise level at least."""
    step = (end - start) / max(1, len(strengths) - 1)
    made = [HookKeyframe(strength, start + i * step, int(i == 0)) for i, strength in enumerate(strengths)]
    for keyframe in made if told else ():
        log.info("hook keyframe: strength %g from %.1f %% on", keyframe.strength, 100 * keyframe.start)
    return _sorted(before, made)


def _sorted(before: HookKeyframes | None, made: list[HookKeyframe]) -> HookKeyframes:
    found = [*(before.keyframes if before else ()), *made]
    return HookKeyframes(tuple(sorted(found, key=lambda keyframe: keyframe.start)))

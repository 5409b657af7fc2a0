"""Prompts: texts to conditioning, and where, when and how strongly each holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from torch.nn.functional import pad

from graphflow.api import (
    Area,
    Clip,
    Cond,
    Conditioning,
    Gligen,
    Grounding,
    Hooks,
    Latent,
    Mask,
    References,
    Text,
    TextBox,
    Value,
    Widget,
    node,
)
from graphflow.diffusion.prompts import EMBEDDING
from graphflow.models import loaded

from ._fields import MAX_SIDE, Fraction, span

Prompt = Annotated[Text, References("embeddings", EMBEDDING), Widget("multiline")]
"""A text with weights and textual inversions."""
Strength = Annotated[float, span(0.0, 10.0, 0.01, "Weight against the other prompts that hold at the same place.")]
Percent = Annotated[float, span(0.0, 1.0, 0.001, "Share of the sampling: 0 is its start, 1 its end.")]
AreaSide = Annotated[int, span(64, MAX_SIDE, 8, "In pixels of the picture.")]
AreaOffset = Annotated[int, span(0, MAX_SIDE, 8, "In pixels of the picture.")]
Share = Annotated[float, span(0, 1.0, 0.01, "Share of the picture's side.")]
Bounds = Literal["default", "mask bounds"]
Guidance = Annotated[float, span(0.0, 100.0, 0.1, "How strongly the prompt is followed.")]


@node("CLIPTextEncode", title="CLIP Text Encode (Prompt)", category="conditioning", example="text-to-image")
def clip_text_encode(text: Prompt, clip: Clip) -> Conditioning:
    """Encodes a prompt, for the sampler to steer by.

    `(word)` weighs 1.1 times as much, `(word:1.3)` 1.3 times; a bracket that is meant is written `\\(`.
    `embedding:name` stands for a textual inversion.
    """
    with loaded(clip) as encoder:
        return encoder.encode(text)


@node(
    "CLIPTextEncodeControlnet",
    title="CLIPTextEncodeControlnet",
    category="_for_testing/conditioning",
    experimental=True,
)
def clip_text_encode_controlnet(clip: Clip, conditioning: Conditioning, text: Prompt) -> Conditioning:
    """A prompt that ControlNets alone look at; the model itself still sees the one it is put on."""
    with loaded(clip) as encoder:
        return conditioning.each(control_context=encoder.encode(text).entries[0].context)


# --- mixing ----------------------------------------------------------------------------------------------------------


@node("ConditioningCombine", title="Conditioning (Combine)", category="conditioning", example="areas")
def conditioning_combine(conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Both hold: where they overlap, their predictions are averaged by strength."""
    return Conditioning((*conditioning_1.entries, *conditioning_2.entries))


@node("ConditioningConcat", title="Conditioning (Concat)", category="conditioning")
def conditioning_concat(conditioning_to: Conditioning, conditioning_from: Conditioning) -> Conditioning:
    """The second's tokens behind the first's, as one long prompt whose parts do not see each other."""
    behind = _first(conditioning_from, "conditioning_from").context
    return Conditioning(
        tuple(
            replace(entry, context=torch.cat([entry.context, behind.to(entry.context)], dim=1))
            for entry in conditioning_to.entries
        )
    )


@node("ConditioningAverage", title="ConditioningAverage", category="conditioning")
def conditioning_average(
    conditioning_to: Conditioning, conditioning_from: Conditioning, conditioning_to_strength: Fraction = 1.0
) -> Conditioning:
    """A prompt between two: with strength 1 the first, with 0 the second."""
    other = _first(conditioning_from, "conditioning_from")
    return Conditioning(tuple(_averaged(entry, other, conditioning_to_strength) for entry in conditioning_to.entries))


def _averaged(entry: Cond, other: Cond, strength: float) -> Cond:
    tokens = entry.context.shape[1]
    context = other.context[:, :tokens]
    context = pad(context, (0, 0, 0, tokens - context.shape[1]))
    pooled = entry.pooled if other.pooled is None else other.pooled
    if entry.pooled is not None and other.pooled is not None:
        pooled = entry.pooled * strength + other.pooled * (1.0 - strength)
    return replace(entry, context=entry.context * strength + context * (1.0 - strength), pooled=pooled)


@node("ConditioningZeroOut", title="ConditioningZeroOut", category="advanced/conditioning")
def conditioning_zero_out(conditioning: Conditioning) -> Conditioning:
    """Zeros in place of the text: no prompt at all, which is not the same as an empty one."""
    return Conditioning(
        tuple(
            replace(
                entry,
                context=torch.zeros_like(entry.context),
                pooled=None if entry.pooled is None else torch.zeros_like(entry.pooled),
            )
            for entry in conditioning.entries
        )
    )


def _first(conditioning: Conditioning, name: str) -> Cond:
    if not conditioning.entries:
        raise ValueError(f"{name} is empty; wire a prompt to it")
    return conditioning.entries[0]


# --- where, when, how strongly ---------------------------------------------------------------------------------------


@node("ConditioningSetArea", title="Conditioning (Set Area)", category="conditioning", example="areas")
def conditioning_set_area(
    conditioning: Conditioning,
    width: AreaSide = 64,
    height: AreaSide = 64,
    x: AreaOffset = 0,
    y: AreaOffset = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """Holds in a rectangle alone, which the model sees apart from the rest; its edges fade in."""
    return conditioning.each(area=Area(height // 8, width // 8, y // 8, x // 8), strength=strength, mask_bounds=False)


@node(
    "ConditioningSetAreaPercentage", title="Conditioning (Set Area with Percentage)", category="conditioning"
)  # fmt: skip
def conditioning_set_area_percentage(
    conditioning: Conditioning,
    width: Share = 1.0,
    height: Share = 1.0,
    x: Share = 0,
    y: Share = 0,
    strength: Strength = 1.0,
) -> Conditioning:
    """As Set Area, in shares of the picture's sides."""
    return conditioning.each(area=Area(height, width, y, x, relative=True), strength=strength, mask_bounds=False)


@node("ConditioningSetAreaStrength", title="ConditioningSetAreaStrength", category="conditioning")
def conditioning_set_area_strength(conditioning: Conditioning, strength: Strength = 1.0) -> Conditioning:
    """Counts so much against the other prompts at the same place; alone it makes no difference."""
    return conditioning.each(strength=strength)


@node("ConditioningSetMask", title="Conditioning (Set Mask)", category="conditioning", example="prompt-masks")
def conditioning_set_mask(
    conditioning: Conditioning, mask: Mask, strength: Strength = 1.0, set_cond_area: Bounds = "default"
) -> Conditioning:
    """Holds where the mask is. With `mask bounds` the model sees only the rectangle around the mask."""
    return conditioning.each(mask=mask.data, mask_strength=strength, mask_bounds=set_cond_area == "mask bounds")


@node("ConditioningSetTimestepRange", category="advanced/conditioning")
def conditioning_set_timestep_range(
    conditioning: Conditioning, start: Percent = 0.0, end: Percent = 1.0
) -> Conditioning:
    """Holds in a part of the sampling: early steps lay out the picture, late ones draw its details."""
    return conditioning.each(start=start, end=end)


@node("GLIGENTextBoxApply", category="conditioning/gligen")
def gligen_text_box_apply(
    conditioning_to: Conditioning,
    clip: Clip,
    gligen_textbox_model: Gligen,
    text: Prompt,
    width: Annotated[int, span(8, MAX_SIDE, 8, "In pixels of the picture.")] = 64,
    height: Annotated[int, span(8, MAX_SIDE, 8, "In pixels of the picture.")] = 64,
    x: AreaOffset = 0,
    y: AreaOffset = 0,
) -> Conditioning:
    """Puts what a text says into a box, beside the prompt, which should name it too; several in a row pile up."""
    with loaded(clip) as encoder:
        box = TextBox(encoder.end_state(text), height // 8, width // 8, y // 8, x // 8)
    entries = []
    for entry in conditioning_to.entries:
        before = () if entry.grounding is None else entry.grounding.boxes
        entries.append(replace(entry, grounding=Grounding(gligen_textbox_model, (*before, box))))
    return Conditioning(tuple(entries))


# --- several properties at once, and pairs ---------------------------------------------------------------------------


@dataclass(frozen=True)
class TimestepsRange(Value):
    """A part of the sampling."""

    wire: ClassVar[str] = "TIMESTEPS_RANGE"
    start: float
    end: float


class Ranges(NamedTuple):
    """A part of the sampling, and what comes before and after it."""

    TIMESTEPS_RANGE: TimestepsRange
    BEFORE_RANGE: TimestepsRange
    AFTER_RANGE: TimestepsRange


class Pair(NamedTuple):
    """Prompts for both sides of guidance."""

    positive: Conditioning
    negative: Conditioning


HOOKS = "advanced/hooks"


@node("ConditioningTimestepsRange", title="Timesteps Range", category=HOOKS, experimental=True)
def conditioning_timesteps_range(start_percent: Percent = 0.0, end_percent: Percent = 1.0) -> Ranges:
    """A part of the sampling as a value."""
    return Ranges(
        TimestepsRange(start_percent, end_percent), TimestepsRange(0.0, start_percent), TimestepsRange(end_percent, 1.0)
    )


def _with_properties(
    conditioning: Conditioning,
    strength: float,
    set_cond_area: Bounds,
    mask: Mask | None,
    hooks: Hooks | None,
    timesteps: TimestepsRange | None,
) -> Conditioning:
    changed = conditioning.each(strength=strength)
    if mask is not None:
        bounds = set_cond_area == "mask bounds"
        changed = conditioning.each(mask=mask.data, mask_strength=strength, mask_bounds=bounds)
    changed = changed if timesteps is None else changed.each(start=timesteps.start, end=timesteps.end)
    return changed if hooks is None else _hooked(changed, hooks)


def _hooked(conditioning: Conditioning, hooks: Hooks) -> Conditioning:
    """With further hooks; one that is there already counts once."""
    entries = conditioning.entries
    return Conditioning(tuple(replace(e, hooks=tuple(dict.fromkeys((*e.hooks, *hooks.hooks)))) for e in entries))


@node("ConditioningSetProperties", title="Cond Set Props", category=f"{HOOKS}/cond single", experimental=True)
def conditioning_set_properties(
    cond_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds = "default",
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimestepsRange | None = None,
) -> Conditioning:
    """Strength, region and part of the sampling at once."""
    return _with_properties(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)


@node(
    "ConditioningSetPropertiesAndCombine",
    title="Cond Set Props Combine",
    category=f"{HOOKS}/cond single",
    experimental=True,
)
def conditioning_set_properties_and_combine(
    cond: Conditioning,
    cond_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds = "default",
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimestepsRange | None = None,
) -> Conditioning:
    """A prompt with its strength, region and part of the sampling, beside another."""
    return conditioning_combine(cond, _with_properties(cond_NEW, strength, set_cond_area, mask, hooks, timesteps))


@node(
    "ConditioningSetDefaultCombine",
    title="Cond Set Default Combine",
    category=f"{HOOKS}/cond single",
    experimental=True,
)
def conditioning_set_default_combine(
    cond: Conditioning, cond_DEFAULT: Conditioning, hooks: Hooks | None = None
) -> Conditioning:
    """A prompt that holds wherever the others do not."""
    changed = cond_DEFAULT if hooks is None else _hooked(cond_DEFAULT, hooks)
    return conditioning_combine(cond, changed.each(default=True))


@node("PairConditioningSetProperties", title="Cond Pair Set Props", category=f"{HOOKS}/cond pair", experimental=True)
def pair_conditioning_set_properties(
    positive_NEW: Conditioning,
    negative_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds = "default",
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimestepsRange | None = None,
) -> Pair:
    """Strength, region and part of the sampling for both sides."""
    properties = strength, set_cond_area, mask, hooks, timesteps
    return Pair(_with_properties(positive_NEW, *properties), _with_properties(negative_NEW, *properties))


@node(
    "PairConditioningSetPropertiesAndCombine",
    title="Cond Pair Set Props Combine",
    category=f"{HOOKS}/cond pair",
    experimental=True,
)
def pair_conditioning_set_properties_and_combine(
    positive: Conditioning,
    negative: Conditioning,
    positive_NEW: Conditioning,
    negative_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds = "default",
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimestepsRange | None = None,
) -> Pair:
    """Both sides with their properties, beside two others."""
    new = pair_conditioning_set_properties(positive_NEW, negative_NEW, strength, set_cond_area, mask, hooks, timesteps)
    return pair_conditioning_combine(positive, negative, new.positive, new.negative)


@node(
    "PairConditioningSetDefaultCombine",
    title="Cond Pair Set Default Combine",
    category=f"{HOOKS}/cond pair",
    experimental=True,
)
def pair_conditioning_set_default_combine(
    positive: Conditioning,
    negative: Conditioning,
    positive_DEFAULT: Conditioning,
    negative_DEFAULT: Conditioning,
    hooks: Hooks | None = None,
) -> Pair:
    """Prompts for both sides that hold wherever the others do not."""
    return Pair(
        conditioning_set_default_combine(positive, positive_DEFAULT, hooks),
        conditioning_set_default_combine(negative, negative_DEFAULT, hooks),
    )


@node("PairConditioningCombine", title="Cond Pair Combine", category=f"{HOOKS}/cond pair", experimental=True)
def pair_conditioning_combine(
    positive_A: Conditioning, negative_A: Conditioning, positive_B: Conditioning, negative_B: Conditioning
) -> Pair:
    """Both sides of two pairs hold."""
    return Pair(conditioning_combine(positive_A, positive_B), conditioning_combine(negative_A, negative_B))


# --- what some families take beside the text -------------------------------------------------------------------------


@node("FluxGuidance", category="advanced/conditioning/flux")
def flux_guidance(conditioning: Conditioning, guidance: Guidance = 3.5) -> Conditioning:
    """How strongly a model with distilled guidance, such as Flux dev, follows the prompt."""
    return conditioning.each(guidance=guidance)


@node("FluxDisableGuidance", category="advanced/conditioning/flux")
def flux_disable_guidance(conditioning: Conditioning) -> Conditioning:
    """The family's own distilled guidance again."""
    return conditioning.each(guidance=None)


@node("ReferenceLatent", category="advanced/conditioning/edit_models")
def reference_latent(conditioning: Conditioning, latent: Latent | None = None) -> Conditioning:
    """A picture for editing models to look at; several nodes in a row give several pictures."""
    if latent is None:
        return conditioning
    return Conditioning(
        tuple(
            replace(entry, reference_latents=(*entry.reference_latents, latent.data)) for entry in conditioning.entries
        )
    )

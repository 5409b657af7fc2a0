"""How strong hooks on weights are, by their keyframes: along a sampling, and in the parts that a prompt is encoded for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from graphflow.values import HookKeyframe, WeightHook

Strengths = tuple[tuple[WeightHook, float], ...]
"""Hooks, and what their strengths are multiplied by."""


@dataclass
class _Reached:
    """How far a sampling has come in a list of keyframes."""

    sigma: float | None = None
    index: int = 0
    used: int = 0
    """Noise levels at which the keyframe has held."""


def strengths_at(
    hooks: Sequence[WeightHook],
    sigma: float,
    first: float,
    percent_to_sigma: Callable[[float], float],
    memory: MutableMapping[Any, Any],
) -> Strengths:
    """Multipliers at a noise level of a sampling that began at `first`; `memory` is the sampling's own."""
    found = []
    for hook in hooks:
        if not hook.keyframes:
            found.append((hook, 1.0))
            continue
        key: Hashable = (_Reached, hook.keyframes)
        reached: _Reached = memory.setdefault(key, _Reached())
        if reached.sigma != sigma:
            _advance(reached, hook.keyframes, sigma, first, percent_to_sigma)
        found.append((hook, hook.keyframes[reached.index].strength))
    return tuple(found)


def _advance(
    reached: _Reached,
    keyframes: Sequence[HookKeyframe],
    sigma: float,
    first: float,
    percent_to_sigma: Callable[[float], float],
) -> None:
    """To the last keyframe that has begun, but to none past one that is still to be held for a while."""

    def guarantee(keyframe: HookKeyframe) -> int:
        """Keyframes from before the sampling's first noise level need not be held."""
        return 0 if percent_to_sigma(keyframe.start) > first else keyframe.guarantee

    if reached.used >= guarantee(keyframes[reached.index]):
        for i in range(reached.index + 1, len(keyframes)):
            if percent_to_sigma(keyframes[i].start) < sigma:
                break
            reached.index, reached.used = i, 0
            if guarantee(keyframes[i]) > 0:
                break
    reached.sigma, reached.used = sigma, reached.used + 1


@dataclass(frozen=True)
class Span:
    """A part of the sampling, in shares, and the multipliers in it."""

    start: float
    end: float
    strengths: Strengths


def spans(hooks: Sequence[WeightHook]) -> list[Span]:
    """The parts of the sampling in which the multipliers differ; before its first keyframe a hook has 1."""
    ends = sorted({0.0, 1.0, *(keyframe.start for hook in hooks for keyframe in hook.keyframes)})
    found: list[Span] = []
    for start, end in pairwise(ends):
        strengths = tuple((hook, _at(hook.keyframes, start)) for hook in hooks)
        if found and found[-1].strengths == strengths:
            found[-1] = Span(found[-1].start, end, strengths)
        else:
            found.append(Span(start, end, strengths))
    return found


def _at(keyframes: Sequence[HookKeyframe], share: float) -> float:
    begun = [keyframe.strength for keyframe in keyframes if keyframe.start <= share]
    return begun[-1] if begun else 1.0

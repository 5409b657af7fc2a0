"""What makes a sampling end with a clear message, where numbers that are none would become a black picture."""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from graphflow.diffusion.samplers.common import Walk
from graphflow.node import Denoise, Progress


def check_sigmas(sigmas: Tensor, flow: bool) -> None:
    """Raises `ValueError` for lists that no sampler can walk along; rising and repeated levels are up to the sampler."""
    levels = sigmas.tolist()
    if not all(math.isfinite(level) and level >= 0 for level in levels):
        raise ValueError(f"sigmas must be numbers from 0 up, not {_listed(levels)}; look at the node that made them")
    if 0.0 in levels[:-1]:
        raise ValueError(
            f"step {levels.index(0.0) + 1} begins at sigma 0, where no noise is left to take off: of {_listed(levels)} "
            "only the last may be 0; cut the list there with SplitSigmas"
        )
    if flow and levels[-1] >= 1:
        raise ValueError(
            f"the sigmas {_listed(levels)} end where a flow model's latent is noise alone; let them end below 1"
        )


def _listed(levels: list[float]) -> str:
    shown = [f"{level:.4g}" for level in levels]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:6], "...", shown[-1]])


def watched(
    walk: Walk, sampler: str, sigmas: Tensor
) -> Generator[Denoise | Progress, Any, tuple[Tensor, Tensor | None]]:
    """A sampler's generator, stopped when a prediction or its result is not finite; also gives the last picture it told.

    Raises `ValueError` with the step, the sigma, and what is to blame.
    """
    answer, last, step, sigma = None, None, 1, math.nan
    while True:
        try:
            asked = walk.send(answer)
        except StopIteration as end:
            if not _finite(end.value):
                raise ValueError(f"after step {step - 1} {_overflow(sampler, sigmas)}") from None
            return end.value, last
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise ValueError(f"at step {step} {_overflow(sampler, sigmas)}") from error
        answer = yield asked
        if isinstance(asked, Progress):
            last, step = asked.preview, step + 1
            continue
        sigma = float(asked.sigma)
        if not _finite(answer[0] if isinstance(answer, tuple) else answer):
            blame = (
                "the model's prediction holds NaN or infinity: its weights may be damaged, something in the prompt weigh "
                "far too much, or its numbers be too large for the precision it runs in; try another dtype"
                if _finite(asked.x)
                else _overflow(sampler, sigmas)
            )
            raise ValueError(f"at step {step} (sigma {sigma:.4g}) {blame}")


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _overflow(sampler: str, sigmas: Tensor) -> str:
    """Why a sampler's own numbers are none: the sigmas if they do not fall, else their size."""
    for step, (sigma, after) in enumerate(pairwise(sigmas.tolist()), 1):
        if after >= sigma:
            odd = f"rise at step {step} ({sigma:.4g} to {after:.4g})" if after > sigma else f"repeat {sigma:.4g}"
            return (
                f"{sampler}'s own numbers overflowed: the sigmas {odd}, which it cannot follow; let them fall, or take "
                "euler, which follows any"
            )
    return f"{sampler}'s own numbers overflowed; try another scheduler or a lower cfg"

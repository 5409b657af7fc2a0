"""What the families of flow transformers share: patches as tokens, positions, and parametrisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Facts

if TYPE_CHECKING:
    from torch import Tensor

    from graphflow.diffusion.parametrisation import Parametrisation

FLUX_LATENTS = LatentFormat(16, 0.3611, 0.1159, tiny="taef1")


def shifted(shift: float, multiplier: float = 1000.0) -> Callable[[Facts], Parametrisation]:
    """Rectified flow under a shift; a diffusers folder's scheduler may say another one."""

    def parametrisation(facts: Facts) -> Parametrisation:
        from graphflow.diffusion.parametrisation import Flow, FlowShift, Parametrisation

        said = facts.scheduler.get("shift") if not facts.scheduler.get("use_dynamic_shifting") else None
        return Parametrisation(Flow(), FlowShift(float(said or shift), multiplier))

    return parametrisation


def mu(value: float) -> Callable[[Facts], Parametrisation]:
    """Rectified flow with Flux's exponential shift."""

    def parametrisation(facts: Facts) -> Parametrisation:
        from graphflow.diffusion.parametrisation import Flow, FlowMu, Parametrisation

        return Parametrisation(Flow(), FlowMu(value))

    return parametrisation


def even(x: Tensor, multiple: int = 2) -> Tensor:
    """x with its last two sides grown to a multiple, wrapped around."""
    from torch.nn import functional

    down, right = (-x.shape[-2]) % multiple, (-x.shape[-1]) % multiple
    if not down and not right:
        return x
    wide = x.ndim == 5
    flat = x.flatten(1, 2) if wide else x
    grown = functional.pad(flat, (0, right, 0, down), mode="circular")
    return grown.reshape(*x.shape[:3], *grown.shape[-2:]) if wide else grown


def pack(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h/2 w/2, 4 C): squares of four as one token, channels outermost."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, (h // 2) * (w // 2), c * 4)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`, for a latent of that size."""
    n, _, c = tokens.shape
    x = tokens.reshape(n, height // 2, width // 2, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(n, c // 4, height, width)


def positions(height: int, width: int, index: int = 0, top: int = 0, left: int = 0) -> Tensor:
    """(height width, 3): picture's index, row and column of each token."""
    import torch

    rows = torch.arange(height)[:, None].expand(height, width) + top
    columns = torch.arange(width)[None, :].expand(height, width) + left
    return torch.stack([torch.full_like(rows, index), rows, columns], dim=-1).reshape(-1, 3)


def places(
    sizes: Sequence[tuple[int, int]], own: tuple[int, int], method: str, step: int = 1
) -> list[tuple[int, int, int]]:
    """Index, top and left of each reference picture, whose rows and columns of tokens are `sizes`, beside one of `own`.

    `offset`: all of index 1, each put where the ones before leave room. `index`, with or without `_timestep_zero`: one
    index after another, all at the picture's own place. `uxo`: the picture's index, along the diagonal from its corner.
    """
    found = []
    height, width = own if method == "uxo" else (0, 0)
    for number, (rows, columns) in enumerate(sizes, start=1):
        if method.startswith("index"):
            found.append((number * step, 0, 0))
        elif method == "uxo":
            found.append((0, height, width))
            height, width = height + rows, width + columns
        else:
            top, left = (0, width) if rows + height > columns + width else (height, 0)
            found.append((1, top, left))
            height, width = max(height, rows + top), max(width, columns + left)
    return found


def beside(references: Sequence[Tensor], own: tuple[int, int], method: str = "") -> tuple[list[Tensor], list[Tensor]]:
    """Reference pictures as tokens, and their positions beside a picture of `own` rows and columns of tokens."""
    grown = [even(r[:, :, 0] if r.ndim == 5 else r) for r in references]
    sizes = [(x.shape[-2] // 2, x.shape[-1] // 2) for x in grown]
    at = places(sizes, own, method or "offset")
    return [pack(x) for x in grown], [positions(*size, *place) for size, place in zip(sizes, at, strict=True)]


def first(module: Any, *args: Any, **kwargs: Any) -> Tensor:
    """The output of a diffusers network."""
    out: Tensor = module(*args, return_dict=False, **kwargs)[0]
    return out

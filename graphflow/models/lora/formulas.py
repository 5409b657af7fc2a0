"""What LoRA and its kin add to a weight.

W' = W + strength * change(W), where the change is low-rank (LoRA), a product of such (LoHa, LoKr), a rotation (OFT, BOFT),
a factor for each channel (IA3), or written out (diff). Formulas are those of peft and LyCORIS, which train such files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Adapter = Mapping[str, Tensor]
"""The tensors of one module's adapter, by their names' ends: `up`, `down`, `alpha`, `lokr_w1`, ..."""


def change(adapter: Adapter, weight: Tensor, strength: float = 1.0) -> Tensor:
    """What the adapter adds to `weight`, shaped like it, float32; `weight` is float32.

    Raises `ValueError` when their shapes do not fit.
    """
    if "oft_blocks" in adapter and adapter["oft_blocks"].ndim == 4:
        return _boft(adapter, weight, strength)
    for mark, formula in _FORMULAS.items():
        if mark in adapter:
            delta = formula(adapter, weight)
            break
    else:
        raise ValueError(f"{', '.join(sorted(adapter))} is no kind of adapter that is known")
    if delta.numel() != weight.numel():
        raise ValueError(f"its change is {list(delta.shape)} where the weight is {list(weight.shape)}")
    return strength * _decomposed(adapter, weight, delta.reshape(weight.shape))


def scale(adapter: Adapter, rank: int) -> float:
    """alpha / r; 1 without an alpha."""
    return float(adapter["alpha"]) / rank if "alpha" in adapter and rank else 1.0


# --- sums of matrices ------------------------------------------------------------------------------------------------


def _product(up: Tensor, down: Tensor, middle: Tensor | None = None) -> Tensor:
    """up (o, r) and down (r, i ...); with a middle (r, s, ...) and down (s, i), Tucker's form for convolutions."""
    if middle is None:
        return (up.float().flatten(1) @ down.float().flatten(1)).reshape(len(up), *down.shape[1:])
    core = torch.einsum("rs...,or->os...", middle.float(), up.float().flatten(1))
    return torch.einsum("os...,si->oi...", core, down.float().flatten(1))


def _lora(adapter: Adapter, weight: Tensor) -> Tensor:
    """(alpha / r) up down (https://arxiv.org/abs/2106.09685)."""
    product = _product(adapter["up"], adapter["down"], adapter.get("mid"))
    return product * scale(adapter, adapter["down"].shape[0])


def _side(adapter: Adapter, name: str, core: str) -> Tensor:
    """One of the two factors of LoHa and LoKr, itself a product; Tucker's form has its first matrix the other way round."""
    a, b, middle = adapter[f"{name}_a"], adapter[f"{name}_b"], adapter.get(core)
    return _product(a, b) if middle is None else _product(a.T, b, middle)


def _loha(adapter: Adapter, weight: Tensor) -> Tensor:
    """(w1a w1b) * (w2a w2b), number by number (https://arxiv.org/abs/2108.06098)."""
    first, second = (_side(adapter, f"hada_w{n}", f"hada_t{n}") for n in (1, 2))
    return first * second * scale(adapter, adapter["hada_w1_b"].shape[0])


def _lokr(adapter: Adapter, weight: Tensor) -> Tensor:
    """Kronecker's product of w1 and w2, either of them perhaps a product itself (https://arxiv.org/abs/2309.14859).

    alpha / r counts where at least one is a product.
    """
    ranks = [adapter[name].shape[0] for name in ("lokr_w1_b", "lokr_w2_b") if name in adapter]
    first, second = (
        adapter[f"lokr_w{n}"].float() if f"lokr_w{n}" in adapter else _side(adapter, f"lokr_w{n}", f"lokr_t{n}")
        for n in (1, 2)
    )
    first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
    return torch.kron(first, second.contiguous()) * (scale(adapter, ranks[-1]) if ranks else 1.0)


def _glora(adapter: Adapter, weight: Tensor) -> Tensor:
    """W A + B with low-rank A and B (https://arxiv.org/abs/2306.07967)."""
    a1, a2, b1, b2 = (adapter[name].float() for name in ("a1", "a2", "b1", "b2"))
    if b1.shape[0] != weight.shape[0]:  # the first files of the kind have each pair the other way round
        a1, a2, b1, b2 = a2, a1, b2, b1
    turned = torch.einsum("oi...,ir,rj->oj...", weight, a1.flatten(1), a2.flatten(1))
    return (_product(b1, b2, adapter.get("bm")).reshape(weight.shape) + turned) * scale(adapter, b1.shape[1])


def _diff(adapter: Adapter, weight: Tensor) -> Tensor:
    """The change itself."""
    return adapter["diff"].float()


# --- rotations -------------------------------------------------------------------------------------------------------


def _rotations(adapter: Adapter, rows: int) -> Tensor:
    """Cayley's map of the skew part of (..., n, n); `alpha` times the rows bounds how far they turn."""
    blocks = adapter["oft_blocks"].float()
    skew = blocks - blocks.mT
    limit = float(adapter["alpha"]) * rows if "alpha" in adapter else 0.0
    norm = skew.norm() + 1e-8
    if limit > 0 and norm > limit:
        skew = skew * (limit / norm)
    eye = torch.eye(blocks.shape[-1], device=blocks.device)
    return (eye + skew) @ torch.linalg.inv(eye - skew)


def _rescaled(adapter: Adapter, weight: Tensor) -> Tensor:
    rescale = adapter.get("rescale")
    return weight if rescale is None else weight * rescale.float().reshape(-1, *[1] * (weight.ndim - 1))


def _oft(adapter: Adapter, weight: Tensor) -> Tensor:
    """R' W - W with R orthogonal in blocks (https://arxiv.org/abs/2306.07280), as kohya and LyCORIS have it."""
    rotations = _rotations(adapter, len(weight))
    blocks = weight.flatten(1).reshape(*rotations.shape[:2], -1)
    return _rescaled(adapter, torch.einsum("knm,knc->kmc", rotations, blocks).reshape(weight.shape)) - weight


def _boft(adapter: Adapter, weight: Tensor, strength: float) -> Tensor:
    """R_m ... R_1 W - W, each factor mixing rows twice as far apart as the one before (https://arxiv.org/abs/2311.06243).

    The strength goes from the identity to each factor.
    """
    turned = weight.flatten(1)
    for stage, rotations in enumerate(_rotations(adapter, len(weight))):
        blocks, size, _ = rotations.shape
        reach = 2**stage * (size // 2)
        pairs = torch.arange(len(weight), device=weight.device).reshape(-1, 2, reach).mT.flatten()
        partly = torch.lerp(torch.eye(size, device=weight.device), rotations, strength)
        mixed = torch.einsum("kij,kjc->kic", partly, turned[pairs].reshape(blocks, size, -1))
        turned = turned.index_copy(0, pairs, mixed.reshape(turned.shape))
    return _rescaled(adapter, turned.reshape(weight.shape)) - weight


def _oft_of_inputs(adapter: Adapter, weight: Tensor) -> Tensor:
    """W R' - W as peft has it: R turns what a layer is given, by the first terms of Cayley's map as a series.

    `oft_R` holds the upper triangle of each block, row by row; a single block stands for all.
    """
    packed = adapter["oft_R"].float()
    size = (1 + math.isqrt(1 + 8 * packed.shape[1])) // 2
    skew = torch.zeros(len(packed), size, size, device=packed.device)
    rows, columns = torch.triu_indices(size, size, 1)
    skew[:, rows, columns] = packed
    skew = skew - skew.mT
    eye = torch.eye(size, device=packed.device)
    rotations = eye + 2 * skew @ (eye + skew @ (eye + skew @ (eye + skew / 2)))
    blocks = weight.reshape(len(weight), -1, size)
    return (
        torch.einsum("okc,kdc->okd", blocks, rotations.expand(blocks.shape[1], -1, -1)).reshape(weight.shape) - weight
    )


# --- factors ---------------------------------------------------------------------------------------------------------


def _ia3(adapter: Adapter, weight: Tensor) -> Tensor:
    """W times a factor for each channel that goes in or comes out, less W (https://arxiv.org/abs/2205.05638)."""
    factors = adapter["factors"].float().flatten()
    axis = 1 if bool(adapter["on_input"]) else 0
    return weight * factors.reshape([-1 if n == axis else 1 for n in range(weight.ndim)])


def _decomposed(adapter: Adapter, weight: Tensor, delta: Tensor) -> Tensor:
    """With DoRA, direction and magnitude apart (https://arxiv.org/abs/2402.09353).

    Magnitudes are those of rows (`magnitude`, as peft has them), or of rows or columns by their shape (`dora_scale`).
    """
    magnitude = adapter.get("magnitude", adapter.get("dora_scale"))
    if magnitude is None:
        return delta
    turned, magnitude = weight + delta, magnitude.float()
    rows = "magnitude" in adapter or magnitude.shape[0] == weight.shape[0] == magnitude.numel()
    others = [n for n in range(weight.ndim) if n != (0 if rows else 1)]
    norm = turned.pow(2).sum(dim=others, keepdim=True).sqrt() + torch.finfo(torch.float32).eps
    return turned * (magnitude.reshape(norm.shape) / norm) - weight


_FORMULAS: Mapping[str, Callable[[Adapter, Tensor], Tensor]] = {
    "up": _lora, "hada_w1_a": _loha, "lokr_w1": _lokr, "lokr_w1_a": _lokr, "a1": _glora, "oft_blocks": _oft,
    "oft_R": _oft_of_inputs, "on_input": _ia3, "diff": _diff,
}  # fmt: skip

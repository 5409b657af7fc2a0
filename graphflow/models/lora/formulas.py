"""What LoRA and its kin add to a weight.

W' = W + strength * change(W), where the change is low-rank (LoRA), a product of such (LoHa, LoKr), a rotation (OFT), or
written out (diff).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Adapter = Mapping[str, Tensor]
"""The tensors of one module's adapter, by their names' ends: `up`, `down`, `alpha`, `lokr_w1`, ..."""


def change(adapter: Adapter, weight: Tensor) -> Tensor:
    """What the adapter adds to `weight` at strength 1, shaped like it, float32; `weight` is float32.

    Raises `ValueError` when their shapes do not fit.
    """
    for mark, formula in _FORMULAS.items():
        if mark in adapter:
            delta = formula(adapter, weight)
            break
    else:
        raise ValueError(f"{', '.join(sorted(adapter))} is no kind of adapter that is known")
    if delta.numel() != weight.numel():
        raise ValueError(f"its change is {list(delta.shape)} where the weight is {list(weight.shape)}")
    delta = delta.reshape(weight.shape)
    return _decomposed(adapter["dora_scale"], weight, delta) if "dora_scale" in adapter else delta


def _scale(adapter: Adapter, rank: int) -> float:
    return float(adapter["alpha"]) / rank if "alpha" in adapter and rank else 1.0


def _lora(adapter: Adapter, weight: Tensor) -> Tensor:
    """(alpha / r) up down (https://arxiv.org/abs/2106.09685); with `mid`, Tucker's form for convolutions."""
    up, down = adapter["up"].float(), adapter["down"].float()
    if "mid" in adapter:
        core = torch.einsum("ikhw,oi->okhw", adapter["mid"].float(), up.flatten(1))
        product = torch.einsum("okhw,kj->ojhw", core, down.flatten(1))
    else:
        product = up.flatten(1) @ down.flatten(1)
    return product * _scale(adapter, down.shape[0])


def _loha(adapter: Adapter, weight: Tensor) -> Tensor:
    """(w1a w1b) * (w2a w2b), number by number (https://arxiv.org/abs/2108.06098)."""

    def side(n: int) -> Tensor:
        a, b = adapter[f"hada_w{n}_a"].float(), adapter[f"hada_w{n}_b"].float()
        if f"hada_t{n}" in adapter:
            return torch.einsum("ijhw,jr,ip->prhw", adapter[f"hada_t{n}"].float(), b, a)
        return a @ b

    return side(1) * side(2) * _scale(adapter, adapter["hada_w1_b"].shape[0])


def _lokr(adapter: Adapter, weight: Tensor) -> Tensor:
    """Kronecker's product of w1 and w2, either of them perhaps a product itself (https://arxiv.org/abs/2309.14859)."""
    rank = 0

    def side(n: int) -> Tensor:
        nonlocal rank
        if (whole := adapter.get(f"lokr_w{n}")) is not None:
            return whole.float()
        a, b = adapter[f"lokr_w{n}_a"].float(), adapter[f"lokr_w{n}_b"].float()
        rank = b.shape[0]
        if f"lokr_t{n}" in adapter:
            return torch.einsum("ijhw,jr,ip->prhw", adapter[f"lokr_t{n}"].float(), b, a)
        return a @ b

    first, second = side(1), side(2)
    if second.ndim == 4:
        first = first[:, :, None, None]
    return torch.kron(first, second) * (_scale(adapter, rank) if rank else 1.0)


def _glora(adapter: Adapter, weight: Tensor) -> Tensor:
    """W A + B with low-rank A and B (https://arxiv.org/abs/2306.07967); the two orders in which files hold them."""
    a1, a2, b1, b2 = (adapter[name].float().flatten(1) for name in ("a1", "a2", "b1", "b2"))
    flat = weight.flatten(1)
    if a2.shape[0] == flat.shape[1] and b2.shape[0] == flat.shape[0]:
        return (b2 @ b1 + flat @ a2 @ a1) * _scale(adapter, b1.shape[0])
    return (b1.T @ b2.T if b1.shape[1] == flat.shape[0] else b1 @ b2) + flat @ a1 @ a2


def _oft(adapter: Adapter, weight: Tensor) -> Tensor:
    """R W - W with R orthogonal in blocks, by Cayley's map of a skew matrix (https://arxiv.org/abs/2306.07280)."""
    blocks = adapter["oft_blocks"].float()
    skew = blocks - blocks.transpose(1, 2)
    limit = float(adapter["alpha"]) if "alpha" in adapter else 0.0
    norm = skew.norm() + 1e-8
    if limit > 0 and norm > limit:
        skew = skew * (limit / norm)
    eye = torch.eye(blocks.shape[1], device=blocks.device)
    rotation = (eye + skew) @ torch.linalg.inv(eye - skew)
    rows = weight.flatten(1).reshape(blocks.shape[0], blocks.shape[1], -1)
    rotated = torch.einsum("knm,kni->kmi", rotation, rows).reshape(weight.shape)
    if "rescale" in adapter:
        rotated = rotated * adapter["rescale"].float().reshape(-1, *([1] * (weight.ndim - 1)))
    return rotated - weight


def _diff(adapter: Adapter, weight: Tensor) -> Tensor:
    """The change itself."""
    return adapter["diff"].float()


def _decomposed(magnitude: Tensor, weight: Tensor, delta: Tensor) -> Tensor:
    """DoRA: direction and magnitude apart (https://arxiv.org/abs/2402.09353); magnitudes a row or a column."""
    turned = weight + delta
    magnitude = magnitude.float()
    axis = 0 if magnitude.shape[0] == weight.shape[0] and magnitude.numel() == weight.shape[0] else 1
    others = [n for n in range(weight.ndim) if n != axis]
    norm = turned.pow(2).sum(dim=others, keepdim=True).sqrt() + torch.finfo(torch.float32).eps
    return turned * (magnitude.reshape(norm.shape) / norm) - weight


_FORMULAS: Mapping[str, Callable[[Adapter, Tensor], Tensor]] = {
    "up": _lora, "hada_w1_a": _loha, "lokr_w1": _lokr, "lokr_w1_a": _lokr, "a1": _glora, "oft_blocks": _oft,
    "diff": _diff,
}  # fmt: skip

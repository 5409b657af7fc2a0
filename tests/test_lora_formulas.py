"""Each kind of adapter changes a weight by its formula, written out here another way and in double precision.

The formulas were compared with those of LyCORIS 3 and peft 0.21 once, on all of these shapes: to 2e-7.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphflow.models.lora import change, groups

W = torch.randn(12, 8, generator=torch.Generator().manual_seed(5))
CONV = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(6))


def r(*shape: int) -> Tensor:
    """Numbers that depend on the shape alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.3


def d(*shape: int) -> Tensor:
    return r(*shape).double()


def cayley(blocks: Tensor, limit: float = math.inf) -> Tensor:
    """The rotation of the whole, from skew parts that are bound together."""
    skew = blocks - blocks.mT
    skew = skew * min(1.0, limit / float(skew.norm()))
    eye = torch.eye(blocks.shape[-1]).double()
    return torch.block_diag(*(torch.linalg.solve(eye - q, eye + q) for q in skew))


def tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("rshw,ro,si->oihw", core, a, b)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Of a matrix and a convolution's weight, place by place."""
    return torch.stack(
        [torch.stack([torch.kron(a, b[..., y, x]) for x in range(b.shape[3])], -1) for y in range(b.shape[2])], -2
    )


def butterfly(factors: Tensor, weight: Tensor) -> Tensor:
    """Rows that are `reach` apart meet, in each stage twice as far as before."""
    _, blocks, size, _ = factors.shape
    turned = weight.double()
    for stage in range(len(factors)):
        reach = 2**stage * size // 2
        order = [begin + place + side * reach for begin in range(0, len(weight), 2 * reach)
                 for place in range(reach) for side in (0, 1)]  # fmt: skip
        shuffle = torch.eye(len(weight)).double()[order]
        whole = torch.block_diag(*(cayley(factors[stage, n][None]) for n in range(blocks)))
        turned = shuffle.T @ whole @ shuffle @ turned
    return turned


def series(packed: Tensor, size: int, blocks: int) -> Tensor:
    """peft's rotation of the inputs."""
    found = []
    for row in packed.double():
        skew, numbers = torch.zeros(size, size).double(), iter(row)
        for i in range(size):
            for j in range(i + 1, size):
                skew[i, j] = next(numbers)
                skew[j, i] = -skew[i, j]
        powers = [torch.linalg.matrix_power(skew, n) for n in range(5)]
        found.append(powers[0] + 2 * powers[1] + 2 * powers[2] + 2 * powers[3] + powers[4])
    return torch.block_diag(*(found * blocks if len(found) == 1 else found))


def decomposed(turned: Tensor, magnitude: Tensor, axis: int) -> Tensor:
    """W' with the lengths of rows (0) or columns (1) set."""
    slices = [turned.select(axis, n) for n in range(turned.shape[axis])]
    return torch.stack([s / s.norm() * m for s, m in zip(slices, magnitude.flatten().double(), strict=True)], axis)


LOHA = {"hada_w1_a": r(12, 2), "hada_w1_b": r(2, 8), "hada_w2_a": r(12, 3), "hada_w2_b": r(3, 8)}
LOKR = {"lokr_w1": r(3, 2), "lokr_w2_a": r(4, 2), "lokr_w2_b": r(2, 4)}
MAGNITUDE = torch.linspace(0.5, 2, 12)
HALF = {"alpha": torch.tensor(1.0)}
"""alpha / r of a half, at rank 2."""

FORMULAS: dict[str, tuple[dict[str, Tensor], Tensor, Callable[[], Tensor]]] = {
    "LoRA": ({"up": r(12, 2), "down": r(2, 8)}, W, lambda: d(12, 2) @ d(2, 8)),
    "LoRA with alpha": ({"up": r(12, 2), "down": r(2, 8), **HALF}, W, lambda: d(12, 2) @ d(2, 8) / 2),
    "LoCon": (
        {"up": r(6, 2, 1, 1), "down": r(2, 4, 3, 3)}, CONV,
        lambda: torch.einsum("or,rihw->oihw", d(6, 2, 1, 1).flatten(1), d(2, 4, 3, 3)),
    ),
    "LoCon with a middle": (
        {"up": r(6, 2, 1, 1), "down": r(3, 4, 1, 1), "mid": r(2, 3, 3, 3)}, CONV,
        lambda: tucker(d(2, 3, 3, 3), d(6, 2, 1, 1).flatten(1).T, d(3, 4, 1, 1).flatten(1)),
    ),
    "LoHa": ({**LOHA, **HALF}, W, lambda: (d(12, 2) @ d(2, 8)) * (d(12, 3) @ d(3, 8)) / 2),
    "LoHa on a convolution": (
        {"hada_w1_a": r(6, 2), "hada_w1_b": r(2, 36), "hada_w2_a": r(6, 3), "hada_w2_b": r(3, 36)}, CONV,
        lambda: ((d(6, 2) @ d(2, 36)) * (d(6, 3) @ d(3, 36))).reshape(6, 4, 3, 3),
    ),
    "LoHa with cores": (
        {"hada_w1_a": r(2, 6), "hada_w1_b": r(2, 4), "hada_t1": r(2, 2, 3, 3), "hada_w2_a": r(3, 6), "hada_w2_b": r(3, 4),
         "hada_t2": r(3, 3, 3, 3), **HALF}, CONV,
        lambda: tucker(d(2, 2, 3, 3), d(2, 6), d(2, 4)) * tucker(d(3, 3, 3, 3), d(3, 6), d(3, 4)) / 2,
    ),
    "LoKr": ({"lokr_w1": r(3, 2), "lokr_w2": r(4, 4), **HALF}, W, lambda: torch.kron(d(3, 2), d(4, 4))),
    "LoKr of low rank": ({**LOKR, **HALF}, W, lambda: torch.kron(d(3, 2), d(4, 2) @ d(2, 4)) / 2),
    "LoKr, both of low rank": (
        {"lokr_w1_a": r(3, 2), "lokr_w1_b": r(2, 2), "lokr_w2_a": r(4, 2), "lokr_w2_b": r(2, 4), **HALF}, W,
        lambda: torch.kron(d(3, 2) @ d(2, 2), d(4, 2) @ d(2, 4)) / 2,
    ),
    "LoKr on a convolution": (
        {"lokr_w1": r(3, 2), "lokr_w2": r(2, 2, 3, 3)}, CONV, lambda: kron(d(3, 2), d(2, 2, 3, 3)),
    ),
    "LoKr of low rank on a convolution": (
        {"lokr_w1": r(3, 2), "lokr_w2_a": r(2, 2), "lokr_w2_b": r(2, 2, 3, 3), **HALF}, CONV,
        lambda: kron(d(3, 2), torch.einsum("or,rihw->oihw", d(2, 2), d(2, 2, 3, 3))) / 2,
    ),
    "LoKr with a core": (
        {"lokr_w1": r(3, 2), "lokr_t2": r(2, 2, 3, 3), "lokr_w2_a": r(2, 2), "lokr_w2_b": 2 * r(2, 2), **HALF}, CONV,
        lambda: kron(d(3, 2), tucker(d(2, 2, 3, 3), d(2, 2), 2 * d(2, 2))) / 2,
    ),
    "GLoRA": (
        {"a1": r(8, 2), "a2": r(2, 8), "b1": r(12, 2), "b2": 2 * r(2, 8), **HALF}, W,
        lambda: (W.double() @ d(8, 2) @ d(2, 8) + d(12, 2) @ (2 * d(2, 8))) / 2,
    ),
    "GLoRA of old": (
        {"a1": r(2, 8), "a2": r(8, 2), "b1": 2 * r(2, 8), "b2": r(12, 2), **HALF}, W,
        lambda: (W.double() @ d(8, 2) @ d(2, 8) + d(12, 2) @ (2 * d(2, 8))) / 2,
    ),
    "GLoRA on a convolution": (
        {"a1": r(4, 2, 1, 1), "a2": r(2, 4, 1, 1), "b1": r(6, 2, 1, 1), "b2": r(2, 4, 3, 3)}, CONV,
        lambda: torch.einsum("oihw,ij->ojhw", CONV.double(), d(4, 2, 1, 1).flatten(1) @ d(2, 4, 1, 1).flatten(1))
        + torch.einsum("or,rihw->oihw", d(6, 2, 1, 1).flatten(1), d(2, 4, 3, 3)),
    ),
    "OFT": ({"oft_blocks": r(3, 4, 4)}, W, lambda: cayley(d(3, 4, 4)).T @ W.double() - W.double()),
    "OFT that may not turn far": (
        {"oft_blocks": r(3, 4, 4), "alpha": torch.tensor(0.01)}, W,
        lambda: cayley(d(3, 4, 4), 0.01 * 12).T @ W.double() - W.double(),
    ),
    "OFT with lengths": (
        {"oft_blocks": r(3, 4, 4), "rescale": r(12, 1)}, W,
        lambda: d(12, 1) * (cayley(d(3, 4, 4)).T @ W.double()) - W.double(),
    ),
    "OFT on a convolution": (
        {"oft_blocks": r(3, 2, 2)}, CONV,
        lambda: (cayley(d(3, 2, 2)).T @ CONV.double().flatten(1)).reshape(CONV.shape) - CONV.double(),
    ),
    "BOFT": ({"oft_blocks": r(1, 3, 4, 4)}, W, lambda: butterfly(d(1, 3, 4, 4), W) - W.double()),
    "OFT of peft": (
        {"oft_R": r(2, 6)}, W, lambda: W.double() @ series(r(2, 6), 4, 2).T - W.double(),
    ),
    "OFT of peft with one block for all": (
        {"oft_R": r(1, 6)}, W, lambda: W.double() @ series(r(1, 6), 4, 2).T - W.double(),
    ),
    "OFT of peft on a convolution": (
        {"oft_R": r(4, 36)}, CONV,
        lambda: (CONV.double().flatten(1) @ series(r(4, 36), 9, 4).T).reshape(CONV.shape) - CONV.double(),
    ),
    "IA3": ({"factors": r(12), "on_input": torch.tensor(0)}, W, lambda: d(12)[:, None] * W.double()),
    "IA3 on what goes in": (
        {"factors": r(1, 4, 1, 1), "on_input": torch.tensor(1)}, CONV, lambda: d(1, 4, 1, 1) * CONV.double(),
    ),
    "full difference": ({"diff": r(12, 8)}, W, lambda: d(12, 8)),
    "DoRA by rows": (
        {"up": r(12, 2), "down": r(2, 8), "dora_scale": MAGNITUDE[:, None], **HALF}, W,
        lambda: decomposed(W.double() + d(12, 2) @ d(2, 8) / 2, MAGNITUDE, 0) - W.double(),
    ),
    "DoRA by columns": (
        {"up": r(12, 2), "down": r(2, 8), "dora_scale": MAGNITUDE[None, :8]}, W,
        lambda: decomposed(W.double() + d(12, 2) @ d(2, 8), MAGNITUDE[:8], 1) - W.double(),
    ),
    "DoRA of peft on a convolution": (
        {"up": r(6, 2, 1, 1), "down": r(2, 4, 3, 3), "magnitude": MAGNITUDE[:6].reshape(1, 6, 1, 1)}, CONV,
        lambda: decomposed(
            CONV.double() + torch.einsum("or,rihw->oihw", d(6, 2, 1, 1).flatten(1), d(2, 4, 3, 3)), MAGNITUDE[:6], 0
        ) - CONV.double(),
    ),
    "DoRA on LoHa": (
        {**LOHA, **HALF, "dora_scale": MAGNITUDE[:, None]}, W,
        lambda: decomposed(W.double() + (d(12, 2) @ d(2, 8)) * (d(12, 3) @ d(3, 8)) / 2, MAGNITUDE, 0) - W.double(),
    ),
    "DoRA on LoKr": (
        {**LOKR, **HALF, "dora_scale": MAGNITUDE[:, None]}, W,
        lambda: decomposed(W.double() + torch.kron(d(3, 2), d(4, 2) @ d(2, 4)) / 2, MAGNITUDE, 0) - W.double(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMULAS)
def test_each_kind_changes_a_weight_by_its_formula(kind: str) -> None:
    adapter, before, expected = FORMULAS[kind]

    found, wanted = change(adapter, before), expected()

    assert wanted.abs().max() > 1e-2
    torch.testing.assert_close(found.double(), wanted.reshape(before.shape), atol=3e-6, rtol=1e-5)
    torch.testing.assert_close(change(adapter, before, -0.5), -0.5 * found)


def test_butterflies_mix_rows_that_lie_ever_farther_apart() -> None:
    weight, factors = r(16, 5), r(3, 4, 4, 4)

    found = change({"oft_blocks": factors}, weight)

    torch.testing.assert_close(
        found.double(), butterfly(factors.double(), weight) - weight.double(), atol=3e-6, rtol=1e-5
    )
    torch.testing.assert_close((weight + found).T @ (weight + found), weight.T @ weight, atol=1e-5, rtol=1e-4)
    half = change({"oft_blocks": factors[:1]}, weight, 0.5)  # of one stage alone the strength is a plain share
    torch.testing.assert_close(half, change({"oft_blocks": factors[:1]}, weight) / 2, atol=1e-6, rtol=1e-5)


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match=r"its change is \[12, 6\] where the weight is \[12, 8\]"):
        change({"up": r(12, 2), "down": r(2, 6)}, W)
    with pytest.raises(ValueError, match="alpha, what is no kind of adapter that is known"):
        change({"what": r(1), "alpha": r(1)}, W)


def test_every_kind_is_told_by_the_names_in_its_file() -> None:
    files = {
        "a.oft_R.weight": "oft_R", "a.oft_R.default.weight": "oft_R", "a.oft_blocks": "oft_blocks", "a.oft_diag": "oft_blocks",
        "a.lora_magnitude_vector": "magnitude", "a.dora_scale": "dora_scale", "a.bm.weight": "bm", "a.lokr_t2": "lokr_t2",
        "a.hada_t1": "hada_t1", "a.lora_mid.weight": "mid", "a.w_norm": "diff", "a.b_norm": "diff_b", "a.set_weight": "set",
    }  # fmt: skip
    for key, end in files.items():
        ((group,), unknown) = groups([key])
        assert (group.name, list(group.keys), unknown) == ("a", [end], [])
    ((ia3,), unknown) = groups(["a.weight", "a.on_input"])
    assert (dict(ia3.keys), unknown) == ({"factors": "a.weight", "on_input": "a.on_input"}, [])

"""Numbers are reckoned exactly and safely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow_nodes import math as n

NUMBERS = {"a": 48, "b": 0.5, "c": True}

PUBLISHED = {
    "floor(a/32)*32": 32,
    "max(((a + 15) // 16) * 16, 256)": 256,
    "a & ~1": 48,
    "a & -8": 48,
    "a % b if b > 0 else 0": 0.0,
    "max(5, round(a * 24)) + (5 - (max(5, round(a * 24)) % 17)) % 17": 1161,
    "ceil(1.5 * log2(max(a, b))) + 2": 11,
    "(a % 4 == 1) and ((b - 1) % 4 == 0)": False,
    "min(abs(b), 16) * a": 24.0,
    "4 * ceil((a - b * c + c - 1) / 4) + 1": 49,
    "round (a * 24)": 1152,
    "a > 2048": False,
    "max(4, (int(a) // 16) * 16)": 48,
}
"""Formulas of published workflows."""


@pytest.mark.parametrize(("formula", "wanted"), PUBLISHED.items(), ids=PUBLISHED)
def test_published_formulas(formula: str, wanted: float) -> None:
    assert n.math_expression(formula, **NUMBERS) == (float(wanted), int(wanted), bool(wanted))


@given(st.integers(-50, 50), st.integers(1, 50))
def test_formulas_mean_what_python_means(a: int, b: int) -> None:
    formula = "-a + b * 2 ** 3 - a // b % 7 if not a < b or a == 1 else (a ^ b | 3) >> 1 << 2"
    assert n.evaluate(formula, {"a": a, "b": b}) == eval(formula, {"a": a, "b": b})


def test_only_the_branch_taken_is_reckoned() -> None:
    assert n.evaluate("1 / a if a else 0", {"a": 0}) == 0
    assert n.evaluate("a and 1 / a", {"a": 0}) == 0


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", "is no formula"),
        ("a +", "is no formula"),
        ("z", "asks for z, to which nothing is linked"),
        ("a / 0", "cannot be reckoned: division by zero"),
        ("sqrt(-1)", "math domain error|expected a nonnegative"),
        ("a.real", "cannot hold 'a.real'"),
        ("__import__('os')", "cannot hold"),
        ("(lambda: 1)()", "cannot hold"),
        ("[1]", "cannot hold"),
        ("'text'", "cannot hold"),
        ("9 ** 9 ** 9", "too large"),
        ("1 << 99999", "too large"),
        ("b & 1", "unsupported operand"),
        ("1e308 * 10", "no finite number"),
        ("(-1) ** 0.5", "no number"),
        ("-" * 5000 + "1", "has 5001 characters; at most 1000"),
    ],
)
def test_what_cannot_be_reckoned_is_told(formula: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        n.math_expression(formula, **NUMBERS)


def test_things_are_converted_to_numbers() -> None:
    assert [n.number_convert(x) for x in (3, 2.9, -2.9, "3.5", " 12 ", True)] == [
        (3.0, 3), (2.9, 2), (-2.9, -2), (3.5, 3), (12.0, 12), (1.0, 1),
    ]  # fmt: skip
    for text in ("", "apple"):
        with pytest.raises(ValueError, match="holds no number"):
            n.number_convert(text)
    with pytest.raises(ValueError, match="no finite number"):
        n.number_convert("inf")


def test_a_resolution_is_chosen_by_proportions() -> None:
    assert n.resolution_selector() == (1024, 1024)
    assert n.resolution_selector("16:9 (Widescreen)", 0.4, 32) == (864, 480)
    assert n.resolution_selector("9:16 (Portrait Widescreen)", 1.0, 8) == (768, 1368)

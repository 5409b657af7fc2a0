"""Noise that a seed fixes."""

from __future__ import annotations

import pytest
import torch

from graphflow.diffusion.noise import NoiseSource, initial_noise
from tests.numerics import golden, same_arithmetic


def test_initial_noise_equals_the_reference() -> None:
    for key, expected in golden("noise").items():
        kind, seed, *rest = key.split("/")
        if kind == "initial" and not rest[0].startswith("batch_index"):
            assert torch.equal(initial_noise(expected.shape, int(seed)), expected), key


@pytest.mark.parametrize("index", [(0, 1), (1,), (3, 1, 1)])
def test_a_batch_index_picks_samples_of_a_larger_batch(index: tuple[int, ...]) -> None:
    expected = golden("noise")[f"initial/42/batch_index_{'_'.join(map(str, index))}"]
    assert torch.equal(initial_noise((len(index), 4, 8, 8), 42, index), expected)


def test_no_seed_is_no_noise() -> None:
    assert torch.equal(initial_noise((1, 4, 2, 2), None), torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize(("compat", "offset"), [("0.3.64", 0), ("current", 1)])
@pytest.mark.parametrize("seed", [1, 42, 9223372036854775819])
def test_ancestral_noise_follows_the_version_asked_for(seed: int, compat: str, offset: int) -> None:
    source = NoiseSource(torch.zeros(1, 4, 8, 8), seed, compat)
    drawn = torch.cat([source.normal() for _ in range(3)])
    assert torch.equal(drawn, golden("noise")[f"generator_draws/{seed}/offset{offset}"])


def test_the_largest_seed_has_a_successor() -> None:
    assert NoiseSource(torch.zeros(1), 2**64 - 1, "current").normal().isfinite().all()


@pytest.mark.parametrize("seed", [1, 42, 9223372036854775819])
def test_brownian_increments_equal_the_reference(seed: int) -> None:
    pairs = golden("noise")["brownian/pairs"]
    span = torch.tensor([14.6146411896, 0.0291671585, 0.0])
    increment = NoiseSource(torch.zeros(1, 4, 8, 8), seed).brownian(span)
    drawn = torch.cat([increment(start, end) for start, end in pairs])
    off = 0.0 if same_arithmetic() else 2e-6
    expected = golden("noise")[f"brownian/{seed}/lo_hi_0.0291671585_14.6146411896"]
    torch.testing.assert_close(drawn, expected, rtol=off, atol=off)


def test_increments_of_neighbouring_steps_add_up() -> None:
    levels = torch.tensor([10.0, 5.0, 1.0])
    increment = NoiseSource(torch.zeros(1, 1, 4, 4), 7).brownian(levels)
    whole = increment(levels[0], levels[2]) * 9**0.5
    parts = increment(levels[0], levels[1]) * 5**0.5 + increment(levels[1], levels[2]) * 4**0.5
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4)

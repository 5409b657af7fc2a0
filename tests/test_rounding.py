"""Square roots as IEEE 754 wants them, on every CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.rounding import root
from graphflow.diffusion.samplers.common import ancestral_step


def test_roots_are_correctly_rounded() -> None:
    values = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 100
    right = torch.from_numpy(np.sqrt(values.numpy()))  # numpy asks the processor, whose root is exact
    assert torch.equal(root(values), right)
    assert all(torch.equal(root(value), one) for value, one in zip(values[:500], right[:500], strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_root_keeps_its_dtype_and_shape(dtype: torch.dtype) -> None:
    found = root(torch.tensor([[4.0, 0.0, -1.0]], dtype=dtype))
    assert found.dtype == dtype
    assert found[0, :2].tolist() == [2.0, 0.0]
    assert found[0, 2].isnan()


def test_noise_levels_are_the_same_on_every_cpu() -> None:
    table = Parametrisation().table
    for high, low in zip(table[400::37], table[:600:37], strict=True):
        down, up = ancestral_step(high, low)
        h, n = high.numpy()[()], low.numpy()[()]
        expected_up = np.sqrt(n**2 * (h**2 - n**2) / h**2)
        assert up.item() == expected_up
        assert down.item() == np.sqrt(n**2 - expected_up**2)
    one, top = torch.ones(1), table[-1]
    started = Parametrisation().start(top, one, torch.zeros(1)).item()
    assert started == np.sqrt(np.float32(1) + top.numpy()[()] ** 2)

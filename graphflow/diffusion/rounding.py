"""Square roots that every CPU rounds alike.

Some builds of torch leave the square root of float32 to a vector library whose last bit depends on the CPU's maker:
one value in six is then off by a unit in the last place, and with it every later x of a sampling.
"""

from __future__ import annotations

import torch
from torch import Tensor


def root(x: Tensor) -> Tensor:
    """The correctly rounded square root, in x's shape and dtype; NaN below zero.

    float64 has more than twice float32's digits, so rounding its root once more is exact (Figueroa, 1995).
    """
    if x.dtype == torch.float32 and x.device.type == "cpu":
        return x.double().sqrt().float()
    return x.sqrt()

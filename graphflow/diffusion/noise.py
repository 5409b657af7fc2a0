"""Everything random in a sampling, drawn so that a seed gives the same picture on every machine.

Initial noise is always drawn on the CPU. What samplers add on the way comes from a generator on x's device, or from a
Brownian tree, whose increments depend on the seed and the two sigmas alone, not on the steps between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torchsde
from torch import Tensor

NoiseCompat = Literal["0.3.64", "current"]
"""How ancestral noise on the CPU is seeded: ComfyUI 0.3.64 and before reuse the initial noise's seed, so that the
first noise added equals the initial noise; later versions count one up. On a GPU there is no difference."""


def initial_noise(
    shape: Sequence[int], seed: int | None, batch_index: Sequence[int] | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Standard normal noise of a latent, on the CPU; zeros without a seed.

    With `batch_index`, the samples of those indices as a larger batch would have them; an index may repeat.
    """
    if seed is None:
        return torch.zeros(tuple(shape), dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    if batch_index is None:
        return torch.randn(tuple(shape), generator=generator, dtype=dtype)
    one = (1, *shape[1:])
    drawn = [torch.randn(one, generator=generator, dtype=dtype) for _ in range(max(batch_index) + 1)]
    return torch.cat([drawn[i] for i in batch_index])


class NoiseSource:
    """The noise that a stochastic sampler adds on its way; made for one sampling, it is used up as it goes."""

    def __init__(self, x: Tensor, seed: int, compat: NoiseCompat = "0.3.64") -> None:
        self._like = x
        self._seed = seed
        self._shift = 1 if compat == "current" and x.device.type == "cpu" else 0
        self._generator: torch.Generator | None = None
        self._further: torch.Generator | None = None

    def normal(self) -> Tensor:
        """The next standard normal draw, shaped like x."""
        x = self._like
        if self._generator is None:
            self._generator = torch.Generator(x.device).manual_seed((self._seed + self._shift) % 2**64)
        return torch.randn(x.shape, generator=self._generator, dtype=x.dtype, device=x.device)

    def further(self, shape: Sequence[int]) -> Tensor:
        """The next draw of any shape from the stream that the initial noise began on the CPU."""
        x = self._like
        if self._further is None:
            self._further = torch.Generator(x.device).manual_seed(self._seed)
            if x.device.type == "cpu":
                torch.randn(x.shape, generator=self._further, dtype=x.dtype)
        return torch.randn(tuple(shape), generator=self._further, dtype=x.dtype, device=x.device)

    def brownian(self, sigmas: Tensor, on_device: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
        """Increments of one Brownian motion between two sigmas of the list's span, scaled to unit variance.

        The tree lives on the CPU, so that every machine agrees, unless `on_device`.
        """
        x = self._like
        like = x if on_device else x.cpu()
        low, high = float(sigmas[sigmas > 0].min()), float(sigmas.max())
        tree = torchsde.BrownianTree(low, torch.zeros_like(like), high, entropy=self._seed)

        def inside(sigma: Tensor) -> float:
            """Within the tree's span, which it keeps to six decimals."""
            return min(max(float(sigma), round(low, 6)), round(high, 6))

        def increment(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            start, end = inside(sigma), inside(sigma_next)
            if math.isnan(start) or math.isnan(end):  # the tree would search for its place without end
                raise ValueError(
                    f"there is no Brownian noise between sigma {float(sigma):.4g} and {float(sigma_next):.4g}: the "
                    "sigmas do not fit the model or the sampler; take another scheduler, or a sampler without sde"
                )
            moved: Tensor = tree(start, end) if start < end else -tree(end, start)
            return moved.to(x.device) / torch.sqrt((sigma_next - sigma).abs())

        return increment

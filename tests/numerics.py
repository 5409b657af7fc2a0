"""A world in which every answer is known: closed-form denoisers, and a driver that stands in for the engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from graphflow.diffusion.parametrisation import Flow, FlowShift, Parametrisation
from graphflow.node import Denoise, Progress

GOLDEN = Path(__file__).parent / "golden"
EPS = Parametrisation()
FLOW = Parametrisation(Flow(), FlowShift(3.0, 1000.0))


@cache
def golden(name: str) -> dict[str, Tensor]:
    """Reference numbers by key."""
    return load_file(GOLDEN / f"{name}.safetensors")


@dataclass(frozen=True)
class Mixture:
    """Data of two points m and -m per element, each blurred by variance 1/4; guidance included.

    See `golden/analytic_denoiser.py` for the formula.
    """

    parametrisation: Parametrisation = EPS
    cfg: float = 1.0

    def evaluate(self, request: Denoise) -> Generator[Any, Any, Any]:
        yield from ()
        x, sigma = request.x, request.sigma
        cond = self._denoised(x, sigma, "cond")
        if self.cfg == 1.0 and not request.uncond:
            return cond
        uncond = self._denoised(x, sigma, "uncond")
        guided = uncond + (cond - uncond) * self.cfg  # of scale 1 too: the reference rounds so where it needs both
        return (guided, uncond) if request.uncond else guided

    def _denoised(self, x: Tensor, sigma: Tensor, kind: str) -> Tensor:
        k = torch.arange(math.prod(x.shape[1:]), dtype=torch.float64)
        m = 0.5 + 0.5 * torch.cos(0.1 * k) if kind == "cond" else 0.3 * torch.sin(0.07 * k)
        m = m.reshape(x.shape[1:]).to(x.dtype)
        s = sigma.reshape(-1, *([1] * (x.ndim - 1))).to(x.dtype)
        a = (1.0 - s) if self.parametrisation.flow else torch.ones_like(s)
        v = a * a * 0.25 + s * s
        return (0.25 * a * x + s * s * m * torch.tanh(a * m * x / v)) / v

    def preview(self, denoised: Tensor) -> bytes:
        return b""


@dataclass(frozen=True)
class Normal:
    """Data of mean `mean` and standard deviation `std`: the probability flow has a closed form."""

    parametrisation: Parametrisation = EPS
    mean: float = 0.3
    std: float = 0.7

    def evaluate(self, request: Denoise) -> Generator[Any, Any, Any]:
        yield from ()
        a = 1 - request.sigma if self.parametrisation.flow else 1.0
        variance = a**2 * self.std**2 + request.sigma**2
        denoised = self.mean + a * self.std**2 / variance * (request.x - a * self.mean)
        return (denoised, denoised) if request.uncond else denoised

    def exact(self, x: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Where the flow takes x from sigma `start` to sigma `end`."""
        a, b = (1 - start, 1 - end) if self.parametrisation.flow else (1.0, 1.0)
        spread = ((b**2 * self.std**2 + end**2) / (a**2 * self.std**2 + start**2)) ** 0.5
        return b * self.mean + spread * (x - a * self.mean)

    def preview(self, denoised: Tensor) -> bytes:
        return b""


@dataclass
class Driven:
    """What a driven generator returned and asked on its way."""

    result: Any = None
    questions: list[Denoise] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    first_of_step: list[Denoise] = field(default_factory=list)


def drive(walk: Generator[Any, Any, Any]) -> Driven:
    """Runs a generator node or a sampler to its end, answering as the engine's stepper does."""
    driven, answer, fresh = Driven(), None, True
    while True:
        try:
            asked = walk.send(answer)
        except StopIteration as end:
            driven.result = end.value
            return driven
        answer = None
        if isinstance(asked, Denoise):
            driven.questions.append(asked)
            if fresh:
                driven.first_of_step.append(asked)
            fresh = False
            answer = evaluate(asked)
        else:
            driven.progress.append(asked)
            fresh = True


def evaluate(request: Denoise) -> Any:
    """The answer to one question: as in the engine, rows that may share a call do, which decides the last bits."""
    asking = request.model.evaluate(request)
    answer = None
    while True:
        try:
            rows = asking.send(answer)
        except StopIteration as end:
            return end.value
        groups: dict[Any, list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault((id(row.network), row.network.batch_key(row)), []).append(i)
        found = {}
        for group in groups.values():
            found |= zip(group, rows[group[0]].network.predict([rows[i] for i in group]), strict=True)
        answer = [found[i] for i in range(len(rows))]


ODE, ANCESTRAL, BROWNIAN, ADAPTIVE = 2e-5, 2e-4, 2e-2, 2e-3
"""How far a latent may be off on a CPU that rounds exp, log and tanh otherwise than the one that made the numbers.

Adaptive steps have their own: x moved by 1e-7 moves their result by 3e-4.
"""


def _digest(*made: Tensor) -> str:
    return hashlib.sha256(torch.cat([m.flatten() for m in made]).numpy().tobytes()).hexdigest()[:16]


@cache
def same_arithmetic() -> bool:
    """Whether exp, log, tanh, roots and small systems round here as on the machine that made the golden numbers.

    Neither the torch build nor AVX-512 says so: on AMD processors MKL takes another path, whose roots even are not
    the nearest. `tests/test_exact.py` makes it take the path of the golden run.
    """
    x = torch.linspace(0.01, 4, 1003)
    functions = x.exp(), x.log(), x.tanh(), x.sqrt(), x.sigmoid(), x**0.37
    solved = [torch.linalg.solve(torch.vander(x[3 * n : 3 * n + 3]), x[:3]) for n in range(1, 300, 7)]
    return _digest(*functions, *solved) == "fed4b91c125d96a3"


def same_networks() -> bool:
    """Whether convolutions, products and attention round as in the golden run, too: that takes one thread."""
    return same_arithmetic() and torch.get_num_threads() == 1 and _networks_digest() == "e674e5d8cbdcf2f4"


@cache
def _networks_digest() -> str:
    x = torch.linspace(-3, 3, 2 * 32 * 16 * 16).sin().reshape(2, 32, 16, 16)
    rows = x.flatten(2).transpose(1, 2).contiguous()
    wide = torch.linspace(-1, 1, 64 * 32 * 9).cos().reshape(64, 32, 3, 3)
    heads = rows.reshape(2, 256, 8, 4).transpose(1, 2)
    return _digest(
        functional.conv2d(x, wide, padding=1),
        functional.conv2d(x, wide, padding=1, stride=2),
        functional.conv2d(x, wide[:, :, :1, :1]),
        functional.linear(rows, wide[:, :, 0, 0]),
        functional.scaled_dot_product_attention(heads, heads, heads),
        functional.group_norm(x, 8),
        functional.layer_norm(rows, (32,)),
        functional.silu(x),
        functional.gelu(x),
    )


def tolerance(sampler: str, exact: bool | None = None) -> float:
    """How far a sampler's latent may be from the golden one; `exact` where the model asked is exact, too."""
    if same_arithmetic() if exact is None else exact:
        return 0.0
    if sampler == "dpm_adaptive":
        return ADAPTIVE
    if "sde" in sampler and sampler != "er_sde":
        return BROWNIAN
    stochastic = ("ancestral", "ddpm", "lcm", "er_sde", "seeds", "sa_solver")
    return ANCESTRAL if any(word in sampler for word in stochastic) else ODE

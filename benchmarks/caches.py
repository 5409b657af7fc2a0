"""What each threshold of the caches gains and costs, and from that the defaults of their nodes.

Run with `python -m benchmarks.caches`. On the U-Net on board, four texts with two seeds each are painted in 20 steps of
Euler, with each setting and without: the gain in processor time on one thread, the relative error of the final latent
(L2), and the picture's PSNR in dB, the worst of the eight and their mean. The default is by one rule: **the setting that
gains most while the mean PSNR is `LIKE` or more**, which is taken for a difference that nobody sees.

A trained transformer is not on board, and one with random weights says nothing of thresholds for a trained one. What it
can say is whether the first block is a judge at all: for each step of a sampling, by how much the first block's residual
and the whole network's output change, and how well the one tells the other (Spearman's rank correlation).
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed import STEPS, Subject, on_board, painted, small_flux
from graphflow.diffusion.caches import BLOCKS
from graphflow.diffusion.edits import hooked
from graphflow.models import Residency, loaded, residency
from graphflow.values import Model
from graphflow_nodes.speed import deep_cache, easy_cache, first_block_cache

TEXTS = ("a red apple", "a smiling face", "a blue car", "a green tree")
SEEDS = (1, 2)
LIKE = 40.0
"""dB."""

Switch = Callable[[Model], Model]


@dataclass(frozen=True)
class Cost:
    """Of a setting, over all pictures."""

    gain: float
    error: float
    psnr: float
    worst: float


def relative_l2(one: Tensor, other: Tensor) -> float:
    """|one - other| / |other|."""
    return float((one - other).norm() / other.norm())


def psnr(one: Tensor, other: Tensor) -> float:
    """In dB, of pictures in [0, 1]."""
    return 10 * math.log10(1 / max(float((one - other).square().mean()), 1e-12))


def measured(subjects: list[Subject], switches: dict[str, Switch]) -> Iterator[tuple[str, Cost]]:
    """Each setting against none."""
    for name, switch in switches.items():
        alone, took, errors, likeness = 0.0, 0.0, [], []
        for subject, seed in itertools.product(subjects, SEEDS):
            before, plain = painted(subject, subject.model, seed)  # in turn: other programs slow both down alike
            latent, fast = painted(subject, switch(subject.model), seed)
            alone, took = alone + plain, took + fast
            errors.append(relative_l2(latent, before))
            likeness.append(psnr(*(decoded(subject, x) for x in (latent, before))))
        yield name, Cost(alone / took, sum(errors) / len(errors), sum(likeness) / len(likeness), min(likeness))


def decoded(subject: Subject, latent: Tensor) -> Tensor:
    """The picture, in [0, 1]."""
    assert subject.vae is not None
    with loaded(subject.vae) as autoencoder:
        return autoencoder.decode(latent).clamp(0, 1)


def judged(subject: Subject) -> tuple[float, float, float]:
    """Medians over a sampling's steps of the relative change of the first block's residual and of the output, and the
    rank correlation of the two."""
    seen: list[tuple[Tensor, Tensor]] = []

    def first(_: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        tokens = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        seen.append(((out[1] if isinstance(out, tuple) else out) - tokens, torch.empty(0)))

    def last(_: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        seen[-1] = (seen[-1][0], out[0])

    painted(subject, subject.model)
    with residency().ready(subject.model.weights, (), lambda: None) as resident:  # type: ignore[arg-type,return-value]
        module = resident.content.module  # type: ignore[attr-defined]
        block = next(block for name in BLOCKS for block in getattr(module, name, ()))
        hooks = [
            block.register_forward_hook(first, with_kwargs=True),
            module.register_forward_hook(last, with_kwargs=True),
        ]
    with hooked(hooks):
        painted(subject, subject.model)
    moved = [
        [float((b[i] - a[i]).abs().mean() / a[i].abs().mean()) for a, b in itertools.pairwise(seen)] for i in (0, 1)
    ]
    inner, outer = (torch.tensor(values) for values in moved)
    ranks = torch.stack([values.argsort().argsort().double() for values in (inner, outer)])
    return float(inner.median()), float(outer.median()), float(torch.corrcoef(ranks)[0, 1])


def calibrate(subjects: list[Subject], title: str, switches: dict[str, Switch]) -> None:
    """Prints a line for each setting, and the one that the rule chooses."""
    costs = dict(measured(subjects, switches))
    for name, cost in costs.items():
        print(
            f"{title} {name:24} x{cost.gain:.2f}  error {cost.error:.4f}  PSNR {cost.psnr:5.1f} dB, worst {cost.worst:5.1f}"
        )
    good = [name for name, cost in costs.items() if cost.psnr >= LIKE]
    best = max(good, key=lambda name: costs[name].gain, default="none")
    print(f"{title}: at {LIKE:.0f} dB or more, {best} gains most\n")


def main() -> None:
    """Prints the sweeps."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Residency(device="cpu", dtype="float32").active():
        boards = [on_board(text) for text in TEXTS]
        painted(boards[0], boards[0].model)
        calibrate(boards, "DeepCache", {
            f"interval {n}": lambda model, n=n: deep_cache(model, n) for n in (2, 3, 4, 5)  # type: ignore[misc]
        })  # fmt: skip
        calibrate(boards, "EasyCache", {
            f"threshold {t}": lambda model, t=t: easy_cache(model, t)  # type: ignore[misc]
            for t in (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)
        })  # fmt: skip
        flux = small_flux(Path(folder))
        inner, outer, rank = judged(replace(flux, negative=flux.positive))
        print(
            f"random Flux, {STEPS} steps: first block moves {inner:.3f}, output {outer:.3f}, rank correlation {rank:.2f}"
        )
        plain = painted(flux, flux.model)[0]
        for threshold in (0.05, 0.1, 0.2, 0.4, 0.8):
            latent = painted(flux, first_block_cache(flux.model, threshold))[0]
            print(f"random Flux, First Block Cache {threshold}: error {relative_l2(latent, plain):.4f}")


if __name__ == "__main__":
    main()

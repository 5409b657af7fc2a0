"""The training loop that every part shares: schedule on samples seen, moving average, checkpoints, curves.

A run killed at any moment goes on from its last checkpoint exactly as if nothing had happened: the data of a step
depends on the seed and the step alone.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

RUNS = Path("runs/training")


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train, counted in samples so that a slow hour changes nothing."""

    folder: Path
    samples: int
    batch: int
    rate: float
    warm_up: int = 2_000
    decay: float = 0.35
    average: float = 0.998
    betas: tuple[float, float] = (0.9, 0.98)
    seed: int = 0
    save_seconds: float = 100
    picture_samples: int = 4_000

    def rate_at(self, seen: int) -> float:
        """Learning rate after `seen` samples: linear warm-up, constant, then cosine to zero over the last part."""
        start = self.samples * (1 - self.decay)
        falling = np.clip((seen - start) / max(self.samples - start, 1), 0, 1)
        return self.rate * min(1.0, (seen + self.batch) / self.warm_up) * (1 + float(np.cos(np.pi * falling))) / 2


@dataclass(frozen=True)
class Step:
    """The place of a step in the run, and its own source of chance."""

    number: int
    batch: int
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        """The step's random numbers for data."""
        return np.random.default_rng([self.seed, self.number])

    @property
    def generator(self) -> torch.Generator:
        """The step's random numbers for tensors."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.number)


class Task(Protocol):
    """What differs from one training to another."""

    modules: nn.Module
    """Every weight that is trained."""

    def loss(self, step: Step) -> Tensor:
        """The loss of one batch, a scalar."""

    def picture(self, averaged: nn.Module) -> Image.Image:
        """What the averaged weights can do by now, to look at."""


@dataclass
class State:
    """Everything that a checkpoint holds."""

    modules: nn.Module
    averaged: AveragedModel
    optimiser: torch.optim.Optimizer
    seen: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the checkpoint; the old one stays whole until the new one is."""
        parts = {"modules": self.modules, "averaged": self.averaged, "optimiser": self.optimiser}
        states = {name: part.state_dict() for name, part in parts.items()}
        temporary = path.with_suffix(".tmp")
        torch.save(states | {"seen": self.seen, "seconds": self.seconds, "history": self.history}, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go back to where the checkpoint at `path` was written."""
        saved = torch.load(path, weights_only=True, mmap=True)
        self.modules.load_state_dict(saved["modules"])
        self.averaged.load_state_dict(saved["averaged"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.seen, self.seconds, self.history = saved["seen"], saved["seconds"], saved["history"]


def begin(task: Task, plan: Plan) -> State:
    """The state to train from: the folder's checkpoint if there is one, else the task's weights as they are."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    trained = [weight for weight in task.modules.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=plan.rate, betas=plan.betas, weight_decay=0.01, fused=True)
    averaged = AveragedModel(task.modules, multi_avg_fn=get_ema_multi_avg_fn(plan.average))
    state = State(task.modules, averaged, optimiser)
    if (plan.folder / "checkpoint.pt").exists():
        state.load(plan.folder / "checkpoint.pt")
    return state


def train(task: Task, plan: Plan) -> nn.Module:
    """Train to the plan's end, from the last checkpoint if there is one; returns the averaged weights."""
    state = begin(task, plan)
    saved, picture_due = time.monotonic(), state.seen + plan.picture_samples
    for step in steps(state, plan):
        started = time.monotonic()
        value = advance(task, state, plan, step)
        state.seconds += time.monotonic() - started
        state.history.append((state.seen, value))
        if time.monotonic() - saved > plan.save_seconds:
            state.save(plan.folder / "checkpoint.pt")
            report(state, plan)
            saved = time.monotonic()
        if state.seen >= picture_due:
            show(task, state, plan)
            picture_due += plan.picture_samples
    state.save(plan.folder / "checkpoint.pt")
    report(state, plan)
    show(task, state, plan)
    return state.averaged.module


def steps(state: State, plan: Plan) -> Iterator[Step]:
    """The steps that are left; the number of a step follows from the samples seen."""
    while state.seen < plan.samples:
        yield Step(state.seen // plan.batch, plan.batch, plan.seed)


def advance(task: Task, state: State, plan: Plan, step: Step) -> float:
    """One step of AdamW with gradient clipping, and of the moving average; returns the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = plan.rate_at(state.seen)
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
        loss = task.loss(step)
    loss.backward()
    nn.utils.clip_grad_norm_(state.modules.parameters(), 1.0)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.averaged.update_parameters(state.modules)
    state.seen += plan.batch
    return float(loss.detach())


@cache
def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 itself; where it does not, float32 is many times faster."""
    found = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.9 cannot tell
    return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))


def report(state: State, plan: Plan) -> None:
    """Print where the run stands and draw its loss curve, smoothed over a hundredth of the run."""
    seen, values = (np.array(column) for column in zip(*state.history, strict=True))
    width = max(len(values) // 100, 1)
    smooth = np.convolve(values, np.ones(width) / width, "valid")
    speed = state.seen / max(state.seconds, 1e-9)
    print(f"{state.seen}/{plan.samples} samples  loss {smooth[-1]:.4f}  {speed:.1f} samples/s", flush=True)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="samples seen", ylabel="loss", yscale="log")
    axes.plot(seen[width - 1 :], smooth)
    axes.grid(alpha=0.3)
    figure.savefig(plan.folder / "loss.png", dpi=100)


def show(task: Task, state: State, plan: Plan) -> None:
    """Store the task's picture of its progress, one file for each moment."""
    state.averaged.eval()
    task.picture(state.averaged.module).save(plan.folder / f"samples-{state.seen:07d}.png")
    state.averaged.train()


def grid(pictures: NDArray[np.floating], columns: int, zoom: int = 2) -> Image.Image:
    """Pictures, (n, height, width, 3) in 0..1, side by side in rows."""
    rows = [np.concatenate(list(pictures[i : i + columns]), 1) for i in range(0, len(pictures), columns)]
    whole = np.concatenate([row for row in rows if row.shape == rows[0].shape])
    image = Image.fromarray((whole.clip(0, 1) * 255).round().astype(np.uint8))
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)

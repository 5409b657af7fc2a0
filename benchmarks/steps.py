"""What a step costs in a job, against a bare loop over the same network: guidance, progress and turns included.

Run with `python -m benchmarks.steps`. Both sample 20 steps of Euler with guidance on the model on board, in turns; the
cheapest round of each counts, in processor time on one thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from graphflow.paths import builtin_models, workflows_folder
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import build, files
from graphflow.workflow import parse

STEPS = 20
ROUNDS = 7
LIMIT = 1.03
MODEL = builtin_models() / "checkpoints" / "graphflow-emoji"


def bare(folder: Path) -> Callable[[], None]:
    """A loop without anything around it: scale, one call for both prompts, v-prediction, guidance, Euler."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    channels, side = unet.config.in_channels, unet.config.sample_size
    context = torch.randn(2, 77, unet.config.cross_attention_dim)
    sigmas = torch.linspace(14.6, 0.0, STEPS + 1)
    times = torch.linspace(999, 0, STEPS)

    def loop() -> None:
        x = torch.randn(1, channels, side, side) * sigmas[0]
        for i in range(STEPS):
            sigma, next_sigma = sigmas[i], sigmas[i + 1]
            scale = (sigma**2 + 1) ** 0.5
            pair = torch.cat([x / scale] * 2)
            v = unet(pair, times[i].expand(2), context, return_dict=False)[0]
            denoised = x / scale**2 - v * sigma / scale
            without, with_ = denoised.chunk(2)
            guided = without + (with_ - without) * 4.0
            x = x + (x - guided) / sigma * (next_sigma - sigma)

    return loop


def job(steps: int) -> Callable[[], None]:
    """The same in a job: only the sampler's node runs anew each time."""
    settings = WorkerSettings(device="cpu", dtype="float32", roots=(builtin_models(),))
    bench = build(settings)
    document = parse(json.loads((workflows_folder() / "text-to-image.json").read_text(encoding="utf-8")))
    seeds = iter(range(10**6))

    def run() -> None:
        workflow = document.with_values({"sample.seed": next(seeds), "sample.steps": steps})
        plan = compile(workflow, bench.engine.shop.definitions, files(settings), targets=["sample"], job="job")
        bench.engine.run(plan, lambda _: None)

    return run


def cpu(work: Callable[[], None]) -> float:
    """Milliseconds of processor time."""
    began = time.process_time()
    work()
    return 1e3 * (time.process_time() - began)


def main() -> None:
    """Prints what a step costs."""
    torch.set_num_threads(1)
    with torch.no_grad():
        loop, many, few = bare(MODEL), job(STEPS + 5), job(5)
        for warm in (loop, many, few):
            warm()
        rounds = [(cpu(loop), cpu(many), cpu(few)) for _ in range(ROUNDS)]
    alone = min(r[0] for r in rounds) / STEPS
    ours = (min(r[1] for r in rounds) - min(r[2] for r in rounds)) / STEPS
    print(f"bare loop {alone:.2f} ms a step, in a job {ours:.2f} ms a step: x{ours / alone:.3f} (limit x{LIMIT})")


if __name__ == "__main__":
    main()

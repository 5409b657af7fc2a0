"""On a real accelerator: pictures as on the CPU, jobs that share calls, room made when memory is short."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from graphflow.events import JobDone, Made
from graphflow.paths import builtin_models, workflows_folder
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import Bench, build, files
from graphflow.workflow import parse

DEVICE = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else ""
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not DEVICE, reason="no CUDA or MPS device on this machine")]

DOCUMENT = parse(json.loads((workflows_folder() / "text-to-image.json").read_text(encoding="utf-8")))


def settings(device: str, dtype: str, **more: Any) -> WorkerSettings:
    return WorkerSettings(device=device, dtype=dtype, roots=(builtin_models(),), **more)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = build(request.param)
    yield made
    made.close()


def picture(bench: Bench, seed: int = 1, job: str = "j") -> np.ndarray[Any, Any]:
    plan = compile(
        DOCUMENT.with_values({"sample.seed": seed}),
        bench.engine.shop.definitions,
        files(settings("cpu", "float32")),
        job=job,
    )
    items: list[Any] = []
    bench.engine.run(plan, items.append)
    assert isinstance(items[-1], JobDone), items[-1]
    (made,) = [item for item in items if isinstance(item, Made)]
    return np.asarray(PillowImage.open(io.BytesIO(made.data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("bench", [settings(DEVICE or "cpu", "float32")], indirect=True)
def test_in_float32_a_picture_is_that_of_the_cpu_to_a_few_levels(bench: Bench) -> None:
    on_cpu = build(settings("cpu", "float32"))
    try:
        difference = np.abs(picture(bench) - picture(on_cpu))
    finally:
        on_cpu.close()
    assert difference.max() <= 4
    assert difference.mean() < 0.5


@pytest.mark.parametrize("bench", [settings(DEVICE or "cpu", "auto")], indirect=True)
def test_in_the_devices_own_precision_a_picture_is_close(bench: Bench) -> None:
    assert bench.residency.policy.dtype(("bfloat16", "float16")) != torch.float32
    made = picture(bench)
    assert made.std() > 5
    assert (made == picture(bench, job="again")).all()


@pytest.mark.parametrize("bench", [settings(DEVICE or "cpu", "auto", batching="on")], indirect=True)
def test_jobs_at_the_same_time_share_calls(bench: Bench) -> None:
    picture(bench, seed=100)
    before = bench.engine.shop.stepper.calls
    threads = [threading.Thread(target=picture, args=(bench, seed, f"j{seed}")) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.engine.shop.stepper.calls - before < 4 * 20


@pytest.mark.parametrize("bench", [settings(DEVICE or "cpu", "auto", vram_limit=1)], indirect=True)
def test_a_device_too_small_for_all_models_holds_them_in_turn(bench: Bench) -> None:
    picture(bench)
    assert len([model for model in bench.residency.report() if model["tier"] == "device"]) <= 1

"""The whole way with the real engine and nodes, in this process: bad checkpoints, cancelling, and what is cached."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graphflow.config import Config
from graphflow.service import Service, build_service

TEXT_TO_IMAGE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "workflows/text-to-image.json").read_text(encoding="utf-8")
)
PAPER = {
    "graphflow": 1,
    "nodes": {
        "paper": {"type": "EmptyImage", "inputs": {"width": 8, "height": 8}},
        "save": {"type": "SaveImage", "inputs": {"images": {"from": "paper.IMAGE"}, "filename_prefix": "paper"}},
    },
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    config = Config(data=tmp_path / "data", models=(tmp_path / "models",), workers="local", device="cpu")
    built, database = build_service(config)
    await built.start()
    yield built
    await built.stop()
    database.close()


async def ended(service: Service, id: str) -> list[Any]:
    return [event async for event in service.follow(id)]


def checkpoint(content: dict[str, tuple[str, list[int]]], data: bytes = b"") -> bytes:
    """A safetensors file of these tensors."""
    header, at = {}, 0
    for name, (dtype, shape) in content.items():
        size = 4 * (shape[0] if shape else 1)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + (data or bytes(at))


BAD = {
    "empty.safetensors": b"",
    "text.safetensors": b"this is no checkpoint at all",
    "truncated.safetensors": checkpoint({"a": ("F32", [1000])}, b"\x00" * 10),
    "endless.safetensors": (2**62).to_bytes(8, "little") + b"{}",
    "unknown.safetensors": checkpoint({"strange.weight": ("F32", [4])}),
    "pickle.ckpt": pickle.dumps({"state_dict": {}}),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_checkpoint_that_is_none_fails_its_job_with_the_reason_and_the_next_job_runs(
    service: Service, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "models/checkpoints"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(BAD[name])

    job = await service.submit(TEXT_TO_IMAGE, overrides={"load.ckpt_name": name})
    [*_, last] = await ended(service, job.id)

    assert last.type == "job.failed"
    assert last.error.problems[0].node == "load"
    assert name in last.error.message
    following = await service.submit(PAPER)
    assert (await ended(service, following.id))[-1].type == "job.done"


async def test_a_running_sampler_is_cancelled_within_a_step_and_others_go_on(service: Service) -> None:
    slow = await service.submit(TEXT_TO_IMAGE, overrides={"sample.steps": 5000})
    other = await service.submit(TEXT_TO_IMAGE, overrides={"sample.steps": 2, "sample.seed": 9})
    assert (await ended(service, other.id))[-1].type == "job.done", "it is not held up by the slow one"
    steps = 0
    async for event in service.follow(slow.id):
        if event.type == "node.progress" and event.node == "sample":  # type: ignore[attr-defined]
            steps += 1
            if steps == 2:
                await service.cancel(slow.id)
        last = event
    assert last.type == "job.cancelled"  # type: ignore[attr-defined]
    assert (await service.jobs.get(slow.id)).job.status == "cancelled"


async def test_what_was_computed_is_not_computed_again(service: Service) -> None:
    overrides = {"sample.steps": 2}
    first = await service.submit(TEXT_TO_IMAGE, overrides=overrides)
    await ended(service, first.id)
    again = await service.submit(TEXT_TO_IMAGE, overrides=overrides)
    types = {event.type for event in await ended(service, again.id)}
    assert "node.cached" in types
    assert "node.started" not in types
    one, two = [(await service.jobs.get(job.id)).job.outputs for job in (first, again)]
    assert one == two, "the same picture, under the same name"

    plan, cached = await service.plan(TEXT_TO_IMAGE, {**overrides, "sample.seed": 99})
    told = {task.id: cached.get(task.key) for task in plan.tasks}
    assert told["prompt"] == "memory"
    assert told["sample"] is None


async def test_memory_is_let_go_on_request(service: Service) -> None:
    await ended(service, (await service.submit(PAPER)).id)
    await service.free(models=True, cache=True)
    details = await service.worker_details()
    assert details[0]["state"] == "ready"

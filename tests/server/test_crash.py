"""Killed without warning: the worker in the middle of a job, then the server; no job is lost. With the real engine."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.test_cli import server

SLOW: dict[str, Any] = json.loads((Path(__file__).parents[2] / "workflows/text-to-image.json").read_text())
OVERRIDES = {"sample.steps": 240, "sample.seed": 1}


def ask(address: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def submit(address: str, **overrides: object) -> str:
    return str(ask(address, "/v1/jobs", {"workflow": SLOW, "overrides": {**OVERRIDES, **overrides}})["id"])


def until(address: str, job: str, type: str, times: int = 1, after: int = 0) -> int:
    """Reads a job's events until one type has come so often; returns the number of the last one."""
    request = urllib.request.Request(f"{address}/v1/jobs/{job}/events", headers={"Last-Event-ID": str(after)})
    with urllib.request.urlopen(request, timeout=240) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                times -= event["type"] == type
                if times == 0:
                    return int(event["seq"])
                assert event["type"] not in ("job.failed", "job.cancelled"), event
    raise AssertionError(f"the stream ended without {type}")


def workers_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_job_is_lost_when_the_worker_or_the_server_is_killed(tmp_path: Path) -> None:
    with server(tmp_path) as (process, address):
        first = submit(address)
        seen = until(address, first, "node.progress", times=3)
        [worker] = workers_of(process.pid)
        worker.kill()
        assert ask(address, "/healthz") == {"status": "ok"}
        until(address, first, "job.done", after=seen)
        told = ask(address, f"/v1/jobs/{first}")
        assert (told["status"], told["attempt"], len(told["outputs"])) == ("done", 2, 1)

        second = submit(address, **{"sample.seed": 2})
        seen = until(address, second, "node.progress", times=3)
        [worker] = workers_of(process.pid)
        process.kill()
        process.wait()
        psutil.wait_procs([worker], timeout=30)
        assert not worker.is_running(), "the worker ends with its server"

    with server(tmp_path) as (process, address):
        until(address, second, "job.done", after=seen)
        told = ask(address, f"/v1/jobs/{second}")
        assert (told["status"], told["attempt"], len(told["outputs"])) == ("done", 2, 1)
        files = sorted(path.name for path in (tmp_path / "output").iterdir())
        assert len(files) == 2
        assert time.time() - told["created"] < 600

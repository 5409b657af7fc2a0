"""How soon the server answers, how much memory it takes, and how fast it takes jobs.

Run with `python -m benchmarks.server`. The start is timed against that of an interpreter that imports nothing, in the
same run, so that a busy machine shows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

LIMIT_SECONDS = 1.0
LIMIT_MEGABYTES = 120
JOBS = 200
EMPTY = {"graphflow": 1, "nodes": {"value": {"type": "PrimitiveInt", "inputs": {"value": 1}}}}


def bare() -> float:
    """Seconds that an interpreter needs to start and end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return time.perf_counter() - began


def start(data: Path) -> tuple[subprocess.Popen[str], str, float]:
    """A server on a free port: its process, its address, and the seconds until it answered."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "graphflow", "serve", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    line = process.stdout.readline()
    address = line[line.index("http") :].strip()
    with urllib.request.urlopen(f"{address}/healthz") as response:
        response.read()
    return process, address, time.perf_counter() - began


def submissions(address: str) -> float:
    """Jobs that are taken in a second, one after the other, the worker ready and the queue standing still."""
    while not _is_ready(address):
        time.sleep(0.1)
    _send(address, "/v1/queue", {"paused": True}, "PATCH")
    began = time.perf_counter()
    for _ in range(JOBS):
        _send(address, "/v1/jobs", {"workflow": EMPTY, "targets": ["value"]}, "POST")
    return JOBS / (time.perf_counter() - began)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz") as response:
            return response.status == 200
    except urllib.error.HTTPError:
        return False


def _send(address: str, path: str, body: object, method: str) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as response:
        response.read()


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        first = min(bare() for _ in range(3))
        for name in ("on an empty folder", "again"):
            process, address, seconds = start(Path(folder))
            resident = psutil.Process(process.pid).memory_info().rss / 1e6
            print(f"start {name}: answers after {seconds:.2f} s ({seconds / first:.0f} times a bare interpreter),")
            busy = sum(psutil.Process(process.pid).cpu_times()[:2])
            print(
                f"  {seconds / LIMIT_SECONDS:.2f} of the limit of {LIMIT_SECONDS:g} s; {busy:.2f} s of processor time"
            )
            print(
                f"  {resident:.0f} MB resident, {resident / LIMIT_MEGABYTES:.2f} of the limit of {LIMIT_MEGABYTES} MB"
            )
            if name == "again":
                print(f"jobs taken: {submissions(address):.0f} a second, each stored for good before it is answered")
            process.send_signal(signal.SIGTERM)
            process.wait(30)


if __name__ == "__main__":
    main()

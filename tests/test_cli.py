"""The command line: what it prints, writes and returns. Workflows here need no model."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graphflow import __version__, pictures
from graphflow.cli import main
from graphflow.workflow import canonical, parse

CHECKER: dict[str, Any] = {
    "graphflow": 1,
    "name": "Inverted",
    "nodes": {
        "paper": {"type": "EmptyImage", "inputs": {"width": 8, "height": 4, "color": 255}},
        "invert": {"type": "ImageInvert", "inputs": {"image": {"from": "paper.IMAGE"}}},
        "save": {"type": "SaveImage", "inputs": {"images": {"from": "invert.IMAGE"}, "filename_prefix": "a/inverted"}},
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(CHECKER))
    return path


def call(tmp_path: Path, *arguments: object) -> int:
    return main([*map(str, arguments), "--data", str(tmp_path / "data")])


def test_a_picture_makes_itself_again_byte_for_byte(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "run", file, "--set", "paper.width=16", "-o", tmp_path / "one", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    first = tmp_path / "one/a/inverted_00001_.png"
    assert (told["status"], told["error"]) == ("done", None)
    assert told["outputs"] == [
        {"node": "save", "path": str(first), "media_type": "image/png", "details": {"width": 16, "height": 4}}
    ]

    assert call(tmp_path, "run", first, "-o", tmp_path / "two") == 0
    assert (tmp_path / "two/a/inverted_00001_.png").read_bytes() == first.read_bytes()
    document = parse(CHECKER).with_values({"paper.width": 16})
    assert pictures.texts(first.read_bytes())["graphflow"] == canonical(document)


def test_a_device_can_be_made_small_and_gives_the_same_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from graphflow.models import Residency

    homes: list[Residency] = []
    begun = Residency.__init__

    def noted(self: Residency, *arguments: Any, **settings: Any) -> None:
        begun(self, *arguments, **settings)
        homes.append(self)

    monkeypatch.setattr(Residency, "__init__", noted)
    workflow = Path(__file__).parent.parent / "workflows" / "text-to-image.json"
    for name, more in (("whole", ()), ("small", ("--vram-limit", "8MB"))):
        settings = ("--data", tmp_path / f"data {name}", "-o", tmp_path / name, "--set", "sample.seed=3")
        arguments = ("run", workflow, *settings, "--set", "sample.steps=1", "--device", "cpu", *more)
        assert main([str(one) for one in arguments]) == 0
    (whole,), (small,) = ((tmp_path / name).glob("*.png") for name in ("whole", "small"))
    assert whole.read_bytes() == small.read_bytes()
    assert homes[-1].limit == 8_000_000 < homes[0].tally.peak
    assert 0 < homes[-1].tally.peak <= 8_000_000
    assert call(tmp_path, "run", workflow, "--vram-limit", "a lot") == 2
    assert "vram_limit" in capsys.readouterr().err


def test_what_is_wrong_is_told_at_once_and_nothing_runs(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--set", "paper.width=0", "--set", "save.filename_prefix=3")
    for command in (("run", file, "-o", tmp_path / "out"), ("validate", file)):
        assert call(tmp_path, *command, *arguments) == 2
        told = capsys.readouterr().err
        assert "2 problems" in told
        assert "paper.width" in told
        assert "save.filename_prefix" in told
    assert call(tmp_path, "run", file, *arguments, "--json") == 2
    told_json = json.loads(capsys.readouterr().out)
    assert told_json["status"] == "invalid"
    assert {problem["input"] for problem in told_json["error"]["problems"]} == {"width", "filename_prefix"}
    assert not (tmp_path / "out").exists()


def test_validate_says_when_all_is_well(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "validate", file, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "problems": []}


def test_the_plan_says_what_would_run(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "plan", file, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [task["node"] for task in told["tasks"]] == ["paper", "invert", "save"]
    assert told["outputs"] == ["save"]


def test_nodes_are_listed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "nodes") == 0
    assert "ImageInvert" in capsys.readouterr().out
    assert call(tmp_path, "nodes", "EmptyImage") == 0
    assert "width" in capsys.readouterr().out
    assert call(tmp_path, "nodes", "EmptyImag") == 2
    assert "'EmptyImage'" in capsys.readouterr().err


def test_models_are_listed_with_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = tmp_path / "data/models/checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "broken.safetensors").write_bytes(b"nothing")
    assert call(tmp_path, "models", "--json") == 0
    told = json.loads(capsys.readouterr().out)["checkpoints"]
    [broken] = [model for model in told if model["name"] == "broken.safetensors"]
    assert broken["problem"]
    assert broken["kind"] == ""


def test_a_checkpoint_is_listed_with_parts_dtype_hash_and_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight"]
    shapes = {**{f"model.diffusion_model.{name}": [1, 4, 1, 1] for name in names},
              "model.diffusion_model.middle_block.1.proj_in.weight": [1, 1, 1, 1],
              "cond_stage_model.transformer.text_model.encoder.layers.0.layer_norm1.weight": [1]}  # fmt: skip
    sizes = [2 * math.prod(shape) for shape in shapes.values()]
    places = list(itertools.accumulate(sizes, initial=0))
    entries = {
        k: {"dtype": "F16", "shape": s, "data_offsets": places[n : n + 2]} for n, (k, s) in enumerate(shapes.items())
    }
    header = json.dumps(entries).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(places[-1])
    file = tmp_path / "data/models/checkpoints/mine.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)

    def listed(*arguments: str) -> Any:
        assert call(tmp_path, "models", "--json", *arguments) == 0
        told = json.loads(capsys.readouterr().out)["checkpoints"]
        return next(model for model in told if model["name"] == "mine.safetensors")

    unread, known = listed(), listed("--hash")
    assert (unread["sha256"], known["sha256"]) == ("", hashlib.sha256(content).hexdigest())
    assert listed()["sha256"] == known["sha256"]
    del known["sha256"], known["path"], known["modified"]
    assert known == {
        "problem": "",
        "name": "mine.safetensors", "size": len(content), "kind": "checkpoint", "family": "sd15",
        "families": ["Stable Diffusion 1.5"], "dtype": "F16", "format": "safetensors", "parameters": places[-1] // 2,
        "parts": ["model", "clip_l"], "lacks": ["vae"],
    }  # fmt: skip
    assert call(tmp_path, "models") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "mine.safetensors" in line]
    assert line.split("  ")[-1] == "model, clip_l; lacks vae"
    assert hashlib.sha256(content).hexdigest()[:10] in line


def test_other_programs_workflows_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    (tmp_path / "prompt.json").write_text(json.dumps(prompt))
    assert call(tmp_path, "import", tmp_path / "prompt.json", "-o", tmp_path / "ours.json") == 0
    ours = json.loads((tmp_path / "ours.json").read_text())
    assert ours["graphflow"] == 1
    assert ours["nodes"]["2"]["inputs"]["images"]["from"] in ("1.IMAGE", "1.0")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "FILE"),
        (("fly",), "fly"),
        (("run", "missing.json"), "missing.json cannot be read"),
        (("run", "x.json", "--set", "nonsense"), "NODE.INPUT=VALUE"),
        (("serve", "--port", "many"), "--port"),
        (("serve", "--port", "70000"), "port"),
        (("validate", "x.json", "--config", "missing.toml"), "missing.toml"),
        (("export", "x.json", "--to", "nobody"), "nobody"),
    ],
)
def test_wrong_use_returns_2_and_says_why(
    tmp_path: Path, file: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, *(str(file) if argument == "x.json" else argument for argument in arguments)) == 2
    assert said in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"graphflow {__version__}\n"
    assert main(["run", "--help"]) == 0
    assert "NODE.INPUT=VALUE" in capsys.readouterr().out


# --- serving


@contextmanager
def server(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, killed at the end, and its address."""
    command = [sys.executable, "-m", "graphflow", "serve", "--port", "0", "--data", str(data), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        line = process.stdout.readline()
        yield process, line[line.index("http") :].strip()
    finally:
        process.kill()
        process.wait()


def test_serving_ends_cleanly_on_sigterm_and_on_ctrl_c(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with server(tmp_path) as (process, address):
            with urllib.request.urlopen(f"{address}/healthz") as answer:
                assert json.load(answer) == {"status": "ok"}
            process.send_signal(number)
            assert process.wait(60) == 0


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "graphflow", "serve", "--port", str(port), "--data", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert f"port {port} on 127.0.0.1 is taken" in line


def test_two_servers_do_not_share_a_data_folder(tmp_path: Path) -> None:
    with server(tmp_path):
        command = [sys.executable, "-m", "graphflow", "serve", "--port", "0", "--data", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "another server uses the data folder" in done.stderr

"""What is saved of models streams from file to file: no model is ever held, and no half file is left."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file

from graphflow import pictures
from graphflow.assets import Assets
from graphflow.cli import main
from graphflow.database import Database
from graphflow.errors import DiskFull, NodeFailed, UnsupportedFile
from graphflow.events import Chunk, Made
from graphflow.models import Residency
from graphflow.models.writing import PIECE, Written, pieces
from graphflow.node import Progress
from graphflow.service.arrivals import Arrivals
from graphflow_nodes.loaders import unet_loader
from graphflow_nodes.merging import model_merge_simple, model_save
from tests.fakes import database_url
from tests.tiny import TINY, contents, network, single_file

STATE = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.ones(PIECE // 2 + 3, dtype=torch.float16),
    "empty": torch.zeros(0),
    "one": torch.tensor(2, dtype=torch.int64),
}


def written() -> list[Written]:
    return [Written.like(name, tensor.clone) for name, tensor in STATE.items()]


def test_a_file_s_header_comes_first_and_its_tensors_in_pieces(tmp_path: Path) -> None:
    given = list(pieces(written(), {"format": "pt"}))
    parts = [one for one in given if isinstance(one, bytes)]
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(parts))

    state = load_file(path)
    assert list(state) == sorted(STATE)
    assert all(torch.equal(state[name], tensor) and state[name].dtype == tensor.dtype for name, tensor in STATE.items())
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert [len(part) for part in parts[1:]] == [24, PIECE, 6, 8]
    assert int.from_bytes(parts[0][:8], "little") == len(parts[0]) - 8
    told = [one for one in given if isinstance(one, Progress)]
    assert (told[-1].value, told[-1].total) == (38 + PIECE, 38 + PIECE)


def test_one_tensor_is_made_at_a_time() -> None:
    made: list[str] = []

    def make(name: str) -> torch.Tensor:
        made.append(name)
        return torch.zeros(PIECE // 4)

    stream = pieces([Written(name, (PIECE // 4,), torch.float32, lambda name=name: make(name)) for name in "abc"], {})  # type: ignore[misc]
    counts = [len(made) for one in stream if isinstance(one, bytes)]
    assert counts == [0, 1, 2, 3]


def test_a_file_replaced_after_the_plan_is_not_saved(tmp_path: Path) -> None:
    one = single_file(tmp_path, TINY["sd15"], network(TINY["sd15"]))
    with Residency(device="cpu", dtype="float32", digest=lambda path: one.digest).active():
        assert contents(model_save(unet_loader(one)))
    with Residency(device="cpu", dtype="float32", digest=lambda path: "another").active():
        saved = model_save(model_merge_simple(unet_loader(one), unet_loader(one), 0.5))
        with pytest.raises(UnsupportedFile, match="was replaced after this job was planned"):
            contents(saved)


# --- into the store --------------------------------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Assets]:
    database = Database(database_url(tmp_path))
    database.migrate()
    yield Assets(database, tmp_path)
    database.close()


def chunks() -> list[Chunk]:
    parts = [one for one in pieces(written(), {"format": "pt"}) if isinstance(one, bytes)]
    return [Chunk("j", "save", 0, "application/x-safetensors", part) for part in parts]


MADE = Made("j", "save", 0, "application/x-safetensors", "checkpoints/mix", b"", {})


async def test_chunks_become_a_file_with_the_workflow_in_its_header(store: Assets) -> None:
    told: list[str] = []
    for _ in range(2):
        arrivals = Arrivals(store, {"graphflow": "{}", "prompt": "[]"}, lambda asset: told.append(asset.name))
        for chunk in chunks():
            await arrivals.chunk(chunk)
        output = await arrivals.made(MADE)

    assert told == ["checkpoints/mix_00001_.safetensors"] * 2, "the same bytes are stored once"
    path = store.path(await store.get(output.asset))
    data = path.read_bytes()
    assert output.asset == (await store.named("output", output.name)).id
    assert pictures.texts(data) == {"format": "pt", "graphflow": "{}", "prompt": "[]"}
    assert all(torch.equal(load(data)[name], tensor) for name, tensor in STATE.items())
    assert [file.name for file in store.folder("output").rglob("*") if file.is_file()] == [path.name]


async def test_a_full_disk_in_the_middle_leaves_no_half_file(store: Assets) -> None:
    arrivals = Arrivals(store, {}, lambda asset: None)
    first, *rest = chunks()
    await arrivals.chunk(first)
    arrivals._incoming["save", 0]._file = Path("/dev/full").open("wb", buffering=0)  # noqa: ASYNC230, SIM115

    with pytest.raises(NodeFailed, match="the result cannot be stored: the disk is full; make room on it") as caught:
        await arrivals.chunk(rest[0])
    assert isinstance(caught.value.__cause__, DiskFull)
    arrivals.close()

    assert list(store.folder("output").iterdir()) == []


async def test_what_a_crash_left_half_is_swept_away_once_it_is_old(store: Assets) -> None:
    incoming = store.incoming("output")
    incoming.write(b"half")
    store.sweep(older_than=0.0)
    assert len(list(store.folder("output").iterdir())) == 1
    store.sweep(older_than=2.0**40)
    assert list(store.folder("output").iterdir()) == []


# --- all of it -------------------------------------------------------------------------------------------------------


def saving(model: str) -> dict[str, object]:
    load = {"type": "UNETLoader", "inputs": {"unet_name": model}}
    mixed = {"model1": {"from": "one.MODEL"}, "model2": {"from": "other.MODEL"}, "ratio": 0.5}
    return {
        "graphflow": 1,
        "nodes": {
            "one": load,
            "other": load,
            "mix": {"type": "ModelMergeSimple", "inputs": mixed},
            "save": {"type": "ModelSave", "inputs": {"model": {"from": "mix.MODEL"}, "filename_prefix": model[:5]}},
        },
    }


MEASURE = """
import asyncio, sys, threading
from pathlib import Path
from graphflow.cli.run import run_file
from graphflow.config import Config

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) * 1024

folder, done, peak = Path(sys.argv[1]), threading.Event(), [0]

def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], anonymous())

config = Config(data=folder / "data", models=(folder,), device="cpu", dtype="float32")
threading.Thread(target=watch, daemon=True).start()
for name in ("small", "small", "large"):
    peak[0] = 0
    code = asyncio.run(run_file(config, str(folder / f"{name}.json"), [], folder / "out", targets=None, as_json=True))
    print("peak", code, peak[0], file=sys.stderr)
"""


def made_up(folder: Path, name: str, layers: int) -> Path:
    """A network of many matrices, none larger than 3 MB."""
    from graphflow.families import FAMILIES
    from graphflow.models.weights import hollow
    from tests.tiny import config_of, write_config

    tiny = config_of(TINY["flux"].config)
    heads = 512 // tiny["attention_head_dim"]
    config = {**tiny, "num_attention_heads": heads, "num_layers": layers, "num_single_layers": 1}
    module = hollow(lambda: FAMILIES["flux"].build(config))
    state = {n: torch.empty(v.shape, dtype=torch.float16).uniform_(-1, 1) for n, v in module.state_dict().items()}
    path = folder / "diffusion_models" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(state, path)
    write_config(path, "transformer", config)
    (folder / f"{name}.json").write_text(json.dumps(saving(path.name)))
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc")
def test_saving_takes_as_much_memory_for_a_large_model_as_for_a_small_one(tmp_path: Path) -> None:
    made_up(tmp_path, "small", 1)
    large = made_up(tmp_path, "large", 10)

    ran = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)

    lines = [line.split() for line in ran.stderr.splitlines() if line.startswith("peak")]
    assert [line[1] for line in lines] == ["0"] * 3, ran.stderr
    _, small, more = (int(line[2]) for line in lines)  # the first brings what is imported
    size = large.stat().st_size
    assert size > 190 * 2**20
    (saved,) = (tmp_path / "out").glob("large*.safetensors")
    assert saved.stat().st_size > 0.99 * size
    assert more - small < size / 2, f"{(more - small) / 2**20:.0f} MB more for a file of {size / 2**20:.0f} MB"


def test_the_command_line_saves_a_model_with_its_workflow(tmp_path: Path) -> None:
    folder = tmp_path / "diffusion_models"
    folder.mkdir()
    one = single_file(folder, TINY["sd15"], network(TINY["sd15"]))
    (tmp_path / "save.json").write_text(json.dumps(saving(one.name)))

    assert main(["run", str(tmp_path / "save.json"), "--models", str(tmp_path), "-o", str(tmp_path / "out"),
                 "--data", str(tmp_path / "data")]) == 0  # fmt: skip

    (saved,) = (tmp_path / "out").iterdir()
    texts = pictures.texts(saved.read_bytes())
    assert json.loads(texts["graphflow"])["nodes"]["save"]["type"] == "ModelSave"
    assert texts["modelspec.prediction_type"] == "epsilon"
    state, before = load_file(saved), load_file(one.path)
    key = "middle_block.0.in_layers.2.weight"
    assert torch.equal(state[key], before[f"model.diffusion_model.{key}"])

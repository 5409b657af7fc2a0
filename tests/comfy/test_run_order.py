"""A run of the real engine as a client hears it: the order of the protocol, by one grammar, and what is there by then."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from graphflow.comfy.door import add_routes
from graphflow.config import Config
from graphflow.server import create_app
from graphflow.service import build_service
from tests.comfy.conftest import Client, Socket
from tests.comfy.world import DEFAULT
from tests.tiny import golden_sd15

LETTERS = {"status": "s", "execution_start": "S", "execution_cached": "C", "progress_state": "p", "executing": "e",
           "progress": "n", "executed": "u", "execution_success": "D", "execution_error": "X",
           "execution_interrupted": "I"}  # fmt: skip
NODES = {True: "pe(pb?n)*u?p", False: "pe(pnb?)*u?p"}
"""Running, executing, steps, what is shown, finished. A preview stands before `progress` for clients that take its
metadata, and behind it for the others."""
RUN = {flags: f"s+SC(up|{node})*Dsz" for flags, node in NODES.items()}
FAILED = f"s+SC({NODES[False]})*pe(pn)*p?Xsz"


def letters(heard: list[Any]) -> str:
    """One letter a message: `b` for a preview, `z` for the very end."""
    return "".join("b" if isinstance(one, bytes) else "z" if one == end(one) else LETTERS[one["type"]] for one in heard)


def end(one: dict[str, Any]) -> dict[str, Any]:
    return {"type": "executing", "data": {"node": None, "prompt_id": one["data"].get("prompt_id")}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    file = golden_sd15(folder / "checkpoints").path
    for path in (file, file.with_suffix(".config")):
        path.rename(path.with_name("tiny" + path.suffix))
    return folder


@pytest.fixture
async def client(tmp_path: Path, models: Path) -> AsyncIterator[Client]:
    config = Config(data=tmp_path, models=(models,), workers="local", device="cpu")
    service, database = build_service(config, {})
    async with TestServer(create_app(service, config, doors=[add_routes])) as server, TestClient(server) as made:
        await service.slots[0].worker.ready()
        yield made
    database.close()


async def connected(client: Client, *, flags: bool) -> Socket:
    socket = Socket(await client.ws_connect("/ws?clientId=me"))
    assert (await socket.next())["data"]["sid"] == "me"
    if flags:
        await socket.raw.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        assert (await socket.next())["type"] == "feature_flags"
    return socket


async def run(client: Client, socket: Socket, prompt: Any) -> tuple[str, list[Any]]:
    body = {"prompt": prompt, "client_id": "me", "extra_data": {"preview_method": "auto"}}
    answer = await (await client.post("/prompt", json=body)).json()
    assert answer["node_errors"] == {}
    return answer["prompt_id"], await asyncio.wait_for(socket.run(), 60)


@pytest.mark.parametrize("flags", [False, True])
async def test_a_run_goes_by_the_grammar_of_the_protocol(client: Client, flags: bool) -> None:
    socket = await connected(client, flags=flags)
    id, heard = await run(client, socket, DEFAULT)
    assert re.fullmatch(RUN[flags], letters(heard)), letters(heard)

    texts = [one for one in heard if isinstance(one, dict)]
    assert {one["data"]["prompt_id"] for one in texts if one["type"] != "status"} == {id}
    began = [one["data"]["node"] for one in texts if one["type"] == "executing"][:-1]
    assert sorted(began) == sorted(DEFAULT)
    needs = {id: [v[0] for v in node["inputs"].values() if isinstance(v, list)] for id, node in DEFAULT.items()}
    assert all(began.index(source) < began.index(id) for id, sources in needs.items() for source in sources)
    assert [(one["data"]["value"], one["data"]["max"]) for one in texts if one["type"] == "progress"] == [
        (1, 2),
        (2, 2),
    ]
    states = [one["data"]["nodes"] for one in texts if one["type"] == "progress_state"]
    assert states[-1].keys() == DEFAULT.keys()
    assert {state["state"] for state in states[-1].values()} == {"finished"}
    assert all(before.keys() <= after.keys() for before, after in itertools.pairwise(states))
    assert {one[:4] for one in heard if isinstance(one, bytes)} == {b"\0\0\0\4" if flags else b"\0\0\0\1"}

    again = await run(client, socket, DEFAULT)
    assert re.fullmatch(RUN[flags], letters(again[1])), letters(again[1])
    assert [one["data"]["output"] for one in again[1] if one["type"] == "executed"]  # files of a cached run, too


async def test_the_result_is_there_when_success_is_told(client: Client) -> None:
    socket = await connected(client, flags=False)
    await client.post("/prompt", json={"prompt": DEFAULT, "client_id": "me"})
    await socket.until("executed")
    [success] = [one for one in await socket.until("execution_success") if one["type"] == "execution_success"]
    id = success["data"]["prompt_id"]
    entry = (await (await client.get(f"/history/{id}")).json())[id]
    [picture] = entry["outputs"]["9"]["images"]
    assert entry["status"]["completed"] is True
    assert (await client.get("/view", params=picture)).status == 200
    kinds = [kind for kind, _ in entry["status"]["messages"]]
    assert kinds == ["execution_start", "execution_cached", "execution_success"]


async def test_a_run_that_fails_goes_by_it_too(client: Client, tmp_path: Path) -> None:
    socket = await connected(client, flags=False)
    nodes = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "../../outside"}},
    }
    id, heard = await run(client, socket, nodes)
    assert re.fullmatch(FAILED, letters(heard)), letters(heard)
    [error] = [one["data"] for one in heard if one["type"] == "execution_error"]
    assert (error["node_id"], error["node_type"]) == ("2", "SaveImage")
    entry = (await (await client.get(f"/history/{id}")).json())[id]
    assert (entry["status"]["status_str"], entry["outputs"]) == ("error", {})
    assert not list(tmp_path.parent.rglob("outside*"))


async def test_what_is_only_looked_at_is_kept_apart(client: Client) -> None:
    socket = await connected(client, flags=False)
    nodes = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    _, heard = await run(client, socket, nodes)
    assert re.fullmatch(RUN[False], letters(heard)), letters(heard)
    [shown] = [one["data"]["output"]["images"][0] for one in heard if one["type"] == "executed"]
    assert shown["type"] == "temp"
    assert (await client.get("/view", params=shown)).status == 200

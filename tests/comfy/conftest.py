"""A client of a server with ComfyUI's door, on an empty folder, with a worker that computes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestClient

from graphflow.comfy.door import add_routes
from graphflow.config import Config
from graphflow.server import create_app
from tests.fakes import World, world

Client = TestClient[Any, Any]


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, start=False) as made:
        yield made


@pytest.fixture
async def client(it: World, tmp_path: Path, aiohttp_client: Any) -> Client:
    made: Client = await aiohttp_client(create_app(it.service, Config(data=tmp_path), doors=[add_routes]))
    return made


def prompt(*middle: str, color: str = "red", **show: Any) -> dict[str, Any]:
    """Color -> each of the middle types -> Show."""
    nodes: dict[str, Any] = {"1": {"class_type": "Color", "inputs": {"color": color}}}
    for type in middle:
        nodes[str(len(nodes) + 1)] = {"class_type": type, "inputs": {"image": [str(len(nodes)), 0]}}
    nodes[str(len(nodes) + 1)] = {
        "class_type": "Show",
        "inputs": {"image": [str(len(nodes)), 0], "prefix": "x", **show},
    }
    return nodes


async def queue(client: Client, nodes: Any, **more: Any) -> str:
    """Queues a prompt; its id."""
    response = await client.post("/prompt", json={"prompt": nodes, **more})
    answer = await response.json()
    assert response.status == 200, answer
    return str(answer["prompt_id"])


class Socket:
    """A client's WebSocket."""

    def __init__(self, raw: ClientWebSocketResponse) -> None:
        self.raw = raw

    async def next(self) -> Any:
        """The next message: JSON of a text, bytes of a binary one."""
        got = await asyncio.wait_for(self.raw.receive(), 60)
        assert got.type in (WSMsgType.TEXT, WSMsgType.BINARY), got
        return json.loads(got.data) if got.type is WSMsgType.TEXT else got.data

    async def until(self, type: str, **data: Any) -> list[Any]:
        """All messages up to the first of that type with these data."""
        heard = []
        while True:
            one = await self.next()
            heard.append(one)
            if isinstance(one, dict) and one["type"] == type and data.items() <= one["data"].items():
                return heard

    async def run(self) -> list[Any]:
        """All messages up to the end of a run."""
        return await self.until("executing", node=None)


@pytest.fixture
async def socket(client: Client) -> Socket:
    """Of the client `me`, past its greeting."""
    made = Socket(await client.ws_connect("/ws?clientId=me"))
    await made.next()
    return made

"""A client of a server on an empty folder, with a worker that computes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from graphflow.config import Config
from graphflow.server import create_app
from tests.fakes import World, world

MakeClient = Callable[..., Awaitable[TestClient[Any, Any]]]


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, start=False) as made:
        yield made


@pytest.fixture
def make_client(it: World, tmp_path: Path, aiohttp_client: Any) -> MakeClient:
    async def make(**settings: Any) -> TestClient[Any, Any]:
        config = Config(data=tmp_path, **settings)
        client: TestClient[Any, Any] = await aiohttp_client(create_app(it.service, config))
        return client

    return make


@pytest.fixture
async def client(make_client: MakeClient) -> TestClient[Any, Any]:
    return await make_client()

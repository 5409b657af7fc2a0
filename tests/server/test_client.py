"""The Python client against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from graphflow import pictures
from graphflow.client import Client, JobError
from graphflow.errors import Conflict, InvalidWorkflow, NotFound, Unauthorized
from tests.fakes import World, png, workflow
from tests.server.conftest import MakeClient


def address(client: TestClient[Any, Any]) -> str:
    return f"http://{client.host}:{client.port}"


async def test_a_workflow_is_run_and_its_pictures_fetched(client: TestClient[Any, Any]) -> None:
    async with Client(address(client)) as it:
        job = await it.run(workflow(), {"show.prefix": "fox"})
        [output] = job.outputs
        assert output.name == "fox_00001_.png"
        assert "graphflow" in pictures.texts(await it.fetch(output.asset))
        assert [job.id for job in await it.jobs(["done"])] == [job.id]
        assert await it.plan(workflow()) == [("color", "Color", "memory"), ("show", "Show", None)]


async def test_what_the_server_refuses_is_raised_as_what_it_is(make_client: MakeClient) -> None:
    server = await make_client(token="t")
    async with Client(address(server)) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.nodes()
    async with Client(address(server), token="t") as it:
        assert "Color" in await it.nodes()
        with pytest.raises(InvalidWorkflow) as caught:
            await it.submit(workflow("Nonsense"))
        assert [problem.node for problem in caught.value.problems] == ["nonsense"]
        with pytest.raises(NotFound):
            await it.job("nobody")
        await it.submit(workflow(), key="k")
        with pytest.raises(Conflict):
            await it.submit(workflow(color="blue"), key="k")


async def test_a_failed_job_is_an_error_with_its_node(client: TestClient[Any, Any]) -> None:
    async with Client(address(client)) as it:
        with pytest.raises(JobError, match="it always fails") as caught:
            await it.run(workflow("Fail"))
        assert caught.value.problems[0].node == "fail"
        assert caught.value.job.status == "failed"


async def test_a_job_is_followed_and_cancelled(client: TestClient[Any, Any]) -> None:
    async with Client(address(client)) as it:
        job = await it.submit(workflow("Wait"))
        types = []
        async for event in it.events(job.id):
            types.append(event.type)
            if event.type == "node.progress":
                await it.cancel(job.id)
        assert types[-1] == "job.cancelled"
        with pytest.raises(JobError, match="cancelled"):
            await it.wait(job.id)


async def test_an_upload_is_used_by_its_name(client: TestClient[Any, Any], it: World) -> None:
    async with Client(address(client)) as connected:
        asset = await connected.upload(png(), "cat.png")
        document = workflow()
        document["nodes"]["color"] = {"type": "Load", "inputs": {"file": asset.name}}
        job = await asyncio.wait_for(connected.run(document), 10)
        assert job.status == "done"

"""What is told while it happens."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient

from graphflow.events import Preview
from graphflow.server.live import preview_frame
from tests.fakes import World, workflow


async def submit(client: TestClient[Any, Any], *middle: str, **more: Any) -> str:
    response = await client.post("/v1/jobs", json={"workflow": workflow(*middle), **more})
    assert response.status == 201
    return str((await response.json())["id"])


async def events(client: TestClient[Any, Any], job: str, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """A job's events, up to the end or the limit."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    found: list[dict[str, Any]] = []
    async with client.get(f"/v1/jobs/{job}/events", headers=headers) as response:
        if response.status == 204:
            return []
        assert response.content_type == "text/event-stream"
        fields: dict[str, str] = {}
        async for line in response.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
                continue
            event = json.loads(fields["data"])
            assert (str(event["seq"]), event["type"]) == (fields["id"], fields["event"])
            found.append(event)
            if len(found) == limit:
                break
    return found


async def test_a_stream_tells_a_job_from_its_beginning_to_its_end(client: TestClient[Any, Any]) -> None:
    told = await events(client, await submit(client))
    assert [event["type"] for event in told][:2] == ["job.queued", "job.started"]
    assert told[-1]["type"] == "job.done"
    assert told[-1]["outputs"][0]["name"] == "x_00001_.png"


async def test_a_stream_goes_on_where_it_was_cut(client: TestClient[Any, Any], it: World) -> None:
    job = await submit(client, "Wait")
    first = await events(client, job, limit=4)
    it.worker.gate.set()
    rest = await events(client, job, after=first[-1]["seq"])

    assert [event["seq"] for event in first] == [1, 2, 3, 4]
    assert rest[0]["seq"] > 4
    assert rest[-1]["type"] == "job.done"
    assert await events(client, job, after=rest[-1]["seq"]) == [], "204: there is nothing left to come back for"


async def test_where_to_go_on_must_be_a_number(client: TestClient[Any, Any]) -> None:
    job = await submit(client)
    for value in ("x", "-1", "1e3", "9" * 99):
        response = await client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": value})
        assert response.status == 400


async def test_the_socket_greets_with_all_that_goes_on_and_tells_the_rest(
    client: TestClient[Any, Any], it: World
) -> None:
    running = await submit(client, "Wait")
    await it.until_event(running, "node.progress")
    async with client.ws_connect("/v1/live") as socket:
        hello = await socket.receive_json()
        assert (hello["type"], hello["build"], hello["version"], hello["paused"]) == ("hello", "b", "1", False)
        [job] = hello["jobs"]
        assert (job["id"], job["status"], job["planned"]) == (running, "running", 3)
        assert job["nodes"]["wait"]["state"] == "running"
        assert job["nodes"]["color"]["seconds"] == 0.25
        it.worker.gate.set()
        told: list[dict[str, Any]] = []
        while not told or told[-1]["type"] != "job.done":
            message = await socket.receive(timeout=10)
            if message.type == WSMsgType.TEXT:
                told.append(json.loads(message.data))
        types = [message["type"] for message in told]
        assert types.index("asset") < types.index("node.output"), "the file is there before the event that tells of it"


async def test_what_a_node_says_is_told_live_and_not_stored(client: TestClient[Any, Any], it: World) -> None:
    async with client.ws_connect("/v1/live") as socket:
        job = await submit(client, "Say")
        while (message := await socket.receive(timeout=10)).type == WSMsgType.BINARY or (
            told := json.loads(message.data)
        )["type"] != "node.said":
            continue
    assert told == {"type": "node.said", "job": job, "node": "say", "kind": "weather", "content": {"rain": True}}
    await it.until(job)
    assert "node.said" not in [event.type for event in await it.service.jobs.events(job)]


async def test_previews_come_as_frames_and_only_while_somebody_looks(client: TestClient[Any, Any], it: World) -> None:
    async with client.ws_connect("/v1/live") as socket:
        await socket.receive_json()
        job = await submit(client, "Wait")
        frame = b""
        while not frame:
            message = await socket.receive(timeout=10)
            frame = message.data if message.type == WSMsgType.BINARY else b""
    kind, length = struct.unpack(">II", frame[:8])
    assert kind == 1
    assert json.loads(frame[8 : 8 + length]) == {"job": job, "node": "wait", "media_type": "image/jpeg"}
    assert frame[8 + length :].startswith(b"preview")


def test_a_frame_can_be_taken_apart() -> None:
    frame = preview_frame(Preview("j", "n", "image/png", b"\x00\xff"))
    length = int.from_bytes(frame[4:8], "big")
    assert frame[8 + length :] == b"\x00\xff"


async def test_what_a_client_says_on_the_socket_is_not_looked_at(client: TestClient[Any, Any]) -> None:
    async with client.ws_connect("/v1/live") as socket:
        await socket.receive_json()
        await socket.send_str('{"type": "cancel"}')
        await socket.send_bytes(b"\x00")
        job = await submit(client)
        while (message := await socket.receive_json())["type"] != "job.done":
            pass
        assert message["job"] == job


async def test_the_socket_tells_of_the_queue_and_of_workers(client: TestClient[Any, Any], it: World) -> None:
    async with client.ws_connect("/v1/live") as socket:
        await socket.receive_json()
        await client.patch("/v1/queue", json={"paused": True})
        job = await submit(client)
        while (message := await socket.receive_json(timeout=10)).get("jobs") != [job]:
            pass
        assert (message["type"], message["paused"]) == ("queue", True)
        it.worker.die()
        states = []
        while "ready" not in states:
            message = await socket.receive_json(timeout=10)
            if message["type"] == "worker":
                states.append(message["state"])
        assert states == ["dead", "ready"]


async def test_a_server_that_ends_says_goodbye(client: TestClient[Any, Any]) -> None:
    async with client.ws_connect("/v1/live") as socket:
        await socket.receive_json()
        assert client.app is not None
        closing = asyncio.create_task(client.app.shutdown())
        while (message := await socket.receive(timeout=10)).type == WSMsgType.TEXT:
            pass
        assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1001)
        await closing

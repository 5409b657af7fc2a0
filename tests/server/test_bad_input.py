"""Bad input gets a clear answer of the one shape, and the next job runs."""

from __future__ import annotations

import errno
import json
import struct
import zlib
from typing import Any, NoReturn

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient

from tests.fakes import World, png, workflow
from tests.server.conftest import MakeClient

JSON = {"Content-Type": "application/json"}


async def refused(response: Any, status: int) -> dict[str, Any]:
    """The error of an answer in the one shape."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/json"
    body = await response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "problems"}
    return dict(body["error"])


async def next_job_runs(client: TestClient[Any, Any], it: World) -> None:
    response = await client.post("/v1/jobs", json={"workflow": workflow()})
    assert response.status == 201
    assert await it.until((await response.json())["id"]) == "done"


def deep(levels: int) -> str:
    return '{"workflow": {"graphflow": 1, "nodes": {}, "x": ' + "[" * levels + "]" * levels + "}}"


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", JSON, 400, "workflow: field required"),
        (b"{", JSON, 400, "line 1, column 2"),
        (b"\xff\xfe", JSON, 400, "UTF-8"),
        (b"[]", JSON, 400, "it must be an object"),
        (b"null", JSON, 400, "it must be an object"),
        (b'{"workflow": []}', JSON, 400, "workflow"),
        (b'{"workflow": {}, "prio": 3}', JSON, 400, "prio"),
        (b'{"workflow": {}, "priority": 1e99}', JSON, 400, "priority"),
        (b'{"workflow": {}, "priority": "high"}', JSON, 400, "priority"),
        (b'{"workflow": {"graphflow": 1, "nodes": {}, "x": NaN}}', JSON, 400, "NaN"),
        (b'{"workflow": {"graphflow": 1, "nodes": {}, "x": -Infinity}}', JSON, 400, "Infinity"),
        (b'{"workflow": {"graphflow": 1, "nodes": {}, "x": 1e999}}', JSON, 400, "too large"),
        (b'{"workflow": {"graphflow": 1, "nodes": {}, "x": ' + b"9" * 5000 + b"}}", JSON, 400, "digits"),
        (deep(100).encode(), JSON, 400, "nested deeper"),
        (deep(100_000).encode(), JSON, 400, "nested deeper"),
        (b'{"workflow": {}}', {"Content-Type": "text/plain"}, 415, "application/json"),
        (b'{"workflow": {}}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (b'{"workflow": {"nodes": {}}}', JSON, 400, "no workflow"),
        (b'{"workflow": {"graphflow": 99}}', JSON, 400, "version 99"),
        (b'{"workflow": {"graphflow": 1, "nodes": {}}}', JSON, 422, "nothing would come out"),
        (b'{"workflow": {"graphflow": 1, "nodes": {"a": {}}}}', JSON, 422, "type"),
    ],
)
async def test_a_faulty_submission_is_told_what_is_wrong(
    client: TestClient[Any, Any], it: World, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    error = await refused(await client.post("/v1/jobs", data=body, headers=headers), status)
    assert said in error["message"]
    assert await it.service.jobs.history() == []
    await next_job_runs(client, it)


async def test_a_body_over_the_limit_is_not_read(make_client: MakeClient, it: World) -> None:
    client = await make_client(max_body=1000, max_upload=2000)
    document = workflow(description="x" * 2000)
    error = await refused(await client.post("/v1/jobs", json={"workflow": document}), 413)
    assert "1,000" in error["message"]

    async def endless() -> Any:
        for _ in range(1000):
            yield b" " * 1000

    await refused(await client.post("/v1/jobs", data=endless(), headers=JSON), 413)
    await refused(await client.post("/v1/assets?name=x.bin", data=bytes(2001)), 413)
    form = FormData()
    form.add_field("image", bytes(2001), filename="x.bin")
    await refused(await client.post("/v1/assets", data=form), 413)
    await next_job_runs(client, it)


async def test_a_graph_of_100_000_nodes_is_refused_and_one_of_10_000_is_taken(
    client: TestClient[Any, Any], it: World
) -> None:
    def chain(count: int) -> dict[str, Any]:
        nodes: dict[str, Any] = {"n0": {"type": "Color", "inputs": {}}}
        for i in range(1, count):
            nodes[f"n{i}"] = {"type": "Wait", "inputs": {"image": {"from": f"n{i - 1}.IMAGE"}}}
        nodes["show"] = {"type": "Show", "inputs": {"image": {"from": f"n{count - 1}.IMAGE"}}}
        return {"graphflow": 1, "nodes": nodes}

    error = await refused(await client.post("/v1/jobs", json={"workflow": chain(100_000)}), 413)
    assert "100001 nodes" in error["message"]
    response = await client.post("/v1/plans", json={"workflow": chain(10_000)})
    assert len((await response.json())["tasks"]) == 10_001
    await next_job_runs(client, it)


async def test_every_problem_is_at_its_node_and_input(client: TestClient[Any, Any]) -> None:
    document = workflow("Wait")
    document["nodes"]["wait"]["inputs"] = {"image": {"from": "nobody.IMAGE"}}
    document["nodes"]["show"]["inputs"]["prefix"] = 7
    document["nodes"]["again"] = {"type": "Shw", "inputs": {}}
    error = await refused(await client.post("/v1/plans", json={"workflow": document}), 422)
    places = {(problem["node"], problem["input"]) for problem in error["problems"]}
    assert places == {("wait", "image"), ("show", "prefix"), ("again", None)}


async def test_a_tolerant_plan_answers_with_the_problems(client: TestClient[Any, Any]) -> None:
    broken = workflow("Nonsense")
    response = await client.post("/v1/plans", json={"workflow": broken, "tolerant": True})
    answer = await response.json()
    assert response.status == 200
    assert (answer["tasks"], answer["outputs"]) == ([], [])
    error = await refused(await client.post("/v1/plans", json={"workflow": broken}), 422)
    assert answer["problems"] == error["problems"] != []
    assert (await (await client.post("/v1/plans", json={"workflow": workflow()})).json())["problems"] == []


async def test_overrides_go_to_nodes_that_are_there(client: TestClient[Any, Any]) -> None:
    body = {"workflow": workflow(), "overrides": {"nobody.color": "red", "color": 1}}
    error = await refused(await client.post("/v1/jobs", json=body), 422)
    assert [problem["node"] for problem in error["problems"]] == ["nobody", None]


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("bomb.png", bomb(), 413),
        ("cut.png", png()[:50], 415),
        ("text.png", b"hello", 415),
        ("empty.png", b"", 415),
        ("page.jpg", b"<html>", 415),
    ],
)
async def test_pictures_that_are_none_are_refused(
    client: TestClient[Any, Any], it: World, name: str, data: bytes, status: int
) -> None:
    await refused(await client.post("/v1/assets", params={"name": name}, data=data), status)
    assert it.service.assets.names("input") == []
    await next_job_runs(client, it)


async def test_an_upload_needs_a_name_and_a_form_a_file(client: TestClient[Any, Any]) -> None:
    await refused(await client.post("/v1/assets", data=png()), 400)
    form = FormData({"a": "b"}, default_to_multipart=True)
    await refused(await client.post("/v1/assets", data=form), 400)
    await refused(await client.post("/v1/assets", data=b"x", headers={"Content-Type": "multipart/form-data"}), 400)


async def test_a_form_with_a_file_is_stored(client: TestClient[Any, Any], it: World) -> None:
    form = FormData()
    form.add_field("comment", "mine")
    form.add_field("image", png(), filename="cat.png", content_type="image/png")
    response = await client.post("/v1/assets", data=form)
    assert (response.status, (await response.json())["name"]) == (201, "cat.png")
    assert (it.service.assets.folder("input") / "cat.png").read_bytes() == png()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (png(), "carries no workflow"),
        (png()[:40], "carries no workflow"),
        (b"{}", "no workflow"),
        (b"\x00\x01", "not JSON"),
        (b"GIF89a", "not JSON"),
        (b'{"a": {"class_type": 3}}', "no workflow"),
    ],
)
async def test_a_file_without_a_workflow_says_so(client: TestClient[Any, Any], data: bytes, said: str) -> None:
    error = await refused(await client.post("/v1/workflows/convert", data=data), 400)
    assert said in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/jobs", 405),
        ("POST", "/v1/version", 405),
        ("GET", "/v1/jobs?limit=0", 400),
        ("GET", "/v1/jobs?limit=1e9", 400),
        ("GET", "/v1/jobs?status=lost", 400),
        ("DELETE", "/v1/jobs", 400),
        ("DELETE", "/v1/jobs?status=running", 400),
        ("GET", "/v1/assets?kind=secret", 400),
        ("GET", "/v1/assets/%00", 404),
        ("GET", "/v1/drafts/%2e%2e%2f", 400),
        ("GET", "/v1/templates/..%2f..%2fREADME/thumbnail", 404),
    ],
)
async def test_whatever_is_wrong_with_an_address_has_the_one_shape(
    client: TestClient[Any, Any], method: str, path: str, status: int
) -> None:
    from yarl import URL

    url = URL(f"http://{client.host}:{client.port}{path}", encoded=True)
    await refused(await client.session.request(method, url), status)


async def test_a_used_key_is_for_one_request(client: TestClient[Any, Any], it: World) -> None:
    headers = {"Idempotency-Key": "k"}
    answers = [await client.post("/v1/jobs", json={"workflow": workflow()}, headers=headers) for _ in range(3)]
    assert len({(await answer.json())["id"] for answer in answers}) == 1
    other = await client.post("/v1/jobs", json={"workflow": workflow(color="blue")}, headers=headers)
    assert (await refused(other, 409))["code"] == "conflict"
    await refused(
        await client.post("/v1/jobs", json={"workflow": workflow()}, headers={"Idempotency-Key": "k" * 300}), 400
    )
    assert len(await it.service.jobs.history()) == 1


async def test_a_handler_that_breaks_tells_nothing_of_the_inside(client: TestClient[Any, Any], it: World) -> None:
    it.database.close()
    error = await refused(await client.get("/v1/jobs"), 500)
    assert error["code"] == "internal"
    assert "sqlite" not in json.dumps(error)


async def test_an_upload_to_a_full_disk_says_so(
    client: TestClient[Any, Any], it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device", "/home/me/data/input/x.png")

    with monkeypatch.context() as patch:
        patch.setattr(it.service.assets, "upload", full)
        response = await client.post("/v1/assets?name=x.png", data=png(), headers={"Content-Type": "image/png"})
        error = await refused(response, 507)
    assert error["code"] == "disk_full"
    assert "/home" not in error["message"]
    await next_job_runs(client, it)


async def test_another_programs_workflow_is_saved_as_one_of_ours(client: TestClient[Any, Any]) -> None:
    prompt = {"1": {"class_type": "Color", "inputs": {"color": "red"}}}
    saved = await (await client.post("/v1/workflows", json={"workflow": prompt})).json()
    assert saved["workflow"]["graphflow"] == 1
    assert [node["type"] for node in saved["workflow"]["nodes"].values()] == ["Color"]
    await refused(await client.post("/v1/workflows", json={"workflow": {"nothing": 1}}), 400)


async def test_drafts_say_when_another_window_was_there(client: TestClient[Any, Any]) -> None:
    first = await client.put("/v1/drafts/d", json={"workflow": {}, "file": {"id": "x", "version": 1}})
    assert first.headers["ETag"] == '"1"'
    second = await client.put("/v1/drafts/d", json={"workflow": {"a": 1}}, headers={"If-Match": '"1"'})
    assert second.headers["ETag"] == '"2"'
    await refused(await client.put("/v1/drafts/d", json={"workflow": {}}, headers={"If-Match": '"1"'}), 412)
    assert (await (await client.get("/v1/drafts/d")).json())["draft"] == {"workflow": {"a": 1}}
    await refused(await client.put("/v1/drafts/d", json={"workflow": {}}, headers={"If-Match": "x"}), 400)

"""Clients reach the routes of node packs through the server, while the worker computes, too; packs may change prompts."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from graphflow.comfy.door import add_routes
from graphflow.comfy.packs import desk, load
from graphflow.comfy.passing import About, Answered, Asked, Faulty
from graphflow.config import Config
from graphflow.server import create_app
from graphflow.service import build_service
from tests.comfy.conftest import Client

PACK = """
    import asyncio, os, threading
    from aiohttp import web
    from server import PromptServer
    routes = PromptServer.instance.routes
    started, release = threading.Event(), threading.Event()

    @routes.get("/pack/hello/{name}")
    async def hello(request):
        import folder_paths
        asked = {key: request.headers.get(key) for key in ("Authorization", "Cookie", "Comfy-User")}
        return web.json_response({"name": request.match_info["name"], "q": request.query.get("q"), "asked": asked})

    @routes.post("/pack/echo")
    async def echo(request):
        body = await request.json()
        return web.json_response(body, status=201, headers={"Set-Cookie": "a=b", "ETag": '"1"'})

    @routes.post("/pack/upload")
    async def upload(request):
        form = await request.post()
        return web.Response(text=f"{form['file'].filename} {len(form['file'].file.read())} {form['kind']}")

    @routes.get("/pack/broken")
    async def broken(request): raise ValueError("a secret of the pack")

    @routes.get("/pack/missing")
    async def missing(request): raise web.HTTPNotFound(text="no such thing")

    @routes.get("/pack/page")
    async def page(request): return web.Response(text="<script>1</script>", content_type="text/html")

    @routes.get("/pack/large")
    async def large(request): return web.Response(body=bytes(3000))

    @routes.get("/pack/never")
    async def never(request): await asyncio.Event().wait()

    @routes.get("/pack/state")
    async def state(request):
        busy = started.is_set()
        release.set()
        return web.json_response({"busy": busy})

    @routes.get("/pack/hello/{name}")
    async def twice(request): return web.Response(text="never reached")

    @routes.get("/queue")
    async def shadow(request): return web.Response(text="not ours")

    PromptServer.instance.app.add_routes([web.static("/pack/files", os.path.dirname(__file__))])

    def loud(body):
        for node in body["prompt"].values():
            if node["class_type"] == "Shout|a/b: 1": node["inputs"]["text"] += "!"
        assert "auth_token_comfy_org" not in body.get("extra_data", {})
        return body
    def faulty(body): raise ValueError("no")
    def forgetful(body): pass
    for handler in (faulty, loud, forgetful): PromptServer.instance.add_on_prompt_handler(handler)

    class Shout:
        RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "go", True
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"text": ("STRING", {})}}
        def go(self, text): return {"ui": {"text": [text]}}
    class Busy(Shout):
        def go(self, text):
            started.set()
            release.wait(60)
            return {"ui": {"text": [text]}}
    NODE_CLASS_MAPPINGS = {"Shout|a/b: 1": Shout, "Busy": Busy}
"""


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text(textwrap.dedent(PACK))
    (folder / "pack" / "note.txt").write_text("a file of the pack")
    return folder


def asked(desk: Any, target: str, method: str = "GET") -> Any:
    return desk.answer(Asked(method, target))


def test_a_desk_tells_its_routes_and_answers_them(packs: Path) -> None:
    (own,) = load(packs).desks
    about = About.of(own.about)
    assert about.changes_prompts
    known = [("GET", "/pack/hello/me"), ("POST", "/pack/echo"), ("GET", "/pack/files/note.txt"), ("HEAD", "/pack/page")]
    assert all(any(route.fits(*one) for route in about.routes) for one in known)
    unknown = [("GET", "/pack/hello/me/too"), ("DELETE", "/pack/echo"), ("GET", "/pack"), ("GET", "/")]
    assert not any(route.fits(*one) for route in about.routes for one in unknown)

    answered = asked(own, "/pack/hello/m%20e?q=%26")
    assert isinstance(answered, Answered)
    assert (answered.status, answered.body) == (
        200,
        b'{"name": "m e", "q": "&", "asked": {"Authorization": null, "Cookie": null, "Comfy-User": null}}',
    )


def test_an_answer_that_is_too_late_or_too_large_is_none(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own,) = load(packs).desks
    monkeypatch.setattr(desk, "LARGEST", 2000)
    assert asked(own, "/pack/large") == Faulty("the node pack's answer is larger than 2,000 bytes")
    monkeypatch.setattr(desk, "PATIENCE", 0.05)
    assert asked(own, "/pack/never") == Faulty("the node pack did not answer within 0 seconds")


@pytest.fixture
async def client(tmp_path: Path, packs: Path) -> AsyncIterator[Client]:
    config = Config(data=tmp_path, workers="local", device="cpu", packs=(f"comfyui={packs}",), max_upload=5000)
    service, database = build_service(config, {})
    async with TestServer(create_app(service, config, doors=[add_routes])) as server, TestClient(server) as made:
        await service.slots[0].worker.ready()
        yield made
    database.close()


async def test_clients_reach_packs_through_the_server(client: Client) -> None:
    headers = {"Authorization": "Bearer secret", "Cookie": "graphflow=secret", "Comfy-User": "me"}
    for prefix in ("", "/api"):
        answer = await client.get(f"{prefix}/pack/hello/you?q=1", headers=headers)
        assert await answer.json() == {
            "name": "you", "q": "1", "asked": {"Authorization": None, "Cookie": None, "Comfy-User": "me"},
        }  # fmt: skip
    answer = await client.post("/pack/echo", json={"a": [1]})
    assert (answer.status, await answer.json(), answer.headers["ETag"]) == (201, {"a": [1]}, '"1"')
    assert "Set-Cookie" not in answer.headers

    form = FormData({"kind": "x"})
    form.add_field("file", b"12345", filename="five.bin")
    assert await (await client.post("/pack/upload", data=form)).text() == "five.bin 5 x"
    too_large = await client.post("/pack/echo", data=bytes(6000))
    assert (too_large.status, (await too_large.json())["error"]["code"]) == (413, "too_large")

    assert await (await client.get("/pack/files/note.txt")).text() == "a file of the pack"
    page = await client.get("/pack/page")
    assert (page.content_type, page.headers["Content-Security-Policy"]) == ("text/html", "sandbox")


async def test_what_a_pack_may_not_do(client: Client) -> None:
    broken = await client.get("/pack/broken")
    assert (broken.status, broken.content_type) == (500, "application/json")
    assert "secret" not in await broken.text()
    assert (await client.get("/pack/missing")).status == 404
    nothing = await client.get("/pack/other")
    assert (nothing.status, (await nothing.json())["error"]["code"]) == (404, "not_found")
    assert (await client.delete("/pack/echo")).status == 405
    assert "queue_running" in await (await client.get("/queue")).json(), "the server's own routes stay"
    across = await client.get("/pack/hello/you", headers={"Sec-Fetch-Site": "cross-site"})
    assert across.status == 403


async def test_routes_answer_while_the_worker_computes_and_prompts_are_changed(client: Client) -> None:
    prompt = {
        "1": {"class_type": "Busy", "inputs": {"text": "a"}},
        "2": {"class_type": "Shout|a/b: 1", "inputs": {"text": "b"}},
    }
    body = {"prompt": prompt, "extra_data": {"auth_token_comfy_org": "secret"}}
    answer = await (await client.post("/prompt", json=body)).json()
    assert answer["node_errors"] == {}
    busy = False
    for _ in range(600):
        running = (await (await client.get("/queue")).json())["queue_running"]
        if running and (busy := (await (await client.get("/pack/state")).json())["busy"]):
            break
        await asyncio.sleep(0.05)
    assert busy
    history: dict[str, Any] = {}
    while not history:
        history = await (await client.get(f"/history/{answer['prompt_id']}")).json()
    assert history[answer["prompt_id"]]["outputs"]["2"] == {"text": ["b!"]}

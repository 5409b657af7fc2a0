"""Every route and every message of ComfyUI's protocol, by one list of them: none is forgotten, none goes untested."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient
from aiohttp.test_utils import TestServer as Server

from graphflow.comfy.door import INTERNAL, ROUTES, add_routes
from graphflow.config import Config
from graphflow.server import create_app
from tests.comfy.conftest import Client, Socket, prompt, queue
from tests.comfy.recording import fits, shape
from tests.fakes import World, png


@dataclass(frozen=True)
class Route:
    """A route, a request that it answers, and what the answer looks like."""

    method: str
    pattern: str
    path: str
    """With what stands in the pattern's braces; `JOB` is a finished job's id, `WAITING` that of one that waits."""
    body: Any = None
    status: int = 200
    shape: Any = None
    """Keys and types of its JSON; a text: the content type; None: an empty body."""


EMPTY: Any = None
FILE = {"name": "str", "subfolder": "str", "type": "str"}
ENTRY = {
    "": {
        "prompt": ["number"],
        "outputs": {"2": {"images": [{"filename": "str", "subfolder": "str", "type": "str"}]}},
        "status": {"status_str": "str", "completed": "bool", "messages": [["str"]]},
        "meta": {
            "2": {"node_id": "str", "display_node": "str", "parent_node": "NoneType", "real_node_id": "str"},
        },
    }
}
JOB = {"id": "str", "status": "str", "create_time": "number", "outputs_count": "number"}
INFO = {
    "Color": {
        "input": {"required": {"color": ["str"]}},
        "input_order": {"required": ["str"]},
        "output": ["str"],
        "output_is_list": ["bool"],
        "output_name": ["str"],
        "name": "str",
        "display_name": "str",
        "description": "str",
        "python_module": "str",
        "category": "str",
        "output_node": "bool",
    }
}
SYSTEM = {
    "system": dict.fromkeys(
        ["os", "comfyui_version", "required_frontend_version", "installed_templates_version",
         "required_templates_version", "python_version", "pytorch_version"], "str"
    ) | {"ram_total": "number", "ram_free": "number", "embedded_python": "bool", "argv": ["str"]},
    "devices": [{"name": "str", "type": "str", "index": "NoneType", "vram_total": "number", "vram_free": "number",
                 "torch_vram_total": "number", "torch_vram_free": "number"}],
}  # fmt: skip
USER_FILE = {"path": "str", "size": "number", "modified": "number", "created": "number"}


def upload(**fields: str) -> FormData:
    made = FormData()
    made.add_field("image", png(), filename="cat.png", content_type="image/png")
    for name, value in fields.items():
        made.add_field(name, value)
    return made


TWINS = [
    Route("GET", "/prompt", "/prompt", shape={"exec_info": {"queue_remaining": "number"}}),
    Route("POST", "/prompt", "/prompt", {"prompt": prompt()}, shape={"prompt_id": "str", "number": "number", "node_errors": {}}),
    Route("GET", "/queue", "/queue", shape={"queue_running": [], "queue_pending": [["number"]]}),
    Route("POST", "/queue", "/queue", {"delete": ["none"]}),
    Route("POST", "/interrupt", "/interrupt"),
    Route("POST", "/free", "/free", {"unload_models": True}),
    Route("GET", "/history", "/history?max_items=1", shape=ENTRY),
    Route("POST", "/history", "/history", {"delete": ["none"]}),
    Route("GET", "/history/{id}", "/history/JOB", shape=ENTRY),
    Route("GET", "/view", "/view?filename=x_00001_.png&rand=0.5", shape="image/png"),
    Route("POST", "/upload/image", "/upload/image", upload, shape=FILE),
    Route("POST", "/upload/mask", "/upload/mask",
          lambda: upload(original_ref='{"filename": "x_00001_.png", "type": "output"}'), shape=FILE),
    Route("GET", "/view_metadata/{folder}", "/view_metadata/loras?filename=a.safetensors", shape={"made": "str"}),
    Route("GET", "/object_info", "/object_info", shape=INFO),
    Route("GET", "/object_info/{type:.+}", "/object_info/Color", shape=INFO),
    Route("GET", "/embeddings", "/embeddings", shape=["str"]),
    Route("GET", "/models", "/models", shape=["str"]),
    Route("GET", "/models/{folder}", "/models/loras", shape=["str"]),
    Route("GET", "/experiment/models", "/experiment/models", shape=[{"name": "str", "folders": ["str"]}]),
    Route("GET", "/experiment/models/{folder}", "/experiment/models/loras",
          shape=[{"name": "str", "pathIndex": "number", "modified": "number", "created": "number", "size": "number"}]),
    Route("GET", "/experiment/models/preview/{folder}/{index}/{name:.+}",
          "/experiment/models/preview/loras/0/a.safetensors", shape="image/webp"),
    Route("GET", "/system_stats", "/system_stats", shape=SYSTEM),
    Route("GET", "/features", "/features", shape={"supports_preview_metadata": "bool", "max_upload_size": "number"}),
    Route("GET", "/extensions", "/extensions", shape=[]),
    Route("GET", "/users", "/users", shape={"storage": "str", "migrated": "bool"}),
    Route("POST", "/users", "/users", {"username": "ann"}, 400, {"error": "str"}),
    Route("GET", "/settings", "/settings", shape={"a": "number"}),
    Route("POST", "/settings", "/settings", {"a": 2}),
    Route("GET", "/settings/{id}", "/settings/a", shape="number"),
    Route("POST", "/settings/{id}", "/settings/a", 3),
    Route("GET", "/userdata", "/userdata?dir=workflows&full_info=true", shape=[USER_FILE]),
    Route("GET", "/v2/userdata", "/v2/userdata?path=workflows",
          shape=[{"name": "str", "path": "str", "type": "str", "size": "number", "modified": "number"}]),
    Route("GET", "/userdata/{file}", "/userdata/workflows%2Fa.json", shape={"nodes": []}),
    Route("POST", "/userdata/{file}", "/userdata/workflows%2Fb.json?full_info=true", {}, shape=USER_FILE),
    Route("POST", "/userdata/{file}/move/{dest}", "/userdata/c.json/move/workflows%2Fc.json", shape="str"),
    Route("DELETE", "/userdata/{file}", "/userdata/d.json", status=204),
    Route("GET", "/workflow_templates", "/workflow_templates", shape={"Pack": ["str"]}),
    Route("GET", "/workflow_templates/{pack}/{name}", "/workflow_templates/Pack/one.json", shape={"nodes": []}),
    Route("GET", "/i18n", "/i18n", shape={"de": {"nodeDefs": {"Color": "str"}}}),
    Route("GET", "/jobs", "/jobs", shape={"jobs": [JOB], "pagination": {"offset": "number", "limit": "number", "total": "number", "has_more": "bool"}}),
    Route("GET", "/jobs/{id}", "/jobs/JOB", shape={**JOB, "workflow": {"prompt": {}}}),
    Route("GET", "/jobs/{id}/assets", "/jobs/JOB/assets", shape={"job_id": "str", "assets": [{"name": "str"}]}),
    Route("POST", "/jobs/{id}/cancel", "/jobs/WAITING/cancel", shape={"success": "bool"}),
    Route("GET", "/global_subgraphs", "/global_subgraphs", shape={}),
    Route("GET", "/node_replacements", "/node_replacements", shape={}),
]  # fmt: skip
BARE = [
    Route("GET", "/internal/logs", "/internal/logs", shape="str"),
    Route("GET", "/internal/logs/raw", "/internal/logs/raw",
          shape={"entries": [{"t": "str", "m": "str"}], "size": {"cols": "number", "rows": "number"}}),
    Route("PATCH", "/internal/logs/subscribe", "/internal/logs/subscribe", {"clientId": "me", "enabled": True}),
    Route("GET", "/internal/folder_paths", "/internal/folder_paths", shape={"loras": ["str"]}),
    Route("GET", "/internal/files/{kind}", "/internal/files/output", shape=["str"]),
]  # fmt: skip


def test_every_route_is_listed_here() -> None:
    assert {(one.method, one.pattern) for one in TWINS} == {(m, p) for m, p, _ in ROUTES if p != "/ws"}
    assert {(one.method, one.pattern) for one in BARE} == {(m, p) for m, p, _ in INTERNAL}


@pytest.fixture
async def rich(it: World, tmp_path: Path, aiohttp_client: Any) -> tuple[Client, dict[str, str]]:
    """A server that has something of everything, and the ids of a finished job and of one that waits."""
    packs = tmp_path / "custom_nodes"
    (packs / "Pack" / "example_workflows").mkdir(parents=True)
    (packs / "Pack" / "example_workflows" / "one.json").write_text('{"nodes": []}')
    (packs / "Pack" / "locales" / "de").mkdir(parents=True)
    (packs / "Pack" / "locales" / "de" / "nodeDefs.json").write_text('{"Color": "Farbe"}')
    header = json.dumps({"__metadata__": {"made": "here"}}).encode()
    for folder in ("loras", "embeddings"):
        (tmp_path / "models" / folder).mkdir(parents=True)
        (tmp_path / "models" / folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (tmp_path / "models" / "loras" / "a.png").write_bytes(png())
    config = Config(data=tmp_path, packs=(f"comfyui={packs}",))
    client: Client = await aiohttp_client(create_app(it.service, config, doors=[add_routes]))
    done = await queue(client, prompt())
    await it.until(done)
    await client.post("/settings", json={"a": 1})
    for name in ("workflows%2Fa.json", "c.json", "d.json"):
        await client.post(f"/userdata/{name}", data=b'{"nodes": []}')
    await it.service.pause(True)
    return client, {"JOB": done, "WAITING": await queue(client, prompt(color="blue"))}


async def assert_answers(client: Client, route: Route, ids: dict[str, str], prefix: str) -> None:
    path = prefix + re.sub("JOB|WAITING", lambda found: ids[found[0]], route.path)
    body = route.body() if callable(route.body) else route.body
    given = {"data": body} if isinstance(body, FormData) else {} if body is None else {"json": body}
    async with client.request(route.method, path, **given) as got:
        data = await got.read()
        assert got.status == route.status, f"{path}: {data[:200]!r}"
        if route.shape is None:
            assert data == b"", path
        elif isinstance(route.shape, str) and "/" in route.shape:
            assert got.content_type == route.shape
        else:
            assert (
                got.headers["Content-Type"] == "application/json; charset=utf-8" or "userdata" in path or "Pack" in path
            )
            assert fits(shape(json.loads(data)), route.shape), f"{path}: {shape(json.loads(data))}"


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_every_route_answers_with_and_without_the_prefix(
    rich: tuple[Client, dict[str, str]], prefix: str
) -> None:
    client, ids = rich
    for route in TWINS:
        await assert_answers(client, route, ids, prefix)


async def test_internal_routes_answer_without_the_prefix_only(rich: tuple[Client, dict[str, str]]) -> None:
    client, ids = rich
    for route in BARE:
        await assert_answers(client, route, ids, "")
        async with client.request(route.method, f"/api{route.path}") as got:
            assert got.status in (404, 405), route.path


async def test_every_other_method_and_route_is_refused(client: Client) -> None:
    for route in TWINS:
        methods = {one.method for one in TWINS if one.pattern == route.pattern}
        for method in {"PUT", "DELETE", "POST"} - methods:
            async with client.request(method, f"/api{route.path}") as got:
                assert got.status in (404, 405), f"{method} {route.path}"
    for path in ("/api/none", "/api/assets", "/internal/none", "/api"):
        assert (await client.get(path)).status == 404


# --- messages --------------------------------------------------------------------------------------------------------

MESSAGES = {
    "status", "execution_start", "execution_cached", "executing", "progress", "progress_state", "executed",
    "execution_success", "execution_error", "execution_interrupted", "feature_flags", "logs",
}  # fmt: skip
NODE = {
    "node_id": "str",
    "prompt_id": "str",
    "display_node_id": "str",
    "parent_node_id": "NoneType",
    "real_node_id": "str",
}
DATA: dict[str, Any] = {
    "status": {"status": {"exec_info": {"queue_remaining": "number"}}},
    "execution_start": {"prompt_id": "str", "timestamp": "number"},
    "execution_cached": {"nodes": ["str"], "prompt_id": "str", "timestamp": "number"},
    "executing": {"node": "str", "prompt_id": "str"},
    "progress": {"value": "number", "max": "number", "prompt_id": "str", "node": "str"},
    "progress_state": {"prompt_id": "str", "nodes": {}},
    "executed": {"node": "str", "display_node": "str", "output": {"images": [{}]}, "prompt_id": "str"},
    "execution_success": {"prompt_id": "str", "timestamp": "number"},
    "execution_error": {
        "prompt_id": "str", "node_id": "str", "node_type": "str", "executed": ["str"], "exception_message": "str",
        "exception_type": "str", "traceback": ["str"], "current_inputs": {}, "current_outputs": ["str"],
        "timestamp": "number",
    },
    "execution_interrupted": {
        "prompt_id": "str", "node_id": "str", "node_type": "str", "executed": ["str"], "timestamp": "number",
    },
    "feature_flags": {"supports_preview_metadata": "bool", "max_upload_size": "number"},
    "logs": {"entries": [{"t": "str", "m": "str"}]},
    "weather": {"rain": "bool"},  # a pack's own
}  # fmt: skip


async def test_every_message_comes_with_its_data(client: Client, socket: Socket, it: World) -> None:
    await socket.raw.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    heard = await socket.until("feature_flags")
    assert (await client.patch("/internal/logs/subscribe", json={"clientId": "me", "enabled": True})).status == 200
    await queue(client, prompt("Wait"), client_id="me")
    heard += await socket.until("progress", value=3)
    await client.post("/interrupt")
    heard += await socket.run()
    it.worker.gate.set()
    for nodes in (prompt("Wait"), prompt("Say", "Fail")):
        await queue(client, nodes, client_id="me")
        heard += await socket.run()

    told = [one for one in heard if isinstance(one, dict)]
    assert {one["type"] for one in told} == MESSAGES | {"weather"} == DATA.keys()
    for one in told:
        assert fits(shape(one["data"]), DATA[one["type"]]), one
    for state in (one["data"]["nodes"] for one in told if one["type"] == "progress_state"):
        assert all(
            shape(node) == NODE | {"value": "number", "max": "number", "state": "str"} for node in state.values()
        )
    lines = [one["data"]["entries"][0]["m"] for one in told if one["type"] == "logs"]
    assert [line.split(" in ")[0].strip() for line in lines] == [
        "got prompt", "Processing interrupted", "got prompt", "Prompt executed",
        "got prompt", "Prompt failed: it always fails",
    ]  # fmt: skip
    assert any(isinstance(one, bytes) and one[:4] == b"\0\0\0\4" for one in heard)


async def test_the_log_is_told_only_to_those_who_asked(client: Client, socket: Socket) -> None:
    other = Socket(await client.ws_connect("/ws?clientId=other"))
    await other.next()
    await client.patch("/internal/logs/subscribe", json={"clientId": "other", "enabled": True})
    await queue(client, prompt(), client_id="me")
    assert "logs" not in {one["type"] for one in await socket.run()}
    await other.until("logs")
    await client.patch("/internal/logs/subscribe", json={"clientId": "other", "enabled": False})
    await queue(client, prompt(color="blue"), client_id="other")
    told = [one["data"]["entries"][0]["m"] for one in await other.run() if one["type"] == "logs"]
    assert "got prompt\n" not in told
    assert (await client.patch("/internal/logs/subscribe", json={"enabled": True})).status == 400
    text = await (await client.get("/internal/logs")).json()
    assert text.count("got prompt") == 2


# --- what packs bring ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../one.json", "..%2Fpack.py", "pack.py", "none.json", "%2Fetc%2Fpasswd", "link.json", "page.html"]
)
async def test_of_a_pack_only_its_examples_are_served(
    rich: tuple[Client, dict[str, str]], tmp_path: Path, name: str
) -> None:
    client, _ = rich
    pack = tmp_path / "custom_nodes" / "Pack"
    (pack / "pack.py").write_text("SECRET = 1")
    (pack / "example_workflows" / "page.html").write_text("<script>alert(1)</script>")
    (tmp_path / "secret.json").write_text("{}")
    (pack / "example_workflows" / "link.json").symlink_to(tmp_path / "secret.json")
    assert (await client.get(f"/workflow_templates/Pack/{name}")).status == 404
    assert (await client.get("/workflow_templates/none/one.json")).status == 404


@pytest.mark.parametrize(
    ("source", "served"),
    [
        ('WEB_DIRECTORY = "./web"', True),
        ("import x\nWEB_DIRECTORY = 'web'\n1/0", True),
        ("WEB_DIRECTORY = '../..'", False),
        ("WEB_DIRECTORY = '/etc'", False),
        ("WEB_DIRECTORY = 'none'", False),
        ("WEB_DIRECTORY = 3", False),
        ("WEB_DIRECTORY = [", False),
        ("", False),
    ],
)
async def test_scripts_of_packs_are_served_to_comfyui_s_editor_alone(
    it: World, tmp_path: Path, aiohttp_client: Any, source: str, served: bool
) -> None:
    pack = tmp_path / "custom_nodes" / "My Pack"
    (pack / "web" / "js").mkdir(parents=True)
    (pack / "__init__.py").write_text(source)
    (pack / "web" / "js" / "a.js").write_text("1")
    (pack / "secret.js").write_text("2")
    (pack / "web" / "link.js").symlink_to(pack / "secret.js")
    script = "/extensions/My%20Pack/js/a.js"
    config = Config(data=tmp_path, packs=(f"comfyui={tmp_path / 'custom_nodes'}",))
    theirs = config.model_copy(update={"front_end": "comfyui"})
    plain: Client = await aiohttp_client(create_app(it.service, config, doors=[add_routes]))
    assert await (await plain.get("/extensions")).json() == []
    assert (await plain.get(script)).content_type != "text/javascript"

    client = Server(create_app(it.service, theirs, doors=[add_routes]))
    client.app.cleanup_ctx.clear()  # the service runs already
    async with TestClient(client) as editor:
        listed = await (await editor.get("/api/extensions")).json()
        assert listed == ([script] if served else [])
        got = await editor.get(script)
        assert (got.status, got.content_type) == ((200, "text/javascript") if served else (404, got.content_type))
        for path in ("link.js", "%2e%2e/secret.js", "..%2Fsecret.js", "js"):
            assert (await editor.get(f"/extensions/My%20Pack/{path}")).status == 404


# --- several users ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def shared(it: World, tmp_path: Path, aiohttp_client: Any) -> Client:
    config = Config(data=tmp_path, multi_user=True)
    made: Client = await aiohttp_client(create_app(it.service, config, doors=[add_routes]))
    return made


async def add(client: Client, name: Any) -> tuple[int, Any]:
    response = await client.post("/users", json={"username": name})
    return response.status, await response.json()


async def test_users_are_added_and_named(shared: Client) -> None:
    assert await (await shared.get("/users")).json() == {"storage": "server", "users": {}}
    status, ann = await add(shared, "Ann / O'Neil")
    assert (status, bool(re.fullmatch(r"Ann-O-Neil_[0-9a-f-]{36}", ann))) == (200, True)
    assert await add(shared, "Ann / O'Neil") == (400, {"error": "Duplicate username."})
    assert [(await add(shared, bad))[0] for bad in ("", "  ", None, 7, [])] == [400] * 5
    status, hostile = await add(shared, "../../etc")
    assert (status, "/" in hostile, "." in hostile) == (200, False, False)
    assert (await (await shared.get("/api/users")).json())["users"] == {ann: "Ann / O'Neil", hostile: "../../etc"}


async def test_each_user_has_settings_and_files_of_their_own(shared: Client, tmp_path: Path) -> None:
    (_, ann), (_, bob) = await add(shared, "ann"), await add(shared, "bob")
    for user in (ann, bob):
        headers = {"comfy-user": user}
        await shared.post("/settings", json={"who": user}, headers=headers)
        await shared.post("/userdata/workflows%2Fa.json", data=json.dumps(user), headers=headers)
    for user in (ann, bob):
        headers = {"Comfy-User": user}
        assert await (await shared.get("/settings", headers=headers)).json() == {"who": user}
        assert await (await shared.get("/userdata/workflows%2Fa.json", headers=headers)).json() == user
    outside = f"/userdata/..%2F{bob}%2Fworkflows%2Fa.json"
    assert (await shared.get(outside, headers={"comfy-user": ann})).status == 403
    assert sorted(path.name for path in (tmp_path / "user").iterdir()) == sorted([ann, bob, "users.json"])


@pytest.mark.parametrize("user", [None, "", "default", "nobody", "../..", "a" * 500])
async def test_an_unknown_user_is_refused(shared: Client, tmp_path: Path, user: str | None) -> None:
    headers = {} if user is None else {"comfy-user": user}
    for path in ("/settings", "/settings/a", "/userdata?dir=x", "/userdata/x"):
        assert (await shared.get(path, headers=headers)).status == 401, path
    assert (await shared.get("/v2/userdata", headers=headers)).status == 403
    assert (await shared.post("/userdata/x", data=b"x", headers=headers)).status == 401
    assert not (tmp_path / "user").exists()


async def test_a_damaged_list_of_users_counts_as_none(shared: Client, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    for text in ("", "[1]", '{"../x": "a", "b": 3}', "\0"):
        (tmp_path / "user" / "users.json").write_text(text)
        assert await (await shared.get("/users")).json() == {"storage": "server", "users": {}}


async def test_with_one_user_the_header_says_nothing(client: Client, tmp_path: Path) -> None:
    assert (await (await client.get("/users")).json())["migrated"] is False
    await client.post("/settings", json={"a": 1}, headers={"comfy-user": "../x"})
    assert await (await client.get("/settings")).json() == {"a": 1}
    assert [path.name for path in (tmp_path / "user").iterdir()] == ["default"]
    assert (await (await client.get("/users")).json())["migrated"] is True

"""What hostile or broken clients send: always a plain answer in ComfyUI's shape, never a fault of the server."""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow.comfy.validation import validate
from tests.comfy.conftest import Client, Socket, prompt, queue
from tests.comfy.test_door import form, upload
from tests.comfy.test_validation_cases import GOOD, SIGNATURES
from tests.comfy.world import SHELF
from tests.fakes import World, png


async def posted(client: Client, path: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await client.post(path, data=data)
    text = await response.text()
    return response.status, json.loads(text) if text else None


def is_error(answer: Any) -> bool:
    """In the shape of `/prompt`'s refusals."""
    keys = {"type", "message", "details", "extra_info"}
    return answer.keys() == {"error", "node_errors"} and answer["error"].keys() == keys


@pytest.mark.parametrize(
    "id",
    ["__proto__", "constructor", "../../etc/passwd", "a" * 300, "é\n\t", "1.2", "$outer", "0:1:", "-10", " ", "a b",
     "\\", '"', "<script>", "%2e%2e", "𝔘", "x.y.z", "0", "null"],
)  # fmt: skip
async def test_a_node_may_be_called_anything(client: Client, it: World, tmp_path: Path, id: str) -> None:
    nodes = {id: {"class_type": "Color", "inputs": {"color": "red"}},
             "2": {"class_type": "Show", "inputs": {"image": [id, 0], "prefix": "x"}}}  # fmt: skip
    status, answer = await posted(client, "/prompt", {"prompt": nodes})
    if status == 200:
        assert await it.until(answer["prompt_id"]) == "done"
        entry = (await (await client.get(f"/history/{answer['prompt_id']}")).json())[answer["prompt_id"]]
        assert entry["prompt"][2] == nodes
    else:
        assert status == 400
        assert is_error(answer)
    assert [path.name for path in (tmp_path / "output").rglob("*.png")] == ["x_00001_.png"] * (status == 200)


@pytest.mark.parametrize(
    "id", ["", "../x", "a/b", "a" * 65, "é", "a b", "\0", 0, True, ["a"], {"a": 1}, "x\n", "..", "%2e"]
)
async def test_a_prompt_s_id_is_plain_or_refused(client: Client, it: World, id: Any) -> None:
    await it.service.pause(True)
    status, answer = await posted(client, "/prompt", {"prompt": prompt(), "prompt_id": id})
    assert status in (200, 400)
    if status == 400:
        assert is_error(answer)
    else:
        assert (await client.get(f"/history/{answer['prompt_id']}")).status == 200
        assert answer["prompt_id"].strip(".") == answer["prompt_id"] or answer["prompt_id"] == ".."


async def test_an_id_is_given_once_also_by_many_at_the_same_time(client: Client, it: World) -> None:
    await it.service.pause(True)
    answers = await asyncio.gather(
        *(posted(client, "/prompt", {"prompt": prompt(), "prompt_id": "same"}) for _ in range(8))
    )
    assert sorted(status for status, _ in answers) == [200] + [400] * 7
    assert len(await it.service.jobs.queue()) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"number": "first"}, {"number": None}, {"number": True}, {"number": [1]}, {"number": 10**400},
        {"client_id": ["me"]}, {"client_id": 5}, {"client_id": "x" * 10_000}, {"client_id": {}}, {"front": "yes"},
        {"extra_data": "text"}, {"extra_data": []}, {"extra_data": {"extra_pnginfo": "text"}},
        {"extra_data": {"extra_pnginfo": {"graphflow": {}, "prompt": 1, "../x": 2, "a\nb": 3, "k" * 500: 4, "": 5}}},
        {"extra_data": {"extra_pnginfo": {"workflow": {"nodes": "no"}}}}, {"extra_data": {"preview_method": 7}},
        {"partial_execution_targets": [["2"], None, 2, {}]}, {"partial_execution_targets": {}}, {"unknown": 1},
    ],
)  # fmt: skip
async def test_what_comes_beside_a_prompt_does_no_harm(client: Client, it: World, more: dict[str, Any]) -> None:
    status, answer = await posted(client, "/prompt", {"prompt": prompt(), **more})
    assert status in (200, 400), answer
    if status == 400:
        assert is_error(answer)
    else:
        assert await it.until(answer["prompt_id"]) == "done"
        assert (await client.get("/history")).status == (await client.get("/queue")).status == 200
        assert (await client.get(f"/jobs/{answer['prompt_id']}")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"\xff\xfe", b'"text"', b'{"prompt": ' + b"9" * 5000 + b"}", b'{"prompt": {"1": 1e999}}',
        b'{"prompt": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}", b'{"prompt": {"1": {"class_type": "Color", "inputs": '
        b'{"color": "\\ud800"}}}}', b'{"a": 1, "a": 2', b"--boundary\r\n", b'{"prompt": [[]]}', b'{"prompt": {"1": null}}',
        b'{"prompt": {"1": {"class_type": null, "inputs": {}}}}', b'{"prompt": {"1": {"class_type": "Show", "inputs": []}}}',
    ],
)  # fmt: skip
async def test_a_broken_body_is_refused_in_the_usual_shape(client: Client, body: bytes) -> None:
    status, answer = await posted(client, "/prompt", body)
    assert status == 400, answer
    assert is_error(answer)


@pytest.mark.parametrize("path", ["/queue", "/history", "/free", "/interrupt", "/settings", "/users"])
@pytest.mark.parametrize("body", [b"[]", b"{", b'{"delete": 5, "clear": 0}', b'{"delete": [null, {}, 5]}', b"\xff"])
async def test_broken_bodies_elsewhere_are_refused_or_do_nothing(
    client: Client, it: World, path: str, body: bytes
) -> None:
    await it.service.pause(True)
    await queue(client, prompt())
    assert (await client.post(path, data=body)).status in (200, 400)
    assert len(await it.service.jobs.queue()) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
inputs = st.one_of(
    json_values,
    st.tuples(st.sampled_from(["1", "2", "mask", "9"]), st.integers(-2, 3) | json_values).map(list),
)
nodes = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {"class_type": st.sampled_from(["Kinds", "Out", "LoadImage", "KSampler", "Nope", ""])},
        optional={
            "inputs": json_values
            | st.dictionaries(
                st.sampled_from([*GOOD, "either", "image", "strict", "model", "x.y"]), inputs, max_size=4
            ),
            "_meta": json_values,
        },
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(json_values, st.dictionaries(st.sampled_from(["1", "2", "mask", "é"]), nodes, max_size=4)))
def test_any_json_is_judged(document: Any) -> None:
    verdict = validate(document, SIGNATURES, SHELF.names)
    assert (verdict.error is None) == bool(verdict.outputs)
    json.dumps([verdict.error, verdict.node_errors])
    for entry in verdict.node_errors.values():
        assert entry["errors"]
        assert all(error.keys() == {"type", "message", "details", "extra_info"} for error in entry["errors"])


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filename",
    ["../../cat.png", "..\\..\\cat.png", "/etc/cat.png", "C:\\cat.png", "a" * 300 + ".png", ".hidden.png", "cat.png/",
     "a/../../b.png", "nul.png", "....//cat.png", "~/cat.png"],
)  # fmt: skip
async def test_an_upload_stays_in_its_folder_whatever_its_name(client: Client, tmp_path: Path, filename: str) -> None:
    before = set(tmp_path.parent.rglob("*.png"))
    answer = await upload(client, png(), filename)
    made = set(tmp_path.parent.rglob("*.png")) - before
    assert answer == 400 or all(path.is_relative_to(tmp_path / "input") for path in made)
    assert len(made) == (0 if answer == 400 else 1)


def enormous() -> bytes:
    """A small file that says that it is 60 000 by 60 000 pixels."""
    data = bytearray(png())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


async def test_what_is_called_a_picture_and_is_none_is_refused(client: Client, tmp_path: Path) -> None:
    for data in (b"<html>", b"\x89PNG\r\n\x1a\n", png()[:40], b"GIF89a", enormous(), b"\0" * 100):
        assert await upload(client, data) == (413 if data == enormous() else 400)
    assert not list((tmp_path / "input").glob("*"))
    mask = await client.post("/upload/mask", data=form(b"<svg/>", original_ref='{"filename": "x.png"}'))
    assert mask.status in (400, 404)


@pytest.mark.parametrize("kind", ["html", "htm", "svg", "xhtml", "js", "mjs", "css", "xml", "pdf", "shtml", "swf"])
async def test_no_upload_is_served_as_something_that_runs(client: Client, kind: str) -> None:
    answer = await upload(client, b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", f"x.{kind}")
    if answer == 400:
        return
    for query in ("", "&channel=rgba", "&channel=rgb", "&preview=webp;90"):
        response = await client.get(f"/view?filename=x.{kind}&type=input{query}")
        assert response.status in (200, 415)
        if response.status == 200:
            assert response.content_type == "application/octet-stream"
            assert response.headers["Content-Security-Policy"] == "sandbox"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_user_s_file_is_never_a_page(client: Client) -> None:
    for name in ("page.html", "code.js", "drawing.svg"):
        await client.post(f"/userdata/{name}", data=b"<script>alert(1)</script>")
        response = await client.get(f"/userdata/{name}")
        assert response.content_type == "application/octet-stream"
        assert response.headers["Content-Security-Policy"] == "sandbox"


# --- sockets ---------------------------------------------------------------------------------------------------------


async def test_sockets_that_flood_or_break_off_leave_the_others_alone(client: Client, it: World) -> None:
    good = Socket(await client.ws_connect("/ws?clientId=me"))
    await good.next()
    many = [await client.ws_connect(f"/ws?clientId={i % 3}") for i in range(30)]
    for i, one in enumerate(many):
        for _ in range(20):
            await one.send_str('{"type": "feature_flags", "data": {"supports_preview_metadata": "yes"}}')
        if i % 2:
            one._response.close()  # type: ignore[union-attr]  # without a goodbye
    await many[0].send_bytes(b"\0" * (2**20 + 1))  # more than is taken
    await queue(client, prompt(), client_id="me")
    assert [one["type"] for one in await good.run()][-1] == "executing"
    assert (await client.get("/prompt")).status == 200


@pytest.mark.parametrize("id", ["", "x" * 5000, "%00", "../..", "%F0%9F%98%80", "a%0Ab"])
async def test_a_client_may_call_itself_anything(client: Client, id: str) -> None:
    socket = Socket(await client.ws_connect(f"/ws?clientId={id}"))
    sid = (await socket.next())["data"]["sid"]
    assert 0 < len(sid) <= 128
    await queue(client, prompt(), client_id=sid)
    assert "executed" in {one["type"] for one in await socket.run()}

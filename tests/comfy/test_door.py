"""ComfyUI's protocol over HTTP and WebSocket, against the real server with a worker that computes nothing."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from aiohttp import FormData

from graphflow import pictures
from graphflow.events import NodeOutput, Output
from tests.comfy.conftest import Client, Socket, prompt, queue
from tests.fakes import World, png


def types(messages: list[Any]) -> list[str]:
    return [one["type"] if isinstance(one, dict) else "binary" for one in messages]


# --- the order of a run ----------------------------------------------------------------------------------------------


async def test_a_run_is_told_from_the_queue_to_the_end(client: Client, socket: Socket) -> None:
    id = await queue(client, prompt(), client_id="me")
    heard = await socket.run()

    assert types(heard) == [
        "status", "status", "execution_start", "execution_cached",
        "progress_state", "executing", "progress_state",
        "progress_state", "executing", "executed", "progress_state",
        "execution_success", "status", "executing",
    ]  # fmt: skip
    left = [one["data"]["status"]["exec_info"]["queue_remaining"] for one in heard if one["type"] == "status"]
    assert left[-1] == 0  # what is left when the message goes out: a quick run may be over before
    (executed,) = (one["data"] for one in heard if one["type"] == "executed")
    assert executed == {
        "node": "2",
        "display_node": "2",
        "output": {"images": [{"filename": "x_00001_.png", "subfolder": "", "type": "output"}]},
        "prompt_id": id,
    }


async def test_the_history_holds_a_run_before_its_success_is_told(client: Client, socket: Socket) -> None:
    id = await queue(client, prompt(), client_id="me")
    await socket.until("execution_success")
    entry = (await (await client.get(f"/history/{id}")).json())[id]

    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"]["2"]["images"][0]["filename"] == "x_00001_.png"
    assert entry["prompt"][:2] == [0, id]
    assert entry["prompt"][3]["client_id"] == "me"
    assert entry["prompt"][4] == ["2"]


async def test_a_second_run_comes_from_the_cache(client: Client, socket: Socket) -> None:
    await queue(client, prompt(), client_id="me")
    await socket.run()
    await queue(client, prompt(), client_id="me")
    (cached,) = [one["data"]["nodes"] for one in await socket.run() if one["type"] == "execution_cached"]
    assert cached == ["1"]


async def test_a_failure_is_told_at_its_node(client: Client, socket: Socket) -> None:
    id = await queue(client, prompt("Fail"), client_id="me")
    heard = await socket.run()
    (failed,) = [one["data"] for one in heard if one["type"] == "execution_error"]

    assert types(heard)[-3:] == ["execution_error", "status", "executing"]
    assert (failed["node_id"], failed["node_type"], failed["exception_message"]) == ("2", "Fail", "it always fails")
    entry = (await (await client.get(f"/history/{id}")).json())[id]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)


async def test_an_interrupted_run_is_told(client: Client, socket: Socket) -> None:
    id = await queue(client, prompt("Wait"), client_id="me")
    await socket.until("progress")
    await client.post("/interrupt", json={"prompt_id": "another"})
    await client.post("/api/interrupt", json={"prompt_id": id})
    assert types(await socket.run())[-3:] == ["execution_interrupted", "status", "executing"]


@pytest.mark.parametrize("flags", [False, True])
async def test_previews_come_in_the_form_asked_for(client: Client, socket: Socket, it: World, flags: bool) -> None:
    if flags:
        await socket.raw.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        assert (await socket.next())["type"] == "feature_flags"
    asked = {} if flags else {"extra_data": {"preview_method": "auto"}}
    await queue(client, prompt("Wait"), client_id="me", **asked)
    frame = b""
    while not frame.endswith(b"preview 2"):
        heard = await socket.next()
        frame = heard if isinstance(heard, bytes) else frame
    it.worker.gate.set()

    assert int.from_bytes(frame[:4], "big") == (4 if flags else 1)


@pytest.mark.parametrize("flags", [False, True])
async def test_no_previews_come_unasked(client: Client, socket: Socket, it: World, flags: bool) -> None:
    if flags:
        await socket.raw.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    more = {"extra_data": {"preview_method": "none"}} if flags else {}
    await queue(client, prompt("Wait"), client_id="me", **more)
    await socket.until("progress", value=3)
    it.worker.gate.set()
    assert "binary" not in types(await socket.run())


async def test_a_packs_own_message_is_passed_on_to_the_client_that_asked(client: Client, socket: Socket) -> None:
    other = Socket(await client.ws_connect("/api/ws?clientId=other"))
    await queue(client, prompt("Say"), client_id="me")
    assert [one for one in await socket.run() if one["type"] == "weather"] == [
        {"type": "weather", "data": {"rain": True}}
    ]
    await queue(client, prompt(color="blue"), client_id="other")
    assert "weather" not in types(await other.run())


async def test_only_the_client_that_asked_hears_of_its_run(client: Client, socket: Socket) -> None:
    other = Socket(await client.ws_connect("/api/ws?clientId=other"))
    await queue(client, prompt(), client_id="me")
    await socket.run()
    await queue(client, prompt(color="blue"), client_id="other")
    assert set(types(await other.run())) >= {"executing", "executed"}
    assert {one["data"]["prompt_id"] for one in [await socket.next()] if "prompt_id" in one["data"]} == set()


async def test_a_run_that_nobody_asked_for_is_told_to_all_but_not_in_full(
    client: Client, socket: Socket, it: World
) -> None:
    id = await queue(client, prompt())
    await it.until(id)
    await queue(client, prompt(color="blue"), client_id="me")
    told = [one for one in await socket.run() if one["data"].get("prompt_id") == id]
    assert set(types(told)) == {"progress_state"}


async def test_a_client_that_comes_back_is_told_where_its_run_is(client: Client, socket: Socket, it: World) -> None:
    await queue(client, prompt("Wait"), client_id="me")
    await socket.until("executing", node="2")
    await it.until_event((await it.service.jobs.history())[0].id, "node.progress")
    await socket.raw.close()
    again = Socket(await client.ws_connect("/ws?clientId=me"))
    status, executing = await again.next(), await again.next()
    it.worker.gate.set()

    assert status["data"]["sid"] == "me"
    assert executing == {"type": "executing", "data": {"node": "2"}}
    assert types(await again.run())[-3:] == ["execution_success", "status", "executing"]


async def test_a_client_that_connects_while_its_run_ends_is_told_the_end(
    client: Client, it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await queue(client, prompt("Wait"), client_id="me")
    await it.until_event(id, "node.progress")
    read = it.service.jobs.history

    async def then_ends(*args: Any, **more: Any) -> Any:
        running = await read(*args, **more)
        it.worker.gate.set()
        await it.until(id)
        return running

    monkeypatch.setattr(it.service.jobs, "history", then_ends)
    socket = Socket(await client.ws_connect("/ws?clientId=me"))
    assert types(await socket.run())[-3:] == ["execution_success", "status", "executing"]


async def test_the_newest_socket_of_a_client_gets_its_messages(client: Client, socket: Socket) -> None:
    newer = Socket(await client.ws_connect("/ws?clientId=me"))
    await newer.next()
    await socket.raw.close()
    await queue(client, prompt(), client_id="me")
    assert "executed" in types(await newer.run())


async def test_a_socket_without_an_id_is_given_one(client: Client) -> None:
    first = await Socket(await client.ws_connect("/ws")).next()
    assert len(first["data"]["sid"]) == 32


async def test_garbage_on_the_socket_does_no_harm(client: Client, socket: Socket) -> None:
    for garbage in ("", "no json", "[1]", "3", '{"type": 7}', '{"type": "feature_flags", "data": 1}', "[" * 5000):
        await socket.raw.send_str(garbage)
    await socket.raw.send_bytes(b"\0" * 100)
    await queue(client, prompt(), client_id="me")
    assert "execution_success" in types(await socket.run())


@pytest.mark.parametrize("flags", [False, True])
async def test_pictures_for_the_socket_come_in_full(client: Client, socket: Socket, it: World, flags: bool) -> None:
    if flags:
        await socket.raw.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        await socket.next()
    asset = await it.service.upload("a.png", png(), kind="temp")
    id = await queue(client, prompt("Wait"), client_id="me")
    await socket.until("executing", node="2")
    made = Output(node="2", name=asset.name, asset=asset.id, media_type="image/png", details={"socket": True})
    it.service.hub.publish(NodeOutput(job=id, node="2", outputs=(made,), seq=100))
    heard = await socket.until("progress", value=1, max=1)
    frame = await socket.next()
    it.worker.gate.set()

    assert "executed" not in types(heard)
    assert frame.endswith(png())
    assert frame[:8] == b"\0\0\0\x01\0\0\0\x02" if not flags else frame[:4] == b"\0\0\0\x04"


async def test_a_client_that_goes_away_does_not_stop_its_run(client: Client, socket: Socket, it: World) -> None:
    id = await queue(client, prompt("Wait"), client_id="me")
    await socket.until("executing", node="2")
    await socket.raw.close()
    it.worker.gate.set()
    assert await it.until(id) == "done"


# --- prompts and the queue -------------------------------------------------------------------------------------------


async def test_a_prompt_with_faults_is_refused_in_comfyui_s_shape(client: Client) -> None:
    response = await client.post("/api/prompt", json={"prompt": {"1": {"class_type": "Show", "inputs": {}}}})
    answer = await response.json()

    assert response.status == 400
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    assert answer["error"]["details"] == "Required input is missing: image\nRequired input is missing: prefix"
    assert answer["node_errors"]["1"]["dependent_outputs"] == ["1"]


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (b"{}", "no_prompt"),
        (b"not json", "invalid_prompt"),
        (b"[]", "invalid_prompt"),
        (b'{"prompt": 3}', "invalid_prompt"),
        (b'{"prompt": {}}', "prompt_no_outputs"),
        (b'{"prompt": {"1": {}}}', "invalid_prompt"),
        (b'{"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}', "invalid_prompt"),
        (b'{"prompt": {}, "partial_execution_targets": 3}', "invalid_prompt"),
        (b'{"prompt": {}, "prompt_id": "../../etc"}', "invalid_prompt_id"),
        (b'{"prompt": {"1": {"class_type": "Color", "inputs": {"color": NaN}}}}', "invalid_prompt"),
        (b"[" * 2000, "invalid_prompt"),
    ],
)
async def test_malformed_prompts_are_refused(client: Client, body: bytes, type: str) -> None:
    response = await client.post("/prompt", data=body)
    answer = await response.json()
    assert (response.status, answer["error"]["type"], answer["node_errors"]) == (400, type, {})


async def test_some_outputs_run_although_others_cannot(client: Client, it: World) -> None:
    nodes = {**prompt(), "9": {"class_type": "Show", "inputs": {}}}
    answer = await (await client.post("/prompt", json={"prompt": nodes})).json()

    assert list(answer["node_errors"]) == ["9"]
    assert await it.until(answer["prompt_id"]) == "done"
    entry = (await (await client.get("/history")).json())[answer["prompt_id"]]
    assert (list(entry["outputs"]), entry["prompt"][4]) == (["2"], ["2"])


async def test_what_a_node_s_own_check_refuses_is_told_before_anything_is_queued(client: Client, it: World) -> None:
    picky = {"class_type": "Picky", "inputs": {"color": "bad"}}
    shown = {"class_type": "Show", "inputs": {"image": ["8", 0], "prefix": "y"}}
    response = await client.post("/prompt", json={"prompt": {"8": picky, "9": shown}})
    answer = await response.json()
    assert (response.status, answer["error"]["type"]) == (400, "prompt_outputs_failed_validation")
    assert answer["node_errors"] == {
        "8": {
            "errors": [
                {
                    "type": "custom_validation_failed",
                    "message": "Custom validation failed for node",
                    "details": "color - is bad",
                    "extra_info": {"input_name": "color"},
                }
            ],
            "dependent_outputs": ["9"],
            "class_type": "Picky",
        }
    }
    assert await it.service.jobs.history() == []

    answer = await (await client.post("/prompt", json={"prompt": {**prompt(), "8": picky, "9": shown}})).json()
    assert list(answer["node_errors"]) == ["8"]
    assert await it.until(answer["prompt_id"]) == "done"
    assert (await it.service.jobs.get(answer["prompt_id"])).targets == ("2",)


async def test_a_prompt_s_id_can_be_chosen_once(client: Client) -> None:
    body = {"prompt": prompt(), "prompt_id": "5f6c9d4e-0000-4000-8000-000000000000"}
    first, second = await client.post("/prompt", json=body), await client.post("/prompt", json=body)
    assert (await first.json())["prompt_id"] == body["prompt_id"]
    assert (second.status, (await second.json())["error"]["type"]) == (400, "invalid_prompt")


async def test_numbers_count_up_and_fronts_come_first(client: Client, it: World) -> None:
    await it.service.pause(True)
    answers = [
        await (await client.post("/prompt", json={"prompt": prompt(color=c), **more})).json()
        for c, more in (("a", {}), ("b", {}), ("c", {"front": True}), ("d", {"number": -5}))
    ]
    listed = await (await client.get("/api/queue")).json()

    assert [answer["number"] for answer in answers] == [0, 1, -2, -5]
    assert [item[2]["1"]["inputs"]["color"] for item in listed["queue_pending"]] == ["d", "c", "a", "b"]
    assert listed["queue_running"] == []
    assert await (await client.get("/prompt")).json() == {"exec_info": {"queue_remaining": 4}}


async def test_waiting_jobs_can_be_deleted_and_cleared(client: Client, it: World) -> None:
    await it.service.pause(True)
    ids = [await queue(client, prompt(color=color)) for color in "abc"]
    await client.post("/queue", json={"delete": [ids[1], "unknown"]})
    assert [job.id for job in await it.service.jobs.queue()] == [ids[0], ids[2]]
    await client.post("/queue", json={"clear": True})
    assert await it.service.jobs.queue() == []


async def test_secrets_are_told_to_nobody(client: Client, it: World) -> None:
    await it.service.pause(True)
    id = await queue(client, prompt(), extra_data={"api_key_comfy_org": "secret", "note": "kept"})
    stored = await it.service.jobs.get(id)
    assert (await (await client.get("/queue")).json())["queue_pending"][0][3] == {"note": "kept"}
    assert "secret" not in json.dumps(dict(stored.extra))


async def test_the_history_is_cut_and_forgotten(client: Client, it: World) -> None:
    ids = [await queue(client, prompt(color=color)) for color in "abc"]
    for id in ids:
        await it.until(id)

    async def listed(query: str) -> list[str]:
        return list(await (await client.get(f"/history{query}")).json())

    assert await listed("") == ids
    assert await listed("?max_items=2") == ids[1:]
    assert await listed("?max_items=1&offset=1") == [ids[1]]
    assert await listed("?offset=2") == [ids[2]]
    assert await (await client.get("/history/unknown")).json() == {}
    assert (await client.get("/history?max_items=x")).status == 400
    await client.post("/history", json={"delete": [ids[0]]})
    assert await listed("") == ids[1:]
    await client.post("/history", json={"clear": True})
    assert await listed("") == []


async def test_the_same_jobs_are_seen_through_both_doors(client: Client, it: World) -> None:
    theirs = await queue(client, prompt())
    body = {"workflow": {"graphflow": 1, "nodes": {"a": {"type": "Color", "inputs": {}},
                                                   "b": {"type": "Show", "inputs": {"image": {"from": "a.IMAGE"}}}}}}  # fmt: skip
    ours = (await (await client.post("/v1/jobs", json=body)).json())["id"]
    await it.until(theirs)
    await it.until(ours)

    assert {job["id"] for job in (await (await client.get("/v1/jobs")).json())["jobs"]} == {theirs, ours}
    entry = (await (await client.get("/history")).json())[ours]
    assert entry["prompt"][2]["b"]["inputs"]["image"] == ["a", 0]


async def test_memory_can_be_freed(client: Client, it: World) -> None:
    await client.post("/free", json={"unload_models": True})
    await client.post("/free", json={"free_memory": True})
    await client.post("/free", json={})
    assert it.worker.freed == [(True, False), (True, True)]


# --- files -----------------------------------------------------------------------------------------------------------


async def test_a_saved_picture_carries_the_prompt_and_the_workflow(client: Client, it: World) -> None:
    nodes = prompt()
    id = await queue(client, nodes, extra_data={"extra_pnginfo": {"workflow": {"nodes": [], "é": 1}, "bad key": 1}})
    await it.until(id)
    data = await (await client.get("/view?filename=x_00001_.png")).read()
    texts = pictures.texts(data)

    assert json.loads(texts["prompt"]) == nodes
    assert json.loads(texts["workflow"]) == {"nodes": [], "é": 1}
    assert json.loads(texts["graphflow"])["graphflow"] == 1
    assert set(texts) == {"graphflow", "prompt", "workflow"}
    assert (await client.get("/view?filename=x_00001_.png")).headers["Content-Disposition"] == 'filename="x_00001_.png"'


def form(data: bytes, filename: str = "cat.png", **fields: str) -> FormData:
    made = FormData(quote_fields=False)
    made.add_field("image", data, filename=filename, content_type="image/png")
    for name, value in fields.items():
        made.add_field(name, value)
    return made


async def upload(client: Client, data: bytes, filename: str = "cat.png", **fields: str) -> Any:
    response = await client.post("/upload/image", data=form(data, filename, **fields))
    return await response.json() if response.status == 200 else response.status


async def test_uploads_keep_their_names_or_get_numbers(client: Client) -> None:
    red, blue = png("red"), png("blue")
    assert await upload(client, red) == {"name": "cat.png", "subfolder": "", "type": "input"}
    assert await upload(client, red) == {"name": "cat.png", "subfolder": "", "type": "input"}
    assert await upload(client, blue) == {"name": "cat (1).png", "subfolder": "", "type": "input"}
    assert await upload(client, blue, overwrite="true") == {"name": "cat.png", "subfolder": "", "type": "input"}
    assert await upload(client, red, subfolder="a/b", type="temp") == {
        "name": "cat.png",
        "subfolder": "a/b",
        "type": "temp",
    }
    assert await (await client.get("/view?filename=cat.png&type=input")).read() == blue
    assert await (await client.get("/view?filename=cat.png+[temp]&subfolder=a/b")).read() == red


@pytest.mark.parametrize(
    ("filename", "fields"),
    [
        ("../cat.png", {}),
        ("cat.png", {"subfolder": "../.."}),
        ("cat.png", {"subfolder": "/etc/../.."}),
        ("cat.png", {"type": "models"}),
        ("..", {}),
        ("con", {}),
    ],
)
async def test_uploads_cannot_leave_their_folder(client: Client, filename: str, fields: dict[str, str]) -> None:
    assert await upload(client, png(), filename, **fields) == 400


async def test_an_upload_that_is_no_picture_or_no_form_is_refused(client: Client) -> None:
    assert await upload(client, b"not a picture") == 400
    assert await upload(client, b"") == 400
    assert (await client.post("/upload/image", data=b"raw")).status == 400
    assert (await client.post("/upload/image", data=FormData({"type": "input"}))).status == 400


@pytest.mark.parametrize("filename", ["page.html", "drawing.svg", "code.js"])
async def test_uploads_are_never_served_as_something_that_runs(client: Client, filename: str) -> None:
    made = FormData()
    made.add_field("image", b"<svg onload='alert(1)'/>", filename=filename, content_type="text/html")
    assert (await client.post("/upload/image", data=made)).status == 200
    response = await client.get(f"/view?filename={filename}&type=input")

    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Security-Policy"] == "sandbox"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("?filename=none.png", 404),
        ("?filename=", 400),
        ("?filename=/etc/passwd", 400),
        ("?filename=../graphflow.sqlite", 400),
        ("?filename=db.sqlite&subfolder=..", 403),
        ("?filename=x.png&type=models", 400),
        ("?filename=x.png%00", 400),
    ],
)
async def test_views_cannot_leave_their_folder(client: Client, query: str, status: int) -> None:
    assert (await client.get(f"/view{query}")).status == status


async def test_a_link_out_of_the_folder_is_not_followed(client: Client, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir(exist_ok=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "output" / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert (await client.get("/view?filename=link.txt")).status == 404


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def translucent() -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGBA", (4, 4), (200, 100, 50, 128)).save(out, "PNG")
    return out.getvalue()


async def test_views_can_be_encoded_anew(client: Client) -> None:
    await upload(client, translucent())
    base = "/view?filename=cat.png&type=input"
    rgb = opened(await (await client.get(f"{base}&channel=rgb")).read())
    alpha = opened(await (await client.get(f"{base}&channel=a")).read())
    webp = await client.get(f"{base}&preview=webp;80")
    jpeg = await client.get(f"{base}&preview=jpeg;50&channel=rgb")

    assert (rgb.mode, rgb.getpixel((0, 0))) == ("RGB", (200, 100, 50))
    assert (alpha.mode, alpha.getpixel((0, 0))) == ("RGBA", (0, 0, 0, 128))
    assert (webp.content_type, opened(await webp.read()).format) == ("image/webp", "WEBP")
    assert (jpeg.content_type, opened(await jpeg.read()).format) == ("image/jpeg", "JPEG")


async def test_a_mask_becomes_the_transparency_of_its_picture(client: Client) -> None:
    await upload(client, png("red"))
    reference = json.dumps({"filename": "cat.png", "type": "input"})
    response = await client.post("/upload/mask", data=form(translucent(), "masked.png", original_ref=reference))
    assert await response.json() == {"name": "masked.png", "subfolder": "", "type": "input"}
    masked = opened(await (await client.get("/view?filename=masked.png&type=input")).read())

    assert (masked.mode, masked.getpixel((0, 0))) == ("RGBA", (255, 0, 0, 128))
    missing = json.dumps({"filename": "none.png"})
    assert (await client.post("/upload/mask", data=form(translucent(), original_ref=missing))).status == 404
    assert (await client.post("/upload/mask", data=form(translucent()))).status == 400


async def test_a_model_file_says_what_it_is(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "loras"
    folder.mkdir(parents=True)
    header = json.dumps({"__metadata__": {"ss_base": "sd15"}}).encode()
    (folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (folder / "broken.safetensors").write_bytes(b"\xff" * 20)

    assert await (await client.get("/view_metadata/loras?filename=a.safetensors")).json() == {"ss_base": "sd15"}
    for name in ("broken.safetensors", "none.safetensors", "a.ckpt", "../loras/a.safetensors"):
        assert (await client.get(f"/view_metadata/loras?filename={name}")).status == 404


# --- what there is ---------------------------------------------------------------------------------------------------


async def test_nodes_are_described(client: Client) -> None:
    every = await (await client.get("/object_info")).json()
    one = await (await client.get("/api/object_info/Color")).json()

    assert set(every) == {"Color", "Big", "Picky", "Load", "Wait", "Say", "Fail", "Die", "Show"}
    assert one == {"Color": every["Color"]}
    assert await (await client.get("/object_info/Nope")).json() == {}


async def test_models_and_embeddings_are_listed(client: Client, tmp_path: Path) -> None:
    for name in ("checkpoints/sub/a.safetensors", "embeddings/bad.pt"):
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")

    assert (await (await client.get("/models")).json())[0] == "checkpoints"
    assert await (await client.get("/models/checkpoints")).json() == ["sub/a.safetensors"]
    assert await (await client.get("/embeddings")).json() == ["bad"]
    assert (await client.get("/models/unet")).status == 404
    (listed,) = await (await client.get("/experiment/models/checkpoints")).json()
    assert (listed["name"], listed["pathIndex"], listed["size"]) == ("sub/a.safetensors", 0, 1)
    folders = await (await client.get("/experiment/models")).json()
    assert folders[0] == {"name": "checkpoints", "folders": [str(tmp_path / "models" / "checkpoints")]}


async def test_a_model_shows_the_picture_beside_it(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "a.safetensors").write_bytes(b"x")
    (folder / "a.preview.png").write_bytes(png())
    response = await client.get("/experiment/models/preview/checkpoints/0/a.safetensors")

    assert response.content_type == "image/webp"
    for place in ("9/a.safetensors", "0/b.safetensors", "x/a.safetensors"):
        assert (await client.get(f"/experiment/models/preview/checkpoints/{place}")).status == 404


async def test_the_system_is_described(client: Client) -> None:
    stats = await (await client.get("/system_stats")).json()
    assert {"os", "ram_total", "ram_free", "comfyui_version", "python_version", "pytorch_version", "argv"} <= set(
        stats["system"]
    )
    assert [(d["type"], d["index"]) for d in stats["devices"]] == [("cpu", None)]
    features = await (await client.get("/api/features")).json()
    assert features == {"supports_preview_metadata": True, "max_upload_size": 256 * 2**20}
    assert await (await client.get("/extensions")).json() == []


async def test_settings_are_kept(client: Client) -> None:
    await client.post("/settings", json={"a": 1, "b": 2})
    await client.post("/api/settings/b", json=[3])

    assert await (await client.get("/settings")).json() == {"a": 1, "b": [3]}
    assert await (await client.get("/settings/a")).json() == 1
    assert await (await client.get("/settings/none")).json() is None
    assert await (await client.get("/users")).json() == {"storage": "server", "migrated": True}


async def test_files_of_the_user_are_kept(client: Client) -> None:
    name = "workflows%2Fsub%2Fa.json"
    stored = await client.post(f"/userdata/{name}?overwrite=false", data=b"{}")
    assert await stored.json() == "workflows/sub/a.json"
    assert (await client.post(f"/api/userdata/{name}?overwrite=false", data=b"[]")).status == 409
    assert await (await client.get(f"/userdata/{name}")).read() == b"{}"
    assert await (await client.get("/userdata?dir=workflows&recurse=true")).json() == ["sub/a.json"]
    assert await (await client.get("/userdata?dir=workflows&recurse=true&split=true")).json() == [
        ["sub/a.json", "sub", "a.json"]
    ]
    (full,) = await (await client.get("/userdata?dir=workflows&recurse=true&full_info=true")).json()
    assert (full["path"], full["size"]) == ("sub/a.json", 2)
    entries = await (await client.get("/v2/userdata?path=workflows")).json()
    assert [(e["path"], e["type"]) for e in entries] == [
        ("workflows/sub", "directory"), ("workflows/sub/a.json", "file")
    ]  # fmt: skip
    moved = await client.post(f"/userdata/{name}/move/b.json")
    assert await moved.json() == "b.json"
    assert (await client.get(f"/userdata/{name}")).status == 404
    assert (await client.delete("/userdata/b.json")).status == 204
    assert (await client.delete("/userdata/b.json")).status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/userdata/..%2F..%2Fdb.sqlite", 403),
        ("/userdata/%2Fetc%2Fpasswd", 403),
        ("/userdata?dir=..", 403),
        ("/userdata?dir=none", 404),
        ("/userdata", 400),
        ("/v2/userdata?path=..", 400),
    ],
)
async def test_files_of_the_user_stay_in_their_folder(client: Client, path: str, status: int) -> None:
    assert (await client.get(path)).status == status


async def test_internal_routes_answer_without_a_twin(client: Client) -> None:
    await upload(client, png())
    assert await (await client.get("/internal/files/input")).json() == ["cat.png"]
    assert (await client.get("/internal/files/models")).status == 400
    assert await (await client.get("/internal/logs")).json() == ""
    assert (await client.get("/api/internal/logs")).status == 404


async def test_another_site_cannot_queue(client: Client) -> None:
    response = await client.post("/prompt", json={"prompt": prompt()}, headers={"Origin": "https://evil.example"})
    assert response.status == 403


async def test_a_flood_of_prompts_is_queued_in_order(client: Client, it: World) -> None:
    await it.service.pause(True)
    ids = await asyncio.gather(*(queue(client, prompt(color=str(i))) for i in range(50)))
    assert {job.id for job in await it.service.jobs.queue()} == set(ids)
    assert (await (await client.get("/prompt")).json())["exec_info"]["queue_remaining"] == 50


async def test_jobs_are_listed_in_the_later_form(client: Client, it: World) -> None:
    done, failed = await queue(client, prompt()), await queue(client, prompt("Fail"))
    await it.until(done)
    await it.until(failed)
    await it.service.pause(True)
    waiting = await queue(client, prompt(color="blue"))

    async def listed(query: str) -> list[tuple[str, str]]:
        answer = await (await client.get(f"/api/jobs{query}")).json()
        return [(job["id"], job["status"]) for job in answer["jobs"]]

    assert await listed("") == [(waiting, "pending"), (failed, "failed"), (done, "completed")]
    assert await listed("?status=completed,failed&limit=1&offset=1") == [(done, "completed")]
    assert await listed("?status=completed,failed&sort_order=asc") == [(done, "completed"), (failed, "failed")]
    assert await listed("?status=nonsense") == []
    page = (await (await client.get("/jobs?limit=2")).json())["pagination"]
    assert page == {"offset": 0, "limit": 2, "total": 3, "has_more": True}

    one = await (await client.get(f"/jobs/{done}")).json()
    assert one["workflow"]["prompt"] == prompt()
    assert one["outputs"]["2"]["images"] == [{"filename": "x_00001_.png", "subfolder": "", "type": "output"}]
    assert one["preview_output"]["nodeId"] == "2"
    assert (await client.get("/jobs/none")).status == 404
    assert await (await client.post(f"/jobs/{waiting}/cancel")).json() == {"success": True}
    assert await listed("?status=cancelled") == [(waiting, "cancelled")]

"""Wherever a workflow is taken, ComfyUI's are: in each of its formats, and out of each kind of picture that embeds one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest

from graphflow.cli import main
from tests.comfy.conftest import Client
from tests.comfy.test_import import editor, node, socket
from tests.fakes import World

API = {
    "1": {"class_type": "Color", "inputs": {"color": "blue"}},
    "2": {"class_type": "Show", "inputs": {"image": ["1", 0], "prefix": "made"}},
}
NODES = [
    node(1, "Color", [socket("color", "STRING", widget=True)], ["IMAGE"], ["blue"]),
    node(2, "Show", [socket("image", "IMAGE", 3), socket("prefix", "STRING", widget=True)], values=["made"]),
]
OLD = editor(NODES, [[3, 1, 0, 2, 0, "IMAGE"]])
LINK = {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "IMAGE"}
NEW = {"version": 1, "state": {"lastNodeId": 2, "lastLinkId": 3}, "nodes": NODES, "links": [LINK]}


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def as_png(**texts: Any) -> bytes:
    """As ComfyUI's SaveImage writes it."""
    info = PIL.PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    out = io.BytesIO()
    PIL.Image.new("RGB", (4, 4)).save(out, "PNG", pnginfo=info, compress_level=4)
    return out.getvalue()


def as_exif(format: str, **texts: Any) -> bytes:
    """As ComfyUI's SaveAnimatedWEBP writes it: the prompt in the tag of the camera's model, others in tags below."""
    exif = PIL.Image.Exif()
    for place, (key, value) in enumerate(texts.items()):
        exif[0x0110 - place] = f"{key}:{json.dumps(value)}"
    out = io.BytesIO()
    PIL.Image.new("RGB", (4, 4)).save(out, format, exif=exif)
    return out.getvalue()


FORMS = {
    "the API format": as_json(API),
    "the editor format, 0.4": as_json(OLD),
    "the editor format, 1": as_json(NEW),
    "a request's body": as_json({"prompt": API, "client_id": "x", "extra_data": {}}),
    "PNG with both": as_png(prompt=API, workflow=OLD),
    "PNG with a prompt": as_png(prompt=API),
    "PNG with a workflow": as_png(workflow=NEW),
    "WebP with both": as_exif("WEBP", prompt=API, workflow=OLD),
    "WebP with a prompt": as_exif("WEBP", prompt=API),
    "JPEG with both": as_exif("JPEG", prompt=API, workflow=NEW),
}
EXPECTED = {
    "1": {"type": "Color", "inputs": {"color": "blue"}},
    "2": {"type": "Show", "inputs": {"image": {"from": "1.IMAGE"}, "prefix": "made"}},
}


def nodes(document: dict[str, Any]) -> dict[str, Any]:
    assert document["graphflow"] == 1
    return {id: {"type": one["type"], "inputs": one["inputs"]} for id, one in document["nodes"].items()}


@pytest.mark.parametrize("form", FORMS)
async def test_a_file_is_converted(client: Client, form: str) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    response = await client.post("/v1/workflows/convert", data=FORMS[form], headers=headers)
    assert response.status == 200, await response.text()
    assert nodes((await response.json())["workflow"]) == EXPECTED


@pytest.mark.parametrize("form", [form for form, data in FORMS.items() if data.startswith(b"{")])
async def test_a_document_is_planned_saved_and_run(client: Client, it: World, form: str) -> None:
    body = {"workflow": json.loads(FORMS[form])}
    assert (await client.post("/v1/plans", json=body)).status == 200
    saved = await (await client.post("/v1/workflows", json={**body, "name": "x"})).json()
    assert nodes(saved["workflow"]) == EXPECTED
    job = await (await client.post("/v1/jobs", json=body)).json()
    assert await it.until(job["id"]) == "done"


@pytest.mark.parametrize("form", [form for form, data in FORMS.items() if not data.startswith(b"{")])
async def test_an_uploaded_picture_gives_its_workflow(client: Client, form: str) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    asset = await (await client.post("/v1/assets?name=a.img", data=FORMS[form], headers=headers)).json()
    found = await (await client.get(f"/v1/assets/{asset['id']}/workflow")).json()
    assert nodes(found["workflow"]) == EXPECTED


def real(form: bytes) -> bytes:
    """The same with nodes that the command line knows."""
    return form.replace(b'"Color"', b'"EmptyImage"').replace(b'"Show"', b'"SaveImage"')


@pytest.mark.parametrize("form", ["the API format", "the editor format, 0.4", "the editor format, 1"])
def test_the_command_line_takes_them(tmp_path: Path, form: str) -> None:
    (tmp_path / "in.json").write_bytes(real(FORMS[form]))
    assert main(["import", str(tmp_path / "in.json"), "-o", str(tmp_path / "out.json"), "--data", str(tmp_path)]) == 0
    assert [one["type"] for one in json.loads((tmp_path / "out.json").read_text())["nodes"].values()] == [
        "EmptyImage", "SaveImage"
    ]  # fmt: skip


async def test_a_node_that_is_missing_is_named_with_what_is_nearest_when_it_is_to_run(client: Client) -> None:
    document = editor(
        [node(1, "Colour", [socket("hue", "STRING", widget=True)], ["IMAGE"], ["blue"]), NODES[1]], OLD["links"]
    )
    converted = await (await client.post("/v1/workflows/convert", data=as_json(document),
                                         headers={"Content-Type": "application/octet-stream"})).json()  # fmt: skip
    assert nodes(converted["workflow"])["1"] == {"type": "Colour", "inputs": {"hue": "blue"}}
    assert converted["notes"] == ["Colour is not among the nodes here: kept with its settings"]
    response = await client.post("/v1/jobs", json={"workflow": converted["workflow"]})
    [problem] = (await response.json())["error"]["problems"]
    assert (response.status, problem["code"], problem["details"]["nearest"]) == (422, "unknown_type", ["Color"])

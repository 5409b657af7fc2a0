"""Workflows in files of any kind."""

from __future__ import annotations

import io
import json
from typing import Any

import PIL.Image
import pytest

from graphflow import pictures
from graphflow.documents import open_document
from graphflow.errors import BadRequest, InvalidWorkflow
from graphflow.workflow import canonical
from tests.fakes import png

OURS: dict[str, Any] = {"graphflow": 1, "nodes": {"a": {"type": "EmptyImage", "inputs": {"width": 8}}}}
PROMPT = {"7": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}}}


def carrying(**texts: Any) -> bytes:
    return pictures.embed(png(), "image/png", {key: json.dumps(value) for key, value in texts.items()})


def test_json_of_ours_and_of_another_program_is_read() -> None:
    assert json.loads(canonical(open_document(json.dumps(OURS).encode()).workflow)) == OURS
    [node] = open_document(json.dumps(PROMPT).encode()).workflow.nodes.values()
    assert (node.type, node.inputs["width"]) == ("EmptyImage", 16)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_a_picture_carries_its_workflow(format: str) -> None:
    out = io.BytesIO()
    PIL.Image.new("RGB", (4, 4)).save(out, format)
    data = pictures.embed(out.getvalue(), f"image/{format.lower()}", {"graphflow": json.dumps(OURS)})
    assert json.loads(canonical(open_document(data).workflow)) == OURS


def test_our_own_text_is_preferred_and_a_broken_one_passed_over() -> None:
    both = open_document(carrying(prompt=PROMPT, graphflow=OURS)).workflow
    assert list(both.nodes) == ["a"]
    broken = open_document(carrying(prompt=PROMPT, workflow={"nothing": 1})).workflow
    assert [node.type for node in broken.nodes.values()] == ["EmptyImage"]


def test_what_holds_none_says_what_was_tried() -> None:
    with pytest.raises(BadRequest, match="carries no workflow"):
        open_document(png())
    with pytest.raises(BadRequest, match="its text 'prompt'"):
        open_document(carrying(prompt={"nothing": 1}))
    with pytest.raises(InvalidWorkflow):
        open_document(b'{"graphflow": 1, "nodes": {"a": {}}}')

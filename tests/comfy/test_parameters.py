"""Pictures of AUTOMATIC1111's web UI open as the workflow that would make them."""

from __future__ import annotations

import io
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest

from graphflow.comfy.dialect import read
from graphflow.documents import open_document

TEXT = """a (red:1.2) apple <lora:shiny:0.7>, on a table
second line
Negative prompt: blurry, ugly
Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 123456789, Size: 640x448, Model hash: 6ce0161689, \
Model: sd15, Clip skip: 2, Hires upscaler: Latent, Lora hashes: "shiny: abc, other: def", Version: v1.6.0"""


def inputs(text: str) -> dict[str, dict[str, Any]]:
    converted = read(text, {})
    assert converted is not None
    return {id: node.inputs for id, node in converted.workflow.nodes.items()}


def test_the_text_becomes_a_workflow() -> None:
    found = inputs(TEXT)
    assert found["load"] == {"ckpt_name": "sd15.safetensors"}
    assert found["lora1"] == {
        "model": {"from": "load.MODEL"}, "clip": {"from": "load.CLIP"}, "lora_name": "shiny.safetensors",
        "strength_model": 0.7, "strength_clip": 0.7,
    }  # fmt: skip
    assert found["skip"] == {"clip": {"from": "lora1.CLIP"}, "stop_at_clip_layer": -2}
    assert found["positive"] == {"clip": {"from": "skip.CLIP"}, "text": "a (red:1.2) apple , on a table\nsecond line"}
    assert found["negative"]["text"] == "blurry, ugly"
    assert found["latent"] == {"width": 640, "height": 448, "batch_size": 1}
    sample = {name: value for name, value in found["sample"].items() if not isinstance(value, dict)}
    assert sample == {
        "seed": 123456789, "steps": 25, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("Sampler: Euler a", ("euler_ancestral", "normal")),
        ("Sampler: DPM++ 2M, Schedule type: Exponential", ("dpmpp_2m", "exponential")),
        ("Sampler: Nobody knows, Seed: -1", ("euler", "normal")),
    ],
)
def test_samplers_are_named_in_many_ways(settings: str, expected: tuple[str, str]) -> None:
    sample = inputs(f"x\nSteps: 5, {settings}")["sample"]
    assert (sample["sampler_name"], sample["scheduler"]) == expected


def test_what_is_lost_is_said() -> None:
    converted = read(TEXT.replace("Model: sd15, ", ""), {})
    assert converted is not None
    assert converted.notes == (
        "the picture does not say which model made it: choose one",
        "'hires upscaler' was used for it and is not carried over",
    )


def test_other_texts_are_left_alone() -> None:
    assert read("just a text", {}) is None


def png(**texts: str) -> bytes:
    info = PIL.PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    out = io.BytesIO()
    PIL.Image.new("RGB", (2, 2)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def test_a_picture_with_the_text_opens() -> None:
    assert set(open_document(png(parameters=TEXT)).workflow.nodes) >= {"load", "lora1", "sample", "save"}


def test_a_picture_of_comfyui_with_nan_in_its_prompt_opens() -> None:
    prompt = '{"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "is_changed": [NaN]}}'
    assert open_document(png(prompt=prompt)).workflow.nodes["1"].type == "LoadImage"

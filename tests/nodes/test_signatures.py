"""Where ComfyUI's core has a node of the same name, ours has its inputs, defaults, ranges, choices and outputs.

`tests/data/comfy-node-signatures.json` holds what version 0.3.64 says about its nodes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.node import NodeDef, Port
from graphflow.registry import discover

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "comfy-node-signatures.json").read_text()
)
OURS = discover().definitions()
SHARED = sorted(REFERENCE.keys() & OURS.keys())
NEWER = {
    "ImageScaleToTotalPixels": {"resolution_steps"},
    "ImageFromBatch": {"batch_index"},
}
"""Inputs that later versions added, or whose choices or ranges they extended."""

PASSED_ON = {
    "SaveImage": [("images", "IMAGE")],
    "PreviewImage": [("images", "IMAGE")],
    "MaskPreview": [("mask", "MASK")],
    "PreviewAny": [("STRING", "STRING")],
    "SaveVideo": [("video", "VIDEO")],
}
"""Outputs that later versions added: these nodes pass on what they save or show."""


@pytest.mark.parametrize("type", SHARED)
def test_inputs_have_the_reference_names_types_and_order(type: str) -> None:
    wanted = [(port["name"], port["type"]) for port in REFERENCE[type]["inputs"]]
    added = NEWER.get(type, set()) - {name for name, _ in wanted}
    assert [(port.name, port.type) for port in OURS[type].inputs if port.name not in added] == wanted


@pytest.mark.parametrize("type", SHARED)
def test_fields_have_the_reference_defaults_ranges_and_choices(type: str) -> None:
    files = {port.name for port in OURS[type].inputs if "folder" in (port.field or {})}  # their choices are found later
    skipped = files | NEWER.get(type, set())
    wanted = {port["name"]: _facts(port) for port in REFERENCE[type]["inputs"] if port["name"] not in skipped}
    ours = {port.name: _our_facts(port) for port in OURS[type].inputs if port.name in wanted}
    for name, facts in wanted.items():  # later versions added choices
        ours[name]["choices"] = [choice for choice in ours[name]["choices"] or () if choice in facts.get("choices", ())]
    assert {name: {k: ours[name].get(k) for k in facts} for name, facts in wanted.items()} == wanted


@pytest.mark.parametrize("type", SHARED)
def test_what_may_be_left_out_there_may_be_left_out_here(type: str) -> None:
    optional = {port["name"] for port in REFERENCE[type]["inputs"] if port.get("optional")}
    ours = {port.name: not port.required or "default" in (port.field or {}) for port in OURS[type].inputs}
    assert {name for name in optional if not ours[name]} == set()


@pytest.mark.parametrize("type", SHARED)
def test_outputs_have_the_reference_names_types_and_order(type: str) -> None:
    wanted = [(name, kind) for kind, name in REFERENCE[type]["outputs"]]
    assert [(port.name, port.type) for port in OURS[type].outputs] == wanted + PASSED_ON.get(type, [])


@pytest.mark.parametrize("type", SHARED)
def test_titles_and_marks_are_the_references(type: str) -> None:
    reference, ours = REFERENCE[type], OURS[type]
    assert _marks(ours) == {
        "title": reference.get("title", ours.title),
        "output_node": bool(reference.get("output_node")),
        "deprecated": bool(reference.get("deprecated")) or "deprecated" in ours.category,
        "output_lists": any(reference.get("lists", ())),
        "input_lists": bool(reference.get("input_is_list")),
    }


def _marks(node: NodeDef) -> dict[str, Any]:
    return {
        "title": node.title,
        "output_node": node.output_node,
        "deprecated": node.deprecated,
        "output_lists": any(port.list for port in node.outputs),
        "input_lists": any(port.list for port in node.inputs),
    }


def _facts(port: dict[str, Any]) -> dict[str, Any]:
    facts = {key: port[key] for key in ("default", "min", "max", "multiline") if key in port}
    if "choices" in port:
        facts["choices"] = list(dict.fromkeys(port["choices"]))
    return facts


def _our_facts(port: Port) -> dict[str, Any]:
    field = port.field or {}
    return {
        "default": field.get("default"),
        "min": field.get("minimum"),
        "max": field.get("maximum"),
        "choices": field.get("enum"),
        "multiline": field.get("widget") == "multiline" or None,
    }

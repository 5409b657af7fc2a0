"""Group nodes of ComfyUI's old editor become subgraphs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from graphflow.comfy.dialect import export, read
from graphflow.plan import compile
from graphflow.workflow import canonical
from tests.comfy.test_import import LOADER, editor, imported, node, socket
from tests.comfy.world import DEFINITIONS, SHELF

LATENTS: dict[str, Any] = {
    "nodes": [
        {"index": 0, **node(-1, "EmptyLatentImage", outputs=["LATENT"], values=[64, 32, 1])},
        {"index": 1, **node(-1, "VAEDecode", [socket("samples", "LATENT"), socket("vae", "VAE")], ["IMAGE"])},
    ],
    "links": [[0, 0, 1, 0, 1, "LATENT"], [None, 0, 1, 1, 7, "VAE"]],
    "external": [],
}
"""An empty picture: nothing comes in but a VAE, nothing goes out but the picture."""


def grouped(*outer: dict[str, Any], groups: dict[str, Any] | None = None, links: Any = ()) -> dict[str, Any]:
    return editor(
        [
            LOADER,
            *outer,
            node(6, "PreviewImage", [socket("images", "IMAGE", 8)]),
        ],
        [[8, 5, 0, 6, 0, "IMAGE"], [9, 7, 2, 5, 0, "VAE"], *links],
        extra={"groupNodes": groups or {"Latents": LATENTS}},
    )


def group(
    id: int = 5, values: Any = (), inputs: Any = None, type: str = "workflow>Latents", **more: Any
) -> dict[str, Any]:
    return node(id, type, inputs or [socket("vae", "VAE", 9)], ["IMAGE"], list(values), **more)


def planned(document: Any) -> dict[str, dict[str, Any]]:
    plan = compile(imported(document), DEFINITIONS, SHELF)
    constants = {}
    for task in plan.tasks:
        constants[task.id] = {name: value for name, value in task.inputs if isinstance(value, bool | int | float | str)}
    return constants


@pytest.mark.parametrize("prefix", ["workflow>", "workflow/"])
def test_a_group_becomes_a_subgraph_with_the_settings_of_its_place(prefix: str) -> None:
    document = grouped(group(values=[128, 16, 2], type=f"{prefix}Latents", title=f"{prefix}Latents"))
    before = copy.deepcopy(document)

    workflow = imported(document)

    assert document == before
    assert workflow.nodes["5"].type == "subgraph/Latents"
    assert workflow.nodes["5"].inputs == {"vae": {"from": "7.VAE"}}
    assert workflow.nodes["5"].title in (None, "Latents", "")
    assert planned(document)["5:0"] == {"width": 128, "height": 16, "batch_size": 2}
    assert read(document, DEFINITIONS).notes == ()  # type: ignore[union-attr]


def test_each_place_keeps_settings_of_its_own() -> None:
    other = group(4, [256, 256, 1], [socket("vae", "VAE", 10)])
    more = node(3, "PreviewImage", [socket("images", "IMAGE", 11)])
    document = grouped(
        group(values=[128, 16, 2]), other, more, links=[[10, 7, 2, 4, 0, "VAE"], [11, 4, 0, 3, 0, "IMAGE"]]
    )

    constants = planned(document)

    assert (constants["5:0"]["width"], constants["4:0"]["width"]) == (128, 256)
    assert sorted(imported(document).subgraphs) == ["Latents", "Latents 2"]


def test_settings_that_do_not_fit_are_told_and_those_inside_are_used() -> None:
    document = grouped(group(values=[1, 2, 3, 4, 5]))
    converted = read(document, DEFINITIONS)

    assert converted is not None
    assert converted.notes == (
        "5: the settings of the group node 'Latents' do not fit what it holds; those kept inside are used",
    )
    assert planned(document)["5:0"] == {"width": 64, "height": 32, "batch_size": 1}


def test_a_setting_that_is_linked_outside_is_linked_inside() -> None:
    wide = {**socket("EmptyLatentImage width", "INT", 12, widget=True)}
    number = node(2, "GetImageSize", [socket("image", "IMAGE")], ["width"])
    document = grouped(
        group(values=[128, 16, 2], inputs=[socket("vae", "VAE", 9), wide]), number, links=[[12, 2, 0, 5, 1, "INT"]]
    )

    workflow = imported(document)

    assert workflow.nodes["5"].inputs == {"vae": {"from": "7.VAE"}, "EmptyLatentImage width": {"from": "2.0"}}
    inner = workflow.subgraphs["Latents"].nodes["0"].inputs
    assert inner == {"width": {"from": "$inputs.EmptyLatentImage width"}, "height": 16, "batch_size": 2}


def test_an_output_used_inside_is_seen_outside_only_if_it_is_said_to_be() -> None:
    def outputs(more: dict[str, Any]) -> list[str]:
        document = grouped(group(), groups={"Latents": {**LATENTS, **more}})
        return [port.type for port in imported(document).subgraphs["Latents"].outputs]

    assert outputs({}) == ["IMAGE"]
    assert outputs({"external": [[0, 0, "LATENT"]]}) == ["LATENT", "IMAGE"]
    assert outputs({"config": {"0": {"output": {"0": {"visible": True}}}}}) == ["LATENT", "IMAGE"]
    assert outputs({"config": {"1": {"output": {"0": {"visible": False}}}}}) == []


def test_a_group_in_a_group_becomes_a_subgraph_in_a_subgraph() -> None:
    outer = {
        "nodes": [{"index": 0, **node(-1, "workflow>Latents", [socket("vae", "VAE")], ["IMAGE"], [64, 64, 1])}],
        "links": [],
        "external": [],
    }
    document = grouped(group(values=[72, 16, 1], type="workflow>Outer"), groups={"Latents": LATENTS, "Outer": outer})

    assert planned(document)["5:0:0"] == {"width": 72, "height": 16, "batch_size": 1}


def test_a_group_that_holds_itself_ends() -> None:
    self = {"nodes": [{"index": 0, **node(-1, "workflow>Self", [], ["IMAGE"])}], "links": []}
    converted = read(grouped(group(type="workflow>Self", inputs=[]), groups={"Self": self}), DEFINITIONS)

    assert converted is not None
    assert any("workflow>Self is a group node" in note for note in converted.notes)


def test_a_group_that_the_file_does_not_hold_is_kept_and_told() -> None:
    document = grouped(group(values=[1]))
    document["extra"] = {}
    converted = read(document, DEFINITIONS)

    assert converted is not None
    assert converted.workflow.nodes["5"].type == "workflow>Latents"
    assert converted.notes == (
        "workflow>Latents is a group node, and the file does not say what it holds: kept with its settings",
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"nodes": "none"},
        {"nodes": [3, {"type": "VAEDecode"}, {}]},
        {"links": [1, [0], [0, "x", 1, "y"], [0, 0, 99, 0], [99, 0, 1, 0]]},
        {"external": 5, "config": []},
        {"config": {"0": 3, "1": {"input": [], "output": {"0": 1}}}},
    ],
)
def test_damaged_groups_are_read_as_far_as_they_go(damage: dict[str, Any]) -> None:
    converted = read(grouped(group(values=[1]), groups={"Latents": {**LATENTS, **damage}}), DEFINITIONS)

    assert converted is not None
    assert "5" in converted.workflow.nodes


def test_import_export_import_of_groups_is_stable() -> None:
    document = grouped(group(values=[128, 16, 2]))
    prompt = export(imported(document), DEFINITIONS)

    assert prompt["5:0"]["inputs"]["width"] == 128
    assert canonical(imported(export(imported(prompt), DEFINITIONS))) == canonical(imported(prompt))

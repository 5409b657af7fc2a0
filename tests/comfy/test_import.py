"""ComfyUI's workflows become ours: names for stored values, links through what only its editor knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfyui_workflow_templates_json as templates
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow.comfy.dialect import export, read
from graphflow.comfy.prompt import read_prompt, write_prompt
from graphflow.comfy.signatures import Signatures, Slot
from graphflow.comfy.widgets import converted, named_values
from graphflow.plan import compile
from graphflow.registry import discover
from graphflow.workflow import Workflow, canonical
from tests.comfy.world import DEFAULT, DEFINITIONS, SHELF

SIGNATURES = Signatures(DEFINITIONS)


def imported(document: Any) -> Workflow:
    converted = read(document, DEFINITIONS)
    assert converted is not None
    return converted.workflow


def inputs(document: Any) -> dict[str, dict[str, Any]]:
    return {id: node.inputs for id, node in imported(document).nodes.items()}


def socket(name: str, type: str, link: int | None = None, widget: bool = False) -> dict[str, Any]:
    return {"name": name, "type": type, "link": link, **({"widget": {"name": name}} if widget else {})}


def node(id: int, type: str, inputs: Any = (), outputs: Any = (), values: Any = (), **more: Any) -> dict[str, Any]:
    outs = [{"name": name, "type": name, "links": []} for name in outputs]
    return {"id": id, "type": type, "inputs": list(inputs), "outputs": outs, "widgets_values": values, **more}


def editor(nodes: list[dict[str, Any]], links: list[Any], **more: Any) -> dict[str, Any]:
    return {"version": 0.4, "last_node_id": 99, "nodes": nodes, "links": links, **more}


# --- the API format --------------------------------------------------------------------------------------------------


def test_the_default_workflow_is_read_and_plans() -> None:
    workflow = imported(DEFAULT)
    plan = compile(workflow, DEFINITIONS, SHELF)

    assert workflow.nodes["3"].inputs["model"] == {"from": "4.MODEL"}
    assert sorted(task.id for task in plan.tasks) == ["3", "4", "5", "6", "7", "8", "9"]


def test_a_request_body_is_read_as_the_prompt_in_it() -> None:
    assert canonical(imported({"prompt": DEFAULT, "client_id": "x"})) == canonical(imported(DEFAULT))


def test_numbers_given_as_texts_are_converted_and_buttons_are_dropped() -> None:
    document = {
        "1": {"class_type": "EmptyLatentImage", "inputs": {"width": "640", "height": 480.0, "batch_size": "2"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "sub\\cat.png", "upload": "image"}},
    }
    assert inputs(document) == {"1": {"width": 640, "height": 480, "batch_size": 2}, "2": {"image": "sub/cat.png"}}


def test_wrapped_lists_are_unwrapped_and_wrapped_again() -> None:
    document = {"1": {"class_type": "Unknown", "inputs": {"tags": {"__value__": ["a", "b"]}, "more": ["2", 0]}}}
    workflow = imported(document)

    assert workflow.nodes["1"].inputs == {"tags": ["a", "b"], "more": {"from": "2.0"}}
    assert write_prompt(workflow, SIGNATURES)["1"]["inputs"] == {"tags": {"__value__": ["a", "b"]}}


def test_old_names_are_understood() -> None:
    assert imported({"1": {"class_type": "T2IAdapterLoader", "inputs": {}}}).nodes["1"].type == "ControlNetLoader"


def test_a_constant_that_reads_as_a_link_is_reported() -> None:
    converted = read({"1": {"class_type": "X", "inputs": {"a": {"from": "2.0"}}}}, DEFINITIONS)
    assert converted is not None
    assert converted.workflow.nodes["1"].inputs == {}
    assert converted.notes == ("1.a: {'from': '2.0'} would read as a link here, so it was left out",)


def test_other_documents_are_left_to_others() -> None:
    for document in ({}, [], 3, {"nodes": {}}, {"a": {"class_type": "X"}}, {"graphflow": 1, "nodes": {}}):
        assert read(document, DEFINITIONS) is None


ids = st.text(st.sampled_from("0123456789:.ab$"), min_size=1, max_size=6)
words = st.text(st.sampled_from('a1 é"\\{'), max_size=5)
constants = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words)


@st.composite
def prompts(draw: st.DrawFn) -> dict[str, Any]:
    """Random API-format graphs, of known and unknown types, links leading back only."""
    types = ["KSampler", "VAEDecode", "LoadImage", "CheckpointLoaderSimple", "Whatever", "My Node "]
    prompt: dict[str, Any] = {}
    for id in draw(st.lists(ids, min_size=1, max_size=6, unique=True)):
        given: dict[str, Any] = {}
        for name in draw(st.lists(st.sampled_from(["model", "seed", "text", "a.b", "x"]), unique=True)):
            if prompt and draw(st.booleans()):
                given[name] = [draw(st.sampled_from(sorted(prompt))), draw(st.integers(0, 3))]
            else:
                given[name] = draw(constants | st.lists(constants, max_size=3).map(lambda some: {"__value__": some}))
        prompt[id] = {"class_type": draw(st.sampled_from(types)), "inputs": given}
        if draw(st.booleans()):
            prompt[id]["_meta"] = {"title": draw(words.filter(bool))}
    return prompt


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # the first example loads tables of Unicode
@given(prompts())
def test_import_export_import_is_stable(prompt: dict[str, Any]) -> None:
    once = read_prompt(prompt, SIGNATURES).workflow
    written = write_prompt(once, SIGNATURES)

    assert canonical(read_prompt(written, SIGNATURES).workflow) == canonical(once)
    assert {id: node["class_type"] for id, node in written.items()} == {i: n["class_type"] for i, n in prompt.items()}


# --- stored values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "values", "expected"),
    [
        (
            "KSampler",
            [7, "randomize", 20, 8, "euler", "normal", 1],
            {"seed": 7, "steps": 20, "cfg": 8, "sampler_name": "euler", "scheduler": "normal", "denoise": 1},
        ),
        (
            "KSampler",
            [7, 20, 8, "euler", "normal", 1],
            {"seed": 7, "steps": 20, "cfg": 8, "sampler_name": "euler", "scheduler": "normal", "denoise": 1},
        ),
        ("LoadImage", ["cat.png", "image"], {"image": "cat.png"}),
        ("LoadImageMask", ["cat.png", "alpha", "image"], {"image": "cat.png", "channel": "alpha"}),
        ("EmptyLatentImage", [64], {"width": 64}),
        ("EmptyLatentImage", [64, 32, 1, "more", "and more"], {"width": 64, "height": 32, "batch_size": 1}),
        ("EmptyLatentImage", {"height": 32}, {"height": 32}),
        ("EmptyLatentImage", None, {}),
        ("ResizeImageMaskNode", ["scale by multiplier", 2, "area"],
         {"resize_type": "scale by multiplier", "resize_type.multiplier": 2, "scale_method": "area"}),
    ],
)  # fmt: skip
def test_stored_values_get_their_names(type: str, values: Any, expected: dict[str, Any]) -> None:
    signature = Signatures().of(type)
    assert signature is not None
    assert named_values(signature.inputs, values) == expected


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "5.7", 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "integer"}, str(2**64 - 1), 2**64 - 1),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "number"}, "nan", "nan"),
        ({"type": "boolean"}, "enable", True),
        ({"type": "boolean"}, 0, False),
        ({"type": "string"}, 3, "3"),
        ({"enum": ["euler", "ddim"]}, "sample_euler", "euler"),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["a"]}, "b", "b"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"anyOf": [{"type": "number"}, {"type": "integer"}, {"type": "boolean"}]}, 81, 81),
        ({"anyOf": [{"type": "number"}, {"type": "boolean"}]}, True, True),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "word", "word"),
        (None, "5", "5"),
    ],
)
def test_values_are_converted_where_that_is_clear(field: Any, value: Any, expected: Any) -> None:
    result = converted(field, value)
    assert (type(result), result) == (type(expected), expected)


# --- the editor format -----------------------------------------------------------------------------------------------

LATENT = node(1, "EmptyLatentImage", outputs=["LATENT"], values=[64, 32, 1])


def test_an_editor_workflow_is_read_with_its_layout() -> None:
    document = editor(
        [
            {**LATENT, "pos": {"0": 10, "1": 20}, "size": [200, 100], "flags": {"collapsed": True}, "bgcolor": "#222"},
            node(2, "VAEDecode", [socket("samples", "LATENT", 5), socket("vae", "VAE")], ["IMAGE"], title="Decode it"),
            node(3, "Note", values=["mind the gap"], pos=[1, 2], size=[3, 4], title="Hint"),
        ],
        [[5, 1, 0, 2, 0, "LATENT"]],
        groups=[{"title": "All", "bounding": [0, 0, 9, 9], "color": "#fff"}],
    )
    workflow = imported(document)

    assert {id: n.inputs for id, n in workflow.nodes.items()} == {
        "1": {"width": 64, "height": 32, "batch_size": 1},
        "2": {"samples": {"from": "1.LATENT"}},
    }
    assert workflow.nodes["2"].title == "Decode it"
    assert workflow.layout["1"] == {
        "position": [10, 20], "size": [200, 100], "collapsed": True, "color": "#222"
    }  # fmt: skip
    assert workflow.groups == [
        {"title": "All", "bounds": [0, 0, 9, 9], "color": "#fff"},
        {"title": "Hint", "bounds": [1, 2, 3, 4], "note": "mind the gap"},
    ]


def test_values_that_an_older_file_did_not_store_are_the_defaults() -> None:
    document = editor([node(1, "EmptyLatentImage", values=[64])], [])
    assert inputs(document) == {"1": {"width": 64, "height": 512, "batch_size": 1}}


def test_links_are_lists_or_objects_in_any_version() -> None:
    nodes = [LATENT, node(2, "VAEDecode", [socket("samples", "LATENT", 5)], ["IMAGE"])]
    for version in (0.4, 1):
        for links in (
            [[5, 1, 0, 2, 0, "LATENT"]],
            [{"id": 5, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 7, "type": "LATENT"}],
        ):
            document = editor(nodes, links) | {"version": version}
            assert inputs(document)["2"] == {"samples": {"from": "1.LATENT"}}


def test_a_connected_widget_keeps_its_place_among_the_values() -> None:
    document = editor(
        [
            node(1, "PrimitiveInt", outputs=["INT"], values=[9, "fixed"]),
            node(2, "EmptyLatentImage", [socket("width", "INT", 5, widget=True)], ["LATENT"], [64, 32, 1]),
        ],
        [[5, 1, 0, 2, 0, "INT"]],
    )
    assert inputs(document)["2"] == {"width": {"from": "1.0"}, "height": 32, "batch_size": 1}


def test_seeds_that_were_drawn_anew_stay_so() -> None:
    values = [7, "randomize", 20, 8, "euler", "normal", 1]
    workflow = imported(editor([node(1, "KSampler", values=values)], []))
    assert workflow.layout["1"]["draw"] == ["seed"]


def test_reroutes_and_primitives_dissolve() -> None:
    document = editor(
        [
            LATENT,
            node(2, "Reroute", [socket("", "*", 5)], ["LATENT"]),
            node(3, "Reroute", [socket("", "*", 6)], ["LATENT"]),
            node(4, "VAEDecode", [socket("samples", "LATENT", 7)], ["IMAGE"]),
            node(5, "PrimitiveNode", outputs=["INT"], values=[48, "fixed"]),
            node(6, "EmptyLatentImage", [socket("height", "INT", 8, widget=True)], ["LATENT"], [64, 32, 1]),
            node(7, "Reroute", [socket("", "*")], ["LATENT"]),
            node(8, "VAEDecode", [socket("samples", "LATENT", 9)], ["IMAGE"]),
        ],
        [
            [5, 1, 0, 2, 0, "*"],
            [6, 2, 0, 3, 0, "*"],
            [7, 3, 0, 4, 0, "*"],
            [8, 5, 0, 6, 0, "INT"],
            [9, 7, 0, 8, 0, "*"],
        ],
    )
    assert inputs(document) == {
        "1": {"width": 64, "height": 32, "batch_size": 1},
        "4": {"samples": {"from": "1.LATENT"}},
        "6": {"width": 64, "height": 48, "batch_size": 1},
        "8": {},
    }


def test_a_primitive_gives_no_constant_to_a_mere_socket() -> None:
    document = editor(
        [
            node(5, "PrimitiveNode", outputs=["*"], values=[48, "fixed"]),
            node(6, "VAEDecode", [socket("samples", "LATENT", 8)], ["IMAGE"]),
        ],
        [[8, 5, 0, 6, 0, "*"]],
    )
    assert inputs(document) == {"6": {}}


def test_muted_and_bypassed_nodes_stay_and_the_plan_goes_round_them() -> None:
    document = editor(
        [
            node(1, "LoadImage", outputs=["IMAGE", "MASK"], values=["cat.png", "image"]),
            node(2, "ImageScaleBy", [socket("image", "IMAGE", 5)], ["IMAGE"], ["area", 2], mode=4),
            node(3, "PreviewImage", [socket("images", "IMAGE", 6)]),
            node(4, "PreviewImage", [socket("images", "IMAGE", 7)], mode=2),
        ],
        [[5, 1, 0, 2, 0, "IMAGE"], [6, 2, 0, 3, 0, "IMAGE"], [7, 2, 0, 4, 0, "IMAGE"]],
    )
    workflow = imported(document)

    assert [n.mode for n in workflow.nodes.values()] == [None, "bypass", None, "mute"]
    assert [task.id for task in compile(workflow, DEFINITIONS, SHELF).tasks] == ["1", "3"]
    assert set(write_prompt(workflow, SIGNATURES)) == {"1", "3"}


def test_a_bypassed_node_that_we_lack_is_passed_by() -> None:
    document = editor(
        [
            node(1, "LoadImage", outputs=["IMAGE", "MASK"], values=["cat.png", "image"]),
            node(2, "Fancy", [socket("how", "MASK"), socket("image", "IMAGE", 5)], ["IMAGE"], mode=4),
            node(3, "PreviewImage", [socket("images", "IMAGE", 6)]),
        ],
        [[5, 1, 0, 2, 1, "IMAGE"], [6, 2, 0, 3, 0, "IMAGE"]],
    )
    assert inputs(document)["3"] == {"images": {"from": "1.IMAGE"}}


def test_a_node_that_we_lack_keeps_all_its_settings() -> None:
    document = editor(
        [
            node(1, "Fancy", [socket("image", "IMAGE"), socket("seed", "INT", widget=True),
                              socket("style", "COMBO", widget=True)], ["IMAGE"], [5, "fixed", "bold"]),
            node(2, "Fancier", values=[1, 2]),
        ],
        [],
    )  # fmt: skip
    converted = read(document, DEFINITIONS)
    assert converted is not None
    nodes = converted.workflow.model_dump(exclude_unset=True)["nodes"]

    assert nodes == {
        "1": {"type": "Fancy", "inputs": {"seed": 5, "style": "bold"}, "widgets_values": [5, "fixed", "bold"]},
        "2": {"type": "Fancier", "inputs": {}, "widgets_values": [1, 2]},
    }
    assert converted.notes == (
        "Fancy is not among the nodes here: kept with its settings",
        "Fancier is not among the nodes here: kept with its settings",
    )


# --- subgraphs -------------------------------------------------------------------------------------------------------

BLOCK = {
    "id": "aaaa",
    "name": "Make latent",
    "inputs": [
        {"name": "width", "type": "INT", "linkIds": [1]},
        {"name": "vae", "type": "VAE", "linkIds": [2]},
    ],
    "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [4]}],
    "nodes": [
        node(1, "EmptyLatentImage", [socket("width", "INT", 1, widget=True)], ["LATENT"], [64, 32, 1]),
        node(2, "VAEDecode", [socket("samples", "LATENT", 3), socket("vae", "VAE", 2)], ["IMAGE"]),
    ],
    "links": [
        {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "INT"},
        {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 1, "type": "VAE"},
        {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "LATENT"},
        {"id": 4, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
    ],
}
LOADER = node(7, "CheckpointLoaderSimple", outputs=["MODEL", "CLIP", "VAE"], values=["tiny.safetensors"])


def instance(values: Any = (), **more: Any) -> dict[str, Any]:
    inputs = [socket("width", "INT", widget=True), socket("vae", "VAE", 9)]
    return node(5, "aaaa", inputs, ["IMAGE"], values, **more)


def nested(*instances: dict[str, Any], definitions: Any = (BLOCK,)) -> dict[str, Any]:
    return editor(
        [LOADER, *instances, node(6, "PreviewImage", [socket("images", "IMAGE", 8)])],
        [[8, 5, 0, 6, 0, "IMAGE"], [9, 7, 2, 5, 1, "VAE"]],
        definitions={"subgraphs": list(definitions)},
    )


def planned(document: Any) -> dict[str, dict[str, Any]]:
    plan = compile(imported(document), DEFINITIONS, SHELF)
    return {task.id: {n: v for n, v in task.inputs if isinstance(v, int)} for task in plan.tasks}


def test_a_subgraph_stays_one_and_its_inner_ids_are_paths() -> None:
    workflow = imported(nested(instance()))

    assert workflow.nodes["5"].type == "subgraph/Make latent"
    assert workflow.nodes["5"].inputs == {"vae": {"from": "7.VAE"}}
    assert planned(nested(instance()))["5:1"] == {"width": 64, "height": 32, "batch_size": 1}


def test_a_promoted_widget_has_a_value_for_each_instance() -> None:
    assert planned(nested(instance([128])))["5:1"] == {"width": 128, "height": 32, "batch_size": 1}


def test_a_widget_shown_by_proxy_becomes_an_input_with_the_inner_value() -> None:
    document = nested(instance(properties={"proxyWidgets": [["1", "height"], ["1", "width"], ["-1", "width"]]}))
    subgraph = imported(document).subgraphs["Make latent"]

    assert [(port.name, port.type, port.default) for port in subgraph.inputs] == [
        ("width", "INT", 64), ("vae", "VAE", None), ("height", "INT", 32)
    ]  # fmt: skip
    assert planned(document)["5:1"] == {"width": 64, "height": 32, "batch_size": 1}


def test_subgraphs_nest_and_dots_in_their_names_do_no_harm() -> None:
    outer = {
        "id": "bbbb",
        "name": "Outer",
        "inputs": [{"name": "model.vae", "type": "VAE", "linkIds": [1]}],
        "outputs": [{"name": "IM.AGE", "type": "IMAGE", "linkIds": [2]}],
        "nodes": [node(3, "aaaa", [socket("vae", "VAE", 1)], ["IMAGE"], [256])],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0, "type": "VAE"},
            {"id": 2, "origin_id": 3, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
        "definitions": {"subgraphs": [BLOCK]},
    }
    document = nested(node(5, "bbbb", [socket("model.vae", "VAE", 9)], ["IM.AGE"]), definitions=[outer])
    assert planned(document) == {
        "7": {}, "5:3:1": {"width": 256, "height": 32, "batch_size": 1}, "5:3:2": {}, "6": {}
    }  # fmt: skip


def test_a_bypassed_subgraph_passes_its_input_on() -> None:
    through = {**BLOCK, "inputs": [{"name": "image", "type": "IMAGE", "linkIds": []}]}
    document = editor(
        [
            node(1, "LoadImage", outputs=["IMAGE", "MASK"], values=["cat.png", "image"]),
            node(5, "aaaa", [socket("image", "IMAGE", 9)], ["IMAGE"], mode=4),
            node(6, "PreviewImage", [socket("images", "IMAGE", 8)]),
        ],
        [[8, 5, 0, 6, 0, "IMAGE"], [9, 1, 0, 5, 0, "IMAGE"]],
        definitions={"subgraphs": [through]},
    )
    assert set(planned(document)) == {"1", "6"}


def test_the_export_inlines_subgraphs() -> None:
    prompt = export(imported(nested(instance([128]))), DEFINITIONS)

    assert prompt["5:1"]["inputs"] == {"width": 128, "height": 32, "batch_size": 1}
    assert prompt["5:2"]["inputs"] == {"samples": ["5:1", 0], "vae": ["7", 2]}
    assert prompt["6"]["inputs"] == {"images": ["5:2", 0]}


# --- what strangers send ---------------------------------------------------------------------------------------------


def test_garbage_in_an_editor_workflow_is_left_out() -> None:
    nodes = [
        7, None, {"id": 1}, {"type": "X"}, {"id": 2, "type": ""},
        {"id": 3, "type": "EmptyLatentImage", "inputs": "?", "outputs": 4, "widgets_values": "no", "pos": "here"},
        {"id": 4, "type": "VAEDecode", "inputs": [None, {"link": {}}, {"name": "samples", "link": 77}], "mode": []},
    ]  # fmt: skip
    links = [None, 4, [1], [1, 2, "x", 3, 4], {"id": [], "origin_slot": 0}, [77, 3, -1, 4, 0]]
    document = editor(nodes, links, groups=[1, {"bounding": "big"}], definitions={"subgraphs": [3, {"id": ""}]})  # type: ignore[arg-type]
    assert inputs(document) == {"3": {}, "4": {}}


def test_a_ring_of_reroutes_leads_nowhere() -> None:
    document = editor(
        [
            node(1, "Reroute", [socket("", "*", 2)], ["*"]),
            node(2, "Reroute", [socket("", "*", 1)], ["*"]),
            node(3, "VAEDecode", [socket("samples", "LATENT", 3)]),
        ],
        [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 1, 0, 3, 0, "*"]],
    )
    assert inputs(document) == {"3": {}}


PAIRED = [Slot("image", "IMAGE"), Slot("width", "INT", socket=True), Slot("seed", "INT", controls=1), Slot("name", "COMBO", controls=2),
          Slot("last", "STRING")]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, "fixed", "a", "fixed", "filter", "z"], {"seed": 7, "name": "a", "last": "z"}),
        ([64, 7, "fixed", "a", "fixed", "filter", "z"], {"seed": 7, "name": "a", "last": "z"}),
        ([7, "a", "z"], {"seed": 7, "name": "a", "last": "z"}),
        ([7], {"seed": 7}),
    ],
    ids=["now", "with a value for the socket, as older editors stored it", "without control values", "cut short"],
)
def test_both_generations_of_stored_values_are_told_apart(values: list[Any], expected: dict[str, Any]) -> None:
    assert named_values(PAIRED, values) == expected


def test_schema_1_is_read_with_its_state_and_reroutes() -> None:
    document = {
        "version": 1,
        "state": {"lastNodeId": 2, "lastLinkId": 5, "lastGroupId": 0, "lastRerouteId": 1},
        "nodes": [LATENT, node(2, "VAEDecode", [socket("samples", "LATENT", 5)], ["IMAGE"])],
        "links": [
            {
                "id": 5,
                "origin_id": 1,
                "origin_slot": 0,
                "target_id": 2,
                "target_slot": 0,
                "type": "LATENT",
                "parentId": 1,
            }
        ],
        "reroutes": [{"id": 1, "pos": [1, 2], "linkIds": [5]}],
    }
    assert inputs(document)["2"] == {"samples": {"from": "1.LATENT"}}
    older = {
        **document,
        "version": 0.4,
        "extra": {"reroutes": document.pop("reroutes"), "linkExtensions": [{"id": 5, "parentId": 1}]},
    }
    assert inputs(older) == inputs(document)


def test_import_export_import_of_published_templates_is_stable() -> None:
    definitions = discover().definitions()
    files = sorted((Path(templates.__file__).parent / "templates").glob("*.json"))
    documents = [(path.name, json.loads(path.read_text("utf-8"))) for path in files[::8]]
    tried = 0
    for name, document in documents:
        if not (isinstance(document, dict) and "nodes" in document):
            continue
        once = export(read(document, definitions).workflow, definitions)  # type: ignore[union-attr]
        again = export(read(json.loads(json.dumps(once)), definitions).workflow, definitions)  # type: ignore[union-attr]
        assert again == once, name
        tried += 1
    assert tried > 70


def test_every_published_template_is_read() -> None:
    read_ones = 0
    for path in sorted((Path(templates.__file__).parent / "templates").glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        if isinstance(document, dict) and "nodes" in document:
            assert read(document, DEFINITIONS) is not None, path.name
            read_ones += 1
    assert read_ones > 600

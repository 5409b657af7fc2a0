"""Every error of ComfyUI's validation, each in full: type, message, details and what else is said of it."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from graphflow.comfy.signatures import Signatures
from graphflow.comfy.validation import NO_PROMPT, validate
from graphflow.node import Artifact, node, node_of
from graphflow.registry import Definitions
from tests.comfy.world import DEFAULT, DEFINITIONS, SHELF, Image, Mask


@node("Kinds", category="test")
def kinds(
    whole: Annotated[int, Field(ge=0, le=10)] = 1,
    real: float = 0.5,
    text: str = "",
    flag: bool = False,
    few: Literal["a", "b"] = "a",
    many: Literal["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
                  "20", "21"] = "1",
    either: Image | Mask | None = None,
) -> Image:  # fmt: skip
    return Image()


@node("Out", category="test", output_node=True)
def out(image: Image, strict: Mask | None = None) -> Artifact:
    return Artifact("image/png", b"", "out")


SIGNATURES = Signatures(
    Definitions({**DEFINITIONS, **{one.definition.type: one.definition for one in (node_of(kinds), node_of(out))}})
)
GOOD: dict[str, Any] = {"whole": 1, "real": 0.5, "text": "", "flag": False, "few": "a", "many": "1"}
MANY = [str(i) for i in range(1, 22)]


def graph(out: Any = None, **inputs: Any) -> dict[str, Any]:
    """`Kinds` -> `Out`, with some inputs changed; one that is `...` is taken away."""
    given = {name: value for name, value in {**GOOD, **inputs}.items() if value is not ...}
    return {
        "1": {"class_type": "Kinds", "inputs": given},
        "2": {"class_type": "Out", "inputs": {"image": ["1", 0], **(out or {})}},
        "mask": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["model", 1]}},
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
    }


def config(type: Any, **options: Any) -> list[Any]:
    return [type, options]


WHOLE = config("INT", default=1, min=0, max=10)
IMAGE = config("IMAGE")
INNER = "Exception when validating inner node"

CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (graph(whole=...), "1", {
        "type": "required_input_missing", "message": "Required input is missing", "details": "whole",
        "extra_info": {"input_name": "whole"}}),
    (graph(whole=[1, 2, 3]), "1", {
        "type": "bad_linked_input", "message": "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        "details": "whole", "extra_info": {"input_name": "whole", "input_config": WHOLE, "received_value": [1, 2, 3]}}),
    (graph(whole=[]), "1", {
        "type": "bad_linked_input", "message": "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        "details": "whole", "extra_info": {"input_name": "whole", "input_config": WHOLE, "received_value": []}}),
    (graph({"strict": ["model", 0]}), "2", {
        "type": "return_type_mismatch", "message": "Return type mismatch between linked nodes",
        "details": "strict, received_type(MODEL) mismatch input_type(MASK)",
        "extra_info": {"input_name": "strict", "input_config": config("MASK"), "received_type": "MODEL",
                       "linked_node": ["model", 0]}}),
    (graph(either=["text", 0]), "1", {
        "type": "return_type_mismatch", "message": "Return type mismatch between linked nodes",
        "details": "either, received_type(CONDITIONING) mismatch input_type(IMAGE,MASK)",
        "extra_info": {"input_name": "either", "input_config": config("IMAGE,MASK"), "received_type": "CONDITIONING",
                       "linked_node": ["text", 0]}}),
    (graph(whole="5.0"), "1", {
        "type": "invalid_input_type", "message": "Failed to convert an input value to a INT value",
        "details": "whole, 5.0, invalid literal for int() with base 10: '5.0'",
        "extra_info": {"input_name": "whole", "input_config": WHOLE, "received_value": "5.0",
                       "exception_message": "invalid literal for int() with base 10: '5.0'"}}),
    (graph(real="much"), "1", {
        "type": "invalid_input_type", "message": "Failed to convert an input value to a FLOAT value",
        "details": "real, much, could not convert string to float: 'much'",
        "extra_info": {"input_name": "real", "input_config": config("FLOAT", default=0.5, min=-1e18, max=1e18, step=0.01),
                       "received_value": "much", "exception_message": "could not convert string to float: 'much'"}}),
    (graph(whole=-1), "1", {
        "type": "value_smaller_than_min", "message": "Value -1 smaller than min of 0", "details": "whole",
        "extra_info": {"input_name": "whole", "input_config": WHOLE, "received_value": -1}}),
    (graph(whole="11"), "1", {
        "type": "value_bigger_than_max", "message": "Value 11 bigger than max of 10", "details": "whole",
        "extra_info": {"input_name": "whole", "input_config": WHOLE, "received_value": 11}}),
    (graph(few="c"), "1", {
        "type": "value_not_in_list", "message": "Value not in list", "details": "few: 'c' not in ['a', 'b']",
        "extra_info": {"input_name": "few", "input_config": config(["a", "b"], default="a"), "received_value": "c"}}),
    (graph(many="22"), "1", {
        "type": "value_not_in_list", "message": "Value not in list",
        "details": "many: '22' not in (list of length 21)",
        "extra_info": {"input_name": "many", "input_config": None, "received_value": "22"}}),
    (graph(either=["mask", 3]), "1", {
        "type": "exception_during_inner_validation", "message": INNER, "details": "tuple index out of range",
        "extra_info": {"input_name": "image", "input_config": IMAGE,
                       "exception_message": "tuple index out of range", "exception_type": "IndexError", "traceback": [],
                       "linked_node": ["1", 0]}}),
    (graph(either=["99", 0]), "1", {
        "type": "exception_during_inner_validation", "message": INNER, "details": "'99'",
        "extra_info": {"input_name": "image", "input_config": IMAGE, "exception_message": "'99'",
                       "exception_type": "KeyError", "traceback": [], "linked_node": ["1", 0]}}),
    ({**graph(), "1": {"class_type": "Kinds"}}, "1", {
        "type": "exception_during_inner_validation", "message": INNER, "details": "'inputs'",
        "extra_info": {"input_name": "image", "input_config": IMAGE, "exception_message": "'inputs'",
                       "exception_type": "KeyError", "traceback": [], "linked_node": ["1", 0]}}),
    (graph({"image": ["1", 7]}), "2", {
        "type": "exception_during_validation", "message": "Exception when validating node",
        "details": "tuple index out of range", "extra_info": {"exception_type": "IndexError", "traceback": []}}),
    (graph({"image": ["99", 0]}), "2", {
        "type": "exception_during_validation", "message": "Exception when validating node", "details": "'99'",
        "extra_info": {"exception_type": "KeyError", "traceback": []}}),
    ({**graph(), "2": {"class_type": "Out"}}, "2", {
        "type": "exception_during_validation", "message": "Exception when validating node", "details": "'inputs'",
        "extra_info": {"exception_type": "KeyError", "traceback": []}}),
    (graph({"strict": ["mask", 1]}) | {"mask": {"class_type": "LoadImage", "inputs": {"image": "dog.png"}}}, "mask", {
        "type": "custom_validation_failed", "message": "Custom validation failed for node",
        "details": "image - Invalid image file: dog.png", "extra_info": {"input_name": "image"}}),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "where", "expected"), CASES, ids=[case[2]["type"] for case in CASES])
def test_an_error_is_told_in_full(prompt: dict[str, Any], where: str, expected: dict[str, Any]) -> None:
    verdict = validate(prompt, SIGNATURES, SHELF.names)

    assert verdict.node_errors == {
        where: {"errors": [expected], "dependent_outputs": ["2"], "class_type": prompt[where]["class_type"]}
    }
    assert verdict.outputs == ()
    own = [f"{expected['message']}: {expected['details']}"] if where == "2" else []
    assert verdict.error == {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "\n".join(own),
        "extra_info": {},
    }


def test_every_type_of_error_has_a_case() -> None:
    assert {case[2]["type"] for case in CASES} == {
        "required_input_missing", "bad_linked_input", "return_type_mismatch", "invalid_input_type",
        "value_smaller_than_min", "value_bigger_than_max", "value_not_in_list", "custom_validation_failed",
        "exception_during_inner_validation", "exception_during_validation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "type", "message", "details", "extra"),
    [
        ({"a": {"inputs": {}}}, "invalid_prompt", "Cannot execute because a node is missing the class_type property.",
         "Node ID '#a'", {}),
        ({**graph(), "x": {"class_type": "No", "inputs": {}, "_meta": {"title": "Mine"}}}, "invalid_prompt",
         "Cannot execute because node No does not exist.", "Node ID '#x'",
         {"node_id": "x", "class_type": "No", "node_title": "Mine"}),
        ({"1": graph()["1"]}, "prompt_no_outputs", "Prompt has no outputs", "", {}),
    ],
)  # fmt: skip
def test_a_prompt_is_rejected_as_a_whole(
    prompt: Any, type: str, message: str, details: str, extra: dict[str, Any]
) -> None:
    verdict = validate(prompt, SIGNATURES, SHELF.names)
    assert verdict.error == {"type": type, "message": message, "details": details, "extra_info": extra}
    assert (verdict.outputs, verdict.node_errors) == ((), {})


@pytest.mark.parametrize(("targets", "outputs"), [(None, ("2",)), (["2", "none"], ("2",)), ([], ()), (["1"], ())])
def test_partial_targets_choose_among_the_outputs(targets: Any, outputs: tuple[str, ...]) -> None:
    verdict = validate(graph(), SIGNATURES, SHELF.names, targets)
    assert verdict.outputs == outputs
    assert (verdict.error or {}).get("type") == (None if outputs else "prompt_no_outputs")


def test_nothing_at_all_is_no_prompt() -> None:
    assert NO_PROMPT == {
        "type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided", "extra_info": {}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"whole": "5"}, 5),
        ({"whole": 5.9}, 5),
        ({"whole": True}, 1),
        ({"whole": {"__value__": "7"}}, 7),
        ({"real": "1e3"}, 1000.0),
        ({"real": 2}, 2.0),
        ({"text": None}, "None"),
        ({"text": 5}, "5"),
        ({"text": {"__value__": "x"}}, "x"),
        ({"flag": "false"}, True),
        ({"flag": ""}, False),
        ({"flag": 1}, True),
        ({"few": "b"}, "b"),
    ],
)
def test_constants_are_converted(inputs: dict[str, Any], expected: Any) -> None:
    verdict = validate(graph(**inputs), SIGNATURES, SHELF.names)
    [name] = inputs
    value = verdict.prompt["1"]["inputs"][name]
    assert (verdict.node_errors, type(value), value) == ({}, type(expected), expected)


def test_links_fit_any_of_several_types_and_what_nobody_declared_is_let_be() -> None:
    prompt = graph({"extra": 5, "strict": ["mask", 1]}, either=["mask", 0], upload="image")
    verdict = validate(prompt, SIGNATURES, SHELF.names)
    assert (verdict.outputs, verdict.node_errors) == (("2",), {})


def test_a_fault_upstream_counts_for_each_output_that_needs_it() -> None:
    prompt = {**copy.deepcopy(DEFAULT), "10": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}}
    prompt["5"]["inputs"]["width"] = 1
    verdict = validate(prompt, SIGNATURES, SHELF.names)
    assert list(verdict.node_errors) == ["5"]
    assert verdict.node_errors["5"]["dependent_outputs"] == ["9", "10"]

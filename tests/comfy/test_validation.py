"""A prompt's faults in ComfyUI's words, types and shapes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from graphflow.comfy.signatures import Signatures
from graphflow.comfy.validation import Verdict, planning_errors, validate
from graphflow.errors import Problem
from tests.comfy.world import DEFAULT, DEFINITIONS, SHELF

SIGNATURES = Signatures(DEFINITIONS)


def checked(prompt: Any, targets: list[str] | None = None) -> Verdict:
    return validate(prompt, SIGNATURES, SHELF.names, targets)


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    prompt = copy.deepcopy(DEFAULT)
    prompt[node]["inputs"] |= inputs
    return prompt


def errors(prompt: Any, node: str) -> list[tuple[str, str, str]]:
    verdict = checked(prompt)
    assert verdict.outputs == ()
    assert verdict.error is not None
    assert verdict.error["type"] == "prompt_outputs_failed_validation"
    return [(e["type"], e["message"], e["details"]) for e in verdict.node_errors[node]["errors"]]


def test_a_prompt_in_order_runs_its_outputs() -> None:
    verdict = checked(DEFAULT)
    assert (verdict.outputs, verdict.error, verdict.node_errors) == (("9",), None, {})


def test_constants_are_converted_to_their_declared_types() -> None:
    verdict = checked(changed("5", width="96", height=64.9))
    assert verdict.error is None
    assert verdict.prompt["5"]["inputs"] == {"width": 96, "height": 64, "batch_size": 1}


@pytest.mark.parametrize(
    ("node", "inputs", "expected"),
    [
        ("5", {"width": 8}, ("value_smaller_than_min", "Value 8 smaller than min of 16", "width")),
        ("5", {"width": 99999}, ("value_bigger_than_max", "Value 99999 bigger than max of 16384", "width")),
        (
            "5",
            {"width": "wide"},
            (
                "invalid_input_type",
                "Failed to convert an input value to a INT value",
                "width, wide, invalid literal for int() with base 10: 'wide'",
            ),
        ),
        (
            "3",
            {"sampler_name": "magic"},
            ("value_not_in_list", "Value not in list", "sampler_name: 'magic' not in ['euler', 'ddim']"),
        ),
        (
            "4",
            {"ckpt_name": "none.ckpt"},
            ("value_not_in_list", "Value not in list", "ckpt_name: 'none.ckpt' not in ['tiny.safetensors']"),
        ),
        (
            "8",
            {"samples": ["3", 0, 1]},
            ("bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]", "samples"),
        ),
        (
            "8",
            {"samples": ["4", 0]},
            (
                "return_type_mismatch",
                "Return type mismatch between linked nodes",
                "samples, received_type(MODEL) mismatch input_type(LATENT)",
            ),
        ),
        ("8", {"samples": ["77", 0]}, ("exception_during_inner_validation", "Exception when validating inner node", "'77'")),
        ("8", {"samples": [4, 0]}, ("exception_during_inner_validation", "Exception when validating inner node", "'4'")),
        ("9", {"stray": ["77", 0]}, ("exception_during_validation", "Exception when validating node", "'77'")),
    ],
)  # fmt: skip
def test_a_fault_of_an_input_is_told_at_its_node(node: str, inputs: Any, expected: tuple[str, str, str]) -> None:
    assert errors(changed(node, **inputs), node) == [expected]


def test_an_index_out_of_range_is_told_at_the_node_that_is_linked_so() -> None:
    assert [kind for kind, _, _ in errors(changed("8", samples=["3", 5]), "8")] == ["exception_during_inner_validation"]


def test_a_missing_input_is_told_with_its_name() -> None:
    prompt = copy.deepcopy(DEFAULT)
    del prompt["8"]["inputs"]["vae"]
    verdict = checked(prompt)

    assert verdict.node_errors == {
        "8": {
            "errors": [
                {
                    "type": "required_input_missing",
                    "message": "Required input is missing",
                    "details": "vae",
                    "extra_info": {"input_name": "vae"},
                }
            ],
            "dependent_outputs": ["9"],
            "class_type": "VAEDecode",
        }
    }


def test_every_fault_of_a_branch_is_told_at_once() -> None:
    prompt = changed("5", width=1, height=1)
    prompt["3"]["inputs"]["steps"] = 0
    verdict = checked(prompt)
    assert {id: len(entry["errors"]) for id, entry in verdict.node_errors.items()} == {"5": 2, "3": 1}


def test_an_input_is_cited_with_its_configuration() -> None:
    (one,) = checked(changed("5", width=8)).node_errors["5"]["errors"]
    assert one["extra_info"] == {
        "input_name": "width",
        "input_config": ["INT", {"default": 512, "min": 16, "max": 16384}],
        "received_value": 8,
    }


def test_outputs_are_independent() -> None:
    prompt = {**DEFAULT, "10": {"class_type": "PreviewImage", "inputs": {}}}
    verdict = checked(prompt)

    assert (verdict.outputs, verdict.error) == (("9",), None)
    assert list(verdict.node_errors) == ["10"]


def test_targets_limit_the_outputs() -> None:
    prompt = {**DEFAULT, "10": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}}
    assert checked(prompt, ["10"]).outputs == ("10",)
    assert checked(prompt, ["3"]).error == {
        "type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "message", "details"),
    [
        ({"1": {"inputs": {}}}, "Cannot execute because a node is missing the class_type property.", "Node ID '#1'"),
        ({"1": 7}, "Cannot execute because a node is missing the class_type property.", "Node ID '#1'"),
        (
            {**DEFAULT, "x": {"class_type": "Nope", "inputs": {}}},
            "Cannot execute because node Nope does not exist.",
            "Node ID '#x'",
        ),
        ([1], "The prompt is not an object of nodes.", "prompt"),
    ],
)
def test_an_unusable_prompt_is_rejected_as_a_whole(prompt: Any, message: str, details: str) -> None:
    verdict = checked(prompt)
    assert verdict.error is not None
    assert (verdict.error["type"], verdict.error["message"], verdict.error["details"]) == (
        "invalid_prompt", message, details
    )  # fmt: skip
    assert verdict.node_errors == {}


def test_a_prompt_without_inputs_or_outputs_is_told_so() -> None:
    verdict = checked({"1": {"class_type": "SaveImage"}})
    assert [e["type"] for e in verdict.node_errors["1"]["errors"]] == ["exception_during_validation"]
    assert (checked({}).error or {})["type"] == "prompt_no_outputs"


def test_a_circle_is_told_and_does_not_hang() -> None:
    prompt = {
        "1": {"class_type": "ImageScaleBy", "inputs": {"image": ["2", 0], "upscale_method": "area", "scale_by": 1}},
        "2": {"class_type": "ImageScaleBy", "inputs": {"image": ["1", 0], "upscale_method": "area", "scale_by": 1}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    verdict = checked(prompt)

    assert verdict.outputs == ()
    assert [e["type"] for e in verdict.node_errors["2"]["errors"]] == ["exception_during_inner_validation"]


def test_a_chain_of_thousands_needs_no_deep_recursion() -> None:
    prompt: dict[str, Any] = {"0": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}}}
    for i in range(1, 3000):
        inputs = {"image": [str(i - 1), 0], "upscale_method": "area", "scale_by": 1}
        prompt[str(i)] = {"class_type": "ImageScaleBy", "inputs": inputs}
    prompt["end"] = {"class_type": "PreviewImage", "inputs": {"images": ["2999", 0]}}
    assert checked(prompt).outputs == ("end",)


def test_a_missing_upload_is_a_failed_custom_validation() -> None:
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "dog.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    assert errors(prompt, "1") == [
        ("custom_validation_failed", "Custom validation failed for node", "image - Invalid image file: dog.png")
    ]


def test_what_our_planner_alone_finds_has_the_same_shape() -> None:
    problem = Problem(node="3", input="model", message="no such family", code="family")
    assert planning_errors([problem], DEFAULT, ["9"]) == {
        "3": {
            "errors": [
                {
                    "type": "custom_validation_failed",
                    "message": "Custom validation failed for node",
                    "details": "model - no such family",
                    "extra_info": {"input_name": "model"},
                }
            ],
            "dependent_outputs": ["9"],
            "class_type": "KSampler",
        }
    }

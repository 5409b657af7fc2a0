"""Our node definitions as ComfyUI's editor and clients read them."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from graphflow.comfy.object_info import object_info
from graphflow.comfy.signatures import Signatures
from graphflow.node import Multiline, Widget, node, node_of
from graphflow.registry import Definitions
from tests.comfy.world import DEFINITIONS, SHELF, Image

INFO = object_info(Signatures(DEFINITIONS), SHELF.names)


def test_a_node_is_described_in_full() -> None:
    assert INFO["CLIPTextEncode"] == {
        "input": {
            "required": {
                "text": ["STRING", {"multiline": True, "dynamicPrompts": True, "default": ""}],
                "clip": ["CLIP", {}],
            }
        },
        "input_order": {"required": ["text", "clip"]},
        "output": ["CONDITIONING"],
        "output_is_list": [False],
        "output_name": ["CONDITIONING"],
        "name": "CLIPTextEncode",
        "display_name": "CLIPTextEncode",
        "description": "A prompt, read by the text encoder.",
        "python_module": "nodes",
        "category": "conditioning",
        "output_node": False,
    }


def test_inputs_are_in_comfyui_s_order_whatever_ours_is() -> None:
    assert INFO["KSampler"]["input_order"]["required"] == [
        "model", "seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image", "denoise"
    ]  # fmt: skip


def test_only_prompts_are_dynamic() -> None:
    @node("Note", category="text")
    def note(text: Multiline = "") -> str:
        return text

    info = object_info(Signatures({"Note": node_of(note).definition}), SHELF.names)
    assert info["Note"]["input"]["required"]["text"] == ["STRING", {"default": "", "multiline": True}]


def test_a_seed_goes_beyond_what_a_double_holds() -> None:
    kind, options = INFO["KSampler"]["input"]["required"]["seed"]
    assert (kind, options["max"], options["control_after_generate"]) == ("INT", 2**64 - 1, True)
    assert "18446744073709551615" in json.dumps(INFO["KSampler"])


def test_combos_list_words_or_files_and_uploads_are_marked() -> None:
    assert INFO["KSampler"]["input"]["required"]["sampler_name"] == [["euler", "ddim"], {"default": "euler"}]
    assert INFO["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"] == [["tiny.safetensors"], {}]
    assert INFO["LoadImage"]["input"]["required"]["image"] == [["cat.png"], {"image_upload": True}]


def test_optional_lazy_and_output_nodes_are_marked() -> None:
    switch = INFO["ComfySwitchNode"]["input"]
    assert switch["optional"] == {"on_false": ["*", {"lazy": True}], "on_true": ["*", {"lazy": True}]}
    assert INFO["SaveImage"]["input"]["hidden"] == {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
    assert INFO["SaveImage"]["output_node"] is True


def test_inputs_that_depend_on_a_choice_make_a_dynamic_combo() -> None:
    @node("Resize", category="image")
    def resize(
        image: Image,
        kind: Literal["size", "factor"] = "size",
        width: Annotated[int, Widget(extra={"when": {"kind": ["size"]}})] = 64,
        factor: Annotated[float, Widget(extra={"when": {"kind": ["factor"]}})] = 2.0,
    ) -> Image:
        return image

    signatures = Signatures(Definitions({"Resize": node_of(resize).definition}))
    sections = object_info(signatures, SHELF.names)["Resize"]["input"]
    kind, options = sections["required"]["kind"]

    assert list(sections["required"]) == ["image", "kind"]
    assert kind == "COMFY_DYNAMICCOMBO_V3"
    assert [(o["key"], list(o["inputs"]["required"])) for o in options["options"]] == [
        ("size", ["width"]), ("factor", ["factor"])
    ]  # fmt: skip


def test_everything_is_plain_json() -> None:
    json.dumps(INFO, allow_nan=False)

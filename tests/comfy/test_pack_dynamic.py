"""Schema-style packs with inputs that grow, depend on a choice, or share a type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.comfy.object_info import node_info
from graphflow.comfy.prompt import read_prompt, write_prompt
from graphflow.comfy.signatures import Signatures
from graphflow.comfy.validation import validate
from graphflow.errors import InvalidWorkflow
from graphflow.events import JobFailed, NodeStarted
from tests.comfy.test_packs import World

PACK = """
    from comfy_api.latest import io, ComfyExtension

    def told(value):
        if isinstance(value, dict): return "{" + " ".join(f"{k}={told(v)}" for k, v in value.items()) + "}"
        return str(value)

    class Join(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            texts = io.Autogrow.TemplatePrefix(io.String.Input("text", force_input=True), prefix="text", min=2, max=4)
            named = io.Autogrow.TemplateNames(input=io.Int.Input("n", default=0, min=0, max=9), names=["a", "b"], min=0)
            return io.Schema(node_id="Join", category="tests", short_description="joins", search_aliases=["glue"],
                inputs=[io.Autogrow.Input("texts", template=texts), io.Autogrow.Input("numbers", named, optional=True)],
                outputs=[io.String.Output()])
        @classmethod
        def execute(cls, texts: io.Autogrow.Type, numbers): return io.NodeOutput(told({"texts": texts, "numbers": numbers}))

    class Resize(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            inner = io.DynamicCombo.Input("fit", options=[
                io.DynamicCombo.Option("crop", [io.Int.Input("margin", default=1)]),
                io.DynamicCombo.Option("pad", [io.Int.Input("margin", default=2, max=5), io.String.Input("colour")])])
            return io.Schema(node_id="ResizeV3", inputs=[
                io.DynamicCombo.Input("mode", options=[
                    io.DynamicCombo.Option("size", [io.Int.Input("width", default=64, min=8), inner]),
                    io.DynamicCombo.Option("like", [io.Int.Input("other", force_input=True)]),
                    io.DynamicCombo.Option("several", [
                        io.Autogrow.Input("all", template=io.Autogrow.TemplatePrefix(io.Int.Input("x"), "x", min=1))]),
                    io.DynamicCombo.Option("as it is", [])])],
                outputs=[io.String.Output()])
        @classmethod
        def execute(cls, mode: io.DynamicCombo.Type): return io.NodeOutput(told(mode))

    class Judge(Resize):
        @classmethod
        def define_schema(cls): return io.Schema(node_id="Judge", inputs=super().define_schema().inputs, outputs=[io.String.Output()])
        @classmethod
        def validate_inputs(cls, mode): return "too wide" if mode.get("width") == 666 else True

    class Switch(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            template = io.MatchType.Template("switch", [io.Int, io.String])
            return io.Schema(node_id="SwitchV3", inputs=[
                io.Boolean.Input("on"), io.MatchType.Input("a", template=template, lazy=True),
                io.MatchType.Input("b", template, lazy=True, optional=True)],
                outputs=[io.MatchType.Output(template, id="out", display_name="out"), io.MatchType.Output("x", template=template)])
        @classmethod
        def check_lazy_status(cls, on, a=None, b=None):
            wanted = "a" if on else "b"
            return [wanted] if (a if on else b) is None else []
        @classmethod
        def execute(cls, on, a=None, b=None): return io.NodeOutput(a if on else b, None)

    class Lazily(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            grown = io.Autogrow.TemplatePrefix(io.AnyType.Input("v", lazy=True), prefix="v", min=1, max=3)
            return io.Schema(node_id="Lazily", inputs=[io.Int.Input("pick"), io.Autogrow.Input("v", template=grown)],
                             outputs=[io.AnyType.Output()])
        @classmethod
        def check_lazy_status(cls, pick, v): return [f"v{pick}"] if v[f"v{pick}"] is None else []
        @classmethod
        def execute(cls, pick, v): return io.NodeOutput(v[f"v{pick}"])

    class Many(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="Many", accept_all_inputs=True, outputs=[io.String.Output()], inputs=[
                io.BoundingBox.Input("box", optional=True),
                io.MultiType.Input(io.String.Input("text", default="hi"), types=[io.Int])])
        @classmethod
        def execute(cls, text, **more): return io.NodeOutput(f"{text} {told(more)}")

    class Extension(ComfyExtension):
        async def get_node_list(self): return [Join, Resize, Judge, Switch, Lazily, Many]
    async def comfy_entrypoint(): return Extension()
"""


@pytest.fixture
def here(tmp_path: Path) -> World:
    world = World(tmp_path / "custom_nodes")
    world.pack("dynamic.py", PACK)
    _, broken = world.load()
    assert broken == []
    return world


def shown(here: World, type: str, inputs: dict[str, Any], **nodes: Any) -> str:
    return here.shown({**nodes, "n": (type, inputs), "s": ("Show", {"value": "n.0"})})["s"].decode()


def test_what_grows_comes_as_a_dict_in_the_order_of_its_names(here: World) -> None:
    texts = {"texts.text2": "b.STRING", "texts.text0": "a.STRING", "texts.text1": "a.STRING"}
    nodes = {"a": ("Prompt", {"text": "x"}), "b": ("Prompt", {"text": "y"})}
    assert shown(here, "Join", {**texts, "numbers.b": 7}, **nodes) == (
        "{texts={text0=x text1=x text2=y} numbers={b=7}}"
    )
    assert shown(here, "Join", {"texts.text0": "a.STRING", "texts.text1": "b.STRING"}, **nodes) == (
        "{texts={text0=x text1=y} numbers={}}"
    )
    with pytest.raises(InvalidWorkflow) as fault:
        here.run({"a": nodes["a"], "n": ("Join", {"texts.text0": "a.STRING"}), "s": ("Show", {"value": "n.0"})})
    assert [(p.node, p.input) for p in fault.value.problems] == [("n", "texts.text1")]


def test_a_choice_comes_with_its_own_inputs_and_no_others(here: World) -> None:
    assert shown(here, "ResizeV3", {"mode": "size", "mode.width": 32, "mode.fit": "pad", "mode.fit.margin": 4}) == (
        "{mode=size width=32 fit={fit=pad margin=4 colour=}}"
    )
    assert shown(here, "ResizeV3", {"mode": "as it is", "mode.width": 32}) == "{mode=as it is}"
    assert shown(here, "ResizeV3", {"mode": "like", "mode.other": "one.INT"}, one=("One", {})) == (
        "{mode=like other=1}"
    )
    grown = {"mode": "several", "mode.all.x0": 5, "mode.all.x1": "one.INT"}
    assert shown(here, "ResizeV3", grown, one=("One", {})) == "{mode=several all={x0=5 x1=1}}"


@pytest.mark.parametrize(("type", "inputs", "message"), [
    ("ResizeV3", {"mode": "like"}, "mode.other is missing, which this choice needs: link or write it"),
    ("Judge", {"mode": "size", "mode.width": 666}, "too wide"),
])  # fmt: skip
def test_what_a_choice_needs_is_said(here: World, type: str, inputs: dict[str, Any], message: str) -> None:
    failed = here.run({"n": (type, inputs), "s": ("Show", {"value": "n.0"})})[-1]
    assert isinstance(failed, JobFailed)
    assert failed.error.message == message


def test_bounds_hold_for_what_is_chosen(here: World) -> None:
    with pytest.raises(InvalidWorkflow) as fault:
        here.run({"n": ("Join", {"numbers.a": 10}), "s": ("Show", {"value": "n.0"})})
    assert ("n", "numbers.a") in [(p.node, p.input) for p in fault.value.problems]


def test_a_switch_of_any_of_its_types_runs_one_branch(here: World) -> None:
    nodes = {"one": ("One", {}), "p": ("Prompt", {"text": "x"})}
    sw = ("SwitchV3", {"on": True, "a": "one.INT", "b": "p.STRING"})
    events = here.run({**nodes, "n": sw, "s": ("Show", {"value": "n.out"})})
    assert {e.node for e in events if isinstance(e, NodeStarted)} == {"one", "n", "s"}
    with pytest.raises(InvalidWorkflow):
        here.run(
            {"h": ("Hear", {}), "n": ("SwitchV3", {"on": True, "a": "h.AUDIO"}), "s": ("Show", {"value": "n.out"})}
        )


def test_of_lazy_inputs_that_grow_only_the_wanted_run(here: World) -> None:
    nodes = {"one": ("One", {}), "p": ("Prompt", {"text": "x"}), "n": ("Lazily", {"pick": 1, "v.v0": "one.INT", "v.v1": "p.STRING"}),
             "s": ("Show", {"value": "n.0"})}  # fmt: skip
    events = here.run(nodes)
    assert {e.node for e in events if isinstance(e, NodeStarted)} == {"p", "n", "s"}


def test_inputs_of_several_types_and_of_any_name(here: World) -> None:
    ports = here.engine.shop.definitions["Many"].inputs
    assert [(port.name, port.type) for port in ports] == [("text", "STRING|INT"), ("box", "BOUNDING_BOX")]
    assert shown(here, "Many", {"other": 3}) == "hi {other=3}"
    assert shown(here, "Many", {"text": "one.INT"}, one=("One", {})) == "1 {}"


def test_comfyuis_editor_is_told_in_its_own_words(here: World) -> None:
    definitions = here.engine.shop.definitions
    signatures = Signatures(definitions)
    join = node_info(definitions["Join"], signatures, lambda _: ())["input"]["required"]
    kind, options = join["texts"]
    assert (kind, options["template"]["prefix"], options["template"]["min"], options["template"]["max"]) == (
        "COMFY_AUTOGROW_V3", "text", 2, 4,
    )  # fmt: skip
    assert join["numbers"][1]["template"]["names"] == ["a", "b"]
    kind, options = node_info(definitions["ResizeV3"], signatures, lambda _: ())["input"]["required"]["mode"]
    assert kind == "COMFY_DYNAMICCOMBO_V3"
    inner = {one["key"]: one["inputs"]["required"] for one in options["options"]}
    assert list(inner["size"]) == ["width", "fit"]
    assert [one["key"] for one in inner["size"]["fit"][1]["options"]] == ["crop", "pad"]
    assert inner["as it is"] == {}


def test_prompts_with_such_names_are_checked_and_come_back(here: World) -> None:
    signatures = Signatures(here.engine.shop.definitions)
    prompt = {
        "1": {"class_type": "ResizeV3", "inputs": {"mode": "size", "mode.width": "32", "mode.fit": "crop"}},
        "2": {"class_type": "Join", "inputs": {"texts.text0": ["1", 0], "texts.text1": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    verdict = validate(json.loads(json.dumps(prompt)), signatures, lambda _: ())
    assert (verdict.error, verdict.node_errors) == (None, {})
    read = read_prompt(verdict.prompt, signatures).workflow
    again = write_prompt(read, signatures)
    assert again["1"]["inputs"] == {"mode": "size", "mode.width": 32, "mode.fit": "crop"}
    assert again["2"]["inputs"] == prompt["2"]["inputs"]

    wrong = json.loads(json.dumps(prompt))
    wrong["1"]["inputs"]["mode.width"] = 4
    del wrong["2"]["inputs"]["texts.text1"]
    verdict = validate(wrong, signatures, lambda _: ())
    found = {id: [(e["type"], e["details"]) for e in one["errors"]] for id, one in verdict.node_errors.items()}
    assert found == {
        "1": [("value_smaller_than_min", "mode.width")],
        "2": [("required_input_missing", "texts.text1")],
    }

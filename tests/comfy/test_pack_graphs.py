"""What packs' nodes are told of the workflow around them, and the graphs that they grow in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.events import JobFailed, Made, NodeStarted
from graphflow.plan import compile
from tests.comfy.test_packs import World
from tests.toys import SHELF, workflow


@pytest.fixture
def here(tmp_path: Path) -> World:
    return World(tmp_path / "custom_nodes")


def failed(events: list[Any]) -> str:
    last = events[-1]
    assert isinstance(last, JobFailed)
    return last.error.message


# --- what nodes are told ---------------------------------------------------------------------------------------------

SAY = """
    import json

    def told(**what):
        class Told:
            RETURN_TYPES, FUNCTION = ("STRING",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}, "hidden": dict(what)}
            def go(self, n, **hidden): return (json.dumps(hidden, default=str, sort_keys=True),)
        return Told

    class Walks:
        RETURN_TYPES, FUNCTION = ("STRING",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}, "hidden": {"d": "DYNPROMPT", "id": "UNIQUE_ID"}}
        def go(self, n, d, id):
            return (json.dumps([
                d.get_node(id), sorted(d.all_node_ids()), d.has_node("nowhere"), d.get_parent_node_id(id),
                d.get_display_node_id(id), d.get_real_node_id(id), d.get_original_prompt() == {k: d.get_node(k) for k in d.all_node_ids()},
            ]),)

    NODE_CLASS_MAPPINGS = {
        "Everything": told(id="UNIQUE_ID", prompt="PROMPT", png="EXTRA_PNGINFO", token="AUTH_TOKEN_COMFY_ORG", key="API_KEY_COMFY_ORG"),
        "WhoAmI": told(id="UNIQUE_ID"),
        "Walks": Walks,
    }
"""  # fmt: skip


def told(here: World, type: str, texts: dict[str, str]) -> Any:
    nodes = {"one": ("One", {}), "a": (type, {"n": "one.INT"}), "s": ("Show", {"value": "a.STRING"})}
    plan = compile(workflow(nodes), here.engine.shop.definitions, SHELF, job="j")
    events: list[Any] = []
    here.engine.run(dataclasses.replace(plan, texts=texts), events.append)
    return json.loads(next(e.data for e in events if isinstance(e, Made)))


def test_a_node_is_told_what_its_pictures_carry_and_never_a_token(here: World) -> None:
    here.pack("say.py", SAY)
    here.load()
    prompt = {"a": {"class_type": "Everything", "inputs": {}, "_meta": {"title": "mine"}}}

    found = told(here, "Everything", {"prompt": json.dumps(prompt), "workflow": '{"nodes": []}', "more": "[1]"})

    assert found == {
        "id": "a", "prompt": prompt, "png": {"workflow": {"nodes": []}, "more": [1]}, "token": None, "key": None,
    }  # fmt: skip


def test_a_node_walks_the_workflow_around_it(here: World) -> None:
    here.pack("say.py", SAY)
    here.load()

    assert told(here, "Walks", {}) == [
        {"class_type": "Walks", "inputs": {"n": ["one", 0]}}, ["a", "one", "s"], False, None, "a", "a", True,
    ]  # fmt: skip


def test_equal_nodes_that_know_who_they_are_do_not_share_a_result(here: World) -> None:
    here.pack("say.py", SAY)
    here.load()

    shown = here.shown({
        "a": ("WhoAmI", {"n": 1}), "b": ("WhoAmI", {"n": 1}), "s": ("Show", {"value": "a.STRING"}),
        "t": ("Show", {"value": "b.STRING"}),
    })  # fmt: skip

    assert {id: json.loads(text) for id, text in shown.items()} == {"s": {"id": "a"}, "t": {"id": "b"}}


def test_a_node_that_is_not_idempotent_runs_for_each_place(here: World) -> None:
    here.pack("count.py", """
        class Count:
            RETURN_TYPES, FUNCTION, runs = ("INT",), "go", 0
            @classmethod
            def INPUT_TYPES(cls): return {}
            def go(self):
                type(self).runs += 1
                return (type(self).runs,)
        class Apart(Count):
            NOT_IDEMPOTENT = True
            runs = 0
        NODE_CLASS_MAPPINGS = {"Count": Count, "Apart": Apart}
    """)  # fmt: skip
    here.load()

    def numbers(type: str) -> list[bytes]:
        nodes = {"a": (type, {}), "b": (type, {}), "s": ("Show", {"value": "a.INT"}), "t": ("Show", {"value": "b.INT"})}
        return sorted(here.shown(nodes).values())

    assert numbers("Count") == [b"1", b"1"]
    assert numbers("Apart") == [b"1", b"2"]


def test_schema_nodes_are_told_the_same(here: World) -> None:
    here.pack("v3.py", """
        import json
        from comfy_api.latest import ComfyExtension, io

        class Told(io.ComfyNode):
            @classmethod
            def define_schema(cls):
                return io.Schema(node_id="ToldV3", inputs=[io.Int.Input("n")], outputs=[io.String.Output()],
                                 hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.dynprompt])
            @classmethod
            def fingerprint_inputs(cls, n): return f"{n}"
            @classmethod
            def execute(cls, n):
                h = cls.hidden
                return io.NodeOutput(json.dumps([h.unique_id, h.prompt["a"]["class_type"], h.extra_pnginfo, h.dynprompt.has_node("a"),
                                                 h.auth_token_comfy_org, h.api_key_comfy_org]))

        class Extension(ComfyExtension):
            async def get_node_list(self): return [Told]
        def comfy_entrypoint(): return Extension()
    """)  # fmt: skip
    _, broken = here.load()
    assert broken == []

    assert told(here, "ToldV3", {"workflow": "{}"}) == ["a", "ToldV3", {"workflow": {}}, True, None, None]


def test_checks_get_none_for_what_is_linked_and_the_types_if_they_ask(here: World) -> None:
    here.pack("checks.py", """
        class Checked:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"image": ("IMAGE",), "n": ("INT", {})}, "hidden": {"id": "UNIQUE_ID"}}
            @classmethod
            def VALIDATE_INPUTS(cls, image, n, input_types):
                return True if image is None and input_types == {"image": "IMAGE"} else f"{image} {input_types}"
            @classmethod
            def IS_CHANGED(cls, image, n, id):
                assert image is None and id == "c"
                return 7
            def go(self, image, n, id): return (n,)
        NODE_CLASS_MAPPINGS = {"Checked": Checked}
    """)  # fmt: skip
    here.load()
    nodes = {"g": ("Grey", {}), "c": ("Checked", {"image": "g.IMAGE", "n": 3}), "s": ("Show", {"value": "c.INT"})}

    assert here.shown(nodes) == {"s": b"3"}
    events = here.run(nodes)
    assert [e.node for e in events if isinstance(e, NodeStarted)] == []  # unchanged, so everything was kept


# --- links as such ---------------------------------------------------------------------------------------------------

WHILE = """
    from comfy_execution.graph_utils import GraphBuilder, is_link

    class Begin:
        RETURN_TYPES, RETURN_NAMES, FUNCTION = ("FLOW_CONTROL", "*", "*"), ("flow", "value0", "value1"), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {}, "optional": {"value0": ("*",), "value1": ("*",)}}
        def go(self, value0=None, value1=None): return ("stub", value0, value1)

    class End:
        RETURN_TYPES, RETURN_NAMES, FUNCTION = ("*", "*"), ("value0", "value1"), "go"
        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"flow": ("FLOW_CONTROL", {"rawLink": True}), "more": ("BOOLEAN", {})},
                    "optional": {"value0": ("*",), "value1": ("*",)},
                    "hidden": {"graph": "DYNPROMPT", "id": "UNIQUE_ID"}}

        def go(self, flow, more, graph, id, value0=None, value1=None):
            assert is_link(flow), flow
            if not more:
                return (value0, value1)
            begin, body = flow[0], {id}
            pending = [(id, [id])]
            while pending:
                node, way = pending.pop()
                if node == begin:
                    body.update(way)
                    continue
                for value in graph.get_node(node)["inputs"].values():
                    if is_link(value):
                        pending.append((value[0], [*way, value[0]]))
            builder = GraphBuilder()
            new = {one: builder.node(graph.get_node(one)["class_type"], "again" if one == id else one) for one in body}
            for one in body:
                for name, value in graph.get_node(one)["inputs"].items():
                    inside = is_link(value) and value[0] in body
                    new[one].set_input(name, new[value[0]].out(value[1]) if inside else value)
            new[begin].set_input("value0", value0)
            new[begin].set_input("value1", value1)
            return {"result": (new[id].out(0), new[id].out(1)), "expand": builder.finalize()}

    class Less:
        RETURN_TYPES, FUNCTION = ("BOOLEAN",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"a": ("INT", {}), "b": ("INT", {})}}
        def go(self, a, b): return (a < b,)

    class Plus:
        RETURN_TYPES, FUNCTION, runs = ("INT",), "go", 0
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"a": ("INT", {}), "b": ("INT", {"default": 1})}}
        def go(self, a, b):
            Plus.runs += 1
            return (a + b,)

    class Lighter:
        RETURN_TYPES, FUNCTION = ("IMAGE",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"image": ("IMAGE",), "other": ("IMAGE",)}}
        def go(self, image, other): return (image + 0.25 * other,)

    NODE_CLASS_MAPPINGS = {"Begin": Begin, "End": End, "Less": Less, "Plus": Plus, "Lighter": Lighter}
"""


def loop(times: int) -> dict[str, Any]:
    """A picture made lighter by another one, which lies outside of the loop, as often as that."""
    return {
        "g": ("Grey", {"level": 0.0}), "light": ("Grey", {"level": 1.0}), "limit": ("Plus", {"a": times - 1}),
        "begin": ("Begin", {"value0": 0, "value1": "g.IMAGE"}),
        "step": ("Plus", {"a": "begin.value0"}), "body": ("Lighter", {"image": "begin.value1", "other": "light.IMAGE"}),
        "less": ("Less", {"a": "step.INT", "b": "limit.INT"}),
        "end": ("End", {"flow": "begin.flow", "more": "less.BOOLEAN", "value0": "step.INT", "value1": "body.IMAGE"}),
        "m": ("Mean", {"image": "end.value1"}), "s": ("Show", {"value": "m.FLOAT"}), "n": ("Show", {"value": "end.value0"}),
    }  # fmt: skip


def test_a_loop_rebuilds_its_body_from_the_workflow_around_it(here: World) -> None:
    here.pack("loops.py", WHILE)
    here.load()

    assert here.shown(loop(3)) == {"s": b"0.75", "n": b"3"}
    assert here.shown(loop(1)) == {"s": b"0.25", "n": b"1"}


def test_a_loop_that_ran_once_comes_from_the_cache(here: World) -> None:
    here.pack("loops.py", WHILE)
    here.load()
    here.shown(loop(3))

    assert [e.node for e in here.run(loop(3)) if isinstance(e, NodeStarted)] == []


GROWING = """
    class Reach:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"to": ("STRING", {})}, "optional": {"after": ("INT", {"forceInput": True})}}
        def go(self, to, after=0):
            return {"result": (["sum", 0],), "expand": {"sum": {"class_type": "Add", "inputs": {"a": [to, 0], "b": 1}}}}

    class Through:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"raw": ("INT", {"rawLink": True})}}
        def go(self, raw): return {"result": (raw,), "expand": {"x": {"class_type": "One", "inputs": {}}}}

    class Blocks:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {}
        def go(self):
            from comfy_execution.graph import ExecutionBlocker
            return (ExecutionBlocker(None),)

    class Many:
        RETURN_TYPES, FUNCTION, OUTPUT_IS_LIST = ("INT",), "go", (True,)
        @classmethod
        def INPUT_TYPES(cls): return {}
        def go(self): return ([1, 2],)

    class Nested:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"to": ("STRING", {})}}
        def go(self, to): return {"result": (["r", 0],), "expand": {"r": {"class_type": "Reach", "inputs": {"to": to}}}}

    NODE_CLASS_MAPPINGS = {"Reach": Reach, "Through": Through, "Blocks": Blocks, "Many": Many, "Nested": Nested}
"""


def test_grown_nodes_reach_nodes_of_the_workflow_that_run_for_them(here: World) -> None:
    here.pack("grow.py", GROWING)
    here.load()
    far = {"one": ("One", {}), "x": ("Add", {"a": "one.INT", "b": 5}), "y": ("Show", {"value": "x.INT"})}

    assert here.shown({**far, "r": ("Reach", {"to": "x"}), "s": ("Show", {"value": "r.INT"})})["s"] == b"7"
    assert here.shown({**far, "r": ("Nested", {"to": "x"}), "s": ("Show", {"value": "r.INT"})})["s"] == b"7"
    assert here.shown(
        {"one": ("One", {}), "t": ("Through", {"raw": "one.INT"}), "s": ("Show", {"value": "t.INT"})}
    ) == {"s": b"1"}


def test_a_raw_input_that_is_not_linked_gives_its_value(here: World) -> None:
    here.pack("raw.py", """
        class Raw:
            RETURN_TYPES, FUNCTION = ("STRING",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {"rawLink": True})}}
            def go(self, n): return (repr(n),)
        NODE_CLASS_MAPPINGS = {"Raw": Raw}
    """)  # fmt: skip
    here.load()

    assert here.shown({"one": ("One", {}), "r": ("Raw", {"n": "one.INT"}), "s": ("Show", {"value": "r.STRING"})}) == {
        "s": b"['one', 0]"
    }


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        ({"r": ("Reach", {"to": "nowhere"})}, "linked to node 'nowhere', which neither grew nor is in the workflow"),
        ({"r": ("Reach", {"to": "r"})}, "linked to node 'r', which waits for it: a circle"),
        ({"r": ("Reach", {"to": "s"})}, "linked to node 's', which waits for it: a circle"),
        ({"r": ("Nested", {"to": "s"})}, "linked to node 's', which waits for it: a circle"),
        ({"m": ("Many", {}), "z": ("Show", {"value": "m.INT"}), "r": ("Reach", {"to": "m"})}, "node 'm' gives 2 values; a grown node takes one"),
    ],
)  # fmt: skip
def test_links_that_lead_nowhere_or_in_a_circle_are_told(here: World, nodes: dict[str, Any], wanted: str) -> None:
    here.pack("grow.py", GROWING)
    here.load()

    assert wanted in failed(here.run({**nodes, "s": ("Show", {"value": "r.INT"})}))


def test_what_grew_on_something_blocked_is_blocked(here: World) -> None:
    here.pack("grow.py", GROWING)
    here.load()
    nodes = {
        "b": ("Blocks", {}),
        "z": ("Show", {"value": "b.INT"}),
        "r": ("Reach", {"to": "b"}),
        "s": ("Show", {"value": "r.INT"}),
    }

    assert here.shown(nodes) == {}

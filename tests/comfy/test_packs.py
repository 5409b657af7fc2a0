"""Packs in ComfyUI's styles are loaded from a folder, and their nodes run in our engine like any other."""

from __future__ import annotations

import io
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow.cache import Cache
from graphflow.comfy.object_info import node_info
from graphflow.comfy.packs import load
from graphflow.comfy.packs.exchange import ExecutionBlocker, Opaque, inward, outward
from graphflow.comfy.packs.graphs import GraphBuilder, add_graph_prefix
from graphflow.comfy.signatures import Signatures
from graphflow.engine import Engine
from graphflow.events import JobFailed, Made, NodeProgress, NodeSkipped
from graphflow.files import Finder
from graphflow.node import Blocked, Node, node, node_of
from graphflow.plan import compile
from graphflow.registry import Registry
from graphflow.values import Area, Audio, Cond, Conditioning, Image, Latent, Mask, Sigmas
from tests.toys import SHELF, TOYS, workflow


@node("Grey", category="toys")
def grey(level: float = 0.5, size: int = 2) -> Image:
    return Image(torch.full((1, size, size, 3), level))


@node("Mean", category="toys")
def mean(image: Image) -> float:
    return round(float(image.data.mean()), 4)


class World:
    """A folder of packs, and an engine that has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pack(self, name: str, source: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))

    def load(self) -> tuple[dict[str, Node], list[Any]]:
        nodes, broken, _ = load(self.folder)
        self.broken = broken
        self.take(nodes, broken, SHELF)
        return {n.definition.type: n for n in nodes}, broken

    def take(self, nodes: list[Node], broken: list[Any], finder: Finder) -> None:
        """Makes an engine that has the nodes, and finds files there."""
        registry = Registry({n.definition.type: n for n in [*TOYS, node_of(grey), node_of(mean)]})
        self.finder = finder
        self.engine = Engine(registry.with_nodes(nodes, broken), Cache(10**7), finder)

    def run(self, nodes: dict[str, Any], job: str = "j") -> list[Any]:
        events: list[Any] = []
        self.engine.run(compile(workflow(nodes), self.engine.shop.definitions, self.finder, job=job), events.append)
        return events

    def shown(self, nodes: dict[str, Any]) -> dict[str, bytes]:
        events = self.run(nodes)
        failed = [e.error.message for e in events if isinstance(e, JobFailed)]
        assert failed == []
        return {e.node: e.data for e in events if isinstance(e, Made)}


@pytest.fixture
def here(tmp_path: Path) -> World:
    return World(tmp_path / "custom_nodes")


CLASSIC = """
    import numpy as np, torch
    from comfy.utils import ProgressBar

    class Brighten:
        CATEGORY = "tests"
        DESCRIPTION = "Adds light."
        RETURN_TYPES = ("IMAGE", "INT")
        RETURN_NAMES = ("image", "count")
        FUNCTION = "go"

        def __init__(self):
            self.count = 0

        @classmethod
        def INPUT_TYPES(cls):
            return {
                "required": {
                    "image": ("IMAGE",),
                    "amount": ("FLOAT", {"default": 0.25, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": "How much."}),
                    "mode": (["add", "set"], {"default": "add"}),
                    "seed": ("INT", {"default": 0, "min": 0, "max": 0xffffffffffffffff}),
                },
                "optional": {"note": ("STRING", {"multiline": True})},
                "hidden": {"id": "UNIQUE_ID", "prompt": "PROMPT"},
            }

        def go(self, image, amount, mode, seed, note="", id=None, prompt=None):
            self.count += 1
            assert prompt[id]["class_type"] == "Brighten"
            bar = ProgressBar(2)
            bar.update(1)
            bar.update(1)
            return (image + amount if mode == "add" else torch.full_like(image, amount), self.count)

    NODE_CLASS_MAPPINGS = {"Brighten": Brighten}
    NODE_DISPLAY_NAME_MAPPINGS = {"Brighten": "Brighten it"}
"""


def test_a_class_becomes_a_node_that_runs_with_progress(here: World) -> None:
    here.pack("bright.py", CLASSIC)
    nodes, broken = here.load()
    assert broken == []
    definition = nodes["Brighten"].definition
    assert (definition.title, definition.category, definition.pack) == ("Brighten it", "tests", "bright")

    events = here.run({
        "g": ("Grey", {}), "b": ("Brighten", {"image": "g.IMAGE"}), "m": ("Mean", {"image": "b.image"}),
        "s": ("Show", {"value": "m.FLOAT"}), "t": ("Show", {"value": "b.count"}),
    })  # fmt: skip
    assert {e.node: e.data for e in events if isinstance(e, Made)} == {"s": b"0.75", "t": b"1"}
    assert [(e.node, e.value, e.total) for e in events if isinstance(e, NodeProgress)] == [("b", 1, 2), ("b", 2, 2)]


def test_a_class_s_inputs_become_ports_and_come_back_as_object_info(here: World) -> None:
    here.pack("bright.py", CLASSIC)
    nodes, _ = here.load()
    definition = nodes["Brighten"].definition

    assert [(p.name, p.type, p.required) for p in definition.inputs] == [
        ("image", "IMAGE", True), ("amount", "FLOAT", True), ("mode", "COMBO", True),
        ("seed", "INT", True), ("note", "STRING", False),
    ]  # fmt: skip
    sections = node_info(definition, Signatures({"Brighten": definition}), SHELF.names)["input"]
    assert sections["required"] == {
        "image": ["IMAGE", {}],
        "amount": ["FLOAT", {"tooltip": "How much.", "default": 0.25, "min": 0.0, "max": 1.0, "step": 0.01}],
        "mode": [["add", "set"], {"default": "add"}],
        "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
    }
    assert list(sections["optional"]) == ["note"]


def test_usual_modules_are_there_only_while_packs_load_and_run(here: World) -> None:
    here.pack("one/__init__.py", """
        import folder_paths, nodes, comfy.model_management as mm
        from comfy_execution.graph_utils import GraphBuilder
        from comfy.comfy_types import IO, ComfyNodeABC
        from server import PromptServer
        from .two import VALUE

        @PromptServer.instance.routes.get("/x")
        async def route(request): ...

        class Late(ComfyNodeABC):
            RETURN_TYPES, FUNCTION = (IO.STRING,), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"size": ("INT", {"max": nodes.MAX_RESOLUTION})}}
            def go(self, size):
                import folder_paths
                return (f"{VALUE} {folder_paths.base_path.endswith('nodes') is False} {mm.intermediate_device()}",)

        NODE_CLASS_MAPPINGS = {"Late": Late}
    """)  # fmt: skip
    here.pack("one/two.py", "VALUE = 'two'")
    _, broken = here.load()

    assert broken == []
    assert here.shown({"a": ("Late", {"size": 3}), "s": ("Show", {"value": "a.STRING"})}) == {"s": b"two True cpu"}
    assert not {"folder_paths", "nodes", "comfy", "comfy.utils", "server"} & set(sys.modules)


def test_a_pack_that_does_not_load_is_reported_and_the_others_serve(here: World) -> None:
    here.pack("missing.py", "import some_module_that_nobody_has")
    here.pack("leaves.py", "import sys; sys.exit(3)")
    here.pack("empty.py", "X = 1")
    here.pack("half.py", """
        class Bad: pass
        class Good:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {}
            def go(self): return (7,)
        NODE_CLASS_MAPPINGS = {"Bad": Bad, "Good": Good}
    """)  # fmt: skip
    here.pack("off.disabled", "1/0")
    nodes, broken = here.load()

    assert list(nodes) == ["Good"]
    assert [one.pack for one in broken] == ["empty.py", "half.py", "leaves.py", "missing.py"]
    assert "some_module_that_nobody_has" in broken[3].reason
    assert here.shown({"a": ("Good", {}), "s": ("Show", {"value": "a.INT"})}) == {"s": b"7"}


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    nodes, (broken,), _ = load(tmp_path / "none")
    assert (nodes, broken.reason) == ([], "there is no such folder")


def test_lists_are_taken_whole_or_mapped_and_given(here: World) -> None:
    here.pack("lists.py", """
        class Split:
            RETURN_TYPES, OUTPUT_IS_LIST, FUNCTION = ("INT",), (True,), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}}
            def go(self, n): return (list(range(n)),)
        class Double:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}}
            def go(self, n): return (2 * n,)
        class Join:
            RETURN_TYPES, INPUT_IS_LIST, FUNCTION = ("STRING",), True, "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {}), "between": ("STRING", {"default": "+"})}}
            def go(self, n, between): return (between[0].join(map(str, n)),)
        NODE_CLASS_MAPPINGS = {"Split": Split, "Double": Double, "Join": Join}
    """)  # fmt: skip
    here.load()
    nodes = {
        "a": ("Split", {"n": 4}),
        "b": ("Double", {"n": "a.INT"}),
        "c": ("Join", {"n": "b.INT"}),
        "s": ("Show", {"value": "c.STRING"}),
    }
    assert here.shown(nodes) == {"s": b"0+2+4+6"}


LAZY = """
    class Choose:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"first": ("BOOLEAN", {}), "a": ("INT", {"lazy": True, "forceInput": True}),
                                 "b": ("INT", {"lazy": True, "forceInput": True})}}
        def check_lazy_status(self, first, a, b):
            return [name for name, value in (("a", a), ("b", b)) if value is None and (name == "a") == first]
        def go(self, first, a, b):
            return (a if first else b,)
    class Bomb:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {}
        def go(self): raise RuntimeError("boom")
    class Guard:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}}
        def go(self, n):
            from comfy_execution.graph import ExecutionBlocker
            return (n if n > 0 else ExecutionBlocker("only what is above zero"),)
    NODE_CLASS_MAPPINGS = {"Choose": Choose, "Bomb": Bomb, "Guard": Guard}
"""


def test_a_lazy_branch_that_is_not_asked_for_does_not_run(here: World) -> None:
    here.pack("lazy.py", LAZY)
    here.load()
    nodes = {"one": ("One", {}), "bomb": ("Bomb", {}), "s": ("Show", {"value": "c.INT"}),
             "c": ("Choose", {"first": True, "a": "one.INT", "b": "bomb.INT"})}  # fmt: skip
    assert here.shown(nodes) == {"s": b"1"}
    failed = here.run({**nodes, "c": ("Choose", {"first": False, "a": "one.INT", "b": "bomb.INT"})})[-1]
    assert isinstance(failed, JobFailed)
    assert "boom" in failed.error.message


def test_a_blocked_value_skips_what_takes_it(here: World) -> None:
    here.pack("lazy.py", LAZY)
    here.load()
    events = here.run({"g": ("Guard", {"n": 0}), "s": ("Show", {"value": "g.INT"})})
    assert [(e.node, e.reason) for e in events if isinstance(e, NodeSkipped)] == [("s", "only what is above zero")]


def test_a_node_may_grow_and_loop(here: World) -> None:
    here.pack("grow.py", """
        from comfy_execution.graph_utils import GraphBuilder

        class Countdown:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {}), "total": ("INT", {"default": 0})}}
            def go(self, n, total):
                if n == 0:
                    return (total,)
                graph = GraphBuilder()
                more = graph.node("Add", a=total, b=n)
                rest = graph.node("Countdown", n=n - 1, total=more.out(0))
                return {"result": (rest.out(0),), "expand": graph.finalize()}

        class Twice:
            RETURN_TYPES, FUNCTION = ("IMAGE",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"image": ("IMAGE",)}}
            def go(self, image):
                graph = GraphBuilder("x.")
                blurred = graph.node("Lighter", image=image)
                return {"result": (graph.node("Lighter", image=blurred.out(0)).out(0),), "expand": graph.finalize()}

        class Lighter:
            RETURN_TYPES, FUNCTION = ("IMAGE",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"image": ("IMAGE",)}}
            def go(self, image): return (image + 0.125,)

        NODE_CLASS_MAPPINGS = {"Countdown": Countdown, "Twice": Twice, "Lighter": Lighter}
    """)  # fmt: skip
    here.load()
    assert here.shown({"c": ("Countdown", {"n": 4}), "s": ("Show", {"value": "c.INT"})}) == {"s": b"10"}
    nodes = {"g": ("Grey", {}), "t": ("Twice", {"image": "g.IMAGE"}), "m": ("Mean", {"image": "t.IMAGE"}),
             "s": ("Show", {"value": "m.FLOAT"})}  # fmt: skip
    assert here.shown(nodes) == {"s": b"0.75"}


def test_files_that_an_output_node_writes_become_artifacts(here: World) -> None:
    here.pack("save.py", """
        import os, nodes, folder_paths
        from PIL import Image

        class Keep:
            RETURN_TYPES, OUTPUT_NODE, FUNCTION = ("INT",), True, "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"prefix": ("STRING", {"default": "mine"})}}
            def go(self, prefix):
                folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
                    prefix, folder_paths.get_output_directory(), 4, 4)
                file = f"{name}_{counter:05}_.png"
                Image.new("RGB", (4, 2)).save(os.path.join(folder, file))
                return {"ui": {"images": [{"filename": file, "subfolder": subfolder, "type": "output"},
                                          {"filename": "../../etc/passwd", "subfolder": "", "type": "output"}],
                               "text": ["done"]}, "result": (5,)}

        class Look(nodes.PreviewImage): pass

        NODE_CLASS_MAPPINGS = {"Keep": Keep, "Look": Look}
    """)  # fmt: skip
    here.load()
    events = here.run({"k": ("Keep", {"prefix": "sub/mine"}), "s": ("Show", {"value": "k.INT"}),
                       "g": ("Grey", {}), "l": ("Look", {"images": "g.IMAGE"})})  # fmt: skip
    made = [(e.node, e.media_type, e.name, e.details) for e in events if isinstance(e, Made) and e.node != "s"]

    assert sorted(made, key=str) == [
        ("k", "image/png", "sub/mine", {"width": 4, "height": 2}),
        ("k", "text/plain", "Keep", {"temporary": True}),
        ("l", "image/png", "ComfyUI", {"temporary": True, "width": 2, "height": 2}),
    ]
    assert [e.data for e in events if isinstance(e, Made) and e.node == "s"] == [b"5"]


def test_a_class_s_own_checks_are_asked(here: World) -> None:
    here.pack("checks.py", """
        class Checked:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            version, runs = 1, 0
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}}
            @classmethod
            def VALIDATE_INPUTS(cls, n): return True if n < 10 else f"{n} is too much"
            @classmethod
            def IS_CHANGED(cls, **inputs): return cls.version
            def go(self, n):
                Checked.runs += 1
                return (Checked.runs,)
        class Always(Checked):
            @classmethod
            def IS_CHANGED(cls, **inputs): return float("nan")
        NODE_CLASS_MAPPINGS = {"Checked": Checked, "Always": Always}
    """)  # fmt: skip
    here.load()
    graph = {"c": ("Checked", {"n": 1}), "s": ("Show", {"value": "c.INT"})}
    assert here.shown(graph) == {"s": b"1"}
    assert here.shown(graph) == {"s": b"1"}
    always = {"c": ("Always", {"n": 1}), "s": ("Show", {"value": "c.INT"})}
    assert here.shown(always) == {"s": b"2"}
    assert here.shown(always) == {"s": b"3"}
    failed = here.run({"c": ("Checked", {"n": 11}), "s": ("Show", {"value": "c.INT"})})[-1]
    assert isinstance(failed, JobFailed)
    assert failed.error.message == "11 is too much"


SCHEMA = """
    from comfy_api.latest import ComfyExtension, io, ui

    class Invert(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="InvertV3", display_name="Invert (V3)", category="tests",
                inputs=[io.Image.Input("image"), io.Combo.Input("how", options=["all", "none"]),
                        io.Int.Input("times", default=1, min=1, max=3, optional=True),
                        io.MultiType.Input("extra", types=[io.Mask, io.Float], optional=True)],
                outputs=[io.Image.Output(), io.String.Output("about", display_name="about")],
            )

        @classmethod
        async def execute(cls, image, how, times=1, extra=None):
            return io.NodeOutput(1 - image if how == "all" else image, f"{cls.hidden.unique_id} x{times}")

    class Tell(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="TellV3", inputs=[io.String.Input("text")], outputs=[], is_output_node=True)
        @classmethod
        def execute(cls, text): return io.NodeOutput(ui=ui.PreviewText(text))
        @classmethod
        def validate_inputs(cls, text): return True if text else "say something"

    class Extension(ComfyExtension):
        async def get_node_list(self): return [Invert, Tell]

    async def comfy_entrypoint(): return Extension()
"""


def test_schema_nodes_run_too(here: World) -> None:
    here.pack("v3.py", SCHEMA)
    nodes, broken = here.load()
    assert broken == []
    assert [(p.name, p.type, p.required) for p in nodes["InvertV3"].definition.inputs] == [
        ("image", "IMAGE", True), ("how", "COMBO", True), ("times", "INT", False), ("extra", "MASK|FLOAT", False)
    ]  # fmt: skip
    shown = here.shown({
        "g": ("Grey", {"level": 0.25}), "i": ("InvertV3", {"image": "g.IMAGE", "how": "all"}),
        "m": ("Mean", {"image": "i.IMAGE"}), "s": ("Show", {"value": "m.FLOAT"}), "t": ("TellV3", {"text": "hello"}),
        "a": ("Show", {"value": "i.about"}),
    })  # fmt: skip
    assert shown == {"s": b"0.75", "t": b"hello", "a": b"i x1"}
    failed = here.run({"t": ("TellV3", {"text": ""})})[-1]
    assert isinstance(failed, JobFailed)
    assert failed.error.message == "say something"


def test_things_that_only_the_pack_knows_travel_as_they_are(here: World) -> None:
    here.pack("own.py", """
        class Thing:
            def __init__(self, n): self.n = n
        class Make:
            RETURN_TYPES, FUNCTION = ("MY_THING",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}}
            def go(self, n): return (Thing(n),)
        class Unpack:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"thing": ("MY_THING",)}}
            def go(self, thing): return (thing.n,)
        NODE_CLASS_MAPPINGS = {"Make": Make, "Unpack": Unpack}
    """)  # fmt: skip
    here.load()
    nodes = {"m": ("Make", {"n": 5}), "o": ("Unpack", {"thing": "m.MY_THING"}), "s": ("Show", {"value": "o.INT"})}
    assert here.shown(nodes) == {"s": b"5"}


ASYNC = """
    import asyncio, threading
    from comfy.utils import ProgressBar
    meeting, left, ended = asyncio.Event(), [2], threading.Event()

    class Ask:
        RETURN_TYPES, FUNCTION = ("STRING",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"text": ("STRING", {})}}
        async def go(self, text):
            import folder_paths
            left[0] -= 1
            if left[0] == 0: meeting.set()
            ProgressBar(2).update(1)
            await asyncio.wait_for(meeting.wait(), 20)
            if text == "no": raise ValueError("refused")
            return (text.upper(),)

    class Wait:
        RETURN_TYPES, FUNCTION = ("STRING",), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {}}
        async def go(self):
            left[0] -= 1
            if left[0] == 0: meeting.set()
            try: await asyncio.Event().wait()
            finally: ended.set()

    NODE_CLASS_MAPPINGS = {"Ask": Ask, "Wait": Wait}
"""


def test_async_nodes_of_one_job_go_on_at_once(here: World) -> None:
    here.pack("asking.py", ASYNC)
    here.load()
    events = here.run({
        "a": ("Ask", {"text": "one"}), "b": ("Ask", {"text": "two"}),
        "s": ("Show", {"value": "a.STRING"}), "t": ("Show", {"value": "b.STRING"}),
    })  # fmt: skip
    assert {e.node: e.data for e in events if isinstance(e, Made)} == {"s": b"ONE", "t": b"TWO"}
    assert {(e.node, e.value, e.total) for e in events if isinstance(e, NodeProgress)} == {("a", 1, 2), ("b", 1, 2)}


def test_pictures_that_an_output_node_sends_go_to_its_client_and_are_not_kept(here: World) -> None:
    here.pack("sending.py", """
        import PIL.Image
        from server import PromptServer, BinaryEventTypes
        class Send:
            RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "go", True
            @classmethod
            def INPUT_TYPES(cls): return {"required": {}}
            def go(self):
                for size in (2, 3):
                    picture = PIL.Image.new("RGBA", (size, 1), "red")
                    kind = BinaryEventTypes.UNENCODED_PREVIEW_IMAGE
                    PromptServer.instance.send_sync(kind, ["JPEG" if size == 3 else "PNG", picture, None])
                return {"ui": {"images": [{"source": "websocket"}]}}
        NODE_CLASS_MAPPINGS = {"Send": Send}
    """)  # fmt: skip
    here.load()
    made = [event for event in here.run({"n": ("Send", {})}) if isinstance(event, Made)]
    assert [(one.media_type, one.details["socket"], one.details["width"]) for one in made] == [
        ("image/png", True, 2), ("image/jpeg", True, 3),
    ]  # fmt: skip
    assert [PIL.Image.open(io.BytesIO(one.data)).size for one in made] == [(2, 1), (3, 1)]


def test_an_async_node_that_fails_ends_the_others(here: World) -> None:
    here.pack("asking.py", ASYNC)
    nodes, _ = here.load()
    failed = here.run({
        "w": ("Wait", {}), "a": ("Ask", {"text": "no"}),
        "s": ("Show", {"value": "w.STRING"}), "t": ("Show", {"value": "a.STRING"}),
    })[-1]  # fmt: skip
    assert isinstance(failed, JobFailed)
    assert [(p.node, p.message) for p in failed.error.problems] == [("a", "refused")]
    assert sys.modules[nodes["Ask"].function.cls.__module__].ended.wait(20)


def test_a_node_that_wants_to_end_the_process_only_fails(here: World) -> None:
    here.pack("leaving.py", """
        import sys
        class Leave:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {}}
            def go(self): sys.exit(3)
        NODE_CLASS_MAPPINGS = {"Leave": Leave}
    """)  # fmt: skip
    here.load()
    failed = here.run({"x": ("Leave", {}), "s": ("Show", {"value": "x.INT"})})[-1]
    assert isinstance(failed, JobFailed)
    assert "SystemExit" in failed.error.message


def test_an_interrupted_node_stops_at_its_next_look(here: World) -> None:
    here.pack("slow.py", """
        import threading
        from comfy.utils import ProgressBar
        started, ended = threading.Event(), threading.Event()
        class Slow:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {}
            def go(self):
                bar = ProgressBar(10**9)
                started.set()
                try:
                    while True: bar.update(1)
                finally:
                    ended.set()
        NODE_CLASS_MAPPINGS = {"Slow": Slow}
    """)  # fmt: skip
    here.load()
    slow = sys.modules["graphflow_comfy_packs_slow"]
    plan = compile(
        workflow({"a": ("Slow", {}), "s": ("Show", {"value": "a.INT"})}), here.engine.shop.definitions, SHELF, job="j"
    )
    events: list[Any] = []

    def hear(event: Any) -> None:
        events.append(event)
        if isinstance(event, NodeProgress):
            here.engine.cancel("j")

    here.engine.run(plan, hear)
    assert events[-1].type == "job.cancelled"
    assert slow.ended.wait(5)


# --- values ----------------------------------------------------------------------------------------------------------


def test_values_survive_the_way_out_and_in() -> None:
    image, mask = Image(torch.rand(2, 3, 4, 3)), Mask(torch.rand(1, 3, 4))
    latent = Latent(torch.rand(1, 4, 2, 2), torch.ones(1, 1, 16, 16), (3,))
    audio, sigmas = Audio(torch.rand(1, 2, 10), 44100), Sigmas(torch.tensor([2.0, 0.0]))
    for value in (image, mask, latent, audio, sigmas):
        back = inward(outward(value), value.wire)
        assert type(back) is type(value)
        assert all(
            torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
            for a, b in zip(vars(value).values(), vars(back).values(), strict=True)
        )


def test_a_conditioning_keeps_what_its_dict_form_cannot_say() -> None:
    entry = Cond(
        torch.rand(1, 77, 8),
        pooled=torch.rand(1, 8),
        area=Area(8, 16, 0, 4),
        guidance=3.5,
        controls_uncond=True,
        extras={"width": 512},
    )
    [[context, about]] = outward(Conditioning((entry,)))
    about = {**about, "strength": 0.5, "mine": 1, "area": ("percentage", 0.5, 1.0, 0.0, 0.0)}
    back = inward([[context * 0, about]], "CONDITIONING").entries[0]

    assert torch.equal(back.context, torch.zeros(1, 77, 8))
    assert (back.strength, back.guidance, back.controls_uncond) == (0.5, 3.5, True)
    assert back.area == Area(0.5, 1.0, 0.0, 0.0, relative=True)
    assert back.extras == {"width": 512, "mine": 1}


def test_untyped_things_are_taken_for_what_they_look_like() -> None:
    assert isinstance(inward(torch.rand(1, 2, 2, 3), "*"), Image)
    assert isinstance(inward(torch.rand(2, 2), "*"), Mask)
    assert inward(torch.rand(2, 2), "MASK").data.shape == (1, 2, 2)
    assert isinstance(inward({"samples": torch.rand(1, 4, 2, 2)}, "*"), Latent)
    assert isinstance(inward(np.zeros(3), "ARRAY"), Opaque)
    assert inward(ExecutionBlocker("why"), "IMAGE") == Blocked("why")
    assert inward(True, "BOOLEAN") is True


def test_graphs_are_built_changed_and_prefixed() -> None:
    graph = GraphBuilder("p.")
    first = graph.node("A", x=1)
    second = graph.node("B", id="b", a=first.out(1), y=None)
    graph.replace_node_output("1", 1, [second.id, 0])
    second.set_input("y", 4)

    assert graph.finalize() == {
        "p.1": {"class_type": "A", "inputs": {"x": 1}},
        "p.b": {"class_type": "B", "inputs": {"a": ["p.b", 0], "y": 4}},
    }
    assert graph.lookup_node("b") is second
    copied, outputs = add_graph_prefix(graph.finalize(), [["p.b", 0], 3], "q.")
    assert (sorted(copied), outputs) == (["q.p.1", "q.p.b"], (["q.p.b", 0], 3))
    assert copied["q.p.b"]["inputs"]["a"] == ["q.p.b", 0]


def test_the_hidden_prompt_is_plain_json(here: World) -> None:
    here.pack("say.py", """
        import json
        class Say:
            RETURN_TYPES, FUNCTION = ("STRING",), "go"
            @classmethod
            def INPUT_TYPES(cls): return {"required": {"n": ("INT", {})}, "hidden": {"prompt": "PROMPT", "png": "EXTRA_PNGINFO"}}
            def go(self, n, prompt, png): return (json.dumps([prompt, png]),)
        NODE_CLASS_MAPPINGS = {"Say": Say}
    """)  # fmt: skip
    here.load()
    shown = here.shown({"one": ("One", {}), "a": ("Say", {"n": "one.INT"}), "s": ("Show", {"value": "a.STRING"})})
    prompt, png = json.loads(shown["s"])
    assert (prompt["a"], png) == ({"class_type": "Say", "inputs": {"n": ["one", 0]}}, None)

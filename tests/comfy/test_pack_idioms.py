"""Idioms of small packs as they are found in the wild, each in a pack written for the purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from graphflow.comfy.object_info import node_info
from graphflow.comfy.packs import load
from graphflow.comfy.signatures import Signatures
from graphflow.comfy.validation import validate
from graphflow.errors import InvalidWorkflow
from graphflow.events import JobFailed, NodeProgress, NodeSaid
from graphflow.files import ModelFiles
from graphflow.plan import compile
from tests.comfy.test_packs import World
from tests.fakes import png
from tests.toys import workflow


class Home(World):
    """Packs in a folder, with models and uploads in others."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "custom_nodes")
        self.models = folder / "models"
        self.input = folder / "input"
        self.input.mkdir()
        self.shelf = ModelFiles([self.models], extra={"input": [self.input]})

    def loaded(self) -> list[str]:
        """Loads the packs; the reasons why some were left out."""
        nodes, broken, self.desks = load(self.folder, self.shelf)
        self.nodes = {node.definition.type: node for node in nodes}
        self.take(nodes, broken, self.shelf)
        return [f"{one.pack}: {one.reason}" for one in broken]

    def problems(self, nodes: dict[str, Any]) -> list[tuple[str | None, str | None, str]]:
        """What planning, and then the nodes themselves, object to."""
        try:
            plan = compile(workflow(nodes), self.engine.shop.definitions, self.shelf)
        except InvalidWorkflow as error:
            return [(one.node, one.input, one.code) for one in error.problems]
        return [(one.node, one.input, one.message) for one in self.engine.check(plan)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


# --- inputs of any name, and of any type -----------------------------------------------------------------------------

FLEXIBLE = """
    class AnyType(str):
        def __ne__(self, other): return False
    any = AnyType("*")

    class FlexibleOptionalInputType(dict):
        def __init__(self, type): self.type = type
        def __getitem__(self, key): return (self.type,)
        def __contains__(self, key): return True

    class ContainsAnyDict(dict):
        def __contains__(self, key): return True

    class Join:
        RETURN_TYPES, FUNCTION, CATEGORY = ("STRING",), "join", "text"
        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"between": ("STRING", {"default": ", "})}, "optional": FlexibleOptionalInputType(any),
                    "hidden": {"unique_id": "UNIQUE_ID"}}
        def join(self, between, unique_id=None, **kwargs):
            return (between.join(f"{key}={kwargs[key]}" for key in sorted(kwargs)),)

    class Bare(Join):
        @classmethod
        def INPUT_TYPES(cls): return {"required": {}, "optional": ContainsAnyDict()}
        def join(self, **kwargs): return super().join(" ", **kwargs)

    class LinksOnly(Join):
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"between": ("STRING", {})}}

    class Whole(Join):
        INPUT_IS_LIST = True
        @classmethod
        def INPUT_TYPES(cls): return {"required": {}, "optional": FlexibleOptionalInputType("*")}
        def join(self, **kwargs): return (str({key: sum(value) for key, value in kwargs.items()}),)

    class Fits:
        RETURN_TYPES, FUNCTION = (any,), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {"x": (AnyType("IMAGE"),)}}
        def go(self, x): return (x,)

    class Many:
        RETURN_TYPES, OUTPUT_IS_LIST, FUNCTION = ("INT",), (True,), "go"
        @classmethod
        def INPUT_TYPES(cls): return {"required": {}}
        def go(self): return ([1, 2, 3],)

    NODE_CLASS_MAPPINGS = {"Join": Join, "Bare": Bare, "LinksOnly": LinksOnly, "Whole": Whole, "Fits": Fits, "Many": Many}
"""


@pytest.mark.parametrize(
    ("type", "inputs", "expected"),
    [
        ("Join", {"between": "-", "a_1": "one.INT", "zz": "text", "list": [1, 2]}, "a_1=1-list=[1, 2]-zz=text"),
        ("Bare", {"x": "one.INT", "y": 2.5}, "x=1 y=2.5"),
        ("LinksOnly", {"between": "-", "a": "one.INT", "upload": "image"}, "a=1"),
        ("Whole", {"n": "many.INT"}, "{'n': 6}"),
    ],
)
def test_inputs_of_any_name_are_handed_on(home: Home, type: str, inputs: dict[str, Any], expected: str) -> None:
    home.pack("flexible.py", FLEXIBLE)
    assert home.loaded() == []
    nodes = {"one": ("One", {}), "many": ("Many", {}), "j": (type, inputs), "s": ("Show", {"value": "j.STRING"})}
    assert home.shown(nodes) == {"s": expected.encode()}


def test_a_text_that_differs_from_none_is_any_type(home: Home) -> None:
    home.pack("flexible.py", FLEXIBLE)
    home.loaded()
    assert home.shown({"o": ("One", {}), "f": ("Fits", {"x": "o.INT"}), "s": ("Show", {"value": "f.*"})}) == {"s": b"1"}


def test_links_of_any_name_pass_comfyui_s_checks_too(home: Home) -> None:
    home.pack("flexible.py", FLEXIBLE)
    home.loaded()
    prompt = {
        "1": {"class_type": "One", "inputs": {}},
        "2": {"class_type": "Join", "inputs": {"between": "-", "any_01": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    signatures = Signatures(home.engine.shop.definitions)
    assert validate(prompt, signatures, lambda _: ()).outputs == ("3",)
    prompt["2"]["inputs"]["any_01"] = ["9", 0]
    assert validate(prompt, signatures, lambda _: ()).outputs == ()


# --- files -----------------------------------------------------------------------------------------------------------

LOADERS = """
    import hashlib, json, os
    import folder_paths
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    class Load:
        @classmethod
        def INPUT_TYPES(s):
            input_dir = folder_paths.get_input_directory()
            files = [f for f in os.listdir(input_dir) if os.path.isfile(os.path.join(input_dir, f))]
            return {"required": {"image": (sorted(files), {"image_upload": True})}}
        CATEGORY, RETURN_TYPES, FUNCTION = "image", ("STRING",), "load_image"
        def load_image(self, image):
            path = folder_paths.get_annotated_filepath(image)
            return (f"{image} {Image.open(path).size}",)
        @classmethod
        def IS_CHANGED(s, image):
            with open(folder_paths.get_annotated_filepath(image), "rb") as f:
                return hashlib.sha256(f.read()).hexdigest()
        @classmethod
        def VALIDATE_INPUTS(s, image):
            if not folder_paths.exists_annotated_filepath(image):
                return "Invalid image file: {}".format(image)
            return True

    class Weights:
        RETURN_TYPES, FUNCTION = ("STRING",), "go"
        @classmethod
        def INPUT_TYPES(s): return {"required": {"name": (["None"] + folder_paths.get_filename_list("loras"),)}}
        def go(self, name):
            import comfy.utils
            if name == "None":
                return ("none",)
            path = folder_paths.get_full_path("loras", name)
            state = comfy.utils.load_torch_file(path, safe_load=True)
            assert set(json.loads(comfy.utils.safetensors_header(path))) - {"__metadata__"} == set(state)
            assert comfy.utils.safetensors_header(path, max_size=1) is None
            return (f"{name} {sorted(state)}",)

    folder_paths.add_model_folder_path("faces", os.path.join(os.path.dirname(__file__), "faces"))
    folder_paths.folder_names_and_paths["yolo"] = ([os.path.join(folder_paths.models_dir, "yolo")], {".onnx"})

    class Faces:
        RETURN_TYPES, FUNCTION = ("STRING",), "go"
        @classmethod
        def INPUT_TYPES(s): return {"required": {"name": (folder_paths.get_filename_list("faces"),),
                                                 "yolo": (folder_paths.get_filename_list("yolo"),)}}
        def go(self, name, yolo):
            return (f"{open(folder_paths.get_full_path_or_raise('faces', name)).read()} {yolo}",)

    import nodes
    class Better(nodes.LoadImage):
        FUNCTION = "better"
        def better(self, image):
            picture, mask = self.load_image(image)
            return (picture, mask)

    NODE_CLASS_MAPPINGS = {"Load": Load, "Weights": Weights, "Faces": Faces, "Better": Better}
"""


def test_uploads_are_offered_found_and_checked_as_they_come(home: Home) -> None:
    home.pack("loaders.py", LOADERS)
    assert home.loaded() == []
    info = node_info(home.nodes["Load"].definition, Signatures(home.engine.shop.definitions), lambda _: ["later.png"])
    assert info["input"]["required"]["image"] == [["later.png"], {"image_upload": True}]

    (home.input / "later.png").write_bytes(png())  # after the pack was loaded
    nodes = {"l": ("Load", {"image": "later.png"}), "s": ("Show", {"value": "l.STRING"})}
    assert home.problems(nodes) == []
    assert home.shown(nodes) == {"s": b"later.png (4, 4)"}
    (home.input / "later.png").write_bytes(png(size=(8, 8)))
    assert home.shown(nodes) == {"s": b"later.png (8, 8)"}
    missing = {**nodes, "l": ("Load", {"image": "none.png"})}
    assert home.problems(missing) == [("l", "image", "missing_file")]


def test_a_class_that_derives_from_the_loader_of_pictures_reads_them(home: Home) -> None:
    home.pack("loaders.py", LOADERS)
    home.loaded()
    (home.input / "red.png").write_bytes(png("red"))
    nodes = {
        "l": ("Better", {"image": "red.png"}),
        "m": ("Mean", {"image": "l.IMAGE"}),
        "s": ("Show", {"value": "m.FLOAT"}),
    }
    assert home.shown(nodes) == {"s": b"0.3333"}


def test_models_are_those_of_the_server_as_they_come(home: Home) -> None:
    home.pack("loaders.py", LOADERS)
    home.loaded()
    field = next(port for port in home.nodes["Weights"].definition.inputs if port.name == "name").field
    assert field == {"type": "string", "folder": "loras", "extra": ["None"], "default": "None"}

    (home.models / "loras" / "sub").mkdir(parents=True)
    save_file({"a": torch.zeros(1)}, home.models / "loras" / "sub" / "new.safetensors")
    for name, expected in (("sub/new.safetensors", b"sub/new.safetensors ['a']"), ("None", b"none")):
        nodes = {"w": ("Weights", {"name": name}), "s": ("Show", {"value": "w.STRING"})}
        assert home.shown(nodes) == {"s": expected}
    (home.models / "loras" / "old.pt").write_bytes(b"pickle")
    failed = home.run({"w": ("Weights", {"name": "old.pt"}), "s": ("Show", {"value": "w.STRING"})})[-1]
    assert isinstance(failed, JobFailed)
    assert "is no safetensors file" in failed.error.message
    assert home.problems({"w": ("Weights", {"name": "../x"}), "s": ("Show", {"value": "w.STRING"})}) == [
        ("w", "name", "missing_file")
    ]


def test_a_pack_has_folders_of_its_own(home: Home) -> None:
    home.pack("faces/ann.safetensors", "Ann")
    (home.models / "yolo").mkdir(parents=True)
    (home.models / "yolo" / "v8.onnx").write_bytes(b"x")
    (home.models / "yolo" / "v8.txt").write_bytes(b"x")
    home.pack("loaders.py", LOADERS.replace("folder_paths.models_dir", repr(str(home.models))))
    home.loaded()
    assert home.nodes["Faces"].definition.inputs[1].field == {
        "enum": ["v8.onnx"],
        "default": "v8.onnx",
        "type": "string",
    }
    nodes = {"f": ("Faces", {"name": "ann.safetensors", "yolo": "v8.onnx"}), "s": ("Show", {"value": "f.STRING"})}
    assert home.shown(nodes) == {"s": b"Ann v8.onnx"}


# --- checks before anything is queued --------------------------------------------------------------------------------

CHECKS = """
    class Checked:
        RETURN_TYPES, FUNCTION = ("INT",), "go"
        @classmethod
        def INPUT_TYPES(s): return {"required": {"n": ("INT", {"default": 1, "min": 0, "max": 9}), "mode": (["a", "b"],)},
                                    "optional": {"m": ("INT", {"max": 9, "forceInput": True})}}
        @classmethod
        def VALIDATE_INPUTS(s, n, mode): return True if n != 13 else "n brings bad luck"
        def go(self, n, mode, m=0): return (n,)

    class Refuses(Checked):
        @classmethod
        def VALIDATE_INPUTS(s, **kwargs): return False

    class Typed(Checked):
        @classmethod
        def VALIDATE_INPUTS(s, input_types): return True if input_types.get("m") == "STRING" else f"{input_types}"

    class Breaks(Checked):
        @classmethod
        def VALIDATE_INPUTS(s, n): return 1 / 0

    class Whole(Checked):
        INPUT_IS_LIST = True
        @classmethod
        def VALIDATE_INPUTS(s, n): return n == [5] or f"{n}"
        def go(self, n, mode, m=(0,)): return (n[0],)

    NODE_CLASS_MAPPINGS = {"Checked": Checked, "Refuses": Refuses, "Typed": Typed, "Breaks": Breaks, "Whole": Whole}
"""


@pytest.mark.parametrize(
    ("type", "inputs", "expected"),
    [
        ("Checked", {"n": 5}, []),
        ("Checked", {"n": 99, "mode": "new"}, []),  # bounds and choices are its own affair
        ("Checked", {"n": 13}, [("c", "n", "n brings bad luck"), ("c", "mode", "n brings bad luck")]),
        ("Checked", {"n": "five"}, [("c", "n", "invalid_value")]),
        ("Checked", {"n": 5, "m": "t.STRING"}, [("c", "m", "wrong_type")]),
        ("Refuses", {"n": 5}, [("c", "n", "the node refuses it"), ("c", "mode", "the node refuses it")]),
        ("Typed", {"n": 5, "m": "t.STRING"}, []),
        ("Typed", {"n": 5, "m": "o.INT"}, [("c", None, "{'m': 'INT'}")]),
        ("Breaks", {"n": 5}, [("c", None, "its own check of its inputs failed: ZeroDivisionError: division by zero")]),
        ("Whole", {"n": 5}, []),
        ("Whole", {"n": 6}, [("c", "n", "[6]")]),
    ],
)
def test_a_class_s_own_check_is_asked_before_a_job_is_queued(
    home: Home, type: str, inputs: dict[str, Any], expected: list[Any]
) -> None:
    home.pack("checks.py", CHECKS)
    assert home.loaded() == []
    nodes = {"o": ("One", {}), "t": ("Prompt", {"text": "x"}), "c": (type, {"mode": "a", **inputs}),
             "s": ("Show", {"value": "c.INT"})}  # fmt: skip
    assert home.problems(nodes) == expected


def test_comfyui_s_own_checks_leave_to_the_class_what_it_judges(home: Home) -> None:
    home.pack("checks.py", CHECKS)
    home.loaded()
    signatures = Signatures(home.engine.shop.definitions)

    def told(type: str, **inputs: Any) -> list[str]:
        prompt = {"1": {"class_type": type, "inputs": {"n": 5, "mode": "a", **inputs}},
                  "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
                  "3": {"class_type": "Prompt", "inputs": {"text": "x"}}}  # fmt: skip
        errors = validate(prompt, signatures, lambda _: ()).node_errors
        return [error["type"] for entry in errors.values() for error in entry["errors"]]

    assert told("Checked", n=99, mode="new") == []
    assert told("Whole", n=99, mode="new") == ["value_not_in_list"]
    assert told("Checked", m=["3", 0]) == ["return_type_mismatch"]
    assert told("Typed", m=["3", 0]) == []


# --- how packs are put together --------------------------------------------------------------------------------------


def test_a_pack_of_several_files_starts_up_imports_and_registers(home: Home) -> None:
    home.pack("Big-Pack/prestartup_script.py", "import os; os.environ['BIG_PACK'] = 'ready'")
    home.pack("Big-Pack/__init__.py", """
        import os
        from .py import helper
        from .py.nodes_image import *
        from .py.nodes_image import NODE_CLASS_MAPPINGS
        from server import PromptServer
        from aiohttp import web
        import comfy.sd, comfy.model_base, latent_preview, execution

        @PromptServer.instance.routes.get("/big_pack/hello")
        async def hello(request): return web.json_response({})
        PromptServer.instance.app.add_routes([web.static("/big_pack", os.path.dirname(__file__))])
        PromptServer.instance.add_on_prompt_handler(lambda body: body)

        WEB_DIRECTORY = "./web"
        NODE_DISPLAY_NAME_MAPPINGS = {"Tell (big)": "Tell 🅱"}
        __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
    """)  # fmt: skip
    home.pack("Big-Pack/py/__init__.py", "")
    home.pack("Big-Pack/py/helper.py", "import os\nSTATE = os.environ['BIG_PACK']")
    home.pack("Big-Pack/py/nodes_image.py", """
        import torch
        import comfy.utils
        import comfy.model_management as mm
        from nodes import MAX_RESOLUTION
        from server import PromptServer
        from .helper import STATE

        class Tell:
            RETURN_TYPES, RETURN_NAMES, OUTPUT_NODE = ("STRING", "INT"), ("text", "count"), True
            OUTPUT_TOOLTIPS = ("What it says.", None)
            FUNCTION, CATEGORY, DESCRIPTION, DEPRECATED = "tell", "Big/Text", "Says it.", True
            @classmethod
            def INPUT_TYPES(s):
                return {"required": {"width": ("INT", {"default": 64, "min": 1, "max": MAX_RESOLUTION, "step": 8})}}
            def tell(self, width):
                from .helper import STATE
                bar = comfy.utils.ProgressBar(4)
                for i in range(4):
                    mm.throw_exception_if_processing_interrupted()
                    bar.update_absolute(i + 1, 4)
                PromptServer.instance.send_sync("big_pack", {"node": 1})
                PromptServer.instance.send_sync("big_pack", {"tensor": torch.ones(2)})
                PromptServer.instance.send_sync("big_pack", {"much": "x" * 2**20})
                PromptServer.instance.send_sync(1, b"a picture")
                PromptServer.instance.send_progress_text("nearly there", "1")
                device = mm.get_torch_device()
                x = comfy.utils.repeat_to_batch_size(torch.ones(2, 4, device=device), 5)
                return {"ui": {"text": [STATE]}, "result": (f"{STATE} {tuple(x.shape)}", width)}

        class Reaches:
            RETURN_TYPES, FUNCTION = ("INT",), "go"
            @classmethod
            def INPUT_TYPES(s): return {"required": {}}
            def go(self):
                import comfy.sd
                return (comfy.sd.load_checkpoint_guess_config("x"),)

        NODE_CLASS_MAPPINGS = {"Tell (big)": Tell, "Reaches": Reaches}
    """)  # fmt: skip
    assert home.loaded() == []
    definition = home.nodes["Tell (big)"].definition
    assert (definition.title, definition.pack, definition.deprecated) == ("Tell 🅱", "Big-Pack", True)
    info = node_info(definition, Signatures(home.engine.shop.definitions), lambda _: ())
    assert (info["output_name"][:2], info["python_module"]) == (["text", "count"], "custom_nodes.Big-Pack")

    events = home.run(
        {"t": ("Tell (big)", {"width": 32}), "s": ("Show", {"value": "t.text"}), "n": ("Show", {"value": "t.count"})}
    )
    shown = {event.node: event.data for event in events if hasattr(event, "data")}
    assert shown == {"t": b"ready", "s": b"ready (5, 4)", "n": b"32"}
    told = [(event.value, event.text) for event in events if isinstance(event, NodeProgress)]
    assert told == [(1, ""), (2, ""), (3, ""), (4, ""), (4, "nearly there")]
    said = [(event.node, event.kind, event.content) for event in events if isinstance(event, NodeSaid)]
    assert said == [("t", "big_pack", {"node": 1})], "what is no JSON is left out"
    failed = home.run({"r": ("Reaches", {}), "s": ("Show", {"value": "r.INT"})})[-1]
    assert isinstance(failed, JobFailed)
    assert "comfy.sd.load_checkpoint_guess_config is part of ComfyUI's own engine" in failed.error.message


def test_a_pack_that_reaches_for_what_is_not_here_loads_and_only_its_use_is_told(home: Home) -> None:
    home.pack("reaching.py", """
        import os
        import folder_paths
        import comfy.supported_models
        from comfy.ldm.modules.attention import optimized_attention
        from comfy.utils import something_new
        from comfy_extras.nodes_custom_sampler import SamplerCustom
        from nodes import LoraLoader, MAX_RESOLUTION
        from server import PromptServer, BinaryEventTypes
        ROOT = os.path.dirname(folder_paths.__file__)

        class Plain:
            RETURN_TYPES, FUNCTION = ("STRING",), "go"
            @classmethod
            def INPUT_TYPES(s): return {"required": {}}
            def go(self):
                PromptServer.instance.send_sync(BinaryEventTypes.UNENCODED_PREVIEW_IMAGE, ["PNG", None, None])
                return (f"{os.path.basename(ROOT)} {isinstance(3, LoraLoader)}",)
        class Loads(Plain):
            def go(self): return (LoraLoader().load_lora(None, None, "x", 1, 1),)
        class Attends(Plain):
            def go(self): return (optimized_attention(1, 2),)
        class Derived(SamplerCustom): pass
        NODE_CLASS_MAPPINGS = {"Plain": Plain, "Loads": Loads, "Attends": Attends, "Derived": Derived}
    """)  # fmt: skip
    home.pack("scripts_only/__init__.py", "NODE_CLASS_MAPPINGS = {}\nWEB_DIRECTORY = 'js'")
    (reason,) = home.loaded()
    assert reason == (
        "reaching.py: Derived: AttributeError: comfy_extras.nodes_custom_sampler.SamplerCustom is part of ComfyUI's own "
        "engine, which is not here: use nodes of this server"
    )
    assert home.shown({"p": ("Plain", {}), "s": ("Show", {"value": "p.STRING"})})["s"] == (
        f"{home.folder.parent.name} False".encode()
    )
    for type, name in (("Loads", "nodes.LoraLoader"), ("Attends", "comfy.ldm.modules.attention.optimized_attention")):
        failed = home.run({"p": (type, {}), "s": ("Show", {"value": "p.STRING"})})[-1]
        assert isinstance(failed, JobFailed)
        assert f"{name} is part of ComfyUI's own engine" in failed.error.message
    assert not [name for name in sys.modules if name.partition(".")[0] in ("comfy", "comfy_extras")]


def test_a_start_that_fails_is_told_and_the_pack_still_loads(home: Home) -> None:
    home.pack("pack/prestartup_script.py", "1 / 0")
    home.pack("pack/__init__.py", FLEXIBLE)
    assert home.loaded() == ["pack: prestartup_script.py: ZeroDivisionError: division by zero"]
    assert "Join" in home.nodes


def test_mapped_slices_cache_control_and_state_are_those_that_packs_rely_on(home: Home) -> None:
    home.pack("state.py", """
        import random
        class Numbers:
            RETURN_TYPES, OUTPUT_IS_LIST, FUNCTION = ("INT", "STRING"), (True, False), "go"
            @classmethod
            def INPUT_TYPES(s): return {"required": {"n": ("INT", {"default": 3})}}
            def go(self, n): return (list(range(n)), "x")
        class Counter:
            RETURN_TYPES, FUNCTION = ("STRING",), "go"
            def __init__(self): self.calls = 0
            @classmethod
            def INPUT_TYPES(s): return {"required": {"n": ("INT", {}), "t": ("STRING", {})}}
            @classmethod
            def IS_CHANGED(s, **kwargs): return float("NaN")
            def go(self, n, t):
                self.calls += 1
                return (f"{t}{n}#{self.calls}",)
        class Join:
            RETURN_TYPES, INPUT_IS_LIST, OUTPUT_NODE, FUNCTION = ("STRING",), True, True, "go"
            @classmethod
            def INPUT_TYPES(s): return {"required": {"t": ("STRING", {})}, "hidden": {"p": "EXTRA_PNGINFO", "id": "UNIQUE_ID"}}
            def go(self, t, p=None, id=None): return {"ui": {"text": t}, "result": ("|".join(t),)}
        NODE_CLASS_MAPPINGS = {"Numbers": Numbers, "Counter": Counter, "Join2": Join}
    """)  # fmt: skip
    assert home.loaded() == []
    nodes = {"n": ("Numbers", {}), "c": ("Counter", {"n": "n.INT", "t": "n.STRING"}), "j": ("Join2", {"t": "c.STRING"}),
             "s": ("Show", {"value": "j.STRING"})}  # fmt: skip
    assert home.shown(nodes)["s"] == b"x0#1|x1#2|x2#3"
    assert home.shown(nodes)["s"] == b"x0#4|x1#5|x2#6"  # the instance stays, and NaN is never what it was

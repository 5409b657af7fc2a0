"""The page "Coming from ComfyUI", walked step by step with a folder as ComfyUI keeps it; its commands are the page's own."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest
from aiohttp.test_utils import TestClient, TestServer
from safetensors.torch import save_file

from graphflow import pictures
from graphflow.cli import main
from graphflow.comfy.door import add_routes
from graphflow.config import Config
from graphflow.events import JobDone
from graphflow.server import create_app
from graphflow.service import build_service
from tests.fakes import png
from tests.tiny import golden_sd15

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from-comfyui.md").read_text("utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.strip().splitlines()
]
EXTRA = """
other:
    base_path: ../elsewhere
    is_default: true
    loras: |
        Lora
        LyCORIS
    unet: unet
    custom_nodes: nodes
"""
PACK = """
class Upper:
    RETURN_TYPES, FUNCTION = ("STRING",), "go"
    @classmethod
    def INPUT_TYPES(cls): return {"required": {"text": ("STRING", {})}}
    def go(self, text): return (text.upper(),)
NODE_CLASS_MAPPINGS = {"Upper": Upper}
"""
API: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5, "steps": 20, "cfg": 1, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["10", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny-sd15.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["11", 0], "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "old", "images": ["8", 0]}},
    "10": {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["4", 0], "lora_name": "sub/mine.safetensors", "strength_model": 0.5},
    },
    "11": {"class_type": "Upper", "inputs": {"text": "a cat"}},
}  # fmt: skip
"""A workflow that takes a checkpoint of the models' folder, a LoRA of a further one, and a pack's node."""
EDITOR: dict[str, Any] = {
    "version": 0.4,
    "last_node_id": 3,
    "nodes": [
        {"id": 1, "type": "EmptyImage", "outputs": [{"name": "IMAGE", "type": "IMAGE"}], "widgets_values": [32, 16, 1, 255]},
        {"id": 2, "type": "Wobble", "inputs": [{"name": "image", "type": "IMAGE", "link": None}], "widgets_values": [7]},
        {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "widgets_values": ["mine"]},
    ],
    "links": [[1, 1, 0, 3, 0, "IMAGE"]],
    "groups": [{"title": "Part", "bounding": [0, 0, 9, 9]}],
}  # fmt: skip
"""Saved by ComfyUI's editor, with a node that is missing here."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden_sd15(tmp_path_factory.mktemp("checkpoint")).path


@pytest.fixture
def home(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user keeps ComfyUI, with models, a pack, workflows and pictures; the commands are run there."""
    comfy = tmp_path / "ComfyUI"
    (comfy / "models" / "checkpoints").mkdir(parents=True)
    for path in (checkpoint, checkpoint.with_suffix(".config")):
        (comfy / "models" / "checkpoints" / path.name).symlink_to(path)
    (tmp_path / "elsewhere" / "LyCORIS" / "sub").mkdir(parents=True)
    save_file(lora(), tmp_path / "elsewhere" / "LyCORIS" / "sub" / "mine.safetensors")
    (comfy / "extra_model_paths.yaml").write_text(EXTRA)
    (comfy / "custom_nodes" / "Upper").mkdir(parents=True)
    (comfy / "custom_nodes" / "Upper" / "__init__.py").write_text(PACK)
    (comfy / "user" / "default" / "workflows").mkdir(parents=True)
    (comfy / "user" / "default" / "comfy.settings.json").write_text('{"Comfy.Locale": "de"}')
    (comfy / "user" / "default" / "workflows" / "mine.json").write_text(json.dumps(EDITOR))
    (tmp_path / "old.json").write_text(json.dumps(EDITOR))
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(API))
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "old.png", pnginfo=info)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def lora() -> dict[str, Any]:
    import torch

    name = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q"
    return {f"{name}.lora_down.weight": torch.ones(1, 32), f"{name}.lora_up.weight": torch.ones(32, 1)}


def the(beginning: str) -> list[str]:
    """The page's command that begins so, home folders put in, without the program's name."""
    [command] = [one for one in COMMANDS if one.startswith(beginning)]
    return [str(Path(word).expanduser()) if word.startswith("~") else word for word in shlex.split(command)][1:]


def test_the_page_holds_the_commands_that_are_tried_here() -> None:
    assert [" ".join(command.split()[:3]) for command in COMMANDS] == [
        "graphflow serve --models",
        "graphflow serve --models",
        "graphflow import old.json",
        "graphflow run old.png",
        "graphflow export new.json",
        "curl -X POST",
        "curl http://127.0.0.1:8188/history",
        "pip install comfyui-frontend-package",
        "graphflow serve --front-end",
        "graphflow serve --comfy-nodes",
    ]


def test_workflows_are_imported_run_and_exported(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(home / "data")]
    assert main([*the("graphflow import"), *data]) == 0
    assert "Wobble is not among the nodes here: kept with its settings" in capsys.readouterr().err
    native = json.loads((home / "new.json").read_text())
    assert native["nodes"]["2"]["widgets_values"] == [7]
    assert native["groups"][0]["title"] == "Part"

    assert main([*the("graphflow export"), *data]) == 0
    api = json.loads((home / "api.json").read_text())
    assert api["3"] == {"inputs": {"filename_prefix": "mine", "images": ["1", 0]}, "class_type": "SaveImage"}
    assert main(["import", "api.json", "-o", "again.json", *data]) == 0
    assert main(["export", "again.json", "-o", "api2.json", *data]) == 0
    assert json.loads((home / "api2.json").read_text()) == api  # import, export, import is stable

    moved = ["--models", "ComfyUI/models", "--extra-model-paths", "ComfyUI/extra_model_paths.yaml"]
    packs = ["--comfy-nodes", "ComfyUI/custom_nodes"]
    run = [word if word != "3.steps=30" else "3.steps=1" for word in the("graphflow run")]
    assert "3.steps=1" in run
    assert main([*run, *moved, *packs, *data, "--device", "cpu"]) == 0
    made = pictures.texts((home / "output" / "old_00001_.png").read_bytes())
    assert json.loads(made["graphflow"])["nodes"]["3"]["inputs"]["steps"] == 1


def settings(monkeypatch: pytest.MonkeyPatch, *commands: list[str]) -> Config:
    """What `serve` would serve with."""
    told: list[Config] = []

    def serve(config: Config, *, verbose: bool) -> int:
        told.append(config)
        return 0

    monkeypatch.setattr("graphflow.cli.serve.serve", serve)
    options = [word for command in commands for word in command[1:]]
    assert main(["serve", *options, "--data", "data", "--workers", "local", "--device", "cpu"]) == 0
    return told[0]


async def test_models_scripts_packs_and_settings_move_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [short, long] = [one for one in COMMANDS if one.startswith("graphflow serve --models")]
    assert long.startswith(short)
    config = settings(monkeypatch, the(long), the("graphflow serve --comfy-nodes"))
    shutil.copytree("ComfyUI/user/default", home / "data" / "user" / "default")
    (home / "api.json").write_text(json.dumps({**API, "3": {**API["3"], "inputs": {**API["3"]["inputs"], "steps": 1}}}))
    service, database = build_service(config, {})
    async with TestServer(create_app(service, config, doors=[add_routes])) as server, TestClient(server) as client:

        async def got(path: str) -> Any:
            return await (await client.get(path)).json()

        assert "tiny-sd15.safetensors" in await got("/models/checkpoints")
        assert "sub/mine.safetensors" in await got("/models/loras")
        assert (await got("/object_info/Upper"))["Upper"]["python_module"] == "custom_nodes.Upper"
        assert await got("/settings") == {"Comfy.Locale": "de"}
        assert await got("/userdata?dir=workflows") == ["mine.json"]

        answer = json.loads(await shell(next(c for c in COMMANDS if c.startswith("curl -X POST")), server.port))
        assert answer["node_errors"] == {}
        ended = [event async for event in service.follow(answer["prompt_id"])][-1]
        assert isinstance(ended, JobDone), ended
        history = json.loads(await shell(next(c for c in COMMANDS if c.endswith("/history")), server.port))
        [picture] = history[answer["prompt_id"]]["outputs"]["9"]["images"]
        data = await (await client.get("/view", params=picture)).read()
        assert json.loads(pictures.texts(data)["prompt"])["6"]["inputs"]["text"] == ["11", 0]
    database.close()


async def shell(command: str, port: int | None) -> bytes:
    """What a command of the page prints."""
    text = command.replace(":8188", f":{port}").replace("curl", "curl -s", 1)
    process = await asyncio.create_subprocess_shell(text, stdout=asyncio.subprocess.PIPE, executable="/bin/bash")
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


# --- what saved files carry ------------------------------------------------------------------------------------------


def as_png(data: bytes) -> dict[str, str]:
    with PIL.Image.open(io.BytesIO(data)) as picture:
        return {key: value for key, value in picture.info.items() if isinstance(value, str)}


def as_exif(data: bytes) -> dict[str, str]:
    """By ComfyUI's rule: every text in EXIF is `key:value`."""
    with PIL.Image.open(io.BytesIO(data)) as picture:
        texts = [value for value in picture.getexif().values() if isinstance(value, str)]
    return {key: value for key, _, value in (text.partition(":") for text in texts)}


@pytest.mark.parametrize(("format", "reader"), [("PNG", as_png), ("WEBP", as_exif), ("JPEG", as_exif)])
def test_saved_pictures_carry_both_texts_where_comfyui_s_tools_look(
    format: str, reader: Callable[[bytes], dict[str, str]]
) -> None:
    out = io.BytesIO()
    PIL.Image.open(io.BytesIO(png())).save(out, format)
    written = {"graphflow": "{}", "prompt": json.dumps(API), "workflow": json.dumps(EDITOR)}
    read = reader(pictures.embed(out.getvalue(), f"image/{format.lower()}", written))
    assert (json.loads(read["prompt"]), json.loads(read["workflow"])) == (API, EDITOR)

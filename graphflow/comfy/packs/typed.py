"""The words of schema-style packs (`define_schema`, `execute`): types with their inputs and outputs, and results."""

from __future__ import annotations

import enum
import io as bytes_io
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch

from graphflow import pictures
from graphflow.comfy.packs.dynamic import dynamic_words
from graphflow.comfy.packs.exchange import ExecutionBlocker
from graphflow.comfy.packs.stage import Folders, tell_progress
from graphflow.comfy.packs.words import Input, Output, plain

TYPES = [
    "BOOLEAN",
    "INT",
    "FLOAT",
    "STRING",
    "COMBO",
    "IMAGE",
    "MASK",
    "LATENT",
    "CONDITIONING",
    "SAMPLER",
    "SIGMAS",
    "NOISE",
    "GUIDER",
    "CLIP",
    "CONTROL_NET",
    "VAE",
    "MODEL",
    "CLIP_VISION",
    "CLIP_VISION_OUTPUT",
    "STYLE_MODEL",
    "GLIGEN",
    "UPSCALE_MODEL",
    "AUDIO",
    "VIDEO",
    "SVG",
    "LORA_MODEL",
    "LOSS_MAP",
    "VOXEL",
    "MESH",
    "HOOKS",
    "HOOK_KEYFRAMES",
    "TIMESTEPS_RANGE",
    "LATENT_OPERATION",
    "FLOW_CONTROL",
    "ACCUMULATION",
    "LOAD3D_CAMERA",
    "LOAD_3D",
    "LOAD_3D_ANIMATION",
    "PHOTOMAKER",
    "POINT",
    "FACE_ANALYSIS",
    "BBOX",
    "SEGS",
    "MODEL_PATCH",
    "AUDIO_ENCODER",
    "AUDIO_ENCODER_OUTPUT",
    "WEBCAM",
]
NAMES = {"LOAD3D_CAMERA": "Load3DCamera", "LOAD_3D": "Load3D", "LOAD_3D_ANIMATION": "Load3DAnimation", "SVG": "SVG"}


def custom(name: str) -> Any:
    """A type by its name on the wire, with its inputs and outputs."""
    parts = {"Input": type("Input", (Input,), {"type": name}), "Output": type("Output", (Output,), {"type": name})}
    return type(name, (), {"io_type": name, "Type": Any, **parts})


class _MultiInput(Input):
    def __init__(self, id: Any, types: Sequence[Any] = (), **options: Any) -> None:
        if isinstance(id, Input):
            super().__init__(id.id, **{"optional": id.optional, **id.options, **options})
            names: list[str] = [id.declared]
        else:
            super().__init__(id, **options)
            names = []
        if names:
            self.options.setdefault("widgetType", names[0])
        self.declared = ",".join([*names, *(one.io_type for one in types)])


@dataclass(frozen=True)
class _Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False


class Schema(_Schema):
    """What a node says of itself; what only ComfyUI's editor makes use of is not kept."""

    def __init__(self, *args: Any, **named: Any) -> None:
        known = {one.name for one in fields(_Schema)}
        super().__init__(*args, **{name: value for name, value in named.items() if name in known})


class NodeOutput:
    """What `execute` returns."""

    def __init__(
        self, *args: Any, ui: Any = None, expand: dict[str, Any] | None = None, block_execution: str | None = None
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values by output."""
        return self.args or None

    def as_dict(self) -> dict[str, Any]:
        """As the class style returns it."""
        given: dict[str, Any] = {}
        if self.block_execution is not None:
            given["result"] = ExecutionBlocker(self.block_execution)
        elif self.args:
            given["result"] = self.args
        if self.ui is not None:
            given["ui"] = self.ui.as_dict() if hasattr(self.ui, "as_dict") else self.ui
        if self.expand is not None:
            given["expand"] = self.expand
        return given


class ComfyNode:
    """The base of schema-style nodes: class methods only."""

    hidden: ClassVar[Any] = SimpleNamespace()

    @classmethod
    def define_schema(cls) -> Schema:
        """What the node is."""
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The same."""
        return cls.define_schema()


class ComfyExtension:
    """The base of what a pack's entry point returns."""

    async def on_load(self) -> None:
        """Called once, before the nodes are asked for."""

    async def get_node_list(self) -> list[type[ComfyNode]]:
        """The pack's nodes."""
        raise NotImplementedError


class Hidden(enum.StrEnum):
    """What a node can be told beside its inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


def io_words() -> dict[str, Any]:
    """The names in `io`."""
    types = {NAMES.get(name, "".join(part.capitalize() for part in name.split("_"))): custom(name) for name in TYPES}
    types |= {"AnyType": custom("*"), "MultiType": SimpleNamespace(Input=_MultiInput), "MultiCombo": custom("COMBO")}
    types |= dynamic_words()
    parts = (Schema, NodeOutput, ComfyNode, Hidden, Input, Output)
    return {**types, "Custom": custom, **{one.__name__: one for one in parts},
            "NumberDisplay": enum.Enum("NumberDisplay", {"number": "number", "slider": "slider"}),
            "UploadType": enum.Enum("UploadType", {"image": "image_upload", "audio": "audio_upload"}),
            "FolderType": enum.Enum("FolderType", {"input": "input", "output": "output", "temp": "temp"})}  # fmt: skip


def newer_type(name: str) -> Any:
    """A type that came after these, by its name on the wire: `BoundingBox` is `BOUNDING_BOX`. Raises `AttributeError`."""
    if not name[:1].isupper() or name == "DynamicSlot":
        raise AttributeError(f"io.{name} is not here")
    return custom(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper())


class _Shown:
    """Something for the eye, as the class style returns it under `ui`."""

    def __init__(self, shown: dict[str, Any]) -> None:
        self._shown = shown

    def as_dict(self) -> dict[str, Any]:
        """It."""
        return self._shown


def ui_words(folders: Folders) -> dict[str, Any]:
    """The names in `ui`."""

    def preview_image(image: torch.Tensor, animated: bool = False, cls: Any = None, **_: Any) -> _Shown:
        return _Shown({"images": save_images(image, "preview", folders, "temp")})

    def preview_mask(mask: torch.Tensor, animated: bool = False, cls: Any = None, **_: Any) -> _Shown:
        flat = mask.reshape(-1, 1, mask.shape[-2], mask.shape[-1]).movedim(1, -1)
        return preview_image(flat.expand(-1, -1, -1, 3))

    def saved_images(results: Sequence[Any], is_animated: bool = False) -> _Shown:
        return _Shown({"images": [dict(one) for one in results]})

    def saved_result(filename: str, subfolder: str, type: Any) -> dict[str, str]:
        return {"filename": filename, "subfolder": subfolder, "type": str(plain(type))}

    return {
        "PreviewImage": preview_image,
        "PreviewMask": preview_mask,
        "PreviewText": lambda value, **_: _Shown({"text": (value,)}),
        "SavedImages": saved_images,
        "SavedResult": saved_result,
    }


def save_images(images: torch.Tensor, prefix: str, folders: Folders, kind: str = "output") -> list[dict[str, str]]:
    """Writes (B, H, W, C) pictures as PNG files; says where they are."""
    entries = []
    for picture in images:
        pixels = (255.0 * picture.detach().cpu().float()).clamp(0, 255).to(torch.uint8).numpy()
        out = bytes_io.BytesIO()
        PIL.Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(out, "PNG", compress_level=4)
        name = f"{prefix.replace('/', '_')}_{uuid.uuid4().int % 10**9:09}_.png"
        (folders.of(kind) / name).write_bytes(out.getvalue())
        entries.append({"filename": name, "subfolder": "", "type": kind})
    return entries


def load_image(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture as (1, H, W, 3) in 0..1, turned as its camera says, and 1 where it is transparent, (1, H, W)."""
    with pictures.opened(path) as opened:
        picture = PIL.ImageOps.exif_transpose(opened).convert("RGBA")
    pixels = torch.from_numpy(np.array(picture)).float()[None] / 255.0
    return pixels[..., :3].contiguous(), 1.0 - pixels[..., 3]


class Execution:
    """What `ComfyAPI().execution` offers."""

    async def set_progress(self, value: float, max_value: float, **_: Any) -> None:
        """Says how far the node is."""
        tell_progress(value, max_value)


class ComfyAPI:
    """The part of the API object that concerns nodes."""

    def __init__(self) -> None:
        self.execution = Execution()

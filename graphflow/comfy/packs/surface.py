"""The modules that packs import, under their usual names, there only while a pack loads or one of its nodes runs.

They hold what simple packs use: types, folders, progress, a graph builder, resizing. Whatever else a pack imports must
be installed.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from graphflow.comfy.packs import graphs, typed
from graphflow.comfy.packs.absent import Finder, absent
from graphflow.comfy.packs.folder_paths import folder_paths
from graphflow.comfy.packs.server import BinaryEventTypes, Server
from graphflow.comfy.packs.stage import Folders, stop_if_interrupted, tell_progress
from graphflow.errors import Cancelled, UnsupportedFile

MAX_RESOLUTION = 16384


class Surface:
    """The modules, put in place by `installed`, as often as it is entered."""

    def __init__(self, folders: Folders, samplers: tuple[str, ...] = (), schedulers: tuple[str, ...] = ()) -> None:
        self.folders = folders
        self.server = Server()
        self._modules = _modules(folders, self.server, samplers, schedulers)
        self._lock = threading.Lock()
        self._depth = 0
        self._placed: list[str] = []
        self._finder = Finder()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """With the modules there; a module of that name that is there already stays."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._placed = [name for name in self._modules if name not in sys.modules]
                sys.modules.update({name: self._modules[name] for name in self._placed})
                sys.meta_path.append(self._finder)
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    sys.meta_path.remove(self._finder)
                    found = {name: one for name, one in sys.modules.items() if _is_absent(one, self._finder)}
                    self._modules.update(found)
                    for name in (*self._placed, *found):
                        sys.modules.pop(name, None)


def _modules(
    folders: Folders, instance: Server, samplers: tuple[str, ...], schedulers: tuple[str, ...]
) -> dict[str, ModuleType]:
    io, ui = _module("io", typed.io_words()), _module("ui", typed.ui_words(folders))
    io.__getattr__ = typed.newer_type  # type: ignore[method-assign]
    api = {"io": io, "ui": ui, "ComfyExtension": typed.ComfyExtension, "ComfyAPI": typed.ComfyAPI,
           "ComfyAPISync": typed.ComfyAPI}  # fmt: skip
    server = SimpleNamespace(instance=instance)
    words = {one: getattr(graphs, one) for one in graphs.__all__}
    kinds = _types()
    contents: dict[str, Mapping[str, Any]] = {
        "folder_paths": folder_paths(folders),
        "nodes": _nodes(folders),
        "node_helpers": _node_helpers(),
        "server": {"PromptServer": server, "BinaryEventTypes": BinaryEventTypes},
        "comfy": {},
        "comfy.utils": {
            "ProgressBar": ProgressBar,
            "common_upscale": common_upscale,
            "repeat_to_batch_size": repeat_to_batch_size,
            "load_torch_file": load_torch_file,
            "safetensors_header": safetensors_header,
            "PROGRESS_BAR_ENABLED": True,
        },
        "comfy.model_management": _model_management(),
        "comfy.samplers": _samplers(samplers, schedulers),
        "comfy.comfy_types": kinds,
        "comfy.comfy_types.node_typing": kinds,
        "comfy.cli_args": {"args": SimpleNamespace(disable_metadata=False, verbose=False)},
        "comfy.sd": {},
        "comfy.sample": {},
        "comfy.model_base": {},
        "comfy.model_patcher": {},
        "comfy.controlnet": {},
        "comfy.ops": {},
        "latent_preview": {},
        "execution": {},
        "comfy_execution": {},
        "comfy_execution.graph_utils": words,
        "comfy_execution.graph": {"ExecutionBlocker": graphs.ExecutionBlocker},
        "comfy_api": {},
        "comfy_api.latest": api,
        "comfy_api.v0_0_2": api,
    }
    modules = {name: _module(name, content) for name, content in contents.items()}
    for name in ("folder_paths", "nodes", "server", "execution", "node_helpers"):
        modules[name].__file__ = str(folders.base / f"{name}.py")  # packs find ComfyUI's folder by them
    for name in (name for name in contents if name not in (*PACKAGES, "folder_paths") and name not in WHOLE):
        modules[name].__getattr__ = partial(absent, name)  # type: ignore[method-assign]
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
            modules[parent].__path__ = []  # what has modules below it is a package
    return modules


WHOLE = ("comfy.comfy_types", "comfy.comfy_types.node_typing", "comfy_api.latest", "comfy_api.v0_0_2")
"""Modules that hold all that they are to hold."""
PACKAGES = ("comfy", "comfy_execution", "comfy_api")
"""Modules that only hold others."""


def _is_absent(module: ModuleType, finder: Finder) -> bool:
    spec = getattr(module, "__spec__", None)
    return spec is not None and spec.loader is finder


def _module(name: str, content: Mapping[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


# --- nodes that others build on --------------------------------------------------------------------------------------


def _nodes(folders: Folders) -> dict[str, Any]:
    class SaveImage:
        """Saves pictures; packs derive from it."""

        type = "output"
        prefix_append = ""
        RETURN_TYPES = ()
        FUNCTION = "save_images"
        OUTPUT_NODE = True
        CATEGORY = "image"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            """Pictures, and how their files' names begin."""
            return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}}

        def save_images(self, images: torch.Tensor, filename_prefix: str = "ComfyUI", **_: Any) -> dict[str, Any]:
            """Writes them."""
            return {"ui": {"images": typed.save_images(images, filename_prefix, folders, self.type)}}

    class PreviewImage(SaveImage):
        """Shows pictures without keeping them."""

        type = "temp"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            """Pictures."""
            return {"required": {"images": ("IMAGE",)}}

    class LoadImage:
        """Reads an uploaded picture; packs derive from it."""

        RETURN_TYPES = ("IMAGE", "MASK")
        FUNCTION = "load_image"
        CATEGORY = "image"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            """The picture's name."""
            return {"required": {"image": ([], {"image_upload": True})}}

        def load_image(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
            """(B, H, W, 3) in 0..1, and 1 where it is transparent, (B, H, W)."""
            return typed.load_image(Path(folder_paths(folders)["get_annotated_filepath"](image)))

    return {
        "LoadImage": LoadImage,
        "MAX_RESOLUTION": MAX_RESOLUTION,
        "NODE_CLASS_MAPPINGS": {},
        "NODE_DISPLAY_NAME_MAPPINGS": {},
        "SaveImage": SaveImage,
        "PreviewImage": PreviewImage,
    }


def _node_helpers() -> dict[str, Any]:
    def set_values(conditioning: Any, values: Mapping[str, Any] | None = None, append: bool = False) -> Any:
        changed = []
        for context, about in conditioning:
            new = {**about, **(values or {})}
            if append:
                new |= {key: [*about[key], *value] for key, value in (values or {}).items() if key in about}
            changed.append([context, new])
        return changed

    def pillow(function: Callable[..., Any], argument: Any) -> Any:
        return function(argument)

    return {"conditioning_set_values": set_values, "pillow": pillow, "hasher": lambda: hashlib.sha256}


# --- the small things ------------------------------------------------------------------------------------------------


class ProgressBar:
    """Tells a node's progress."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total = total
        self.current = 0.0

    def update(self, value: float) -> None:
        """So much more is done."""
        self.update_absolute(self.current + value)

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        """So much is done."""
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        stop_if_interrupted()
        tell_progress(self.current, self.total)


def common_upscale(samples: torch.Tensor, width: int, height: int, upscale_method: str, crop: str) -> torch.Tensor:
    """(B, C, H, W) resized; with crop `center` the middle of the wanted proportions is kept."""
    old_height, old_width = samples.shape[-2:]
    if crop == "center":
        keep_width = min(old_width, round(old_height * width / height))
        keep_height = min(old_height, round(old_width * height / width))
        left, top = (old_width - keep_width) // 2, (old_height - keep_height) // 2
        samples = samples[..., top : top + keep_height, left : left + keep_width]
    mode = {"lanczos": "bicubic", "bislerp": "bilinear"}.get(upscale_method, upscale_method)
    antialias = upscale_method == "lanczos"
    return torch.nn.functional.interpolate(samples, (height, width), mode=mode, antialias=antialias)


def repeat_to_batch_size(tensor: torch.Tensor, batch_size: int, dim: int = 0) -> torch.Tensor:
    """As many items along `dim` as are wanted: cut, or repeated from the first on."""
    count = tensor.shape[dim]
    places = torch.arange(batch_size, device=tensor.device) % max(count, 1)
    return tensor if count == batch_size else tensor.index_select(dim, places)


def load_torch_file(ckpt: str, safe_load: bool = True, device: Any = None, return_metadata: bool = False) -> Any:
    """A safetensors file's tensors by name. Raises `UnsupportedFile` for a pickle, which could run code."""
    from safetensors import safe_open

    if Path(ckpt).suffix.lower() not in (".safetensors", ".sft"):
        raise UnsupportedFile(f"{Path(ckpt).name} is no safetensors file, and others can run code: convert it first")
    with safe_open(ckpt, framework="pt", device=str(device or "cpu")) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return (tensors, file.metadata()) if return_metadata else tensors


def safetensors_header(safetensors_path: str, max_size: int = 100 * 2**20) -> bytes | None:
    """A safetensors file's header, as JSON; None when it is longer than `max_size` bytes."""
    with Path(safetensors_path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(length) if length <= max_size else None


def _model_management() -> dict[str, Any]:
    def device() -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def cpu() -> torch.device:
        return torch.device("cpu")

    return {
        "get_torch_device": device,
        "intermediate_device": cpu,
        "unet_offload_device": cpu,
        "vae_offload_device": cpu,
        "text_encoder_offload_device": cpu,
        "text_encoder_device": device,
        "vae_device": device,
        "get_torch_device_name": str,
        "is_device_cpu": lambda one: torch.device(one).type == "cpu",
        "is_device_mps": lambda one: torch.device(one).type == "mps",
        "is_device_cuda": lambda one: torch.device(one).type == "cuda",
        "soft_empty_cache": lambda *_, **__: None,
        "unload_all_models": lambda *_, **__: None,
        "cleanup_models": lambda *_, **__: None,
        "throw_exception_if_processing_interrupted": stop_if_interrupted,
        "processing_interrupted": lambda: False,
        "InterruptProcessingException": Cancelled,
    }


def _samplers(samplers: tuple[str, ...], schedulers: tuple[str, ...]) -> dict[str, Any]:
    listed = SimpleNamespace(SAMPLERS=list(samplers), SCHEDULERS=list(schedulers))
    return {"KSampler": listed, "SAMPLER_NAMES": list(samplers), "SCHEDULER_NAMES": list(schedulers)}


def _types() -> dict[str, Any]:
    names = {name: name for name in typed.TYPES} | {"ANY": "*", "NUMBER": "FLOAT,INT", "PRIMITIVE": "STRING,FLOAT,INT"}
    base = type("ComfyNodeABC", (), {})
    return {
        "IO": SimpleNamespace(**names),
        "ComfyNodeABC": base,
        "CheckLazyMixin": type("CheckLazyMixin", (), {"check_lazy_status": _all_unknown}),
        "InputTypeDict": dict,
        "FileLocator": dict,
    }


def _all_unknown(self: Any, **inputs: Any) -> list[str]:
    """Every input that is not there yet."""
    return [name for name, value in inputs.items() if value is None]

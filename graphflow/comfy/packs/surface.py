"""The modules that packs import, under their usual names, there only while a pack loads or one of its nodes runs.

They hold what simple packs use: types, folders, progress, a graph builder, resizing. Whatever else a pack imports must
be installed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from graphflow.comfy.packs import graphs, typed
from graphflow.comfy.packs.stage import Folders, stop_if_interrupted, tell_progress
from graphflow.errors import Cancelled
from graphflow.files import FOLDERS, SUFFIXES

MAX_RESOLUTION = 16384


class Surface:
    """The modules, put in place by `installed`, as often as it is entered."""

    def __init__(self, folders: Folders, samplers: tuple[str, ...] = (), schedulers: tuple[str, ...] = ()) -> None:
        self.folders = folders
        self._modules = _modules(folders, samplers, schedulers)
        self._lock = threading.Lock()
        self._depth = 0
        self._placed: list[str] = []

    @contextmanager
    def installed(self) -> Iterator[None]:
        """With the modules there; a module of that name that is there already stays."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._placed = [name for name in self._modules if name not in sys.modules]
                sys.modules.update({name: self._modules[name] for name in self._placed})
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    for name in self._placed:
                        sys.modules.pop(name, None)


def _modules(folders: Folders, samplers: tuple[str, ...], schedulers: tuple[str, ...]) -> dict[str, ModuleType]:
    io, ui = _module("io", typed.io_words()), _module("ui", typed.ui_words(folders))
    api = {"io": io, "ui": ui, "ComfyExtension": typed.ComfyExtension, "ComfyAPI": typed.ComfyAPI,
           "ComfyAPISync": typed.ComfyAPI}  # fmt: skip
    words = {one: getattr(graphs, one) for one in graphs.__all__}
    kinds = _types()
    contents: dict[str, Mapping[str, Any]] = {
        "folder_paths": _folder_paths(folders),
        "nodes": _nodes(folders),
        "node_helpers": _node_helpers(),
        "server": {"PromptServer": SimpleNamespace(instance=_Server())},
        "comfy": {},
        "comfy.utils": {"ProgressBar": ProgressBar, "common_upscale": common_upscale, "PROGRESS_BAR_ENABLED": True},
        "comfy.model_management": _model_management(),
        "comfy.samplers": _samplers(samplers, schedulers),
        "comfy.comfy_types": kinds,
        "comfy.comfy_types.node_typing": kinds,
        "comfy.cli_args": {"args": SimpleNamespace(disable_metadata=False, verbose=False)},
        "comfy_execution": {},
        "comfy_execution.graph_utils": words,
        "comfy_execution.graph": {"ExecutionBlocker": graphs.ExecutionBlocker},
        "comfy_api": {},
        "comfy_api.latest": api,
        "comfy_api.v0_0_2": api,
    }
    modules = {name: _module(name, content) for name, content in contents.items()}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
            modules[parent].__path__ = []  # what has modules below it is a package
    return modules


def _module(name: str, content: Mapping[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


# --- folders ---------------------------------------------------------------------------------------------------------


def _folder_paths(folders: Folders) -> dict[str, Any]:
    places = {name: ([str(folders.models / part) for part in parts], set(SUFFIXES)) for name, parts in FOLDERS.items()}

    def names(folder: str) -> list[str]:
        found = []
        for place in places.get(folder, ([], set()))[0]:
            for directory, _, files in os.walk(place):
                found += [(Path(directory) / file).relative_to(place).as_posix() for file in files]
        return sorted(file for file in found if Path(file).suffix.lower() in SUFFIXES)

    def full_path(folder: str, name: str) -> str | None:
        candidates = (Path(place) / name for place in places.get(folder, ([], set()))[0])
        return next((str(path) for path in candidates if path.is_file()), None)

    def sure_path(folder: str, name: str) -> str:
        path = full_path(folder, name)
        if path is None:
            raise FileNotFoundError(f"there is no {name!r} in {folder}")
        return path

    def add(folder: str, path: str, is_default: bool = False) -> None:
        places.setdefault(folder, ([], set(SUFFIXES)))[0].insert(0 if is_default else len(places), path)

    def annotated(name: str, default_dir: str | None = None) -> str:
        plain, _, kind = name.removesuffix("]").rpartition(" [")
        if name.endswith("]") and kind in ("input", "output", "temp"):
            return str(folders.of(kind) / plain)
        return str(Path(default_dir) / name if default_dir else folders.of("input") / name)

    def save_path(
        prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
    ) -> tuple[str, str, int, str, str]:
        name, subfolder = Path(prefix).name, "/".join(Path(prefix).parts[:-1])
        folder = Path(output_dir) / subfolder
        if not folder.resolve().is_relative_to(Path(output_dir).resolve()):
            raise ValueError(f"{prefix!r} leads out of the output folder")
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder), name, 1 + sum(1 for _ in folder.glob(f"{name}_*")), subfolder, prefix

    return {
        "base_path": str(folders.base),
        "models_dir": str(folders.models),
        "folder_names_and_paths": places,
        "supported_pt_extensions": set(SUFFIXES),
        "get_input_directory": lambda: str(folders.of("input")),
        "get_output_directory": lambda: str(folders.of("output")),
        "get_temp_directory": lambda: str(folders.of("temp")),
        "get_directory_by_type": lambda kind: str(folders.of(kind)),
        "get_annotated_filepath": annotated,
        "exists_annotated_filepath": lambda name: Path(annotated(name)).is_file(),
        "get_filename_list": names,
        "get_full_path": full_path,
        "get_full_path_or_raise": sure_path,
        "get_folder_paths": lambda folder: list(places.get(folder, ([], set()))[0]),
        "add_model_folder_path": add,
        "get_save_image_path": save_path,
    }


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

    return {
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
        "soft_empty_cache": lambda *_, **__: None,
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


class _Server:
    """Stands for the server where packs register routes and send messages: none of it leaves this process."""

    def __init__(self) -> None:
        self.client_id = None
        self.last_node_id = None
        self.routes = self

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        """Messages of packs go nowhere."""

    def add_on_prompt_handler(self, handler: Any) -> None:
        """Prompts are not changed by packs."""

    def _keep(self, *_: Any, **__: Any) -> Callable[[Any], Any]:
        return lambda function: function

    get = post = put = delete = patch = _keep

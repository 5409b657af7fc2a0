"""The module `folder_paths`, by which packs find files: the server's models and uploads, and folders to write into."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import Any

from graphflow.comfy.packs.stage import FILES, FileNames, Folders
from graphflow.files import FOLDERS, SUFFIXES

OLD_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}


def folder_paths(folders: Folders) -> dict[str, Any]:
    """What the module `folder_paths` holds."""
    own = {name: [str(place) for place in folders.places(name)] for name in FOLDERS}
    places: dict[str, tuple[list[str], set[str]]] = {name: (list(own[name]), set(SUFFIXES)) for name in FOLDERS}

    def of(folder: str) -> tuple[list[str], set[str]]:
        paths, suffixes = places.get(OLD_NAMES.get(folder, folder), ([], set()))
        return list(paths), set(suffixes)

    def names(folder: str) -> list[str]:
        folder = OLD_NAMES.get(folder, folder)
        paths, suffixes = of(folder)
        found = set()
        for place in paths:
            for directory, _, files in os.walk(place, followlinks=True):
                found |= {(Path(directory) / file).relative_to(place).as_posix() for file in files}
        listed = sorted(file for file in found if not suffixes or Path(file).suffix.lower() in suffixes)
        return FileNames(listed, folder) if own.get(folder) == paths else listed

    def full_path(folder: str, name: str) -> str | None:
        if (given := FILES.get().get(name)) is not None:
            return str(given)
        candidates = (Path(place) / name for place in of(folder)[0] if ".." not in Path(name).parts)
        return next((str(path) for path in candidates if path.is_file()), None)

    def sure_path(folder: str, name: str) -> str:
        path = full_path(folder, name)
        if path is None:
            raise FileNotFoundError(f"there is no {name!r} in {folder}")
        return path

    def add(folder: str, path: str, is_default: bool = False) -> None:
        paths = places.setdefault(OLD_NAMES.get(folder, folder), ([], set()))[0]
        paths.insert(0 if is_default else len(paths), path)

    def annotated(name: str, default_dir: str | None = None) -> str:
        if (given := FILES.get().get(name)) is not None:
            return str(given)
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
        "get_folder_paths": lambda folder: of(folder)[0],
        "get_user_directory": lambda: str(folders.of("user")),
        "filter_files_extensions": lambda files, suffixes: sorted(
            one for one in files if not suffixes or Path(one).suffix.lower() in suffixes
        ),
        "filter_files_content_types": lambda files, kinds: [
            one for one in files if (mimetypes.guess_type(one)[0] or "").partition("/")[0] in kinds
        ],
        "add_model_folder_path": add,
        "get_save_image_path": save_path,
    }

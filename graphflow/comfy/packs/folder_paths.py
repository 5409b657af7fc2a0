"""The module `folder_paths`, by which packs find files: the server's models and uploads, and folders to write into."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import Any

from graphflow.comfy.packs.stage import FILES, FileNames, Folders
from graphflow.files import FOLDERS, SUFFIXES

OLD_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}


class _Paths:
    """What the functions of the module share: where each folder of models lies, and which files of it count."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.places = {name: ([str(place) for place in folders.places(name)], set(SUFFIXES)) for name in FOLDERS}
        self._own = {name: list(paths) for name, (paths, _) in self.places.items()}

    def of(self, folder: str) -> tuple[list[str], set[str]]:
        """Paths and suffixes of a folder; a copy."""
        paths, suffixes = self.places.get(OLD_NAMES.get(folder, folder), ([], set()))
        return list(paths), set(suffixes)

    def names(self, folder: str) -> list[str]:
        """The files of a folder; those of the server's own are looked up anew whenever a combo is shown."""
        folder = OLD_NAMES.get(folder, folder)
        paths, suffixes = self.of(folder)
        found = set()
        for place in paths:
            for directory, _, files in os.walk(place, followlinks=True):
                found |= {(Path(directory) / file).relative_to(place).as_posix() for file in files}
        listed = sorted(file for file in found if not suffixes or Path(file).suffix.lower() in suffixes)
        return FileNames(listed, folder) if self._own.get(folder) == paths else listed

    def full_path(self, folder: str, name: str) -> str | None:
        """Where a file of a folder lies, or None."""
        if (given := FILES.get().get(name)) is not None:
            return str(given)
        candidates = (Path(place) / name for place in self.of(folder)[0] if ".." not in Path(name).parts)
        return next((str(path) for path in candidates if path.is_file()), None)

    def sure_path(self, folder: str, name: str) -> str:
        """The same; raises `FileNotFoundError`."""
        path = self.full_path(folder, name)
        if path is None:
            raise FileNotFoundError(f"there is no {name!r} in {folder}")
        return path

    def add(self, folder: str, path: str, is_default: bool = False) -> None:
        """One more place of a folder."""
        paths = self.places.setdefault(OLD_NAMES.get(folder, folder), ([], set()))[0]
        paths.insert(0 if is_default else len(paths), path)

    def annotated(self, name: str, default_dir: str | None = None) -> str:
        """The path of `name`, or of `name [output]` and the like."""
        if (given := FILES.get().get(name)) is not None:
            return str(given)
        plain, _, kind = name.removesuffix("]").rpartition(" [")
        if name.endswith("]") and kind in ("input", "output", "temp"):
            return str(self.folders.of(kind) / plain)
        return str(Path(default_dir) / name if default_dir else self.folders.of("input") / name)


def _save_path(
    prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """Folder, name and next number of a file to write; raises `ValueError` for a prefix that leads out."""
    name, subfolder = Path(prefix).name, "/".join(Path(prefix).parts[:-1])
    folder = Path(output_dir) / subfolder
    if not folder.resolve().is_relative_to(Path(output_dir).resolve()):
        raise ValueError(f"{prefix!r} leads out of the output folder")
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder), name, 1 + sum(1 for _ in folder.glob(f"{name}_*")), subfolder, prefix


def folder_paths(folders: Folders) -> dict[str, Any]:
    """What the module `folder_paths` holds."""
    paths = _Paths(folders)
    return {
        "base_path": str(folders.base),
        "models_dir": str(folders.models),
        "folder_names_and_paths": paths.places,
        "supported_pt_extensions": set(SUFFIXES),
        "get_input_directory": lambda: str(folders.of("input")),
        "get_output_directory": lambda: str(folders.of("output")),
        "get_temp_directory": lambda: str(folders.of("temp")),
        "get_directory_by_type": lambda kind: str(folders.of(kind)),
        "get_annotated_filepath": paths.annotated,
        "exists_annotated_filepath": lambda name: Path(paths.annotated(name)).is_file(),
        "get_filename_list": paths.names,
        "get_full_path": paths.full_path,
        "get_full_path_or_raise": paths.sure_path,
        "get_folder_paths": lambda folder: paths.of(folder)[0],
        "get_user_directory": lambda: str(folders.of("user")),
        "filter_files_extensions": lambda files, suffixes: sorted(
            one for one in files if not suffixes or Path(one).suffix.lower() in suffixes
        ),
        "filter_files_content_types": lambda files, kinds: [
            one for one in files if (mimetypes.guess_type(one)[0] or "").partition("/")[0] in kinds
        ],
        "add_model_folder_path": paths.add,
        "get_save_image_path": _save_path,
    }

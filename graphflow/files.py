"""Files that workflows name: models in their folders under several roots, found, listed and hashed.

A root is laid out as users have it (`checkpoints/`, `loras/`, `vae/`, ...). Names in workflows are relative to such a
folder, with forward slashes; nothing outside the roots can be named. Hashes are computed once for a path, size and
modification time and kept in a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Protocol

from graphflow.errors import NotFound
from graphflow.node import File

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "configs": ("configs",),
    "loras": ("loras",),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("diffusion_models", "unet"),
    "clip_vision": ("clip_vision",),
    "style_models": ("style_models",),
    "embeddings": ("embeddings",),
    "diffusers": ("diffusers",),
    "vae_approx": ("vae_approx",),
    "controlnet": ("controlnet", "t2i_adapter"),
    "gligen": ("gligen",),
    "upscale_models": ("upscale_models",),
    "hypernetworks": ("hypernetworks",),
    "photomaker": ("photomaker",),
    "ipadapter": ("ipadapter",),
    "model_patches": ("model_patches",),
    "audio_encoders": ("audio_encoders",),
    "latent_upscale_models": ("latent_upscale_models",),
}
"""Name in a node's schema -> the folders under a root that it stands for."""

SUFFIXES = frozenset({".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".pkl"})
"""What is listed. Pickles are listed, too, and refused with the reason when they are used."""


class Finder(Protocol):
    """What the planner asks for files."""

    def find(self, folder: str, name: str) -> File:
        """The file of that name. Raises `NotFound` with the nearest names."""

    def names(self, folder: str) -> Sequence[str]:
        """Every name that can be chosen."""


@dataclass(frozen=True)
class Found:
    """A model file or diffusers folder on disk."""

    folder: str
    name: str
    path: Path
    size: int
    modified: float


class ModelFiles:
    """The models under some roots, the first root winning where two hold a file of one name."""

    def __init__(
        self, roots: Iterable[Path], hashes: Path | None = None, extra: Mapping[str, Sequence[Path]] | None = None
    ) -> None:
        """`hashes` is the file that keeps them; `extra` gives further places for a folder, by its name."""
        self.roots = tuple(Path(root) for root in roots)
        self._extra = dict(extra or {})
        self._hashes = Hashes(hashes)

    def places(self, folder: str) -> list[Path]:
        """The directories that a folder's name stands for, in order."""
        under_roots = [root / part for root in self.roots for part in FOLDERS.get(folder, (folder,))]
        return [*under_roots, *self._extra.get(folder, ())]

    def listing(self, folder: str) -> list[Found]:
        """Every file and diffusers folder in it, by name."""
        found: dict[str, Found] = {}
        for place in self.places(folder):
            for path in _models_in(place):
                name = path.relative_to(place).as_posix()
                if name not in found:
                    stat = path.stat()
                    size = stat.st_size if path.is_file() else sum(p.stat().st_size for p in _parts(path))
                    found[name] = Found(folder, name, path, size, stat.st_mtime)
        return [found[name] for name in sorted(found, key=str.lower)]

    def names(self, folder: str) -> list[str]:
        """Every name that can be chosen."""
        return [found.name for found in self.listing(folder)]

    def digest(self, path: Path) -> str:
        """The hash of a model's content as it is now."""
        return self._hashes.of(path)

    def find(self, folder: str, name: str) -> File:
        """The file of that name, hashed. Raises `NotFound` with the nearest names."""
        parts = PurePosixPath(name.replace("\\", "/"))
        if name and not parts.is_absolute() and ".." not in parts.parts and ":" not in parts.parts[0]:
            for place in self.places(folder):
                path = place.joinpath(*parts.parts)
                if path.is_file() or _is_model_folder(path):
                    return File(parts.as_posix(), path, self._hashes.of(path))
        raise NotFound(missing(f"in {folder}", name, self.names(folder)))


def missing(where: str, name: str, names: Sequence[str]) -> str:
    """The sentence that says a file is not there, and what is nearest."""
    near = get_close_matches(name, names, n=3, cutoff=0.4)
    if near:
        return f"there is no {name!r} {where}; the nearest: {', '.join(map(repr, near))}"
    if names:
        return f"there is no {name!r} {where}; there are {', '.join(map(repr, names[:5]))}{' …' * (len(names) > 5)}"
    return f"there is no {name!r} {where}, and nothing else either: put the file there"


def _models_in(place: Path) -> Iterator[Path]:
    """Model files and diffusers folders below a directory; what lies inside such a folder is not listed again."""
    if not place.is_dir():
        return
    for directory, folders, files in os.walk(place, followlinks=True):
        here = Path(directory)
        models = [name for name in folders if _is_model_folder(here / name)]
        yield from (here / name for name in models)
        folders[:] = [f for f in folders if f not in models and not f.startswith(".") and not f.endswith(".config")]
        yield from (here / name for name in files if Path(name).suffix.lower() in SUFFIXES and name[0] != ".")


def _is_model_folder(path: Path) -> bool:
    return (path / "model_index.json").is_file()


def _parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


class Hashes:
    """sha256 of files, computed once for a path, size and modification time."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._known: dict[str, list[object]] = _read_hashes(file) if file else {}

    def of(self, path: Path) -> str:
        """Of a file's content; of a folder's, its files' names and contents; a `NAME.config` beside it counts in."""
        beside = path.with_suffix(".config")
        if path.is_dir():
            return self._of_folder(path)
        if beside.is_dir():
            return hashlib.sha256(f"{self._of_file(path)} {self._of_folder(beside)}".encode()).hexdigest()
        return self._of_file(path)

    def _of_folder(self, folder: Path) -> str:
        lines = (f"{path.relative_to(folder).as_posix()} {self._of_file(path)}" for path in _parts(folder))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _of_file(self, path: Path) -> str:
        stat = path.stat()
        key, stamp = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        if (known := self._known.get(key) or self._told(key)) and known[:2] == stamp:
            return str(known[2])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            self._known[key] = [*stamp, digest]
            if self._file:
                self._write(self._file)
        return digest

    def _told(self, key: str) -> list[object] | None:
        """What another process has written down since this one began."""
        if self._file:
            with self._lock:
                self._known = {**_read_hashes(self._file), **self._known}
        return self._known.get(key)

    def _write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self._known))
        temporary.replace(file)


def _read_hashes(file: Path) -> dict[str, list[object]]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}  # it is only a memory of work done: hashing again is the remedy

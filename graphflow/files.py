"""Files that workflows name: models in their folders under several roots, found, listed and hashed.

A root is laid out as users have it (`checkpoints/`, `loras/`, `vae/`, ...). Names in workflows are relative to such a
folder, with forward slashes; nothing outside the roots can be named. Hashes are computed once for a path, size and
modification time and kept in a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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

INDEX = ".safetensors.index.json"
"""How the index of a sharded file ends."""
_SHARD = re.compile(r"(.+)-\d+-of-\d+\.safetensors")

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
                    size = sum(part.stat().st_size for part in files_of(path))
                    found[name] = Found(folder, name, path, size, stat.st_mtime)
        return [found[name] for name in sorted(found, key=str.lower)]

    def names(self, folder: str) -> list[str]:
        """Every name that can be chosen."""
        return [found.name for found in self.listing(folder)]

    def digest(self, path: Path) -> str:
        """The hash of a model's content as it is now."""
        return self._hashes.of(path)

    def sha256(self, found: Found, *, compute: bool) -> str:
        """The hash of a file's own content, by which others know it; empty if that would have to be computed first."""
        return self._hashes.of_content(found.path, compute=compute)

    def find(self, folder: str, name: str) -> File:
        """The file of that name, hashed. Raises `NotFound` with the nearest names."""
        parts = PurePosixPath(name.replace("\\", "/"))
        if name and not parts.is_absolute() and ".." not in parts.parts and ":" not in parts.parts[0]:
            for place in self.places(folder):
                path = place.joinpath(*parts.parts)
                if _is_there(path):
                    return File(parts.as_posix(), path, self._hashes.of(path))
        raise NotFound(missing(f"in {folder}", name, self.names(folder)))


def _is_there(path: Path) -> bool:
    try:
        return path.is_file() or _is_model_folder(path)
    except OSError:  # a name longer than the file system takes
        return False


def missing(where: str, name: str, names: Sequence[str]) -> str:
    """The sentence that says a file is not there, and what is nearest."""
    near = get_close_matches(name, names, n=3, cutoff=0.4) if len(name) < 256 else []
    name = name if len(name) < 256 else f"{name[:40]}…"
    if near:
        return f"there is no {name!r} {where}; the nearest: {', '.join(map(repr, near))}"
    if names:
        return f"there is no {name!r} {where}; there are {', '.join(map(repr, names[:5]))}{' …' * (len(names) > 5)}"
    return f"there is no {name!r} {where}, and nothing else either: put the file there"


def _models_in(place: Path) -> Iterator[Path]:
    """Model files and diffusers folders below a directory; of what lies inside such a folder only several networks are listed."""
    if not place.is_dir():
        return
    for directory, folders, files in os.walk(place, followlinks=True):
        here = Path(directory)
        models = [name for name in folders if _is_model_folder(here / name)]
        yield from (path for name in models for path in (here / name, *_experts(here / name)))
        folders[:] = [f for f in folders if f not in models and not f.startswith(".") and not f.endswith(".config")]
        whole = {name.removesuffix(INDEX) for name in files if name.endswith(INDEX)}
        yield from (here / name for name in files if name[0] != "." and _is_model(name, whole))


def _is_model(name: str, whole: Collection[str]) -> bool:
    """Whether a file is listed; in place of the shards that an index names, the index is."""
    shard = _SHARD.fullmatch(name)
    is_part = shard is not None and shard[1] in whole
    return name.endswith(INDEX) or (Path(name).suffix.lower() in SUFFIXES and not is_part)


def _is_model_folder(path: Path) -> bool:
    return (path / "model_index.json").is_file() or is_part(path)


NETWORKS = ("transformer", "transformer_2")
"""Folders of a diffusers folder's networks; those of Wan 2.2 for high noise and for low noise are of two."""


def is_part(path: Path) -> bool:
    """Whether a folder is a network of a diffusers folder, which is a model by itself, too."""
    named = path.name in NETWORKS and (path / "config.json").is_file()
    return named and (path.parent / "model_index.json").is_file()


def _experts(folder: Path) -> list[Path]:
    """The networks of a diffusers folder, by names of their own where it has several."""
    found = [folder / name for name in NETWORKS if is_part(folder / name)]
    return found if len(found) > 1 else []


def files_of(model: Path) -> list[Path]:
    """The files that a model consists of: a file, an index with the shards that are there, or all of a folder."""
    if model.is_dir():
        return sorted(path for path in model.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [model, *(shard for shard in shards(model) if shard.is_file())] if model.name.endswith(INDEX) else [model]


def shards(index: Path) -> list[Path]:
    """The files that an index names; none when it is damaged, which is told by whoever reads it."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        return [index.parent / name for name in names if Path(name).name == name]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []


class Hashes:
    """sha256 of files, computed once for a path, size and modification time."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._known: dict[str, list[object]] = {}
        self._read = 0
        """When the file was written that was read last."""

    def of(self, path: Path) -> str:
        """Of a file's content; of a folder's, its files' names and contents; a `NAME.config` beside it counts in."""
        beside = path.with_suffix(".config")
        own = self.of_content(path, compute=True)
        if not path.is_dir() and beside.is_dir():
            return hashlib.sha256(f"{own} {self._of_files(beside, files_of(beside))}".encode()).hexdigest()
        return own

    def of_content(self, path: Path, *, compute: bool) -> str:
        """Of a file itself, or of all files of a folder or an index; empty when it is not known and not computed."""
        files = files_of(path)
        if not compute and not all(self._told(file) for file in files):
            return ""
        return self._of_file(path) if files == [path] else self._of_files(path if path.is_dir() else path.parent, files)

    def _of_files(self, folder: Path, files: Iterable[Path]) -> str:
        lines = (f"{path.relative_to(folder).as_posix()} {self._of_file(path)}" for path in files)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _of_file(self, path: Path) -> str:
        if known := self._told(path):
            return known
        key, stamp = _stamp(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            self._known[key] = [*stamp, digest]
            if self._file:
                self._write(self._file)
        return digest

    def _told(self, path: Path) -> str:
        """What this process knows, or another has written down since this one began; empty for what nobody knows."""
        key, stamp = _stamp(path)
        if key not in self._known and self._file:
            self._catch_up(self._file)
        known = self._known.get(key)
        return str(known[2]) if known and known[:2] == stamp else ""

    def _catch_up(self, file: Path) -> None:
        """Reads what was written since the last look."""
        written = file.stat().st_mtime_ns if file.is_file() else 0
        with self._lock:
            if written != self._read:
                self._known = {**_read_hashes(file), **self._known}
                self._read = written

    def _write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self._known))
        temporary.replace(file)


def _stamp(path: Path) -> tuple[str, list[object]]:
    stat = path.stat()
    return str(path.resolve()), [stat.st_size, stat.st_mtime_ns]


def _read_hashes(file: Path) -> dict[str, list[object]]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}  # it is only a memory of work done: hashing again is the remedy

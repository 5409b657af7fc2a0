"""ComfyUI's `extra_model_paths.yaml`: where else it finds models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from graphflow.errors import BadRequest

LEGACY = {"unet": "diffusion_models", "clip": "text_encoders", "t2i_adapter": "controlnet"}
"""Old names of folders -> those that are used now."""
OTHER_KEYS = ("base_path", "is_default", "custom_nodes", "download_model_base")


def read_extra_paths(file: Path) -> list[tuple[str, Path]]:
    """Folder and directory of every place that the file names, those marked as default first.

    Raises `BadRequest` that says what is wrong with the file. Node packs are not loaded because a file names them:
    that takes `--comfy-nodes`.
    """
    try:
        document = yaml.safe_load(file.expanduser().read_text("utf-8"))
    except OSError as error:
        raise BadRequest(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} is no YAML: {error}") from error
    if document is None:
        return []
    if not isinstance(document, dict):
        raise BadRequest(f"{file} must hold sections, each with folders and their paths")
    here = file.expanduser().resolve().parent
    sections = [section for section in document.values() if isinstance(section, dict)]
    sections.sort(key=lambda section: not section.get("is_default"))
    return [place for section in sections for place in _places(section, here)]


def _places(section: dict[Any, Any], here: Path) -> Iterator[tuple[str, Path]]:
    base = here / _expanded(str(section.get("base_path") or ""))
    for key, value in section.items():
        if key in OTHER_KEYS or not isinstance(value, str):
            continue
        folder = LEGACY.get(str(key), str(key))
        for line in value.splitlines():
            if line.strip():
                yield folder, (base / _expanded(line.strip())).resolve()


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()

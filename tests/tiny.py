"""Tiny models with random weights, written as files in the layouts that users' files have."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.node import File

GOLDEN = Path(__file__).parent / "golden"


def file(path: Path) -> File:
    """A `File` as the planner makes it."""
    return File(path.name, path, hashlib.sha256(str(path.stat().st_mtime_ns).encode() + bytes(path)).hexdigest())


def golden_sd15(folder: Path) -> File:
    """The seeded checkpoint behind the golden pictures: Stable Diffusion 1.5's layout, small, with configs beside it."""
    recipe = json.loads((GOLDEN / "tiny_sd15_recipe.json").read_text())
    path = folder / "tiny-sd15.safetensors"
    save_file(_grow(recipe["tensors"]), path)
    for part, config in recipe["diffusers_config"].items():
        write_config(path, part, config)
    return file(path)


def _grow(tensors: list[list[Any]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = {}
    for key, shape, rule in tensors:
        r = torch.randn(shape, generator=generator)
        if key is None:
            continue
        match rule:
            case "fan":
                state[key] = r * (1 / r[0].numel() ** 0.5)
            case "emb":
                state[key] = r * 0.5
            case "w1":
                state[key] = 1 + 0.1 * r
            case _:
                state[key] = 0.1 * r
    return {key: state[key].contiguous() for key in sorted(state)}


def write_config(path: Path, part: str, config: dict[str, Any], name: str = "config.json") -> None:
    """A component's config in the folder beside a single file."""
    folder = path.with_suffix(".config") / part
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(config))

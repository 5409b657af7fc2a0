"""The header of whatever lies at a path: safetensors, GGUF, shards, a diffusers folder. Pickles are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graphflow.detect.gguf import gguf_header
from graphflow.detect.safetensors import safetensors_header, sharded_header
from graphflow.errors import NotFound, UnsupportedFile
from graphflow.files import is_part
from graphflow.header import Entry, Header

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")


def read_header(path: Path) -> Header:
    """The header of a safetensors or GGUF file, of the shards that an index names, or of a diffusers folder.

    Raises `NotFound`, or `UnsupportedFile` for a pickle and for a file that is damaged.
    """
    if path.is_dir():
        return _folder_header(path)
    if not path.is_file():
        raise NotFound(f"{path.name} is not there; was it moved or deleted?")
    if path.name.endswith(".index.json"):
        return sharded_header(path, read_header)
    with path.open("rb") as stream:
        start = stream.read(9)
        stream.seek(0)
        if start[:4] == b"GGUF":
            return gguf_header(path, stream)
        _refuse_pickles(path, start)
        return safetensors_header(path, stream)


def _refuse_pickles(path: Path, start: bytes) -> None:
    looks = start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))
    looks = (
        looks and start[8:] != b"{"
    )  # else it is a safetensors header whose length happens to begin with these bytes
    if looks or path.suffix.lower() in PICKLES:
        raise UnsupportedFile(
            f"{path.name} is a pickle, which can run any program when it is opened, so it is refused. "
            "Get the model as .safetensors, or convert it: torch.load(..., weights_only=True) in a Python of your own, "
            "then safetensors.torch.save_file"
        )


def _folder_header(path: Path) -> Header:
    if is_part(path):
        return _part_header(path)
    index = path / "model_index.json"
    if not index.is_file():
        raise UnsupportedFile(f"{path.name} is a folder without model_index.json; it is no diffusers model")
    metadata: dict[str, Any] = {"model_index": _json(index)}
    tensors: dict[str, Entry] = {}
    for config in sorted(path.glob("*/*config.json")):
        folder = config.parent.name
        if config.name in ("config.json", "scheduler_config.json"):
            metadata[folder] = _json(config)
        if config.name == "config.json" and (weights := weights_file(config.parent)):
            tensors |= {f"{folder}.{k}": e for k, e in read_header(weights).tensors.items()}
    return Header(path, "diffusers", tensors, metadata)


def _part_header(path: Path) -> Header:
    """As of a diffusers folder that has no other part."""
    metadata = {path.name: _json(path / "config.json")}
    scheduler = path.parent / "scheduler" / "scheduler_config.json"
    if scheduler.is_file():
        metadata["scheduler"] = _json(scheduler)
    weights = weights_file(path)
    tensors = {f"{path.name}.{k}": e for k, e in read_header(weights).tensors.items()} if weights else {}
    kind = ["diffusers", metadata[path.name].get("_class_name", "")]
    return Header(path, "diffusers", tensors, {**metadata, "model_index": {path.name: kind}})


def weights_file(folder: Path) -> Path | None:
    """The safetensors file of a component's folder: the plain one, the index of a sharded one, or a variant."""
    for stem in ("diffusion_pytorch_model", "model"):
        for pattern in (f"{stem}.safetensors", f"{stem}.safetensors.index.json"):
            if (folder / pattern).is_file():
                return folder / pattern
        variants = sorted(folder.glob(f"{stem}.*.safetensors")) + sorted(folder.glob(f"{stem}.*index*.json"))
        if variants:
            return next((v for v in variants if ".fp16." in v.name), variants[0])
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is no JSON object")
    return tree

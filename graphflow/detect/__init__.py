"""What a model file is, from its header alone: family, parts, dtype, and what it lacks.

Nothing here reads a weight or imports torch, so that planning and `graphflow models` may ask about every file.

`graphflow.families` says how each family's files look, `families` what follows from all of them; `reading` reads headers;
`parts`, `loras`, `adapters` and `folders` tell what a header is; `kinds` says it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

from graphflow.detect.adapters import as_control, as_patch, as_small
from graphflow.detect.families import (
    MODELS,
    TYPES,
    USUAL_ENCODERS,
    family_of_type,
    lacking,
)
from graphflow.detect.folders import in_folder
from graphflow.detect.kinds import PART_TITLES, Detected, Kind, Part, describe, require
from graphflow.detect.loras import as_lora
from graphflow.detect.packings import refuse_packings
from graphflow.detect.parts import layout_of, model_details, nearest, parts_of, prediction, vae_details
from graphflow.detect.reading import PICKLES, read_header, weights_file
from graphflow.header import Entry, Header, count


def detect(path: Path) -> Detected:
    """What the file is. Raises as `read_header` does; a file of no known kind is `unknown`, not an error."""
    header = read_header(path)
    refuse_packings(header)
    found = in_folder(header) if header.format == "diffusers" else _in_file(header)
    return replace(
        found,
        format=header.format,
        dtype=_main_dtype(header),
        parameters=sum(math.prod(entry.shape) for entry in header.tensors.values()),
    )


def _main_dtype(header: Header) -> str:
    bytes_of: dict[str, int] = {}
    for entry in header.tensors.values():
        bytes_of[entry.dtype] = bytes_of.get(entry.dtype, 0) + entry.nbytes
    return max(bytes_of, key=lambda name: bytes_of[name], default="")


def _in_file(header: Header) -> Detected:
    for test in (as_lora, as_patch, as_control, as_small):
        if found := test(header):
            return found
    parts = tuple(parts_of(header))
    model = next((part for part in parts if part.name == "model"), None)
    if model is None:
        kind: Kind = "unknown"
        if parts:
            kind = {"vae": "vae", "clip_vision": "clip_vision"}.get(parts[0].name, "text_encoder")  # type: ignore[assignment]
        details = vae_details(header, parts[0]) if kind == "vae" else {}
        if kind == "unknown":
            details = {"nearest": nearest(header), "seen": [*itertools.islice(sorted(header.tensors), 3)]}
        return Detected(kind, "", parts, details=details)
    lacks = lacking(model.family, {part.name for part in parts})
    details = {**model_details(header, model), **prediction(header)}
    return Detected("checkpoint" if len(parts) > 1 else "model", model.family, parts, lacks=lacks, details=details)


__all__ = [
    "MODELS",
    "PART_TITLES",
    "PICKLES",
    "TYPES",
    "USUAL_ENCODERS",
    "Detected",
    "Entry",
    "Header",
    "Part",
    "count",
    "describe",
    "detect",
    "family_of_type",
    "layout_of",
    "read_header",
    "require",
    "weights_file",
]

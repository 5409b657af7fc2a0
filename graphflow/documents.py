"""Workflows in files of any kind: JSON in any dialect, and pictures, videos and sounds that carry one."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow import containers
from graphflow.errors import BadRequest, GraphflowError
from graphflow.node import NodeDef
from graphflow.workflow import Converted, load_json, read

CARRIED = ("graphflow", "workflow", "prompt", "parameters")
"""Keys of the texts in a finished file that may hold a workflow, the most telling first."""
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")


def open_document(data: bytes, definitions: Mapping[str, NodeDef] | None = None) -> Converted:
    """The workflow in a file's bytes; other programs' formats are read better with the definitions.

    Raises `BadRequest` or `InvalidWorkflow` that says why there is none.
    """
    known = definitions or {}
    finished = data.startswith(_PICTURES) or containers.reader_of(data) is not None
    return _open_finished(data, known) if finished else read(load_json(data, lenient=True), known)


def _open_finished(data: bytes, definitions: Mapping[str, NodeDef]) -> Converted:
    from graphflow import pictures  # Pillow is loaded only when a picture comes

    texts = pictures.texts(data)
    faults = []
    for key in CARRIED:
        if key in texts:
            try:
                document = texts[key] if key == "parameters" else load_json(texts[key], lenient=True)
                return read(document, definitions)
            except GraphflowError as error:
                faults.append(f"its text {key!r}: {error.message}")
    if faults:
        raise BadRequest(f"no workflow in this file can be read; {'; '.join(faults)}")
    raise BadRequest("this file carries no workflow; those saved by GraphFlow or ComfyUI do, edited copies do not")

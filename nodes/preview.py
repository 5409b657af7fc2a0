"""Anything shown as text."""

from __future__ import annotations

import json
from typing import Any

from graphflow.api import Artifact, Value, node, summary


@node("PreviewAny", title="Preview Any", category="utils", output_node=True)
def preview_any(source: Any) -> Artifact:
    """Shows any value: texts and numbers as they are, lists as JSON, others by their type and size."""
    return Artifact("text/plain", told(source).encode(), "preview", {"temporary": True})


def told(value: Any) -> str:
    """A text for people to read."""
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool | int | float | Value):
        return summary(value)
    if isinstance(value, list | tuple) and any(isinstance(item, Value) for item in value):
        return "\n".join(summary(item) for item in value)
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (TypeError, ValueError):
        return summary(value)

"""Anything shown as text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from graphflow.api import Artifact, Value, node, summary


class Shown(NamedTuple):
    STRING: str
    file: Artifact


@node("PreviewAny", title="Preview Any", category="utils", output_node=True)
def preview_any(source: Any) -> Shown:
    """Shows any value: texts and numbers as they are, lists as JSON, others by their type and size. Gives that text."""
    text = told(source)
    return Shown(text, Artifact("text/plain", text.encode(), "preview", {"temporary": True}))


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

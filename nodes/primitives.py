"""Single values, to be linked to several inputs or changed from outside."""

from __future__ import annotations

from typing import Annotated

from graphflow.api import Multiline, node

from ._fields import span

WHOLE = 2**63 - 1
"""Largest whole number that travels exactly."""


@node("PrimitiveInt", title="Int", category="utils/primitive")
def primitive_int(value: Annotated[int, span(-WHOLE, WHOLE)] = 0) -> int:
    """A whole number."""
    return value


@node("PrimitiveFloat", title="Float", category="utils/primitive")
def primitive_float(value: Annotated[float, span(-WHOLE, WHOLE)] = 0.0) -> float:
    """A number."""
    return value


@node("PrimitiveBoolean", title="Boolean", category="utils/primitive")
def primitive_boolean(value: bool = False) -> bool:
    """Yes or no."""
    return value


@node("PrimitiveString", title="String", category="utils/primitive")
def primitive_string(value: str = "") -> str:
    """A line of text."""
    return value


@node("PrimitiveStringMultiline", title="String (Multiline)", category="utils/primitive")
def primitive_string_multiline(value: Multiline = "") -> str:
    """Text of several lines."""
    return value

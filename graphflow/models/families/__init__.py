"""The families of models, by name."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.errors import UnsupportedFile
from graphflow.models.families import sd15
from graphflow.models.families.base import Call, Facts, Family, TextPart

FAMILIES: Mapping[str, Family] = {f.name: f for f in (sd15.FAMILY,)}


def family(name: str) -> Family:
    """The family of that name. Raises `UnsupportedFile` for one that is known by its looks only."""
    if name in FAMILIES:
        return FAMILIES[name]
    raise UnsupportedFile(f"models of the family {name!r} cannot be run; those that can: {', '.join(FAMILIES)}")


__all__ = ["FAMILIES", "Call", "Facts", "Family", "TextPart", "family"]

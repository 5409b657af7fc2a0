"""The families of models, by name; one file each."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.errors import UnsupportedFile
from graphflow.models.families import (
    auraflow,
    chroma,
    flux,
    flux2,
    hidream,
    lumina2,
    qwen_image,
    sana,
    sd2,
    sd3,
    sd15,
    sdxl,
    wan,
    z_image,
)
from graphflow.models.families.base import Call, Facts, Family, TextPart

_ALL = (
    sd15.FAMILY,
    sd2.FAMILY,
    sdxl.FAMILY,
    sdxl.REFINER,
    sd3.FAMILY,
    flux.FAMILY,
    flux2.FAMILY,
    chroma.FAMILY,
    qwen_image.FAMILY,
    z_image.FAMILY,
    lumina2.FAMILY,
    auraflow.FAMILY,
    sana.FAMILY,
    hidream.FAMILY,
    wan.FAMILY,
)
FAMILIES: Mapping[str, Family] = {one.name: one for one in _ALL}


def family(name: str) -> Family:
    """The family of that name. Raises `UnsupportedFile` when there is none."""
    if name in FAMILIES:
        return FAMILIES[name]
    raise UnsupportedFile(f"models of the family {name!r} cannot be run; those that can: {', '.join(FAMILIES)}")


__all__ = ["FAMILIES", "Call", "Facts", "Family", "TextPart", "family"]

"""The families of models, by name: one file here each, found by itself, and nothing else to add a new one.

A family's file says how its files look, and how its networks are computed with; planning asks the first without torch,
so torch is imported inside the functions that compute.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping

from graphflow.errors import UnsupportedFile
from graphflow.families.common.base import Call, Facts, Family, TextPart


def families_in(package: str, path: Iterable[str]) -> Iterator[Family]:
    """The `FAMILY` of each module of a package that lies at `path`; packages in it hold what families share."""
    for info in pkgutil.iter_modules(path):
        if not info.ispkg:
            yield importlib.import_module(f"{package}.{info.name}").FAMILY


FAMILIES: Mapping[str, Family] = {one.name: one for one in families_in(__name__, __path__)}


def family(name: str) -> Family:
    """The family of that name. Raises `UnsupportedFile` when there is none."""
    if name in FAMILIES:
        return FAMILIES[name]
    raise UnsupportedFile(f"models of the family {name!r} cannot be run; those that can: {', '.join(FAMILIES)}")


__all__ = ["FAMILIES", "Call", "Facts", "Family", "TextPart", "families_in", "family"]

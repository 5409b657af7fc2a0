"""The families of models, by name: one file here each, found by itself, and nothing else to add a new one.

A family's file says how its files look, and how its networks are computed with; planning asks the first without torch,
so torch is imported inside the functions that compute.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points

from graphflow.errors import UnsupportedFile
from graphflow.families.common.base import Call, Facts, Family, TextPart

log = logging.getLogger(__name__)

GROUP = "graphflow.families"
"""The group of entry points by which other packages bring families: `mine = "my_package.mine:FAMILY"`."""


def _own() -> Iterator[Family]:
    """Of each module here; packages here hold what families share."""
    for info in pkgutil.iter_modules(__path__):
        if not info.ispkg:
            yield importlib.import_module(f"{__name__}.{info.name}").FAMILY


def _installed() -> Iterator[Family]:
    """Of other packages, which name theirs as entry points; one that cannot be read is reported, and left out."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found = entry.load()
            if not isinstance(found, Family):
                raise TypeError(f"{entry.value} is no Family")
            yield found
        except Exception as error:  # whatever a stranger's module raises when imported
            log.warning("the model family %s cannot be used: %s: %s", entry.name, type(error).__name__, error)


def _by_name(families: Iterable[Family]) -> Mapping[str, Family]:
    found: dict[str, Family] = {}
    for one in families:
        if found.setdefault(one.name, one) is not one:
            log.warning("there is a model family %s already; the other one of that name is left out", one.name)
    return found


FAMILIES: Mapping[str, Family] = _by_name((*_own(), *_installed()))


def family(name: str) -> Family:
    """The family of that name. Raises `UnsupportedFile` when there is none."""
    if name in FAMILIES:
        return FAMILIES[name]
    raise UnsupportedFile(f"models of the family {name!r} cannot be run; those that can: {', '.join(FAMILIES)}")


__all__ = ["FAMILIES", "Call", "Facts", "Family", "TextPart", "family"]

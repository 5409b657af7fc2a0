"""What is known of each family before any weight is read: how its files look, and what goes with it.

One `Known` a family, free of torch; `graphflow.families` has a `Family` of the same name that computes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.families.common.looks import Signature

MODELS: tuple[Signature, ...] = tuple(replace(s, family=one.name) for one in FAMILIES.values() for s in one.signatures)
"""Denoising networks; the first that matches wins."""
USUAL_ENCODERS: Mapping[str, tuple[str, ...]] = {one.name: one.encoders for one in FAMILIES.values()}
"""The text encoders that a family's prompts go through."""
UNDERSTOOD = ", ".join(one.title for one in FAMILIES.values())


# --- types of text encoders ------------------------------------------------------------------------------------------


def _types() -> dict[str, dict[str, str]]:
    types: dict[str, dict[str, str]] = {}
    for one in FAMILIES.values():
        for type, encoder in one.types:
            types.setdefault(type, {})[encoder] = one.name
    return types


TYPES: Mapping[str, Mapping[str, str]] = _types()
"""A `type` of the text encoders' loader nodes: by the encoder that a file holds (any for the empty one), the family."""


def family_of_type(type: str, encoders: Collection[str]) -> str:
    """The family whose prompts go through these encoders. Raises `UnsupportedFile` when the type has none of them."""
    families = TYPES.get(type)
    if families is None:
        raise UnsupportedFile(
            f"text encoders of the type {type!r} are not supported; those that are: {', '.join(TYPES)}"
        )
    if "" in families:
        family = families[""]
        wanted = USUAL_ENCODERS[family]
        if not any(_may_be(encoder, other) for encoder in encoders for other in wanted):
            raise UnsupportedFile(
                f"prompts of the type {type!r} go through {', '.join(wanted)}, not {', '.join(encoders)}"
            )
        return family
    found = next((families[encoder] for encoder in families if encoder in encoders), None)
    if found is None:
        raise UnsupportedFile(f"the type {type!r} takes {', '.join(families)}, not {', '.join(encoders)}")
    return found


def lacking(family: str, parts: Collection[str]) -> tuple[str, ...]:
    """Parts that a checkpoint of the family usually has, and that are not among these."""
    encoders = (name for name in USUAL_ENCODERS[family] if not any(_alike(name, part) for part in parts))
    return (*encoders, *(() if "vae" in parts else ("vae",)))


_ALIKE = ({"t5", "umt5"}, {"qwen25", "qwen25_vl"}, {"qwen3", "mistral3"})


def _alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= kinds for kinds in _ALIKE)


def _may_be(one: str, other: str) -> bool:
    """CLIPs of unusual widths are told by the loader node."""
    return _alike(one, other) or (one.startswith("clip_") and other.startswith("clip_"))

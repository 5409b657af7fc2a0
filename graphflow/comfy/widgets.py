"""From ComfyUI's stored widget values, a bare list in the order of the widgets, to values by name; and values as ours.

The list holds more than the inputs' values: what happens to a seed after a run, the label of an upload button.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphflow.comfy.signatures import SEEDS, Slot

CONTROLS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
"""What a control value can say."""
UPLOADS = frozenset({"image", "video", "audio", "upload", "choose file to upload"})
"""What is stored for an upload button."""


def named_values(slots: Sequence[Slot], values: Any) -> dict[str, Any]:
    """Stored widget values by input; those that nobody stored are left out.

    `values` is a list in the order of the widgets, or already an object by name.
    """
    if isinstance(values, Mapping):
        return dict(values)
    if not isinstance(values, list):
        return {}
    legacy = [slot for slot in slots if slot.type in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")]
    if any(slot.socket for slot in legacy) and len(values) == sum(1 + slot.controls for slot in legacy):
        paired = _paired(legacy, _Rest(values))  # older editors stored a value for pure sockets, too
        return {slot.name: value for slot, value in paired if not slot.socket}
    return {slot.name: value for slot, value in _paired([s for s in slots if s.has_widget], _Rest(values))}


def draws_seed(slots: Sequence[Slot], values: Any) -> list[str]:
    """Inputs whose seed is to be drawn anew for each run."""
    if not isinstance(values, list):
        return []
    rest = _Rest(values)
    drawn = []
    for slot in _places([slot for slot in slots if slot.has_widget], rest):
        rest.skip_controls(slot)
        if rest.skipped == "randomize":
            drawn.append(slot.name)
    return drawn


class _Rest:
    """Stored values, taken one by one."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self._at = 0
        self.skipped: Any = None
        """The last control value passed over."""
        self.last: Any = None
        """The last value taken."""

    def __bool__(self) -> bool:
        return self._at < len(self._values)

    def take(self) -> Any:
        self.last = self._values[self._at]
        self._at += 1
        return self.last

    def skip(self, words: frozenset[str]) -> None:
        self.skipped = None
        if self and isinstance(self._values[self._at], str) and self._values[self._at] in words:
            self.skipped = self.take()

    def skip_controls(self, slot: Slot) -> None:
        """Past what follows a widget: a control value, and for combos a filter text."""
        value = self.last
        self.skipped = None
        if slot.controls:
            self.skip(CONTROLS)
            if slot.controls > 1 and self.skipped is not None and self:
                self.take()
        self.last = value


def _paired(slots: Sequence[Slot], rest: _Rest) -> Iterator[tuple[Slot, Any]]:
    for slot in _places(slots, rest):
        yield slot, rest.last
        rest.skip_controls(slot)


def _places(slots: Sequence[Slot], rest: _Rest) -> Iterator[Slot]:
    """Each slot once its value has been taken; upload buttons, which follow the required inputs, are passed over."""
    pending = [*slots]
    uploads = any(slot.upload for slot in slots)
    while pending and rest:
        slot = pending.pop(0)
        if uploads and slot.optional:
            rest.skip(UPLOADS)
            uploads = False
        if not rest:
            return
        value = rest.take()
        yield slot
        for option, inner in slot.choices:
            if option == value:
                pending[:0] = [one for one in inner if one.has_widget]


def slots_in_document(inputs: Sequence[Mapping[str, Any]]) -> list[Slot]:
    """What a saved node itself says of its widgets, for a type that nobody knows."""
    return [
        Slot(entry["name"], _type(entry), controls=1 if _type(entry) == "INT" and entry["name"] in SEEDS else 0)
        for entry in inputs
        if isinstance(entry.get("widget"), Mapping) and isinstance(entry.get("name"), str)
    ]


def _type(entry: Mapping[str, Any]) -> str:
    type = entry.get("type")
    return "COMBO" if isinstance(type, list) else str(type)


def accounts_for(slots: Sequence[Slot], values: Any) -> bool:
    """Whether these widgets explain every stored value: then names can be given to them without a definition."""
    if not isinstance(values, list) or not slots:
        return False
    rest = _Rest(values)
    return len(list(_paired(slots, rest))) == len(slots) and not rest


# --- values as our inputs want them ----------------------------------------------------------------------------------


def converted(field: Mapping[str, Any] | None, value: Any) -> Any:
    """A constant as our input wants it, where that is clear: numbers out of texts, other separators in file names.

    What cannot be converted comes back unchanged: the planner says what is wrong with it.
    """
    if field is None:
        return value
    if "folder" in field:
        return value.replace("\\", "/") if isinstance(value, str) else value
    if "enum" in field:
        return _choice(field["enum"], value)
    if any(_is_of(option, value) for option in field.get("anyOf", ())):
        return value
    for option in field.get("anyOf", ()):
        if option.get("type") != "null" and (better := converted(option, value)) != value:
            return better
    match field.get("type"):
        case "integer":
            return _integer(value)
        case "number":
            return _number(value)
        case "boolean":
            return _boolean(value)
        case "string" if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return value


_KINDS: Mapping[Any, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "string": (str,)}


def _is_of(option: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is of an option's type as it is."""
    if isinstance(value, bool) or option.get("type") == "boolean":
        return isinstance(value, bool) and option.get("type") == "boolean"
    return "enum" not in option and isinstance(value, _KINDS.get(option.get("type"), ()))


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = _number(value)
    if isinstance(value, float) and math.isfinite(value):
        return int(value)
    return int(value) if isinstance(value, bool) else value


def _number(value: Any) -> Any:
    try:
        number = float(value) if isinstance(value, str | int) else value
    except (ValueError, OverflowError):
        return value
    return number if isinstance(number, float) and math.isfinite(number) else value


_WORDS = {"true": True, "enable": True, "yes": True, "on": True, "false": False, "disable": False, "no": False}


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower(), value)
    return bool(value) if isinstance(value, int | float) else value


def _choice(choices: Sequence[Any], value: Any) -> Any:
    if value in choices or not isinstance(value, str | int | float):
        return value
    for candidate in (str(value).removeprefix("sample_"), str(value)):
        for choice in choices:
            if str(choice) == candidate:
                return choice
    return value

"""An input and an output of a schema, which all kinds of them build on."""

from __future__ import annotations

import enum
from typing import Any, ClassVar

OPTIONS = {
    "force_input": "forceInput",
    "widget_type": "widgetType",
    "dynamic_prompts": "dynamicPrompts",
    "display_mode": "display",
}
"""Keyword of an input -> its option in the class style."""


class Input:
    """An input of a schema."""

    type: ClassVar[str] = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.id = id
        self.optional = optional
        given = {"tooltip": tooltip, "lazy": lazy, **options, **(extra_dict or {})}
        self.options = {OPTIONS.get(key, key): plain(value) for key, value in given.items() if value is not None}
        self.declared = self.type

    def spec(self) -> tuple[Any, dict[str, Any]]:
        """As the class style has it."""
        if self.declared == "COMBO":
            choices = self.options.get("options", [])
            listed = [plain(one) for one in choices]
            return listed, {key: value for key, value in self.options.items() if key != "options"}
        return self.declared, self.options


def plain(value: Any) -> Any:
    """A member of an enumeration as what it stands for."""
    return value.value if isinstance(value, enum.Enum) else value


class Output:
    """An output of a schema."""

    type: str = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
        **options: Any,
    ) -> None:
        self.name = display_name or id or self.type
        self.tooltip = tooltip or ""
        self.is_list = is_output_list

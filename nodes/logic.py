"""Choices: one of two branches, one of a list of texts."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from graphflow.api import Lazy, Steps, node

from ._fields import said, span


class Choice(NamedTuple):
    STRING: str
    INDEX: int


@node("ComfySwitchNode", title="If/Else Switch", category="logic", outputs=("output",))
def if_else_switch(
    switch: Annotated[bool, said("Which of the two.")] = False,
    on_false: Lazy[Any] | None = None,
    on_true: Lazy[Any] | None = None,
) -> Steps[Any]:
    """One of two inputs. Only the chosen branch is computed, and only it needs a link."""
    name, chosen = ("on_true", on_true) if switch else ("on_false", on_false)
    if chosen is None:
        raise ValueError(f"switch chooses {name}, to which nothing is linked; link it or turn the switch")
    return (yield from chosen)


@node("ComfySoftSwitchNode", title="Soft Switch", category="logic", outputs=("output",))
def soft_switch(
    switch: Annotated[bool, said("Which of the two.")] = False,
    on_false: Lazy[Any] | None = None,
    on_true: Lazy[Any] | None = None,
) -> Steps[Any]:
    """The chosen input, or the other one where nothing is linked to it."""
    first, second = (on_true, on_false) if switch else (on_false, on_true)
    chosen = first if first is not None else second
    if chosen is None:
        raise ValueError("nothing is linked to the switch; link at least one of on_false and on_true")
    return (yield from chosen)


@node("CustomCombo", title="Custom Combo", category="utils", experimental=True)
def custom_combo(
    choice: Annotated[str, said("The text.")] = "",
    index: Annotated[int, span(0, None, description="Place of the choice in its list.")] = 0,
) -> Choice:
    """A text chosen from a list of one's own, and its place in it."""
    return Choice(choice, index)

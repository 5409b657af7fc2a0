"""Inputs of schema-style packs that are several, or depend on a choice, or on each other's type.

To the planner they are inputs like others, of names with dots: `images.image0`, `mode.width`. The pack's node is given
them as it declared them: a dict of what grew, a dict of a choice with its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from graphflow.comfy.packs.words import Input, Output

GROWS, WHEN = "graphflow_grows", "graphflow_when"
"""Options of a flat input: the group that it is one of, and the choices with which it matters."""
MOST = 100
"""Inputs of a group."""
When = Mapping[str, Sequence[str]]


# --- inputs of one kind, as many as are wanted ----------------------------------------------------------------------


@dataclass(frozen=True)
class Growth:
    """What grows: the kind of input, the names, and how many of the first must be given."""

    input: Input
    names: tuple[str, ...]
    min: int = 1


def _by_prefix(input: Input, prefix: str, min: int = 1, max: int = 10) -> Growth:
    return Growth(input, tuple(f"{prefix}{i}" for i in range(_at_most(max))), min)


def _by_names(input: Input, names: Sequence[str], min: int = 1) -> Growth:
    return Growth(input, tuple(names)[:MOST], min)


def _at_most(count: int) -> int:
    return max(0, min(count, MOST))


class Autogrow(Input):
    """As many inputs of one kind as are linked."""

    def __init__(self, id: str, template: Growth, *named: Any, **options: Any) -> None:
        super().__init__(id, *named, **options)
        self.template = template


# --- a choice with inputs of its own --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """One choice."""

    key: str
    inputs: Sequence[Input] = ()


class DynamicCombo(Input):
    """A choice, and the inputs that matter with it."""

    type = "COMBO"

    def __init__(self, id: str, options: Sequence[Option], *named: Any, **more: Any) -> None:
        super().__init__(id, *named, **more)
        self.choices = tuple(options)

    def spec(self) -> tuple[Any, dict[str, Any]]:
        """As the class style has it."""
        return [one.key for one in self.choices], self.options


# --- inputs and outputs of one type, whichever it is ------------------------------------------------------------------


class Template:
    """A type that several inputs and outputs share."""

    def __init__(self, template_id: str, allowed_types: Any = None) -> None:
        self.template_id = template_id
        kinds = allowed_types if isinstance(allowed_types, list | tuple) else [allowed_types] if allowed_types else []
        self.declared = ",".join(one.io_type for one in kinds) or "*"


class _MatchInput(Input):
    def __init__(self, id: str, template: Template, *named: Any, **options: Any) -> None:
        super().__init__(id, *named, **options)
        self.declared = "*" if "*" in template.declared else template.declared


class _MatchOutput(Output):
    def __init__(self, *named: Any, template: Template | None = None, **options: Any) -> None:
        """The template is named, or stands first."""
        if named and isinstance(named[0], Template):
            template, *rest = named
            named = tuple(rest)
        super().__init__(*named, **options)
        self.type = "*" if template is None else template.declared


def dynamic_words() -> dict[str, Any]:
    """The names in `io`."""
    grown = {"Input": Autogrow, "TemplatePrefix": _by_prefix, "TemplateNames": _by_names, "Type": dict}
    combo = {"Input": DynamicCombo, "Option": Option, "Type": dict}
    match = {"Input": _MatchInput, "Output": _MatchOutput, "Template": Template, "Type": Any}
    return {
        "Autogrow": SimpleNamespace(**grown),
        "DynamicCombo": SimpleNamespace(**combo),
        "MatchType": SimpleNamespace(**match),
    }


# --- flat for the planner, and back ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flat:
    """An input as the planner has it."""

    name: str
    spec: tuple[Any, dict[str, Any]]
    required: bool


def flattened(inputs: Sequence[Input]) -> list[Flat]:
    """Every input by its full name; one that several choices have in different forms takes what any of them takes."""
    found: dict[str, Flat] = {}
    for one in _flat(inputs, "", {}):
        there = found.get(one.name)
        found[one.name] = one if there is None else _merged(there, one)
    return list(found.values())


def _flat(inputs: Sequence[Input], prefix: str, when: When) -> Iterator[Flat]:
    for one in inputs:
        name = prefix + one.id
        if isinstance(one, Autogrow):
            kind, options = one.template.input.spec()
            for place, local in enumerate(one.template.names):
                needed = place < one.template.min and not one.optional and not when
                yield Flat(f"{name}.{local}", (kind, {**options, GROWS: name, WHEN: when}), needed)
            continue
        kind, options = one.spec()
        yield Flat(name, (kind, {**options, WHEN: when}), not one.optional and not when)
        if isinstance(one, DynamicCombo):
            for choice in one.choices:
                yield from _flat(choice.inputs, f"{name}.", {**when, name: (choice.key,)})


def _merged(first: Flat, second: Flat) -> Flat:
    (kind, options), (other, others) = first.spec, second.spec
    when = {name: (*options[WHEN].get(name, ()), *more) for name, more in others[WHEN].items()}
    if kind != other:
        kinds = [one if isinstance(one, str) else "COMBO" for one in (kind, other)]
        return Flat(first.name, (",".join(dict.fromkeys(kinds)), {WHEN: when, "anything": True}), False)
    both = {key: value for key, value in options.items() if others.get(key) == value or key == "default"}
    return Flat(first.name, (kind, {**both, WHEN: when}), False)


def arranged(inputs: Sequence[Input], given: Mapping[str, Any], *, checked: bool = False) -> dict[str, Any]:
    """What the planner's inputs amount to, in the form that the pack's node takes.

    With `checked`, raises `ValueError` for an input that is missing of those that the choice made needs.
    """
    return _arranged(inputs, given, "", checked)


def _arranged(inputs: Sequence[Input], given: Mapping[str, Any], prefix: str, checked: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in inputs:
        name = prefix + one.id
        if isinstance(one, Autogrow):
            grown = {local: given[f"{name}.{local}"] for local in one.template.names if f"{name}.{local}" in given}
            if checked and len(grown) < one.template.min and not one.optional:
                raise ValueError(f"{name} needs {one.template.min} inputs; it has {len(grown)}")
            found[one.id] = grown
        elif isinstance(one, DynamicCombo):
            chosen = given.get(name)
            key = chosen[0] if isinstance(chosen, list) and chosen else chosen
            inner = next((choice.inputs for choice in one.choices if choice.key == key), ())
            found[one.id] = {one.id: chosen, **_arranged(inner, given, f"{name}.", checked)}
        elif name in given:
            found[one.id] = given[name]
        elif checked and prefix and not one.optional:
            raise ValueError(f"{name} is missing, which this choice needs: link or write it")
    return found

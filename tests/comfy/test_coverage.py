"""How many of ComfyUI's published templates would run here."""

from __future__ import annotations

from graphflow.registry import discover
from tests.comfy.coverage import supported, survey


def test_what_is_known_can_be_planned_and_most_is_known() -> None:
    chosen = supported(survey(discover().definitions(), families_only=True))

    assert {one.name: one.problems for one in chosen if one.is_known and not one.is_planned} == {}
    assert sum(one.is_planned for one in chosen) / len(chosen) >= 0.7

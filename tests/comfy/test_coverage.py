"""How many of ComfyUI's published templates would run here."""

from __future__ import annotations

from pathlib import Path

from graphflow.registry import discover
from tests.comfy.coverage import supported, survey


def test_what_is_known_can_be_planned_and_nine_in_ten_are_known(tmp_path: Path) -> None:
    chosen = supported(survey(discover().definitions(), tmp_path, families_only=True))

    assert {one.name: one.problems for one in chosen if one.is_known and not one.is_planned} == {}
    assert len(chosen) > 70
    assert sum(one.is_planned for one in chosen) / len(chosen) >= 0.9

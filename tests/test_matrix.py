"""The page on families says what the tests run over."""

from __future__ import annotations

from pathlib import Path

from tests.matrix import matrix


def test_the_page_on_families_is_up_to_date() -> None:
    assert (Path(__file__).parent.parent / "docs" / "families.md").read_text() == matrix()

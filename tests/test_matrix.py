"""The page on families says what the tests run over, and each family says the same in both wings."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow.detect import KNOWN
from graphflow.models.families import FAMILIES
from tests.matrix import matrix


def test_the_page_on_families_is_up_to_date() -> None:
    assert (Path(__file__).parent.parent / "docs" / "families.md").read_text() == matrix()


@pytest.mark.parametrize("name", KNOWN)
def test_a_family_is_known_by_the_same_name_and_text_encoders_in_both_wings(name: str) -> None:
    alternatives = {"mistral3"}  # dev's, where Klein has Qwen3

    assert tuple(part.name for part in FAMILIES[name].text if part.name not in alternatives) == KNOWN[name].encoders
    assert KNOWN.keys() == FAMILIES.keys()

"""Nodes on texts."""

from __future__ import annotations

import pytest

from graphflow_nodes import strings as n


def test_joining_cutting_and_counting() -> None:
    assert n.string_concatenate("a", "b", ", ") == "a, b"
    assert n.string_substring("apple", 1, -1) == "ppl"
    assert n.string_length("apple") == 5
    assert n.string_trim("  a \n") == "a"
    assert (n.string_trim(" a ", "Left"), n.string_trim(" a ", "Right")) == ("a ", " a")
    assert n.string_replace("a red red apple", "red", "green") == "a green green apple"


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("UPPERCASE", "A RED APPLE"),
        ("lowercase", "a red apple"),
        ("Capitalize", "A red apple"),
        ("Title Case", "A Red Apple"),
    ],
)
def test_letters_are_changed(mode: str, wanted: str) -> None:
    assert n.case_converter("a Red apple", mode) == wanted  # type: ignore[arg-type]


def test_comparing() -> None:
    assert n.string_contains("An Apple", "apple", case_sensitive=False)
    assert not n.string_contains("An Apple", "apple")
    assert n.string_compare("Apple pie", "Apple", "Starts With")
    assert n.string_compare("Apple pie", "PIE", "Ends With", case_sensitive=False)
    assert not n.string_compare("Apple", "apple", "Equal")


def test_matching() -> None:
    assert n.regex_match("An Apple", "^an")
    assert not n.regex_match("An Apple", "^an", case_insensitive=False)
    assert n.regex_match("a\nb", "^b$", multiline=True)
    assert n.regex_match("a\nb", "a.b", dotall=True)


@pytest.mark.parametrize(
    ("mode", "pattern", "group", "wanted"),
    [
        ("First Match", r"\d+", 1, "12"),
        ("All Matches", r"\d+", 1, "12\n7"),
        ("All Matches", r"(\w)=(\d+)", 1, "a\nb"),
        ("First Group", r"(\w)=(\d+)", 2, "12"),
        ("All Groups", r"(\w)=(\d+)", 2, "12\n7"),
        ("First Group", r"(\w)=", 2, ""),
        ("First Match", r"xyz", 1, ""),
        ("All Groups", r"(x)|a", 1, ""),
    ],
)
def test_extracting(mode: str, pattern: str, group: int, wanted: str) -> None:
    assert n.regex_extract("a=12, b=7", pattern, mode, group_index=group) == wanted  # type: ignore[arg-type]


def test_replacing_by_pattern() -> None:
    assert n.regex_replace("a=1, b=2", r"(\w)=(\d)", r"\2=\1") == "1=a, 2=b"
    assert n.regex_replace("aaa", "a", "b", count=2) == "bba"


def test_a_broken_pattern_is_told() -> None:
    for use in (n.regex_match, n.regex_extract):
        with pytest.raises(ValueError, match="regex_pattern is no regular expression: missing"):
            use("a", "(")
    with pytest.raises(
        ValueError, match="replace refers to what regex_pattern does not have: invalid group reference 1"
    ):
        n.regex_replace("a", "a", r"\1")


def test_values_are_filled_in() -> None:
    assert n.string_format("{a} apples, {b:.2f} kg, {{c}}", a=3, b=0.5) == "3 apples, 0.50 kg, {c}"


def test_nothing_but_values_can_be_reached() -> None:
    for template in ("{a.__class__}", "{a[0]}", "{0}", "{}"):
        with pytest.raises(ValueError, match="is no plain name"):
            n.string_format(template, a="x")
    with pytest.raises(ValueError, match=r"asks for \{b\}, to which nothing is linked"):
        n.string_format("{b}", a=1)
    with pytest.raises(ValueError, match="cannot be filled in"):
        n.string_format("{a", a=1)


def test_a_key_is_found_in_the_first_object() -> None:
    assert n.json_extract_string('Here: {broken} ```{"prompt": "an apple", "n": 2}```', "prompt") == "an apple"
    assert n.json_extract_string('{"n": 2}', "n") == "2"
    assert [n.json_extract_string(text, "a") for text in ("", "{}", '{"a": null}', "[1]", "{" * 100)] == [""] * 5

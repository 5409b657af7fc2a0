"""Texts: joined, cut, searched, filled in."""

from __future__ import annotations

import json
import re
import string as library
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from graphflow.api import Grows, Multiline, Widget, node

from ._fields import said, span

Pattern = Annotated[str, Widget("multiline"), said("In Python's notation: docs.python.org/3/library/re.html.")]
CaseInsensitive = Annotated[bool, said("Small and capital letters are the same.")]
ManyLines = Annotated[bool, said("^ and $ match at every line.")]
DotAll = Annotated[bool, said("A dot matches line breaks, too.")]

LETTERS = tuple(library.ascii_lowercase)
NEWLINE = "\n"


@node("StringConcatenate", title="Concatenate", category="utils/string")
def string_concatenate(string_a: Multiline = "", string_b: Multiline = "", delimiter: str = "") -> str:
    """Two texts with a delimiter between them."""
    return string_a + delimiter + string_b


@node("StringSubstring", title="Substring", category="utils/string")
def string_substring(
    string: Multiline = "",
    start: Annotated[int, said("The first character, from 0.")] = 0,
    end: Annotated[int, said("The first character that is left out.")] = 0,
) -> str:
    """The characters from `start` up to, but without, `end`; negative numbers count from the text's end."""
    return string[start:end]


@node("StringLength", title="Length", category="utils/string", outputs=("length",))
def string_length(string: Multiline = "") -> int:
    """How many characters a text has."""
    return len(string)


@node("CaseConverter", title="Case Converter", category="utils/string")
def case_converter(
    string: Multiline = "", mode: Literal["UPPERCASE", "lowercase", "Capitalize", "Title Case"] = "UPPERCASE"
) -> str:
    """A text in other letters."""
    converted = {
        "UPPERCASE": string.upper(),
        "lowercase": string.lower(),
        "Capitalize": string.capitalize(),
        "Title Case": string.title(),
    }
    return converted[mode]


@node("StringTrim", title="Trim", category="utils/string")
def string_trim(string: Multiline = "", mode: Literal["Both", "Left", "Right"] = "Both") -> str:
    """A text without the white space at its ends."""
    return {"Both": string.strip(), "Left": string.lstrip(), "Right": string.rstrip()}[mode]


@node("StringReplace", title="Replace", category="utils/string")
def string_replace(string: Multiline = "", find: Multiline = "", replace: Multiline = "") -> str:
    """A text with every occurrence of another replaced."""
    return string.replace(find, replace)


@node("StringContains", title="Contains", category="utils/string", outputs=("contains",))
def string_contains(string: Multiline = "", substring: Multiline = "", case_sensitive: bool = True) -> bool:
    """Whether a text occurs in another."""
    return substring in string if case_sensitive else substring.lower() in string.lower()


@node("StringCompare", title="Compare", category="utils/string")
def string_compare(
    string_a: Multiline = "",
    string_b: Multiline = "",
    mode: Literal["Starts With", "Ends With", "Equal"] = "Starts With",
    case_sensitive: bool = True,
) -> bool:
    """Whether the first text starts with, ends with or equals the second."""
    a, b = (string_a, string_b) if case_sensitive else (string_a.lower(), string_b.lower())
    return {"Starts With": a.startswith(b), "Ends With": a.endswith(b), "Equal": a == b}[mode]


# --- regular expressions ---------------------------------------------------------------------------------------------


@node("RegexMatch", title="Regex Match", category="utils/string", outputs=("matches",))
def regex_match(
    string: Multiline = "",
    regex_pattern: Pattern = "",
    case_insensitive: CaseInsensitive = True,
    multiline: ManyLines = False,
    dotall: DotAll = False,
) -> bool:
    """Whether a regular expression is found in a text."""
    return _pattern(regex_pattern, case_insensitive, multiline, dotall).search(string) is not None


@node("RegexExtract", title="Regex Extract", category="utils/string")
def regex_extract(
    string: Multiline = "",
    regex_pattern: Pattern = "",
    mode: Literal["First Match", "All Matches", "First Group", "All Groups"] = "First Match",
    case_insensitive: CaseInsensitive = True,
    multiline: ManyLines = False,
    dotall: DotAll = False,
    group_index: Annotated[int, span(0, 100, description="0 is all that was found.")] = 1,
) -> str:
    """What a regular expression finds in a text, or one of its groups, a line each; nothing found is an empty text.

    `All Matches` gives the first group where the expression has several.
    """
    pattern = _pattern(regex_pattern, case_insensitive, multiline, dotall)
    found = list(pattern.finditer(string))
    if mode.startswith("First"):
        del found[1:]
    if mode.endswith(("Group", "Groups")):
        return NEWLINE.join(m.group(group_index) or "" for m in found if pattern.groups >= group_index)
    whole = 0 if mode == "First Match" else min(pattern.groups, 1)
    return NEWLINE.join(m.group(whole) or "" for m in found)


@node("RegexReplace", title="Regex Replace", category="utils/string")
def regex_replace(
    string: Multiline = "",
    regex_pattern: Pattern = "",
    replace: Multiline = "",
    case_insensitive: CaseInsensitive = True,
    multiline: ManyLines = False,
    dotall: DotAll = False,
    count: Annotated[int, span(0, 100, description="How many at most; 0 means all.")] = 0,
) -> str:
    r"""A text with what a regular expression finds replaced; `\1` stands for its first group."""
    pattern = _pattern(regex_pattern, case_insensitive, multiline, dotall)
    try:
        return pattern.sub(replace, string, count=count)
    except re.error as error:
        raise ValueError(f"replace refers to what regex_pattern does not have: {error}") from error


def _pattern(text: str, case_insensitive: bool, multiline: bool, dotall: bool) -> re.Pattern[str]:
    flags = re.IGNORECASE * case_insensitive | re.MULTILINE * multiline | re.DOTALL * dotall
    try:
        return re.compile(text, flags)
    except re.error as error:
        raise ValueError(f"regex_pattern is no regular expression: {error}; escape special signs with \\") from error


# --- filled in and taken apart ---------------------------------------------------------------------------------------


@node("StringFormat", title="Format Text", category="utils/string")
def string_format(f_string: Multiline = "{a}", **values: Annotated[Any, Grows(LETTERS, required=0)]) -> str:
    """A text with values filled in: `{a}`, or with Python's format, `{a:.2f}`; `{{` stands for a brace."""
    try:
        return _Formatter().vformat(f_string, (), values)
    except KeyError as error:
        raise ValueError(f"f_string asks for {{{error.args[0]}}}, to which nothing is linked") from error
    except ValueError as error:
        raise ValueError(f"f_string cannot be filled in: {error}; write {{{{ for a brace that stays") from error


class _Formatter(library.Formatter):
    """Plain names only: no attributes or items of the values can be reached."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        if not field_name.isidentifier():
            raise ValueError(f"{{{field_name}}} is no plain name")
        return kwargs[field_name], field_name


@node("JsonExtractString", title="Extract Text from JSON", category="utils/string")
def json_extract_string(json_string: Multiline = "", key: str = "") -> str:
    """The value of a key in the first JSON object of a text, as text; empty where there is none."""
    decoder = json.JSONDecoder()
    for start in (m.start() for m in re.finditer("{", json_string)):
        try:
            found, _ = decoder.raw_decode(json_string, start)
        except (ValueError, RecursionError):
            continue
        value = found.get(key)
        return "" if value is None else str(value)
    return ""

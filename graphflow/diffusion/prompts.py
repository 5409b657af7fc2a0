"""The syntax of prompts: weights, textual inversions, and chunks of tokens.

`(text)` weighs 1.1 times as much, nesting multiplies; `(text:1.3)` weighs 1.3, whatever is around it. `\\(` and `\\)` are
brackets as such; a bracket without its partner is text. `embedding:NAME` stands for the vectors of a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Token = int | Tensor
"""A number in a vocabulary, or a vector (D,) in its place."""
Chunk = list[tuple[Token, float]]
"""Tokens with their weights."""

EMBEDDING = r"(?:^|(?<=\s))embedding:(\S+)"
"""What names a textual inversion in a text; the group is its name."""
DEPTH = 256
"""How many brackets may lie in one another."""
LONG = 8
"""A piece of that many tokens may be cut at a chunk's end; a shorter one moves to the next chunk whole."""


class Vocabulary(Protocol):
    """A tokenizer."""

    @property
    def words(self) -> Callable[[str], Sequence[int]]:
        """The tokens of a text, without start, end or padding."""

    @property
    def start(self) -> int | None:
        """Token before a text."""

    @property
    def end(self) -> int | None:
        """Token after a text."""

    @property
    def pad(self) -> int:
        """Token that fills up."""


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt of one weight."""

    text: str
    weight: float


def parse(text: str, weight: float = 1.0) -> list[Segment]:
    """The prompt's pieces with their weights, brackets resolved."""
    hidden = text.replace(r"\)", "\0").replace(r"\(", "\1")
    return [Segment(s.text.replace("\0", ")").replace("\1", "("), s.weight) for s in _weighted(hidden, weight)]


def _weighted(text: str, weight: float, depth: int = 0) -> Iterator[Segment]:
    if depth > DEPTH:
        raise ValueError(f"the prompt's brackets nest deeper than {DEPTH}; write the weight once, as in (text:1.3)")
    for start, end in _spans(text):
        part = text[start:end]
        if len(part) < 2 or part[0] != "(" or part[-1] != ")":
            yield Segment(part, weight)
            continue
        inner, colon, number = part[1:-1].rpartition(":")
        said = _number(number) if colon and inner else None
        if said is None:
            yield from _weighted(part[1:-1], weight * 1.1, depth + 1)
        else:
            yield from _weighted(inner, said, depth + 1)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each outermost pair of brackets lies, and what is between them."""
    depth = begin = 0
    for bracket in re.finditer(r"[()]", text):
        position = bracket.start()
        if bracket[0] == "(":
            if depth == 0 and position > begin:
                yield begin, position
            begin = position if depth == 0 else begin
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                yield begin, position + 1
                begin = position + 1
    if begin < len(text):
        yield begin, len(text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- tokens ----------------------------------------------------------------------------------------------------------

Lookup = Callable[[str], Tensor | None]
"""From a textual inversion's name to its vectors (n, D); None when there is no such file."""


def pieces(text: str, vocabulary: Vocabulary, embedding: Lookup | None) -> list[Chunk]:
    """The tokens of a prompt, one list for each piece that is tokenised on its own; without `embedding`, all is text."""
    found = []
    for segment in parse(text):
        for _, part in _split(segment.text, embedding) if embedding else [("text", segment.text)]:
            tokens: list[Token] = list(vocabulary.words(part)) if isinstance(part, str) else list(part)
            found.append([(token, segment.weight) for token in tokens])
    return [piece for piece in found if piece]


def _split(text: str, embedding: Lookup) -> Iterator[tuple[str, str | Tensor]]:
    """Text and vectors in turn; an embedding that is not there is left out, the comma after its name is text again."""
    position = 0
    for match in re.finditer(EMBEDDING, text):
        yield "text", text[position : match.start()]
        name = match[1]
        vectors, rest = embedding(name), ""
        if vectors is None and name.endswith(","):
            vectors, rest = embedding(name.strip(",")), name[len(name.rstrip(",")) :]
        if vectors is not None:
            yield "vectors", vectors
        yield "text", rest
        position = match.end()
    yield "text", text[position:]


def chunks(text: str, vocabulary: Vocabulary, *, length: int = 77, embedding: Lookup | None = None) -> list[Chunk]:
    """The tokens of a prompt in chunks of one length, each with start, end and padding; at least one."""
    start, end = _marks(vocabulary)
    made: list[Chunk] = [[*start]]
    room = length - len(end)
    for piece in pieces(text, vocabulary, embedding):
        rest = piece
        while len(made[-1]) + len(rest) > room:
            taken = room - len(made[-1]) if len(piece) >= LONG else 0
            made[-1] += rest[:taken]
            rest = rest[taken:]
            if taken == 0 and len(made[-1]) == len(start):
                raise ValueError(f"a piece of {len(piece)} tokens does not fit into a chunk of {length}")
            made.append([*start])
        made[-1] += rest
    return [_closed(chunk, end, length, vocabulary.pad) for chunk in made]


def unbroken(
    text: str, vocabulary: Vocabulary, *, least: int = 0, padding: int = 0, embedding: Lookup | None = None
) -> Chunk:
    """The tokens of a prompt in one piece with start and end, then `padding` that fill up, and more up to `least`."""
    start, end = _marks(vocabulary)
    whole = [*start, *(token for piece in pieces(text, vocabulary, embedding) for token in piece), *end]
    whole += [(vocabulary.pad, 1.0)] * padding
    return whole + [(vocabulary.pad, 1.0)] * (least - len(whole))


def _marks(vocabulary: Vocabulary) -> tuple[Chunk, Chunk]:
    start: Chunk = [] if vocabulary.start is None else [(vocabulary.start, 1.0)]
    end: Chunk = [] if vocabulary.end is None else [(vocabulary.end, 1.0)]
    return start, end


def _closed(chunk: Chunk, end: Chunk, length: int, pad: int) -> Chunk:
    closed = [*chunk, *end]
    return closed + [(pad, 1.0)] * (length - len(closed))


def weigh(encoded: Tensor, empty: Tensor, tokens: Sequence[Chunk]) -> Tensor:
    """Moves each token's encoding (n, T, D) away from the empty prompt's at its place (T, D), by the token's weight.

    Those of weight 1 stay to the last bit: `(z - e) + e` is not z. Raises `ValueError` where a weight is too large.
    """
    weights = torch.tensor([[weight for _, weight in chunk] for chunk in tokens], device=encoded.device)[:, :, None]
    moved = torch.where(weights == 1.0, encoded, (encoded - empty) * weights + empty)
    if not bool(moved.isfinite().all()) and bool(encoded.isfinite().all()):
        worst = max((weight for chunk in tokens for _, weight in chunk), key=lambda w: (math.isnan(w), abs(w)))
        raise ValueError(
            f"a piece of the prompt weighs {worst:.4g}, of which no encoding can be made; weights lie around 1, as in "
            "(text:1.3)"
        )
    return moved

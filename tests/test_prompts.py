"""Prompts are read and cut into chunks as ComfyUI does, for every golden prompt."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from graphflow.diffusion.prompts import Segment, chunks, parse, unbroken, weigh
from graphflow.models.tokenizers import clip
from tests.tiny import GOLDEN

PROMPTS: list[dict[str, Any]] = json.loads((GOLDEN / "prompts.json").read_text())["prompts"]


@pytest.mark.parametrize("case", PROMPTS, ids=lambda case: case["prompt"][:30])
def test_weights_are_those_of_the_golden_run(case: dict[str, Any]) -> None:
    assert parse(case["prompt"]) == [Segment(text, float(weight)) for text, weight in case["segments"]]


@pytest.mark.parametrize("case", PROMPTS, ids=lambda case: case["prompt"][:30])
def test_chunks_are_those_of_the_golden_run(case: dict[str, Any]) -> None:
    made = chunks(case["prompt"], clip())
    golden = [
        [(token[1], float(token[2])) for token in chunk["tokens"]] + [(chunk["pad"], 1.0)] * (77 - len(chunk["tokens"]))
        for chunk in case["clip_l"]
    ]

    assert [[token for token, _ in chunk] for chunk in made] == [[token for token, _ in chunk] for chunk in golden]
    for chunk, other in zip(made, golden, strict=True):
        assert [weight for _, weight in chunk] == pytest.approx([weight for _, weight in other])


def test_an_inner_weight_replaces_the_outer_one() -> None:
    assert parse("(a (b:1.5):1.2)") == [Segment("a ", 1.2), Segment("b", 1.5)]


def test_an_embedding_stands_for_its_vectors_and_takes_the_weight() -> None:
    vectors = torch.ones(2, 4)
    (chunk,) = chunks("a (embedding:mine, cat:1.3)", clip(pad=0), embedding={"mine": vectors}.get)

    tokens = [(token if isinstance(token, int) else token.tolist(), weight) for token, weight in chunk[:7]]
    assert tokens == [
        (49406, 1.0), (320, 1.0), ([1.0] * 4, 1.3), ([1.0] * 4, 1.3), (267, 1.3), (2368, 1.3), (49407, 1.0),
    ]  # fmt: skip


def test_an_embedding_that_is_not_there_is_left_out() -> None:
    (chunk,) = chunks("embedding:none cat", clip(), embedding=lambda _: None)

    assert [token for token, _ in chunk[:3]] == [49406, 2368, 49407]


def test_an_unbroken_prompt_is_padded_to_the_least_length() -> None:
    assert unbroken("cat", clip(pad=0), least=5) == [(49406, 1), (2368, 1), (49407, 1), (0, 1), (0, 1)]


def test_brackets_that_nest_without_end_are_told() -> None:
    assert parse("(" * 256 + "cat" + ")" * 256) == [Segment("cat", pytest.approx(1.1**256))]
    with pytest.raises(ValueError, match=r"brackets nest deeper than 256; write the weight once, as in \(text:1\.3\)"):
        parse("(" * 2000 + "cat" + ")" * 2000)
    assert parse("(" * 100_000) == [Segment("(" * 100_000, 1.0)]


def test_ten_thousand_words_are_chunks_of_75() -> None:
    words = clip()
    assert len(chunks("cat " * 10_000, words)) == math.ceil(10_000 / 75)
    assert len(chunks("(cat:1.2) " * 10_000, words)) == math.ceil(10_000 / 75)


def test_a_token_of_weight_1_keeps_its_encoding_to_the_last_bit() -> None:
    encoded, empty = torch.rand(1, 3, 4), torch.rand(3, 4) * 1e3
    moved = weigh(encoded, empty, [[(1, 1.0), (2, 1.5), (3, 0.0)]])
    assert torch.equal(moved[0, 0], encoded[0, 0])
    assert torch.equal(moved[0, 1], (encoded[0, 1] - empty[1]) * 1.5 + empty[1])
    assert torch.equal(moved[0, 2], empty[2])


@pytest.mark.parametrize("text", ["(cat:inf)", "(cat:1e999)", "(cat:nan)", "a (cat:-inf)", "(cat:1e39)"])
def test_weights_that_are_no_numbers_are_told(text: str) -> None:
    (chunk,) = chunks(text, clip())
    with pytest.raises(ValueError, match=r"a piece of the prompt weighs -?(inf|nan|1e\+39), of which no encoding can"):
        weigh(torch.ones(1, 77, 2), torch.zeros(77, 2), [chunk])

"""Choices, batches, lists, and anything as text."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphflow.api import Image, Latent, Lazy, Mask, Need
from graphflow.node import node_of
from graphflow_nodes import batches as b
from graphflow_nodes import logic as n
from graphflow_nodes import preview, primitives


def run(steps: Any, **branches: Any) -> tuple[Any, list[str]]:
    """What a slow node returns, and the inputs it asked for."""
    asked: list[str] = []
    try:
        request = next(steps)
        while True:
            assert isinstance(request, Need)
            asked.append(request.input)
            request = steps.send(branches[request.input])
    except StopIteration as end:
        return end.value, asked


FALSE: Lazy[Any] = Lazy("on_false")
TRUE: Lazy[Any] = Lazy("on_true")


def test_only_the_chosen_branch_is_asked_for() -> None:
    assert run(n.if_else_switch(True, FALSE, TRUE), on_true=1, on_false=2) == (1, ["on_true"])
    assert run(n.if_else_switch(False, FALSE, TRUE), on_true=1, on_false=2) == (2, ["on_false"])
    assert [port.lazy for port in node_of(n.if_else_switch).definition.inputs] == [False, True, True]


def test_the_chosen_branch_needs_a_link() -> None:
    with pytest.raises(ValueError, match="switch chooses on_true, to which nothing is linked"):
        run(n.if_else_switch(True, FALSE))


def test_a_soft_switch_falls_back() -> None:
    assert run(n.soft_switch(True, FALSE), on_false=2) == (2, ["on_false"])
    assert run(n.soft_switch(False, FALSE, TRUE), on_false=2) == (2, ["on_false"])
    with pytest.raises(ValueError, match="nothing is linked to the switch"):
        run(n.soft_switch(False))


def test_a_choice_and_its_place() -> None:
    assert n.custom_combo("Smooth", 1) == ("Smooth", 1)


def test_primitives_are_what_they_are() -> None:
    assert primitives.primitive_int(2**63 - 1) == 2**63 - 1
    assert primitives.primitive_float(0.1) == 0.1
    assert primitives.primitive_boolean(True) is True
    assert (primitives.primitive_string("a"), primitives.primitive_string_multiline("a\nb")) == ("a", "a\nb")


# --- batches ---------------------------------------------------------------------------------------------------------


def images(count: int, side: int = 1, channels: int = 3) -> Image:
    return Image(torch.arange(float(count)).reshape(count, 1, 1, 1).expand(count, side, side, channels).contiguous())


def firsts(image: Image) -> list[float]:
    return image.data[:, 0, 0, 0].tolist()


def test_pictures_become_one_batch_in_the_first_ones_size() -> None:
    assert b.image_batch(images(2), images(1, 4)).data.shape == (3, 1, 1, 3)
    assert firsts(b.batch_images(image0=images(2), image1=images(3))) == [0, 1, 0, 1, 2]
    mixed = b.batch_images(image0=images(1), image1=images(1, channels=4)).data
    assert (mixed.shape, mixed[0, 0, 0, 3].item()) == ((2, 1, 1, 4), 1.0)


def test_masks_and_latents_become_one_batch() -> None:
    masks = b.batch_masks(mask0=Mask(torch.zeros(1, 2, 2)), mask1=Mask(torch.ones(2, 4, 4)))
    assert masks.data.mean((1, 2)).tolist() == [0, 1, 1]
    latents = b.batch_latents(
        latent0=Latent(torch.zeros(1, 4, 2, 2)), latent1=Latent(torch.ones(1, 4, 4, 4), None, (7,))
    )
    assert (latents.data.mean((1, 2, 3)).tolist(), latents.batch_index) == ([0, 1], (0, 7))
    with pytest.raises(ValueError, match="different models"):
        b.batch_latents(latent0=Latent(torch.zeros(1, 4, 2, 2)), latent1=Latent(torch.zeros(1, 16, 2, 2)))


def test_some_of_a_batch() -> None:
    assert firsts(b.image_from_batch(images(4), 1, 2)) == [1, 2]
    assert firsts(b.image_from_batch(images(4), 9, 9)) == [3]
    assert firsts(b.image_from_batch(images(4), -2, 1)) == [2]
    assert firsts(b.repeat_image_batch(images(2), 2)) == [0, 1, 0, 1]


def test_batches_are_joined_and_split() -> None:
    assert [firsts(x) for x in b.rebatch_images([images(3), images(2)], 2)] == [[0, 1], [2, 0], [1]]
    with pytest.raises(ValueError, match="different sizes cannot be one batch: 1 × 1 × 3, 2 × 2 × 3"):
        b.rebatch_images([images(1), images(1, 2)], 2)


def test_lists_are_made_and_taken_from() -> None:
    assert b.create_list(input0=["a"], input1=["b", "c"]) == ["a", "b", "c"]
    assert (b.get_item_from_list(["a", "b"], 1), b.get_item_from_list(["a", "b"], -2)) == ("b", "a")
    with pytest.raises(ValueError, match="index is 2, but the list has 2 items"):
        b.get_item_from_list(["a", "b"], 2)


# --- as text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("an apple", "an apple"),
        (2, "2"),
        (0.5, "0.5"),
        (True, "True"),
        (None, "None"),
        ({"a": [1, "é"]}, '{\n  "a": [\n    1,\n    "é"\n  ]\n}'),
        (images(2), "Image(2x1x1x3)"),
        ([images(1), images(2)], "Image(1x1x1x3)\nImage(2x1x1x3)"),
        ({1j}, "{1j}"),
    ],
)
def test_anything_is_shown_as_text(value: Any, text: str) -> None:
    passed_on, shown = preview.preview_any(value)
    assert passed_on == text
    assert (shown.media_type, shown.data.decode(), shown.details) == ("text/plain", text, {"temporary": True})

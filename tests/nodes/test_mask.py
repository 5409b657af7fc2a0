"""Nodes on masks, on a few pixels each, with the numbers stated."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from graphflow.api import Image, Mask
from graphflow_nodes import mask as n


def mask(*rows: list[float]) -> Mask:
    return Mask(torch.tensor([rows], dtype=torch.float32))


def values(mask: Mask) -> list[list[float]]:
    return [[round(value, 4) for value in row] for row in mask.data[0].tolist()]


DOT = mask([0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0])


def test_made_and_converted() -> None:
    assert n.solid_mask(0.5, 2, 1).data.tolist() == [[[0.5, 0.5]]]
    assert values(n.invert_mask(mask([0.25, 1.0]))) == [[0.75, 0.0]]
    assert n.mask_to_image(mask([0.25])).data.tolist() == [[[[0.25] * 3]]]
    assert values(n.threshold_mask(mask([0.5, 0.51]), 0.5)) == [[0.0, 1.0]]


def test_a_channel_becomes_a_mask_as_it_is() -> None:
    glass = Image(torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(1, 1, 1, 4))
    assert [values(n.image_to_mask(glass, c))[0][0] for c in ("red", "green", "blue", "alpha")] == [0.1, 0.2, 0.3, 0.4]


def test_alpha_is_asked_of_pictures_that_have_it() -> None:
    with pytest.raises(ValueError, match="no alpha channel"):
        n.image_to_mask(Image(torch.zeros(1, 1, 1, 3)), "alpha")


def test_a_colour_is_found_in_eight_bits() -> None:
    image = Image(torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.499, 0.0], [1.0, 0.6, 0.0]]).reshape(1, 1, 3, 3))
    assert values(n.image_color_to_mask(image, 0xFF8000)) == [[1.0, 0.0, 0.0]]


def test_a_mask_is_cropped() -> None:
    assert values(n.crop_mask(mask([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]), 1, 1, 5, 5)) == [[0.5, 0.6]]
    assert values(n.crop_mask(mask([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]), 0, 0, 2, 1)) == [[0.1, 0.2]]
    with pytest.raises(ValueError, match="x 3, y 0 lies outside of the mask, which is 3 × 1"):
        n.crop_mask(mask([0.1, 0.2, 0.3]), 3, 0, 1, 1)


def test_growing_gives_a_diamond_or_a_square() -> None:
    assert values(n.grow_mask(DOT, 2)) == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1] * 5, [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    assert values(n.grow_mask(DOT, 1, False))[1:4] == [[0, 1, 1, 1, 0]] * 3
    assert values(n.grow_mask(DOT, 0)) == values(DOT)


def test_shrinking_is_growing_of_the_rest() -> None:
    hole = n.invert_mask(DOT)
    assert values(n.grow_mask(hole, -2)) == values(n.invert_mask(n.grow_mask(DOT, 2)))
    assert values(n.grow_mask(mask([1, 1, 1]), -1)) == [[1, 1, 1]]  # outside counts for nothing


def test_growing_beyond_the_mask_ends() -> None:
    assert n.grow_mask(DOT, 16384).data.min() == 1


def test_soft_values_keep_their_height() -> None:
    assert values(n.grow_mask(mask([0, 0.5, 0, 0, 0.25]), 1)) == [[0.5, 0.5, 0.5, 0.25, 0.25]]


def test_feathering_from_left_and_top() -> None:
    assert values(n.feather_mask(mask([1, 1, 1]), left=2)) == [[0.5, 1, 1]]
    assert values(n.feather_mask(mask([1], [1], [1]), top=2)) == [[0.5], [1], [1]]
    assert values(n.feather_mask(mask([1], [1], [1]), top=3)) == [[0.3333], [0.6667], [1]]


def test_feathering_from_right_and_bottom_begins_at_the_opposite_side() -> None:
    assert values(n.feather_mask(mask([1, 1, 1, 1]), right=2)) == [[0.5, 1, 1, 1]]
    assert values(n.feather_mask(mask([1, 1, 1, 1, 1]), right=4)) == [[0.25, 1, 1, 0.75, 0.5]]
    assert values(n.feather_mask(mask([1], [1], [1]), bottom=2)) == [[0.5], [1], [1]]
    assert values(n.feather_mask(mask([1], [1], [1]), bottom=3)) == [[0.3333], [1], [0.6667]]


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [("multiply", 0.24), ("add", 1.0), ("subtract", 0.2), ("and", 0.0), ("or", 1.0), ("xor", 1.0)],
)
def test_masks_are_combined(operation: str, wanted: float) -> None:
    combined = n.mask_composite(mask([0.1, 0.6]), mask([0.4, 0.9]), 1, 0, operation)  # type: ignore[arg-type]
    assert values(combined) == [[0.1, wanted]]


def test_masks_are_not_combined_outside() -> None:
    with pytest.raises(ValueError, match="lies outside of the mask"):
        n.mask_composite(mask([0, 0]), mask([1]), 2, 0, "add")
    with pytest.raises(ValueError, match="destination has 2 and source has 3"):
        n.mask_composite(Mask(torch.zeros(2, 1, 1)), Mask(torch.zeros(3, 1, 1)))


def test_alpha_is_joined_and_split_again() -> None:
    image = Image(torch.full((1, 2, 2, 3), 0.5))
    glass = n.join_image_with_alpha(image, mask([0.25]))
    assert glass.data[0, 0, 0].tolist() == [0.5, 0.5, 0.5, 0.75]
    colors, transparent = n.split_image_with_alpha(glass)
    assert (colors.data.tolist(), transparent.data[0, 0, 0].item()) == (image.data.tolist(), 0.25)
    assert n.split_image_with_alpha(image).MASK.data.sum() == 0


HALF = {
    "ADD": (0.45, 0.0), "CLEAR": (0.0, 1.0), "DARKEN": (0.4333, 0.25), "DST": (0.2, 0.5), "DST_ATOP": (0.45, 0.5),
    "DST_IN": (0.2, 0.75), "DST_OUT": (0.2, 0.75), "DST_OVER": (0.3667, 0.25), "LIGHTEN": (0.7667, 0.25),
    "MULTIPLY": (0.14, 0.75), "OVERLAY": (0.0933, 0.25), "SCREEN": (0.5533, 0.25), "SRC": (0.7, 0.5),
    "SRC_ATOP": (0.45, 0.5), "SRC_IN": (0.7, 0.75), "SRC_OUT": (0.7, 0.75), "SRC_OVER": (0.5333, 0.25),
    "XOR": (0.45, 0.5),
}  # fmt: skip
"""Colour and mask of 0.7 over 0.2, both half transparent, worked out by hand."""


@pytest.mark.parametrize("mode", get_args(n.Mode))
def test_porter_and_duff_put_half_transparent_pictures_together(mode: n.Mode) -> None:
    half = mask([0.5])
    above, below = (Image(torch.full((1, 1, 1, 3), value)) for value in (0.7, 0.2))
    color, transparent = n.porter_duff_image_composite(above, half, below, half, mode)
    assert (round(color.data[0, 0, 0, 1].item(), 4), round(transparent.data.item(), 4)) == HALF[mode]


def test_the_source_is_resized_to_the_destination() -> None:
    above, below = Image(torch.ones(2, 4, 4, 3)), Image(torch.zeros(1, 2, 2, 3))
    color, transparent = n.porter_duff_image_composite(above, mask([0.0]), below, mask([0.0]), "SRC")
    assert (color.data.shape, transparent.data.shape, color.data.min().item()) == ((1, 2, 2, 3), (1, 2, 2), 1.0)

"""Nodes on pictures, on a few pixels each, with the numbers stated."""

from __future__ import annotations

import math

import pytest
import torch

from graphflow.api import Image, Mask
from graphflow.diffusion.resizing import slerp
from graphflow_nodes import _tensors as t
from graphflow_nodes import image as n

UPSCALE = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")


def grey(*rows: list[float]) -> Image:
    """One picture of three equal channels."""
    return Image(torch.tensor([rows], dtype=torch.float32)[..., None].repeat(1, 1, 1, 3))


def rows(image: Image, channel: int = 0, index: int = 0) -> list[list[float]]:
    return [[round(value, 4) for value in row] for row in image.data[index, ..., channel].tolist()]


STEPS = grey([0.0, 0.25], [0.5, 1.0])


def test_an_empty_image_has_its_colour() -> None:
    image = n.empty_image(2, 1, 3, 0xFF8000)
    assert image.data.shape == (3, 1, 2, 3)
    assert image.data[2, 0, 1].tolist() == pytest.approx([1.0, 128 / 255, 0.0])


def test_size_and_count_are_told() -> None:
    assert n.get_image_size(n.empty_image(5, 7, 2)) == (5, 7, 2)


def test_inverting_gives_the_negative() -> None:
    assert rows(n.image_invert(STEPS)) == [[1.0, 0.75], [0.5, 0.0]]


# --- size ------------------------------------------------------------------------------------------------------------


def test_nearest_exact_repeats_pixels() -> None:
    assert rows(n.image_scale(STEPS, "nearest-exact", 4, 2)) == [[0.0, 0.0, 0.25, 0.25], [0.5, 0.5, 1.0, 1.0]]


def test_bilinear_mixes_neighbours_at_pixel_centres() -> None:
    assert rows(n.image_scale(grey([0.0, 1.0]), "bilinear", 4, 1)) == [[0.0, 0.25, 0.75, 1.0]]


def test_area_means_over_what_a_pixel_covers() -> None:
    assert rows(n.image_scale(STEPS, "area", 1, 1)) == [[0.4375]]


def test_bicubic_overshoots_and_is_not_clamped() -> None:
    (row,) = rows(n.image_scale(grey([0.0, 0.0, 1.0, 1.0]), "bicubic", 8, 1))
    assert (min(row), max(row)) == (-0.1055, 1.1055)


def test_lanczos_works_on_eight_bits_that_are_cut_off() -> None:
    assert rows(n.image_scale(grey([0.5]), "lanczos", 1, 1)) == [[round(127 / 255, 4)]]


@pytest.mark.parametrize("method", UPSCALE)
def test_a_side_of_zero_follows_from_the_other(method: n.ImageResize) -> None:
    wide = n.empty_image(30, 20)
    assert n.image_scale(wide, method, 15, 0).data.shape == (1, 10, 15, 3)
    assert n.image_scale(wide, method, 0, 10).data.shape == (1, 10, 15, 3)
    assert n.image_scale(wide, method, 0, 0) is wide


def test_cropping_keeps_the_proportions_of_the_middle() -> None:
    image = grey([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8])
    assert rows(n.image_scale(image, "nearest-exact", 2, 2, "center")) == [[0.2, 0.3], [0.6, 0.7]]
    tall = grey([0.1], [0.2], [0.3], [0.4])
    assert rows(n.image_scale(tall, "nearest-exact", 2, 4, "center")) == [
        [0.2, 0.2],
        [0.2, 0.2],
        [0.3, 0.3],
        [0.3, 0.3],
    ]


def test_scaling_by_a_factor_rounds_the_sides() -> None:
    assert n.image_scale_by(n.empty_image(5, 3), "area", 0.5).data.shape == (1, 2, 2, 3)  # 2.5 -> 2, 1.5 -> 2


def test_a_factor_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 × 0 leaves nothing of 4 × 4"):
        n.image_scale_by(n.empty_image(4, 4), "area", 0.01)


def test_scaling_to_megapixels_keeps_proportions() -> None:
    image = n.empty_image(40, 10)
    assert n.image_scale_to_total_pixels(image, "nearest-exact", 0.01).data.shape == (1, 51, 205, 3)
    assert n.image_scale_to_total_pixels(image, "nearest-exact", 0.01, 16).data.shape == (1, 48, 208, 3)


@pytest.mark.parametrize(("sides", "wanted"), [((8, 4), (16, 8)), ((4, 8), (8, 16)), ((5, 5), (16, 16))])
def test_scaling_to_the_longer_side(sides: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert n.get_image_size(n.image_scale_to_max_dimension(n.empty_image(*sides), "area", 16))[:2] == wanted


def test_scaling_to_an_edge() -> None:
    wide = n.empty_image(8, 4)
    assert n.get_image_size(n.resize_images_by_longer_edge(wide, 16))[:2] == (16, 8)
    assert n.get_image_size(n.resize_images_by_shorter_edge(wide, 16))[:2] == (32, 16)


@pytest.mark.parametrize(
    ("kind", "options", "wanted"),
    [
        ("scale dimensions", {"width": 3, "height": 5}, (3, 5)),
        ("scale dimensions", {"width": 4, "height": 0}, (4, 2)),
        ("scale by multiplier", {"multiplier": 0.5}, (4, 2)),
        ("scale longer dimension", {"longer_size": 16}, (16, 8)),
        ("scale shorter dimension", {"shorter_size": 16}, (32, 16)),
        ("scale width", {"width": 2}, (2, 1)),
        ("scale height", {"height": 2}, (4, 2)),
        ("scale total pixels", {"megapixels": 0.01}, (145, 72)),
        ("match size", {"match": Mask(torch.zeros(1, 9, 7))}, (7, 9)),
        ("scale to multiple", {"multiple": 3}, (6, 3)),
    ],
)
def test_pictures_and_masks_are_resized_by_every_rule(
    kind: n.Kind, options: dict[str, int], wanted: tuple[int, int]
) -> None:
    for thing in (n.empty_image(8, 4), Mask(torch.zeros(2, 4, 8))):
        resized = n.resize_image_mask(thing, kind, **options)  # type: ignore[arg-type]
        assert (type(resized), resized.data.shape[2], resized.data.shape[1]) == (type(thing), *wanted)


def test_matching_a_size_needs_something_to_match() -> None:
    with pytest.raises(ValueError, match="nothing is linked to match"):
        n.resize_image_mask(STEPS, "match size")


def test_a_picture_is_padded_in_the_middle() -> None:
    padded = n.resize_and_pad_image(grey([0.5, 0.5]), 2, 4, "white", "area")
    assert rows(padded) == [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0], [1.0, 1.0]]
    assert rows(n.resize_and_pad_image(grey([0.5]), 3, 1, "black", "area")) == [[0.0, 0.5, 0.0]]


def test_kontext_takes_the_size_nearest_in_proportions() -> None:
    assert n.get_image_size(n.flux_kontext_image_scale(n.empty_image(30, 20)))[:2] == (1248, 832)
    assert n.get_image_size(n.flux_kontext_image_scale(n.empty_image(10, 10)))[:2] == (1024, 1024)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_a_crop_ends_where_the_picture_does() -> None:
    assert rows(n.image_crop(STEPS, 1, 2, 1, 0)) == [[0.25], [1.0]]
    assert rows(n.image_crop(STEPS, 9, 9, 1, 1)) == [[1.0]]
    nine = grey([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9])
    assert rows(n.image_crop(nine, 1, 1, 1, 1)) == [[0.5]]
    assert rows(n.image_crop(nine, 2, 1, 0, 1)) == [[0.4, 0.5]]
    assert rows(n.image_crop(STEPS, 1, 1, 100, 100)) == [[1.0]]


def test_outpainting_pads_with_grey_and_masks_the_padding() -> None:
    image, mask = n.image_pad_for_outpaint(grey([0.0] * 6, *[[0.0] * 6] * 5), left=2, feathering=2)
    assert rows(image)[0] == [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert mask.data.tolist() == [[[1.0, 1.0, 1.0, 0.25, 0.0, 0.0, 0.0, 0.0]] * 6]


def test_right_feathering_counts_from_the_outside() -> None:
    _, mask = n.image_pad_for_outpaint(n.empty_image(6, 6), right=1, feathering=2)
    assert mask.data[0, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 1.0]


def test_nothing_fades_where_feathering_does_not_fit_twice() -> None:
    _, mask = n.image_pad_for_outpaint(n.empty_image(4, 4), top=1, feathering=2)
    assert mask.data.sum() == 4


def test_padding_keeps_alpha_and_batches() -> None:
    image, mask = n.image_pad_for_outpaint(Image(torch.zeros(2, 3, 3, 4)), bottom=1, feathering=0)
    assert (image.data.shape, mask.data.shape) == ((2, 4, 3, 4), (1, 4, 3))


def test_flips_and_turns() -> None:
    assert rows(n.image_flip(STEPS, "x-axis: vertically")) == [[0.5, 1.0], [0.0, 0.25]]
    assert rows(n.image_flip(STEPS, "y-axis: horizontally")) == [[0.25, 0.0], [1.0, 0.5]]
    assert rows(n.image_rotate(STEPS, "90 degrees")) == [[0.5, 0.0], [1.0, 0.25]]
    assert rows(n.image_rotate(STEPS, "180 degrees")) == [[1.0, 0.5], [0.25, 0.0]]
    assert rows(n.image_rotate(STEPS, "270 degrees")) == [[0.25, 1.0], [0.0, 0.5]]
    assert rows(n.image_rotate(STEPS, "none")) == rows(STEPS)


# --- together --------------------------------------------------------------------------------------------------------


def test_a_picture_is_laid_over_another_where_the_mask_says() -> None:
    below, above = n.empty_image(3, 2), n.empty_image(2, 2, color=0xFFFFFF)
    assert rows(n.image_composite_masked(below, above, 2, 0)) == [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    half = Mask(torch.tensor([[[1.0, 0.5], [0.0, 0.0]]]))
    assert rows(n.image_composite_masked(below, above, 0, 0, False, half)) == [[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]
    assert rows(n.image_composite_masked(below, above, 0, 0, True)) == [[1.0] * 3] * 2


def test_nothing_is_laid_outside() -> None:
    with pytest.raises(ValueError, match="x 3, y 0 lies outside of 3 × 2"):
        n.image_composite_masked(n.empty_image(3, 2), n.empty_image(2, 2), 3, 0)


def test_an_opaque_picture_gets_alpha_beside_one_that_has_it() -> None:
    glass = Image(torch.full((1, 1, 1, 4), 0.5))
    pasted = n.image_composite_masked(n.empty_image(2, 1), glass, 1, 0)
    assert pasted.data[0, 0].tolist() == [[0.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]]


def test_one_source_serves_a_whole_batch() -> None:
    pasted = n.image_composite_masked(n.empty_image(1, 1, 3), n.empty_image(1, 1, color=0xFFFFFF))
    assert pasted.data.mean((1, 2, 3)).tolist() == [1.0, 1.0, 1.0]


def test_pictures_are_stitched_in_every_direction() -> None:
    a, b = grey([0.25]), grey([0.75])
    assert rows(n.image_stitch(a, "right", True, 0, "white", b)) == [[0.25, round(191 / 255, 4)]]
    assert rows(n.image_stitch(a, "left", False, 0, "white", b)) == [[0.75, 0.25]]
    assert rows(n.image_stitch(a, "down", False, 0, "white", b)) == [[0.25], [0.75]]
    assert rows(n.image_stitch(a, "up", False, 0, "white", b)) == [[0.75], [0.25]]
    assert n.image_stitch(a) is a


def test_a_gap_is_even_and_has_its_colour() -> None:
    stitched = n.image_stitch(grey([0.0]), "right", False, 1, "red", grey([0.0]))
    assert stitched.data[0, 0].tolist() == [[0.0] * 3, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0] * 3]


def test_the_second_is_resized_or_centred() -> None:
    a, b = n.empty_image(2, 4), n.empty_image(3, 2)
    assert n.image_stitch(a, "right", True, 0, "white", b).data.shape == (1, 4, 8, 3)
    assert n.image_stitch(a, "down", True, 0, "white", b).data.shape == (1, 5, 2, 3)
    centred = n.image_stitch(a, "right", False, 0, "white", b)
    assert rows(centred) == [[0, 0, 1, 1, 1], [0] * 5, [0] * 5, [0, 0, 1, 1, 1]]


def test_the_shorter_batch_goes_on_with_its_last() -> None:
    many = Image(torch.tensor([0.2, 0.4]).reshape(2, 1, 1, 1).expand(2, 1, 1, 3))
    stitched = n.image_stitch(many, "right", False, 0, "white", n.empty_image(1, 1, 3))
    assert [round(x, 4) for x in stitched.data[:, 0, 0, 0].tolist()] == [0.2, 0.4, 0.4]


# --- the arithmetic behind -------------------------------------------------------------------------------------------


def test_bislerp_turns_directions_and_keeps_lengths() -> None:
    x = torch.zeros(1, 2, 1, 2)
    x[0, :, 0, 0], x[0, :, 0, 1] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    wide = t.resize(x, 4, 1, "bislerp")[0, :, 0]
    assert wide.norm(dim=0).tolist() == pytest.approx([1.0] * 4)
    angles = torch.atan2(wide[1], wide[0]) / math.pi * 180
    assert angles.tolist() == pytest.approx([0, 22.5, 67.5, 90], abs=1e-4)


def test_bislerp_of_one_direction_is_the_first_and_of_opposite_ones_linear() -> None:
    ratio = torch.full((1, 1), 0.25)
    a = torch.tensor([[2.0, 0.0]])
    assert slerp(a, 2 * a, ratio).tolist() == a.tolist()
    assert slerp(a, -a, ratio).tolist() == [[1.0, 0.0]]
    assert slerp(torch.zeros(1, 2), a, torch.full((1, 1), 0.5)).isfinite().all()


def test_video_is_resized_frame_by_frame() -> None:
    x = torch.rand(2, 3, 4, 5, 6)
    resized = t.resize(x, 3, 2, "bilinear")
    assert resized.shape == (2, 3, 4, 2, 3)
    assert torch.equal(resized[:, :, 1], t.resize(x[:, :, 1], 3, 2, "bilinear"))


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        t.to_bytes(torch.tensor([0.5, float("nan")]))


def test_bytes_are_cut_off_not_rounded() -> None:
    assert t.to_bytes(torch.tensor([-1.0, 0.0, 0.5, 0.999, 1.0, 2.0])).tolist() == [0, 0, 127, 254, 255, 255]


def test_batches_that_do_not_go_together_are_told() -> None:
    t.check_batches(a=torch.zeros(2), b=torch.zeros(1))
    with pytest.raises(ValueError, match="a has 2 and b has 3; make them equal"):
        t.check_batches(a=torch.zeros(2), b=torch.zeros(3))

"""Filters and colours, on a few pixels each, with the numbers stated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.api import Image, Latent
from graphflow_nodes import _tensors as t
from graphflow_nodes import color as c
from graphflow_nodes import image_filters as n
from graphflow_nodes import latent_empty as e
from graphflow_nodes import latent_operations as o


def grey(*rows: list[float]) -> Image:
    return Image(torch.tensor([rows], dtype=torch.float32)[..., None].repeat(1, 1, 1, 3))


def rows(image: Image) -> list[list[float]]:
    return [[round(value, 4) for value in row] for row in image.data[0, ..., 0].tolist()]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("normal", 0.75), ("multiply", 0.1875), ("screen", 0.8125), ("overlay", 0.375), ("soft_light", 0.375),
        ("difference", 0.0),
    ],
)  # fmt: skip
def test_blends_of_a_quarter_with_three_quarters(mode: str, wanted: float) -> None:
    blended = n.image_blend(grey([0.25]), grey([0.75]), 1.0, mode)  # type: ignore[arg-type]
    assert rows(blended) == [[wanted]]


def test_a_blend_is_weighted_and_the_second_resized() -> None:
    assert rows(n.image_blend(grey([0.0, 0.0]), grey([1.0]), 0.25)) == [[0.25, 0.25]]
    with pytest.raises(ValueError, match="image1 has 2 and image2 has 3"):
        n.image_blend(Image(torch.zeros(2, 1, 1, 3)), Image(torch.zeros(3, 1, 1, 3)))


def test_the_bell_is_measured_in_radii() -> None:
    bell = t.gaussian(1, 1.0)
    assert bell.sum().item() == pytest.approx(1)
    assert (bell[1, 1] / bell[1, 0]).item() == pytest.approx(2.71828**0.5, rel=1e-5)


def test_blurring_keeps_flat_pictures_and_spreads_dots() -> None:
    flat = Image(torch.full((1, 5, 5, 3), 0.3))
    assert torch.allclose(n.image_blur(flat, 2, 1.0).data, flat.data)
    dot = torch.zeros(1, 5, 5, 3)
    dot[:, 2, 2] = 1
    assert rows(n.image_blur(Image(dot), 1, 1.0))[2] == [0, 0.1238, 0.2042, 0.1238, 0]


def test_a_wide_blur_in_two_passes_is_the_same() -> None:
    x = torch.rand(1, 2, 40, 40, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(t.blurred(x, 9, 0.7), t.filtered(x, t.gaussian(9, 0.7)), atol=1e-6)
    wide = n.sharpened(x, 9, 0.7, 0.5)
    assert torch.allclose(wide, x + 5 * (x - t.filtered(x, t.gaussian(9, 0.7))), atol=1e-5)


def test_sharpening_keeps_flat_pictures_and_lifts_edges() -> None:
    flat = Image(torch.full((1, 5, 5, 3), 0.3))
    assert torch.allclose(n.image_sharpen(flat, 1, 1.0, 1.0).data, flat.data, atol=1e-5)
    edge = grey(*[[0.4, 0.4, 0.5, 0.5]] * 4)
    assert rows(n.image_sharpen(edge, 1, 1.0, 0.1))[1] == [0.4, 0.3726, 0.5274, 0.5]


def test_a_radius_that_does_not_fit_is_told() -> None:
    for radius in (3, 9):
        with pytest.raises(ValueError, match=f"a radius of {radius} is too large for 3 × 3"):
            n.image_blur(Image(torch.zeros(1, 3, 3, 3)), radius)


def test_edges_are_thin_lines_where_brightness_jumps() -> None:
    half = torch.zeros(1, 9, 9, 3)
    half[:, :, 5:] = 1
    edges = n.canny(Image(half), 0.1, 0.2).data
    assert edges[0, :, :, 0].sum(0).tolist() in ([0, 0, 0, 0, 9, 0, 0, 0, 0], [0, 0, 0, 0, 0, 9, 0, 0, 0])
    assert set(edges.unique().tolist()) == {0.0, 1.0}


def test_weak_edges_stay_where_they_hang_on_strong_ones() -> None:
    ramp = torch.zeros(1, 16, 9, 3)
    ramp[:, :, 5:] = torch.linspace(0.1, 1, 16).reshape(16, 1, 1)
    weak = n.canny(Image(ramp), 0.1, 0.9).data.sum()
    strong = n.canny(Image(ramp), 0.89, 0.9).data.sum()
    assert weak > strong > 0
    with pytest.raises(ValueError, match="exchange them"):
        n.canny(Image(ramp), 0.5, 0.4)


@pytest.mark.parametrize(("color", "high", "kept"), [
    # a step of 1 in two halves, under the bell (0.0545, 0.2442, 0.4026, 0.2442, 0.0545), rises by 0.6468 over two pixels,
    # and Sobel's filter counts four times that
    ([0.25] * 3, 0.64, True), ([0.25] * 3, 0.65, False),
    ([1.0, 0.0, 0.0], 0.77, True), ([1.0, 0.0, 0.0], 0.78, False),
])  # fmt: skip
def test_edges_are_as_strong_as_their_step(color: list[float], high: float, kept: bool) -> None:
    step = torch.tensor([0, 0, 0, 0, 0.5, 1, 1, 1, 1]).reshape(1, 1, 9, 1).repeat(1, 9, 1, 3) * torch.tensor(color)
    assert rows(n.canny(Image(step), 0.6, high)) == [[0, 0, 0, 0, float(kept), 0, 0, 0, 0]] * 9


def test_morphology() -> None:
    line = grey([0, 0, 1, 0, 0, 1, 1, 1, 0])
    wanted = {
        "dilate": [0, 1, 1, 1, 1, 1, 1, 1, 1],
        "erode": [0, 0, 0, 0, 0, 0, 1, 0, 0],
        "open": [0, 0, 0, 0, 0, 1, 1, 1, 0],
        "close": [0, 0, 1, 1, 1, 1, 1, 1, 1],
        "gradient": [0, 1, 1, 1, 1, 1, 0, 1, 1],
        "top_hat": [0, 0, 1, 0, 0, 0, 0, 0, 0],
        "bottom_hat": [0, 0, 0, 1, 1, 0, 0, 0, 1],
    }
    assert {op: rows(n.morphology(line, op, 3))[0] for op in wanted} == wanted  # type: ignore[arg-type]


def test_noise_follows_its_seed() -> None:
    flat = Image(torch.full((1, 4, 4, 3), 0.5))
    once, again, other = (n.image_add_noise(flat, seed, 0.1).data for seed in (7, 7, 8))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    expected = 0.5 + 0.1 * torch.randn(1, 4, 4, 3, generator=torch.Generator().manual_seed(7))
    assert torch.allclose(once, expected.clamp(0, 1))


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"])
def test_few_colours_are_left(dither: n.Dither) -> None:
    ramp = Image(torch.linspace(0, 1, 64).reshape(1, 1, 64, 1).repeat(1, 16, 1, 3))
    reduced = n.image_quantize(ramp, 4, dither).data
    assert len(reduced.flatten(0, 2).unique(dim=0)) == 4
    assert (reduced - ramp.data).abs().mean() < 0.15


FOUR = grey(*[[0.0, 0.0, 85 / 255, 85 / 255, 170 / 255, 170 / 255, 1.0, 1.0]] * 2)


def test_colours_between_are_not_shown_or_shown_by_a_pattern() -> None:
    shown = {dither: n.image_quantize(FOUR, 4, dither).data[0, ..., 0] * 255 for dither in ("none", "bayer-2")}  # type: ignore[arg-type]
    assert shown["none"].round().tolist() == [[0, 0, 85, 85, 170, 170, 255, 255]] * 2
    # the matrix (-3, 1; 3, -1) / 8 over two steps of 64 adds (-47.5, 16.5; 48.5, -15.5), then the nearest grey is taken
    assert shown["bayer-2"].round().tolist() == [[0, 0, 0, 85, 85, 170, 170, 255], [85, 0, 170, 85, 255, 170, 255, 255]]


@pytest.mark.parametrize(("dither", "method"), [("none", "NONE"), ("floyd-steinberg", "FLOYDSTEINBERG")])
def test_few_colours_are_pillows(dither: n.Dither, method: str) -> None:
    ramp = Image(torch.linspace(0, 1, 64).reshape(1, 1, 64, 1).repeat(1, 16, 1, 3))
    frame = PIL.Image.fromarray((ramp.data[0].numpy() * 255).astype(np.uint8))
    wanted = frame.quantize(4, palette=frame.quantize(4), dither=PIL.Image.Dither[method]).convert("RGB")
    assert (n.image_quantize(ramp, 4, dither).data[0] * 255).round().tolist() == np.asarray(wanted).tolist()


# --- colours ---------------------------------------------------------------------------------------------------------


def test_brightness_and_differences_of_red() -> None:
    red = Image(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3))
    yuv = c.image_rgb_to_yuv(red)
    assert [round(part.data[0, 0, 0, 1].item(), 4) for part in yuv] == [0.299, 0.3314, 0.9998]
    assert torch.allclose(c.image_yuv_to_rgb(*yuv).data, red.data, atol=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_lab_and_back_is_the_same_colour(color: list[float]) -> None:
    rgb = torch.tensor(color)
    assert torch.allclose(c.from_lab(c.to_lab(rgb)), rgb, atol=1e-4)


def test_lab_of_known_colours() -> None:
    lab = c.to_lab(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    assert lab[0].tolist() == pytest.approx([100, 0, 0], abs=0.02)
    assert lab[1].tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


@pytest.mark.parametrize("method", ["reinhard_lab", "mkl_lab", "histogram"])
@pytest.mark.parametrize("stats", ["per_frame", "uniform", "target_frame"])
def test_colours_are_taken_from_another_picture(method: str, stats: str) -> None:
    generator = torch.Generator().manual_seed(0)
    target = Image(torch.rand(2, 16, 16, 3, generator=generator) * 0.3 + 0.1)
    reference = Image(torch.rand(1, 16, 16, 3, generator=generator) * torch.tensor([0.3, 0.2, 0.1]) + 0.5)
    moved = c.color_transfer(target, reference, method, stats).data  # type: ignore[arg-type]
    assert moved.mean((0, 1, 2)).tolist() == pytest.approx(reference.data.mean((0, 1, 2)).tolist(), abs=0.02)
    same = c.color_transfer(target, reference, method, stats, strength=0.0)  # type: ignore[arg-type]
    assert same is target


DARK_AND_LIGHT = grey([0.2, 0.6])
"""What a colour transfer is to make of black and white."""


@pytest.mark.parametrize("method", ["reinhard_lab", "mkl_lab", "histogram"])
def test_black_and_white_become_the_two_greys_of_another_picture(method: str) -> None:
    for strength, wanted in ((1.0, [0.2, 0.6]), (0.5, [0.1, 0.8])):
        moved = c.color_transfer(grey([0.0, 1.0]), DARK_AND_LIGHT, method, strength=strength)  # type: ignore[arg-type]
        assert moved.data[0, 0].tolist() == [pytest.approx([grey] * 3, abs=2e-3) for grey in wanted]


@pytest.mark.parametrize(
    ("stats", "index", "wanted"),
    [
        ("per_frame", 0, [[0.2, 0.6], [0.6, 0.6]]),
        ("uniform", 0, [[0.6, 0.6], [0.6, 0.6]]),  # three of the four are black
        ("target_frame", 0, [[0.2, 0.6], [0.2, 0.2]]),
        ("target_frame", 1, [[0.6, 0.6], [0.6, 0.6]]),
    ],
)
def test_ranks_are_those_of_the_frames_that_are_measured(stats: str, index: int, wanted: list[list[float]]) -> None:
    frames = Image(torch.cat([grey([0.0, 1.0]).data, grey([0.0, 0.0]).data]))
    moved = c.color_transfer(frames, DARK_AND_LIGHT, "histogram", stats, index)  # type: ignore[arg-type]
    assert moved.data[:, 0, :, 1].tolist() == [pytest.approx(row) for row in wanted]


def test_colours_as_numbers() -> None:
    assert c.color_to_rgb_int("#ff8000") == (0xFF8000, "#ff8000", 1.0)
    assert c.color_to_rgb_int("#f80") == (0xFF8800, "#ff8800", 1.0)
    assert c.color_to_rgb_int("#ff800033") == (0xFF8000, "#ff8000", 0.2)
    with pytest.raises(ValueError, match="'orange' is no colour"):
        c.color_to_rgb_int("orange")


# --- latents ---------------------------------------------------------------------------------------------------------


EMPTY: list[tuple[Callable[..., Latent], tuple[float, ...], tuple[int, ...]]] = [
    (e.empty_sd3_latent_image, (64, 32), (16, 4, 8)),
    (e.empty_flux2_latent_image, (64, 32), (128, 2, 4)),
    (e.empty_chroma_radiance_latent_image, (64, 32), (3, 32, 64)),
    (e.empty_hunyuan_image_latent, (64, 128), (64, 4, 2)),
    (e.empty_hidream_o1_latent_image, (64, 96), (3, 96, 64)),
    (e.empty_qwen_image_layered_latent_image, (64, 32, 3), (16, 4, 4, 8)),
    (e.empty_hunyuan_latent_video, (64, 32, 25), (16, 7, 4, 8)),
    (e.empty_hunyuan_video15_latent, (64, 32, 25), (32, 7, 2, 4)),
    (e.empty_mochi_latent_video, (64, 32, 25), (12, 5, 4, 8)),
    (e.empty_ltxv_latent_video, (64, 128, 97), (128, 13, 4, 2)),
    (e.empty_cosmos_latent_video, (64, 32, 121), (16, 16, 4, 8)),
    (e.empty_latent_audio, (47.6,), (64, 1024)),
    (e.empty_ace_step_latent_audio, (120.0,), (8, 16, 1291)),
]


@pytest.mark.parametrize(("make", "sizes", "shape"), EMPTY)
def test_empty_latents_have_the_shapes_of_their_models(
    make: Callable[..., Latent], sizes: tuple[float, ...], shape: tuple[int, ...]
) -> None:
    empty = make(*sizes, batch_size=2).data
    assert (tuple(empty.shape), empty.any().item()) == ((2, *shape), False)


def test_stable_cascade_has_two_latents() -> None:
    stages = e.stable_cascade_empty_latent_image(1024, 512, 42, 2)
    assert [tuple(stage.data.shape) for stage in stages] == [(2, 16, 12, 24), (2, 4, 128, 256)]
    assert not any(stage.data.any() for stage in stages)


def test_long_vectors_are_shortened() -> None:
    lengths = torch.tensor([1.0, 1.0, 1.0, 9.0]).reshape(1, 1, 2, 2)
    mapped = o.latent_apply_operation(Latent(lengths), o.latent_operation_tonemap_reinhard(1.0)).data
    top = 3.0 + 5 * 4.0  # mean 3, deviation 4
    assert mapped.flatten().tolist() == pytest.approx([x / top / (x / top + 1) * top for x in (1, 1, 1, 9)])


def test_directions_are_sharpened_and_lengths_kept() -> None:
    # directions (1, 0) and (0, 1) meet in the middle, lengths are 1 and 2; the bell is (0.27407, 0.45186, 0.27407) wide
    x = torch.zeros(1, 2, 4, 4)
    x[:, 0, :, :2], x[:, 1, :, 2:] = 1, 2
    sharp = o.latent_apply_operation(Latent(x), o.latent_operation_sharpen(1, 1.0, 0.1)).data
    assert sharp[0, 0, 1].tolist() == pytest.approx([1, 1.27407, -2 * 0.27407, 0], abs=1e-4)
    assert sharp[0, 1, 2].tolist() == pytest.approx([0, -0.27407, 2 * 1.27407, 2], abs=1e-4)


def test_sharpening_a_flat_latent_changes_nothing() -> None:
    flat = Latent(torch.ones(1, 4, 8, 8))
    sharp = o.latent_apply_operation(flat, o.latent_operation_sharpen(2, 1.0, 0.5))
    assert torch.allclose(sharp.data, flat.data, atol=1e-4)

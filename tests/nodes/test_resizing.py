"""Every node that resizes, on a row of a few values, with the numbers stated; Lanczos' are Pillow's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow.api import Image, Latent, Mask
from graphflow_nodes import batches as b
from graphflow_nodes import image as n
from graphflow_nodes import latent as l


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def picture(*values: float) -> Image:
    """One row of grey pixels."""
    return Image(row(*values)[None, None, :, None].repeat(1, 1, 1, 3))


def latent(*values: float) -> Latent:
    return Latent(row(*values)[None, None, None])


def lanczos(values: list[int], width: int, height: int) -> list[list[float]]:
    sized = PIL.Image.fromarray(np.array([values], np.uint8)).resize((width, height), PIL.Image.Resampling.LANCZOS)
    return (np.asarray(sized) / 255).tolist()  # type: ignore[no-any-return]


EDGE = picture(0.0, 1.0)
RAMP = picture(0.1, 0.2, 0.3, 0.4)
SMOOTH = [0.0, 0.25, 0.75, 1.0]
"""Between 0 and 1 at the middles of four pixels for two."""

ROWS: dict[str, tuple[Callable[[], Image | Mask | Latent], list[list[float]]]] = {
    "by a factor": (lambda: n.image_scale_by(EDGE, "bilinear", 2.0), [SMOOTH] * 2),
    "by a factor, repeated": (lambda: n.image_scale_by(EDGE, "nearest-exact", 1.5), [[0.0, 1, 1]] * 2),
    "to the longer side": (lambda: n.image_scale_to_max_dimension(EDGE, "bilinear", 4), [SMOOTH] * 2),
    "to the longer edge": (lambda: n.resize_images_by_longer_edge(EDGE, 6), lanczos([0, 255], 6, 3)),
    "to the shorter edge": (lambda: n.resize_images_by_shorter_edge(EDGE, 3), lanczos([0, 255], 6, 3)),
    "about the middle": (lambda: n.resize_image_mask(RAMP, width=2, height=1, scale_method="area"), [[0.2, 0.3]]),
    "of the whole": (lambda: n.resize_image_mask(RAMP, width=2, height=1, crop="disabled"), [[0.15, 0.35]]),
    "by a multiplier": (
        lambda: n.resize_image_mask(EDGE, "scale by multiplier", multiplier=2.0, scale_method="bilinear"), [SMOOTH] * 2,
    ),
    "longer dimension": (
        lambda: n.resize_image_mask(EDGE, "scale longer dimension", longer_size=6, scale_method="lanczos"), lanczos([0, 255], 6, 3),
    ),
    "shorter dimension": (
        lambda: n.resize_image_mask(EDGE, "scale shorter dimension", shorter_size=2, scale_method="nearest-exact"),
        [[0, 0, 1, 1]] * 2,
    ),
    "width": (lambda: n.resize_image_mask(EDGE, "scale width", width=4, scale_method="bilinear"), [SMOOTH] * 2),
    "height": (lambda: n.resize_image_mask(EDGE, "scale height", height=2, scale_method="bilinear"), [SMOOTH] * 2),
    "as another": (
        lambda: n.resize_image_mask(EDGE, "match size", match=Mask(torch.zeros(1, 1, 4)), crop="disabled", scale_method="bilinear"),
        [SMOOTH],
    ),
    # each of the four covers a fourth of five, and so touches two
    "to a multiple": (
        lambda: n.resize_image_mask(Mask(row(0, 1, 2, 3, 4).repeat(1, 2, 1)), "scale to multiple", multiple=2),
        [[0.5, 1.5, 2.5, 3.5]] * 2,
    ),
    "a mask": (lambda: n.resize_image_mask(Mask(row(0, 1)[None, None]), width=4, height=2, scale_method="bilinear"), [SMOOTH] * 2),
    "on a canvas": (
        lambda: n.resize_and_pad_image(EDGE, 4, 4, "white", "bilinear"), [[1.0] * 4, SMOOTH, SMOOTH, [1.0] * 4],
    ),
    "on a black canvas": (lambda: n.resize_and_pad_image(EDGE, 4, 3, "black", "nearest-exact"), [[0, 0, 1, 1]] * 2 + [[0] * 4]),
    "a latent": (lambda: l.latent_upscale_by(latent(0, 1), "bilinear", 2.0), [SMOOTH] * 2),
    "a latent, its mean": (lambda: l.latent_upscale_by(Latent(torch.tensor([[[[1.0, 2], [3, 6]]]])), "area", 0.5), [[3.0]]),
}  # fmt: skip


def rows(value: Image | Mask | Latent) -> list[list[float]]:
    """Of its first item and channel."""
    first = {Image: lambda x: x[0, ..., 0], Mask: lambda x: x[0], Latent: lambda x: x[0, 0]}[type(value)]
    return first(value.data).tolist()  # type: ignore[no-any-return, no-untyped-call]


@pytest.mark.parametrize("case", ROWS)
def test_rows_have_the_values_of_their_method(case: str) -> None:
    make, wanted = ROWS[case]
    torch.testing.assert_close(torch.tensor(rows(make())), torch.tensor(wanted, dtype=torch.float32))


def test_pictures_of_many_pixels_keep_their_edge_in_place() -> None:
    pixels = picture(*[0.0] * 20, *[1.0] * 20)
    # 205 x 5: column i shows pixel (i + 0.5) * 40 / 205, which is the 20th from i = 102 on
    for found in (
        n.image_scale_to_total_pixels(pixels, "nearest-exact", 0.001),
        n.resize_image_mask(pixels, "scale total pixels", megapixels=0.001, scale_method="nearest-exact"),
    ):
        assert rows(found) == [[0.0] * 102 + [1.0] * 103] * 5


def test_kontext_resizes_as_pillow_does() -> None:
    wide = n.flux_kontext_image_scale(picture(*[0.0] * 7, *[1.0] * 7))
    assert wide.data.shape == (1, 672, 1568, 3)
    # proportions of 7 to 3 at most: the middle of the row is kept, which one pixel high is two wide
    assert rows(wide)[0] == pytest.approx(lanczos([0, 255], 1568, 672)[0])


def test_latents_take_the_size_of_a_picture() -> None:
    ramp = Latent(torch.arange(16.0).reshape(1, 1, 1, 16).repeat(1, 1, 8, 1))
    halves = l.latent_upscale(ramp, "area", 64, 64).data[0, 0]
    assert halves[0].tolist() == [0.5 + 2 * i for i in range(8)]
    cut = l.latent_upscale(ramp, "nearest-exact", 64, 64, "center").data[0, 0]
    assert cut[0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    doubled = l.latent_upscale(ramp, "bilinear", 256, 0).data[0, 0]
    assert (doubled.shape, doubled[0, :4].tolist()) == ((16, 32), [0.0, 0.25, 0.75, 1.25])


def test_what_joins_or_is_added_takes_the_firsts_size_about_its_middle() -> None:
    two, wide = picture(0.5, 0.5), picture(0.0, 0.25, 0.75, 1.0)
    for joined in (b.image_batch(two, wide), b.batch_images(image0=two, image1=wide)):
        assert joined.data[:, 0, :, 0].tolist() == [[0.5, 0.5], [0.25, 0.75]]  # 1 high and 2 wide: the middle
    masks = b.batch_masks(mask0=Mask(two.data[..., 0]), mask1=Mask(wide.data[..., 0]))
    assert masks.data[:, 0].tolist() == [[0.5, 0.5], [0.25, 0.75]]
    a, c = latent(1.0, 1.0), latent(0.0, 2.0, 4.0, 6.0)
    for joined in (l.latent_batch(a, c), b.batch_latents(latent0=a, latent1=c)):
        assert joined.data[:, 0, 0].tolist() == [[1.0, 1.0], [2.0, 4.0]]
    assert l.latent_add(a, c).data.flatten().tolist() == [3.0, 5.0]
    assert l.latent_subtract(a, c).data.flatten().tolist() == [-1.0, -3.0]
    assert l.latent_blend(a, c, 0.25).data.flatten().tolist() == [0.25 + 1.5, 0.25 + 3.0]
    assert n.image_composite_masked(two, wide, resize_source=True).data[0, 0, :, 0].tolist() == [0.125, 0.875]

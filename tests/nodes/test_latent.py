"""Nodes on latents, on a few values each, with the numbers stated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from graphflow.api import File, Latent, Mask, UnsupportedFile
from graphflow_nodes import latent as n


def latent(*shape: int, **options: object) -> Latent:
    """Values 0, 1, 2, ... in order."""
    return Latent(torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape), **options)  # type: ignore[arg-type]


def test_an_empty_latent_is_an_eighth_of_the_picture() -> None:
    empty = n.empty_latent_image(520, 68, 2)
    assert (empty.data.shape, empty.data.any().item()) == ((2, 4, 8, 65), False)


def test_a_noise_mask_goes_along_with_the_samples() -> None:
    where = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    masked = n.set_latent_noise_mask(latent(1, 4, 2, 2), Mask(where))
    assert masked.noise_mask is not None
    assert torch.equal(masked.noise_mask, where.reshape(2, 1, 16, 16))
    assert torch.equal(masked.data, latent(1, 4, 2, 2).data)
    for changed in (n.latent_flip(masked), n.latent_upscale_by(masked), n.latent_multiply(masked, 2.0)):
        assert changed.noise_mask is masked.noise_mask


# --- size and parts --------------------------------------------------------------------------------------------------


def test_upscaling_takes_pixels_and_follows_the_other_side() -> None:
    x = latent(1, 4, 8, 16)
    assert n.latent_upscale(x, "bilinear", 256, 64).data.shape == (1, 4, 8, 32)
    assert n.latent_upscale(x, "bilinear", 0, 128).data.shape == (1, 4, 16, 32)
    assert n.latent_upscale(x, "bislerp", 256, 0).data.shape == (1, 4, 16, 32)
    assert n.latent_upscale(x, "area", 8, 8).data.shape == (1, 4, 8, 8)  # at least 64 pixels
    assert n.latent_upscale(x, "bilinear", 0, 0) is x


def test_upscaling_by_a_factor_rounds_in_latent_units() -> None:
    assert n.latent_upscale_by(latent(1, 4, 3, 5), "nearest-exact", 1.5).data.shape == (
        1,
        4,
        4,
        8,
    )  # 4.5 -> 4, 7.5 -> 8


def test_a_crop_counts_in_eighths_and_stays_inside() -> None:
    x = latent(1, 1, 16, 16)
    assert n.latent_crop(x, 64, 64, 16, 8).data[0, 0, 0].tolist() == [18, 19, 20, 21, 22, 23, 24, 25]
    assert n.latent_crop(x, 72, 64, 16, 8).data.shape == (1, 1, 8, 9)
    assert n.latent_crop(x, 64, 64, 999, 999).data[0, 0, 0, 0] == 8 * 16 + 8
    assert n.latent_crop(latent(1, 1, 4, 4), 64, 64, 999, 0).data.shape == (1, 1, 4, 4)


def test_flips_and_turns() -> None:
    x = latent(1, 1, 2, 2)  # 0 1 / 2 3
    assert n.latent_flip(x, "x-axis: vertically").data.flatten().tolist() == [2, 3, 0, 1]
    assert n.latent_flip(x, "y-axis: horizontally").data.flatten().tolist() == [1, 0, 3, 2]
    assert n.latent_rotate(x, "90 degrees").data.flatten().tolist() == [2, 0, 3, 1]
    assert n.latent_rotate(x, "270 degrees").data.flatten().tolist() == [1, 3, 0, 2]


def test_latents_are_put_behind_and_before_one_another() -> None:
    a, b = latent(2, 1, 1, 2), latent(1, 1, 1, 1)
    assert n.latent_concat(a, b, "x").data.flatten().tolist() == [0, 1, 0, 2, 3, 0]
    assert n.latent_concat(a, b, "-x").data.flatten().tolist() == [0, 0, 1, 0, 2, 3]
    assert n.latent_concat(latent(1, 1, 2, 1, 1), latent(1, 1, 3, 1, 1), "t").data.flatten().tolist() == [0, 1, 0, 1, 2]
    with pytest.raises(ValueError, match="differ in more than y"):
        n.latent_concat(a, b, "y")


def test_latents_are_cut_from_either_end() -> None:
    x = latent(1, 1, 1, 4)
    assert n.latent_cut(x, "x", 1, 2).data.flatten().tolist() == [1, 2]
    assert n.latent_cut(x, "x", -1, 5).data.flatten().tolist() == [3]
    assert n.latent_cut(x, "x", 99, 5).data.flatten().tolist() == [3]
    assert n.latent_cut(x, "x", -99, 2).data.flatten().tolist() == [0, 1]
    with pytest.raises(ValueError, match="latent of pictures"):
        n.latent_cut(x, "t")


def test_frames_become_a_batch() -> None:
    x = latent(1, 2, 3, 1, 1)
    assert n.latent_cut_to_batch(x, "t", 1).data.shape == (3, 2, 1, 1, 1)
    assert n.latent_cut_to_batch(x, "t", 1).data[1].flatten().tolist() == [1, 4]
    assert n.latent_cut_to_batch(x, "t", 2).data.shape == (1, 2, 2, 1, 1)  # the third is left out


def test_frames_are_trimmed_but_one_stays() -> None:
    assert n.trim_video_latent(latent(1, 1, 3, 1, 1), 2).data.flatten().tolist() == [2]
    with pytest.raises(ValueError, match="only 3 latent frames"):
        n.trim_video_latent(latent(1, 1, 3, 1, 1), 3)


# --- mixing ----------------------------------------------------------------------------------------------------------

ONES = Latent(torch.ones(1, 1, 1, 3))
ZEROS = Latent(torch.zeros(1, 1, 1, 6))


def test_borders_inside_fade_where_latents_are_composed() -> None:
    composed = n.latent_composite(ZEROS, ONES, 8, 0, 0)
    assert composed.data.flatten().tolist() == [0, 1, 1, 1, 0, 0]
    tall_zeros, tall_ones = Latent(torch.zeros(1, 1, 3, 6)), Latent(torch.ones(1, 1, 3, 3))
    faded = n.latent_composite(tall_zeros, tall_ones, 8, 0, 16)
    assert faded.data[0, 0, 1].tolist() == [0, 0.5, 1, 0.5, 0, 0]
    at_the_border = n.latent_composite(tall_zeros, tall_ones, 0, 0, 16)
    assert at_the_border.data[0, 0, 1].tolist() == [1, 1, 0.5, 0, 0, 0]


def test_latents_are_not_composed_outside_or_with_another_batch() -> None:
    with pytest.raises(ValueError, match="lies outside of 6 × 1"):
        n.latent_composite(ZEROS, ONES, 48, 0)
    with pytest.raises(ValueError, match="samples_to has 2 and samples_from has 3"):
        n.latent_composite(latent(2, 1, 1, 1), latent(3, 1, 1, 1))


def test_latents_are_composed_where_a_mask_says() -> None:
    mask = Mask(torch.tensor([[[1.0, 0.5, 0.0]]]))
    assert n.latent_composite_masked(ZEROS, ONES, 16, 0, False, mask).data.flatten().tolist() == [0, 0, 1, 0.5, 0, 0]
    assert n.latent_composite_masked(ZEROS, ONES, 0, 0, True).data.flatten().tolist() == [1] * 6
    assert n.latent_composite_masked(ZEROS, ONES, 40, 0).data.flatten().tolist() == [0, 0, 0, 0, 0, 1]


def test_arithmetic() -> None:
    a, b = Latent(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)), Latent(torch.tensor([10.0]).reshape(1, 1, 1, 1))
    assert n.latent_add(a, b).data.flatten().tolist() == [11, 12]
    assert n.latent_subtract(a, b).data.flatten().tolist() == [-9, -8]
    assert n.latent_multiply(a, -2.0).data.flatten().tolist() == [-2, -4]
    assert n.latent_blend(a, b, 0.25).data.flatten().tolist() == [7.75, 8]
    assert n.latent_add(latent(1, 1, 2, 2), latent(1, 1, 4, 4)).data.shape == (1, 1, 2, 2)


def test_latents_of_different_models_are_not_added() -> None:
    with pytest.raises(ValueError, match="different models"):
        n.latent_add(latent(1, 4, 2, 2), latent(1, 16, 2, 2))


def test_interpolation_keeps_lengths() -> None:
    a, b = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 4.0]).reshape(1, 2, 1, 1)
    mixed = n.latent_interpolate(Latent(a), Latent(b), 0.5).data.flatten().tolist()
    assert mixed == pytest.approx([3 / 2**0.5, 3 / 2**0.5])
    assert n.latent_interpolate(Latent(a), Latent(torch.zeros_like(a)), 1.0).data.flatten().tolist() == [2, 0]


# --- batches ---------------------------------------------------------------------------------------------------------


def test_some_of_a_batch_remember_where_they_were() -> None:
    batch = latent(4, 1, 1, 1, noise_mask=torch.arange(4.0).reshape(4, 1, 1, 1))
    part = n.latent_from_batch(batch, 2, 64)
    assert part.noise_mask is not None
    assert (part.data.flatten().tolist(), part.batch_index, part.noise_mask.flatten().tolist()) == (
        [2, 3],
        (2, 3),
        [2, 3],
    )
    assert n.latent_from_batch(part, 1).batch_index == (3,)
    assert n.latent_from_batch(batch, 1, 2).data.flatten().tolist() == [1, 2]
    assert n.latent_from_batch(batch, 63).data.flatten().tolist() == [3]


def test_repetitions_get_noise_of_their_own() -> None:
    twice = n.repeat_latent_batch(latent(2, 1, 1, 1, batch_index=(3, 5)), 2)
    assert (twice.data.flatten().tolist(), twice.batch_index) == ([0, 1, 0, 1], (3, 5, 6, 8))
    assert n.repeat_latent_batch(latent(1, 1, 1, 1), 3).batch_index is None


def test_two_batches_become_one() -> None:
    both = n.latent_batch(latent(2, 1, 2, 2), latent(1, 1, 4, 4, batch_index=(7,)))
    assert (both.data.shape, both.batch_index) == ((3, 1, 2, 2), (0, 1, 7))


def test_noise_is_made_equal_or_free() -> None:
    batch = latent(3, 1, 1, 1, batch_index=(4, 5, 6))
    assert n.latent_batch_seed_behavior(batch, "fixed").batch_index == (4, 4, 4)
    assert n.latent_batch_seed_behavior(batch, "random").batch_index is None


def test_batches_are_joined_and_split() -> None:
    one, two, wide = latent(3, 1, 1, 1), latent(2, 1, 1, 1, batch_index=(8, 9)), latent(1, 1, 1, 2)
    rebatched = n.rebatch_latents([one, two, wide], 2)
    assert [(x.data.shape[0], x.batch_index) for x in rebatched] == [(2, (0, 1)), (2, (2, 8)), (1, (9,)), (1, (5,))]


def test_a_sample_without_a_mask_is_painted_whole_beside_one_with() -> None:
    masked = latent(1, 1, 1, 1, noise_mask=torch.zeros(1, 1, 8, 8))
    (joined,) = n.rebatch_latents([latent(1, 1, 1, 1), masked], 2)
    assert joined.noise_mask is not None
    assert (joined.noise_mask.shape, joined.noise_mask.mean((1, 2, 3)).tolist()) == ((2, 1, 8, 8), [1.0, 0.0])


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_latent_is_saved_and_loaded(tmp_path: Path) -> None:
    saved = n.save_latent(latent(1, 4, 2, 2), "kept/apple")
    assert saved.name == "kept/apple"
    (tmp_path / "a.latent").write_bytes(saved.data)
    assert torch.equal(n.load_latent(File("a.latent", tmp_path / "a.latent", "")).data, latent(1, 4, 2, 2).data)


def test_an_old_latent_is_brought_to_scale(tmp_path: Path) -> None:
    (tmp_path / "old.latent").write_bytes(save({"latent_tensor": torch.full((1, 4, 1, 1), 0.18215)}))
    assert n.load_latent(File("old.latent", tmp_path / "old.latent", "")).data.flatten().tolist() == [1.0] * 4


@pytest.mark.parametrize("data", [b"", b"garbage", save({"other": torch.zeros(1)})])
def test_what_is_no_latent_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "b.latent").write_bytes(data)
    with pytest.raises(UnsupportedFile, match=r"b\.latent is no file of a saved latent"):
        n.load_latent(File("b.latent", tmp_path / "b.latent", ""))

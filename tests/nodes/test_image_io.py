"""Pictures go in and out of tensors exactly."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow.api import File, Image, Mask, UnsupportedFile, pictures
from graphflow_nodes import image_io as n


def upload(folder: Path, picture: PIL.Image.Image, name: str = "picture.png", **options: object) -> File:
    path = folder / name
    picture.save(path, **options)
    return File(name, path, "digest")


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


RED = PIL.Image.new("RGB", (3, 2), (255, 128, 0))


def test_a_picture_without_alpha_comes_with_an_empty_mask(tmp_path: Path) -> None:
    image, mask = n.load_image(upload(tmp_path, RED))
    assert image.data.shape == (1, 2, 3, 3)
    assert image.data[0, 0, 0].tolist() == pytest.approx([1.0, 128 / 255, 0.0])
    assert (mask.data.shape, mask.data.sum().item()) == ((1, 64, 64), 0)


def test_transparency_becomes_the_mask(tmp_path: Path) -> None:
    image, mask = n.load_image(upload(tmp_path, PIL.Image.new("RGBA", (2, 1), (10, 20, 30, 51))))
    assert mask.data.tolist() == [[[pytest.approx(0.8)] * 2]]
    assert (image.data[0, 0, 0] * 255).round().tolist() == [10, 20, 30]


def test_a_palette_may_be_transparent(tmp_path: Path) -> None:
    palette = RED.quantize(2)
    _, mask = n.load_image(upload(tmp_path, palette, transparency=palette.getpixel((0, 0))))
    assert mask.data.tolist() == [[[1.0] * 3] * 2]


def test_an_animation_is_a_batch(tmp_path: Path) -> None:
    black, white = PIL.Image.new("RGB", (2, 2)), PIL.Image.new("RGB", (2, 2), "white")
    image, mask = n.load_image(upload(tmp_path, black, "a.webp", save_all=True, append_images=[white], lossless=True))
    assert image.data.mean((1, 2, 3)).tolist() == [0.0, 1.0]
    assert mask.data.shape == (2, 64, 64)


def test_a_channel_is_loaded_as_a_mask(tmp_path: Path) -> None:
    file = upload(tmp_path, PIL.Image.new("RGBA", (1, 1), (51, 102, 153, 204)))
    values = [n.load_image_mask(file, channel).data.item() for channel in ("alpha", "red", "green", "blue")]
    assert values == pytest.approx([0.2, 0.2, 0.4, 0.6])
    assert n.load_image_mask(upload(tmp_path, RED)).data.sum() == 0  # opaque


def test_an_output_is_loaded_like_an_upload(tmp_path: Path) -> None:
    assert n.load_image_output(upload(tmp_path, RED)).IMAGE.data.shape == (1, 2, 3, 3)


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UnsupportedFile, match=r"notes\.png is no picture"):
        n.load_image(File("notes.png", tmp_path / "notes.png", ""))


def test_saving_cuts_off_to_eight_bits_and_keeps_the_prefix() -> None:
    image = Image(torch.tensor([0.5, 0.999, 2.0]).expand(2, 1, 1, 3))
    first, second = n.save_image(image, "%width%x%height%/apple %batch_num%").files
    assert (first.media_type, first.name, second.name) == ("image/png", "1x1/apple 0", "1x1/apple 1")
    assert dict(first.details) == {"width": 1, "height": 1}
    assert opened(first.data).getpixel((0, 0)) == (127, 254, 255)


def test_what_is_saved_or_shown_is_passed_on() -> None:
    image, mask = Image(torch.zeros(1, 1, 1, 3)), Mask(torch.zeros(1, 1, 1))
    assert all(save(image).images is image for save in (n.save_image, n.preview_image, n.save_image_advanced))
    assert n.mask_preview(mask).mask is mask


def test_alpha_is_saved() -> None:
    (png,) = n.save_image(Image(torch.full((1, 1, 1, 4), 0.5))).files
    assert (opened(png.data).mode, opened(png.data).getpixel((0, 0))) == ("RGBA", (127,) * 4)


def test_saving_and_loading_gives_the_same_picture(tmp_path: Path) -> None:
    image = Image(torch.randint(0, 256, (1, 5, 4, 3), generator=torch.Generator().manual_seed(1)) / 255)
    (png,) = n.save_image(image).files
    (tmp_path / "again.png").write_bytes(png.data)
    assert torch.equal(n.load_image(File("again.png", tmp_path / "again.png", "")).IMAGE.data, image.data)


def test_a_picture_of_no_numbers_is_not_saved_black() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        n.save_image(Image(torch.full((1, 2, 2, 3), float("nan"))))


def test_previews_are_temporary() -> None:
    (shown,) = n.preview_image(Image(torch.zeros(1, 2, 2, 3))).files
    assert dict(shown.details) == {"width": 2, "height": 2, "temporary": True}
    (mask,) = n.mask_preview(Mask(torch.ones(1, 2, 2))).files
    assert (opened(mask.data).getpixel((0, 0)), mask.details["temporary"]) == ((255,) * 3, True)


def test_two_pictures_are_shown_against_each_other() -> None:
    black, white = Image(torch.zeros(1, 1, 1, 3)), Image(torch.ones(2, 1, 1, 3))
    assert [a.details["compare"] for a in n.image_compare(black, white)] == ["before", "after", "after"]
    assert n.image_compare() == []


def test_sixteen_bits_are_kept() -> None:
    values = torch.tensor([[0.0, 0.25, 0.5], [1.0, 1 / 65535, 0.7]]).reshape(1, 2, 1, 3)
    (png,) = n.save_image_advanced(Image(values), "deep", "png", "16-bit").files
    assert pictures.info(png.data).width == 1
    import av  # decodes 16 bits, which Pillow does not

    with av.open(io.BytesIO(png.data)) as file:
        frame = next(file.decode(video=0)).to_ndarray(format="rgb48le")
    assert frame.reshape(2, 3).tolist() == (values[0, :, 0] * 65535).round().int().tolist()


def test_other_formats_are_saved_on_request() -> None:
    image = Image(torch.full((1, 8, 8, 3), 0.5))
    (webp,) = n.save_image_advanced(image, "w", "webp", quality=100).files
    (jpeg,) = n.save_image_advanced(image, "j", "jpeg", quality=95).files
    assert [(a.media_type, opened(a.data).convert("RGB").getpixel((4, 4))) for a in (webp, jpeg)] == [
        ("image/webp", (127, 127, 127)),
        ("image/jpeg", (127, 127, 127)),
    ]


def test_high_dynamic_range_is_saved_as_linear_light() -> None:
    (exr,) = n.save_image_advanced(Image(torch.full((1, 2, 2, 3), 0.5)), "hdr", "exr", "32-bit float").files
    import av

    with av.open(io.BytesIO(exr.data)) as file:
        frame = next(file.decode(video=0)).to_ndarray()
    assert (exr.media_type, np.unique(frame).tolist()) == ("image/x-exr", [pytest.approx(0.21404, abs=1e-5)])

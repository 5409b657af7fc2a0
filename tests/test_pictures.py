"""Untrusted pictures are opened safely, and finished ones carry texts without a pixel changed."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow import pictures
from graphflow.errors import TooLarge, UnsupportedFile

RED = PIL.Image.new("RGB", (5, 3), (200, 10, 20))
GLASS = PIL.Image.new("RGBA", (6, 7), (1, 2, 3, 4))
TEXTS = {"graphflow": '{"name": "Äpfel 苹果"}', "prompt": '{"1": {}}', "workflow": '{"nodes": []}'}
LONG = {"graphflow": "long " * 40_000}


def file(picture: PIL.Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


FILES = {
    "png": (file(RED, "PNG"), "image/png"),
    "png with alpha": (file(GLASS, "PNG"), "image/png"),
    "apng": (file(RED, "PNG", save_all=True, append_images=[RED.rotate(180)]), "image/png"),
    "webp": (file(RED, "WEBP"), "image/webp"),
    "lossless webp": (file(RED, "WEBP", lossless=True), "image/webp"),
    "webp with alpha": (file(GLASS, "WEBP", lossless=True, exact=True), "image/webp"),
    "animated webp": (file(RED, "WEBP", save_all=True, append_images=[RED.transpose(1)]), "image/webp"),
    "jpeg": (file(RED, "JPEG"), "image/jpeg"),
}
every_file = pytest.mark.parametrize(("data", "media_type"), FILES.values(), ids=FILES)


def pixels(data: bytes) -> list[tuple[str, tuple[int, int], bytes]]:
    return [(frame.mode, frame.size, frame.tobytes()) for frame in pictures.read(data)]


# --- texts -----------------------------------------------------------------------------------------------------------


@every_file
@pytest.mark.parametrize("texts", [TEXTS, LONG, {}], ids=["three", "long", "none"])
def test_texts_come_back_and_pixels_stay(data: bytes, media_type: str, texts: dict[str, str]) -> None:
    written = pictures.embed(data, media_type, texts)
    assert pictures.texts(written) == texts
    assert pixels(written) == pixels(data)
    assert pictures.info(written) == pictures.info(data)


@every_file
def test_writing_again_changes_nothing_and_new_texts_replace_old_ones(data: bytes, media_type: str) -> None:
    once = pictures.embed(data, media_type, TEXTS)
    assert pictures.embed(once, media_type, TEXTS) == once
    longer = pictures.embed(once, media_type, LONG)
    assert pictures.texts(longer) == TEXTS | LONG
    assert pictures.texts(pictures.embed(longer, media_type, {"graphflow": "short"})) == TEXTS | {"graphflow": "short"}


@given(st.dictionaries(st.from_regex(r"[a-z]\w{0,8}", fullmatch=True, alphabet="abcxyz_"), st.text(), max_size=7))
def test_any_text_comes_back_from_a_png(texts: dict[str, str]) -> None:
    kept = {key: text for key, text in texts.items() if not any("\ud800" <= c <= "\udfff" for c in text)}
    assert pictures.texts(pictures.embed(FILES["png"][0], "image/png", kept)) == kept


def test_pillow_reads_what_we_write() -> None:
    with PIL.Image.open(io.BytesIO(pictures.embed(FILES["png"][0], "image/png", TEXTS))) as picture:
        assert dict(picture.text) == TEXTS  # type: ignore[attr-defined]


def test_webp_texts_lie_where_comfyui_looks() -> None:
    with PIL.Image.open(
        io.BytesIO(pictures.embed(FILES["webp"][0], "image/webp", {"prompt": "{}", "workflow": "[]"}))
    ) as p:
        assert {tag: p.getexif()[tag] for tag in (0x0110, 0x010F)} == {0x0110: "prompt:{}", 0x010F: "workflow:[]"}


def test_texts_of_other_programs_are_read() -> None:
    notes = PIL.PngImagePlugin.PngInfo()
    notes.add_text("prompt", "{}")
    notes.add_text("parameters", "an apple\nSteps: 20", zip=True)
    notes.add_itxt("workflow", "é", zip=True)
    notes.add(b"comf", b"animated\0[1]", after_idat=True)
    assert pictures.texts(file(RED, "PNG", pnginfo=notes)) == {
        "prompt": "{}", "parameters": "an apple\nSteps: 20", "workflow": "é", "animated": "[1]",
    }  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x010E] = "Prompt:{}", "Workflow:[]"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "an apple".encode("utf-16-be")
    assert pictures.texts(file(RED, "JPEG", exif=exif)) == {"prompt": "{}", "workflow": "[]", "parameters": "an apple"}


def test_the_orientation_of_a_photo_survives_its_texts() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Camera 1"
    photo = pictures.embed(file(RED, "JPEG", exif=exif), "image/jpeg", TEXTS)
    with PIL.Image.open(io.BytesIO(photo)) as picture:
        assert (picture.getexif()[0x0112], picture.getexif()[0x0110]) == (6, "Camera 1")
    assert pictures.texts(photo) == TEXTS


def test_a_text_bomb_is_not_inflated() -> None:
    bomb = b"workflow\0\0" + zlib.compress(b" " * (65 * 2**20), 9)
    chunk = len(bomb).to_bytes(4, "big") + b"zTXt" + bomb + zlib.crc32(b"zTXt" + bomb).to_bytes(4, "big")
    assert pictures.texts(FILES["png"][0][:33] + chunk + FILES["png"][0][33:]) == {}


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff\xe1\0", b"GIF89a", b"text"]
)
def test_what_holds_no_texts_has_none(data: bytes) -> None:
    assert pictures.texts(data) == {}


@pytest.mark.parametrize("media_type", ["image/png", "image/webp", "image/jpeg"])
def test_nothing_is_embedded_into_a_damaged_file(media_type: str) -> None:
    with pytest.raises(UnsupportedFile, match="no complete"):
        pictures.embed(b"damaged", media_type, TEXTS)


def test_a_file_without_a_place_for_texts_stays_as_it_is() -> None:
    assert pictures.embed(b"GIF89a", "image/gif", TEXTS) == b"GIF89a"


def test_a_key_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be the key"):
        pictures.embed(FILES["png"][0], "image/png", {"a\0b": "x"})


# --- opening ---------------------------------------------------------------------------------------------------------


def test_info_tells_format_size_and_frames() -> None:
    assert pictures.info(FILES["apng"][0]) == pictures.Info("PNG", "image/png", 5, 3, 2)
    assert pictures.info(FILES["webp with alpha"][0]) == pictures.Info("WEBP", "image/webp", 6, 7, 1)


def test_a_photo_on_its_side_is_turned_upright() -> None:
    left = PIL.Image.new("RGB", (4, 2))
    left.paste((255, 255, 255), (0, 0, 2, 2))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    photo = file(left, "JPEG", exif=exif, quality=100)
    assert (pictures.info(photo).width, pictures.info(photo).height) == (2, 4)
    (upright,) = pictures.read(photo)
    assert (upright.size, upright.getpixel((0, 0)), upright.getpixel((0, 3))) == ((2, 4), (255,) * 3, (0,) * 3)


def test_all_frames_of_an_animation_are_read() -> None:
    black, white = PIL.Image.new("RGB", (2, 2)), PIL.Image.new("RGB", (2, 2), "white")
    frames = pictures.read(file(black, "GIF", save_all=True, append_images=[white], duration=100))
    assert [frame.convert("RGB").getpixel((0, 0)) for frame in frames] == [(0, 0, 0), (255, 255, 255)]


def test_sixteen_bit_greys_become_eight() -> None:
    grey = PIL.Image.frombytes("I;16", (2, 1), struct.pack("<HH", 0, 65535))
    (frame,) = pictures.read(file(grey, "PNG"))
    assert (frame.mode, frame.tobytes()) == ("L", b"\x00\xff")


def test_a_thumbnail_fits_and_never_grows() -> None:
    wide = pictures.thumbnail(file(PIL.Image.new("RGB", (400, 100)), "JPEG"), 64)
    assert pictures.info(wide) == pictures.Info("WEBP", "image/webp", 64, 16, 1)
    assert pictures.info(pictures.thumbnail(FILES["png with alpha"][0], 64)).width == 6


def test_a_thumbnail_keeps_transparency() -> None:
    with PIL.Image.open(io.BytesIO(pictures.thumbnail(FILES["png with alpha"][0]))) as picture:
        assert picture.mode == "RGBA"


@pytest.mark.parametrize("use", [pictures.info, pictures.read, pictures.thumbnail])
def test_a_bomb_is_refused_before_it_is_decoded(use: Any) -> None:
    claims = FILES["png"][0][8:33].replace(struct.pack(">II", 5, 3), struct.pack(">II", 60_000, 60_000))
    header = claims[:21] + zlib.crc32(claims[4:21]).to_bytes(4, "big")
    with pytest.raises(TooLarge, match="smaller"):
        use(FILES["png"][0][:8] + header + FILES["png"][0][33:])
    with pytest.raises(TooLarge, match="has 5 × 3 pixels, 15 in all; at most 14"):
        use(FILES["png"][0], limit=14)


def test_frames_count_towards_the_limit() -> None:
    assert pictures.info(FILES["apng"][0], limit=15).frames == 2
    with pytest.raises(TooLarge, match="2 frames of 5 × 3"):
        pictures.read(FILES["apng"][0], limit=29)


@pytest.mark.parametrize("use", [pictures.read, pictures.thumbnail])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_file_cut_short_is_refused(use: Any, format: str) -> None:
    noise = PIL.Image.effect_noise((64, 64), 90).convert("RGB")
    data = file(noise, format)
    with pytest.raises(UnsupportedFile, match=r"damaged or cut short|no picture"):
        use(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 100])
def test_what_is_no_picture_is_refused_with_what_is_known(data: bytes) -> None:
    with pytest.raises(UnsupportedFile, match="no picture of a known format; known are PNG, JPEG"):
        pictures.info(data)


def test_a_path_is_named_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(UnsupportedFile, match=r"^notes\.png is no picture"):
        pictures.info(tmp_path / "notes.png")
    with pytest.raises(UnsupportedFile, match=r"^gone\.png is gone"):
        pictures.info(tmp_path / "gone.png")

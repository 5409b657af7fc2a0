"""Files that users bring and nodes make."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.assets import AssetFinder, Assets, NewFile, asset_id, safe_name
from graphflow.database import Database
from graphflow.errors import BadRequest, NotFound, TooLarge, UnsupportedFile
from graphflow.files import ModelFiles
from tests.fakes import database_url


def png(color: str = "red", size: tuple[int, int] = (3, 2)) -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Assets]:
    database = Database(database_url(tmp_path))
    database.migrate()
    yield Assets(database, tmp_path, max_size=10_000)
    database.close()


def result(color: str, job: str = "j") -> NewFile:
    return NewFile(png(color), "image/png", 3, 2, job=job, node="save")


async def test_results_are_counted_and_equal_bytes_keep_their_name(store: Assets) -> None:
    saved = [await store.save("output", "fruit/apple", result(color)) for color in ("red", "green", "red")]

    assert [asset.name for asset in saved] == [
        "fruit/apple_00001_.png",
        "fruit/apple_00002_.png",
        "fruit/apple_00001_.png",
    ]
    assert saved[0].id == asset_id(png("red"))
    assert (store.folder("output") / "fruit/apple_00002_.png").read_bytes() == png("green")
    assert [asset.name for asset in await store.page("output")] == ["fruit/apple_00002_.png", "fruit/apple_00001_.png"]


async def test_the_counter_follows_what_lies_in_the_folder(store: Assets) -> None:
    store.folder("output").mkdir()
    (store.folder("output") / "Apple_00041_.png").write_bytes(b"somebody's")

    assert (await store.save("output", "apple", result("red"))).name == "apple_00042_.png"


async def test_many_results_at_once_get_different_names(store: Assets) -> None:
    files = [NewFile(bytes([i]), "text/plain") for i in range(20)]
    saved = await asyncio.gather(*(store.save("temp", "t", file) for file in files))

    assert sorted(asset.name for asset in saved) == [f"t_{i:05}_.txt" for i in range(1, 21)]


async def test_a_prefix_can_say_the_size(store: Assets) -> None:
    assert (await store.save("output", "%width%x%height%", result("red"))).name == "3x2_00001_.png"


@pytest.mark.parametrize("prefix", ["../x", "/etc/x", "a/../../x", "a\\..\\..\\x", "C:/x", "nul", "x\0y", "a" * 300])
async def test_no_name_leaves_its_folder(store: Assets, prefix: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadRequest):
        await store.save("output", prefix, result("red"))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\..\\x", "nul", "a" * 300, "", "."])
async def test_no_upload_leaves_its_folder(store: Assets, name: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadRequest):
        await store.upload("input", name, png())
    assert sorted(tmp_path.rglob("*")) == before


async def test_what_some_system_cannot_keep_in_a_name_is_replaced(store: Assets) -> None:
    assert (await store.upload("input", 'at 12:30 "é"?.png', png())).name == "at 12_30 _é__.png"


@given(st.text(max_size=60))
def test_a_safe_name_stays_below_any_folder(name: str) -> None:
    try:
        safe = safe_name(name)
    except BadRequest:
        return
    root = Path("/srv/data")
    assert (root / safe).resolve(strict=False).is_relative_to(root)
    assert safe_name(safe) == safe


async def test_an_upload_keeps_its_name_and_never_takes_anothers(store: Assets) -> None:
    names = [(await store.upload("input", "cat.png", png(c))).name for c in ("red", "green", "red", "blue")]

    assert names == ["cat.png", "cat (1).png", "cat.png", "cat (2).png"]
    replaced = await store.upload("input", "cat.png", png("blue"), overwrite=True)
    assert (replaced.name, replaced.id) == ("cat.png", asset_id(png("blue")))
    assert (replaced.width, replaced.height, replaced.media_type) == (3, 2, "image/png")


async def test_what_is_no_picture_is_refused_as_one(store: Assets) -> None:
    for name, data in {"cut.png": png()[:40], "text.jpg": b"hello", "empty.png": b""}.items():
        with pytest.raises(UnsupportedFile):
            await store.upload("input", name, data)
    with pytest.raises(TooLarge):
        await store.upload("input", "big.bin", bytes(10_001))
    assert await store.page() == []


async def test_the_bytes_say_what_a_file_is(store: Assets) -> None:
    assert (await store.upload("input", "really.jpg", png())).media_type == "image/png"


async def test_an_asset_whose_file_is_gone_is_not_found(store: Assets) -> None:
    asset = await store.save("output", "x", result("red"))
    assert await store.get(asset.id) == asset
    store.path(asset).unlink()
    for id in (asset.id, "f" * 32, "../../etc/passwd"):
        with pytest.raises(NotFound):
            await store.get(id)


async def test_a_file_put_into_the_folder_by_hand_is_an_asset(store: Assets) -> None:
    store.folder("input").mkdir()
    (store.folder("input") / "mine.png").write_bytes(png("blue"))

    assert (await store.named("input", "mine.png")).id == asset_id(png("blue"))
    with pytest.raises(NotFound, match=r"the nearest: 'mine\.png'"):
        await store.named("input", "mime.png")


async def test_the_list_follows_what_lies_in_the_folder(store: Assets) -> None:
    gone = await store.upload("input", "gone.png", png("red"))
    await store.upload("input", "stays.png", png("green"))
    store.path(gone).unlink()
    (store.folder("input") / "new.png").write_bytes(png("blue"))
    (store.folder("input") / "broken.png").write_bytes(b"nothing")

    assert {asset.name for asset in await store.page("input")} == {"new.png", "stays.png"}
    with pytest.raises(NotFound):
        await store.get(gone.id)


async def test_thumbnails_are_small_and_made_once(store: Assets) -> None:
    asset = await store.save("output", "x", NewFile(png("red", (400, 200)), "image/png"))
    path = await store.thumbnail(asset, 64)
    assert PIL.Image.open(path).size == (64, 32)
    made = path.stat().st_mtime_ns
    assert (await store.thumbnail(asset, 64)).stat().st_mtime_ns == made


async def test_workflows_name_inputs_by_name_by_kind_or_by_id(store: Assets, tmp_path: Path) -> None:
    await store.upload("input", "cat.png", png("red"))
    made = await store.save("output", "dog", result("green"))
    finder = AssetFinder(ModelFiles([tmp_path / "models"]), store)

    found = [finder.find("input", name) for name in ("cat.png", "dog_00001_.png [output]", made.id)]

    assert [file.path.name for file in found] == ["cat.png", "dog_00001_.png", "dog_00001_.png"]
    assert [file.digest[:32] for file in found] == [asset_id(png("red")), made.id, made.id]
    assert finder.names("input") == ["cat.png"]
    for name in ("../db.sqlite", "cat.jpg", "x [output]", "e" * 32):
        with pytest.raises(NotFound):
            finder.find("input", name)


async def test_temporary_files_are_cleared_away(store: Assets) -> None:
    asset = await store.save("temp", "x", result("red"))
    await store.clear_temporary(older_than=asset.created + 1)

    assert await store.page("temp") == []
    assert store.names("temp") == []

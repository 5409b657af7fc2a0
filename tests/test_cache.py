"""What was computed is kept within its budgets, on disk across restarts, and never believed when damaged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.cache import OVERHEAD, Cache, Entry
from graphflow.node import Artifact
from graphflow.values import Image


def picture(size: int = 4, seconds: float = 1.0) -> Entry:
    return Entry.of(((Image(torch.full((1, size, size, 3), 0.5)),),), seconds)


def test_an_entry_is_found_in_memory() -> None:
    cache = Cache(10_000)
    entry = picture()
    cache.put("k", entry)
    assert cache.get("k") == (entry, "memory")
    assert cache.get("other") is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12), st.floats(0, 10)), max_size=40))
def test_memory_never_passes_its_budget(puts: list[tuple[int, int, float]]) -> None:
    cache = Cache(5_000)
    for key, size, seconds in puts:
        cache.put(str(key), picture(size, seconds))
        assert cache.memory.size <= 5_000
        assert cache.memory.size == sum(e.size for k in map(str, range(10)) if (e := cache.memory.get(k)))


def test_what_was_cheap_for_its_room_goes_first() -> None:
    size = picture().size
    cache = Cache(2 * size)
    cache.put("dear", picture(seconds=9.0))
    cache.put("cheap", picture(seconds=0.1))
    cache.put("new", picture(seconds=1.0))
    assert [k for k in ("dear", "cheap", "new") if cache.peek(k)] == ["dear", "new"]


def test_what_is_never_used_goes_in_the_end_however_dear() -> None:
    cache = Cache(2 * picture().size)
    cache.put("dear", picture(seconds=3.0))
    for i in range(8):
        cache.put(f"k{i}", picture(seconds=1.0))
    assert cache.peek("dear") is None


def test_what_is_larger_than_the_budget_is_not_kept() -> None:
    cache = Cache(OVERHEAD)
    cache.put("k", picture())
    assert cache.peek("k") is None


def test_the_disk_tier_survives_a_restart(tmp_path: Path) -> None:
    first = Cache(10_000, tmp_path, 100_000)
    first.put("abc", picture())
    first.put("cheap", picture(seconds=0.001))
    first.put("file", Entry.of(((Artifact("text/plain", b"x", "n"),),), 0.0))
    first.close()

    second = Cache(10_000, tmp_path, 100_000)
    assert (second.peek("abc"), second.peek("cheap"), second.peek("file")) == ("disk", None, "disk")
    found = second.get("abc")
    assert found is not None
    assert found[1] == "disk"
    assert torch.equal(found[0].outputs[0][0].data, picture().outputs[0][0].data)
    assert second.peek("abc") == "memory"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:60] + b"\xff" + b[61:]])
def test_a_damaged_file_is_a_miss(tmp_path: Path, damage: Any) -> None:
    first = Cache(10_000, tmp_path, 100_000)
    first.put("abc", picture())
    first.close()
    (file,) = tmp_path.glob("*/*.value")
    file.write_bytes(damage(file.read_bytes()))

    second = Cache(10_000, tmp_path, 100_000)
    assert second.get("abc") is None
    assert list(tmp_path.glob("*/*.value")) == []


def test_the_disk_tier_keeps_its_budget_and_clears_leftovers(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "abc.1.tmp").write_bytes(b"half")
    cache = Cache(10_000, tmp_path, 3_000)
    for i in range(9):
        cache.put(f"k{i}", picture())
    cache.close()
    assert cache.disk is not None
    assert cache.disk.size <= 3_000
    assert cache.peek("k8") is not None
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) == cache.disk.size


def test_what_is_kept_outlives_what_comes_after_it_and_a_restart(tmp_path: Path) -> None:
    size = picture().size
    cache = Cache(2 * size, tmp_path, 2 * size)
    cache.put("frozen", picture(seconds=0.001))
    assert cache.keep("frozen")
    assert not cache.keep("never computed")
    for i in range(8):
        cache.put(f"k{i}", picture(seconds=9.0))
    cache.close()
    cache.clear()
    assert cache.peek("frozen") == "disk"

    second = Cache(2 * size, tmp_path, 2 * size)
    found = second.get("frozen")
    assert found is not None
    assert torch.equal(found[0].outputs[0][0].data, picture().outputs[0][0].data)


def test_what_one_worker_keeps_another_on_the_same_folder_finds(tmp_path: Path) -> None:
    one, other = Cache(10**6, tmp_path, 10**6), Cache(10**6, tmp_path, 10**6)
    one.put("k", picture(seconds=0.001))
    assert other.get("k") is None
    assert one.keep("k")
    assert other.peek("k") == "disk"
    assert other.get("k") is not None


def test_what_cannot_be_written_is_not_said_to_be_kept(tmp_path: Path) -> None:
    cache = Cache(10**6, tmp_path, 10**6)
    cache.put("k", Entry((((object()),),), 1.0, 0.0, 100))
    assert not cache.keep("k")


def test_the_cache_leaves_room_on_its_disk_for_what_matters_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, others = 100_000, 80_000

    def usage(folder: Path) -> tuple[int, ...]:
        taken = others + sum(path.stat().st_size for path in Path(folder).rglob("*.value"))
        return shutil._ntuple_diskusage(total, taken, total - taken)  # type: ignore[attr-defined, no-any-return]

    monkeypatch.setattr(shutil, "disk_usage", usage)
    cache = Cache(10**6, tmp_path, 10**6)
    for i in range(8):
        cache.put(f"k{i}", picture(16))  # 3 kB each
    cache.close()
    kept = [key for key in map("k{}".format, range(8)) if Cache(10**6, tmp_path, 10**6).peek(key)]
    assert kept == ["k4", "k5", "k6", "k7"], "the oldest went, and 5 % of the disk stays free"

    others = 99_000
    cache.put("late", picture(16))
    cache.close()
    assert Cache(10**6, tmp_path, 10**6).peek("late") is None
    assert cache.get("late") is not None, "it is still in memory"


def test_without_a_disk_what_is_kept_stays_in_memory_for_this_life() -> None:
    size = picture().size
    cache = Cache(size)
    cache.put("k", picture(seconds=0.001))
    assert cache.keep("k")
    cache.put("other", picture(seconds=9.0))
    cache.free()
    assert cache.peek("k") == "memory"
    assert cache.get("k") is not None

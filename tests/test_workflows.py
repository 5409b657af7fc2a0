"""The library of saved workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graphflow.database import Database
from graphflow.errors import BadRequest, NotFound
from graphflow.workflows import KEPT_VERSIONS, Changed, Workflows
from tests.fakes import database_url


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Workflows]:
    database = Database(database_url(tmp_path))
    database.migrate()
    yield Workflows(database)
    database.close()


def document(text: str = "an apple", **more: Any) -> dict[str, Any]:
    return {"graphflow": 1, "nodes": {"p": {"type": "PrimitiveString", "inputs": {"value": text}}}, **more}


async def test_every_changed_save_is_a_version(library: Workflows) -> None:
    first = await library.create(document("1"), "Apple", ["fruit"])
    second = await library.save(first.id, 1, document=document("2"))
    same = await library.save(first.id, 2, document=document("2"), name="Red apple")

    assert [saved.version for saved in (first, second, same)] == [1, 2, 2]
    assert (same.name, same.tags, same.workflow) == ("Red apple", ("fruit",), document("2"))
    assert [version.version for version in await library.versions(first.id)] == [2, 1]
    assert (await library.version(first.id, 1)).workflow == document("1")


async def test_a_version_has_a_name_of_its_own_when_it_is_given_one(library: Workflows) -> None:
    first = await library.create(document("1"), "Apple")
    await library.save(first.id, 1, document=document("1"), version_name="Before the rain")
    await library.save(first.id, 1, document=document("2"))
    saved = await library.save(first.id, 2, document=document("3"), version_name="Final")

    assert [version.name for version in await library.versions(first.id)] == ["Final", "Apple", "Before the rain"]
    assert saved.name == "Apple"


async def test_nobody_overwrites_what_somebody_saved_meanwhile(library: Workflows) -> None:
    saved = await library.create(document("1"))
    await library.save(saved.id, 1, document=document("mine"))
    with pytest.raises(Changed, match="version 2"):
        await library.save(saved.id, 1, document=document("theirs"))
    assert (await library.get(saved.id)).workflow == document("mine")


async def test_restoring_is_a_save(library: Workflows) -> None:
    saved = await library.create(document("1"))
    await library.save(saved.id, 1, document=document("2"))
    restored = await library.restore(saved.id, 1)

    assert (restored.version, restored.workflow) == (3, document("1"))


async def test_the_last_versions_are_kept_and_the_shared_one(library: Workflows) -> None:
    saved = await library.create(document("0"))
    token = await library.share(saved.id)
    for i in range(1, KEPT_VERSIONS + 3):
        await library.save(saved.id, i, document=document(str(i)))

    kept = [version.version for version in await library.versions(saved.id)]
    assert kept == [*range(KEPT_VERSIONS + 3, 3, -1), 1]
    assert (await library.shared(token)).workflow == document("0")


async def test_a_share_link_shows_a_fixed_version_until_it_is_revoked(library: Workflows) -> None:
    saved = await library.create(document("1"), "Apple")
    token = await library.share(saved.id)
    await library.save(saved.id, 1, document=document("2"), name="Pear")

    shown = await library.shared(token)
    assert (shown.version, shown.name, shown.workflow) == (1, "Apple", document("1"))
    await library.unshare(saved.id)
    with pytest.raises(NotFound, match="revoked"):
        await library.shared(token)


async def test_search_looks_into_names_tags_and_prompts(library: Workflows) -> None:
    await library.create(document("a red fox"), "Animals", ["wild"])
    await library.create(document("an apple"), "Fruit", ["still life"])

    async def found(search: str = "", tag: str | None = None) -> list[str]:
        return [saved.name for saved in await library.find(search, tag)]

    assert [await found("RED fox"), await found("still"), await found("fox apple"), await found(tag="wild")] == [
        ["Animals"],
        ["Fruit"],
        [],
        ["Animals"],
    ]
    assert await found() == ["Fruit", "Animals"]


async def test_a_thumbnail_follows_whatever_computes_the_same(library: Workflows) -> None:
    import json

    saved = await library.create(document("1", layout={"p": {"position": [0, 0]}}))
    other = await library.create(document("2"))
    await library.made(json.dumps(document("1", name="moved and renamed")), "ab" * 16)

    assert (await library.get(saved.id)).thumbnail == "ab" * 16
    assert (await library.get(other.id)).thumbnail is None


async def test_deleting_takes_all_of_it(library: Workflows) -> None:
    saved = await library.create(document())
    token = await library.share(saved.id)
    await library.delete(saved.id)

    for look in (library.get(saved.id), library.versions(saved.id), library.shared(token), library.delete(saved.id)):
        with pytest.raises(NotFound):
            await look
    assert await library.find() == []


async def test_only_workflows_are_saved(library: Workflows) -> None:
    with pytest.raises(BadRequest):
        await library.create({"nodes": {}})


async def test_a_draft_is_kept_as_it_is(library: Workflows) -> None:
    faulty = {"workflow": {"nodes": "not yet"}, "file": None}
    await library.keep_draft("tab-1", {"workflow": {}})
    await library.keep_draft("tab-1", faulty, expected=1)

    draft = await library.draft("tab-1")
    assert (draft.draft, draft.version) == (faulty, 2)
    assert [draft.id for draft in await library.drafts()] == ["tab-1"]
    await library.drop_draft("tab-1")
    with pytest.raises(NotFound):
        await library.draft("tab-1")


async def test_two_windows_do_not_overwrite_each_others_draft(library: Workflows) -> None:
    await library.keep_draft("d", {"workflow": {"name": "mine"}})
    await library.keep_draft("d", {"workflow": {"name": "theirs"}}, expected=1)
    with pytest.raises(Changed, match="another window"):
        await library.keep_draft("d", {"workflow": {"name": "mine again"}}, expected=1)
    assert (await library.draft("d")).draft == {"workflow": {"name": "theirs"}}

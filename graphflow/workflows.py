"""Saved workflows: every save is a version; share links to fixed versions; drafts that survive a killed browser."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, delete, insert, select, update

from graphflow.database import Database, drafts, shares, versions, workflows
from graphflow.errors import GraphflowError, NotFound
from graphflow.workflow import canonical, parse

KEPT_VERSIONS = 50


class Changed(GraphflowError):
    """Somebody saved meanwhile: the version that was to be replaced is not the newest."""

    code = "version_conflict"
    status = 412


class Saved(BaseModel):
    """A saved workflow; in lists without the document itself."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    tags: tuple[str, ...] = ()
    version: int
    created: float
    updated: float
    thumbnail: str | None = None
    """Asset id of the last picture that it made."""
    share: str | None = None
    """Token of its share link."""
    workflow: dict[str, Any] | None = None


class Version(BaseModel):
    """One state that was saved."""

    model_config = ConfigDict(frozen=True)

    version: int
    name: str
    created: float
    workflow: dict[str, Any] | None = None


class Draft(BaseModel):
    """What an editor had open, saved or not."""

    model_config = ConfigDict(frozen=True)

    id: str
    updated: float
    version: int = 1
    draft: dict[str, Any] | None = None
    """As the editor gave it: the workflow, and of which saved one it is a copy."""


def digest(document: str) -> str:
    """Equal for documents that compute the same: places on the canvas and names do not count."""
    data = json.loads(document)
    nodes = {id: {k: v for k, v in node.items() if k != "title"} for id, node in data.get("nodes", {}).items()}
    text = json.dumps([nodes, data.get("subgraphs", {})], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Workflows:
    """The library."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, search: str = "", tag: str | None = None) -> list[Saved]:
        """All whose name, tags or texts hold every word of `search`, last saved first."""
        words = search.lower().split()

        def look(db: Connection) -> list[Saved]:
            query = _with_document().order_by(workflows.c.updated.desc())
            rows = [row for row in db.execute(query).all() if _matches(row, words)]
            return [_saved(row, with_document=False) for row in rows]

        found = await self._database.read(look)
        return [saved for saved in found if tag is None or tag in saved.tags]

    async def get(self, id: str) -> Saved:
        """One, with its document. Raises `NotFound`."""
        return await self._database.read(lambda db: _get(db, id))

    async def create(self, document: dict[str, Any], name: str = "", tags: Sequence[str] = ()) -> Saved:
        """A new one. Raises `InvalidWorkflow` or `BadRequest` for what is no workflow."""
        workflow = parse(document)
        text, id, now = canonical(workflow), uuid.uuid4().hex, time.time()
        values = {
            "id": id,
            "name": name or workflow.name or "Untitled",
            "tags": json.dumps(list(tags)),
            "version": 1,
            "created": now,
            "updated": now,
            "digest": digest(text),
        }

        def change(db: Connection) -> Saved:
            db.execute(insert(workflows).values(values))
            _insert_version(db, id, 1, str(values["name"]), text, now)
            return _get(db, id)

        return await self._database.write(change, durable=True)

    async def save(
        self,
        id: str,
        expected: int | None,
        *,
        document: dict[str, Any] | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        thumbnail: str | None = None,
        version_name: str | None = None,
    ) -> Saved:
        """A new version when the document changed; otherwise only what is told about it.

        `version_name` names the version that is the newest afterwards, new or not.

        Raises `NotFound`, or `Changed` when `expected` is not the newest version.
        """
        text = None if document is None else canonical(parse(document))
        return await self._database.write(
            lambda db: _save(db, id, expected, text, name, tags, thumbnail, version_name), durable=True
        )

    async def delete(self, id: str) -> None:
        """With all its versions and its share link. Raises `NotFound`."""

        def change(db: Connection) -> None:
            _get(db, id)
            for table in (shares, versions):
                db.execute(delete(table).where(table.c.workflow == id))
            db.execute(delete(workflows).where(workflows.c.id == id))

        await self._database.write(change)

    async def versions(self, id: str) -> list[Version]:
        """Those that are kept, newest first."""

        def look(db: Connection) -> list[Version]:
            _get(db, id)
            query = select(versions).where(versions.c.workflow == id).order_by(versions.c.version.desc())
            return [Version(version=r.version, name=r.name, created=r.created) for r in db.execute(query).all()]

        return await self._database.read(look)

    async def version(self, id: str, number: int) -> Version:
        """One of them, with its document. Raises `NotFound`."""
        return await self._database.read(lambda db: _version(db, id, number))

    async def restore(self, id: str, number: int) -> Saved:
        """An old version's document saved as the newest; the ones between stay."""

        def change(db: Connection) -> Saved:
            old = _version(db, id, number)
            return _save(db, id, None, json.dumps(old.workflow, ensure_ascii=False, separators=(",", ":")))

        return await self._database.write(change, durable=True)

    async def share(self, id: str, version: int | None = None) -> str:
        """The token of a link to one version, the newest unless told; the former link ends."""

        def change(db: Connection) -> str:
            number = version or _get(db, id).version
            _version(db, id, number)
            db.execute(delete(shares).where(shares.c.workflow == id))
            token = secrets.token_urlsafe(18)
            db.execute(insert(shares).values(token=token, workflow=id, version=number, created=time.time()))
            return token

        return await self._database.write(change)

    async def unshare(self, id: str) -> None:
        """Ends the link."""
        await self._database.write(lambda db: db.execute(delete(shares).where(shares.c.workflow == id)))

    async def shared(self, token: str) -> Saved:
        """What a share link shows: that version, not to be changed. Raises `NotFound`."""

        def look(db: Connection) -> Saved:
            row = db.execute(select(shares).where(shares.c.token == token)).first()
            if row is None:
                raise NotFound("this share link does not exist, or it was revoked")
            saved, old = _get(db, row.workflow), _version(db, row.workflow, row.version)
            return saved.model_copy(update={"version": row.version, "name": old.name, "workflow": old.workflow})

        return await self._database.read(look)

    async def made(self, document: str, picture: str) -> None:
        """Takes note of the last picture of every saved workflow that computes the same as `document`."""
        same = workflows.c.digest == digest(document)
        await self._database.write(lambda db: db.execute(update(workflows).where(same).values(thumbnail=picture)))

    # --- drafts

    async def drafts(self) -> list[Draft]:
        """All, last changed first."""
        query = select(drafts.c.id, drafts.c.updated, drafts.c.version).order_by(drafts.c.updated.desc())
        rows = await self._database.read(lambda db: db.execute(query).all())
        return [Draft(id=row.id, updated=row.updated, version=row.version) for row in rows]

    async def draft(self, id: str) -> Draft:
        """One, with its content. Raises `NotFound`."""
        row = await self._database.read(lambda db: db.execute(select(drafts).where(drafts.c.id == id)).first())
        if row is None:
            raise NotFound(f"there is no draft {id!r}")
        return Draft(id=row.id, updated=row.updated, version=row.version, draft=json.loads(row.document))

    async def keep_draft(self, id: str, content: dict[str, Any], expected: int | None = None) -> Draft:
        """The draft as it is now; its workflow may be faulty, and only the last state is kept.

        Raises `Changed` when `expected` is not the version that is there: another window has it open, too.
        """
        text, now = json.dumps(content, ensure_ascii=False, separators=(",", ":")), time.time()

        def change(db: Connection) -> Draft:
            version = db.execute(select(drafts.c.version).where(drafts.c.id == id)).scalar() or 0
            if expected is not None and version and expected != version:
                raise Changed("another window changed this draft meanwhile: take its state, or keep yours as a new one")
            db.execute(delete(drafts).where(drafts.c.id == id))
            db.execute(insert(drafts).values(id=id, updated=now, version=version + 1, document=text))
            return Draft(id=id, updated=now, version=version + 1)

        return await self._database.write(change, durable=True)

    async def drop_draft(self, id: str) -> None:
        """Takes it away; nothing happens when it is not there."""
        await self._database.write(lambda db: db.execute(delete(drafts).where(drafts.c.id == id)))


def _with_document() -> Any:
    newest = (versions.c.workflow == workflows.c.id) & (versions.c.version == workflows.c.version)
    columns = (workflows, versions.c.document, shares.c.token)
    return select(*columns).join(versions, newest).outerjoin(shares, shares.c.workflow == workflows.c.id)


def _matches(row: Row[Any], words: Sequence[str]) -> bool:
    text = f"{row.name} {row.tags} {row.document}".lower() if words else ""
    return all(word in text for word in words)


def _get(db: Connection, id: str) -> Saved:
    row = db.execute(_with_document().where(workflows.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no workflow {id!r}")
    return _saved(row, with_document=True)


def _saved(row: Row[Any], *, with_document: bool) -> Saved:
    return Saved(
        id=row.id,
        name=row.name,
        tags=tuple(json.loads(row.tags)),
        version=row.version,
        created=row.created,
        updated=row.updated,
        thumbnail=row.thumbnail,
        share=row.token,
        workflow=json.loads(row.document) if with_document else None,
    )


def _version(db: Connection, id: str, number: int) -> Version:
    where = (versions.c.workflow == id, versions.c.version == number)
    row = db.execute(select(versions).where(*where)).first()
    if row is None:
        raise NotFound(f"there is no version {number} of workflow {id!r}")
    return Version(version=row.version, name=row.name, created=row.created, workflow=json.loads(row.document))


def _save(
    db: Connection,
    id: str,
    expected: int | None,
    text: str | None = None,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    thumbnail: str | None = None,
    version_name: str | None = None,
) -> Saved:
    old, now = _get(db, id), time.time()
    if expected is not None and expected != old.version:
        raise Changed(f"version {old.version} was saved meanwhile: open it, or save yours under another name")
    told = {"name": name, "tags": None if tags is None else json.dumps(list(tags)), "thumbnail": thumbnail}
    values: dict[str, Any] = {key: value for key, value in told.items() if value is not None} | {"updated": now}
    before = _version(db, id, old.version).workflow
    if text is not None and json.loads(text) != before:
        values |= {"version": old.version + 1, "digest": digest(text)}
        _insert_version(db, id, old.version + 1, name or old.name, text, now)
        outdated = (versions.c.workflow == id, versions.c.version <= old.version + 1 - KEPT_VERSIONS)
        linked = select(shares.c.version).where(shares.c.workflow == id)
        db.execute(delete(versions).where(*outdated, versions.c.version.not_in(linked)))
    db.execute(update(workflows).where(workflows.c.id == id).values(values))
    if version_name:
        newest = (versions.c.workflow == id, versions.c.version == values.get("version", old.version))
        db.execute(update(versions).where(*newest).values(name=version_name))
    return _get(db, id)


def _insert_version(db: Connection, id: str, number: int, name: str, text: str, now: float) -> None:
    row = {"workflow": id, "version": number, "name": name, "created": now, "document": text}
    db.execute(insert(versions).values(row))

"""Jobs: the queue and the history, kept in the database; nothing else writes there.

A job's row follows from its events: whoever has an event records it here, and only what is recorded is published. A
job is claimed by a change of status and never leaves the table while it matters, so a crash loses none.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from graphflow.database import Database, events, jobs, settings
from graphflow.errors import Conflict, ErrorBody, NotFound
from graphflow.events import (
    Event,
    JobCancelled,
    JobDone,
    JobFailed,
    JobQueued,
    JobStarted,
    NodeOutput,
    NodeProgress,
    Output,
    event_adapter,
)

Status = Literal["queued", "running", "done", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)
FINISHED: tuple[Status, ...] = ("done", "failed", "cancelled")
MAX_ATTEMPTS = 2
"""Whoever ran when a worker died runs again once; after the second death it is taken to be the cause."""

_LISTED = [column for column in jobs.c if column.name not in ("workflow", "extra", "nodes", "targets")]
"""What a `Job` needs: a list of a thousand must not read a thousand workflows."""
_outputs: TypeAdapter[tuple[Output, ...]] = TypeAdapter(tuple[Output, ...])


class Job(BaseModel):
    """One submission, as clients see it."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    priority: int
    created: float
    started: float | None = None
    finished: float | None = None
    progress: float = 0.0
    """0 to 1."""
    error: ErrorBody | None = None
    attempt: int = 0
    """How often it was started."""
    name: str = ""
    client: str | None = None
    outputs: tuple[Output, ...] = ()
    peak: int | None = None
    """Most memory in use while it ran, bytes; None before its end."""


@dataclass(frozen=True)
class Submission:
    """What makes a job."""

    workflow: str
    """Canonical JSON of the workflow, with the overrides in it."""
    name: str = ""
    targets: tuple[str, ...] | None = None
    """Only what these nodes need is run; None: every output node."""
    priority: int = 0
    front: bool = False
    """Before all others that wait."""
    client: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What another door keeps with its job; `texts` in it are embedded in the results beside the workflow."""
    id: str = ""
    """Chosen by the client; empty: a new one."""
    idempotency_key: str | None = None

    def digest(self) -> str:
        """Equal for the same request, sent twice."""
        parts = [self.workflow, self.targets, self.priority, self.front, self.client, dict(self.extra), self.id]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=list).encode()).hexdigest()


@dataclass(frozen=True)
class Stored:
    """A job with all that it takes to run it."""

    job: Job
    workflow: str
    targets: tuple[str, ...] | None
    extra: Mapping[str, Any]
    nodes: tuple[str, ...] = ()
    """Ids of the nodes that its plan holds, once it started."""


class Jobs:
    """The queue and the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading

    async def get(self, id: str) -> Stored:
        """A job. Raises `NotFound`."""
        row = await self._database.read(lambda db: db.execute(select(jobs).where(jobs.c.id == id)).first())
        return _stored(_there(row, id))

    async def history(
        self,
        statuses: Sequence[Status] = STATUSES,
        *,
        limit: int = 100,
        before: str | None = None,
        client: str | None = None,
    ) -> list[Job]:
        """Jobs of these statuses, newest first, older than the job `before`."""
        query = select(*_LISTED).where(jobs.c.status.in_(statuses)).order_by(jobs.c.number.desc()).limit(limit)
        if client is not None:
            query = query.where(jobs.c.client == client)
        if before is not None:
            number = select(jobs.c.number).where(jobs.c.id == before).scalar_subquery()
            query = query.where(jobs.c.number < number)
        rows = await self._database.read(lambda db: db.execute(query).all())
        return [_job(row) for row in rows]

    async def stored(self, statuses: Sequence[Status], *, limit: int | None = None) -> list[Stored]:
        """Jobs of these statuses with their workflows, oldest first; at most the `limit` newest."""
        query = select(jobs).where(jobs.c.status.in_(statuses)).order_by(jobs.c.number.desc()).limit(limit)
        rows = await self._database.read(lambda db: db.execute(query).all())
        return [_stored(row) for row in reversed(rows)]

    async def queue(self) -> list[Job]:
        """Jobs that wait, the next one first."""
        rows = await self._database.read(lambda db: db.execute(_in_order(*_LISTED)).all())
        return [_job(row) for row in rows]

    async def queued_ids(self) -> list[str]:
        """Ids of the jobs that wait, the next one first."""
        return list(await self._database.read(lambda db: db.execute(_in_order(jobs.c.id)).scalars().all()))

    async def next(self) -> Stored | None:
        """The job whose turn it is."""
        row = await self._database.read(lambda db: db.execute(_in_order().limit(1)).first())
        return None if row is None else _stored(row)

    async def counts(self) -> dict[Status, int]:
        """How many jobs have each status."""
        query = select(jobs.c.status, func.count()).group_by(jobs.c.status)
        rows = await self._database.read(lambda db: db.execute(query).all())
        return dict.fromkeys(STATUSES, 0) | {cast(Status, status): count for status, count in rows}

    async def events(self, job: str, after: int = 0) -> list[Event]:
        """A job's recorded events that follow number `after`."""
        query = select(events.c.data).where(events.c.job == job, events.c.seq > after).order_by(events.c.seq)
        rows = await self._database.read(lambda db: db.execute(query).scalars().all())
        return [event_adapter.validate_json(data) for data in rows]

    # --- the queue

    async def submit(self, new: Submission) -> tuple[Job, list[Event]]:
        """The job, stored for good, and the event that says so; the same job again, without event, for a known key.

        Raises `Conflict` when the idempotency key or the id was used for another request.
        """
        return await self._database.write(lambda db: _submit(db, new), durable=True)

    async def claim(self, id: str) -> bool:
        """Makes a waiting job a running one; False when it is no longer waiting."""

        def change(db: Connection) -> bool:
            values: dict[str, Any] = {"status": "running", "attempt": jobs.c.attempt + 1, "started": time.time()}
            done = db.execute(update(jobs).where(jobs.c.id == id, jobs.c.status == "queued").values(values))
            return done.rowcount == 1

        return await self._database.write(change)

    async def release(self, id: str, *, counted: bool = True) -> None:
        """Makes a running job wait again, at its old place; `counted`: as an attempt that failed."""

        def change(db: Connection) -> None:
            values: dict[str, Any] = {"status": "queued", "progress": 0.0, "outputs": "[]"}
            if not counted:
                values["attempt"] = jobs.c.attempt - 1
            db.execute(update(jobs).where(jobs.c.id == id, jobs.c.status == "running").values(values))

        await self._database.write(change)

    async def recover(self) -> tuple[list[str], list[str]]:
        """After a crash: ids of the jobs that wait again, and of those that were running at their second death."""

        def change(db: Connection) -> tuple[list[str], list[str]]:
            rows = db.execute(select(jobs.c.id, jobs.c.attempt).where(jobs.c.status == "running")).all()
            again = [id for id, attempt in rows if attempt < MAX_ATTEMPTS]
            values = {"status": "queued", "progress": 0.0, "outputs": "[]"}
            db.execute(update(jobs).where(jobs.c.id.in_(again)).values(values))
            return again, [id for id, attempt in rows if attempt >= MAX_ATTEMPTS]

        return await self._database.write(change)

    async def move(
        self, id: str, *, priority: int | None = None, position: Literal["front"] | int | None = None
    ) -> Job:
        """A waiting job at another place; its priority bends to that of its new neighbours.

        Raises `NotFound`, or `Conflict` when it no longer waits.
        """
        return await self._database.write(lambda db: _move(db, id, priority, position))

    async def is_paused(self) -> bool:
        """Whether no waiting job is to be started."""
        query = select(settings.c.value).where(settings.c.name == "paused")
        return await self._database.read(lambda db: db.execute(query).scalar()) == "true"

    async def pause(self, paused: bool) -> None:
        """Stops or starts the queue; this survives a restart."""

        def change(db: Connection) -> None:
            db.execute(delete(settings).where(settings.c.name == "paused"))
            db.execute(insert(settings).values(name="paused", value=json.dumps(paused)))

        await self._database.write(change)

    # --- what happens to jobs

    async def record(self, new: Sequence[Event], progress: Mapping[str, float] | None = None) -> list[Event]:
        """The events numbered and stored, and the jobs' rows brought up to them, in one transaction.

        Events of jobs that are finished or forgotten are left out: nothing follows a job's end.
        """
        return await self._database.write(lambda db: _record(db, new, progress or {}))

    async def forget(self, ids: Iterable[str]) -> int:
        """Takes finished jobs out of the history; returns how many."""

        def change(db: Connection) -> int:
            chosen = select(jobs.c.id).where(jobs.c.id.in_(list(ids)), jobs.c.status.in_(FINISHED))
            return _forget(db, chosen)

        return await self._database.write(change)

    async def prune(self, keep: int) -> int:
        """Forgets all but the newest `keep` finished jobs; returns how many."""

        def change(db: Connection) -> int:
            finished = select(jobs.c.id).where(jobs.c.status.in_(FINISHED))
            return _forget(db, finished.order_by(jobs.c.number.desc()).offset(keep).limit(100_000))

        return await self._database.write(change)


def new_id() -> str:
    """A job's id: random, so that nobody guesses another's."""
    return uuid.uuid4().hex


def _submit(db: Connection, new: Submission) -> tuple[Job, list[Event]]:
    digest = new.digest()
    if new.idempotency_key is not None:
        known = db.execute(select(jobs).where(jobs.c.idempotency_key == new.idempotency_key)).first()
        if known is not None and known.request_digest != digest:
            raise Conflict("this Idempotency-Key was used for another request: send a new key with a new request")
        if known is not None:
            return _job(known), []
    if new.id and db.execute(select(jobs.c.id).where(jobs.c.id == new.id)).first():
        raise Conflict(f"there is a job {new.id!r} already: choose another id, or leave it out")
    id, now = new.id or new_id(), time.time()
    waiting = jobs.c.status == "queued"
    first, last, top = db.execute(
        select(func.min(jobs.c.position), func.max(jobs.c.position), func.max(jobs.c.priority)).where(waiting)
    ).one()
    values = {
        "id": id,
        "status": "queued",
        "priority": max(new.priority, top or new.priority) if new.front else new.priority,
        "position": (first or 0) - 1 if new.front else (last or 0) + 1,
        "name": new.name,
        "client": new.client,
        "created": now,
        "progress": 0.0,
        "attempt": 0,
        "outputs": "[]",
        "nodes": "[]",
        "targets": None if new.targets is None else json.dumps(new.targets),
        "workflow": new.workflow,
        "extra": json.dumps(dict(new.extra)),
        "idempotency_key": new.idempotency_key,
        "request_digest": digest,
    }
    db.execute(insert(jobs).values(values))
    recorded = _record(db, [JobQueued(job=id, time=now)], {})
    return _job(_there(db.execute(select(jobs).where(jobs.c.id == id)).first(), id)), recorded


def _move(db: Connection, id: str, priority: int | None, position: Literal["front"] | int | None) -> Job:
    job = _there(db.execute(select(jobs).where(jobs.c.id == id)).first(), id)
    if job.status != "queued":
        raise Conflict(f"job {id} is {job.status}: only a queued one can be moved")
    waiting = db.execute(_in_order(jobs.c.id, jobs.c.priority)).all()
    order = [(row.id, row.priority) for row in waiting if row.id != id]
    wanted = job.priority if priority is None else priority
    if position is not None:
        at = 0 if position == "front" else min(max(position, 0), len(order))
        wanted = min(wanted, order[at - 1][1]) if at > 0 else wanted
        wanted = max(wanted, order[at][1]) if at < len(order) else wanted
        order.insert(at, (id, wanted))
        for i, (other, _) in enumerate(order):
            db.execute(update(jobs).where(jobs.c.id == other).values(position=i))
    db.execute(update(jobs).where(jobs.c.id == id).values(priority=wanted))
    return _job(_there(db.execute(select(jobs).where(jobs.c.id == id)).first(), id))


def _record(db: Connection, new: Sequence[Event], progress: Mapping[str, float]) -> list[Event]:
    ids = list(dict.fromkeys(event.job for event in new))
    rows = {row.id: row for row in db.execute(select(jobs).where(jobs.c.id.in_(ids))).all()}
    last = select(events.c.job, func.max(events.c.seq)).where(events.c.job.in_(ids)).group_by(events.c.job)
    seq: dict[str, int] = defaultdict(int, [(job, number) for job, number in db.execute(last).all()])
    ended = {id for id in ids if id not in rows or rows[id].status in FINISHED}
    numbered: list[Event] = []
    for event in new:
        if event.job not in ended:
            seq[event.job] += 1
            numbered.append(event.model_copy(update={"seq": seq[event.job], "time": event.time or time.time()}))
            if isinstance(event, JobDone | JobFailed | JobCancelled):
                ended.add(event.job)
    if numbered:
        db.execute(insert(events), [_event_row(event) for event in numbered])
    for id in dict.fromkeys(event.job for event in numbered):
        changes = _changes(rows[id], [event for event in numbered if event.job == id])
        if id in progress and "progress" not in changes:
            changes["progress"] = progress[id]
        if changes:
            db.execute(update(jobs).where(jobs.c.id == id).values(changes))
        if changes.get("status") in FINISHED:  # how it came there interests nobody any more
            db.execute(
                delete(events).where(events.c.job == id, events.c.type == NodeProgress.model_fields["type"].default)
            )
    return numbered


def _changes(row: Row[Any], new: Sequence[Event]) -> dict[str, Any]:
    """The columns of a job's row that these events change."""
    changes: dict[str, Any] = {}
    outputs = json.loads(row.outputs)
    for event in new:
        match event:
            case JobStarted():
                changes |= {"status": "running", "nodes": json.dumps(event.nodes)}
            case NodeOutput():
                outputs = [o for o in outputs if o["node"] != event.node] + _outputs.dump_python(
                    event.outputs, mode="json"
                )
                changes["outputs"] = json.dumps(outputs)
            case JobDone():
                changes |= {"status": "done", "finished": event.time, "progress": 1.0, "peak": event.peak or None}
            case JobFailed():
                changes |= {"status": "failed", "finished": event.time, "error": event.error.model_dump_json()}
            case JobCancelled():
                changes |= {"status": "cancelled", "finished": event.time}
            case _:
                pass
    return changes


def _event_row(event: Event) -> dict[str, Any]:
    return {"job": event.job, "seq": event.seq, "type": event.type, "data": event.model_dump_json()}


def _forget(db: Connection, chosen: Select[Any]) -> int:
    ids = db.execute(chosen).scalars().all()
    for at in range(0, len(ids), 500):  # SQLite takes a limited number of values
        some = ids[at : at + 500]
        db.execute(delete(events).where(events.c.job.in_(some)))
        db.execute(delete(jobs).where(jobs.c.id.in_(some)))
    return len(ids)


def _in_order(*columns: Any) -> Select[Any]:
    waiting = select(*(columns or (jobs,))).where(jobs.c.status == "queued")
    return waiting.order_by(jobs.c.priority.desc(), jobs.c.position, jobs.c.number)


def _there(row: Row[Any] | None, id: str) -> Row[Any]:
    if row is None:
        raise NotFound(f"there is no job {id!r}")
    return row


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        status=row.status,
        priority=row.priority,
        created=row.created,
        started=row.started,
        finished=row.finished,
        progress=row.progress,
        error=None if row.error is None else ErrorBody.model_validate_json(row.error),
        attempt=row.attempt,
        name=row.name,
        client=row.client,
        outputs=_outputs.validate_json(row.outputs),
        peak=row.peak,
    )


def _stored(row: Row[Any]) -> Stored:
    targets = None if row.targets is None else tuple(json.loads(row.targets))
    return Stored(_job(row), row.workflow, targets, json.loads(row.extra), tuple(json.loads(row.nodes)))

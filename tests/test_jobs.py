"""The queue and the history in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from graphflow.database import HEAD, Database, alembic_config, metadata
from graphflow.errors import Conflict, ErrorBody, GraphflowError, NotFound
from graphflow.events import (
    Event,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    NodeDone,
    NodeOutput,
    NodeProgress,
    Output,
)
from graphflow.jobs import Jobs, Submission
from tests.fakes import database_url


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    database = Database(database_url(tmp_path))
    database.migrate()
    yield Jobs(database)
    database.close()


async def queue_of(jobs: Jobs, *names: str, **more: int) -> list[str]:
    return [(await jobs.submit(Submission(workflow="{}", name=name, **more)))[0].id for name in names]


async def names(jobs: Jobs) -> list[str]:
    return [job.name for job in await jobs.queue()]


async def test_jobs_wait_in_the_order_of_their_priority_and_then_of_their_coming(jobs: Jobs) -> None:
    await queue_of(jobs, "a", "b")
    await queue_of(jobs, "urgent", priority=5)
    await queue_of(jobs, "c")
    await jobs.submit(Submission(workflow="{}", name="front", front=True))

    assert await names(jobs) == ["front", "urgent", "a", "b", "c"]


async def test_a_job_is_claimed_once(jobs: Jobs) -> None:
    [a] = await queue_of(jobs, "a")

    assert [await jobs.claim(a), await jobs.claim(a)] == [True, False]
    stored = await jobs.get(a)
    assert (stored.job.status, stored.job.attempt) == ("running", 1)
    assert await jobs.next() is None


async def test_the_row_follows_from_the_events(jobs: Jobs) -> None:
    [a] = await queue_of(jobs, "a")
    await jobs.claim(a)
    picture = Output(node="save", name="x_00001_.png", asset="0" * 32, media_type="image/png")
    new: list[Event] = [
        JobStarted(job=a, nodes=("save",)),
        NodeProgress(job=a, node="save", value=1, total=2),
        NodeOutput(job=a, node="save", outputs=(picture,)),
        NodeDone(job=a, node="save", seconds=1),
    ]
    recorded = await jobs.record(new, {a: 0.5})

    assert [event.seq for event in recorded] == [2, 3, 4, 5]
    stored = await jobs.get(a)
    assert (stored.job.status, stored.job.progress, stored.job.outputs) == ("running", 0.5, (picture,))
    assert stored.nodes == ("save",)

    await jobs.record([JobDone(job=a, outputs=(picture,), time=7.0)])
    job = (await jobs.get(a)).job
    assert (job.status, job.progress, job.finished) == ("done", 1.0, 7.0)
    assert [event.type for event in await jobs.events(a, after=1)] == [
        "job.started",
        "node.output",
        "node.done",
        "job.done",
    ], "steps of a finished job are dropped, the rest stays"


async def test_nothing_follows_the_end_of_a_job(jobs: Jobs) -> None:
    [a] = await queue_of(jobs, "a")
    recorded = await jobs.record([JobCancelled(job=a), JobDone(job=a)])
    later = await jobs.record([JobDone(job=a), JobDone(job="unknown")])

    assert [event.type for event in recorded] == ["job.cancelled"]
    assert later == []
    assert (await jobs.get(a)).job.status == "cancelled"


async def test_the_same_key_gives_the_same_job(jobs: Jobs) -> None:
    one, first = await jobs.submit(Submission(workflow="{}", idempotency_key="k"))
    two, second = await jobs.submit(Submission(workflow="{}", idempotency_key="k"))

    assert (one, [event.type for event in first], second) == (two, ["job.queued"], [])
    with pytest.raises(Conflict, match="another request"):
        await jobs.submit(Submission(workflow='{"other":1}', idempotency_key="k"))


async def test_an_id_can_be_chosen_once(jobs: Jobs) -> None:
    await jobs.submit(Submission(workflow="{}", id="mine"))
    with pytest.raises(Conflict, match="'mine'"):
        await jobs.submit(Submission(workflow="{}", id="mine"))


async def test_after_a_crash_running_jobs_wait_again_and_the_twice_dead_are_told(jobs: Jobs) -> None:
    a, b, _ = await queue_of(jobs, "a", "b", "c")
    await jobs.claim(a)
    await jobs.claim(b)
    assert await jobs.recover() == ([a, b], [])
    assert await names(jobs) == ["a", "b", "c"], "at their old places"

    await jobs.claim(a)
    assert await jobs.recover() == ([], [a])
    await jobs.record([JobFailed(job=a, error=ErrorBody(code="worker_died", message="twice"))])
    job = (await jobs.get(a)).job
    assert (job.status, job.error) == ("failed", ErrorBody(code="worker_died", message="twice"))


async def test_a_job_given_back_in_peace_keeps_its_attempts(jobs: Jobs) -> None:
    [a] = await queue_of(jobs, "a")
    await jobs.claim(a)
    await jobs.release(a, counted=False)

    job = (await jobs.get(a)).job
    assert (job.status, job.attempt) == ("queued", 0)


async def test_pausing_survives_a_restart(tmp_path: Path) -> None:
    url = database_url(tmp_path)
    first = Database(url)
    first.migrate()
    await Jobs(first).pause(True)
    first.close()
    second = Database(url)
    second.migrate()

    assert await Jobs(second).is_paused()
    second.close()


async def test_history_is_read_page_by_page(jobs: Jobs) -> None:
    ids = await queue_of(jobs, *"abcde")
    page = await jobs.history(limit=2)
    rest = await jobs.history(limit=9, before=page[-1].id)

    assert [job.id for job in page + rest] == ids[::-1]
    assert await jobs.history(["running"]) == []


async def test_pruning_keeps_the_newest_and_whatever_is_not_finished(jobs: Jobs) -> None:
    ids = await queue_of(jobs, *"abcd")
    await jobs.record([JobCancelled(job=id) for id in ids[:3]])

    assert await jobs.prune(keep=1) == 2
    assert [job.name for job in await jobs.history()] == ["d", "c"]
    assert await jobs.events(ids[0]) == []
    with pytest.raises(NotFound):
        await jobs.get(ids[0])


async def test_only_a_waiting_job_moves(jobs: Jobs) -> None:
    [a] = await queue_of(jobs, "a")
    await jobs.claim(a)
    with pytest.raises(Conflict, match="running"):
        await jobs.move(a, position="front")
    with pytest.raises(NotFound):
        await jobs.move("nobody", position=0)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(priorities=st.lists(st.integers(-2, 2), min_size=1, max_size=6), pick=st.integers(0, 5), to=st.integers(0, 7))
def test_a_moved_job_stands_where_it_was_put(
    tmp_path_factory: pytest.TempPathFactory, priorities: list[int], pick: int, to: int
) -> None:
    async def check() -> None:
        database = Database(database_url(tmp_path_factory.mktemp("db")))
        metadata.create_all(database._engine)
        jobs = Jobs(database)
        for i, priority in enumerate(priorities):
            await queue_of(jobs, str(i), priority=priority)
        before = [job.id for job in await jobs.queue()]
        moved = before.pop(pick % len(before))
        await jobs.move(moved, position=to)
        after = [job.id for job in await jobs.queue()]
        database.close()
        assert after.index(moved) == min(to, len(before))
        assert [id for id in after if id != moved] == before, "and nobody else changes places"

    asyncio.run(check())


def test_migrations_lead_to_the_tables_that_the_code_makes_at_once(tmp_path: Path) -> None:
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    fresh, old = (Database(database_url(tmp_path, name)) for name in ("fresh", "old"))
    fresh.migrate()
    command.upgrade(alembic_config(old._engine), "head")
    for database in (fresh, old):
        with database._engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, metadata) == []
            assert context.get_current_revision() == HEAD
    assert ScriptDirectory.from_config(alembic_config(old._engine)).get_current_head() == HEAD
    old.migrate()
    fresh.migrate()
    fresh.close()
    old.close()


def test_a_database_without_a_note_of_its_migrations_is_left_to_alembic(tmp_path: Path) -> None:
    database = Database(database_url(tmp_path))
    with database._engine.begin() as connection:
        connection.exec_driver_sql("create table somebody_elses (id integer)")
    database.migrate()
    with database._engine.connect() as connection:
        assert connection.exec_driver_sql("select version_num from alembic_version").scalar() == HEAD
    database.close()


def test_a_database_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    database = Database(f"sqlite:///{tmp_path / 'db.sqlite'}")
    with pytest.raises(GraphflowError, match=r"db\.sqlite cannot be used"):
        database.migrate()
    database.close()


def test_a_database_from_the_future_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = Database(database_url(tmp_path))
    database.migrate()
    with database._engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(GraphflowError, match="newer GraphFlow"):
        database.migrate()
    database.close()

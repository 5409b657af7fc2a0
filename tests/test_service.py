"""What the service does with jobs, workers that die, and those who listen."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy.exc import OperationalError

from graphflow import pictures
from graphflow.errors import BadRequest, Conflict, DiskFull, InvalidWorkflow, NotFound, NotReady
from graphflow.events import JobDone, NodeOutput, NodeProgress, Preview
from graphflow.jobs import Submission
from graphflow.service import AssetNotice, Hopeless, Hub, NodeStatus, service
from graphflow.workflow import canonical, parse
from tests.fakes import World, database_url, png, workflow, world


async def types(it: World, job: str, after: int = 0) -> list[str]:
    return [event.type async for event in it.service.follow(job, after)]  # type: ignore[attr-defined]


async def test_a_workflow_becomes_a_stored_picture_that_carries_it(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow(), overrides={"show.prefix": "a/b"}, extra={"texts": {"prompt": "{}"}})
        assert await it.until(job.id) == "done"

        stored = await it.service.jobs.get(job.id)
        [output] = stored.job.outputs
        assert (output.node, output.name, output.media_type) == ("show", "a/b_00001_.png", "image/png")
        data = (tmp_path / "output" / output.name).read_bytes()
        wanted = workflow()
        wanted["nodes"]["show"]["inputs"]["prefix"] = "a/b"
        assert pictures.texts(data) == {"graphflow": canonical(parse(wanted)), "prompt": "{}"}
        assert await types(it, job.id) == [
            "job.queued", "job.started", "node.started", "node.done", "node.started", "node.done", "node.output",
            "job.done",
        ]  # fmt: skip


async def test_a_result_is_stored_before_it_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow())
        async for event in it.service.follow(job.id):
            if isinstance(event, NodeOutput):
                [output] = event.outputs
                assert (await it.service.assets.get(output.asset)).name == output.name
                assert (tmp_path / "output" / output.name).is_file()
            if isinstance(event, JobDone):
                assert [output.name for output in event.outputs] == ["x_00001_.png"]
                assert (await it.service.jobs.get(job.id)).job.status == "done"


async def test_every_problem_is_told_and_nothing_is_queued(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        broken = workflow("Nonsense")
        broken["nodes"]["color"]["inputs"]["color"] = 5
        with pytest.raises(InvalidWorkflow) as caught:
            await it.service.submit(broken)
        assert {(p.node, p.code) for p in caught.value.problems} == {
            ("nonsense", "unknown_type"),
            ("color", "invalid_value"),
        }
        with pytest.raises(BadRequest, match="key of a text"):
            await it.service.submit(workflow(), extra={"texts": {"a\nb": ""}})
        assert await it.service.jobs.history() == []


def picky(color: str) -> dict[str, Any]:
    document = workflow(color=color)
    document["nodes"]["color"]["type"] = "Picky"
    return document


async def test_what_a_node_itself_objects_to_is_told_and_nothing_is_queued(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.until_life(1)
        with pytest.raises(InvalidWorkflow) as caught:
            await it.service.submit(picky("bad"))
        [problem] = caught.value.problems
        assert (problem.node, problem.input, problem.code) == ("color", "color", "refused_value")
        assert await it.service.jobs.history() == []
        job = await it.service.submit(picky("red"))
        assert await it.until(job.id) in ("done", "failed")


async def test_a_node_that_does_not_say_whether_it_objects_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ASKED", 0.05)
    async with world(tmp_path) as it:
        await it.until_life(1)
        assert (await it.service.submit(picky("slow"))).status == "queued"


POURED: dict[str, Any] = {
    "graphflow": 1,
    "nodes": {
        "color": {"type": "Color", "inputs": {}},
        "big": {"type": "Big", "inputs": {"image": {"from": "color.IMAGE"}}},
    },
}


def lying_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "output").iterdir())


async def test_a_large_file_is_stored_as_it_comes(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(POURED)
        assert await it.worker.taken.get() == job.id
        it.worker.gate.set()
        assert await it.until(job.id) == "done"

        assert it.worker.taken.get_nowait() == job.id
        assert (tmp_path / "output/poured_00001_.txt").read_bytes() == b"half and half"
        assert lying_in(tmp_path) == ["poured_00001_.txt"]


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_a_job_that_ends_in_the_middle_of_a_file_leaves_no_half(tmp_path: Path, end: str) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(POURED)
        await it.worker.taken.get()
        assert [name.endswith(".part") for name in lying_in(tmp_path)] == [True]
        if end == "cancelled":
            await it.service.cancel(job.id)
        else:
            it.worker.die()
            await it.worker.taken.get()
            it.worker.die()

        assert await it.until(job.id) == end
        assert lying_in(tmp_path) == []


async def test_several_jobs_run_at_once_on_one_worker_up_to_a_limit(tmp_path: Path) -> None:
    async with world(tmp_path, jobs_per_worker=2) as it:
        jobs = [await it.service.submit(workflow("Wait", color=c)) for c in ("red", "green", "blue")]
        for job in jobs[:2]:
            await it.until_event(job.id, "node.progress")

        counts = await it.service.jobs.counts()
        assert (counts["running"], counts["queued"]) == (2, 1)
        it.worker.gate.set()
        assert [await it.until(job.id) for job in jobs] == ["done"] * 3
        assert it.worker.ran == [job.id for job in jobs]


async def test_a_running_job_is_cancelled_and_a_waiting_one_never_runs(tmp_path: Path) -> None:
    async with world(tmp_path, jobs_per_worker=1) as it:
        running, waiting = [await it.service.submit(workflow("Wait")) for _ in range(2)]
        await it.until_event(running.id, "node.progress")
        await it.service.cancel(waiting.id)
        await it.service.cancel(running.id)

        assert await it.until(running.id) == await it.until(waiting.id) == "cancelled"
        assert it.worker.ran == [running.id]
        assert (await it.service.cancel(running.id)).status == "cancelled", "again changes nothing"
        with pytest.raises(NotFound):
            await it.service.cancel("nobody")


async def test_a_failing_node_fails_its_own_job_only(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        bad, good = await it.service.submit(workflow("Fail")), await it.service.submit(workflow())
        assert [await it.until(bad.id), await it.until(good.id)] == ["failed", "done"]
        error = (await it.service.jobs.get(bad.id)).job.error
        assert error is not None
        assert (error.code, error.problems[0].node) == ("node_failed", "fail")


async def test_a_result_that_cannot_be_stored_fails_its_own_job_at_its_node(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        outside = await it.service.submit(workflow(), overrides={"show.prefix": "../../outside"})
        assert await it.until(outside.id) == "failed"
        (tmp_path / "output").mkdir(exist_ok=True)
        (tmp_path / "output/taken").write_bytes(b"a file where a folder should be")
        blocked = await it.service.submit(workflow(), overrides={"show.prefix": "taken/x"})
        assert await it.until(blocked.id) == "failed"
        errors = [(await it.service.jobs.get(id)).job.error for id in (outside.id, blocked.id)]
        assert [error.problems[0].node for error in errors if error] == ["show", "show"]
        assert all("cannot be stored" in error.message for error in errors if error)
        assert await it.until((await it.service.submit(workflow())).id) == "done"
        assert not list(tmp_path.parent.glob("outside*"))


async def test_a_job_survives_one_death_of_its_worker(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow("Wait"))
        await it.until_event(job.id, "node.progress")
        it.worker.die()
        await it.until_life(2)
        it.worker.gate.set()

        assert await it.until(job.id) == "done"
        told = await types(it, job.id)
        assert told.count("job.started") == 2
        assert (await it.service.jobs.get(job.id)).job.attempt == 2


async def test_a_job_that_kills_its_worker_fails_at_the_second_death_and_the_innocent_finish(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        innocent = await it.service.submit(workflow("Wait"))
        await it.until_event(innocent.id, "node.progress")
        guilty = await it.service.submit(workflow("Die"))
        await it.until_life(2)
        it.worker.gate.set()

        assert await it.until(guilty.id) == "failed"
        assert await it.until(innocent.id) == "done", "it runs alone after a death, so only the guilty dies twice"
        error = (await it.service.jobs.get(guilty.id)).job.error
        assert error is not None
        assert error.code == "worker_died"
        assert "2 times" in error.message


async def test_jobs_of_a_killed_server_run_again(tmp_path: Path) -> None:
    async with world(tmp_path, start=False) as dead:  # it never ends in peace
        await dead.service.start()
        job = await dead.service.submit(workflow("Wait"))
        await dead.until_event(job.id, "node.progress")
        async with world(tmp_path) as it:
            await it.until_life(1)
            it.worker.gate.set()
            assert await it.until(job.id) == "done"
            assert (await it.service.jobs.get(job.id)).job.attempt == 2
        for task in dead.service._tasks + [run.task for run in dead.service._runs.values() if run.task]:
            task.cancel()


async def test_a_server_that_ends_in_peace_gives_its_jobs_back(tmp_path: Path) -> None:
    async with world(tmp_path) as first:
        job = await first.service.submit(workflow("Wait"))
        await first.until_event(job.id, "node.progress")
    async with world(tmp_path, start=False) as second:
        stored = await second.service.jobs.get(job.id)
        assert (stored.job.status, stored.job.attempt) == ("queued", 0)


async def test_a_paused_queue_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.service.pause(True)
        job = await it.service.submit(workflow())
        assert (await it.service.hello()).paused
        assert it.worker.ran == []
        await it.service.pause(False)
        assert await it.until(job.id) == "done"


async def test_the_greeting_says_how_far_every_node_is(tmp_path: Path) -> None:
    async with world(tmp_path, jobs_per_worker=1) as it:
        running, waiting = [await it.service.submit(workflow("Wait")) for _ in range(2)]
        async for event in it.service.follow(running.id):
            if getattr(event, "value", None) == 3:
                break
        hello = await it.service.hello()

        assert [(job.id, job.status) for job in hello.jobs] == [(running.id, "running"), (waiting.id, "queued")]
        assert hello.jobs[0].nodes == {
            "color": NodeStatus(state="done", seconds=0.25, peak=10**9),
            "wait": NodeStatus(state="running", value=3, total=3),
        }
        assert hello.jobs[0].progress == pytest.approx(2 / 3)
        assert [(w.name, w.state) for w in hello.workers] == [("fake0", "busy")]


async def test_a_listener_that_comes_back_misses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow("Wait"))
        seen = []
        async for event in it.service.follow(job.id):
            seen.append(event.seq)
            if event.type == "node.started" and event.node == "wait":  # type: ignore[attr-defined]
                break
        it.worker.gate.set()
        rest = [event.seq async for event in it.service.follow(job.id, after=seen[-1])]

        assert seen == list(range(1, len(seen) + 1))
        assert rest == sorted(rest)
        assert rest[0] > seen[-1]
        assert await types(it, job.id, after=rest[-1]) == []
        with pytest.raises(NotFound):
            await types(it, "nobody")


async def test_previews_are_made_only_while_somebody_looks(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.until((await it.service.submit(workflow())).id)
        assert not it.worker.watched
        with it.service.hub.listen(previews=True) as listener:
            assert it.worker.watched
            await it.service.submit(workflow("Wait", color="blue"))
            while not isinstance(await asyncio.wait_for(listener.get(), 5), Preview):
                pass
        assert not it.worker.watched


async def test_a_preview_comes_right_before_its_progress_whichever_is_told_first() -> None:
    hub = Hub()
    with hub.listen(previews=True) as slow:
        shown = [Preview("j", "n", "image/jpeg", bytes([i]), i) for i in range(6)]
        done = [NodeProgress(job="j", node="n", value=i, total=9) for i in range(6)]
        for preview in shown[1:4]:
            hub.publish(preview)
        for progress in done[1:3]:
            hub.publish(progress)
        assert [await slow.get() for _ in range(4)] == [shown[1], done[1], shown[2], done[2]]
        hub.publish(shown[4])
        hub.publish(done[4])
        assert [await slow.get() for _ in range(2)] == [shown[4], done[4]], "one that is older is lost"
        hub.publish(shown[5])  # the node begins anew
        hub.publish(shown[1])
        hub.publish(done[1])
        assert [await slow.get() for _ in range(2)] == [shown[1], done[1]]
        hub.publish(shown[5])
        hub.publish(JobDone(job="j"))
        hub.publish(done[5])
        assert [await slow.get() for _ in range(2)] == [JobDone(job="j"), done[5]]


async def test_a_slow_listener_loses_no_event_until_it_is_hopeless() -> None:
    hub = Hub()
    with hub.listen(previews=True, limit=3) as slow:
        hub.publish(JobDone(job="j", seq=1))
        assert await slow.get() == JobDone(job="j", seq=1)
        for i in range(4):
            hub.publish(JobDone(job="j", seq=i))
        with pytest.raises(Hopeless):
            await slow.get()


async def test_the_plan_says_what_is_cached(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.until((await it.service.submit(workflow())).id)
        plan, cached = await it.service.plan(workflow(color="blue"))
        assert [cached.get(task.key) for task in plan.tasks] == [None, None]
        plan, cached = await it.service.plan(workflow())
        assert [cached.get(task.key) for task in plan.tasks] == ["memory", "memory"]


async def test_jobs_go_to_the_worker_that_holds_their_values(tmp_path: Path) -> None:
    async with world(tmp_path, slots=2) as it:
        first = await it.service.submit(workflow(color="red"))
        await it.until(first.id)
        home = next(worker for worker in it.workers if first.id in worker.ran)
        again = [await it.service.submit(workflow(color="red")) for _ in range(3)]
        for job in again:
            await it.until(job.id)
        assert home.ran == [first.id, *(job.id for job in again)]


async def test_an_upload_is_told_and_can_be_used(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        with it.service.hub.listen() as listener:
            asset = await it.service.upload("cat.png", png())
            while not isinstance(message := await listener.get(), AssetNotice):
                pass
            assert message.asset == asset
        document = workflow()
        document["nodes"]["color"] = {"type": "Load", "inputs": {"file": "cat.png"}}
        assert await it.until((await it.service.submit(document)).id) == "done"


async def test_a_saved_workflow_shows_its_last_picture(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        saved = await it.service.workflows.create(workflow())
        job = await it.service.submit(workflow())
        await it.until(job.id)
        found = await it.service.workflows.get(saved.id)
        assert found.thumbnail == (await it.service.jobs.get(job.id)).job.outputs[0].asset


async def test_moving_and_clearing_the_queue(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.service.pause(True)
        a, b, c = [await it.service.submit(workflow(color=color)) for color in ("red", "green", "blue")]
        await it.service.move(c.id, position="front")
        assert [job.id for job in await it.service.jobs.queue()] == [c.id, a.id, b.id]
        assert await it.service.clear() == 3
        with pytest.raises(Conflict):
            await it.service.move(a.id, priority=1)


async def test_definitions_are_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        assert it.worker.lives == 0
        assert "Color" in await it.service.definitions()
    async with world(tmp_path, start=False) as it:
        with pytest.raises(NotReady):
            await it.service.definitions(patience=0)


async def test_what_a_node_gave_in_a_job_is_kept_and_its_key_told(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow())
        await it.until(job.id)
        key = await it.service.freeze(job.id, "color")
        assert it.worker.kept == [key]
        document = workflow(color="blue")
        document["nodes"]["color"]["frozen"] = key
        plan, cached = await it.service.plan(document)
        assert next((task.id, task.frozen) for task in plan.tasks) == ("color", True)
        assert cached[key] == "memory"
        with pytest.raises(NotFound, match="gave no result"):
            await it.service.freeze(job.id, "nobody")
        with pytest.raises(NotFound):
            await it.service.freeze("no-such-job", "color")


async def test_a_result_that_is_cached_no_longer_cannot_be_frozen(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow())
        await it.until(job.id)
        it.worker._done.clear()
        with pytest.raises(NotFound, match="no longer cached"):
            await it.service.freeze(job.id, "color")


async def test_a_plan_says_at_which_node_a_frozen_result_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.until((await it.service.submit(workflow())).id)
        document = workflow()
        document["nodes"]["color"]["frozen"] = "0" * 64
        with pytest.raises(InvalidWorkflow) as caught:
            await it.service.plan(document)
        assert [(p.node, p.code) for p in caught.value.problems] == [("color", "frozen_gone")]


async def test_the_job_tells_its_peak_of_memory(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        job = await it.service.submit(workflow())
        assert job.peak is None
        await it.until(job.id)
        assert (await it.service.jobs.get(job.id)).job.peak == 2 * 10**9


async def test_the_end_of_a_job_waits_for_room_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.service.service.PAUSE_WHEN_FULL", 0.02)

    def full(*_: object) -> NoReturn:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise OperationalError("COMMIT", {}, error)

    async with world(tmp_path) as it:
        job = await it.service.submit(workflow("Wait"))
        await it.until_event(job.id, "job.started")
        with monkeypatch.context() as patch:
            patch.setattr(it.database, "_transaction", full)
            with pytest.raises(DiskFull, match="the disk is full; make room"):
                await it.service.submit(workflow(color="blue"))
            it.worker.gate.set()
            await asyncio.sleep(0.1)
            assert (await it.service.jobs.get(job.id)).job.status == "running", "its end has no room yet"
        assert await it.until(job.id) == "failed"
        assert await types(it, job.id) == [
            "job.queued", "job.started", *["node.started", "node.done"] * 2, "node.started", "node.done",
            "job.failed",
        ]  # fmt: skip
        error = (await it.service.jobs.get(job.id)).job.error
        assert error is not None
        assert error.problems[0].node == "show"
        assert "cannot be stored: the disk is full; make room" in error.message
        assert await it.until((await it.service.submit(workflow(color="blue"))).id) == "done"


async def test_a_write_without_room_is_a_full_disk_and_leaves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, start=False) as it:
        if "sqlite" not in database_url(tmp_path):
            pytest.skip("only SQLite can be told that its disk is full")
        before = await it.database.read(lambda db: db.exec_driver_sql("PRAGMA page_count").scalar())
        await it.database.write(lambda db: db.exec_driver_sql(f"PRAGMA max_page_count = {before}"))
        with pytest.raises(DiskFull):
            await it.service.jobs.submit(Submission(workflow="x" * 100_000, name="large"))
        assert await it.service.jobs.queued_ids() == []

"""The service: takes submissions, places jobs on workers, stores what they make, tells who listens, mends crashes.

It is the one door to everything, for the native HTTP API, the ComfyUI one and tests alike; it knows none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from graphflow.assets import Asset, AssetFinder, Assets, Kind
from graphflow.documents import open_document
from graphflow.errors import (
    BadRequest,
    DiskFull,
    FrozenGone,
    GraphflowError,
    InvalidWorkflow,
    NodeFailed,
    NotFound,
    NotReady,
    Problem,
    WorkerDied,
)
from graphflow.events import (
    BaseEvent,
    Chunk,
    Event,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    Made,
    NodeCached,
    NodeDone,
    NodeOutput,
    Output,
    Passing,
)
from graphflow.files import ModelFiles
from graphflow.jobs import FINISHED, MAX_ATTEMPTS, Job, Jobs, Stored, Submission
from graphflow.registry import BrokenPack, Definitions
from graphflow.service.arrivals import Arrivals
from graphflow.service.hub import Hub
from graphflow.service.metrics import Metrics
from graphflow.service.notices import AssetNotice, Hello, LiveJob, NodesNotice, QueueNotice, WorkerNotice
from graphflow.service.progress import JobProgress
from graphflow.service.slots import Slot
from graphflow.worker.protocol import Item, Status, Worker
from graphflow.workflow import Converted, Workflow, canonical, read
from graphflow.workflows import Workflows

if TYPE_CHECKING:
    from graphflow.plan import Plan

log = logging.getLogger("graphflow")

BATCH = 500
"""Messages of a worker that are stored in one transaction."""
ASKED = 10.0
"""Seconds in which nodes must have judged a plan's inputs."""
KEPT_TEMPORARY = 24 * 3600.0
"""Seconds that files of kind `temp` are kept."""
KEPT_PARTS = 3600.0
"""Seconds without a change after which a half file is one that a crash left."""
PAUSE_WHEN_FULL = 2.0
"""Seconds until a write is tried again for which the disk had no room."""
_TEXT_KEY = re.compile(r"[A-Za-z][\w-]{0,78}")


@dataclass
class Run:
    """A job on its way through a worker."""

    stored: Stored
    slot: Slot
    arrivals: Arrivals
    progress: JobProgress = field(default_factory=JobProgress)
    made: dict[str, list[Output]] = field(default_factory=dict)
    """Results stored and not yet told, by node."""
    task: asyncio.Task[None] | None = None
    cancelled: bool = False


class Service:
    """Everything behind the doors. `start`, then any number of calls, then `stop`."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        assets: Assets,
        workflows: Workflows,
        models: ModelFiles,
        workers: Sequence[Worker],
        jobs_per_worker: int = 4,
        history: int = 10_000,
        version: str = "",
        build: str = "",
    ) -> None:
        self.jobs = jobs
        self.assets = assets
        self.workflows = workflows
        self.models = models
        self.version, self.build = version, build
        self.hub = Hub(self._watched)
        self.metrics = Metrics()
        self.slots = [Slot(worker, jobs_per_worker) for worker in workers]
        self.finder = AssetFinder(models, assets)
        self._definitions_digest = ""
        self._greeted = asyncio.Event()
        self._runs: dict[str, Run] = {}
        self._history = history
        self._wake = asyncio.Event()
        self._queue_told = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # --- life

    async def start(self) -> None:
        """Mends what a crash left, then begins to run what waits."""
        again, dead = await self.jobs.recover()
        for id in again:
            log.warning("job %s was running when the server ended; it runs again", id)
        message = "the server or its worker ended twice while this job ran: it may need more memory than there is"
        await self._record([JobFailed(job=id, error=WorkerDied(message).body()) for id in dead])
        await self._tidy()
        for slot in self.slots:
            await slot.worker.start(partial(self._worker_changed, slot))
        self._tasks = [asyncio.create_task(loop) for loop in (self._dispatch(), self._tell_queue())]
        self._wake.set()

    async def stop(self) -> None:
        """Ends in peace: what runs waits again, without an attempt counted."""
        running = [run.task for run in self._runs.values() if run.task is not None]
        for task in [*self._tasks, *running]:
            await _ended(task)
        await asyncio.gather(*(slot.worker.close() for slot in self.slots))

    @property
    def is_ready(self) -> bool:
        """Whether a worker can take jobs."""
        return any(slot.is_up for slot in self.slots)

    # --- definitions

    async def definitions(self, patience: float = 60.0) -> Definitions:
        """All node definitions; before the first worker greeted, those of the last time.

        Raises `NotReady` when there are none yet and no worker comes up in time.
        """
        if not self._known():
            await self._wait_for_worker(patience)
        if not (known := self._known()):
            raise NotReady("no worker has come up yet, so the nodes are not known; try again in a few seconds")
        return known

    def _known(self) -> Definitions:
        """The definitions of a worker that is up, or else those that one told in an earlier life."""
        slots = sorted(self.slots, key=lambda slot: not slot.is_up)
        return next((slot.worker.definitions for slot in slots if slot.worker.definitions), Definitions({}))

    async def _wait_for_worker(self, patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._greeted.wait(), patience)

    async def open(self, data: bytes) -> Converted:
        """The workflow in a file of any kind. Raises `BadRequest` or `InvalidWorkflow` when there is none."""
        return await asyncio.to_thread(open_document, data, self._known())

    async def native(self, document: Any) -> dict[str, Any]:
        """A workflow of any dialect as a document of ours. Raises `BadRequest` or `InvalidWorkflow`."""
        found = await asyncio.to_thread(read, document, self._known())
        native: dict[str, Any] = json.loads(canonical(found.workflow))
        return native

    def broken_packs(self) -> list[BrokenPack]:
        """Node packs that a worker could not read, and why."""
        told = (slot.worker.greeting for slot in self.slots if slot.worker.greeting is not None)
        return list(dict.fromkeys(pack for greeting in told for pack in greeting.broken))

    async def worker_details(self) -> list[dict[str, Any]]:
        """For each worker its state, device and memory."""
        details = []
        for slot in self.slots:
            greeting = slot.worker.greeting
            known = dict(greeting.details) if greeting is not None else {}
            with contextlib.suppress(WorkerDied):
                known |= await slot.worker.stats() if slot.is_up else {}
            details.append(known | slot.status.model_dump())
        return details

    # --- submitting

    async def prepare(
        self, document: Any, overrides: Mapping[str, Any] | None = None, targets: Sequence[str] | None = None
    ) -> tuple[Workflow, Plan]:
        """The workflow and its plan. Raises `InvalidWorkflow` with every problem, or `BadRequest`."""
        definitions = await self.definitions()
        try:
            found = await asyncio.to_thread(self._prepare, document, overrides or {}, targets, definitions)
        except InvalidWorkflow:
            if self._greeted.is_set():
                raise
            await self._wait_for_worker(60.0)  # what was kept from the last time may be out of date
            definitions = await self.definitions()
            found = await asyncio.to_thread(self._prepare, document, overrides or {}, targets, definitions)
        await self._ask_nodes(found[1], definitions)
        return found

    async def _ask_nodes(self, plan: Plan, definitions: Definitions) -> None:
        """Has a worker ask the nodes that judge their inputs themselves. Raises `InvalidWorkflow` when one objects.

        Without a worker that is up and answers in time nobody is asked: such nodes look again when they run.
        """
        asked = any((known := definitions.lookup(task.type)) and known.checks for task in plan.tasks)
        slot = next((slot for slot in self.slots if slot.is_up), None) if asked else None
        if slot is None:
            return
        with contextlib.suppress(WorkerDied, TimeoutError):
            problems = await asyncio.wait_for(slot.worker.check(plan), ASKED)
            if problems:
                raise InvalidWorkflow(problems)

    def _prepare(
        self, document: Any, overrides: Mapping[str, Any], targets: Sequence[str] | None, definitions: Definitions
    ) -> tuple[Workflow, Plan]:
        from graphflow.pairings import check_pairings
        from graphflow.plan import compile  # networkx takes its time to load

        workflow = document if isinstance(document, Workflow) else read(document, definitions).workflow
        workflow = workflow.with_values(overrides) if overrides else workflow
        realm = next((slot.worker.greeting.realm for slot in self.slots if slot.worker.greeting is not None), "")
        return workflow, compile(
            workflow, definitions, self.finder, targets=targets, checks=[check_pairings], realm=realm
        )

    async def submit(
        self,
        document: Any,
        *,
        overrides: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        priority: int = 0,
        front: bool = False,
        client: str | None = None,
        idempotency_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        id: str = "",
    ) -> Job:
        """A job for a workflow, in any dialect; it is stored for good before this returns.

        `extra` is kept with the job; its `texts`, by key, are embedded in the results beside the workflow. Raises
        `InvalidWorkflow`, `BadRequest` or `Conflict`.
        """
        for key in (extra or {}).get("texts", {}):
            if not _TEXT_KEY.fullmatch(key):
                raise BadRequest(f"{key!r} cannot be the key of a text in a picture: letters, digits, _ and - fit")
        workflow, _ = await self.prepare(document, overrides, targets)
        new = Submission(
            workflow=await asyncio.to_thread(canonical, workflow),
            name=workflow.name,
            targets=None if targets is None else tuple(targets),
            priority=priority,
            front=front,
            client=client,
            extra=extra or {},
            id=id,
            idempotency_key=idempotency_key,
        )
        job, events = await self.jobs.submit(new)
        self._publish(events)
        self._queue_changed()
        return job

    async def plan(
        self, document: Any, overrides: Mapping[str, Any] | None = None, targets: Sequence[str] | None = None
    ) -> tuple[Plan, Mapping[str, str]]:
        """The plan of a workflow, and for each key that is cached in a worker, where.

        Raises `InvalidWorkflow` as `prepare` does, and when what a frozen node is to give is kept no longer.
        """
        _, plan = await self.prepare(document, overrides, targets)
        keys = [task.key for task in plan.tasks]
        cached: dict[str, str] = {}
        for slot in self.slots:
            if slot.is_up:
                with contextlib.suppress(WorkerDied):
                    cached |= await slot.worker.peek(keys)
        gone = [task for task in plan.tasks if task.frozen and task.key not in cached]
        if gone and self.is_ready:
            raise InvalidWorkflow([Problem(node=t.id, message=FrozenGone.MESSAGE, code=FrozenGone.code) for t in gone])
        return plan, cached

    async def freeze(self, job: str, node: str) -> str:
        """The key of what a node gave in a job, from now on kept for good: for `frozen` in a workflow.

        Raises `NotFound` when the node gave nothing in that job, or when that is no longer cached.
        """
        await self.jobs.get(job)
        ended = [e for e in await self.jobs.events(job) if isinstance(e, NodeDone | NodeCached) and e.node == node]
        if not ended or not (key := ended[-1].key):
            raise NotFound(f"node {node!r} gave no result in job {job}: run it first")
        kept = False
        for slot in self.slots:
            if slot.is_up:
                with contextlib.suppress(WorkerDied):
                    kept = await slot.worker.keep(key) or kept
        if not kept:
            message = "is no longer cached, or cannot be written to disk: run it again, then freeze it"
            raise NotFound(f"what node {node!r} gave {message}")
        return key

    # --- the queue

    async def cancel(self, id: str) -> Job:
        """Ends a job: a waiting one at once, a running one within a step; a finished one stays as it is."""
        stored = await self.jobs.get(id)
        if stored.job.status == "queued":
            await self._record([JobCancelled(job=id)])
        if (run := self._runs.get(id)) is not None:
            run.cancelled = True
            run.slot.worker.cancel(id)
        self._queue_changed()
        return (await self.jobs.get(id)).job

    async def clear(self) -> int:
        """Cancels every job that waits; returns how many."""
        events = await self._record([JobCancelled(job=id) for id in await self.jobs.queued_ids()])
        self._queue_changed()
        return len(events)

    async def move(self, id: str, priority: int | None = None, position: Literal["front"] | int | None = None) -> Job:
        """A waiting job at another place. Raises `NotFound`, or `Conflict` when it no longer waits."""
        job = await self.jobs.move(id, priority=priority, position=position)
        self._queue_changed()
        return job

    async def pause(self, paused: bool) -> None:
        """Stops or starts the queue; what runs goes on."""
        await self.jobs.pause(paused)
        self._queue_changed()

    async def free(self, *, models: bool = True, cache: bool = False) -> None:
        """Lets every worker go of models that nothing uses, and of what is cached in memory."""
        for slot in self.slots:
            if slot.is_up:
                with contextlib.suppress(WorkerDied):
                    await slot.worker.free(models=models, cache=cache)

    # --- listening

    async def follow(self, job: str, after: int = 0) -> AsyncIterator[BaseEvent]:
        """A job's events that come after number `after`, as they happen, up to its end."""
        with self.hub.listen(job) as listener:
            is_finished = (await self.jobs.get(job)).job.status in FINISHED
            for event in await self.jobs.events(job, after):
                after = event.seq
                yield event
                is_finished = is_finished or isinstance(event, JobDone | JobFailed | JobCancelled)
            if is_finished:
                return
            async for message in listener:
                if isinstance(message, BaseEvent) and message.seq > after:
                    yield message
                    if isinstance(message, JobDone | JobFailed | JobCancelled):
                        return

    async def hello(self) -> Hello:
        """All that is going on."""
        running = await self.jobs.history(["running"], limit=1000)
        jobs = [*reversed(running), *await self.jobs.queue()]
        return Hello(
            build=self.build,
            version=self.version,
            paused=await self.jobs.is_paused(),
            workers=tuple(slot.status for slot in self.slots),
            jobs=tuple(self._live(job) for job in jobs),
        )

    def _live(self, job: Job) -> LiveJob:
        known = {name: getattr(job, name) for name in Job.model_fields}
        if (run := self._runs.get(job.id)) is None:
            return LiveJob(**known)
        progress = run.progress
        known |= {"nodes": progress.nodes, "planned": progress.planned, "progress": progress.fraction}
        return LiveJob(**known)

    # --- storing files

    async def upload(
        self, name: str, data: bytes, *, kind: Kind = "input", media_type: str = "", overwrite: bool = False
    ) -> Asset:
        """Stores a user's file; everybody who listens is told."""
        asset = await self.assets.upload(kind, name, data, media_type=media_type, overwrite=overwrite)
        self.hub.publish(AssetNotice(asset=asset))
        return asset

    # --- running

    async def _dispatch(self) -> None:
        """Starts whatever waits as soon as a worker takes it, forever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._start_next():
                    pass
            except DiskFull as error:
                log.error("no job is started: %s", error.message)
                await asyncio.sleep(PAUSE_WHEN_FULL)
                self._wake.set()
            except Exception:
                log.exception("a job could not be started; trying again")
                await asyncio.sleep(1)
                self._wake.set()

    async def _start_next(self) -> bool:
        """Starts the job whose turn it is; False when there is none or no worker takes it now."""
        if not any(slot.takes(alone=False) for slot in self.slots) or await self.jobs.is_paused():
            return False
        stored = await self.jobs.next()
        if stored is None:
            return False
        alone = stored.job.attempt > 0
        if not any(slot.takes(alone) for slot in self.slots):
            return False
        try:
            plan = await self._plan_of(stored)
        except GraphflowError as error:
            await self._record([JobFailed(job=stored.job.id, error=error.body())])
            self._queue_changed()
            return True
        free = [slot for slot in self.slots if slot.takes(alone)]
        keys = {task.key for task in plan.tasks}
        slot = max(free, key=lambda slot: (len(keys & slot.recent), -len(slot.jobs)), default=None)
        if slot is None or not await self.jobs.claim(stored.job.id):
            return slot is not None
        slot.remember(keys)
        self._begin(stored, slot, plan)
        return True

    async def _plan_of(self, stored: Stored) -> Plan:
        workflow = await asyncio.to_thread(json.loads, stored.workflow)
        definitions = await self.definitions()
        _, plan = await asyncio.to_thread(self._prepare, workflow, {}, stored.targets, definitions)
        return replace(plan, job=stored.job.id, texts=dict(stored.extra.get("texts", {})))

    def _begin(self, stored: Stored, slot: Slot, plan: Plan) -> None:
        id = stored.job.id
        arrivals = Arrivals(self.assets, _texts(stored), lambda asset: self.hub.publish(AssetNotice(asset=asset)))
        run = self._runs[id] = Run(stored, slot, arrivals)
        slot.jobs[id] = stored.job.attempt > 0
        run.task = asyncio.create_task(self._run(run, plan))
        self._queue_changed()
        self._tell_worker(slot)

    async def _run(self, run: Run, plan: Plan) -> None:
        """One job on its worker, to its end, whatever that is."""
        id = run.stored.job.id
        try:
            await self._walk(run, plan)
        except asyncio.CancelledError:
            run.slot.worker.cancel(id)
            with contextlib.suppress(DiskFull):  # then the next start finds it running, and mends that
                await self.jobs.release(id, counted=False)
            raise
        except WorkerDied as error:
            await self._after_death(run, error)
        except GraphflowError as error:
            await self._fail(run, error)
        except Exception as error:
            log.exception("job %s", id)
            await self._fail(run, GraphflowError(f"{type(error).__name__}: {error}; this is a fault of GraphFlow"))
        finally:
            run.arrivals.close()
            del self._runs[id]
            run.slot.jobs.pop(id, None)
            self._tell_worker(run.slot)
            self._queue_changed()

    async def _walk(self, run: Run, plan: Plan) -> None:
        if run.cancelled:
            await self._record_run(run, [JobCancelled(job=plan.job)])
            return
        ended = False
        async for messages in _batches(run.slot.worker.run(plan)):
            events, failure = await self._take(run, messages)
            run.progress.follow(events)
            if any(isinstance(event, JobDone) for event in events):
                await self._note_picture(run)
            recorded = await self._record_run(run, events)
            if failure is not None:
                raise failure
            ended = ended or any(isinstance(event, JobDone | JobFailed | JobCancelled) for event in recorded)
        if not ended:
            raise WorkerDied("the worker stopped in the middle of the job without a word")
        if self.metrics.finished % 100 == 0:
            await self._tidy()

    async def _tidy(self) -> None:
        """Forgets the oldest jobs, and takes away what was to be looked at a day ago and what a crash left."""
        await self.jobs.prune(self._history)
        await asyncio.to_thread(self.assets.sweep, time.time() - KEPT_PARTS)
        await self.assets.clear_temporary(time.time() - KEPT_TEMPORARY)

    async def _note_picture(self, run: Run) -> None:
        """The job's first picture becomes the thumbnail of the saved workflow that it came from."""
        pictures = [output for output in run.progress.all_outputs if output.media_type.startswith("image/")]
        if pictures:
            await self.workflows.made(run.stored.workflow, pictures[0].asset)

    async def _take(self, run: Run, messages: Sequence[Item]) -> tuple[list[Event], NodeFailed | None]:
        """The events of a worker's messages, up to a result that cannot be stored, and why that is.

        Files are stored, and told of before whatever comes next.
        """
        events: list[Event] = []
        for message in messages:
            if isinstance(message, Passing):
                self.hub.publish(message)
            elif isinstance(message, Made | Chunk):
                try:
                    await self._arrived(run, message)
                except NodeFailed as error:
                    return events, error
            else:
                events += self._results(run)
                events.append(self._completed(run, message, events))
        return events, None

    @staticmethod
    async def _arrived(run: Run, message: Made | Chunk) -> None:
        if isinstance(message, Chunk):
            await run.arrivals.chunk(message)
            run.slot.worker.took(message.job)
        else:
            run.made.setdefault(message.node, []).append(await run.arrivals.made(message))

    def _results(self, run: Run) -> list[Event]:
        job = run.stored.job.id
        told: list[Event] = [NodeOutput(job=job, node=node, outputs=tuple(made)) for node, made in run.made.items()]
        run.made.clear()
        return told

    def _completed(self, run: Run, event: Event, before: Sequence[Event]) -> Event:
        """The event with what only the service knows."""
        match event:
            case JobStarted():
                if run.cancelled:
                    run.slot.worker.cancel(event.job)  # it may have come before the job and found nothing
                return event.model_copy(update={"attempt": run.stored.job.attempt + 1, "worker": run.slot.worker.name})
            case JobDone():
                told = dict(run.progress.outputs) | {e.node: e.outputs for e in before if isinstance(e, NodeOutput)}
                return event.model_copy(update={"outputs": tuple(output for some in told.values() for output in some)})
        return event

    async def _after_death(self, run: Run, error: WorkerDied) -> None:
        attempt = run.stored.job.attempt + 1
        if run.cancelled:
            await self._record_run(run, [JobCancelled(job=run.stored.job.id)])
        elif attempt >= MAX_ATTEMPTS:
            message = f"the worker died {attempt} times while this job ran ({error.message}); it is not tried again"
            await self._fail(run, WorkerDied(message))
        else:
            log.warning("job %s runs again: %s", run.stored.job.id, error.message)
            await self.jobs.release(run.stored.job.id)

    async def _fail(self, run: Run, error: GraphflowError) -> None:
        event = JobFailed(job=run.stored.job.id, error=error.body())
        run.progress.follow([event])
        await self._record_run(run, [event])

    # --- telling

    async def _record(self, events: Sequence[Event], progress: Mapping[str, float] | None = None) -> list[Event]:
        """Stores events, then tells them."""
        recorded = await self.jobs.record(events, progress) if events else []
        self._publish(recorded)
        return recorded

    async def _record_run(self, run: Run, events: Sequence[Event]) -> list[Event]:
        """As `_record`, but never in vain: while the disk is full, a job waits rather than lose what it did."""
        id = run.stored.job.id
        waited = False
        while True:
            try:
                return await self._record(events, {id: run.progress.fraction})
            except DiskFull as error:
                if not waited:
                    log.error("job %s waits: %s", id, error.message)
                waited = True
                await asyncio.sleep(PAUSE_WHEN_FULL)

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self.metrics.event(event)
            self.hub.publish(event)

    def _queue_changed(self) -> None:
        self._wake.set()
        self._queue_told.set()

    async def _tell_queue(self) -> None:
        """Tells the order of the queue after each change, or after several that came together."""
        while True:
            await self._queue_told.wait()
            self._queue_told.clear()
            if len(self.hub):
                ids = tuple(await self.jobs.queued_ids())
                self.hub.publish(QueueNotice(jobs=ids, paused=await self.jobs.is_paused()))

    def _worker_changed(self, slot: Slot, status: Status) -> None:
        if slot.is_up:
            digest = self._known().digest()
            if digest != self._definitions_digest:
                self._definitions_digest = digest
                self.hub.publish(NodesNotice())
            slot.worker.watch(self.hub.is_watched)
            self._greeted.set()
        elif status.state == "dead":
            slot.recent.clear()
        self._tell_worker(slot)
        self._wake.set()

    def _tell_worker(self, slot: Slot) -> None:
        self.hub.publish(WorkerNotice(**slot.status.model_dump()))

    def _watched(self, watched: bool) -> None:
        for slot in self.slots:
            slot.worker.watch(watched)


def _texts(stored: Stored) -> dict[str, str]:
    """What is written into a job's files: the workflow, and what the client sent along."""
    extra = stored.extra.get("texts", {})
    return {"graphflow": stored.workflow, **{key: str(text) for key, text in extra.items()}}


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancels a task and waits for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _batches(messages: AsyncIterator[Item]) -> AsyncIterator[list[Item]]:
    """What has come since the last batch, together: one transaction stores it all."""
    waiting: asyncio.Queue[Item | Exception | None] = asyncio.Queue(maxsize=2 * BATCH)

    async def pump() -> None:
        try:
            async for message in messages:
                await waiting.put(message)
        except Exception as error:
            await waiting.put(error)
        else:
            await waiting.put(None)

    task = asyncio.create_task(pump())
    try:
        end: Exception | None = None
        is_open = True
        while is_open:
            batch: list[Item] = []
            item = await waiting.get()
            while is_open:
                if item is None or isinstance(item, Exception):
                    is_open, end = False, item
                    break
                batch.append(item)
                if waiting.empty() or len(batch) == BATCH:
                    break
                item = waiting.get_nowait()
            if batch:
                yield batch
        if end is not None:
            raise end
    finally:
        await _ended(task)

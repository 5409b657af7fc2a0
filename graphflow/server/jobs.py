"""Jobs, plans and the queue."""

from __future__ import annotations

import json

from graphflow.errors import BadRequest, InvalidWorkflow
from graphflow.jobs import STATUSES, Job, Stored
from graphflow.server import schemas
from graphflow.server.call import Answer, Call, Nothing

IDEMPOTENCY_KEY = "Idempotency-Key"


async def submit_job(call: Call[Nothing, schemas.SubmitBody]) -> Job:
    """Queues a workflow. The same Idempotency-Key gives the same job, however often it is sent."""
    key = call.request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not 0 < len(key) <= 255:
        raise BadRequest(f"the header {IDEMPOTENCY_KEY} has {len(key)} characters; 1 to 255 are taken")
    body = call.body
    return await call.service.submit(
        body.workflow,
        overrides=body.overrides,
        targets=body.targets,
        priority=body.priority,
        front=body.front,
        client=body.client,
        idempotency_key=key,
    )


async def list_jobs(call: Call[schemas.JobsQuery, Nothing]) -> schemas.JobsAnswer:
    """Jobs, newest first; `before` is the id of the last one that you have."""
    query = call.query
    found = await call.service.jobs.history(
        query.status or STATUSES, limit=query.limit, before=query.before, client=query.client
    )
    return schemas.JobsAnswer(jobs=found)


async def get_job(call: Call[Nothing, Nothing]) -> schemas.JobAnswer:
    """One job, with the workflow that it runs."""
    return _with_workflow(await call.service.jobs.get(call.part("id")))


def _with_workflow(stored: Stored) -> schemas.JobAnswer:
    known = {name: getattr(stored.job, name) for name in Job.model_fields}
    return schemas.JobAnswer(**known, workflow=json.loads(stored.workflow))


async def cancel_job(call: Call[Nothing, Nothing]) -> Job:
    """Cancels a job: a waiting one at once, a running one within a step. A finished one stays as it is."""
    return await call.service.cancel(call.part("id"))


async def clear_jobs(call: Call[schemas.ClearQuery, Nothing]) -> schemas.ClearAnswer:
    """Cancels every job that waits."""
    return schemas.ClearAnswer(cancelled=await call.service.clear())


async def move_job(call: Call[Nothing, schemas.MoveBody]) -> Job:
    """Puts a waiting job at another place in the queue; its priority bends to that of its new neighbours."""
    return await call.service.move(call.part("id"), call.body.priority, call.body.position)


async def get_queue(call: Call[Nothing, Nothing]) -> schemas.QueueAnswer:
    """What waits, and whether the queue stands still."""
    jobs = call.service.jobs
    return schemas.QueueAnswer(paused=await jobs.is_paused(), jobs=await jobs.queued_ids())


async def pause_queue(call: Call[Nothing, schemas.QueueBody]) -> schemas.QueueAnswer:
    """Stops or starts the queue. What runs goes on; the state survives a restart."""
    await call.service.pause(call.body.paused)
    return await get_queue(call)  # type: ignore[arg-type]  # it looks at no body


async def make_plan(call: Call[Nothing, schemas.PlanBody]) -> schemas.PlanAnswer:
    """What would run and what is cached; nothing is queued. Every problem at once when it cannot run."""
    try:
        plan, cached = await call.service.plan(call.body.workflow, call.body.overrides, call.body.targets)
    except InvalidWorkflow as error:
        if not call.body.tolerant:
            raise
        return schemas.PlanAnswer(tasks=[], outputs=[], problems=list(error.problems))
    tasks = [{"node": task.id, "type": task.type, "cached": cached.get(task.key)} for task in plan.tasks]
    outputs = [plan.tasks[place].id for place in plan.outputs]
    return schemas.PlanAnswer.model_validate({"tasks": tasks, "outputs": outputs})


async def freeze_node(call: Call[Nothing, schemas.FreezeBody]) -> schemas.FreezeAnswer:
    """Keeps what a node gave in a job for good. With the key as its `frozen`, the node gives that in any workflow."""
    node = call.body.node
    return schemas.FreezeAnswer(node=node, key=await call.service.freeze(call.part("id"), node))


async def free_memory(call: Call[Nothing, schemas.FreeBody]) -> Answer:
    """Lets the workers go of models that nothing uses, and of what is cached in memory."""
    await call.service.free(models=call.body.models, cache=call.body.cache)
    return Answer(None)

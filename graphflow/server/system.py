"""How the server is: health, readiness, version, room, metrics."""

from __future__ import annotations

import asyncio
import platform
import shutil
from typing import TYPE_CHECKING

from aiohttp import web

from graphflow.server import openapi, schemas
from graphflow.server.call import Answer, Call, Nothing
from graphflow.service import Service

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


async def get_health(call: Call[Nothing, Nothing]) -> schemas.HealthAnswer:
    """It answers."""
    return schemas.HealthAnswer()


async def get_ready(call: Call[Nothing, Nothing]) -> Answer:
    """200 when jobs can run, 503 while no worker is up."""
    ready = call.service.is_ready
    workers = [slot.status for slot in call.service.slots]
    return Answer(schemas.ReadyAnswer(ready=ready, workers=workers), 200 if ready else 503)


async def get_version(call: Call[Nothing, Nothing]) -> schemas.VersionAnswer:
    """Version and build; an editor that sees another build offers to reload."""
    return schemas.VersionAnswer(version=call.service.version, build=call.service.build)


async def get_system(call: Call[Nothing, Nothing]) -> schemas.SystemAnswer:
    """Devices, memory, folders, and the room that is left."""
    disk = shutil.disk_usage(call.config.data)
    return schemas.SystemAnswer(
        version=call.service.version,
        build=call.service.build,
        python=platform.python_version(),
        platform=platform.platform(),
        workers=await call.service.worker_details(),
        models=[str(root) for root in call.service.models.roots],
        data=str(call.config.data),
        disk_free=disk.free,
        disk_total=disk.total,
    )


async def get_metrics(call: Call[Nothing, Nothing]) -> web.StreamResponse:
    """Counts and states for Prometheus."""
    from prometheus_client import generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    body = generate_latest(await _collected(call.service))
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _collected(service: Service) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, Gauge
    from prometheus_client.core import CounterMetricFamily

    registry = CollectorRegistry()
    jobs = Gauge("graphflow_jobs", "Jobs in the database by status.", ["status"], registry=registry)
    for status, count in (await service.jobs.counts()).items():
        jobs.labels(status).set(count)
    workers = Gauge("graphflow_worker_up", "Whether a worker can run jobs.", ["worker", "state"], registry=registry)
    for slot in service.slots:
        workers.labels(slot.status.name, slot.status.state).set(slot.is_up)
    Gauge("graphflow_listeners", "Open live connections.", registry=registry).set(len(service.hub))
    counted = CounterMetricFamily("graphflow_events", "Events of jobs since the start.", labels=["type"])
    for type, count in service.metrics.events.items():
        counted.add_metric([type], count)
    seconds = CounterMetricFamily("graphflow_seconds", "Time spent since the start, in seconds.", labels=["on"])
    seconds.add_metric(["jobs"], service.metrics.job_seconds)
    seconds.add_metric(["nodes"], service.metrics.node_seconds)
    registry.register(_Fixed([counted, seconds]))  # type: ignore[arg-type]  # it is used for its `collect` alone
    return registry


class _Fixed:
    """A collector of what was counted elsewhere."""

    def __init__(self, families: list[object]) -> None:
        self._families = families

    def collect(self) -> list[object]:
        """All of it."""
        return self._families


async def get_openapi(call: Call[Nothing, Nothing]) -> web.StreamResponse:
    """This API, described."""
    from graphflow.server.routes import ROUTES  # which names this function

    return web.json_response(await asyncio.to_thread(openapi.describe, ROUTES))

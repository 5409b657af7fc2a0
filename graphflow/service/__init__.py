"""The service: what stands between the doors (HTTP, ComfyUI's protocol, tests) and the workers."""

from graphflow.service.build import build_service, model_files, worker_settings
from graphflow.service.hub import Hopeless, Hub, Listener
from graphflow.service.notices import (
    AssetNotice,
    Hello,
    LiveJob,
    NodesNotice,
    NodeStatus,
    Notice,
    QueueNotice,
    WorkerNotice,
    WorkerStatus,
)
from graphflow.service.service import Service

__all__ = [
    "AssetNotice",
    "Hello",
    "Hopeless",
    "Hub",
    "Listener",
    "LiveJob",
    "NodeStatus",
    "NodesNotice",
    "Notice",
    "QueueNotice",
    "Service",
    "WorkerNotice",
    "WorkerStatus",
    "build_service",
    "model_files",
    "worker_settings",
]

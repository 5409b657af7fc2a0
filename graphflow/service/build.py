"""Puts a service together from the settings."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Mapping
from pathlib import Path

from graphflow import __version__, paths
from graphflow.assets import Assets
from graphflow.config import Config
from graphflow.database import Database
from graphflow.errors import BadRequest
from graphflow.files import ModelFiles
from graphflow.jobs import Jobs
from graphflow.service.service import Service
from graphflow.worker.protocol import Worker, WorkerSettings
from graphflow.workflows import Workflows


def build_service(config: Config, environment: Mapping[str, str] = os.environ) -> tuple[Service, Database]:
    """The service, and the database to close after it. Migrates the database; nothing runs yet."""
    config.data.mkdir(parents=True, exist_ok=True)
    database = Database(config.database_url)
    database.migrate()
    service = Service(
        jobs=Jobs(database),
        assets=Assets(database, config.data, max_size=int(config.max_upload)),
        workflows=Workflows(database),
        models=model_files(config),
        workers=[make_worker(config, device) for device in devices(config, environment)],
        jobs_per_worker=config.jobs_per_worker,
        history=config.history,
        version=__version__,
        build=build_id(paths.editor_folder()),
    )
    return service, database


def model_files(config: Config) -> ModelFiles:
    """The models that the settings name."""
    extra: dict[str, list[Path]] = {}
    for folder, place in config.more_places:
        extra.setdefault(folder, []).append(place)
    return ModelFiles(config.model_roots, config.data / "hashes.json", extra)


def worker_settings(config: Config, device: str = "auto") -> WorkerSettings:
    """What a worker on that device is told."""
    name = device.replace(":", "")
    return WorkerSettings(
        name=name if device != "auto" else "local",
        device=device,
        dtype=config.dtype,
        vram_limit=int(config.vram_limit),
        roots=config.model_roots,
        places=(("input", config.data / "input"), *config.more_places),
        hashes=config.data / "hashes.json",
        cache=config.data / "cache",
        memory_cache=int(config.memory_cache),
        disk_cache=int(config.disk_cache),
        batching=config.batching,
        greeting=config.data / f"worker-{name}.json",
        packs=tuple(
            (style, Path(folder).expanduser()) for style, _, folder in (p.partition("=") for p in config.packs)
        ),
        options=tuple(sorted(config.options.items())),
    )


def make_worker(config: Config, device: str) -> Worker:
    """A worker of the kind that the settings ask for; it is not started."""
    settings = worker_settings(config, device)
    if config.workers == "process":
        from graphflow.worker.process import ProcessWorker

        return ProcessWorker(settings)
    if config.workers == "local":
        from graphflow.worker.local import LocalWorker

        return LocalWorker(settings)
    try:
        room = importlib.import_module("graphflow.worker.ray")  # which imports Ray, an extra
    except ImportError as error:
        raise BadRequest("workers = ray needs Ray: install it with pip install 'graphflow[ray]'") from error
    worker: Worker = room.RayWorker(settings, config.ray_address)
    return worker


def devices(config: Config, environment: Mapping[str, str]) -> tuple[str, ...]:
    """One worker each: those that were named, or every NVIDIA device that the system shows, or whatever there is."""
    if config.devices != ("auto",):
        return config.devices
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    cards = Path("/proc/driver/nvidia/gpus")
    count = len(visible.split(",")) if visible else len(list(cards.iterdir())) if cards.is_dir() else 0
    return tuple(f"cuda:{i}" for i in range(count)) if count > 1 else ("auto",)


def build_id(editor: Path) -> str:
    """Changes with the version and with the built editor."""
    files = sorted(path for path in editor.rglob("*") if path.is_file())
    stamps = [f"{path.relative_to(editor)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join([__version__, *stamps]).encode()).hexdigest()[:12]

"""Builds an engine from a worker's settings; what both kinds of worker run. Imports torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import torch

from graphflow import __version__
from graphflow.cache import Cache
from graphflow.engine import Engine
from graphflow.engine.peak import Meter
from graphflow.files import ModelFiles
from graphflow.models.residency import Residency
from graphflow.process import settle
from graphflow.registry import BrokenPack, Loaded, Registry, discover
from graphflow.worker.protocol import DeskSign, Greeting, WorkerSettings


@dataclass
class Bench:
    """An engine with what stands around it."""

    engine: Engine
    greeting: Greeting
    residency: Residency
    cache: Cache
    looking: bool = False

    def stats(self) -> Mapping[str, Any]:
        """Memory in use, models loaded, bytes cached."""
        return {
            "device": self.greeting.device,
            "models": self.residency.report(),
            "cache": dict(self.cache.stats()),
            **memory(self.residency.device),
        }

    def free(self, *, models: bool, cache: bool) -> None:
        """Lets go of idle models, and of what is cached in memory."""
        if models:
            self.residency.drop()
        if cache:
            self.cache.free()

    def ask(self, desk: int, question: Any) -> Any:
        """The answer of one of the packs' desks, by its place in the greeting."""
        return self.engine.shop.registry.desks[desk].answer(question)

    def close(self) -> None:
        """Ends it."""
        self.engine.close()


def build(settings: WorkerSettings) -> Bench:
    """Everything a worker needs, ready to run plans."""
    auto = {"auto": ""}
    residency = Residency(
        auto.get(settings.device, settings.device),
        auto.get(settings.dtype, settings.dtype),
        settings.vram_limit or None,
        shelf=(shelf := files(settings)),
        digest=shelf.digest,
    )
    cache = Cache(settings.memory_cache, settings.cache, settings.disk_cache)
    registry = _registry(settings)
    precision = str(residency.policy.dtype(("bfloat16", "float16"))).removeprefix("torch.")
    device = f"{residency.device}, {precision}"
    options = "/".join(f"{name}={value}" for name, value in settings.options)
    realm = f"{__version__}/{torch.__version__}/{device}/{options}"
    batching = settings.batching == "on" or (settings.batching == "auto" and residency.device.type != "cpu")
    bench: Bench
    with residency.active():  # the engine keeps the context in which it is made
        engine = Engine(
            registry,
            cache,
            files(settings),
            name=settings.name,
            realm=realm,
            meter=Meter(residency.device),
            batching=batching,
            free=lambda: _free(residency),
            watched=lambda: bench.looking,
        )
    greeting = Greeting(
        version=__version__,
        definitions=dict(engine.shop.definitions),
        broken=tuple(registry.broken),
        desks=tuple(DeskSign(style=desk.style, about=desk.about) for desk in registry.desks),
        device=device,
        realm=realm,
        details={"type": residency.device.type, "name": _device_name(residency.device), **memory(residency.device)},
    )
    bench = Bench(engine, greeting, residency, cache)
    return bench


def warm_up() -> None:
    """Imports what the first job would wait for."""
    importlib.import_module("diffusers.models.unets.unet_2d_condition")
    importlib.import_module("transformers.models.clip.modeling_clip")
    settle()


def files(settings: WorkerSettings) -> ModelFiles:
    """The models that a worker's settings name."""
    extra: dict[str, list[Any]] = {}
    for folder, place in settings.places:
        extra.setdefault(folder, []).append(place)
    return ModelFiles(settings.roots, settings.hashes, extra)


def _free(residency: Residency) -> None:
    residency.free()


def _registry(settings: WorkerSettings) -> Registry:
    registry = discover()
    loaders = {entry.name: entry for entry in entry_points(group="graphflow.pack_loaders")}
    for name, folder in settings.packs:
        if name not in loaders:
            broken = BrokenPack(str(folder), f"nothing here reads node packs of the style {name!r}")
            registry = registry.with_nodes((), (broken,))
            continue
        load: Callable[[Any, ModelFiles], Loaded] = loaders[name].load()
        registry = registry.with_nodes(*load(folder, files(settings)))
    return registry


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def memory(device: torch.device) -> dict[str, int]:
    """Bytes of the device's memory, in all and free; for the CPU, the machine's."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return {"memory_total": total, "memory_free": free}
    import psutil

    machine = psutil.virtual_memory()
    return {"memory_total": machine.total, "memory_free": machine.available}

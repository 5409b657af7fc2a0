"""What sits on the device, in which dtype, and what has to go when room is short. The one place that decides it.

Weights live in two tiers: on the device, and in the host's memory. What is wanted is brought to the device; what was
used least recently moves to the host when the device's limit is reached, and is dropped when the host's is. What is
larger than the device stays with the host and visits the device layer by layer. A network keeps working whatever happens
to its weights in between: it asks again for each call.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn

from graphflow.errors import GraphflowError, UnsupportedFile
from graphflow.files import Finder
from graphflow.models.weights import nbytes
from graphflow.node import File
from graphflow.values import Patch, Weights

Tier = Literal["device", "host"]


class Content(Protocol):
    """What was loaded for a recipe: modules, and what is needed to use them."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """Everything with weights."""

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """Makes the weights those of these patches, and no others."""


class Unpatched:
    """`Content` of one module whose weights stay as they were loaded."""

    module: nn.Module

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The module."""
        return (self.module,)

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """Nothing: such networks take no patches."""


@dataclass
class Resident:
    """Weights in memory."""

    content: Content
    nbytes: int
    tier: Tier = "host"
    used: int = 0
    """A count that rises with every use of any resident."""
    busy: int = 0
    """Calls going on; busy weights stay where they are."""
    streamed: bool = False
    """Larger than the device: kept in the host's memory, each layer brought for the moment it is used."""
    views: dict[Any, Any] = field(default_factory=dict)
    """What was handed out on top of the content, by recipe, so that equal recipes get the same object."""


@dataclass(frozen=True)
class Policy:
    """Which dtypes a device is fast at."""

    device: torch.device
    forced: torch.dtype | None = None

    def dtype(self, wanted: tuple[str, ...]) -> torch.dtype:
        """The first of the wanted dtypes that the device is fast at, else float32."""
        if self.forced is not None:
            return self.forced
        return next((getattr(torch, name) for name in wanted if name in self.fast), torch.float32)

    @property
    def text(self) -> torch.dtype | None:
        """What text encoders' weights are rounded to before anything else: float16, as nearly everyone runs them,
        so that prompts mean the same here; None when a dtype was asked for.
        """
        return torch.float16 if self.forced is None else None

    @property
    def fast(self) -> tuple[str, ...]:
        """Half precisions that are faster than float32 here."""
        if self.device.type == "cuda":
            return ("float16", "bfloat16") if torch.cuda.is_bf16_supported(False) else ("float16",)
        return ("float16", "bfloat16") if self.device.type in ("mps", "xpu") else ()


def best_device() -> torch.device:
    """CUDA or MPS where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class Residency:
    """The weights in memory, and the device they are used on."""

    def __init__(
        self,
        device: str = "",
        dtype: str = "",
        limit: int | None = None,
        host_limit: int | None = None,
        shelf: Finder | None = None,
        digest: Callable[[Path], str] | None = None,
    ) -> None:
        """`limit` bounds the bytes of weights on the device (for None, nine tenths of its memory, less what one
        sampling needs); `host_limit` those kept beside it, half of the memory for None. On the `shelf` lie files that
        no node names: the tiny decoders of previews. `digest` gives a file's hash as it is now, so that one replaced
        since its job was planned is told.
        """
        self.device = torch.device(device) if device else best_device()
        self.policy = Policy(self.device, getattr(torch, dtype) if dtype else None)
        self.limit = _device_limit(self.device) if limit is None else limit
        self.host_limit = _host_limit() if host_limit is None else host_limit
        self.shelf = shelf
        self._digest = digest
        self._residents: dict[Weights, Resident] = {}
        self._clock = itertools.count(1)
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def active(self) -> Iterator[Residency]:
        """Within it, `loaded` uses this residency."""
        token = _ACTIVE.set(self)
        try:
            yield self
        finally:
            _ACTIVE.reset(token)

    def get(self, weights: Weights, load: Callable[[], Content]) -> Resident:
        """The resident for these weights, loaded into the host's memory if it is not there yet."""
        with self._lock:
            if weights not in self._residents:
                self.check(weights.files)
                content = load()
                self._residents[weights] = Resident(content, sum(nbytes(m) for m in content.modules))
                self._residents[weights].used = next(self._clock)
                self._trim_host()
            return self._residents[weights]

    def check(self, files: Iterable[File]) -> None:
        """Raises `UnsupportedFile` when a file is no longer the one that the job was planned with."""
        for file in files if self._digest else ():
            assert self._digest
            try:
                same = self._digest(file.path) == file.digest
            except OSError:
                same = False
            if not same:
                raise UnsupportedFile(f"{file.name} was replaced after this job was planned: run the workflow again")

    @contextlib.contextmanager
    def ready(self, weights: Weights, patches: tuple[Patch, ...], load: Callable[[], Content]) -> Iterator[Resident]:
        """The resident on the device, with these patches and no others, for the length of one call."""
        with self._lock:
            resident = self.get(weights, load)
            resident.busy += 1
            try:
                if ("device", "cpu") not in weights.options:
                    self._bring(resident)
                resident.content.patch(patches)
                resident.used = next(self._clock)
                yield resident
            finally:
                resident.busy -= 1

    def free(self, wanted: int | None = None) -> int:
        """Moves idle weights off the device, least recently used first, until `wanted` bytes are free (all of them for
        None); gives the bytes freed. What a run that is out of memory calls before it tries again.
        """
        freed = 0
        with self._lock:
            for resident in self._idle("device"):
                if wanted is not None and freed >= wanted:
                    break
                self._move(resident, "host")
                freed += 0 if resident.streamed else resident.nbytes
            self._trim_host()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return freed

    def drop(self) -> None:
        """Forgets every idle model."""
        with self._lock:
            self.free()
            self._residents = {w: r for w, r in self._residents.items() if r.busy}

    def bytes_in(self, tier: Tier) -> int:
        """Bytes of weights in a tier."""
        residents = list(self._residents.values())
        return sum(r.nbytes for r in residents if ("host" if r.streamed else r.tier) == tier)

    def holds(self, digest: str) -> bool:
        """Whether weights of a file with that content are in memory."""
        return any(file.digest == digest for weights in list(self._residents) for file in weights.files)

    def report(self) -> list[dict[str, Any]]:
        """Each model in memory: its files, part, tier, bytes; most recently used first."""
        with self._lock:
            return [
                {
                    "files": [f.name for f in w.files],
                    "part": w.part,
                    "family": w.family,
                    "tier": r.tier,
                    "bytes": r.nbytes,
                }
                for w, r in sorted(self._residents.items(), key=lambda item: -item[1].used)
            ]

    def _bring(self, resident: Resident) -> None:
        if resident.tier == "device":
            return
        if resident.nbytes > self.limit:
            self._stream(resident)
            return
        for other in self._idle("device"):
            if self.bytes_in("device") + resident.nbytes <= self.limit:
                break
            self._move(other, "host")
        self._move(resident, "device")
        self._trim_host()

    def _stream(self, resident: Resident) -> None:
        """Lets weights that are larger than the device stay with the host, layer by layer on the device in use."""
        from diffusers.hooks import apply_group_offloading

        if not resident.streamed:
            for module in resident.content.modules:
                apply_group_offloading(module, self.device, torch.device("cpu"), offload_type="leaf_level")
        resident.streamed, resident.tier = True, "device"

    def _move(self, resident: Resident, tier: Tier) -> None:
        if resident.streamed:
            resident.tier = tier
            return
        target = self.device if tier == "device" else torch.device("cpu")
        for module in resident.content.modules:
            module.to(target)
        resident.tier = tier

    def _trim_host(self) -> None:
        for resident in self._idle("host")[:-1]:  # the newest may be about to be used
            if self.bytes_in("host") <= self.host_limit:
                break
            self._residents = {w: r for w, r in self._residents.items() if r is not resident}

    def _idle(self, tier: Tier) -> list[Resident]:
        """Residents of a tier that no call uses, least recently used first."""
        found = [r for r in self._residents.values() if r.tier == tier and not r.busy]
        return sorted(found, key=lambda resident: resident.used)


def _device_limit(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1] * 0.9) - 2**30
    return _host_limit()


def _host_limit() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 8 * 2**30


_ACTIVE: ContextVar[Residency] = ContextVar("residency")


def residency() -> Residency:
    """The active residency. Raises `GraphflowError` outside of one."""
    try:
        return _ACTIVE.get()
    except LookupError:
        raise GraphflowError(
            "no residency is active: models can be loaded only inside `with Residency().active():`, as a worker does"
        ) from None

"""What sits on the device, in which dtype, and what has to go when room is short. The one place that decides it.

Weights live in two tiers: on the device, and in the host's memory. What is wanted is brought to the device; what was
used least recently moves to the host when the device's limit is reached, and is dropped when the host's is. What is
larger than the room that is left stays with the host and visits the device layer by layer (`offloading.py`). A network
keeps working whatever happens to its weights in between: it asks again for each call.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphflow.diffusion.memory import is_out_of_memory
from graphflow.errors import GraphflowError, UnsupportedFile
from graphflow.files import Finder
from graphflow.models.offloading import HOST, Offloaded
from graphflow.models.residents import Content, Resident, Tally, Tier, Unpatched
from graphflow.node import File
from graphflow.values import Patch, Weights

__all__ = ["Content", "Policy", "Residency", "Resident", "Tally", "Unpatched", "best_device", "residency"]

log = logging.getLogger(__name__)


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
        self.tally = Tally()
        self._told: set[int] = set()
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
                self._residents[weights] = resident = Resident(load(), 0)
                resident.measure()
                resident.used = next(self._clock)
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
                self._prepare(resident, patches, visits=("device", "cpu") not in weights.options)
                resident.used = next(self._clock)
                yield resident
            finally:
                resident.busy -= 1
                if resident.offloaded is not None and not resident.busy:
                    resident.offloaded.settle()

    def free(self, wanted: int | None = None) -> int:
        """Moves idle weights off the device, least recently used first, until `wanted` bytes are free (all of them for
        None); gives the bytes freed. What a run that is out of memory calls before it tries again.
        """
        with self._lock:
            before = self.bytes_in("device")
            for resident in self._idle("device"):
                if wanted is not None and before - self.bytes_in("device") >= wanted:
                    break
                self._move(resident, "host")
            self._trim_host()
            freed = before - self.bytes_in("device")
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
        return sum(r.on_device if tier == "device" else r.on_host for r in residents)

    def holds(self, digest: str) -> bool:
        """Whether weights of a file with that content are in memory."""
        return any(file.digest == digest for weights in list(self._residents) for file in weights.files)

    def report(self) -> list[dict[str, Any]]:
        """Each model in memory: its files, part, tier, bytes; most recently used first."""
        residents = sorted(self._residents.items(), key=lambda item: -item[1].used)
        return [
            {"files": [f.name for f in w.files], "part": w.part, "family": w.family, "tier": r.tier, "bytes": r.nbytes}
            for w, r in residents
        ]

    # --- what goes where ---

    def _prepare(self, resident: Resident, patches: tuple[Patch, ...], *, visits: bool) -> None:
        """The weights with these patches and, if it `visits` the device, there."""
        if resident.patches != patches and resident.packed:
            self._move(resident, "host")  # where there is room for what they grow to
            self._patch(resident, patches)
        if visits:
            self._bring(resident)
        if resident.patches != patches:
            self._patch(resident, patches)
            if visits and resident.offloaded is None and not self.make(0):
                self._offload(resident)  # some patches make layers wider

    def _patch(self, resident: Resident, patches: tuple[Patch, ...]) -> None:
        if resident.offloaded is not None:
            resident.offloaded.shrink()
        resident.patches = None
        resident.content.patch(patches)
        resident.patches = patches
        resident.measure()

    def _bring(self, resident: Resident) -> None:
        """Puts it on the device, or lets its layers visit where there is too little room beside what is in use."""
        if resident.tier == "device" and resident.offloaded is None:
            return
        if resident.nbytes > self.limit - sum(other.needed for other in self._residents.values()):
            self._offload(resident)
            return
        self._gather(resident)
        self.make(resident.nbytes)
        try:
            self._move(resident, "device")
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._retreat(resident)
        self.tally.peak = max(self.tally.peak, self.bytes_in("device"))
        self._trim_host()

    def _retreat(self, resident: Resident) -> None:
        """What to do when it did not fit after all: alone it may; else the limit was too high for it."""
        self.free()
        try:
            self._move(resident, "device")
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.limit = min(self.limit, resident.nbytes - 1)
            log.warning("the device has less room than thought: at most %d bytes of weights from now on", self.limit)
            self._offload(resident)

    def _offload(self, resident: Resident) -> None:
        if resident.offloaded is None:
            self._move(resident, "host")
            content = resident.content
            resident.offloaded = Offloaded(content.modules, self, content.whole)
        resident.tier = "device"

    def _gather(self, resident: Resident) -> None:
        """Ends the visits of a model's layers: it is at home, as a whole."""
        if resident.offloaded is not None:
            resident.offloaded.end()
            resident.offloaded, resident.tier = None, "host"

    def make(self, nbytes: int) -> bool:
        """Makes room on the device by moving what no call needs; False, and nothing moved, when that is not enough."""
        if sum(r.needed for r in self._residents.values()) + nbytes > self.limit:
            return False
        for other in self._idle("device"):
            if self.spare() >= nbytes:
                return True
            self.tally.evicted += 1
            self._move(other, "host")
        for other in self._residents.values():
            if other.offloaded is not None:
                other.offloaded.shrink(max(0, nbytes - self.spare()))
        return True

    def spare(self) -> int:
        """Bytes of the limit that no weights take."""
        return self.limit - self.bytes_in("device")

    def came(self) -> None:
        """A layer has come to the device."""
        self.tally.visits += 1
        self.tally.peak = max(self.tally.peak, self.bytes_in("device"))

    def hosted(self, nbytes: int) -> None:
        """A layer has to be computed with the host."""
        self.tally.hosted += 1
        if nbytes not in self._told:
            self._told.add(nbytes)
            log.warning(
                "a layer of %d bytes has no room in the %d that weights may take on the device: it is computed in the "
                "host's memory, which is slow", nbytes, self.limit,
            )  # fmt: skip

    def _move(self, resident: Resident, tier: Tier) -> None:
        if resident.offloaded is not None:
            resident.offloaded.shrink()
            resident.tier = tier
            return
        try:
            for module in resident.content.modules:
                module.to(self.device if tier == "device" else HOST)
        except BaseException:
            for module in resident.content.modules:
                module.to(HOST)  # what has moved so far comes back, so that it is not forgotten there
            resident.tier = "host"
            raise
        resident.tier = tier

    def _trim_host(self) -> None:
        kept = (r for r in self._residents.values() if not r.busy and (r.tier == "host" or r.offloaded is not None))
        for resident in sorted(kept, key=lambda r: r.used)[:-1]:  # the newest may be about to be used
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

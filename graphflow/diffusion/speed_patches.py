"""Patches that make a network faster, each off until its node is used; `benchmarks/speed.py` says what each gains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from graphflow.diffusion.caches import DeepCache, EasyCache, FirstBlockCache
from graphflow.diffusion.edits import hooked, replaced
from graphflow.diffusion.guidance_patches import between
from graphflow.diffusion.network import CacheRule, NetworkEdit
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import CachePatch, EditPatch

Kernel = Literal["flash", "efficient", "cudnn", "math"]
KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}  # fmt: skip


@dataclass(frozen=True)
class DeepCachePatch(CachePatch):
    """See `caches.DeepCache`."""

    interval: int = 3
    depth: int = 1
    start: float = 0.0
    end: float = 1.0

    def rule(self, sigma: float, parametrisation: Parametrisation) -> CacheRule | None:
        """Between start and end."""
        return DeepCache(self.interval, self.depth) if between(sigma, self.start, self.end, parametrisation) else None


@dataclass(frozen=True)
class FirstBlockPatch(CachePatch):
    """See `caches.FirstBlockCache`."""

    threshold: float = 0.1
    most: int = 3
    start: float = 0.0
    end: float = 1.0

    def rule(self, sigma: float, parametrisation: Parametrisation) -> CacheRule | None:
        """Between start and end."""
        inside = between(sigma, self.start, self.end, parametrisation)
        return FirstBlockCache(self.threshold, self.most) if inside else None


@dataclass(frozen=True)
class EasyCachePatch(CachePatch):
    """See `caches.EasyCache`."""

    threshold: float = 0.2
    start: float = 0.15
    end: float = 0.95

    def rule(self, sigma: float, parametrisation: Parametrisation) -> CacheRule | None:
        """Between start and end."""
        return EasyCache(self.threshold) if between(sigma, self.start, self.end, parametrisation) else None


# --- the same work, done otherwise -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernels:
    """Attention by one of PyTorch's kernels."""

    kernel: Kernel

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Raises `ValueError` where the kernel cannot do what the network asks of it."""
        with sdpa_kernel(KERNELS[self.kernel]):
            try:
                yield
            except RuntimeError as error:
                if not str(error).startswith(("No available kernel", "No viable backend")):
                    raise
                raise ValueError(
                    f"the attention kernel {self.kernel!r} is not there for this device, dtype or size of heads: choose "
                    "another, or take the node out"
                ) from error


@dataclass(frozen=True)
class ChannelsLast:
    """Convolutions on pictures whose channels lie side by side, which tensor cores and oneDNN like better."""

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[object]:
        """What goes into each convolution is laid out so; its weights stay as they are for other jobs."""

        def lay_out(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0].contiguous(memory_format=torch.channels_last), *args[1:])

        layers = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
        if not layers:
            raise ValueError("channels-last is for networks of convolutions (U-Nets); this model has none")
        return hooked([layer.register_forward_pre_hook(lay_out) for layer in layers])


@dataclass(frozen=True)
class Compiled:
    """A network's repeated blocks compiled, one region for all of a kind, so that compiling takes seconds, not minutes."""

    backend: str = "inductor"

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[object]:
        """For the length of one call the blocks run compiled; what was compiled is kept with the network."""
        blocks = repeated(module)
        known: dict[Any, Any] = module.__dict__.setdefault("_compiled_blocks", {})

        def compiled(block: Any) -> Any:
            if "forward" in block.__dict__:  # another edit has changed it for this call
                return block.forward
            key = (id(block), self.backend)
            if key not in known:
                known[key] = torch.compile(MethodType(type(block).forward, block), backend=self.backend)
            return known[key]

        return replaced(blocks, "forward", compiled)


def repeated(module: nn.Module) -> list[nn.Module]:
    """The blocks that a network has many of: what its class names, else transformer blocks wherever they are."""
    names = set(getattr(module, "_repeated_blocks", None) or ("BasicTransformerBlock",))
    found = [m for m in module.modules() if type(m).__name__ in names]
    if not found:
        raise ValueError("this model has no repeated blocks that could be compiled: take the node out")
    return found


@dataclass(frozen=True)
class KernelPatch(EditPatch):
    """See `Kernels`."""

    kernel: Kernel

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """At every noise level."""
        return (Kernels(self.kernel),)


@dataclass(frozen=True)
class ChannelsLastPatch(EditPatch):
    """See `ChannelsLast`."""

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """At every noise level."""
        return (ChannelsLast(),)


@dataclass(frozen=True)
class CompilePatch(EditPatch):
    """See `Compiled`."""

    backend: str = "inductor"

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """At every noise level."""
        return (Compiled(self.backend),)

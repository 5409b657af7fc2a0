"""Weights larger than the room on the device: they stay in the host's memory, and each layer visits the device.

A layer is brought before its module is called and gone after it; layers for which there is room stay until somebody else
needs it. A layer larger than all the room is computed where it lies, on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

HOST = torch.device("cpu")
UNCALLED = (nn.MultiheadAttention,)
"""Modules that compute with the weights of those inside them, and do not call them."""

_VISITS = "_visits"
"""Attribute of a module whose layers visit a device: which."""


@dataclass(eq=False)
class Layer:
    """A module's own weights: those that no module inside it has."""

    owners: tuple[nn.Module, ...]
    home: list[tuple[dict[str, Any], str, Tensor]] = field(default_factory=list)
    """While it is on the device: where its tensors are kept, and those that stay with the host."""
    nbytes: int = 0
    """On the device."""
    calls: int = 0
    """Of its module, going on there."""
    hosted: int = 0
    """Those that go on with the host."""

    def tensors(self) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
        """Its parameters and buffers, and where they are kept."""
        for owner in self.owners:
            for place in (owner._parameters, owner._buffers):
                yield from ((place, name, tensor) for name, tensor in place.items() if tensor is not None)

    def size(self) -> int:
        """Bytes that it needs on the device."""
        return sum(tensor.nbytes for _, _, tensor in self.tensors())

    def come(self, device: torch.device) -> None:
        """Puts copies on the device in its tensors' places; all, or none when memory runs out."""
        moved = [(place, name, tensor, _copied(tensor, device)) for place, name, tensor in self.tensors()]
        self.home = [(place, name, tensor) for place, name, tensor, _ in moved]
        for place, name, _, copy in moved:
            place[name] = copy
        self.nbytes = self.size()

    def leave(self) -> None:
        """Puts the host's tensors back."""
        for place, name, tensor in self.home:
            place[name] = tensor
        self.home, self.nbytes = [], 0


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    copy = tensor.detach().to(device)
    return nn.Parameter(copy, requires_grad=False) if isinstance(tensor, nn.Parameter) else copy


class Room(Protocol):
    """The device, as what visits it sees it."""

    @property
    def device(self) -> torch.device:
        """Where layers go."""

    def make(self, nbytes: int) -> bool:
        """Makes room; False, and nothing is moved, when there cannot be so much."""

    def spare(self) -> int:
        """Bytes that are free now."""

    def came(self) -> None:
        """A layer has come."""

    def hosted(self, nbytes: int) -> None:
        """A layer of so many bytes has to be computed with the host."""


class Offloaded:
    """Modules in the host's memory whose layers visit a device."""

    def __init__(self, modules: Sequence[nn.Module], room: Room, whole: Sequence[nn.Module] = ()) -> None:
        """`whole` are modules that compute with the weights of those inside them, as one layer each."""
        self.nbytes = 0
        """On the device now."""
        self.used = 0
        """Of those, what calls need that go on."""
        self._room, self._modules, self._hosted = room, modules, 0
        self._handles: list[Any] = []
        self._layers = [layer for module in modules for layer in self._hook(module, whole)]
        self._largest = max((layer.size() for layer in self._layers), default=0)

    def shrink(self, nbytes: int | None = None) -> None:
        """Sends layers home that no call needs, until so many bytes are free; all of them for None."""
        goal = 0 if nbytes is None else max(0, self.nbytes - nbytes)
        for layer in reversed(self._layers):
            if self.nbytes <= goal:
                return
            if not layer.calls:
                self._leave(layer)

    def settle(self) -> None:
        """No call goes on any more, also when the last one failed half way."""
        self._hosted = self.used = 0
        for layer in self._layers:
            if layer.calls:
                self._leave(layer)
            layer.calls = layer.hosted = 0

    def end(self) -> None:
        """All layers at home, and the modules as they were."""
        self.settle()
        self.shrink()
        for handle in self._handles:
            handle.remove()
        for module in self._modules:
            module.__dict__.pop(_VISITS, None)

    def _hook(self, module: nn.Module, whole: Sequence[nn.Module]) -> Iterator[Layer]:
        module.__dict__[_VISITS] = self._room.device
        inside: set[nn.Module] = set()
        for part in module.modules():
            if part in inside:
                continue
            owners: tuple[nn.Module, ...] = (part,)
            if isinstance(part, UNCALLED) or any(part is one for one in whole):
                owners = tuple(part.modules())
                inside.update(owners)
            layer = Layer(owners)
            if any(True for _ in layer.tensors()):
                self._handles.append(
                    part.register_forward_pre_hook(self._before(layer), prepend=True, with_kwargs=True)
                )
                self._handles.append(part.register_forward_hook(self._after(layer)))
                yield layer

    def _before(self, layer: Layer) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if not self._hosted and (layer.home or self._comes(layer)):
                if not layer.calls:
                    self.used += layer.nbytes
                layer.calls += 1
                return None
            if not layer.calls:
                self._leave(layer)
            self._hosted += 1
            layer.hosted += 1
            return tree_map(_mover(HOST), args), tree_map(_mover(HOST), kwargs)

        return hook

    def _after(self, layer: Layer) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if layer.hosted:
                layer.hosted -= 1
                self._hosted -= 1
                return output if self._hosted else tree_map(_mover(self._room.device), output)
            layer.calls -= 1
            if not layer.calls:
                self.used -= layer.nbytes
                if self._room.spare() < self._largest:
                    self._leave(layer)
            return None

        return hook

    def _comes(self, layer: Layer) -> bool:
        size = layer.size()
        self._largest = max(size, self._largest)
        if not self._room.make(size):
            self._room.hosted(size)
            return False
        layer.come(self._room.device)
        self.nbytes += layer.nbytes
        self._room.came()
        return True

    def _leave(self, layer: Layer) -> None:
        self.nbytes -= layer.nbytes
        layer.leave()


def _mover(device: torch.device) -> Callable[[Any], Any]:
    return lambda value: value.to(device) if isinstance(value, Tensor) else value


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes: the device that its layers visit, or where its weights are."""
    visited: torch.device | None = module.__dict__.get(_VISITS)
    return visited or next((t.device for t in (*module.parameters(), *module.buffers())), HOST)

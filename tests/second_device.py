"""A second device on the CPU, with a memory of its own: what was not brought to it cannot be computed with there.

A GPU refuses tensors of the host; a CPU that plays the device takes them and hides the mistake. This device, `toy`, is
one of PyTorch's own (its Python back end): its tensors are the CPU's, wrapped, so that its numbers are bit for bit the
CPU's, and an operation on tensors of both devices fails as it would on a GPU.
"""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_iter, tree_map

NAME = "toy"
CROSSING = ("aten::_to_copy", "aten::copy_", "aten::set_data", "aten::to", "aten::type_as")
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
"""Where a GPU takes places from the host, too."""
FACTORIES = ("empty.memory_format", "empty_strided", "arange", "arange.start", "arange.start_step")


class Toy(Tensor):
    """A tensor on the second device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Toy:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner
        _STORAGES[id(self)] = inner.untyped_storage()
        weakref.finalize(self, _STORAGES.pop, id(self), None)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket._qualified_op_name
        given = list(tree_iter((args, kwargs or {})))
        if name == "aten::_has_compatible_shallow_copy_type":
            return False
        met = args[:1] if name in INDEXING else given
        if name not in CROSSING and any(isinstance(t, Tensor) and not isinstance(t, Toy) and t.ndim for t in met):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, found some on cpu and {NAME}")
        out = func(*tree_map(_bare, args), **tree_map(_bare, kwargs or {}))
        if any(isinstance(device, torch.device) and device.type == "cpu" for device in given):
            return out
        if name == "aten::type_as" and not isinstance(args[1], Toy):
            return out
        for argument, spec in zip(args, func._schema.arguments, strict=False):
            if isinstance(argument, Tensor) and spec.alias_info is not None and spec.alias_info.is_write:
                return argument
        return tree_map(lambda t: Toy(t) if isinstance(t, Tensor) else t, out)

    def tolist(self) -> Any:
        """Its numbers."""
        return self.inner.tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Toy({self.inner!r})"

    def __format__(self, spec: str) -> str:
        return format(self.inner, spec)


_STORAGES: dict[int, Any] = {}


def held(*, collected: bool = False) -> int:
    """Bytes on the device; those of garbage not, if it is `collected`."""
    if collected:
        gc.collect()
    return sum({storage.data_ptr(): storage.nbytes() for storage in list(_STORAGES.values())}.values())


def _bare(value: Any) -> Any:
    if isinstance(value, Toy):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) else value


@functools.cache
def second_device() -> str:
    """Its name, for `torch.device`."""
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    for name in FACTORIES:
        packet, _, overload = name.partition(".")
        op = getattr(getattr(torch.ops.aten, packet), overload or "default")
        library.impl(name, _made_by(op), "PrivateUse1")
    library.impl("_copy_from", _copied, "PrivateUse1")
    second_device.library = library  # type: ignore[attr-defined]  # it holds as long as this lives
    return NAME


def _made_by(op: Any) -> Callable[..., Tensor]:
    def make(*args: Any, **kwargs: Any) -> Tensor:
        return Toy(op(*args, **{**kwargs, "device": "cpu"}))

    return make


def _copied(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _bare(target).copy_(_bare(source))
    return target

"""What packs reach for in ComfyUI's own engine, which is not here: it can be imported, and whoever uses it is told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ROOTS = frozenset({"comfy", "comfy_api", "comfy_api_nodes", "comfy_config", "comfy_execution", "comfy_extras"})


def absent(module: str, name: str) -> Any:
    """Stands for a name of a module: a class to derive from, or a function. Raises `AttributeError` for `__names__`."""
    if name.startswith("__"):
        raise AttributeError(name)
    told = f"{module}.{name} is part of ComfyUI's own engine, which is not here: use nodes of this server"
    return _Absent(name, (), {"told": told}) if name[:1].isupper() else partial(_refuse, told)


def _refuse(told: str, *_: Any, **__: Any) -> Any:
    raise NotImplementedError(told)


class _Absent(type):
    """The kind of a class that is not here, and of those that packs derive from it."""

    told: str

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(cls.told)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") or name == "told":
            raise AttributeError(name)
        raise AttributeError(cls.told)


class Finder(MetaPathFinder, Loader):
    """Finds modules of that engine which nothing stands for."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """For a module of ComfyUI's, however deep."""
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in ROOTS else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty one."""
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """In which there is everything, and nothing works."""
        module.__getattr__ = partial(absent, module.__name__)  # type: ignore[method-assign]

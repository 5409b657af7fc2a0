"""The rules of the house: imports go down only, and torch stays in the data wing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ORDER = [
    "paths", "process", "errors", "node", "events", "workflow", "registry", "files", "gguf_names",
    "header", "layouts", "values", "diffusion", "families", "detect", "listing", "pairings", "plan", "config",
    "containers", "pictures",
    "documents",
    "models", "cache", "engine", "worker",
    "database", "migrations", "jobs", "assets", "workflows", "service", "server", "comfy", "client", "cli",
]  # fmt: skip
"""Ground to roof: a module may import those before it; `api` is the node author's window on all of the data wing."""

CONTROL = [
    "paths", "process", "errors", "node", "events", "workflow", "registry", "files", "gguf_names",
    "header", "detect", "listing", "pairings", "plan", "config",
    "containers", "pictures",
    "documents",
    "jobs", "assets", "workflows", "database", "service", "server", "comfy", "client", "cli",
]  # fmt: skip

BOTH = ["layouts", "families"]
"""Of both wings: how files look is asked without torch, which is imported inside the functions that compute."""

ONLY_IN = {
    "aiohttp": ("server", "comfy", "client", "cli"),
    "diffusers": ("models", "diffusion", "families"),
    "transformers": ("models", "diffusion"),
    "ray": ("worker",),
    "graphflow_nodes": (),
}


PACKS = ROOT / "graphflow" / "comfy" / "packs"
"""In the control wing's room, but of the data wing: only a worker loads it."""


def room(path: Path) -> str:
    parts = path.relative_to(ROOT / "graphflow").with_suffix("").parts
    return parts[0]


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inner) for inner in ast.walk(node)}
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            if node.module == "graphflow":
                yield from (f"graphflow.{alias.name}" for alias in node.names)


MODULES = sorted(p for p in (ROOT / "graphflow").rglob("*.py") if "builtin" not in p.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__", "api"):
        return
    assert here in ORDER, f"{here} has no place in the order of the house"
    for name in imports(path):
        if name.startswith("graphflow.") and (there := name.split(".")[1]) in ORDER:
            assert ORDER.index(there) <= ORDER.index(here), f"{here} imports {there}, which lies above it"
            if there in ("values", "diffusion") and ORDER.index(here) < ORDER.index("models"):
                assert here in ("values", "diffusion", *BOTH), f"{here} plans, and imports {there}, which computes"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        top = name.split(".")[0]
        if top in ONLY_IN:
            assert here in ONLY_IN[top], f"{here} imports {top}"
        if top in ("torch", "numpy") and here in CONTROL and not path.is_relative_to(PACKS):
            raise AssertionError(f"{here} is in the control wing and imports {top}")


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) in BOTH], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_of_both_wings_imports_torch_inside_functions(path: Path) -> None:
    heavy = [name for name in imports(path, top_level_only=True) if name.split(".")[0] in ("torch", "diffusers")]
    assert not heavy, f"{path.name} imports {heavy[0]} where it is read, not where it computes"


def test_nothing_but_the_side_door_knows_the_side_door() -> None:
    for path in MODULES:
        if room(path) not in ("comfy", "cli"):
            assert not [name for name in imports(path) if name.startswith("graphflow.comfy")], path


def test_nodes_use_the_public_api_only() -> None:
    for path in (ROOT / "nodes").rglob("*.py"):
        for name in imports(path):
            if name.startswith("graphflow"):
                assert name.split(".")[:2] in (
                    ["graphflow", "api"], ["graphflow", "diffusion"], ["graphflow", "models"], ["graphflow_nodes"],
                ) or name.startswith("graphflow_nodes"), f"{path.name} imports {name}"  # fmt: skip


def test_the_control_wing_starts_without_torch() -> None:
    names = [f"graphflow.{p.stem}" for p in MODULES if p.parent.name == "graphflow" and room(p) in CONTROL]
    names += ["graphflow.server", "graphflow.comfy", "graphflow.detect"]
    names += [
        ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in MODULES if room(p) in BOTH and p.stem != "__init__"
    ]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

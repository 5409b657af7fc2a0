"""The page on writing nodes tells the truth: its code is a pack that loads, passes its own test and runs."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from graphflow.api import Artifact, File, Image, UnsupportedFile
from graphflow.cache import Cache
from graphflow.engine import Engine
from graphflow.events import JobDone, Made
from graphflow.files import ModelFiles
from graphflow.plan import compile
from graphflow.registry import Registry, discover, nodes_in
from tests.toys import workflow

PAGE = (Path(__file__).parents[2] / "docs" / "writing-nodes.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("pack")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("graphflow_sepia")
    sys.path.remove(str(folder))
    for module in [name for name in sys.modules if name.split(".")[0] == "graphflow_sepia"]:
        del sys.modules[module]


def registry(pack: ModuleType) -> Registry:
    return discover().with_nodes(list(nodes_in(pack, "sepia")))


def test_every_example_is_a_node(pack: ModuleType) -> None:
    types = {node.definition.type for node in nodes_in(pack, "sepia")}
    assert types == set(re.findall(r'^@node\("(\w+)"', PAGE, re.MULTILINE))
    assert registry(pack).broken == ()


def test_the_entry_point_names_the_package(pack: ModuleType) -> None:
    project = tomllib.loads(FILES["pyproject.toml"])
    assert project["project"]["entry-points"]["graphflow.nodes"] == {"sepia": pack.__name__}


def test_the_pages_own_test_passes(pack: ModuleType) -> None:
    scope: dict[str, object] = {}
    exec(FILES["tests/test_sepia.py"], scope)
    scope["test_white_becomes_brown"]()  # type: ignore[operator]


def test_the_pack_runs_in_a_workflow(pack: ModuleType, tmp_path: Path) -> None:
    finder = ModelFiles([tmp_path])
    nodes = registry(pack)
    engine = Engine(nodes, Cache(10**7), finder)
    document = workflow({
        "white": ("EmptyImage", {"width": 2, "height": 2, "color": 0xFFFFFF}),
        "black": ("EmptyImage", {"width": 2, "height": 2}),
        "brown": ("Sepia", {"image": "white.IMAGE", "strength": 1.0}),
        "grain": ("Grain", {"image": "brown.IMAGE", "layers": 0}),
        "chosen": ("FirstThatFits", {"width": 512, "small": "grain.IMAGE", "large": "black.IMAGE"}),
        "mean": ("Mean", {"image0": "chosen.0", "image1": "black.IMAGE"}),
        "palette": ("PaletteOf", {"image": "mean.IMAGE"}),
        "nearest": ("NearestInPalette", {"image": "black.IMAGE", "palette": "palette.PALETTE"}),
        "save": ("SaveMeans", {"images": "nearest.IMAGE"}),
    })  # fmt: skip
    events: list[object] = []
    engine.run(compile(document, nodes.definitions(), finder, job="j"), events.append)
    assert isinstance(events[-1], JobDone), events[-1]
    (made,) = [event for event in events if isinstance(event, Made)]
    assert (made.media_type, made.data) == ("application/json", b"[[0.5, 0.4000000059604645, 0.2750000059604645]]")


def test_files_and_lists(pack: ModuleType, tmp_path: Path) -> None:
    files, slow = (importlib.import_module(f"graphflow_sepia.{name}") for name in ("files", "slow"))
    (tmp_path / "a.txt").write_bytes("é".encode())
    (tmp_path / "b.txt").write_bytes(b"\xff")
    assert files.load_notes(File("a.txt", tmp_path / "a.txt", "")) == "é"
    with pytest.raises(UnsupportedFile, match=r"b\.txt is no text"):
        files.load_notes(File("b.txt", tmp_path / "b.txt", ""))
    dark, light = Image(torch.zeros(1, 1, 1, 3)), Image(torch.ones(1, 1, 1, 3))
    assert slow.darkest([light, dark]) is dark
    assert files.save_means(dark) == Artifact("application/json", b"[[0.0, 0.0, 0.0]]", "means")

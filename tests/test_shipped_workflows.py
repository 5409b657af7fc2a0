"""Every workflow that ships is canonical, has a place for every node, and runs with the model on board.

Those that need files of the user's own, which their tag says, are planned with a stand-in for each file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from graphflow.events import JobDone, Made
from graphflow.paths import builtin_models, workflows_folder
from graphflow.plan import compile
from graphflow.registry import discover
from graphflow.server.library import SECTIONS
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import Bench, build, files
from graphflow.workflow import Workflow, canonical, parse
from tests.comfy.coverage import StandIns

WORKFLOWS = sorted(workflows_folder().glob("*.json"))
DOCUMENTS: dict[Path, dict[str, Any]] = {path: json.loads(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
RUN = [path for path in WORKFLOWS if "own files" not in DOCUMENTS[path]["tags"]]
PLANNED = [path for path in WORKFLOWS if path not in RUN]
SETTINGS = WorkerSettings(device="cpu", dtype="float32", roots=(builtin_models(),))
FEW = 3
"""Steps of the longer samplings while they are tested: enough for a picture, and all nodes take part."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = build(SETTINGS)
    yield bench
    bench.close()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_it_is_whole(path: Path) -> None:
    document = DOCUMENTS[path]
    workflow = parse(document)
    assert json.loads(canonical(workflow)) == document
    assert set(workflow.layout) == set(workflow.nodes)
    assert workflow.name
    assert workflow.description
    assert document["tags"][0] in SECTIONS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_its_nodes_stand_apart_and_its_frames_do_not_cross(path: Path) -> None:
    document = DOCUMENTS[path]
    places = [tuple(box["position"]) for box in document["layout"].values()]
    near = [(a, b) for a, b in combinations(places, 2) if abs(a[0] - b[0]) < 260 and abs(a[1] - b[1]) < 60]
    assert near == []
    frames = [group["bounds"] for group in document["groups"]]
    for (x, y, w, h), (u, v, s, t) in combinations(frames, 2):
        assert x + w <= u or u + s <= x or y + h <= v or v + t <= y


def hurried(workflow: Workflow) -> Workflow:
    """With no more than a few steps in each sampling."""
    steps = {
        f"{id}.steps": min(FEW, value)
        for id, node in workflow.nodes.items()
        if isinstance(value := node.inputs.get("steps"), int)
    }
    return workflow.with_values(steps)


@pytest.mark.parametrize("path", RUN, ids=lambda p: p.stem)
def test_it_runs_and_its_pictures_are_not_flat(path: Path, bench: Bench, tmp_path: Path) -> None:
    workflow = parse(DOCUMENTS[path])
    workflow = workflow if "first steps" in DOCUMENTS[path]["tags"] else hurried(workflow)
    plan = compile(workflow, bench.engine.shop.definitions, files(SETTINGS), job=path.stem)
    items: list[object] = []
    bench.engine.run(plan, items.append)

    assert isinstance(items[-1], JobDone), items[-1]
    made = [item for item in items if isinstance(item, Made)]
    assert {item.node for item in made} == {plan.tasks[place].id for place in plan.outputs}
    for item in [item for item in made if item.media_type.startswith("image/")]:
        file = tmp_path / "picture"
        file.write_bytes(item.data)
        with PillowImage.open(file) as picture:
            assert min(picture.size) >= 64
            assert any(low != high for low, high in picture.convert("RGB").getextrema())


@pytest.mark.parametrize("path", PLANNED, ids=lambda p: p.stem)
def test_it_would_run_with_the_users_own_files(path: Path, tmp_path: Path) -> None:
    workflow = parse(DOCUMENTS[path])
    plan = compile(workflow, discover().definitions(), StandIns(tmp_path))
    assert {task.id for task in plan.tasks} == set(workflow.nodes)
    assert "Needs files of your own" in workflow.description

"""Every workflow that ships is canonical, has a place for every node, and runs with the model on board."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from graphflow.events import JobDone, Made
from graphflow.paths import builtin_models, workflows_folder
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import Bench, build, files
from graphflow.workflow import canonical, parse

WORKFLOWS = sorted(workflows_folder().glob("*.json"))
SETTINGS = WorkerSettings(device="cpu", dtype="float32", roots=(builtin_models(),))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = build(SETTINGS)
    yield bench
    bench.close()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_it_is_whole(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    workflow = parse(document)
    assert json.loads(canonical(workflow)) == document
    assert set(workflow.layout) == set(workflow.nodes)
    assert workflow.name
    assert workflow.description


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_it_runs_and_its_pictures_are_not_flat(path: Path, bench: Bench, tmp_path: Path) -> None:
    workflow = parse(json.loads(path.read_text(encoding="utf-8")))
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

"""Every route, event, error and setting is documented, and the examples run."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from graphflow import errors, workflows
from graphflow.config import Config
from graphflow.events import Event
from graphflow.server import create_app
from graphflow.server.routes import ROUTES
from tests.fakes import workflow, world

DOCS = Path(__file__).parents[1] / "docs"
API = (DOCS / "api.md").read_text(encoding="utf-8")
DEPLOY = (DOCS / "deploy.md").read_text(encoding="utf-8")


def rows(text: str) -> set[str]:
    """What stands in the first column of the tables, between back quotes."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def test_every_route_has_a_row() -> None:
    documented = {row for row in rows(API) if " /" in row}
    assert documented == {f"{route.method} {route.path}" for route in ROUTES}


def test_every_event_has_a_row() -> None:
    types = {kind.model_fields["type"].default for kind in get_args(get_args(Event)[0])}
    assert {row for row in rows(API) if re.fullmatch(r"(job|node)\.\w+", row)} == types


def test_every_error_is_named() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.GraphflowError)]
    codes = {kind.code for kind in [*kinds, workflows.Changed]} - {errors.GraphflowError.code}
    assert {code for code in codes if f"`{code}`" not in API} == set()


def test_every_setting_has_a_row() -> None:
    assert rows(DEPLOY) == set(Config.model_fields)


def test_the_defaults_are_those_of_the_code() -> None:
    plain = {"host", "port", "device", "dtype", "workers", "jobs_per_worker", "batching", "front_end", "history"}
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", DEPLOY, re.MULTILINE))
    assert {name: told[name] for name in plain} == {name: str(Config.model_fields[name].default) for name in plain}


@pytest.mark.timeout(120)
async def test_the_python_example_runs(tmp_path: Path, aiohttp_server: Any) -> None:
    [example] = re.findall(r"```python\n(.*?)```", API, re.DOTALL)
    async with world(tmp_path, start=False) as it:
        server = await aiohttp_server(create_app(it.service, Config(data=tmp_path)))
        (tmp_path / "workflow.json").write_text(json.dumps(workflow()))
        script = example.replace('Path("workflows/text-to-image.json")', f"Path({str(tmp_path / 'workflow.json')!r})")
        script = script.replace('{"sample.seed": 3}', '{"show.prefix": "made"}')
        script = script.replace("Path(name)", f"Path({str(tmp_path)!r}, name)")
        await asyncio.to_thread(exec, script, {"address": str(server.make_url("/"))})
    assert (tmp_path / "made_00001_.png").is_file()

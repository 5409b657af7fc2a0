"""The commands that only look: validate, plan, nodes, models, import, export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from graphflow.assets import write_whole
from graphflow.cli.files import LocalFinder, known_definitions, open_file, with_sets
from graphflow.cli.main import INVALID
from graphflow.cli.show import columns, err, out, show_problems, size
from graphflow.config import Config
from graphflow.errors import BadRequest, InvalidWorkflow, NotFound
from graphflow.files import missing
from graphflow.listing import ModelFile, listing
from graphflow.node import NodeDef
from graphflow.pairings import check_pairings
from graphflow.plan import compile
from graphflow.service import model_files, worker_settings
from graphflow.workflow import Workflow, pretty


def validate_file(config: Config, file: str, sets: Sequence[str], *, as_json: bool) -> int:
    """Tells everything that is wrong with a workflow; returns the exit code."""
    definitions = known_definitions(config)
    try:
        workflow = with_sets(open_file(file, definitions).workflow, sets)
        plan = compile(workflow, definitions, LocalFinder(config, Path(file).parent), checks=[check_pairings])
    except InvalidWorkflow as error:
        if as_json:
            _print_json({"valid": False, "problems": [p.model_dump(mode="json") for p in error.problems]})
        else:
            show_problems(error)
        return INVALID
    if as_json:
        _print_json({"valid": True, "problems": []})
    else:
        out.print(f"{file}: in order, {len(plan.tasks)} nodes would run", markup=False)
    return 0


async def plan_file(config: Config, file: str, sets: Sequence[str], *, as_json: bool) -> None:
    """Shows what would run, and what is cached."""
    from graphflow.worker.local import LocalWorker

    worker = LocalWorker(worker_settings(config, config.devices[0]))
    await worker.ready()
    try:
        workflow = with_sets(open_file(file, worker.definitions).workflow, sets)
        realm = worker.greeting.realm if worker.greeting else ""
        plan = compile(
            workflow, worker.definitions, LocalFinder(config, Path(file).parent), realm=realm, checks=[check_pairings]
        )
        cached = await worker.peek([task.key for task in plan.tasks])
    finally:
        await worker.close()
    if as_json:
        tasks = [{"node": task.id, "type": task.type, "cached": cached.get(task.key)} for task in plan.tasks]
        _print_json({"tasks": tasks, "outputs": [plan.tasks[place].id for place in plan.outputs]})
        return
    columns([(task.id, task.type, cached.get(task.key, "would run")) for task in plan.tasks])


def show_nodes(config: Config, type: str | None, *, as_json: bool) -> None:
    """All node types by category, or one in full."""
    definitions = known_definitions(config)
    if type is None:
        if as_json:
            _print_json([definition.model_dump(mode="json") for definition in definitions.values()])
            return
        found = sorted(definitions.values(), key=lambda d: (d.category, d.type))
        columns([(d.category, d.type, d.description.partition("\n")[0]) for d in found])
        return
    definition = definitions.lookup(type)
    if definition is None:
        raise NotFound(missing("among the node types", type, list(definitions)))
    if as_json:
        _print_json(definition.model_dump(mode="json"))
    else:
        _show_node(definition)


def _show_node(definition: NodeDef) -> None:
    out.print(f"{definition.type}  ({definition.category})", style="bold", markup=False)
    out.print(definition.description, markup=False)
    if definition.inputs:
        out.print("\ninputs", style="bold")
        columns([(f"  {port.name}", port.type, _field(port.field, port.required)) for port in definition.inputs])
    if definition.outputs:
        out.print("\noutputs", style="bold")
        columns([(f"  {port.name}", port.type) for port in definition.outputs])


def _field(schema: Mapping[str, Any] | None, required: bool) -> str:
    """What a value may be, in a few words."""
    if schema is None:
        return "link" if required else "link, optional"
    told = []
    if "enum" in schema:
        choices = [str(choice) for choice in schema["enum"]]
        told.append("one of " + ", ".join(choices[:8]) + (" …" if len(choices) > 8 else ""))
    if "folder" in schema:
        told.append(f"file in {schema['folder']}")
    if "minimum" in schema or "maximum" in schema:
        told.append(f"{schema.get('minimum', '')} to {schema.get('maximum', '')}")
    if "default" in schema:
        told.append(f"default {json.dumps(schema['default'])}")
    return "; ".join(told)


def show_models(config: Config, *, hashed: bool, as_json: bool) -> None:
    """Models on disk by folder, with what their headers say; with `hashed`, hashes that are not known are computed."""
    files = model_files(config)
    found = listing(files, compute=hashed)
    if as_json:
        _print_json(
            {
                folder: [{**told.model_dump(mode="json"), "path": str(file.path)} for file, told in models]
                for folder, models in found.items()
            }
        )
        return
    rows = [
        (folder, told.name, size(told.size), *_columns(told)) for folder, models in found.items() for _, told in models
    ]
    columns(rows)
    if not rows:
        err.print("no models in " + ", ".join(str(root) for root in files.roots), markup=False)


def _columns(told: ModelFile) -> tuple[str, str, str, str]:
    """Hash, kind with dtype, family, and parts with what is missing."""
    if told.problem:
        return told.sha256[:10], "", "", told.problem
    parts = ", ".join(told.parts) + (f"; lacks {', '.join(told.lacks)}" if told.lacks else "")
    return told.sha256[:10], f"{told.kind} {told.dtype}".strip(), " or ".join(told.families), parts


def import_document(config: Config, file: str, output: Path | None) -> None:
    """Writes a file's workflow in our format; what could not be carried over is told on standard error."""
    converted = open_file(file, known_definitions(config))
    for note in converted.notes:
        err.print(f"note: {note}", markup=False)
    _write(pretty(converted.workflow), output)


Exporter = Callable[[Workflow, Mapping[str, NodeDef]], Any]
"""Gives a workflow as another program's JSON data. Listed as entry points in the group `graphflow.exporters`."""


def export_document(config: Config, file: str, to: str, output: Path | None) -> None:
    """Writes a file's workflow in another program's format."""
    exporters = {entry.name: entry for entry in entry_points(group="graphflow.exporters")}
    if to not in exporters:
        raise BadRequest(f"there is no format {to!r} to write; there is {', '.join(sorted(exporters)) or 'none'}")
    definitions = known_definitions(config)
    exporter: Exporter = exporters[to].load()
    data = exporter(open_file(file, definitions).workflow, definitions)
    _write(json.dumps(data, indent=2, ensure_ascii=False) + "\n", output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        out.out(text.rstrip("\n"), highlight=False)
    else:
        write_whole(output, text.encode(), replace=True)


def _print_json(data: Any) -> None:
    out.out(json.dumps(data, indent=2, ensure_ascii=False), highlight=False)

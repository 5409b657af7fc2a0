"""Which of the published templates can be run here: the report `docs/comfyui-coverage.md`.

Run `python -m tests.comfy.coverage > docs/comfyui-coverage.md`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfyui_workflow_templates_json as templates

from graphflow.comfy.dialect import read
from graphflow.errors import InvalidWorkflow, Problem
from graphflow.node import File
from graphflow.plan import compile
from graphflow.registry import Definitions
from graphflow.workflow import SUBGRAPH, Workflow

FOLDER = Path(templates.__file__).parent / "templates"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "Stable Diffusion 1.5 and 2": ("SD1.5", "SD2", "Stable Diffusion 1.5", "Stable Diffusion 2"),
    "SDXL": ("SDXL",),
    "Stable Diffusion 3": ("SD3", "Stability"),
    "Flux2": ("FLUX.2",),
    "Flux": ("FLUX.1", "FLUX"),
    "Qwen-Image": ("Qwen-Image", "Qwen Image Edit", "Qwen"),
    "Z-Image": ("Z-Image",),
    "AuraFlow": ("AuraFlow",),
    "Lumina2": ("Lumina", "NetaYume"),
    "Chroma": ("Chroma",),
    "Sana": ("Sana",),
    "HiDream": ("HiDream",),
}
"""Families of pictures that we load, and how the names in the index begin for them; the first that fits counts."""
LATER = ("FLUX 3", "Qwen Image 2.1", "Qwen-Image-Layered")
"""Other families whose names begin like those."""
OTHER_MODELS = frozenset(
    ["TextGenerate", "LotusConditioning", "USOStyleReference", "EmptyHiDreamO1LatentImage", "HiDreamO1ReferenceImages"]
)
"""Nodes that need models of another kind beside those of the family: language models that write the prompt, depth
estimators, HiDream-O1."""


@dataclass(frozen=True)
class Template:
    """A published workflow and what became of it."""

    name: str
    group: str
    """Its part of the index."""
    media: str
    is_open: bool
    family: str
    """Of those in `FAMILIES`; empty for others."""
    workflow: Workflow
    missing: frozenset[str]
    """Node types that we lack."""
    problems: tuple[Problem, ...]
    """Why it cannot be planned although every node is known, with stand-ins for every file."""

    @property
    def is_known(self) -> bool:
        """Whether we have every node."""
        return not self.missing

    @property
    def is_planned(self) -> bool:
        """Whether it would run once its files are there."""
        return self.is_known and not self.problems


class Everything:
    """A `Finder` that has every file."""

    def find(self, folder: str, name: str) -> File:
        return File(name, Path(folder) / name, f"{folder}/{name}")

    def names(self, folder: str) -> Sequence[str]:
        return ()


def index() -> Iterator[tuple[str, dict[str, Any]]]:
    """The group and entry of every template that is published."""
    for group in json.loads((FOLDER / "index.json").read_text("utf-8")):
        for entry in group["templates"]:
            yield str(group.get("title", "")), entry


def survey(definitions: Definitions, *, families_only: bool = False) -> list[Template]:
    """Every published template, or those of the families that we load, read and planned."""
    there = [(group, entry) for group, entry in index() if _file(entry).is_file()]
    wanted = [(g, e) for g, e in there if not families_only or _family(e.get("models") or ())]
    return [_template(group, entry, definitions) for group, entry in wanted]


def _file(entry: Mapping[str, Any]) -> Path:
    return FOLDER / f"{entry['name']}.json"


def _template(group: str, entry: Mapping[str, Any], definitions: Definitions) -> Template:
    converted = read(json.loads(_file(entry).read_text("utf-8")), definitions)
    assert converted is not None, entry["name"]
    workflow = converted.workflow
    missing = frozenset(type for type in types_of(workflow) if definitions.lookup(type) is None)
    return Template(
        name=str(entry["name"]),
        group=group,
        media=str(entry.get("mediaType", "")),
        is_open=entry.get("openSource") is True,
        family=_family(entry.get("models") or ()),
        workflow=workflow,
        missing=missing,
        problems=() if missing else tuple(problems(workflow, definitions)),
    )


def types_of(workflow: Workflow) -> set[str]:
    """Types of all nodes that take part, in subgraphs, too."""
    nodes = [*workflow.nodes.values(), *(n for sub in workflow.subgraphs.values() for n in sub.nodes.values())]
    return {node.type for node in nodes if not node.type.startswith(SUBGRAPH)}


def problems(workflow: Workflow, definitions: Definitions) -> Sequence[Problem]:
    """Why it cannot be planned."""
    try:
        compile(workflow, definitions, Everything())
    except InvalidWorkflow as error:
        return error.problems
    return ()


def _family(models: Iterable[str]) -> str:
    for model in models:
        if str(model).startswith(LATER):
            return ""
        for family, starts in FAMILIES.items():
            if any(str(model).lower().startswith(start.lower()) for start in starts):
                return family
    return ""


def supported(all: Iterable[Template]) -> list[Template]:
    """Those for pictures with models of the families that we load and no other, without partners' services."""
    pictures = [one for one in all if one.is_open and one.media == "image" and one.group.startswith("Image")]
    return [one for one in pictures if one.family and not types_of(one.workflow) & OTHER_MODELS]


# --- the report ------------------------------------------------------------------------------------------------------


def report(definitions: Definitions) -> str:
    """The whole report as Markdown."""
    every = survey(definitions)
    chosen = supported(every)
    planned = sum(one.is_planned for one in chosen)
    known = sum(one.is_known for one in every)
    lines = [
        "# ComfyUI's templates, and how many run here",
        "",
        "Generated by `python -m tests.comfy.coverage` from the package `comfyui-workflow-templates-json`; do not edit.",
        "",
        f"- {len(every)} published workflows, every one of which opens; for {known} of them every node is known.",
        f"- {len(chosen)} are for pictures, with models of the families below and no other, without partners' services: "
        f"{planned} of them ({_percent(planned, len(chosen))}) plan once their model files are there.",
        "",
        "## By family",
        "",
        *_table(("Family", "Workflows", "Every node known", "Plan with their files"), _by(chosen, "family")),
        "",
        "## By part of the collection",
        "",
        *_table(("Part", "Workflows", "Every node known", "Plan with their files"), _by(every, "group")),
        "",
        "## Missing nodes that cost most",
        "",
        "Among the workflows for pictures of the families above; the last column counts those that lack nothing else.",
        "",
        *_table(("Node", "Workflows", "Alone"), _missing(chosen)[:25]),
        "",
        "Among all open workflows:",
        "",
        *_table(("Node", "Workflows", "Alone"), _missing([one for one in every if one.is_open])[:40]),
    ]
    if unplanned := [one for one in chosen if one.is_known and one.problems]:
        lines += ["", "## Known, and still not to be planned", ""]
        lines += [f"- `{one.name}`: {'; '.join(_told(p) for p in one.problems[:3])}" for one in unplanned]
    return "\n".join(lines) + "\n"


def _told(problem: Problem) -> str:
    return f"{problem.node}.{problem.input}: {problem.message}"[:160]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    head = f"| {' | '.join(heads)} |"
    return [head, f"|{' --- |' * len(heads)}", *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def _by(all: Iterable[Template], attribute: str) -> list[tuple[str, int, int, int]]:
    groups: dict[str, list[Template]] = defaultdict(list)
    for one in all:
        groups[getattr(one, attribute)].append(one)
    return [
        (name, len(those), sum(one.is_known for one in those), sum(one.is_planned for one in those))
        for name, those in sorted(groups.items())
    ]


def _missing(all: Iterable[Template]) -> list[tuple[str, int, int]]:
    counts: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for one in all:
        counts.update(one.missing)
        alone.update(one.missing if len(one.missing) == 1 else ())
    return [(f"`{type}`", count, alone[type]) for type, count in counts.most_common()]


if __name__ == "__main__":
    from graphflow.registry import discover

    print(report(discover().definitions()), end="")

"""Which of the published templates can be run here: the report `docs/comfyui-coverage.md`.

A template counts when it asks no partner's service, makes pictures, and names no model but those of our families, by what
the collection's own index says of it; it need not be in the part for pictures. Every file that it names is there, as a
stand-in of a few bytes. Run `python -m tests.comfy.coverage > docs/comfyui-coverage.md`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import comfyui_workflow_templates_json as templates
import torch
from safetensors.torch import save

from graphflow.comfy.dialect import read
from graphflow.errors import InvalidWorkflow, Problem
from graphflow.files import Finder, ModelFiles
from graphflow.node import File
from graphflow.plan import compile
from graphflow.registry import Definitions
from graphflow.workflow import SUBGRAPH, Workflow

FOLDER = Path(templates.__file__).parent / "templates"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "Stable Diffusion 1.5 and 2": ("SD1.5", "SD2", "Stable Diffusion 1.5", "Stable Diffusion 2"),
    "SDXL": ("SDXL",),
    "Stable Diffusion 3": ("SD3",),
    "Flux2": ("FLUX.2",),
    "Flux": ("FLUX.1",),
    "Qwen-Image": ("Qwen-Image", "Qwen Image Edit"),
    "Z-Image": ("Z-Image",),
    "AuraFlow": ("AuraFlow",),
    "Lumina2": ("Lumina", "NetaYume"),
    "Chroma": ("Chroma",),
    "Sana": ("Sana",),
    "HiDream": ("HiDream",),
}
"""Families of pictures that we load, and how their models' names in the index begin; the first that fits counts."""
LATER = ("Qwen-Image-Layered",)
"""Another family whose name begins like one of those."""
OTHER_NETWORKS = ("image_hidream_o1",)
"""Templates whose names begin so: the index calls HiDream-O1 HiDream, but it is another network, without latents."""
MISNAMED: Mapping[str, str] = {"image_netayume_lumina_t2i": "Lumina2"}
"""Templates that the index gives to another family than their files belong to."""
VENDORS = frozenset(["FLUX", "Stability", "Qwen", "Tencent", "None"])
"""What the index lists as models and is none."""
NO_MODEL = "none"
"""The family of what needs no model."""


@dataclass(frozen=True)
class Template:
    """A published workflow and what became of it."""

    name: str
    group: str
    """Its part of the index."""
    is_local: bool
    """It asks no partner's service."""
    makes: frozenset[str]
    """What it saves: `image`, `video`, ...; empty where the index does not say."""
    family: str
    """Of those in `FAMILIES`, or `NO_MODEL`; empty when it names another, or several."""
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


class StandIns:
    """A `Finder` that puts a stand-in of a few bytes wherever a workflow names a file, and then looks for it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._models = ModelFiles([root])

    def find(self, folder: str, name: str) -> File:
        """The stand-in, as the server would find it."""
        path = self._models.places(folder)[0].joinpath(*PurePosixPath(name.replace("\\", "/")).parts)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(save({"weight": torch.zeros(1)}))
        return self._models.find(folder, name)

    def names(self, folder: str) -> Sequence[str]:
        """Those that were named before."""
        return self._models.names(folder)


def index() -> Iterator[tuple[str, dict[str, Any]]]:
    """The group and entry of every template that is published."""
    for group in json.loads((FOLDER / "index.json").read_text("utf-8")):
        for entry in group["templates"]:
            yield str(group.get("title", "")), entry


def survey(definitions: Definitions, root: Path, *, families_only: bool = False) -> list[Template]:
    """Every published template, or those of the families that we load, read and planned; stand-ins go under `root`."""
    there = [(group, entry) for group, entry in index() if _file(entry).is_file()]
    wanted = [(g, e) for g, e in there if not families_only or (_family(e) and _is_local(e))]
    finder = StandIns(root)
    return [_template(group, entry, definitions, finder) for group, entry in wanted]


def _file(entry: Mapping[str, Any]) -> Path:
    return FOLDER / f"{entry['name']}.json"


def _template(group: str, entry: Mapping[str, Any], definitions: Definitions, finder: Finder) -> Template:
    converted = read(json.loads(_file(entry).read_text("utf-8")), definitions)
    assert converted is not None, entry["name"]
    workflow = converted.workflow
    missing = frozenset(type for type in types_of(workflow) if definitions.lookup(type) is None)
    return Template(
        name=str(entry["name"]),
        group=group,
        is_local=_is_local(entry),
        makes=frozenset(str(made.get("mediaType")) for made in entry.get("io", {}).get("outputs", ())),
        family=_family(entry),
        workflow=workflow,
        missing=missing,
        problems=() if missing else tuple(problems(workflow, definitions, finder)),
    )


def types_of(workflow: Workflow) -> set[str]:
    """Types of all nodes that take part, in subgraphs, too."""
    nodes = [*workflow.nodes.values(), *(n for sub in workflow.subgraphs.values() for n in sub.nodes.values())]
    return {node.type for node in nodes if not node.type.startswith(SUBGRAPH)}


def problems(workflow: Workflow, definitions: Definitions, finder: Finder) -> Sequence[Problem]:
    """Why it cannot be planned."""
    try:
        compile(workflow, definitions, finder)
    except InvalidWorkflow as error:
        return error.problems
    return ()


def _is_local(entry: Mapping[str, Any]) -> bool:
    return "API" not in entry.get("tags", ()) and not str(entry["name"]).startswith("api_")


def _family(entry: Mapping[str, Any]) -> str:
    """The first model's family, when all are of families of ours."""
    name = str(entry["name"])
    if name.startswith(OTHER_NETWORKS):
        return ""
    models = [str(model) for model in entry.get("models") or () if model not in VENDORS]
    if not models or name in MISNAMED:
        return MISNAMED.get(name, NO_MODEL)
    families = [_family_of(model) for model in models]
    return families[0] if all(families) else ""


def _family_of(model: str) -> str:
    if model.startswith(LATER):
        return ""
    lower = model.lower()
    return next((name for name, starts in FAMILIES.items() if lower.startswith(tuple(map(str.lower, starts)))), "")


def supported(all: Iterable[Template]) -> list[Template]:
    """Those for pictures with models of the families that we load and no other, without partners' services."""
    return [one for one in all if one.is_local and one.family and one.makes <= {"image"}]


# --- the report ------------------------------------------------------------------------------------------------------


def report(definitions: Definitions) -> str:
    """The whole report as Markdown."""
    with TemporaryDirectory() as root:
        every = survey(definitions, Path(root))
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
        "- What counts is decided by the collection's own index, whatever nodes a workflow has: it is not tagged as using "
        "a partner's service, nothing that it saves is anything but a picture, and every model that it lists is of a family that we load. "
        "So those that also estimate depth with Lotus count, although we lack that network.",
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
        "Among all workflows without partners' services:",
        "",
        *_table(("Node", "Workflows", "Alone"), _missing([one for one in every if one.is_local])[:40]),
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
    dearest = sorted(counts, key=lambda one: (-counts[one], -alone[one], one))
    return [(f"`{type}`", counts[type], alone[type]) for type in dearest]


if __name__ == "__main__":
    from graphflow.registry import discover

    print(report(discover().definitions()), end="")

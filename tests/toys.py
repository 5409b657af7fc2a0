"""A tiny world for tests of planning and walking: nodes on whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import NotFound
from graphflow.node import (
    Artifact,
    File,
    Folder,
    Lazy,
    Node,
    NodeDef,
    OutputPort,
    Port,
    References,
    Steps,
    Text,
    Value,
    node,
    node_of,
)
from graphflow.registry import Definitions
from graphflow.workflow import Workflow, parse


class Picture(Value):
    wire = "IMAGE"


class Sound(Value):
    wire = "AUDIO"


@node("One", category="toys")
def one() -> int:
    return 1


@node("Add", category="toys")
def add(a: int, b: Annotated[int, Field(ge=-100, le=100)] = 0) -> int:
    """The sum."""
    return a + b


@node("Mode", category="toys")
def choose(mode: Literal["fast", "slow"] = "fast", scale: Annotated[float, Field(gt=0)] = 1.0) -> float:
    return scale


class Both(NamedTuple):
    SUM: int
    PRODUCT: int


@node("Both", category="toys")
def both(a: int, b: int) -> Both:
    return Both(a + b, a * b)


@node("Paint", category="toys")
def paint(seed: int = 0) -> Picture:
    return Picture()


@node("Blur", category="toys")
def blur(image: Picture, radius: int = 1) -> Picture:
    return image


@node("Hear", category="toys")
def hear() -> Sound:
    return Sound()


@node("Switch", category="toys")
def switch(on: bool, when_on: Lazy[Any], when_off: Lazy[Any]) -> Steps[Any]:
    return (yield from (when_on if on else when_off))


@node("Open", category="toys")
def open_file(name: Annotated[File, Folder("checkpoints", extra=("none",))]) -> Picture:
    return Picture()


@node("Prompt", category="toys")
def prompt(text: Annotated[Text, References("embeddings", r"embedding:(\w+)")]) -> str:
    return text


@node("Dice", category="toys", volatile=True)
def dice() -> int:
    return 4


@node("Show", category="toys", output_node=True)
def show(value: Any) -> Artifact:
    return Artifact("text/plain", str(value).encode(), "shown")


@node("Old", category="toys", aliases=["Ancient"])
def old() -> int:
    return 0


def pick(given: Mapping[str, Any], linked: Mapping[str, str]) -> dict[str, str]:
    """Objects to 13, and to a sound."""
    wrong = {name: "brings bad luck" for name, value in given.items() if value == 13}
    return wrong | {name: "is too loud" for name, type in linked.items() if type == "AUDIO"}


def gather(n: int, **more: Any) -> str:
    return " ".join([str(n), *(f"{name}={value}" for name, value in sorted(more.items()))])


JUDGED: Any = ("value",)
GATHER = Node(
    NodeDef(
        type="Gather",
        title="Gather",
        category="toys",
        inputs=(Port(name="n", type="INT", field={"type": "integer", "maximum": 9, "default": 1}, judged=JUDGED),),
        more=Port(name="*", type="*", required=False, field={}),
        outputs=(OutputPort(name="STRING", type="STRING"),),
        checks=True,
        digest="1",
    ),
    gather,
    check=pick,
)
"""Takes inputs of any name, and judges itself what they are."""

TOYS: list[Node] = [
    node_of(f) for f in (one, add, choose, both, paint, blur, hear, switch, open_file, prompt, dice, show, old)
] + [GATHER]
DEFINITIONS = Definitions({toy.definition.type: toy.definition for toy in TOYS})


class Shelf:
    """Files by folder and name, with their digests."""

    def __init__(self, **folders: dict[str, str]) -> None:
        self.folders = folders

    def names(self, folder: str) -> Sequence[str]:
        return sorted(self.folders.get(folder, {}))

    def find(self, folder: str, name: str) -> File:
        if name not in self.folders.get(folder, {}):
            near = get_close_matches(name, self.names(folder))
            raise NotFound(f"there is no {name!r} in {folder}; the nearest: {near}")
        return File(name, Path(folder) / name, self.folders[folder][name])


SHELF = Shelf(checkpoints={"sd15.safetensors": "d1"}, embeddings={"bad.safetensors": "e1"})


def workflow(nodes: dict[str, Any], **more: Any) -> Workflow:
    """`{"add": ("Add", {"a": "one.INT"})}` -> a workflow; texts with a dot that name a node are links."""
    named = {}
    for id, (type_, inputs, *mode) in nodes.items():
        linked = {
            name: {"from": value} if isinstance(value, str) and value.rpartition(".")[0] in nodes else value
            for name, value in inputs.items()
        }
        named[id] = {"type": type_, "inputs": linked, **({"mode": mode[0]} if mode else {})}
    return parse({"graphflow": 1, "nodes": named, **more})

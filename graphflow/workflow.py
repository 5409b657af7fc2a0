"""The workflow document: one JSON format for the editor, the API, the gallery and sharing.

`parse` reads a document and keeps every key it does not know; `canonical` writes it, the same bytes for the same
content. Other programs' formats are turned into this one at the door: see `read`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graphflow.errors import BadRequest, InvalidWorkflow, Problem, TooLarge
from graphflow.node import NodeDef

VERSION = 1
MAX_NODES = 50_000
MAX_DEPTH = 64
"""Of nesting in the JSON text: a recursive reader must not be led to its limits."""
SUBGRAPH = "subgraph/"
"""A node of type `subgraph/NAME` stands for the subgraph NAME."""
OUTER = "$inputs"
"""Inside a subgraph, `{"from": "$inputs.NAME"}` takes what is linked to the outer input NAME."""

Mode = Literal["bypass", "mute"]


class Source(NamedTuple):
    """Where a link comes from."""

    node: str
    output: str
    """Its name, or its index in decimal."""


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class WorkflowNode(_Open):
    """One node: its type and, for each input, a literal or a link `{"from": "node.OUTPUT"}`."""

    type: str = Field(min_length=1, max_length=500)
    inputs: dict[str, Any] = {}
    title: str | None = None
    mode: Mode | None = None
    frozen: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Key of a kept result: the node gives that, whatever its inputs say."""

    def links(self) -> Iterator[tuple[str, Source]]:
        """Each linked input with its source."""
        for name, value in self.inputs.items():
            if (source := link(value)) is not None:
                yield name, source


class SubgraphInput(_Open):
    """An input of a subgraph, as the node that stands for it has it."""

    name: str
    type: str = "*"
    default: Any = None


class SubgraphOutput(_Open):
    """An output of a subgraph, and the inner output that it shows."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    name: str
    type: str = "*"
    source: str = Field(alias="from")


class Subgraph(_Open):
    """A part of a workflow under one name; it is inlined when the plan is made."""

    inputs: tuple[SubgraphInput, ...] = ()
    outputs: tuple[SubgraphOutput, ...] = ()
    nodes: dict[str, WorkflowNode] = {}
    layout: dict[str, Any] = {}


class Workflow(_Open):
    """A whole document. `layout` and `groups` are the editor's: the engine does not look at them."""

    graphflow: Literal[1] = 1
    name: str = ""
    description: str = ""
    nodes: dict[str, WorkflowNode] = {}
    layout: dict[str, Any] = {}
    groups: list[Any] = []
    subgraphs: dict[str, Subgraph] = {}

    def with_values(self, values: Mapping[str, Any]) -> Workflow:
        """The same with some inputs set: `{"sample.steps": 30}`. Raises `InvalidWorkflow` for unknown nodes."""
        nodes = dict(self.nodes)
        problems = []
        for target, value in values.items():
            id, _, name = target.rpartition(".")
            if id in nodes and name:
                nodes[id] = nodes[id].model_copy(update={"inputs": {**nodes[id].inputs, name: value}})
            else:
                message = f"no node {id!r} to set {target!r} on: write NODE.INPUT, with the id of a node"
                problems.append(Problem(node=id or None, input=name or None, message=message, code="unknown_node"))
        if problems:
            raise InvalidWorkflow(problems)
        return self.model_copy(update={"nodes": nodes})


def link(value: Any) -> Source | None:
    """The source that an input's value names, or None when the value is a literal.

    >>> link({"from": "load.v2.CLIP"})
    Source(node='load.v2', output='CLIP')
    """
    if not (isinstance(value, dict) and len(value) == 1 and isinstance(value.get("from"), str)):
        return None
    node, _, output = value["from"].rpartition(".")
    return Source(node, output)


def parse(document: Any) -> Workflow:
    """A workflow from JSON data. Raises `InvalidWorkflow` with every fault of shape at once."""
    if not isinstance(document, dict):
        raise BadRequest("a workflow is a JSON object with 'graphflow': 1 and 'nodes'")
    version = document.get("graphflow")
    if isinstance(version, int) and version > VERSION:
        raise BadRequest(f"this workflow has version {version}; this GraphFlow reads up to {VERSION}: update it")
    if version != VERSION:
        raise BadRequest("this is no GraphFlow workflow: it has no key 'graphflow' with the value 1")
    if isinstance(nodes := document.get("nodes"), dict) and len(nodes) > MAX_NODES:
        raise TooLarge(f"the workflow has {len(nodes)} nodes; at most {MAX_NODES} are taken")
    try:
        return Workflow.model_validate(document)
    except ValidationError as error:
        raise InvalidWorkflow([_shape_problem(fault) for fault in error.errors()]) from error


def _shape_problem(fault: Any) -> Problem:
    path = [str(part) for part in fault["loc"]]
    node = path[1] if len(path) > 1 and path[0] == "nodes" else None
    input = path[3] if node and len(path) > 3 and path[2] == "inputs" else None
    message = f"{'.'.join(path) or 'workflow'}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    return Problem(node=node, input=input, message=message, code="malformed")


def load_json(data: bytes | str, *, limit: int = 32 * 2**20, lenient: bool = False) -> Any:
    """JSON from an untrusted text: no NaN, no endless nesting, no double keys' surprises.

    `lenient` takes the NaN and Infinity that other programs' files hold as 0. Raises `BadRequest` that says where the text is wrong, or `TooLarge`.
    """
    if len(data) > limit:
        raise TooLarge(f"the text has {len(data)} bytes; at most {limit} are taken")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise BadRequest(f"the text is not UTF-8: {error.reason} at byte {error.start}") from error
    if _depth(text) > MAX_DEPTH:
        raise BadRequest(f"the JSON is nested deeper than {MAX_DEPTH} levels")
    try:
        constant = _zero if lenient else _no_constant
        found = json.loads(text, parse_constant=constant, parse_int=_int, parse_float=_float)
        if _HALF.search(text):
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise BadRequest(f"{half} is half of a character: write both halves, or take it out") from error
    except json.JSONDecodeError as error:
        raise BadRequest(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error


_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""What may be one half of a character that UTF-16 writes as two."""
_NOT_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[^][{}]+', re.DOTALL)


def _depth(text: str) -> int:
    """How deep brackets nest, those inside strings left out."""
    steps = (1 if bracket in "[{" else -1 for bracket in _NOT_BRACKETS.sub("", text))
    return max(accumulate(steps), default=0)


def _zero(name: str) -> float:
    return 0.0


def _no_constant(name: str) -> float:
    raise BadRequest(f"{name} is no JSON number: write a finite one")


def _int(digits: str) -> int:
    if len(digits) > 40:
        raise BadRequest(f"the number {digits[:20]}… has {len(digits)} digits: write a smaller one")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadRequest(f"the number {digits[:40]} is too large: write a finite one")
    return number


def canonical(workflow: Workflow) -> str:
    """The document as text: the same content gives the same characters, on any machine."""
    data = workflow.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return json.dumps({"graphflow": VERSION, **data}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def pretty(workflow: Workflow) -> str:
    """The document as text for people: indented, in the order it has."""
    data = workflow.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return json.dumps({"graphflow": VERSION, **data}, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the document, as published."""
    return Workflow.model_json_schema(by_alias=True)


# --- other programs' formats -----------------------------------------------------------------------------------------


class Converted(NamedTuple):
    """A workflow from another format, and what could not be carried over, a sentence each."""

    workflow: Workflow
    notes: tuple[str, ...]


Dialect = Callable[[Any, Mapping[str, NodeDef]], Converted | None]
"""Given JSON data and the node definitions at hand, the workflow in it; None when the data is not in this dialect.
Listed as entry points in the group `graphflow.dialects`."""


def read(document: Any, definitions: Mapping[str, NodeDef] | None = None) -> Converted:
    """A workflow from JSON data in our format or any dialect that is installed.

    A dialect that stores values without their names needs the `definitions`; without them it does what it can. Raises `BadRequest` when nobody knows the format, `InvalidWorkflow` when it is ours and faulty.
    """
    if isinstance(document, dict) and "graphflow" in document:
        return Converted(parse(document), ())
    for entry in sorted(entry_points(group="graphflow.dialects"), key=lambda entry: entry.name):
        dialect: Dialect = entry.load()
        if (converted := dialect(document, definitions or {})) is not None:
            return converted
    raise BadRequest("this is no workflow: expected GraphFlow's format ('graphflow': 1), or one of another program")

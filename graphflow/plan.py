"""From a workflow to a Plan: checked, ordered, keyed, pure data; or every Problem at once.

`compile` inlines subgraphs, lets muted and bypassed nodes go, keeps what the outputs need, checks each of those nodes
against its definition, orders them and gives each a key that says what it computes. The cost is linear in nodes and
links, and nothing recurses.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.errors import GraphflowError, InvalidWorkflow, NotFound, Problem
from graphflow.files import Finder
from graphflow.node import ANY, File, NodeDef, OutputPort, Port, Text, Value, fits
from graphflow.registry import Definitions
from graphflow.workflow import OUTER, SUBGRAPH, Source, Subgraph, Workflow, WorkflowNode, link

if TYPE_CHECKING:
    import networkx as nx

MAX_NESTING = 32
"""Of subgraphs inside subgraphs."""


@dataclass(frozen=True)
class Ref:
    """An output of another task of the plan."""

    task: int
    """Its place in `Plan.tasks`."""
    output: int


@dataclass(frozen=True)
class Task:
    """One node to run, with everything that is known before anything runs."""

    id: str
    """The node's id; inside a subgraph `outer:inner`."""
    type: str
    key: str
    """sha256 of what it computes: type, code, literals, files' contents and the parents' keys."""
    inputs: tuple[tuple[str, Any], ...]
    """By name: a `Ref`, or a literal as its port wants it (`File` and `Text` for names of files)."""
    lazy: frozenset[str] = frozenset()
    """Inputs that are computed only when the node asks."""
    title: str = ""
    frozen: bool = False
    """Never computed: what is kept under its key is its result."""

    def refs(self, *, eager: bool = False) -> list[Ref]:
        """What it takes from other tasks; with `eager`, without the lazy inputs."""
        return [v for n, v in self.inputs if isinstance(v, Ref) and not (eager and n in self.lazy)]


@dataclass(frozen=True)
class Plan:
    """What a worker walks."""

    tasks: tuple[Task, ...]
    """In an order in which every task comes after those it takes from."""
    outputs: tuple[int, ...]
    """Places of the tasks whose results are wanted."""
    job: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What goes into pictures beside the workflow, by key; in no key, since it changes no result."""


@dataclass(frozen=True)
class FlatNode:
    """A node after subgraphs are inlined: links name flat ids."""

    type: str
    inputs: dict[str, Any]
    """A literal, or a `Source`."""
    mode: str | None
    title: str
    aside: frozenset[str] = frozenset()
    """Inputs whose source is muted, or bypassed without anything to pass on."""
    frozen: str | None = None
    """Key of its kept result, see `WorkflowNode.frozen`."""


Check = Callable[[Mapping[str, "Checked"]], Iterable[Problem]]
"""A further rule over all needed nodes, for example that model families go together."""


@dataclass(frozen=True)
class Checked:
    """A needed node whose own inputs are in order."""

    definition: NodeDef
    inputs: Mapping[str, Any]
    """A `Source` (of a checked node), or a literal as its port wants it."""


@dataclass
class _Compiler:
    """The state of one compilation: nodes on the way from document to tasks, and the problems met."""

    definitions: Definitions
    finder: Finder
    key_of: Callable[[Value], str] | None = None
    problems: list[Problem] = field(default_factory=list)

    def report(self, node: str | None, input: str | None, code: str, message: str, **details: Any) -> None:
        """Notes one more reason why the workflow cannot run."""
        self.problems.append(Problem(node=node, input=input, code=code, message=message, details=details))


def compile(
    workflow: Workflow,
    definitions: Definitions,
    finder: Finder,
    *,
    targets: Sequence[str] | None = None,
    checks: Sequence[Check] = (),
    realm: str = "",
    nonce: str = "",
    job: str = "",
    key_of: Callable[[Value], str] | None = None,
) -> Plan:
    """The plan of a workflow. Raises `InvalidWorkflow` with every problem at once.

    `targets` are ids of nodes to run instead of the output nodes. `realm` says what else decides a result (device,
    dtype, version) and enters every key; `nonce` enters the keys of volatile nodes. `key_of` gives the key of a
    `Value` that stands for a literal, as in nodes that grew at run time.
    """
    compiler = _Compiler(definitions, finder, key_of)
    flat = _flatten(compiler, workflow)
    flat = _without_modes(compiler, flat)
    wanted = _wanted(compiler, flat, targets)
    flat = {id: replace(node, inputs={}) if node.frozen else node for id, node in flat.items()}  # they need nothing
    needed = _needed(flat, wanted)
    graph = _graph(flat, needed)
    order = _order(compiler, graph, needed)
    checked = {id: node for id in needed if (node := _check_node(compiler, flat, id)) is not None}
    for check in checks if not compiler.problems else ():
        compiler.problems.extend(check(checked))
    if compiler.problems:
        raise InvalidWorkflow(compiler.problems)
    tasks = _tasks(checked, order, flat, key_of, realm, nonce)
    place = {task.id: i for i, task in enumerate(tasks)}
    return Plan(tuple(tasks), tuple(place[id] for id in wanted), job)


def active(workflow: Workflow, definitions: Definitions) -> dict[str, FlatNode]:
    """The nodes that take part, subgraphs inlined under `outer:inner`, without the muted and bypassed ones.

    Raises `InvalidWorkflow` when subgraphs are missing or contain themselves; nothing else is checked.
    """
    compiler = _Compiler(definitions, _NO_FILES)
    flat = _without_modes(compiler, _flatten(compiler, workflow))
    if compiler.problems:
        raise InvalidWorkflow(compiler.problems)
    return flat


class _NoFiles:
    """For those who ask for no file."""

    def find(self, folder: str, name: str) -> File:
        raise NotFound(f"there is no {name!r} in {folder}")

    def names(self, folder: str) -> Sequence[str]:
        return ()


_NO_FILES = _NoFiles()


# --- subgraphs -------------------------------------------------------------------------------------------------------


def _flatten(compiler: _Compiler, workflow: Workflow) -> dict[str, FlatNode]:
    """Every node, those of subgraphs under `outer:inner`; links are resolved through the subgraphs' borders."""
    flat: dict[str, FlatNode] = {}
    outputs: dict[str, dict[str, Any]] = {}  # id of a node that stands for a subgraph -> output -> what it shows
    pending: deque[_Level] = deque([("", workflow.nodes, {}, ())])
    while pending:
        prefix, nodes, outer, path = pending.popleft()
        for id, node in nodes.items():
            inputs = {name: _resolved(value, prefix, outer) for name, value in node.inputs.items()}
            inputs = {name: value for name, value in inputs.items() if value is not _UNLINKED}
            if not node.type.startswith(SUBGRAPH) or node.mode == "mute":
                frozen = node.frozen if node.mode is None else None
                flat[prefix + id] = FlatNode(node.type, inputs, node.mode, node.title or "", frozen=frozen)
                continue
            if node.frozen:
                message = "a subgraph cannot be frozen as a whole: thaw it, look inside, and freeze a node there"
                compiler.report(prefix + id, None, "frozen_subgraph", message)
            name = node.type.removeprefix(SUBGRAPH)
            subgraph = workflow.subgraphs.get(name)
            if subgraph is None:
                near = get_close_matches(name, workflow.subgraphs, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ": add it under 'subgraphs'"
                compiler.report(prefix + id, None, "unknown_type", f"there is no subgraph {name!r}{hint}")
            elif name in path or len(path) >= MAX_NESTING:
                message = f"subgraph {name!r} contains itself: {' → '.join((*path, name))}"
                compiler.report(prefix + id, None, "cycle", message)
            elif node.mode == "bypass":
                outputs[prefix + id] = _passed_on(subgraph, inputs)
            else:
                inner = f"{prefix}{id}:"
                outer_inputs = _outer_inputs(subgraph, inputs)
                outputs[prefix + id] = _inner_outputs(subgraph, inner, outer_inputs)
                pending.append((inner, subgraph.nodes, outer_inputs, (*path, name)))
    return {id: _through_borders(node, outputs) for id, node in flat.items()} if outputs else flat


_UNLINKED = object()
_Level = tuple[str, Mapping[str, WorkflowNode], dict[str, Any], tuple[str, ...]]
"""Prefix of ids, nodes, values of the outer inputs, and names of the subgraphs entered."""


def _resolved(value: Any, prefix: str, outer: Mapping[str, Any]) -> Any:
    source = link(value)
    if source is None:
        return value
    if source.node == OUTER:
        return outer.get(source.output, _UNLINKED)
    return Source(prefix + source.node, source.output)


def _outer_inputs(subgraph: Subgraph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {port.name: port.default for port in subgraph.inputs if port.default is not None}
    return {**defaults, **inputs}


def _inner_outputs(subgraph: Subgraph, prefix: str, outer: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for index, port in enumerate(subgraph.outputs):
        node, _, output = port.source.rpartition(".")
        shown = outer.get(output, _UNLINKED) if node == OUTER else Source(prefix + node, output)
        named[port.name] = named[str(index)] = shown
    return named


def _passed_on(subgraph: Subgraph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a bypassed subgraph shows at its outputs: for each the input of the same type, at the same place first."""
    shown: dict[str, Any] = {}
    for index, output in enumerate(subgraph.outputs):
        same_place = subgraph.inputs[index : index + 1]
        fitting = [port for port in (*same_place, *subgraph.inputs) if port.type == output.type]
        passed = next((inputs[port.name] for port in fitting if port.name in inputs), _UNLINKED)
        shown[output.name] = shown[str(index)] = passed
    return shown


def _through_borders(node: FlatNode, outputs: Mapping[str, Mapping[str, Any]]) -> FlatNode:
    """Links to a node that stands for a subgraph lead to the inner node instead."""
    inputs, lost = dict(node.inputs), set(node.aside)
    for name, value in node.inputs.items():
        source, seen = value, set()
        while isinstance(source, Source) and source.node in outputs and source not in seen:
            seen.add(source)
            inner = outputs[source.node].get(source.output)
            if inner is None:
                break
            source = inner
        inputs[name] = source
        if source is _UNLINKED:
            del inputs[name]
            lost.add(name)
    return replace(node, inputs=inputs, aside=frozenset(lost))


# --- muted and bypassed nodes ----------------------------------------------------------------------------------------


def _without_modes(compiler: _Compiler, flat: dict[str, FlatNode]) -> dict[str, FlatNode]:
    """Without the muted and bypassed nodes. A bypassed node's outputs become its inputs of the same type."""
    aside = {id: node.mode for id, node in flat.items() if node.mode}
    if not aside:
        return flat
    kept = {}
    for id, node in flat.items():
        if id in aside:
            continue
        inputs, lost = {}, set(node.aside)
        for name, value in node.inputs.items():
            source = _past(compiler, flat, value) if isinstance(value, Source) else value
            if source is None:
                lost.add(name)
            else:
                inputs[name] = source
        kept[id] = replace(node, inputs=inputs, aside=frozenset(lost))
    return kept


def _past(compiler: _Compiler, flat: Mapping[str, FlatNode], source: Source) -> Any:
    """The source behind bypassed nodes, or the literal; None when it leads to a muted one or to nothing."""
    for _ in range(len(flat) + 1):
        node = flat.get(source.node)
        if node is None or node.mode is None:
            return source
        definition = compiler.definitions.lookup(node.type)
        if node.mode == "mute" or definition is None:
            return None
        found = _bypass(definition, node, source)
        if not isinstance(found, Source):
            return found
        source = found
    return source  # a ring of bypassed nodes: reported as a cycle where it is entered


def _bypass(definition: NodeDef, node: FlatNode, source: Source) -> Any:
    """What a bypassed node passes on for one of its outputs: the input of the same type, at the same place first."""
    index = _output_index(definition, source.output)
    if index is None:
        return None
    wanted = definition.outputs[index].type
    fitting = [port for port in definition.inputs if port.type == wanted and port.name in node.inputs]
    same_place = definition.inputs[index : index + 1]
    first = [port for port in same_place if port in fitting]
    return node.inputs[(first or fitting)[0].name] if fitting else None


# --- what is wanted and needed, in which order -----------------------------------------------------------------------


def _wanted(compiler: _Compiler, flat: Mapping[str, FlatNode], targets: Sequence[str] | None) -> list[str]:
    """Ids of the nodes whose results are wanted."""
    if targets is not None:
        for id in targets:
            if id not in flat:
                near = get_close_matches(id, flat, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                compiler.report(id, None, "unknown_node", f"there is no node {id!r} to run to{hint}")
        return [id for id in dict.fromkeys(targets) if id in flat]
    used = {source.node for node in flat.values() for source in node.inputs.values() if isinstance(source, Source)}
    wanted = []
    for id, node in flat.items():
        definition = compiler.definitions.lookup(node.type)
        if definition.output_node if definition else id not in used:
            wanted.append(id)
    if not wanted and not compiler.problems:
        message = "nothing would come out: add an output node, for example SaveImage, and link it"
        compiler.report(None, None, "no_output", message)
    return wanted


def _needed(flat: Mapping[str, FlatNode], wanted: Sequence[str]) -> list[str]:
    """The wanted nodes and all they take from, in the order of the document."""
    seen, pending = set(wanted), list(wanted)
    while pending:
        for source in flat[pending.pop()].inputs.values():
            if isinstance(source, Source) and source.node in flat and source.node not in seen:
                seen.add(source.node)
                pending.append(source.node)
    return [id for id in flat if id in seen]


def _graph(flat: Mapping[str, FlatNode], needed: Sequence[str]) -> nx.DiGraph:
    import networkx as nx  # a server answers before it needs this, and it takes its time to load

    graph = nx.DiGraph()
    graph.add_nodes_from(needed)
    for id in needed:
        for source in flat[id].inputs.values():
            if isinstance(source, Source) and source.node in flat:
                graph.add_edge(source.node, id)
    return graph


def _order(compiler: _Compiler, graph: nx.DiGraph, needed: Sequence[str]) -> list[str]:
    """The needed nodes, each after those it takes from; a cycle is reported with its path."""
    import networkx as nx

    try:
        return list(nx.topological_sort(graph))
    except nx.NetworkXUnfeasible:
        ring = [source for source, _ in nx.find_cycle(graph)]
        message = f"the links run in a circle: {' → '.join([*ring, ring[0]])}; take one of them away"
        compiler.report(ring[0], None, "cycle", message, path=ring)
        return list(needed)


# --- one node --------------------------------------------------------------------------------------------------------


def _check_node(compiler: _Compiler, flat: Mapping[str, FlatNode], id: str) -> Checked | None:
    """The node with its literals as its ports want them; what is wrong with it is reported."""
    node = flat[id]
    definition = compiler.definitions.lookup(node.type)
    if definition is None:
        near = get_close_matches(node.type, compiler.definitions, n=3)
        hint = f"; the nearest: {', '.join(near)}" if near else ""
        compiler.report(id, None, "unknown_type", f"there is no node type {node.type!r} here{hint}", nearest=near)
        return None
    if node.frozen:
        return Checked(definition, {})
    inputs: dict[str, Any] = {}
    for port in (*definition.inputs, *_further(definition, node)):
        value = node.inputs.get(port.name, _UNLINKED)
        if value is _UNLINKED or (value is None and port.field is None):
            value = _default(compiler, id, node, port)
        elif isinstance(value, Source):
            value = value if _check_link(compiler, flat, id, port, value) else _UNLINKED
        else:
            value = _literal(compiler, id, port, value)
        if value is not _UNLINKED:
            inputs[port.name] = value
    return Checked(definition, inputs)


def _further(definition: NodeDef, node: FlatNode) -> list[Port]:
    """Ports for inputs that the definition does not name, and takes all the same."""
    ports = definition.further(node.inputs)
    return [port for port in ports if port.field is not None or isinstance(node.inputs[port.name], Source | Value)]


def _default(compiler: _Compiler, id: str, node: FlatNode, port: Port) -> Any:
    """The value of an input that nobody gave."""
    if port.field is not None and "default" in port.field:
        return _literal(compiler, id, port, port.field["default"])
    if not port.required:
        return _UNLINKED
    if port.name in node.aside:
        message = f"its source is muted or passes no {port.type} on: link another one, or switch that node on"
        compiler.report(id, port.name, "missing_input", message)
    elif port.field is None:
        kind = " or ".join(port.type.split("|"))
        article = "an" if kind[0] in "AEIOU" else "a"
        example = _maker(compiler.definitions, port)
        message = f"nothing is linked: connect {article} {kind}" + (f", for example from {example}" if example else "")
        compiler.report(id, port.name, "missing_input", message)
    else:
        compiler.report(id, port.name, "missing_input", "no value: enter one, or link one")
    return _UNLINKED


def _maker(definitions: Definitions, port: Port) -> str:
    """A node type that gives what a port wants, for the remedy in a message."""
    wanted = set(port.type.split("|"))
    makers = (d.type for d in definitions.values() if not d.deprecated and any(o.type in wanted for o in d.outputs))
    return next(makers, "")


def _output_index(definition: NodeDef, output: str) -> int | None:
    for index, port in enumerate(definition.outputs):
        if port.name == output:
            return index
    return int(output) if output.isdecimal() and int(output) < len(definition.outputs) else None


def _check_link(compiler: _Compiler, flat: Mapping[str, FlatNode], id: str, port: Port, source: Source) -> bool:
    """Whether a link leads to an output that fits; what is wrong with it is reported."""
    if source.node not in flat:
        near = get_close_matches(source.node, flat, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        compiler.report(id, port.name, "unknown_source", f"it is linked to {source.node!r}, which is not there{hint}")
        return False
    definition = compiler.definitions.lookup(flat[source.node].type)
    if definition is None:
        return False  # reported at that node
    index = _output_index(definition, source.output)
    if index is None:
        names = ", ".join(output.name for output in definition.outputs) or "none"
        message = f"{definition.type} has no output {source.output!r}; it has {names}"
        compiler.report(id, port.name, "unknown_output", message)
        return False
    output: OutputPort = definition.outputs[index]
    if "link" not in port.judged and not fits(output.type, port.type):
        message = f"it takes {port.type}, and {source.node}.{output.name} gives {output.type}"
        compiler.report(id, port.name, "wrong_type", message, expected=port.type, found=output.type)
        return False
    return True


# --- literals --------------------------------------------------------------------------------------------------------


def _literal(compiler: _Compiler, id: str, port: Port, value: Any) -> Any:
    """A literal as its port wants it; what is wrong with it is reported and gives `_UNLINKED`."""
    if isinstance(value, Value):
        return value
    try:
        if port.field is None and port.type != ANY:
            raise ValueError(f"it takes a link that gives {port.type}, not the value {_short(value)}")
        if port.field is None:
            return value
        return fitted(port.schema_to_fit or {}, value, compiler.finder)
    except NotFound as error:
        compiler.report(id, port.name, "missing_file", error.message, **_nearest(compiler, port, value))
    except GraphflowError as error:
        compiler.report(id, port.name, error.code, error.message)
    except ValueError as error:
        details = {"nearest": near} if (near := _near_choices(port, value)) else {}
        compiler.report(id, port.name, "invalid_value", str(error), **details)
    return _UNLINKED


def _nearest(compiler: _Compiler, port: Port, value: Any) -> dict[str, Any]:
    names = compiler.finder.names(port.field["folder"]) if port.field and "folder" in port.field else ()
    return {"nearest": get_close_matches(str(value), names, 3, 0.4)}


def _near_choices(port: Port, value: Any) -> list[str]:
    choices = (port.field or {}).get("enum", ())
    return get_close_matches(str(value), [str(choice) for choice in choices], 3, 0.4)


def fitted(schema: Mapping[str, Any], value: Any, finder: Finder) -> Any:
    """The literal as a port's schema wants it, files found. Raises `ValueError` that says what it must be, or
    `NotFound` with the nearest names."""
    if "folder" in schema:
        if not isinstance(value, str):
            raise ValueError(f"{_short(value)} is no file name: choose a file")
        if value in schema.get("extra", ()):
            return File(value, Path(), value)
        return finder.find(schema["folder"], value)
    if "enum" in schema:
        return _choice(schema["enum"], value)
    if "anyOf" in schema:
        return _any_of(schema["anyOf"], value, finder)
    match schema.get("type"):
        case "integer":
            return _in_range(schema, _integer(value))
        case "number":
            return _in_range(schema, _number(value))
        case "string":
            return _string(schema, value, finder)
        case "boolean" if not isinstance(value, bool):
            raise ValueError(f"{_short(value)} is neither true nor false")
        case "array" if not isinstance(value, list):
            raise ValueError(f"{_short(value)} is no list")
        case "object" if not isinstance(value, dict):
            raise ValueError(f"{_short(value)} is no object")
    return value


def _any_of(schemas: Sequence[Mapping[str, Any]], value: Any, finder: Finder) -> Any:
    faults = []
    for schema in schemas:
        if schema.get("type") == "null":
            if value is None:
                return None
            continue
        try:
            return fitted(schema, value, finder)
        except ValueError as error:
            faults.append(str(error))
    raise ValueError("; ".join(faults) or f"{_short(value)} does not fit")


def _choice(choices: Sequence[Any], value: Any) -> Any:
    if value in choices:
        return value
    near = get_close_matches(str(value), [str(choice) for choice in choices], 3, 0.4)
    listed = ", ".join(map(_short, near or choices[:8])) + (" …" if not near and len(choices) > 8 else "")
    raise ValueError(f"{_short(value)} is not in the list; {'the nearest' if near else 'it has'}: {listed}")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value != int(value):
        raise ValueError(f"{_short(value)} is no whole number")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_short(value)} is no number")
    return float(value)


def _in_range(schema: Mapping[str, Any], value: float) -> float:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    if low <= value <= high and above < value < below:
        return value
    if math.isinf(low) and math.isinf(high):
        raise ValueError(f"{value} is out of range: it must be above {above} and below {below}")
    if math.isinf(high):
        raise ValueError(f"{value} is too small: it must be at least {low}")
    if math.isinf(low):
        raise ValueError(f"{value} is too large: it must be at most {high}")
    raise ValueError(f"{value} is out of range: it must be between {low} and {high}")


def _string(schema: Mapping[str, Any], value: Any, finder: Finder) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_short(value)} is no text")
    if len(value) > schema.get("maxLength", math.inf):
        raise ValueError(f"the text has {len(value)} characters; at most {schema['maxLength']} are taken")
    references = schema.get("references")
    return _with_files(value, references, finder) if references else value


def _with_files(text: str, references: Mapping[str, str], finder: Finder) -> Text:
    """The text with the files that it names; names that lead nowhere stay text."""
    files = {}
    for name in re.findall(references["pattern"], text):
        try:
            files[name] = _first_of(finder, references["folder"], name)
        except NotFound:
            continue
    return Text(text, files)


def _first_of(finder: Finder, folder: str, name: str) -> File:
    names = set(finder.names(folder))
    for candidate in (name, *(name + suffix for suffix in (".safetensors", ".pt", ".bin"))):
        if candidate in names:
            return finder.find(folder, candidate)
    deeper = [there for there in sorted(names) if there.rpartition("/")[2].rpartition(".")[0] == name]
    return finder.find(folder, deeper[0] if deeper else name)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


# --- keys ------------------------------------------------------------------------------------------------------------


def _tasks(
    checked: Mapping[str, Checked],
    order: Sequence[str],
    flat: Mapping[str, FlatNode],
    key_of: Callable[[Value], str] | None,
    realm: str,
    nonce: str,
) -> list[Task]:
    place: dict[str, int] = {}
    tasks: list[Task] = []
    for id in order:
        node = checked[id]
        inputs, keyed = [], {}
        for name, value in node.inputs.items():
            if isinstance(value, Source):
                parent = tasks[place[value.node]]
                index = _output_index(checked[value.node].definition, value.output) or 0
                inputs.append((name, Ref(place[value.node], index)))
                keyed[name] = ["link", parent.key, index]
            else:
                inputs.append((name, value))
                keyed[name] = _key_part(value, key_of)
        salt = f"{nonce}:{id}" if node.definition.volatile else ""
        ports = (*node.definition.inputs, *node.definition.further(node.inputs))
        lazy = frozenset(port.name for port in ports if port.lazy)
        frozen = flat[id].frozen
        key = frozen or digest([realm, salt, node.definition.type, node.definition.digest, keyed])
        place[id] = len(tasks)
        tasks.append(Task(id, node.definition.type, key, tuple(inputs), lazy, flat[id].title, bool(frozen)))
    return tasks


def _key_part(value: Any, key_of: Callable[[Value], str] | None) -> Any:
    if isinstance(value, File):
        return ["file", value.digest]
    if isinstance(value, Text):
        return ["text", str(value), {name: file.digest for name, file in sorted(value.files.items())}]
    if isinstance(value, Value):
        if key_of is None:
            raise TypeError("a Value stands for a literal, and nobody said how to key it")
        return ["value", key_of(value)]
    return ["literal", value]


def digest(parts: Any) -> str:
    """sha256 of JSON data."""
    return hashlib.sha256(_CANONICAL.encode(parts).encode()).hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)

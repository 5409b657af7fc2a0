"""A prompt checked as ComfyUI checks it: each output with all it needs, told in its words, types and shapes.

Outputs are independent: those whose branch is in order run, the others are reported beside them. What ComfyUI's rules
let pass, our planner still checks; its problems are told in the same shape (`planning_errors`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphflow.comfy.object_info import Names, choices_of, group_of, input_config, is_required
from graphflow.comfy.prompt import WRAPPED, unwrapped
from graphflow.comfy.signatures import RENAMED, Signatures, comfy_type, switches
from graphflow.errors import Problem
from graphflow.node import NodeDef, Port, fits

LISTED = 20
"""So many choices are spelled out in an error."""


@dataclass(frozen=True)
class Verdict:
    """What became of a prompt."""

    prompt: dict[str, Any]
    """With its constants converted to their declared types."""
    outputs: tuple[str, ...]
    """Output nodes that can run."""
    error: dict[str, Any] | None = None
    """Why nothing can run."""
    node_errors: dict[str, Any] = field(default_factory=dict)


def error(type: str, message: str, details: str = "", **extra: Any) -> dict[str, Any]:
    """An error as ComfyUI's clients read it."""
    return {"type": type, "message": message, "details": details, "extra_info": extra}


NO_PROMPT = error("no_prompt", "No prompt provided", "No prompt provided")


def validate(prompt: Any, signatures: Signatures, names: Names, targets: Sequence[str] | None = None) -> Verdict:
    """Checks a prompt; `targets` limits the outputs to these."""
    if not isinstance(prompt, dict):
        return Verdict({}, (), error("invalid_prompt", "The prompt is not an object of nodes.", "prompt"))
    prompt = {str(id): node for id, node in prompt.items()}
    if (fault := _unusable(prompt, signatures)) is not None:
        return Verdict(prompt, (), fault)
    check = _Check(dict(prompt), signatures, names)
    outputs = [id for id in prompt if check.definition(id).output_node and (targets is None or id in targets)]
    if not outputs:
        return Verdict(prompt, (), error("prompt_no_outputs", "Prompt has no outputs"))
    good = [id for id in outputs if check.output(id)]
    fault = None if good else _all_failed(outputs, check)
    return Verdict(check.prompt, tuple(good), fault, check.told())


def _unusable(prompt: Mapping[str, Any], signatures: Signatures) -> dict[str, Any] | None:
    """What rejects a prompt as a whole: a node that is no node, or of an unknown class."""
    for id, node in prompt.items():
        details = f"Node ID '#{id}'"
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            message = "Cannot execute because a node is missing the class_type property."
            return error("invalid_prompt", message, details)
        type = node["class_type"]
        if signatures.definitions.lookup(RENAMED.get(type, type)) is None:
            title = (node.get("_meta") or {}).get("title", type) if isinstance(node.get("_meta"), dict | None) else type
            message = f"Cannot execute because node {type} does not exist."
            return error("invalid_prompt", message, details, node_id=id, class_type=type, node_title=title)
    return None


def _all_failed(outputs: Iterable[str], check: _Check) -> dict[str, Any]:
    lines = [f"{one['message']}: {one['details']}" for id in outputs for one in check.errors.get(id, ())]
    return error("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(lines))


class _Check:
    """One validation: which nodes are in order, and what is wrong with the others."""

    def __init__(self, prompt: dict[str, Any], signatures: Signatures, names: Names) -> None:
        self.prompt = prompt
        self.signatures = signatures
        self.names = names
        self.errors: dict[str, list[dict[str, Any]]] = {}
        self.dependents: dict[str, list[str]] = {}
        self.seen: set[str] = set()
        """Nodes whose own inputs were checked."""
        self.takers: dict[str, tuple[str, str, list[Any]]] = {}
        """For each node that another takes from, the first that does: its id, its input and its link."""
        for id, node in prompt.items():
            inputs = node.get("inputs")
            for name, value in inputs.items() if isinstance(inputs, dict) else ():
                if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                    self.takers.setdefault(value[0], (id, str(name), value))

    def definition(self, id: str) -> NodeDef:
        """Of a node whose class is known."""
        type = self.prompt[id]["class_type"]
        found = self.signatures.definitions.lookup(RENAMED.get(type, type))
        assert found is not None
        return found

    def told(self) -> dict[str, Any]:
        """`node_errors`."""
        return {
            id: {
                "errors": errors,
                "dependent_outputs": self.dependents.get(id, []),
                "class_type": self.prompt[id]["class_type"],
            }
            for id, errors in self.errors.items()
        }

    def output(self, id: str) -> bool:
        """Whether an output node can run; failing nodes in its branch learn that it depends on them."""
        branch = self._branch(id)
        for node in branch:
            if node not in self.seen:
                self.seen.add(node)
                self._node(node)
        failing = [node for node in branch if node in self.errors]
        for node in failing:
            self.dependents.setdefault(node, []).append(id)
        return not failing

    def _branch(self, id: str) -> list[str]:
        """An output and all it needs, those first that need nothing; a circle is reported where it closes."""
        done: dict[str, bool] = {}
        stack = [(id, iter(self._sources(id)))]
        path = {id}
        while stack:
            node, sources = stack[-1]
            source = next(sources, None)
            if source is None:
                stack.pop()
                path.discard(node)
                done[node] = True
            elif source in path:
                self._circle(node, source)
            elif source not in done:
                path.add(source)
                stack.append((source, iter(self._sources(source))))
        return list(done)

    def _sources(self, id: str) -> list[str]:
        inputs = self.prompt[id].get("inputs")
        values = inputs.values() if isinstance(inputs, dict) else ()
        links = [v for v in values if isinstance(v, list) and len(v) == 2 and isinstance(v[0], str)]
        return [source for source, _ in links if source in self.prompt]

    def _circle(self, node: str, source: str) -> None:
        text = f"Dependency cycle detected: node {node} takes from node {source}, which takes from it"
        extra = {"exception_message": text, "exception_type": "RecursionError", "traceback": [], "linked_node": []}
        report = error("exception_during_inner_validation", "Exception when validating inner node", text, **extra)
        there = self.errors.setdefault(node, [])
        if report not in there:
            there.append(report)

    def _report(self, id: str, type: str, message: str, details: str, **extra: Any) -> None:
        self.errors.setdefault(id, []).append(error(type, message, details, **extra))

    # --- one node ---

    def _node(self, id: str) -> None:
        """Checks a node's own inputs and writes converted constants back."""
        node = self.prompt[id]
        inputs = node.get("inputs")
        if not isinstance(inputs, dict):
            self._exception(id, "'inputs'", "KeyError")
            return
        definition = self.definition(id)
        given = self._by_port(definition, inputs)
        converted = dict(inputs)
        for port in definition.inputs:
            if port.name in given:
                name = given[port.name]
                converted[name] = self._input(id, definition, port, name, inputs[name])
            elif self._is_wanted(definition, port, inputs):
                name = self._full_name(port)
                self._report(id, "required_input_missing", "Required input is missing", name, input_name=name)
        for name, value in inputs.items():
            if isinstance(value, list) and name not in given.values() and self._leads_nowhere(value):
                self._exception(id, f"'{value[0]}'", "KeyError")
        self.prompt[id] = {**node, "inputs": converted}

    def _by_port(self, definition: NodeDef, inputs: Mapping[str, Any]) -> dict[str, str]:
        """By our name of an input, the name under which the prompt gives it."""
        ours = {name: self.signatures.native_input(definition.type, str(name)) for name in inputs}
        return {port: name for name, port in ours.items() if definition.input(port)}

    def _is_wanted(self, definition: NodeDef, port: Port, inputs: Mapping[str, Any]) -> bool:
        """Whether an input that nobody gave is missed."""
        for name, choices in switches(port).items():
            if inputs.get(name) not in choices:
                return False
        if switches(port) and port.field is not None and "default" in port.field:
            return False
        return is_required(definition, port, self.signatures)

    @staticmethod
    def _full_name(port: Port) -> str:
        outer = "" if "." in port.name else group_of(port) or next(iter(switches(port)), "")
        return f"{outer}.{port.name}" if outer else port.name

    def _leads_nowhere(self, value: list[Any]) -> bool:
        return len(value) == 2 and isinstance(value[0], str) and value[0] not in self.prompt

    # --- one input ---

    def _input(self, id: str, definition: NodeDef, port: Port, name: str, value: Any) -> Any:
        """The value as it is to run; what is wrong with it is reported."""
        config = input_config(definition, port, self.names)
        if isinstance(value, list):
            self._link(id, port, name, value, config)
            return value
        is_wrapped = isinstance(value, dict) and set(value) == {WRAPPED}
        constant = unwrapped(value)
        about = {"input_name": name, "input_config": config}
        try:
            constant = _converted(comfy_type(port), constant)
        except (TypeError, ValueError, OverflowError) as fault:
            extra = {**about, "received_value": constant, "exception_message": str(fault)}
            message = f"Failed to convert an input value to a {comfy_type(port)} value"
            self._report(id, "invalid_input_type", message, f"{name}, {constant}, {fault}", **extra)
            return value
        self._constant(id, port, name, constant, config)
        return {WRAPPED: constant} if is_wrapped and isinstance(constant, list) else constant

    def _constant(self, id: str, port: Port, name: str, value: Any, config: list[Any]) -> None:
        if "value" in port.judged:
            return None  # the class's own check does
        options = config[1]
        about = {"input_name": name, "input_config": config, "received_value": value}
        low, high = options.get("min"), options.get("max")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if low is not None and value < low:
                message = f"Value {value} smaller than min of {low}"
                return self._report(id, "value_smaller_than_min", message, name, **about)
            if high is not None and value > high:
                message = f"Value {value} bigger than max of {high}"
                return self._report(id, "value_bigger_than_max", message, name, **about)
        choices = choices_of(port, self.names)
        chosen = value if isinstance(value, list) else [value]
        if choices is None or all(one in choices or _same_file(one, choices) for one in chosen):
            return None
        folder = (port.field or {}).get("folder")
        if folder == "input":
            if not isinstance(value, str) or not value.endswith((" [output]", " [temp]", " [input]")):
                text = f"{name} - Invalid image file: {value}"
                self._report(id, "custom_validation_failed", "Custom validation failed for node", text, input_name=name)
            return None
        short = str(choices) if len(choices) <= LISTED else f"(list of length {len(choices)})"
        cited = config if len(choices) <= LISTED else None
        extra = {"input_name": name, "input_config": cited, "received_value": value}
        self._report(id, "value_not_in_list", "Value not in list", f"{name}: '{value}' not in {short}", **extra)
        return None

    def _link(self, id: str, port: Port, name: str, value: list[Any], config: list[Any]) -> None:
        about = {"input_name": name, "input_config": config}
        if len(value) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return self._report(id, "bad_linked_input", message, name, **about, received_value=value)
        source, index = value
        if not isinstance(source, str) or source not in self.prompt:
            return self._exception(id, f"'{source}'", "KeyError")
        outputs = self.definition(source).outputs
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(outputs):
            return self._exception(id, "tuple index out of range", "IndexError")
        received = outputs[index].type
        if "link" not in port.judged and not fits(received, port.type):
            one, other = received.replace("|", ","), port.type.replace("|", ",")
            details = f"{name}, received_type({one}) mismatch input_type({other})"
            message = "Return type mismatch between linked nodes"
            return self._report(
                id, "return_type_mismatch", message, details, **about, received_type=one, linked_node=value
            )
        return None

    def _exception(self, id: str, text: str, kind: str) -> None:
        """What ComfyUI raises while it checks a node: told of an output as such, else by whoever takes from the node."""
        taker = None if self.definition(id).output_node else self.takers.get(id)
        if taker is None:
            extra: dict[str, Any] = {"exception_type": kind, "traceback": []}
            return self._report(id, "exception_during_validation", "Exception when validating node", text, **extra)
        node, name, linked = taker
        definition = self.definition(node)
        port = definition.input(self.signatures.native_input(definition.type, name))
        config = input_config(definition, port, self.names) if port else None
        extra = {"input_name": name, "input_config": config, "exception_message": text, "exception_type": kind}
        message = "Exception when validating inner node"
        extra |= {"traceback": [], "linked_node": linked}
        return self._report(id, "exception_during_inner_validation", message, text, **extra)


def _converted(type: str, value: Any) -> Any:
    """A constant as the declared type's own constructor makes it. Raises what that raises."""
    if type == "INT":
        return int(value)
    if type == "FLOAT":
        number = float(value)
        if math.isnan(number) or math.isinf(number):
            raise ValueError(f"{value} is no finite number")
        return number
    if type == "STRING":
        return value if isinstance(value, str) else str(value)
    if type == "BOOLEAN":
        return bool(value)
    return value


def _same_file(value: Any, choices: Sequence[Any]) -> bool:
    return isinstance(value, str) and value.replace("\\", "/") in choices


def independent(prompt: Mapping[str, Any], outputs: Iterable[str], failing: Iterable[str]) -> list[str]:
    """Those of the outputs that need none of the failing nodes."""
    takers: dict[str, set[str]] = {}
    for id, node in prompt.items():
        for value in (node.get("inputs") or {}).values():
            if isinstance(value, list) and len(value) == 2:
                takers.setdefault(str(value[0]), set()).add(id)
    reached, pending = set(failing), list(failing)
    while pending:
        more = takers.get(pending.pop(), set()) - reached
        reached |= more
        pending += more
    return [output for output in outputs if output not in reached]


def planning_errors(problems: Iterable[Problem], prompt: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """`node_errors` for what our planner alone found."""
    told: dict[str, Any] = {}
    for problem in problems:
        id = problem.node or (outputs[0] if outputs else "")
        node = prompt.get(id) or {}
        free = independent(prompt, outputs, [id])
        dependent = [output for output in outputs if output not in free]
        entry = told.setdefault(
            id, {"errors": [], "dependent_outputs": dependent, "class_type": node.get("class_type", "")}
        )
        details = f"{problem.input} - {problem.message}" if problem.input else problem.message
        message = "Custom validation failed for node"
        entry["errors"].append(error("custom_validation_failed", message, details, input_name=problem.input))
    return told

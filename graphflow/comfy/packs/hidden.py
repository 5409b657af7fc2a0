"""What a pack's node is told beside its inputs: the workflow around it, which node it is, what pictures carry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from graphflow.comfy.packs.exchange import outward
from graphflow.node import Place, Value
from graphflow.plan import Ref, Task


def told(place: Place | None, known: dict[int, Value]) -> dict[str, Any]:
    """Every hidden input by its name; values that it hands out are noted in `known`.

    `PROMPT` is the whole workflow in the API format, `DYNPROMPT` also knows what grew while it ran, `EXTRA_PNGINFO` is
    what pictures carry beside it (None without), `UNIQUE_ID` the node. Tokens for partners' services are never handed on.
    """
    texts = dict(place.texts) if place else {}
    prompt = texts.pop("prompt", None)
    return {
        "UNIQUE_ID": place.task if place else "",
        "PROMPT": json.loads(prompt) if prompt else _nodes(_outermost(place), {}),
        "DYNPROMPT": DynamicPrompt(place, known),
        "EXTRA_PNGINFO": {key: json.loads(text) for key, text in texts.items()} or None,
        "AUTH_TOKEN_COMFY_ORG": None,
        "API_KEY_COMFY_ORG": None,
    }


def raw_link(place: Place | None, input: str) -> list[Any] | None:
    """The link `[node id, output index]` of the node's own input; None where it is not linked."""
    task = next((task for task in _tasks(place) if place and task.id == place.task), None)
    value = dict(task.inputs).get(input) if task else None
    return [_tasks(place)[value.task].id, value.output] if isinstance(value, Ref) else None


class DynamicPrompt:
    """The workflow while it runs: its own nodes, and those that grew around the node that asks."""

    def __init__(self, place: Place | None, known: dict[int, Value]) -> None:
        self._place = place
        self._known = known

    @cached_property
    def _levels(self) -> list[dict[str, Any]]:
        """From the node's own level outwards; kept, since values are known by the identity of what stands here."""
        return [_nodes(one, self._known) for one in _outwards(self._place)]

    def get_original_prompt(self) -> Mapping[str, Any]:
        """The workflow without what grew."""
        return self._levels[-1] if self._levels else {}

    def has_node(self, node_id: str) -> bool:
        """Whether there is such a node."""
        return any(node_id in level for level in self._levels)

    def get_node(self, node_id: str) -> Mapping[str, Any]:
        """A node's class and inputs, links as `[node id, output index]`. Raises `KeyError`."""
        for level in self._levels:
            if node_id in level:
                found: Mapping[str, Any] = level[node_id]
                return found
        raise KeyError(f"there is no node {node_id!r}")

    def all_node_ids(self) -> set[str]:
        """Every node's id."""
        return {id for level in self._levels for id in level}

    def get_parent_node_id(self, node_id: str) -> str | None:
        """The node that grew it; None for one of the workflow's own."""
        outwards = list(_outwards(self._place))
        for place, level in zip(outwards, self._levels, strict=True):
            if node_id in level:
                return place.outer.task if place.outer else None
        return None

    def get_display_node_id(self, node_id: str) -> str:
        """The node that the user sees for it."""
        while (parent := self.get_parent_node_id(node_id)) is not None and parent != node_id:
            node_id = parent
        return node_id

    def get_real_node_id(self, node_id: str) -> str:
        """The same: of the workflow's own nodes."""
        return self.get_display_node_id(node_id)


def _outwards(place: Place | None) -> Iterator[Place]:
    while place is not None:
        yield place
        place = place.outer


def _outermost(place: Place | None) -> Place | None:
    return list(_outwards(place))[-1] if place else None


def _tasks(place: Place | None) -> list[Task]:
    return [task for task in (place.tasks if place else ()) if isinstance(task, Task)]


def _nodes(place: Place | None, known: dict[int, Value]) -> dict[str, Any]:
    """A level of the plan in the API format."""
    tasks = _tasks(place)

    def written(value: Any) -> Any:
        if isinstance(value, Ref):
            return [tasks[value.task].id, value.output]
        form = outward(value)
        if isinstance(value, Value):
            known[id(form)] = value
        return form if isinstance(value, Value) else getattr(value, "name", value)

    return {
        task.id: {"class_type": task.type, "inputs": {name: written(value) for name, value in task.inputs}}
        for task in tasks
    }

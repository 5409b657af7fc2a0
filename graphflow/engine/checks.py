"""What nodes themselves say of a plan's inputs before it is queued."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from graphflow.errors import Problem
from graphflow.node import PLACE, Node, Place
from graphflow.plan import Plan, Ref, Task

log = logging.getLogger(__name__)


def check_inputs(plan: Plan, nodes: Mapping[str, Node]) -> list[Problem]:
    """The problems that nodes with a check of their own find in what is written into them."""
    problems = []
    for task in plan.tasks:
        node = nodes.get(task.type)
        if node is not None and node.check is not None and not task.frozen:
            problems += _checked(plan, task, node, nodes)
    return problems


def _checked(plan: Plan, task: Task, node: Node, nodes: Mapping[str, Node]) -> list[Problem]:
    assert node.check is not None
    written = {name: value for name, value in task.inputs if not isinstance(value, Ref)}
    linked = {name: _type(plan, value, nodes) for name, value in task.inputs if isinstance(value, Ref)}
    token = PLACE.set(Place(plan.job, task.id, plan.tasks, task.id, None, plan.texts))
    try:
        wrong = node.check(written, linked)
    except Exception as error:
        log.warning("the check of %s failed", task.type, exc_info=True)
        wrong = {"": f"its own check of its inputs failed: {type(error).__name__}: {error}"}
    finally:
        PLACE.reset(token)
    return [
        Problem(node=task.id, input=name or None, message=message, code="refused_value")
        for name, message in wrong.items()
    ]


def _type(plan: Plan, source: Ref, nodes: Mapping[str, Node]) -> str:
    outputs = nodes[plan.tasks[source.task].type].definition.outputs
    return outputs[source.output].type

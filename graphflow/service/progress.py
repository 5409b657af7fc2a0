"""How far a running job is: the state of its nodes, folded from its events."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.events import (
    BaseEvent,
    JobFailed,
    JobStarted,
    NodeCached,
    NodeDone,
    NodeOutput,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    Output,
)
from graphflow.service.notices import NodeStatus


class JobProgress:
    """The state of one running job."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeStatus] = {}
        self.outputs: dict[str, tuple[Output, ...]] = {}
        self.planned = 0
        self._finished = 0

    @property
    def fraction(self) -> float:
        """0 to 1: nodes done, those under way by their steps."""
        if not self.planned:
            return 0.0
        running = (n for n in self.nodes.values() if n.state == "running" and n.total)
        partly = sum((n.value or 0.0) / n.total for n in running if n.total)
        return min((self._finished + partly) / self.planned, 1.0)

    @property
    def all_outputs(self) -> tuple[Output, ...]:
        """Every result stored so far."""
        return tuple(output for outputs in self.outputs.values() for output in outputs)

    def follow(self, events: Sequence[BaseEvent]) -> None:
        """Takes note of what happened."""
        for event in events:
            self._follow(event)

    def _follow(self, event: BaseEvent) -> None:
        match event:
            case JobStarted(nodes=nodes):
                self.__init__()  # type: ignore[misc]  # a new attempt begins from nothing
                self.planned = len(nodes)
            case NodeStarted(node=node):
                self.nodes[node] = NodeStatus(state="running")
            case NodeProgress(node=node, value=value, total=total, text=text):
                self.nodes[node] = NodeStatus(state="running", value=value, total=total, text=text)
            case NodeCached(node=node, reason=reason, made=made):
                self._finish(node, NodeStatus(state="cached", reason=reason, made=made))
            case NodeSkipped(node=node, reason=reason):
                self._finish(node, NodeStatus(state="skipped", text=reason))
            case NodeDone(node=node, seconds=seconds, memory=memory, peak=peak):
                self._finish(node, NodeStatus(state="done", seconds=seconds, memory=memory, peak=peak))
            case NodeOutput(node=node, outputs=outputs):
                self.outputs[node] = outputs
            case JobFailed(error=error) if error.problems and error.problems[0].node:
                self.nodes[error.problems[0].node] = NodeStatus(state="failed", text=error.message)
            case _:
                pass

    def _finish(self, node: str, status: NodeStatus) -> None:
        self._finished += 1
        self.nodes[node] = status

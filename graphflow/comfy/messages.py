"""A job's events as the messages that ComfyUI's clients wait for, in the order in which they expect them.

Everything here is pure: `Run` is the state of one job's messages, `door` sends what it gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphflow.errors import ErrorBody
from graphflow.events import (
    BaseEvent,
    JobCancelled,
    JobDone,
    JobFailed,
    JobStarted,
    NodeCached,
    NodeDone,
    NodeOutput,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    Output,
    Preview,
)

Message = dict[str, Any]
"""`{"type", "data"}`, a text frame."""
PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
FORMATS = {"image/jpeg": 1, "image/png": 2}
TO_ALL = frozenset({"progress", "progress_state", "execution_interrupted"})
"""What everybody hears of a job that no client asked for."""


def message(type: str, **data: Any) -> Message:
    """A text frame."""
    return {"type": type, "data": data}


def status(remaining: int, sid: str | None = None) -> Message:
    """How many jobs wait or run; the first one that a client gets also tells it its id."""
    told: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return message("status", **told, **({"sid": sid} if sid is not None else {}))


def milliseconds(seconds: float) -> int:
    """As ComfyUI's timestamps count."""
    return round(seconds * 1000)


def progress_text(node: str, text: str) -> bytes:
    """The binary frame with what a node says of its progress."""
    name = node.encode()
    return TEXT.to_bytes(4, "big") + len(name).to_bytes(4, "big") + name + text.encode()


# --- what a job made -------------------------------------------------------------------------------------------------


def ui_output(outputs: Iterable[Output], texts: Mapping[str, str] | None = None) -> dict[str, list[Any]]:
    """A node's results by the kind that the editor shows; `texts` are the contents of text results by asset id."""
    shown: dict[str, list[Any]] = {}
    animated: list[bool] = []
    for output in outputs:
        if output.media_type.startswith("text/"):
            shown.setdefault("text", []).append((texts or {}).get(output.asset, ""))
            continue
        kind = output.details.get("role") or _kind(output.media_type)
        shown.setdefault(str(kind), []).append(file_entry(output))
        animated.append(output.media_type.startswith("video/") or int(output.details.get("frames") or 1) > 1)
    if any(animated):
        shown["animated"] = [True]
    return shown


def _kind(media_type: str) -> str:
    main = media_type.partition("/")[0]
    return {"image": "images", "video": "images", "audio": "audio", "model": "3d"}.get(main, "files")


def file_entry(output: Output) -> dict[str, str]:
    """Where a result lies, as `/view` takes it."""
    folder, _, name = output.name.rpartition("/")
    return {"filename": name, "subfolder": folder, "type": "temp" if output.details.get("temporary") else "output"}


# --- a run -----------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """One job as its client hears of it."""

    id: str
    types: Mapping[str, str] = field(default_factory=dict)
    """Class of each node."""
    outputs: frozenset[str] = frozenset()
    """Output nodes: they are finished when their files are stored."""
    last: str | None = None
    """The node that was last told to be executing."""
    _cached: list[str] = field(default_factory=list)
    _is_cached_told: bool = False
    _states: dict[str, dict[str, Any]] = field(default_factory=dict)
    _done: list[str] = field(default_factory=list)
    _unfinished: str | None = None

    def messages(self, event: BaseEvent, texts: Mapping[str, str] | None = None) -> list[Message]:
        """What follows from an event. Two messages that end a run, `status` and `executing` null, are `ending`'s."""
        match event:
            case JobStarted():
                self.__init__(self.id, self.types, self.outputs)  # type: ignore[misc]  # each attempt begins anew
                return [message("execution_start", prompt_id=self.id, timestamp=milliseconds(event.time))]
            case NodeCached(node=node) if not self._is_cached_told:
                self._cached.append(node)
                self._done.append(node)
                return self._awaits_output(node)
            case NodeCached(node=node):
                self._done.append(node)
                late = message("execution_cached", nodes=[node], prompt_id=self.id, timestamp=milliseconds(event.time))
                return [*self._flushed(), late, *self._awaits_output(node)]
            case NodeOutput(node=node, outputs=outputs):
                return self._output(event, node, outputs, texts)
            case NodeDone(node=node):
                before = [*self._told_cached(event), *self._flushed()]
                self._done.append(node)
                self._unfinished = node
                return before if node in self.outputs else [*before, *self._flushed()]
            case _:
                return [*self._told_cached(event), *self._flushed(), *self._plain(event)]

    def state_of(self, node: str) -> str | None:
        """`running` or `finished`, as it was told last; None before it began."""
        told = self._states.get(node)
        return None if told is None else str(told["state"])

    def preview(self, preview: Preview, *, metadata: bool) -> bytes:
        """A preview's binary frame, in the form that the client asked for."""
        if not metadata:
            head = PREVIEW.to_bytes(4, "big") + FORMATS.get(preview.media_type, 1).to_bytes(4, "big")
            return head + preview.data
        about = {**self._names(preview.node), "image_type": preview.media_type}
        text = json.dumps(about).encode()
        return PREVIEW_WITH_METADATA.to_bytes(4, "big") + len(text).to_bytes(4, "big") + text + preview.data

    def ending(self, remaining: int) -> list[Message]:
        """What follows the end, whatever it was."""
        return [status(remaining), message("executing", node=None, prompt_id=self.id)]

    def _plain(self, event: BaseEvent) -> list[Message]:
        match event:
            case NodeStarted(node=node):
                self.last = node
                state = self._state(node, 0, 1, "running")
                return [state, message("executing", node=node, display_node=node, prompt_id=self.id)]
            case NodeProgress(node=node, value=value, total=total):
                value, total = _plain_number(value), _plain_number(total)
                state = self._state(node, value, total, "running")
                return [state, message("progress", value=value, max=total, prompt_id=self.id, node=node)]
            case NodeSkipped(node=node, reason=reason) if reason:
                return [self._blocked(node, reason)]
            case JobDone():
                return [message("execution_success", prompt_id=self.id, timestamp=milliseconds(event.time))]
            case JobFailed(error=error):
                return [message("execution_error", **self.failure(error), timestamp=milliseconds(event.time))]
            case JobCancelled():
                return [message("execution_interrupted", **self._where(), timestamp=milliseconds(event.time))]
        return []

    def _told_cached(self, event: BaseEvent) -> list[Message]:
        if self._is_cached_told:
            return []
        self._is_cached_told = True
        stamp = milliseconds(event.time)
        return [message("execution_cached", nodes=self._cached, prompt_id=self.id, timestamp=stamp)]

    def _awaits_output(self, node: str) -> list[Message]:
        """A cached output node is told only when its files are."""
        self._unfinished = node if node in self.outputs else self._unfinished
        return []

    def _output(
        self, event: BaseEvent, node: str, outputs: Sequence[Output], texts: Mapping[str, str] | None
    ) -> list[Message]:
        before = self._told_cached(event)
        if self._unfinished not in (None, node):
            before += self._flushed()
        shown = ui_output(outputs, texts)
        told = message("executed", node=node, display_node=node, output=shown, prompt_id=self.id)
        self._unfinished = node
        return [*before, told, *self._flushed()]

    def _flushed(self) -> list[Message]:
        node, self._unfinished = self._unfinished, None
        if node is None:
            return []
        total = self._states.get(node, {}).get("max", 1)
        return [self._state(node, total, total, "finished")]

    def _state(self, node: str, value: float, total: float, state: str) -> Message:
        self._states[node] = {"value": value, "max": total, "state": state, **self._names(node)}
        return message("progress_state", prompt_id=self.id, nodes={id: dict(s) for id, s in self._states.items()})

    def _names(self, node: str) -> dict[str, Any]:
        return {
            "node_id": node,
            "prompt_id": self.id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }

    def _where(self, node: str | None = None) -> dict[str, Any]:
        node = node or self.last or ""
        type = self.types.get(node, "")
        return {"prompt_id": self.id, "node_id": node, "node_type": type, "executed": list(self._done)}

    def failure(self, error: ErrorBody) -> dict[str, Any]:
        """What `execution_error` says of a failed job."""
        first = error.problems[0] if error.problems else None
        inputs = first.details.get("inputs", {}) if first else {}
        kind = "torch.OutOfMemoryError" if error.code == "out_of_memory" else error.code
        return {
            **self._where(first.node if first else None),
            "exception_message": error.message,
            "exception_type": kind,
            "traceback": [],
            "current_inputs": {name: [value] for name, value in inputs.items()},
            "current_outputs": list(self.types),
        }

    def _blocked(self, node: str, reason: str) -> Message:
        return message(
            "execution_error",
            **self._where(node),
            exception_message=f"Execution Blocked: {reason}",
            exception_type="ExecutionBlocked",
            traceback=[],
            current_inputs={},
            current_outputs=list(self.types),
        )


def _plain_number(value: float) -> float:
    """Steps are counted in whole numbers on the wire."""
    return int(value) if value == int(value) else value

"""Every exception that GraphFlow raises on purpose.

GraphflowError                 has a code, an HTTP status and a message that says what, where and what to do next
├── InvalidWorkflow            the workflow cannot run: carries every Problem at once
├── BadRequest                 the request is malformed
│   ├── UnsupportedMedia       a body of another content type than the one that is taken
│   └── UnsupportedFile        a file that is damaged, of an unknown kind, or refused for safety
├── NotFound                   no such job, asset, workflow, node type or file
├── Unauthorized               the token is missing or wrong
├── Forbidden                  a wrong Host or Origin
├── Conflict                   the thing changed meanwhile, or the same key was used for another request
├── PreconditionRequired       the request must say which version it replaces
├── TooLarge                   a body, graph or picture over the limit
├── NotReady                   no worker has come up yet
├── NodeFailed                 a node raised while it ran: carries the node and the summary of its inputs
│   ├── OutOfMemory            the device is too small even after everything idle was let go
│   └── FrozenGone             what a frozen node is to give is kept no longer
├── Cancelled                  the job was cancelled
└── WorkerDied                 the worker process ended in the middle of a job
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """One reason a workflow cannot run, at the place where the user can mend it."""

    model_config = ConfigDict(frozen=True)

    node: str | None = None
    """Id of the node; None when the workflow as a whole is meant."""
    input: str | None = None
    """Name of the input; None when the node as a whole is meant."""
    message: str
    """What is wrong and what to do next, one sentence or two."""
    code: str = "invalid"
    """A stable word for programs: see `docs/api.md`."""
    details: dict[str, Any] = {}
    """What a program needs to act on it, for example `{"nearest": ["euler"]}`."""


class ErrorBody(BaseModel):
    """The one JSON shape of every error: `{"error": {"code", "message", "problems"}}`."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    problems: tuple[Problem, ...] = ()


class GraphflowError(Exception):
    """The root: anything GraphFlow raises on purpose."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)

    def body(self) -> ErrorBody:
        """What a client is told."""
        return ErrorBody(code=self.code, message=self.message, problems=self.problems)


class BadRequest(GraphflowError):
    """The request is malformed: not JSON, the wrong content type, an unknown field."""

    code = "bad_request"
    status = 400


class UnsupportedMedia(BadRequest):
    """A body of another content type than the one that is taken."""

    code = "unsupported_media_type"
    status = 415


class UnsupportedFile(BadRequest):
    """A file that is damaged, of an unknown kind, or refused for safety."""

    code = "unsupported_file"
    status = 415


class InvalidWorkflow(GraphflowError):
    """The workflow cannot run; `problems` holds every reason at once."""

    code = "invalid_workflow"
    status = 422

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        where = ".".join(part for part in (first.node, first.input) if part)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}: {first.message}{more}" if where else first.message + more, problems)


class NotFound(GraphflowError):
    """No such job, asset, workflow, node type or file."""

    code = "not_found"
    status = 404


class Unauthorized(GraphflowError):
    """The token is missing or wrong."""

    code = "unauthorized"
    status = 401


class Forbidden(GraphflowError):
    """A wrong Host or Origin."""

    code = "forbidden"
    status = 403


class Conflict(GraphflowError):
    """The thing changed meanwhile, or the same idempotency key was used for another request."""

    code = "conflict"
    status = 409


class PreconditionRequired(GraphflowError):
    """The request must say which version it replaces."""

    code = "precondition_required"
    status = 428


class TooLarge(GraphflowError):
    """A body, graph or picture over the limit."""

    code = "too_large"
    status = 413


class NotReady(GraphflowError):
    """No worker has come up yet; it is worth trying again in a few seconds."""

    code = "not_ready"
    status = 503


class DiskFull(GraphflowError):
    """Nothing more can be stored where the data folder or the database lies; what was stored is safe."""

    code = "disk_full"
    status = 507

    MESSAGE: ClassVar[str] = "the disk is full; make room on it (the results in output/, or a smaller disk_cache)"


class NodeFailed(GraphflowError):
    """A node raised while it ran; the exception it raised is the cause."""

    code = "node_failed"

    def __init__(self, node: str, message: str, *, type: str = "", inputs: dict[str, str] | None = None) -> None:
        details = {"type": type, "inputs": inputs or {}}
        super().__init__(message, [Problem(node=node, message=message, code=self.code, details=details)])
        self.node = node


class OutOfMemory(NodeFailed):
    """The device is too small for this node, even after everything idle was let go."""

    code = "out_of_memory"


class FrozenGone(NodeFailed):
    """What a frozen node is to give is kept no longer, or was made by another version of the node."""

    code = "frozen_gone"

    MESSAGE: ClassVar[str] = "its frozen result is no longer kept here: thaw it, run it once, and freeze it again"


class Cancelled(GraphflowError):
    """The job was cancelled."""

    code = "cancelled"
    status = 409


class WorkerDied(GraphflowError):
    """The worker process ended in the middle of a job."""

    code = "worker_died"

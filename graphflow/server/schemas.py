"""What requests and answers look like, beside what the stores and the service say of themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from graphflow.assets import Asset, Kind
from graphflow.errors import ErrorBody, Problem
from graphflow.jobs import Job, Status
from graphflow.listing import ModelFile
from graphflow.node import NodeDef
from graphflow.service import WorkerStatus
from graphflow.workflows import Draft, Saved, Version


class Answer(BaseModel):
    """What is sent. Models here are built when first used: a server answers before it needs them all."""

    model_config = ConfigDict(defer_build=True)


class Strict(BaseModel):
    """A body: what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Query(BaseModel):
    """Parameters of the address; others are let be."""

    model_config = ConfigDict(extra="ignore", defer_build=True)


Limit = Annotated[int, Field(ge=1, le=1000)]
Document = dict[str, Any]
Tags = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)]


def _several(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


class ErrorAnswer(Answer):
    """The one shape of every error."""

    error: ErrorBody


# --- jobs


class SubmitBody(Strict):
    """A workflow to run."""

    workflow: Document
    overrides: dict[str, Any] = Field({}, description='Values to set first: {"sample.steps": 30}.')
    targets: list[str] | None = Field(None, description="Run only what these nodes need.")
    priority: int = Field(0, ge=-1_000_000, le=1_000_000, description="Higher runs first.")
    front: bool = Field(False, description="Before all that wait.")
    client: str | None = Field(None, max_length=200, description="Who asks; only told back.")


class JobsQuery(Query):
    """Which jobs."""

    status: Annotated[list[Status] | None, BeforeValidator(_several)] = None
    limit: Limit = 100
    before: str | None = None
    client: str | None = None


class ClearQuery(Query):
    """Which jobs to cancel."""

    status: Literal["queued"]


class EventsQuery(Query):
    """Where to go on, for clients that cannot set the header `Last-Event-ID`."""

    after: int = Field(0, ge=0)


class JobAnswer(Job):
    """A job with the workflow that it runs."""

    workflow: Document


class JobsAnswer(Answer):
    """Jobs, newest first."""

    jobs: list[Job]


class ClearAnswer(Answer):
    """How many jobs were cancelled."""

    cancelled: int


class MoveBody(Strict):
    """Another place in the queue."""

    priority: int | None = Field(None, ge=-1_000_000, le=1_000_000)
    position: Literal["front"] | Annotated[int, Field(ge=0)] | None = None


class QueueBody(Strict):
    """Whether the queue is to stand still."""

    paused: bool


class QueueAnswer(Answer):
    """The queue: ids of the jobs that wait, the next one first."""

    paused: bool
    jobs: list[str]


# --- plans


class PlanBody(Strict):
    """A workflow to look at."""

    workflow: Document
    overrides: dict[str, Any] = {}
    targets: list[str] | None = None
    tolerant: bool = False
    """A workflow that cannot run is no error: its problems are the answer, as an editor wants them while one types."""


class PlannedTask(Answer):
    """A node that would run, and whether its result is there already."""

    node: str
    type: str
    cached: Literal["memory", "disk"] | None = None


class PlanAnswer(Answer):
    """What would happen."""

    tasks: list[PlannedTask]
    outputs: list[str]
    problems: list[Problem] = []
    """Why it cannot run, if it was asked for tolerantly."""


# --- nodes and models


class BrokenPackAnswer(Answer):
    """A node pack that could not be read, and why."""

    pack: str
    reason: str


class NodesAnswer(Answer):
    """Every node type there is, and the packs that could not be read."""

    nodes: list[NodeDef]
    broken: list[BrokenPackAnswer] = []


class ModelsAnswer(Answer):
    """Models by folder."""

    folders: dict[str, list[ModelFile]]


# --- assets


class AssetsQuery(Query):
    """Which files."""

    kind: Kind | None = None
    job: str | None = None
    limit: Limit = 100
    before: str | None = None


class UploadQuery(Query):
    """What the file is called and where it goes."""

    name: str = ""
    kind: Literal["input", "temp"] = "input"
    overwrite: bool = False


class ThumbnailQuery(Query):
    """How large, at most."""

    size: int = Field(256, ge=16, le=1024)


class AssetsAnswer(Answer):
    """Files, newest first."""

    assets: list[Asset]


class ConvertedAnswer(Answer):
    """A workflow in our format, and what could not be carried over."""

    workflow: Document
    notes: list[str] = []


# --- saved workflows


class WorkflowsQuery(Query):
    """Which workflows."""

    search: str = ""
    tag: str | None = None


class CreateBody(Strict):
    """A workflow to keep."""

    workflow: Document
    name: str = Field("", max_length=500)
    tags: Tags = []


class SaveBody(Strict):
    """What is to be changed; what is left out stays."""

    workflow: Document | None = None
    name: str | None = Field(None, max_length=500)
    tags: Tags | None = None
    thumbnail: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    version_name: str | None = Field(None, max_length=500)
    """What this version is called; without it, it is called like the workflow."""


class WorkflowsAnswer(Answer):
    """Saved workflows, last saved first."""

    workflows: list[Saved]


class VersionsAnswer(Answer):
    """Versions, newest first."""

    versions: list[Version]


class ShareBody(Strict):
    """Which version to show; the newest unless told."""

    version: int | None = Field(None, ge=1)


class ShareAnswer(Answer):
    """A link that shows one version to whoever has it."""

    token: str
    url: str


class RestoreBody(Strict):
    """Nothing needs to be said."""


class DraftBody(BaseModel):
    """Whatever an editor wants to find again: at least the workflow."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    workflow: Document


class DraftsAnswer(Answer):
    """Drafts, last changed first."""

    drafts: list[Draft]


class Template(Answer):
    """A workflow that came with the server."""

    name: str
    title: str
    description: str = ""
    workflow: Document
    thumbnail: str | None = None
    """Where its picture is."""


class TemplatesAnswer(Answer):
    """All of them."""

    templates: list[Template]


# --- system


class HealthAnswer(Answer):
    """It answers."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Answer):
    """Whether jobs can run."""

    ready: bool
    workers: list[WorkerStatus]


class VersionAnswer(Answer):
    """What is running here."""

    version: str
    build: str


class SystemAnswer(Answer):
    """Where everything is, and how much room there is."""

    version: str
    build: str
    python: str
    platform: str
    workers: list[dict[str, Any]]
    models: list[str]
    data: str
    disk_free: int
    disk_total: int


class FreezeBody(Strict):
    """The node whose result is to be kept."""

    node: str = Field(min_length=1, max_length=500)


class FreezeAnswer(Answer):
    """What the node's `frozen` in a workflow is to be."""

    node: str
    key: str


class FreeBody(Strict):
    """What to let go of."""

    models: bool = True
    cache: bool = False

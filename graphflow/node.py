"""What a node is: a typed function whose signature is its schema.

`@node` reads the signature once and attaches a `Node` (definition and function) to the function, which it returns
unchanged, so that a node is tested by calling it. A parameter annotated with a `Value` class is a wire; anything else
is a field that the editor draws from its JSON schema. A slow node is a generator: it yields `Denoise`, `Progress`,
`Need` and `Await`, is sent their answers, and returns its result; the engine alone resumes it. A node that only waits
may be `async`.

Nothing here imports torch: definitions travel to the control wing as data.
"""

from __future__ import annotations

import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Coroutine, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from graphflow import __version__

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
ANY = "*"
"""The wire type that fits every other."""


# --- what travels, and what a slow node yields -----------------------------------------------------------------------


class Value:
    """What travels on an edge: immutable, with an exact encoding to bytes (`graphflow.values`)."""

    wire: ClassVar[str] = ANY
    """Name of the type on the wire, the same in Python, JSON and TypeScript: `IMAGE`, `LATENT`, `MODEL`."""
    on_device: ClassVar[bool] = False
    """True for what stands for weights: a node that takes one runs on the device's thread."""


@dataclass(frozen=True)
class Artifact(Value):
    """A finished file that an output node hands to the server, which alone stores it."""

    wire: ClassVar[str] = "ARTIFACT"
    media_type: str
    data: bytes | Callable[[], Generator[bytes | Progress, None, None]]
    """The file, or for one too large to hold, what gives its bytes in order as they are stored, on the job's thread;
    `Progress` may come between. The first of its pieces holds all that texts are written into."""
    name: str
    """Prefix of the file name a user would expect; the store adds a counter and the suffix."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Width, height, frames; `temporary: True` when it is only to be looked at."""


@dataclass(frozen=True)
class Blocked(Value):
    """In place of a value: whatever takes it does not run; `message`, if any, is told as the reason."""

    message: str = ""


@dataclass(frozen=True)
class Expansion(Value):
    """A node's result that is still to be computed: nodes to compile and walk like the rest of the plan.

    `nodes` are workflow nodes by local id; an input may also be a `Value` itself. `outputs` gives, for each output of
    the node that grew, a link such as `{"from": "decode.IMAGE"}` or a value. A link to a node that is not among them
    leads to the plan that they grow in, whose node is run for it if need be.
    """

    nodes: Mapping[str, Any]
    outputs: Sequence[Any]


@dataclass(frozen=True)
class File:
    """A file that an input names, found and hashed when the plan is made."""

    name: str
    """As the workflow has it, relative to its folder, with forward slashes."""
    path: Path
    digest: str
    """sha256 of the content; this, not the name, is in the task's key. Of a folder: of its files' digests."""


class Text(str):
    """A text with the files it refers to, for example the textual inversions that a prompt names."""

    files: Mapping[str, File]

    def __new__(cls, text: str, files: Mapping[str, File] | None = None) -> Text:
        self = super().__new__(cls, text)
        self.files = dict(files or {})
        return self


class Network(Protocol):
    """A denoising network with weights behind it; rows that share one may share a call."""

    def batch_key(self, row: Row) -> Hashable:
        """Rows with equal keys can be evaluated in one call."""

    def predict(self, rows: Sequence[Row]) -> list[Tensor]:
        """For each row the denoised prediction D(x; sigma), shaped like its `x`, in float32."""


@dataclass(frozen=True, eq=False)
class Row:
    """One question to a network: a batch of samples at one noise level under one conditioning."""

    network: Network
    x: Tensor
    """(B, C, H, W), or (B, C, F, H, W) for video; in the sampler's space, not scaled for the network."""
    sigma: Tensor
    """0-d."""
    cond: Any = None
    """What the network's family understands: see `graphflow.diffusion.guidance`."""


class Denoiser(Protocol):
    """What a sampler samples with: D(x; sigma), guidance included."""

    def evaluate(self, request: Denoise) -> Generator[Sequence[Row], list[Tensor], Any]:
        """Yields rows, is sent their predictions, returns what the sampler is sent."""

    def preview(self, denoised: Tensor) -> bytes:
        """A small JPEG of what the latent shows."""


@dataclass(frozen=True, eq=False)
class Denoise:
    """A sampler's question: the denoised prediction of `x` at `sigma`.

    The answer is a tensor shaped like `x`, or with `uncond` a pair (guided, unguided) of them.
    """

    model: Denoiser
    x: Tensor
    sigma: Tensor
    """0-d."""
    uncond: bool = False


@dataclass(frozen=True, eq=False)
class Progress:
    """`value` of `total` steps are done; `preview` is the latent so far, shown when someone looks."""

    value: float
    total: float
    preview: Tensor | None = None
    text: str = ""


@dataclass(frozen=True)
class Say:
    """Words in a form of the node's own, for pages that know it: told to whoever listens now, and never stored."""

    kind: str
    content: Any
    """Whatever JSON can hold."""


@dataclass(frozen=True)
class Need:
    """A lazy input is wanted now; the answer is its value."""

    input: str


@dataclass(frozen=True, eq=False)
class Await:
    """Something to wait for, an answer over the network for example; the job's other nodes go on meanwhile.

    `work` gives a coroutine, which runs on the job's event loop; its result is the answer. It is called with what it
    can tell its progress to, from any thread.
    """

    work: Callable[[Callable[[Progress | Say], None]], Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class Place:
    """Where a call happens, for the few nodes that must know."""

    job: str
    node: str
    """Id of the node that the user sees."""
    tasks: tuple[Any, ...] = ()
    """The plan's tasks (`graphflow.plan.Task`); of grown nodes, those that grew together."""
    task: str = ""
    """Id of the task within these."""
    outer: Place | None = None
    """Where the call happened that grew these tasks."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What the job's pictures carry beside the workflow, by key."""


PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
"""Set while a node's function is called."""

Steps = Generator[Denoise | Progress | Say | Need | Await, Any, T]
"""What a slow node returns: `-> Steps[Latent]`."""


class Lazy(typing.Generic[T]):
    """An input that is computed only when asked for: `value = yield from branch`."""

    def __init__(self, input: str) -> None:
        self.input = input

    def __iter__(self) -> Iterator[Any]:
        return (yield Need(self.input))  # type: ignore[return-value]  # a generator is what `yield from` takes


# --- marks for annotations -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """Marks a `File` parameter: `Annotated[File, Folder("checkpoints")]` takes the name of a file in that folder.

    `input` means the server's assets. `extra` names can be chosen although no file has them.
    """

    name: str
    extra: tuple[str, ...] = ()
    media: str = ""
    """For `input`: what the file should be: `image`, `video`, `latent`."""


@dataclass(frozen=True)
class References:
    """Marks a `Text` parameter: `pattern`'s first group is the name of a file in `folder`."""

    folder: str
    pattern: str


@dataclass(frozen=True)
class Widget:
    """How the editor draws a field, where its JSON schema does not say: `multiline`, `seed`, `slider`, `color`."""

    kind: str = ""
    step: float | None = None
    advanced: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grows:
    """Marks `**pictures: Annotated[Image, Grows(...)]`: inputs of one type, as many as are wanted.

    The editor offers one more than are in use. The function is given those in use, by name, in this order.
    """

    names: tuple[str, ...]
    required: int = 1
    """So many of the first must be given."""


@dataclass(frozen=True)
class Each:
    """Marks `**ratios: Annotated[float, Each(...)]`: inputs alike, one for each name, all of them shown.

    The function is given all of them, by name, in this order. They take `default` when nothing is said.
    """

    names: tuple[str, ...]
    default: Any


Seed = Annotated[int, Field(ge=0, le=2**64 - 1), Widget("seed")]
"""A random seed: the editor offers to draw a new one for each run."""
Multiline = Annotated[str, Widget("multiline")]
"""A text of several lines."""


# --- definitions: data, the same in both wings -----------------------------------------------------------------------


class Port(BaseModel):
    """An input of a node."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    name: str
    type: str
    """Wire type: `IMAGE`, `INT`, `COMBO`; several fitting ones as `INT|FLOAT`; `*` for any."""
    required: bool = True
    default: Any = None
    field: dict[str, Any] | None = None
    """JSON schema of the literal it takes, with the marks `folder`, `references`, `widget`, `step`; None: only a link."""
    lazy: bool = False
    list: bool = False
    """Takes a list whole, where other inputs are mapped over it."""
    grows: str = ""
    """Name of the group of inputs that it is one of; the group's first free one is offered, the others are hidden."""
    advanced: bool = False
    judged: tuple[Literal["value", "link"], ...] = ()
    """What the node's own check judges in place of the planner: `value`, bounds and choices; `link`, the type."""
    description: str = ""

    @property
    def schema_to_fit(self) -> dict[str, Any] | None:
        """What of `field` a value must fit before the node itself sees it."""
        if self.field is None or "value" not in self.judged:
            return self.field
        return {name: rule for name, rule in self.field.items() if name not in BOUNDS}


BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum"})
"""Rules of a JSON schema that a node's own check can stand for."""


class OutputPort(BaseModel):
    """An output of a node."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    list: bool = False
    description: str = ""


class NodeDef(BaseModel):
    """What a node is, as data: enough to plan with it and to draw it."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    category: str
    description: str = ""
    inputs: tuple[Port, ...] = ()
    more: Port | None = None
    """Stands for inputs of any other name that a workflow links to it, and with a `field` for values, too."""
    outputs: tuple[OutputPort, ...] = ()
    output_node: bool = False
    device: bool = False
    """It runs on the device's thread."""
    volatile: bool = False
    """Its result is never taken from the cache."""
    checks: bool = False
    """It judges its inputs itself before a job is queued: see `Node.check`."""
    deprecated: bool = False
    experimental: bool = False
    aliases: tuple[str, ...] = ()
    """Old type names, still understood in workflows."""
    pack: str = ""
    digest: str = ""
    """Changes when its code may compute something else."""
    example: str = ""
    """Name of a shipped workflow that shows it."""

    def input(self, name: str) -> Port | None:
        """The input of that name."""
        return next((port for port in self.inputs if port.name == name), None)

    def further(self, names: Iterable[str]) -> tuple[Port, ...]:
        """Ports for those of the names that only `more` stands for."""
        if self.more is None:
            return ()
        known = {port.name for port in self.inputs}
        return tuple(self.more.model_copy(update={"name": name}) for name in names if name not in known)


@dataclass(frozen=True)
class Node:
    """A definition and the function behind it."""

    definition: NodeDef
    function: Callable[..., Any]
    named_outputs: bool = False
    """The function returns a tuple with one item an output, not the only output itself."""
    fingerprint: Callable[..., str] | None = None
    """Called with the inputs before a run; what it returns becomes part of the key."""
    check: Callable[[Mapping[str, Any], Mapping[str, str]], Mapping[str, str]] | None = None
    """Called before a job is queued with the values that are written, and the types of what is linked; returns what is
    wrong, by input, or under "" for the node as a whole."""
    files: tuple[int, ...] = ()
    """Places in that tuple that hold finished files, not outputs: of an output node that passes its input on."""

    def outputs(self, result: Any) -> tuple[Any, ...]:
        """One item an output, from what the function returned."""
        if isinstance(result, Expansion):
            return (result,)
        items = tuple(result) if self.named_outputs else (result,)
        return tuple(item for place, item in enumerate(items) if place not in self.files)

    def made(self, result: Any) -> list[Artifact]:
        """The finished files beside the outputs."""
        given = [result[place] for place in self.files]
        return [file for one in given for file in (one if isinstance(one, list | tuple) else [one])]


def fits(source: str, target: str) -> bool:
    """Whether an output of type `source` may be linked to an input of type `target`."""
    if source == target or ANY in (source, target):
        return True
    sources, targets = set(source.split("|")), set(target.split("|"))
    widened = {wide for one in sources for wide in WIDER.get(one, ())}
    return bool((sources | widened) & targets)


WIDER: dict[str, tuple[str, ...]] = {
    "INT": ("FLOAT", "NUMBER"),
    "FLOAT": ("NUMBER",),
    "BOOLEAN": ("INT", "FLOAT", "NUMBER"),
    "STRING": ("COMBO",),
    "COMBO": ("STRING",),
}
"""Types that a value of the type on the left can stand for without loss."""


# --- the decorator ---------------------------------------------------------------------------------------------------


def node(
    type: str,
    *,
    category: str,
    title: str = "",
    output_node: bool = False,
    volatile: bool = False,
    deprecated: bool = False,
    experimental: bool = False,
    aliases: Sequence[str] = (),
    outputs: Sequence[str] = (),
    example: str = "",
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Makes a typed function a node; the function itself is returned unchanged.

    The docstring is the help text; `Args:`-less, its first line is the summary. `outputs` renames the outputs where
    the wire types' names are not wanted. Raises `TypeError` when an annotation is missing or cannot be drawn.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
        inputs = tuple(port for parameter in parameters for port in _ports(parameter, hints))
        returned = hints.get("return")
        if returned is None and not output_node:
            raise TypeError(f"{type}: {function.__name__} must say what it returns")
        ports, named, files = _outputs(returned, outputs)
        definition = NodeDef(
            type=type,
            title=title or type,
            category=category,
            description=inspect.getdoc(function) or "",
            inputs=inputs,
            outputs=() if output_node and not ports else ports,
            output_node=output_node,
            device=(inspect.isgeneratorfunction(function) and not any(p.lazy for p in inputs)) or _takes_weights(hints),
            volatile=volatile,
            deprecated=deprecated,
            experimental=experimental,
            aliases=tuple(aliases),
            digest=_digest(function),
            example=example,
        )
        function.__node__ = Node(definition, function, named, files=files)  # type: ignore[attr-defined]
        return function

    return decorate


def node_of(function: Callable[..., Any]) -> Node:
    """The `Node` that `@node` attached to a function."""
    return typing.cast(Node, function.__node__)  # type: ignore[attr-defined]


LITERALS: dict[type, str] = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING", Text: "STRING"}


@dataclass(frozen=True)
class _Annotation:
    """An annotation taken apart."""

    core: Any
    marks: tuple[Any, ...] = ()
    optional: bool = False
    lazy: bool = False
    list: bool = False


def _take_apart(hint: Any) -> _Annotation:
    """`Annotated[X, marks] | None`, `Lazy[X]`, `list[X]` -> X and what was around it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = _take_apart(args[0])
        return _replace(inner, marks=(*inner.marks, *args[1:]))
    if origin is Lazy:
        return _replace(_take_apart(args[0]), lazy=True)
    if origin in (list, tuple, Sequence) and args:
        return _replace(_take_apart(args[0]), list=True)
    if origin in (typing.Union, types.UnionType) and type(None) in args:
        rest = tuple(arg for arg in args if arg is not type(None))
        return _replace(_take_apart(typing.Union[rest]), optional=True)  # noqa: UP007 - built at run time
    return _Annotation(hint)


def _replace(annotation: _Annotation, **changes: Any) -> _Annotation:
    return _Annotation(**{**annotation.__dict__, **changes})


def wire_type(core: Any) -> str:
    """The wire type of a Python type: a `Value` class, a literal's type, or a union of them."""
    if core in (Any, Value, object):
        return ANY
    if get_origin(core) in (typing.Union, types.UnionType):
        return "|".join(dict.fromkeys(wire_type(_take_apart(arg).core) for arg in get_args(core)))
    if get_origin(core) is Literal:
        return "COMBO"
    if core is File:
        return "COMBO"
    if isinstance(core, type) and issubclass(core, Value):
        return core.wire
    if core in LITERALS:
        return LITERALS[core]
    raise TypeError(f"{core!r} is no Value class and no type with a JSON schema")


def _is_wire(core: Any) -> bool:
    if get_origin(core) in (typing.Union, types.UnionType):
        return all(_is_wire(_take_apart(arg).core) for arg in get_args(core))
    return core in (Any, object) or (isinstance(core, type) and issubclass(core, Value))


def _ports(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> tuple[Port, ...]:
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
        return (_port(parameter, hints),)
    annotation = _take_apart(hints[parameter.name])
    if each := next((mark for mark in annotation.marks if isinstance(mark, Each)), None):
        field = _field(annotation, each.default)
        return tuple(
            Port(name=name, type=wire_type(annotation.core), default=each.default, field=field) for name in each.names
        )
    marks = [mark for mark in annotation.marks if isinstance(mark, Grows)]
    if not marks:
        raise TypeError(f"**{parameter.name} needs Grows(names) or Each(names) in its annotation")
    return tuple(
        Port(
            name=name,
            type=wire_type(annotation.core),
            required=i < marks[0].required,
            field=None if _is_wire(annotation.core) else _field(annotation, None),
            list=annotation.list,
            grows=parameter.name,
        )
        for i, name in enumerate(marks[0].names)
    )


def _port(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Port:
    if parameter.name not in hints:
        raise TypeError(f"{parameter.name}: a node's parameter must be annotated")
    annotation = _take_apart(hints[parameter.name])
    has_default = parameter.default is not inspect.Parameter.empty
    wire = _is_wire(annotation.core)
    widget = next((mark for mark in annotation.marks if isinstance(mark, Widget)), Widget())
    description = next((m.description for m in annotation.marks if getattr(m, "description", None)), "")
    return Port(
        name=parameter.name,
        type=wire_type(annotation.core),
        required=not (annotation.optional or (wire and has_default)),
        default=parameter.default if has_default and not wire else None,
        field=None if wire else _field(annotation, parameter.default if has_default else None),
        lazy=annotation.lazy,
        list=annotation.list,
        advanced=widget.advanced,
        description=description,
    )


def _field(annotation: _Annotation, default: Any) -> dict[str, Any]:
    """JSON schema of a literal, with our marks."""
    plain = [mark for mark in annotation.marks if not isinstance(mark, Folder | References | Widget | Grows | Each)]
    core = str if annotation.core in (File, Text) else annotation.core
    hint: Any = Annotated[core, *plain] if plain else core
    schema = TypeAdapter(hint).json_schema()
    if "const" in schema:  # a Literal of one
        schema = {"type": "string", "enum": [schema["const"]]}
    schema.pop("description", None)
    for mark in annotation.marks:
        if isinstance(mark, Folder):
            schema["folder"] = mark.name
            schema |= {"extra": list(mark.extra)} if mark.extra else {}
            schema |= {"media": mark.media} if mark.media else {}
        elif isinstance(mark, References):
            schema["references"] = {"folder": mark.folder, "pattern": mark.pattern}
        elif isinstance(mark, Widget):
            schema |= {"widget": mark.kind} if mark.kind else {}
            schema |= {"step": mark.step} if mark.step is not None else {}
            schema |= dict(mark.extra)
    if default is not None:
        schema["default"] = default
    return schema


def _outputs(hint: Any, names: Sequence[str]) -> tuple[tuple[OutputPort, ...], bool, tuple[int, ...]]:
    """The outputs of a return annotation, whether they come as a named tuple, and which of it are files."""
    if get_origin(hint) is Generator:
        hint = get_args(hint)[2]
    if hint in (None, type(None)):
        return (), False, ()
    named = isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")
    hints = typing.get_type_hints(hint, include_extras=True) if named else {"": hint}
    parts = [(name, _take_apart(one)) for name, one in hints.items()]
    files = tuple(place for place, (_, part) in enumerate(parts) if part.core is Artifact)
    given = [(name or wire_type(part.core), part) for name, part in parts if part.core is not Artifact]
    ports = tuple(
        OutputPort(name=names[i] if names else name, type=wire_type(part.core), list=part.list)
        for i, (name, part) in enumerate(given)
    )
    return ports, named, files if named else ()


def _takes_weights(hints: Mapping[str, Any]) -> bool:
    cores = [_take_apart(hint).core for name, hint in hints.items() if name != "return"]
    flat = [part for core in cores for part in (get_args(core) or (core,))]
    return any(isinstance(part, type) and issubclass(part, Value) and part.on_device for part in flat)


def _digest(function: Callable[..., Any]) -> str:
    """Of the file that holds the function, and of GraphFlow's version: what may change what it computes."""
    try:
        source = Path(inspect.getfile(function)).read_bytes()
    except (OSError, TypeError):
        source = function.__qualname__.encode()
    return hashlib.sha256(source + __version__.encode()).hexdigest()[:16]

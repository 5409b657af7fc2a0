"""One call of the API: what a handler is given, and how its answer is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from graphflow.config import Config
from graphflow.errors import BadRequest, Problem, TooLarge, UnsupportedMedia
from graphflow.service import Service
from graphflow.workflow import load_json

SERVICE = web.AppKey("service", Service)
CONFIG = web.AppKey("config", Config)

LARGE = 200_000
"""Bytes of JSON from which on it is read in a thread."""


class Nothing(BaseModel):
    """No parameters, or no body."""

    model_config = ConfigDict(extra="ignore")


Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """A request whose parameters and body are checked."""

    request: web.Request
    query: Q
    body: B

    @property
    def service(self) -> Service:
        """What does the work."""
        return self.request.app[SERVICE]

    @property
    def config(self) -> Config:
        """The settings."""
        return self.request.app[CONFIG]

    def part(self, name: str) -> str:
        """A variable part of the path."""
        return self.request.match_info[name]


@dataclass(frozen=True)
class Answer:
    """A model to be written, with what is unusual about it."""

    content: BaseModel | None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Call[Any, Any]], Awaitable[BaseModel | Answer | web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """A row of the table: the server, its description and the tests are made from it."""

    method: str
    path: str
    handler: Handler
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    """Model of the JSON answer; None: there is none, or it is of the type `media`."""
    status: int = 200
    media: str = "application/json"
    takes: str = ""
    """Media type of a body that is not JSON."""
    errors: tuple[int, ...] = ()
    """Statuses of the errors that a caller is to expect, beside those that any call can have."""

    @property
    def name(self) -> str:
        """Of the operation."""
        return self.handler.__name__.rstrip("_")


def as_aiohttp(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler as aiohttp calls it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        query = checked(route.query, dict(request.query), "the address")
        body = Nothing() if route.body is None else await read_body(request, route.body)
        return written(await route.handler(Call(request, query, body)), route.status)

    handle.__name__ = route.name
    return handle


def written(answer: BaseModel | Answer | web.StreamResponse, status: int = 200) -> web.StreamResponse:
    """The response to a handler's answer."""
    if isinstance(answer, web.StreamResponse):
        return answer
    if isinstance(answer, BaseModel):
        answer = Answer(answer, status)
    headers = dict(answer.headers)
    if answer.content is None:
        return web.Response(status=204, headers=headers)
    text = answer.content.model_dump_json()
    response = web.Response(text=text, status=answer.status, headers=headers, content_type="application/json")
    if len(text) > 10_000:
        response.enable_compression()
    return response


async def read_body(request: web.Request, model: type[B]) -> B:
    """The JSON body, checked; none stands for an empty object. Raises `BadRequest`, `TooLarge`, `UnsupportedMedia`."""
    data = await read_raw(request, request.app[CONFIG].max_body)
    if not data:
        return checked(model, {}, "the body")
    if request.content_type != "application/json":
        raise UnsupportedMedia(f"send JSON with 'Content-Type: application/json', not {request.content_type!r}")
    content = await asyncio.to_thread(load_json, data) if len(data) > LARGE else load_json(data)
    if not isinstance(content, dict):
        raise BadRequest(f"the body is a JSON {_kind(content)}; it must be an object")
    return checked(model, content, "the body")


async def read_raw(request: web.Request, limit: int) -> bytes:
    """The body's bytes. Raises `TooLarge` as soon as there is one more than the limit."""
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(f"the body has {request.content_length:,} bytes; at most {limit:,} are taken")
    parts, size = [], 0
    async for part in request.content.iter_chunked(2**16):
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body has more than the {limit:,} bytes that are taken at most")
        parts.append(part)
    return b"".join(parts)


def checked(model: type[B], data: dict[str, Any], where: str) -> B:
    """The model of these data. Raises `BadRequest` with every fault."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_problem(fault) for fault in error.errors(include_url=False, include_context=False)]
        told = "; ".join(problem.message for problem in problems[:3])
        raise BadRequest(f"{where} is not as it should be: {told}", problems) from error


def _problem(fault: Any) -> Problem:
    place = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return Problem(message=f"{place}: {message}" if place else message, code=str(fault["type"]))


def _kind(content: Any) -> str:
    return {list: "list", str: "string", bool: "truth value", type(None): "null"}.get(type(content), "number")

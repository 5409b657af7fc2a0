"""What the routes of this door share: its state, and how its requests and answers are read and written."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import web

from graphflow.comfy.history import prompt_of
from graphflow.comfy.object_info import Names
from graphflow.comfy.signatures import Signatures
from graphflow.comfy.users import Users
from graphflow.config import Config
from graphflow.errors import BadRequest, NotFound
from graphflow.server.call import read_raw
from graphflow.service import Service
from graphflow.workflow import load_json

REMEMBERED = 1000
"""Jobs whose particulars are kept at hand."""


@dataclass(frozen=True)
class Particulars:
    """What the messages about a job need beside its events."""

    client: str | None
    types: Mapping[str, str]
    outputs: frozenset[str]
    previews: bool | None = None
    """Whether the prompt asked for previews; None: it did not say."""


@dataclass
class Door:
    """The state of this door; the jobs are the service's."""

    service: Service
    config: Config
    users: Users
    counter: int = 0
    """Prompts that came without a number of their own."""
    sockets: dict[str, web.WebSocketResponse] = field(default_factory=dict)
    """By client id: whoever connected last under it."""
    readers: set[str] = field(default_factory=set)
    """Clients that want to hear the log."""
    _signatures: Signatures | None = None
    _jobs: OrderedDict[str, Particulars] = field(default_factory=OrderedDict)

    async def signatures(self) -> Signatures:
        """What is known of node types now."""
        definitions = await self.service.definitions()
        if self._signatures is None or self._signatures.definitions is not definitions:
            self._signatures = Signatures(definitions)
        return self._signatures

    def names(self) -> Names:
        """The files of each folder, looked up once for one request."""

        @cache
        def names(folder: str) -> Sequence[str]:
            return tuple(self.service.finder.names(folder))

        return names

    async def particulars(self, job: str) -> Particulars:
        """Of a job. Raises `NotFound`."""
        if (known := self._jobs.get(job)) is not None:
            return known
        signatures = await self.signatures()
        stored = await self.service.jobs.get(job)
        prompt = prompt_of(stored, signatures)
        types = {id: str(node.get("class_type")) for id, node in prompt.items()}
        lookup = signatures.definitions.lookup
        outputs = frozenset(id for id, type in types.items() if (found := lookup(type)) and found.output_node)
        client = stored.extra.get("client_id")
        previews = _wants_previews(stored.extra.get("extra_data"))
        found_now = Particulars(client if isinstance(client, str) else None, types, outputs, previews)
        self._jobs[job] = found_now
        while len(self._jobs) > REMEMBERED:
            self._jobs.popitem(last=False)
        return found_now

    async def remaining(self) -> int:
        """Jobs that wait or run."""
        counts = await self.service.jobs.counts()
        return counts["queued"] + counts["running"]

    async def data(self, asset: str) -> bytes:
        """The bytes of a result; none when it is gone."""
        try:
            path = self.service.assets.path(await self.service.assets.get(asset))
            return await asyncio.to_thread(path.read_bytes)
        except (NotFound, OSError):
            return b""

    async def text(self, asset: str, limit: int = 2**20) -> str:
        """The content of a text result, as far as it is not too long."""
        return (await self.data(asset))[:limit].decode("utf-8", "replace")


def _wants_previews(extra_data: Any) -> bool | None:
    """What a prompt says of previews, by ComfyUI's names for the ways to make them."""
    method = extra_data.get("preview_method") if isinstance(extra_data, dict) else None
    return {"auto": True, "latent2rgb": True, "taesd": True, "none": False}.get(str(method))


DOOR = web.AppKey("comfyui", Door)


def door_of(request: web.Request) -> Door:
    """The door that a request came through."""
    return request.app[DOOR]


def answer(data: Any, status: int = 200) -> web.Response:
    """JSON as ComfyUI's clients read it."""
    text = json.dumps(data, allow_nan=False)
    response = web.Response(text=text, status=status, content_type="application/json", charset="utf-8")
    if len(text) > 10_000:
        response.enable_compression()
    return response


async def read_json(request: web.Request, *, empty: Any = None) -> Any:
    """The body's JSON, whatever content type it claims. Raises `BadRequest` or `TooLarge`."""
    data = await read_raw(request, request.app[DOOR].config.max_body)
    if not data and empty is not None:
        return empty
    return await asyncio.to_thread(load_json, data)


async def read_object(request: web.Request, *, empty: Any = None) -> dict[str, Any]:
    """The same, of a body that must be an object."""
    data = await read_json(request, empty=empty)
    if not isinstance(data, dict):
        raise BadRequest("the body must be a JSON object")
    return data


def number_in(request: web.Request, name: str) -> int | None:
    """A whole number in the address. Raises `BadRequest`."""
    text = request.query.get(name)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise BadRequest(f"{name} is {text[:40]!r}; it must be a whole number") from error


def is_true(request: web.Request, name: str, default: str = "false") -> bool:
    """A truth value in the address."""
    return request.query.get(name, default).lower() in ("true", "1")

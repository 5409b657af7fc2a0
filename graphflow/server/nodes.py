"""What there is to build with: node types and models."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from aiohttp import web

from graphflow.listing import listing
from graphflow.node import NodeDef
from graphflow.registry import BrokenPack, Definitions
from graphflow.server import schemas
from graphflow.server.call import Call, Nothing
from graphflow.server.library import shown_by


async def list_nodes(call: Call[Nothing, Nothing]) -> web.StreamResponse:
    """Every node type: its inputs with JSON schemas of their values, its outputs, its help."""
    definitions = await call.service.definitions()
    catalog = call.request.app[CATALOG]
    etag, text = await asyncio.to_thread(catalog.written, definitions, call.service.broken_packs())
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    response = web.Response(text=text, headers=headers, content_type="application/json")
    response.enable_compression()
    return response


class Catalog:
    """The node types as they are sent, written once for each state of the definitions."""

    def __init__(self) -> None:
        self._of: tuple[Definitions, Sequence[BrokenPack]] | None = None
        self._written = ("", "")

    def written(self, definitions: Definitions, broken: Sequence[BrokenPack]) -> tuple[str, str]:
        """Their ETag, and the answer as text."""
        if self._of is None or self._of[0] is not definitions or self._of[1] != broken:
            told = [schemas.BrokenPackAnswer(pack=pack.pack, reason=pack.reason) for pack in broken]
            shown = shown_by()
            nodes = [_with_example(definition, shown) for definition in definitions.values()]
            text = schemas.NodesAnswer(nodes=nodes, broken=told).model_dump_json()
            self._written = (f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"', text)
            self._of = (definitions, broken)
        return self._written


def _with_example(definition: NodeDef, shown: Mapping[str, Sequence[str]]) -> NodeDef:
    """With a template that shows it, if the node names none itself."""
    if definition.example or definition.type not in shown:
        return definition
    return definition.model_copy(update={"example": shown[definition.type][0]})


CATALOG = web.AppKey("catalog", Catalog)


async def list_models(call: Call[Nothing, Nothing]) -> schemas.ModelsAnswer:
    """Models on disk by folder, with what their headers say they are; hashes as far as they are known."""
    found = await asyncio.to_thread(listing, call.service.models)
    return schemas.ModelsAnswer(folders={folder: [told for _, told in models] for folder, models in found.items()})

"""What there is to build with: node types and models."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from graphflow.errors import GraphflowError
from graphflow.files import FOLDERS, ModelFiles
from graphflow.server import schemas
from graphflow.server.call import Answer, Call, Nothing


async def list_nodes(call: Call[Nothing, Nothing]) -> Answer | web.StreamResponse:
    """Every node type: its inputs with JSON schemas of their values, its outputs, its help."""
    definitions = await call.service.definitions()
    broken = call.service.broken_packs()
    etag = f'"{definitions.digest()}-{len(broken)}"'
    headers = (("ETag", etag), ("Cache-Control", "no-cache"))
    if etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=dict(headers))
    told = [schemas.BrokenPackAnswer(pack=pack.pack, reason=pack.reason) for pack in broken]
    return Answer(schemas.NodesAnswer(nodes=list(definitions.values()), broken=told), headers=headers)


async def list_models(call: Call[Nothing, Nothing]) -> schemas.ModelsAnswer:
    """Models on disk by folder, with what their headers say they are."""
    return schemas.ModelsAnswer(folders=await asyncio.to_thread(_models, call.service.models))


def _models(files: ModelFiles) -> dict[str, list[schemas.ModelFile]]:
    return {
        folder: [_described(found.name, found.path, found.size, found.modified) for found in files.listing(folder)]
        for folder in FOLDERS
    }


def _described(name: str, path: Path, size: int, modified: float) -> schemas.ModelFile:
    from graphflow.detect import detect

    try:
        found = detect(path)
    except (GraphflowError, OSError) as error:
        return schemas.ModelFile(name=name, size=size, modified=modified, problem=str(error))
    return schemas.ModelFile(name=name, size=size, modified=modified, kind=found.kind, family=found.family)

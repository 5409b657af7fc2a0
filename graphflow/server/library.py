"""Saved workflows, share links, drafts and templates."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from graphflow import paths
from graphflow.errors import BadRequest, NotFound, PreconditionRequired
from graphflow.server import schemas
from graphflow.server.call import Answer, Call, Nothing, checked
from graphflow.workflows import Draft, Saved, Version


async def list_workflows(call: Call[schemas.WorkflowsQuery, Nothing]) -> schemas.WorkflowsAnswer:
    """Saved workflows whose name, tags or texts hold every word of `search`, last saved first."""
    return schemas.WorkflowsAnswer(workflows=await call.service.workflows.find(call.query.search, call.query.tag))


async def create_workflow(call: Call[Nothing, schemas.CreateBody]) -> Answer:
    """Keeps a new workflow."""
    body = call.body
    return _tagged(
        await call.service.workflows.create(await call.service.native(body.workflow), body.name, body.tags), 201
    )


async def get_workflow(call: Call[Nothing, Nothing]) -> Answer:
    """A saved workflow in its newest version; its ETag is what `If-Match` wants."""
    return _tagged(await call.service.workflows.get(call.part("id")))


async def save_workflow(call: Call[Nothing, schemas.SaveBody]) -> Answer:
    """Saves a new version, if `If-Match` names the newest: nobody overwrites what somebody saved meanwhile."""
    expected, body = _expected(call.request), call.body
    if expected is None:
        raise PreconditionRequired('say which version you have: If-Match: "3", from the ETag when you read it')
    saved = await call.service.workflows.save(
        call.part("id"),
        expected,
        document=None if body.workflow is None else await call.service.native(body.workflow),
        name=body.name,
        tags=body.tags,
        thumbnail=body.thumbnail,
        version_name=body.version_name,
    )
    return _tagged(saved)


async def delete_workflow(call: Call[Nothing, Nothing]) -> Answer:
    """Deletes a workflow with all its versions; its share link ends."""
    await call.service.workflows.delete(call.part("id"))
    return Answer(None)


async def list_workflow_versions(call: Call[Nothing, Nothing]) -> schemas.VersionsAnswer:
    """The versions that are kept: the last 50, and the one that is shared."""
    return schemas.VersionsAnswer(versions=await call.service.workflows.versions(call.part("id")))


async def get_workflow_version(call: Call[Nothing, Nothing]) -> Version:
    """One version."""
    return await call.service.workflows.version(call.part("id"), _number(call.part("version")))


async def restore_version(call: Call[Nothing, schemas.RestoreBody]) -> Answer:
    """Saves an old version as the newest."""
    return _tagged(await call.service.workflows.restore(call.part("id"), _number(call.part("version"))))


async def share_workflow(call: Call[Nothing, schemas.ShareBody]) -> schemas.ShareAnswer:
    """Makes a link that shows one version to whoever has it; a former link ends."""
    token = await call.service.workflows.share(call.part("id"), call.body.version)
    return schemas.ShareAnswer(token=token, url=f"/#share={token}")


async def unshare_workflow(call: Call[Nothing, Nothing]) -> Answer:
    """Ends the share link."""
    await call.service.workflows.unshare(call.part("id"))
    return Answer(None)


async def get_shared(call: Call[Nothing, Nothing]) -> Saved:
    """What a share link shows. The link itself is the permission: no token is asked for."""
    return await call.service.workflows.shared(call.part("token"))


async def list_drafts(call: Call[Nothing, Nothing]) -> schemas.DraftsAnswer:
    """Drafts, last changed first."""
    return schemas.DraftsAnswer(drafts=await call.service.workflows.drafts())


async def get_draft(call: Call[Nothing, Nothing]) -> Answer:
    """A draft as an editor left it."""
    return _tagged_draft(await call.service.workflows.draft(_draft_id(call)))


async def keep_draft(call: Call[Nothing, schemas.DraftBody]) -> Answer:
    """Keeps what an editor has open. With `If-Match`, only if no other window changed it meanwhile."""
    content = call.body.model_dump(mode="json")
    expected = _expected(call.request)
    return _tagged_draft(await call.service.workflows.keep_draft(_draft_id(call), content, expected))


async def drop_draft(call: Call[Nothing, Nothing]) -> Answer:
    """Throws a draft away."""
    await call.service.workflows.drop_draft(_draft_id(call))
    return Answer(None)


async def list_templates(call: Call[Nothing, Nothing]) -> schemas.TemplatesAnswer:
    """The workflows that came with the server."""
    return schemas.TemplatesAnswer(templates=await asyncio.to_thread(_templates, paths.workflows_folder()))


async def get_template_picture(call: Call[Nothing, Nothing]) -> web.StreamResponse:
    """What a template makes."""
    found = _picture(paths.workflows_folder(), call.part("name"))
    if found is None:
        raise NotFound(f"there is no picture of a template {call.part('name')!r}")
    return web.FileResponse(found, headers={"Cache-Control": "no-cache"})


FIRST = "text-to-image"
"""The template that a fresh editor opens: it leads the list."""


SECTIONS = ("first steps", "prompts", "samplers", "tools", "own files")
"""The templates' first tags, in the order in which they are offered; `own files` need models that are not on board."""


def _templates(folder: Path) -> list[schemas.Template]:
    templates = []
    documents: dict[Path, dict[str, Any]] = {
        file: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")
    }
    for file, document in sorted(documents.items(), key=lambda item: _place(*item)):
        picture = f"v1/templates/{file.stem}/thumbnail" if _picture(folder, file.stem) else None
        values = {
            "name": file.stem,
            "title": document.get("name") or file.stem,
            "description": document.get("description", ""),
            "workflow": document,
            "thumbnail": picture,
        }
        templates.append(checked(schemas.Template, values, file.name))
    return templates


def _place(file: Path, document: Mapping[str, Any]) -> tuple[bool, int, str]:
    tag = next(iter(document.get("tags", ())), "")
    return file.stem != FIRST, SECTIONS.index(tag) if tag in SECTIONS else len(SECTIONS), file.stem


def shown_by(folder: Path | None = None) -> dict[str, list[str]]:
    """For each node type the templates that use it: those that run as they are first, then those of fewest nodes."""
    found: dict[str, list[str]] = {}
    files = (folder or paths.workflows_folder()).glob("*.json")
    documents = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}

    def rank(name: str) -> tuple[bool, int, str]:
        return "own files" in documents[name].get("tags", ()), len(documents[name]["nodes"]), name

    for name in sorted(documents, key=rank):
        inner = [sub["nodes"] for sub in documents[name].get("subgraphs", {}).values()]
        for type in sorted({node["type"] for nodes in [documents[name]["nodes"], *inner] for node in nodes.values()}):
            found.setdefault(type, []).append(name)
    return found


def _picture(folder: Path, name: str) -> Path | None:
    if not re.fullmatch(r"[\w-]+", name):
        return None
    candidates = (folder / f"{name}{suffix}" for suffix in (".webp", ".png", ".jpg"))
    return next((path for path in candidates if path.is_file()), None)


def _tagged(saved: Saved, status: int = 200) -> Answer:
    return Answer(saved, status, (("ETag", f'"{saved.version}"'),))


def _tagged_draft(draft: Draft) -> Answer:
    return Answer(draft, 200, (("ETag", f'"{draft.version}"'),))


def _expected(request: web.Request) -> int | None:
    """The version that `If-Match` names; None when it is not there, or `*`."""
    value = request.headers.get("If-Match", "*").strip()
    if value == "*":
        return None
    match = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', value)
    if match is None:
        raise BadRequest(f'If-Match is {value!r}; it must be a version in quotes: "3"')
    return int(match[1])


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotFound(f"there is no version {text!r}")
    return int(text)


def _draft_id(call: Call[Any, Any]) -> str:
    id = call.part("id")
    if not re.fullmatch(r"[\w.:-]{1,128}", id):
        raise BadRequest("a draft's id has 1 to 128 letters, digits, '.', ':', '_' or '-'")
    return id

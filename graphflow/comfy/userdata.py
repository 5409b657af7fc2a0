"""Routes for users, their settings and their files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from graphflow.comfy.call import answer, door_of, is_true, read_json, read_object
from graphflow.comfy.users import User
from graphflow.errors import BadRequest, Forbidden, Unauthorized
from graphflow.server.call import read_raw

HEADER = "comfy-user"


def user_of(request: web.Request) -> User:
    """Whose request it is: with several users the one in its header. Raises `Unauthorized` for one that is unknown."""
    return door_of(request).users.user(request.headers.get(HEADER))


async def get_users(request: web.Request) -> web.Response:
    """The users by id; without `multi_user`, whether the one there is has files here."""
    users = door_of(request).users
    if users.several:
        return answer({"storage": "server", "users": await asyncio.to_thread(users.names)})
    return answer({"storage": "server", "migrated": users.user(None).folder.is_dir()})


async def post_users(request: web.Request) -> web.Response:
    """Adds a user; says its id."""
    users, body = door_of(request).users, await read_object(request)
    name = body.get("username")
    if not users.several:
        return answer({"error": "This server has a single user; start it with --multi-user for more."}, 400)
    if not isinstance(name, str) or not name.strip():
        return answer({"error": "username not provided"}, 400)
    id = await users.add(name.strip())
    return answer({"error": "Duplicate username."}, 400) if id is None else answer(id)


# --- settings --------------------------------------------------------------------------------------------------------


async def get_settings(request: web.Request) -> web.Response:
    """All settings."""
    return answer(await asyncio.to_thread(user_of(request).settings))


async def get_setting(request: web.Request) -> web.Response:
    """One setting, or null."""
    settings = await asyncio.to_thread(user_of(request).settings)
    return answer(settings.get(request.match_info["id"]))


async def post_settings(request: web.Request) -> web.Response:
    """Changes some settings."""
    await user_of(request).change_settings(await read_object(request))
    return web.Response()


async def post_setting(request: web.Request) -> web.Response:
    """Changes one setting."""
    await user_of(request).change_settings({request.match_info["id"]: await read_json(request)})
    return web.Response()


# --- files -----------------------------------------------------------------------------------------------------------


async def list_userdata(request: web.Request) -> web.Response:
    """Files in a folder of the user."""
    user, wanted = user_of(request), request.query.get("dir", "")
    if not wanted:
        raise BadRequest("say which folder: ?dir=")
    folder = user.folder_of(wanted)
    found = await asyncio.to_thread(lambda: list(user.listing(folder, recursive=is_true(request, "recurse"))))
    if is_true(request, "full_info"):
        return answer([user.information(path, name) for name, path in found])
    if is_true(request, "split"):
        return answer([[name, *name.split("/")] for name, _ in found])
    return answer([name for name, _ in found])


async def list_userdata_v2(request: web.Request) -> web.Response:
    """Everything below a folder of the user."""
    try:
        user = user_of(request)
    except Unauthorized as error:
        raise Forbidden(error.message) from error
    wanted = request.query.get("path", "")
    if not wanted and not user.folder.is_dir():
        return answer([])
    try:
        folder = user.folder_of(wanted)
    except Forbidden as error:
        raise BadRequest(error.message) from error
    return answer(await asyncio.to_thread(user.entries, folder))


def _file(request: web.Request, part: str = "file") -> str:
    return unquote(request.match_info[part])


async def get_userdata(request: web.Request) -> web.StreamResponse:
    """A file of the user."""
    path = user_of(request).existing(_file(request))
    kind = "application/json" if path.suffix == ".json" else "application/octet-stream"
    return web.FileResponse(path, headers={"Content-Type": kind, "Content-Security-Policy": "sandbox"})


async def post_userdata(request: web.Request) -> web.Response:
    """Stores a file of the user."""
    user = user_of(request)
    data = await read_raw(request, int(door_of(request).config.max_upload))
    overwrite = is_true(request, "overwrite", "true")
    return _told(request, user, await asyncio.to_thread(user.write, _file(request), data, overwrite=overwrite))


async def delete_userdata(request: web.Request) -> web.Response:
    """Takes a file of the user away."""
    path = user_of(request).existing(_file(request))
    await asyncio.to_thread(path.unlink)
    return web.Response(status=204)


async def move_userdata(request: web.Request) -> web.Response:
    """Gives a file of the user another name."""
    user = user_of(request)
    overwrite = is_true(request, "overwrite", "true")
    moved = await asyncio.to_thread(user.move, _file(request), _file(request, "dest"), overwrite=overwrite)
    return _told(request, user, moved)


def _told(request: web.Request, user: User, path: Path) -> web.Response:
    return answer(user.information(path) if is_true(request, "full_info") else user.name_of(path))

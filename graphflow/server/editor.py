"""The editor's files, and a plain page where they are missing or the token is."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from aiohttp import web

from graphflow import paths
from graphflow.server.security import PAGE_POLICY

TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""Not left to the system's table, which some machines have wrong."""

MISSING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>GraphFlow</title>
<h1>GraphFlow is running</h1>
<p>The editor has not been built in this checkout. Build it with <code>make web</code>, then reload this page.
<p>The API is described at <a href="v1/openapi.json">/v1/openapi.json</a>.
"""
LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>GraphFlow</title>
<h1>GraphFlow</h1>
<p>This server asks for its token. It was printed when the server started, and lies in the file <code>token</code> of its
data folder.
<form action="/" method="get"><label>Token <input name="token" type="password" autocomplete="current-password"></label>
<button>Open</button></form>
"""


async def serve_editor(request: web.Request) -> web.StreamResponse:
    """A file of the editor; `/` is its page."""
    folder = paths.editor_folder()
    wanted = request.match_info.get("path", "") or "index.html"
    file = _inside(folder, wanted)
    if file is None and wanted == "index.html":
        return page(MISSING)
    if file is None:
        raise web.HTTPNotFound
    type = TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if type.startswith("text/") else ""
    headers = {"Content-Type": type + charset, "Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}
    return web.FileResponse(file, headers=headers)


def page(html: str, status: int = 200) -> web.Response:
    """A page without script."""
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
    return web.Response(text=html, status=status, content_type="text/html", headers=headers)


def _inside(folder: Path, wanted: str) -> Path | None:
    """The file of that name below the folder; None when it is not there, or lies elsewhere."""
    if "\0" in wanted or "\\" in wanted:
        return None
    root = folder.resolve()
    file = (root / wanted).resolve()
    hidden = any(part.startswith(".") for part in Path(wanted).parts)
    return file if not hidden and file.is_relative_to(root) and file.is_file() else None

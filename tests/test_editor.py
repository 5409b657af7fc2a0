"""The editor's files agree with what they are made from."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

WEB = Path(__file__).parents[1] / "web"


def test_the_editor_knows_what_the_server_tells() -> None:
    script = WEB / "scripts" / "types.py"

    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_built_editor_is_what_its_sources_give(tmp_path: Path) -> None:
    vite = WEB / "node_modules" / ".bin" / "vite"
    if not vite.exists() and os.environ.get("CI") != "true":
        pytest.skip("the editor's tools are not installed: run `npm ci --ignore-scripts` in web/")

    command = [str(vite), "build", "--outDir", str(tmp_path / "dist"), "--emptyOutDir", "--logLevel", "error"]
    subprocess.run(command, cwd=WEB, check=True)

    assert files(tmp_path / "dist") == files(WEB / "dist"), "web/dist is stale: run `npm run build` in web/ and commit"


def test_what_the_first_page_loads_is_small() -> None:
    dist = WEB / "dist"
    waiting = re.findall(r'<script[^>]+src="\./([\w.-]+)"', (dist / "index.html").read_text())
    loaded: dict[str, int] = {}
    while waiting:
        name = waiting.pop()
        text = (dist / name).read_text()
        loaded[name] = len(gzip.compress(text.encode(), 9))
        waiting += [one for one in STATIC_IMPORT.findall(text) if one not in loaded]

    assert {"editor.js", "vendor.js"} <= loaded.keys()
    assert sum(loaded.values()) < FIRST_LOAD, f"{loaded}: load what the first picture does without later (src/later.ts)"


FIRST_LOAD = 190_000
"""Bytes of JavaScript, gzipped; 200 kB is the promise."""
STATIC_IMPORT = re.compile(r"""(?:^|[;\n])\s*import\b[^()"']*["']\./([\w.-]+\.js)["']""")


def files(folder: Path) -> dict[str, str]:
    """What lies in a folder: name to hash."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}

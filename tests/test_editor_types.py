"""The editor's types are those that the server describes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_editor_knows_what_the_server_tells() -> None:
    script = Path(__file__).parents[1] / "web" / "scripts" / "types.py"

    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")

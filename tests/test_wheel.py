"""An installed wheel has everything that a checkout has: the editor, the workflows, the model on board, the nodes."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CHECK = """
from graphflow import paths
from graphflow.registry import discover
import graphflow_nodes
assert (paths.editor_folder() / "index.html").is_file(), paths.editor_folder()
assert (paths.workflows_folder() / "text-to-image.json").is_file(), paths.workflows_folder()
assert (paths.builtin_models() / "checkpoints/graphflow-emoji/model_index.json").is_file()
assert str(graphflow_nodes.__file__).startswith(str(paths.PACKAGE.parent)), graphflow_nodes.__file__
"""


@pytest.mark.slow
def test_a_wheel_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith("tests") or "node_modules" in name]

    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    subprocess.run([sys.executable, "-c", CHECK], check=True, env={"PYTHONPATH": str(installed)}, cwd=tmp_path)

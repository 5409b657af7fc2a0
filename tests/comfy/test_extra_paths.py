"""ComfyUI's `extra_model_paths.yaml` names further places for models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphflow.cli import main
from graphflow.comfy.extra_paths import read_extra_paths
from graphflow.config import Config, load
from graphflow.errors import BadRequest
from graphflow.service import model_files, worker_settings

FILE = """
other:
    base_path: sub
    checkpoints: models/Stable-diffusion
    loras: |
        models/Lora
        /abs/LyCORIS
    custom_nodes: custom_nodes
mine:
    base_path: {base}
    is_default: true
    unet: models/unet
    clip: models/clip
    number: 3
"""


def test_places_are_read_with_their_bases_old_names_and_defaults_first(tmp_path: Path) -> None:
    file = tmp_path / "extra_model_paths.yaml"
    file.write_text(FILE.format(base=tmp_path / "base"))

    assert read_extra_paths(file) == [
        ("diffusion_models", tmp_path / "base/models/unet"),
        ("text_encoders", tmp_path / "base/models/clip"),
        ("checkpoints", tmp_path / "sub/models/Stable-diffusion"),
        ("loras", tmp_path / "sub/models/Lora"),
        ("loras", Path("/abs/LyCORIS")),
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\tx: 1", "!!python/object/apply:os.system ['true']"])
def test_a_file_that_is_wrong_says_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "extra.yaml"
    file.write_text(text)
    with pytest.raises(BadRequest, match=r"extra\.yaml"):
        read_extra_paths(file)


def test_a_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing")
    assert read_extra_paths(tmp_path / "empty.yaml") == []
    with pytest.raises(BadRequest, match="cannot be read"):
        read_extra_paths(tmp_path / "none.yaml")


def test_models_in_further_places_are_found(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "style.safetensors").write_bytes(b"x")
    config = Config(data=tmp_path / "data", places=(f"loras={tmp_path / 'elsewhere'}",))

    assert "style.safetensors" in model_files(config).names("loras")
    assert worker_settings(config).places[1:] == (("loras", tmp_path / "elsewhere"),)
    with pytest.raises(BadRequest, match="FOLDER=DIR"):
        load({"places": ("no path",), "data": tmp_path}, {})


def test_models_that_another_program_s_file_names_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs/loras").mkdir(parents=True)
    (tmp_path / "theirs/loras/mine.safetensors").write_bytes(b"nothing")
    paths = tmp_path / "extra_model_paths.yaml"
    paths.write_text(f"other:\n  base_path: {tmp_path / 'theirs'}\n  loras: loras\n")

    assert main(["models", "--json", "--data", str(tmp_path / "data"), "--extra-model-paths", str(paths)]) == 0

    told = json.loads(capsys.readouterr().out)["loras"]
    assert {model["name"]: model["path"] for model in told}["mine.safetensors"] == str(
        tmp_path / "theirs/loras/mine.safetensors"
    )

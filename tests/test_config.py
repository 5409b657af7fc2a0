"""Where settings come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow.config import Config, default_data, is_loopback, load, with_token
from graphflow.errors import BadRequest
from graphflow.paths import PACKAGE, builtin_models


def test_flags_come_before_environment_before_file_before_defaults(tmp_path: Path) -> None:
    (tmp_path / "graphflow.toml").write_text('port = 1\ndtype = "float16"\nmax_upload = "1GB"\nmodels = ["/m"]\n')
    environment = {"GRAPHFLOW_DATA": str(tmp_path), "GRAPHFLOW_PORT": "2", "GRAPHFLOW_DTYPE": "bfloat16", "HOME": "/x"}

    config = load({"port": 3, "device": None, "models": ()}, environment)

    assert (config.port, config.dtype, config.device) == (3, "bfloat16", "auto")
    assert (config.data, config.models) == (tmp_path, (Path("/m"),))
    assert config.max_upload == 10**9


def test_several_folders_fit_into_one_variable(tmp_path: Path) -> None:
    config = load({}, {"GRAPHFLOW_DATA": str(tmp_path), "GRAPHFLOW_MODELS": "/a:/b"})
    assert config.models == (Path("/a"), Path("/b"))
    assert config.model_roots == (Path("/a"), Path("/b"), tmp_path / "models", builtin_models())


@pytest.mark.parametrize(
    ("flags", "environment", "file", "said"),
    [
        ({"port": 99999}, {}, "", "port (from --flag)"),
        ({}, {"GRAPHFLOW_PORT": "many"}, "", "port (from the environment)"),
        ({}, {}, "prot = 3", "prot (from graphflow.toml)"),
        ({}, {}, "port = ", "cannot be read"),
        ({"dtype": "float8"}, {}, "", "dtype"),
        ({"packs": ("comfyui",)}, {}, "", "STYLE=FOLDER"),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(
    tmp_path: Path, flags: dict[str, object], environment: dict[str, str], file: str, said: str
) -> None:
    (tmp_path / "graphflow.toml").write_text(file)
    with pytest.raises(BadRequest) as caught:
        load({"data": tmp_path, **flags}, environment)
    assert said in caught.value.message


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no configuration file"):
        load({}, {}, tmp_path / "missing.toml")


def test_a_public_address_has_a_token_that_stays(tmp_path: Path) -> None:
    public = Config(data=tmp_path, host="0.0.0.0")
    first, second = with_token(public), with_token(public)

    assert len(first.token) > 20
    assert first == second
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    assert with_token(Config(data=tmp_path)).token == ""
    assert with_token(Config(data=tmp_path, host="0.0.0.0", token="mine")).token == "mine"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("LOCALHOST.", True),
        ("a.localhost", True), ("0.0.0.0", False), ("localhost.example", False), ("192.168.0.1", False), ("", False),
    ],
)  # fmt: skip
def test_what_means_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_a_checkout_keeps_its_data_in_itself() -> None:
    assert default_data() == PACKAGE.parent / "data"

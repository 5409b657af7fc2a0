"""The settings, and where they come from: flags before environment before configuration file before defaults.

Every setting has one name: `--max-upload 1GB` on the command line, `GRAPHFLOW_MAX_UPLOAD=1GB` in the environment,
`max_upload = "1GB"` in `graphflow.toml`. `docs/deploy.md` lists them all.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, field_validator, model_validator

from graphflow import paths
from graphflow.errors import BadRequest

PREFIX = "GRAPHFLOW_"
FILE = "graphflow.toml"

Device = str
"""`auto`, `cpu`, `mps`, `cuda`, `cuda:1`, or several with commas: one worker each."""


class Config(BaseModel):
    """All settings, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; any but a loopback address needs a token.")
    port: int = Field(8188, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data: Path = Field(default_factory=lambda: default_data(), description="Folder for everything the server keeps.")
    models: tuple[Path, ...] = Field((), description="Folders with models, laid out as checkpoints/, loras/, vae/, ...")
    places: tuple[str, ...] = Field(
        (),
        description="Further directories for one folder of models, each as FOLDER=DIR, for example loras=/data/loras.",
    )
    device: Device = Field("auto", description="auto, cpu, mps, cuda or cuda:N; several with commas.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field("auto", description="Precision of the networks.")
    workers: Literal["process", "local", "ray"] = Field("process", description="Where jobs run.")
    ray_address: str = Field("auto", description="The Ray cluster, with workers = ray.")
    jobs_per_worker: int = Field(4, ge=1, le=64, description="Jobs whose steps a device takes in turn.")
    database: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    token: str = Field("", description="Secret that every request must show.")
    allowed_hosts: tuple[str, ...] = Field((), description="Host names that the server answers to, beside its own.")
    allowed_origins: tuple[str, ...] = Field(
        (), description="Other sites whose pages may use the server, as http://HOST:PORT; * for any, with a token."
    )
    max_body: ByteSize = Field(ByteSize(32 * 2**20), description="Largest JSON body.")
    max_upload: ByteSize = Field(ByteSize(256 * 2**20), description="Largest uploaded file.")
    memory_cache: ByteSize = Field(ByteSize(2 * 2**30), description="Results kept in memory.")
    disk_cache: ByteSize = Field(
        ByteSize(10 * 2**30), description="Results kept on disk, and as much again of frozen ones; 0 keeps none."
    )
    vram_limit: ByteSize = Field(ByteSize(0), description="Device memory to use at most; 0: what there is.")
    batching: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether jobs share calls of a network; auto: on accelerators."
    )
    packs: tuple[str, ...] = Field(
        (),
        description="Folders of node packs in another style, each as STYLE=FOLDER, for example comfyui=~/custom_nodes.",
    )
    options: dict[str, str] = Field({}, description="Compatibility settings of nodes, by name.")
    front_end: Literal["graphflow", "comfyui"] = Field(
        "graphflow", description="The editor at /: ours, or ComfyUI's if its package is installed."
    )
    multi_user: bool = Field(
        False, description="Whether ComfyUI's editor keeps settings and workflows for several users, without passwords."
    )
    history: int = Field(10_000, ge=0, description="Finished jobs that are remembered.")

    @field_validator("models", "allowed_hosts", "allowed_origins", "packs", "places", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """From the environment, several are one text."""
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("packs", mode="after")
    @classmethod
    def _style_and_folder(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pack in value:
            if not all(part.strip() for part in pack.partition("=")):
                raise ValueError(f"{pack!r} must be STYLE=FOLDER, for example comfyui=/home/me/custom_nodes")
        return value

    @field_validator("allowed_origins", mode="after")
    @classmethod
    def _scheme_and_host(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.strip().rstrip("/").lower() for origin in value)
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} must be * or a site such as https://app.example or http://localhost:3000")
        return origins

    @model_validator(mode="after")
    def _any_page_shows_a_token(self) -> Self:
        if "*" in self.allowed_origins and not self.token:
            raise ValueError(
                "allowed_origins is *, so that any web page could use this server: set a token, or name the sites"
            )
        return self

    @field_validator("places", mode="after")
    @classmethod
    def _folder_and_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place in value:
            if not all(part.strip() for part in place.partition("=")):
                raise ValueError(f"{place!r} must be FOLDER=DIR, for example loras=/data/loras")
        return value

    @field_validator("data", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("models", mode="after")
    @classmethod
    def _all_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().resolve() for path in value)

    @property
    def database_url(self) -> str:
        """Where jobs, assets and workflows are kept."""
        return self.database or f"sqlite:///{self.data / 'graphflow.sqlite'}"

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """The user's, the data folder's, and the models on board, in this order."""
        return (*self.models, self.data / "models", paths.builtin_models())

    @property
    def more_places(self) -> tuple[tuple[str, Path], ...]:
        """Further directories for a models folder, by its name."""
        parts = (place.partition("=") for place in self.places)
        return tuple((folder.strip(), Path(path).expanduser().resolve()) for folder, _, path in parts)

    @property
    def devices(self) -> tuple[str, ...]:
        """One worker each."""
        return tuple(part.strip() for part in self.device.split(",") if part.strip()) or ("auto",)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def default_data() -> Path:
    """`data/` of a checkout; for an installed package the platform's folder for a user's data."""
    checkout = paths.PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "data"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "GraphFlow"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "GraphFlow"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "graphflow"


def load(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> Config:
    """The settings from all their places; a flag that is None was not given.

    `file` is what `--config` names; without it `graphflow.toml` in the data folder is read when it is there. Raises
    `BadRequest` naming every setting that is wrong and where it came from.
    """
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    from_environment = _from_environment(environment)
    data = Path(given.get("data") or from_environment.get("data") or default_data())
    from_file = _from_file(file or data.expanduser() / FILE, required=file is not None)
    merged = {**from_file, **from_environment, **given}
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        places = {"--flag": given, "the environment": from_environment, str(file or FILE): from_file}
        raise BadRequest("; ".join(_fault(fault, places) for fault in error.errors())) from error


def with_token(config: Config) -> Config:
    """The same, with a token where the address asks for one: kept in the data folder, made on the first start."""
    if config.token or config.is_loopback:
        return config
    file = config.data / "token"
    if not file.is_file():
        config.data.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return config.model_copy(update={"token": file.read_text().strip()})


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {PREFIX + name.upper(): name for name in Config.model_fields}
    return {names[key]: value for key, value in environment.items() if key in names and value}


def _from_file(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError as error:
        if required:
            raise BadRequest(f"there is no configuration file {file}") from error
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}") from error


def _fault(fault: Any, places: Mapping[str, Mapping[str, Any]]) -> str:
    name = str(fault["loc"][0]) if fault["loc"] else "settings"
    place = next((place for place, values in places.items() if name in values), "the defaults")
    return f"{name} (from {place}): {fault['msg']}"

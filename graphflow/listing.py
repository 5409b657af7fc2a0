"""What there is to say of every model on disk: read from headers alone, told alike by the server and the command line."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from graphflow.errors import GraphflowError
from graphflow.files import FOLDERS, Found, ModelFiles


class ModelFile(BaseModel):
    """A model on disk, as far as its header tells."""

    model_config = ConfigDict(defer_build=True)

    name: str
    size: int
    modified: float
    sha256: str = ""
    """Of its content, by which others know it; empty until it is used for the first time, or hashed on request."""
    kind: str = ""
    family: str = ""
    families: list[str] = []
    """Titles of the families that it may be of, the likeliest first."""
    dtype: str = ""
    format: str = ""
    parameters: int = 0
    parts: list[str] = []
    lacks: list[str] = []
    """Parts that a checkpoint of its family usually has, and this one has not."""
    problem: str = ""
    """Why it cannot be used."""


def listing(files: ModelFiles, *, compute: bool = False) -> dict[str, list[tuple[Found, ModelFile]]]:
    """Every model by folder. Hashes that are not known are computed only with `compute`: that reads whole files."""
    return {folder: [(found, _told(files, found, compute)) for found in files.listing(folder)] for folder in FOLDERS}


def _told(files: ModelFiles, found: Found, compute: bool) -> ModelFile:
    try:
        sha256 = files.sha256(found, compute=compute)
    except OSError:  # it went away meanwhile, as the next listing will show
        sha256 = ""
    read = _read(found.path, found.size, found.modified)
    own = {"name": found.name, "size": found.size, "modified": found.modified, "sha256": sha256}
    return read.model_copy(update=own)


@lru_cache(maxsize=10_000)
def _read(path: Path, size: int, modified: float) -> ModelFile:
    """What the header of a file of that size and time says."""
    from graphflow.detect import detect  # a server answers before it needs them
    from graphflow.families import FAMILIES

    blank = ModelFile(name="", size=size, modified=modified)
    try:
        found = detect(path)
    except (GraphflowError, OSError) as error:
        return blank.model_copy(update={"problem": str(error)})
    return blank.model_copy(
        update={
            "kind": found.kind,
            "family": found.family,
            "families": [FAMILIES[name].title if name in FAMILIES else name for name in found.families],
            "dtype": found.dtype,
            "format": found.format,
            "parameters": found.parameters,
            "parts": [part.name for part in found.parts],
            "lacks": list(found.lacks),
        }
    )

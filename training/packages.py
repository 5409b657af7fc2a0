"""The data packages: fetched from the npm registry, checked against the expected version, read without unpacking."""

import argparse
import json
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path("runs/training/packages")


class WrongPackage(ValueError):
    """A data package is missing or of another version than this code was written for."""


@dataclass(frozen=True)
class Package:
    """An npm package at the one version whose pictures and names this code knows."""

    name: str
    version: str
    licence: str

    @property
    def file_name(self) -> str:
        """The name under which `npm pack` stores the archive."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


NOTO = Package("@iconify-json/noto", "1.2.9", "Apache-2.0")
EMOJIBASE = Package("emojibase-data", "17.0.0", "MIT")
ALL = (NOTO, EMOJIBASE)


def fetch(package: Package, folder: Path = DATA) -> Path:
    """Path of the package's archive in `folder`, downloaded by `npm pack` when it is not there yet."""
    path = folder / package.file_name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    check(package, path)
    return path


def check(package: Package, path: Path) -> None:
    """Raise WrongPackage unless the archive at `path` is the expected package at the expected version."""
    found = read_member(path, "package.json")
    if (found.get("name"), found.get("version")) != (package.name, package.version):
        raise WrongPackage(
            f"{path} holds {found.get('name')} {found.get('version')}, but {package.name} {package.version} "
            f"is expected: delete the file and run `python -m training.packages` to fetch the right one"
        )


def read_member(path: Path, member: str) -> Any:
    """The JSON document `member` of a package's archive."""
    try:
        with tarfile.open(path) as archive:
            stream = archive.extractfile(f"package/{member}")
            assert stream is not None
            return json.load(stream)
    except (tarfile.TarError, KeyError, OSError) as error:
        raise WrongPackage(f"{path} is no package archive with a {member}: delete it and fetch again") from error


@cache
def read(package: Package, member: str, folder: Path = DATA) -> Any:
    """The JSON document `member` of `package`, fetched and checked first."""
    return read_member(fetch(package, folder), member)


def main() -> None:
    """Fetch every data package and print where it lies."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder for the archives (default: %(default)s)")
    folder = parser.parse_args().data
    for package in ALL:
        print(f"{fetch(package, folder)}  {package.name} {package.version} ({package.licence})")


if __name__ == "__main__":
    main()

"""A request to a route of a node pack, on its way from the server to the worker that has the pack, and the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STYLE = "comfyui"
"""Of the desk in the worker that takes these."""
PATIENCE = 60.0
"""Seconds that a pack may take for an answer."""
LARGEST = 64 * 2**20
"""Bytes of an answer."""


@dataclass(frozen=True)
class Asked:
    """A request. The server's own secrets are not in it."""

    method: str
    target: str
    """Path and query, percent-encoded as they came."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Answered:
    """The pack's answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Faulty:
    """There is no answer, for this reason."""

    reason: str


@dataclass(frozen=True)
class Prompted:
    """What a client asks to be run, for packs to change: a question, and its answer."""

    body: Mapping[str, Any]


@dataclass(frozen=True)
class Route:
    """A method (`*` for any) and a regular expression of paths."""

    method: str
    path: str

    def fits(self, method: str, path: str) -> bool:
        """Whether it takes this request."""
        known = self.method in ("*", method) or (method == "HEAD" and self.method == "GET")
        return known and re.fullmatch(self.path, path) is not None


@dataclass(frozen=True)
class About:
    """What the desk of the packs takes."""

    routes: Sequence[Route] = ()
    changes_prompts: bool = False

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"routes": [[one.method, one.path] for one in self.routes], "changes_prompts": self.changes_prompts}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> About:
        """From JSON."""
        return cls(tuple(Route(*one) for one in told["routes"]), bool(told["changes_prompts"]))

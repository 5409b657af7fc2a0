"""Recorded sessions of real clients, replayed: the same requests are answered alike, and the same messages come."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.conftest import Client, Socket
from tests.comfy.recording import ID, SESSIONS, fits, shape, told
from tests.fakes import World

FILES = sorted(SESSIONS.glob("*.json"))
ENDED = ["executing", {"node": None}]


class Replay:
    """A session against a fresh server: ids that it gives out stand for those that were given out then."""

    def __init__(self, client: Client, entries: list[dict[str, Any]]) -> None:
        self.client = client
        self.entries = entries
        self.ids: dict[str, str] = {}
        self.socket: Socket | None = None
        self.heard: list[Any] = []
        self.ends = 0
        """Runs whose end was told when the session was recorded, up to the present entry."""
        self.given = ""
        """The id that the server gave to the socket."""
        self.is_named = True
        """Whether the client named itself, rather than take that id."""

    async def run(self) -> None:
        for entry in self.entries:
            if "socket" in entry:
                if self.socket is None:
                    self.socket = Socket(await self.client.ws_connect(self.now(entry["socket"])))
                    self.given = (await self.socket.next())["data"]["sid"]
                    self.is_named = "clientId=" in entry["socket"]
            elif "said" in entry:
                assert self.socket is not None
                await self.socket.raw.send_str(self.now(entry["said"]))
            elif "heard" in entry:
                self.ends += entry["heard"] == ENDED
            else:
                await self.catch_up()
                await self.ask(entry)
        await self.catch_up()

    async def catch_up(self) -> None:
        """Hears all that the client had heard when it asked: up to as many ends of runs."""
        while self.socket is not None and sum(one == ENDED for one in self.heard) < self.ends:
            if (kept := told(await self.socket.next())) is not None:
                self.heard.append(json.loads(json.dumps(kept)))

    async def ask(self, entry: dict[str, Any]) -> None:
        body = entry.get("body")
        is_binary = entry.get("type", "").startswith("multipart/")
        data = base64.b64decode(body) if body and is_binary else self.now(body).encode() if body else None
        headers = {"Content-Type": entry["type"]} if body else {}
        async with self.client.request(entry["method"], self.now(entry["path"]), data=data, headers=headers) as got:
            where = f"{entry['method']} {entry['path']}"
            assert got.status == entry["status"], f"{where}: {await got.text()}"
            if "shape" not in entry:
                assert got.content_type == entry["kind"], where
                return
            answer = await got.json()
            if isinstance(entry["shape"], str):
                assert type(answer).__name__ == entry["shape"], where
            else:
                assert fits(shape(answer), entry["shape"]), f"{where}: {shape(answer)} is not like {entry['shape']}"
            if isinstance(answer, dict) and "prompt_id" in answer:
                self.queued.append(answer["prompt_id"])

    @property
    def queued(self) -> list[str]:
        """Ids of prompts, in the order in which they were queued."""
        return self.__dict__.setdefault("_queued", [])

    def now(self, text: str) -> str:
        """A text with the last prompt's present id in place of what was its id in a path then, and the client's in a body."""
        if not self.is_named:
            text = re.sub(rf'(?<="client_id":"){ID.pattern}', self.given, text)
        if not text.startswith("/") or not self.queued:
            return text
        return re.sub(rf"(?<=/){ID.pattern}", self.queued[-1], text)


def test_sessions_are_kept() -> None:
    assert {file.stem for file in FILES} >= {
        "comfy_api_simplified",
        "stable_canvas_comfyui_client",
        "the_reference_editor_queues_and_shows_progress_and_picture",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_session_goes_as_it_went(client: Client, it: World, file: Path) -> None:
    entries = json.loads(file.read_text(encoding="utf-8"))
    it.worker.gate.set()
    replay = Replay(client, entries)

    await asyncio.wait_for(replay.run(), 30)

    assert [one for one in replay.heard if one[0] != "binary"] == [
        entry["heard"] for entry in entries if "heard" in entry and entry["heard"][0] != "binary"
    ]  # how many previews come depends on the moment

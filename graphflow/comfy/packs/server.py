"""Stands for ComfyUI's server where packs register routes, look at prompts and send messages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import PIL.Image
from aiohttp import web

from graphflow.comfy.packs.stage import say, send_picture, tell_text
from graphflow.comfy.passing import LARGEST


class BinaryEventTypes:
    """Kinds of binary messages."""

    PREVIEW_IMAGE = 1
    UNENCODED_PREVIEW_IMAGE = 2
    TEXT = 3


class Server:
    """`PromptServer.instance`: what a running node says is passed on, and so is what clients ask of packs' routes."""

    def __init__(self) -> None:
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.routes = web.RouteTableDef()
        self.app = web.Application(client_max_size=LARGEST)
        self.supports: list[str] = []
        self.prompt_handlers: list[Callable[[dict[str, Any]], Any]] = []

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where routes are answered: it runs on a thread of its own from when it is first wanted."""
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="pack-routes", daemon=True).start()
        return loop

    def send_sync(self, event: str | int, data: Any, sid: str | None = None) -> None:
        """A message for the pack's own scripts in the page that asked for the run, or `(format, picture, size)` for it."""
        if isinstance(event, str):
            say(event, data)
        elif event == BinaryEventTypes.UNENCODED_PREVIEW_IMAGE and isinstance(data[1], PIL.Image.Image):
            send_picture(str(data[0]), data[1])

    def send_progress_text(self, text: str, node_id: Any = None, sid: str | None = None) -> None:
        """Says in words how far the running node is."""
        tell_text(text if isinstance(text, str) else bytes(text).decode("utf-8", "replace"))

    def add_on_prompt_handler(self, handler: Callable[[dict[str, Any]], Any]) -> None:
        """A function that is given each prompt before it is checked, and returns it as it is to be."""
        self.prompt_handlers.append(handler)

"""Stands for ComfyUI's server where packs register routes and send messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.comfy.packs.stage import say, tell_text


class Server:
    """`PromptServer.instance`: what a running node says is passed on; routes go nowhere."""

    def __init__(self) -> None:
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.loop = None
        self.routes = Routes()
        self.app = Routes()
        self.supports: list[str] = []

    def send_sync(self, event: str, data: Any, sid: str | None = None) -> None:
        """A message for the pack's own scripts in the page that asked for the run; pictures in binary are not sent."""
        if isinstance(event, str):
            say(event, data)

    def send_progress_text(self, text: str, node_id: Any = None, sid: str | None = None) -> None:
        """Says in words how far the running node is."""
        tell_text(text if isinstance(text, str) else bytes(text).decode("utf-8", "replace"))

    def add_on_prompt_handler(self, handler: Any) -> None:
        """Prompts are not changed by packs."""


class Routes:
    """Takes routes, folders and hooks of an application, as decorators too, and serves none."""

    def __init__(self) -> None:
        self.middlewares: list[Any] = []
        self.on_startup: list[Any] = []
        self.on_shutdown: list[Any] = []
        self.on_cleanup: list[Any] = []

    @property
    def router(self) -> Routes:
        """Itself."""
        return self

    def _keep(self, *_: Any, **__: Any) -> Callable[[Any], Any]:
        return lambda function: function

    get = post = put = delete = patch = head = options = view = static = route = _keep
    add_get = add_post = add_put = add_delete = add_patch = add_route = add_routes = add_static = _keep

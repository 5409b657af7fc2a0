"""The editor as a person meets it: found by role and label, never by pixel or class where a name will do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from playwright.sync_api import BrowserContext, FilePayload, Locator, Page, Request, Response, expect

REPORT_CSP = (
    "addEventListener('securitypolicyviolation', e => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`))"
)


class Watch:
    """Hears every complaint of every page of a browser context: of the console, of scripts, of requests, of the CSP."""

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.server = server
        self.complaints: list[str] = []
        self.allowed: list[str] = []
        """Patterns of what the test provokes itself, such as `409 .*/v1/jobs`."""
        self.began = time.monotonic()
        self.open: dict[Request, float] = {}
        """Requests without an end, and when they were sent."""
        self.told_by_pages: list[str] = []
        context.add_init_script(REPORT_CSP)
        context.on("console", lambda message: self._console(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(f"script: {error.error}"))
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("requestfinished", lambda request: self.open.pop(request, None))
        context.on("requestfailed", self._failed)

    def told(self) -> list[str]:
        """What a page wrote into its console, and which requests have no end, for the report of a failed test."""
        now = time.monotonic()
        waiting = [f"{now - sent:.1f} s without an end: {one.method} {one.url}" for one, sent in self.open.items()]
        return [*self.told_by_pages[-20:], *waiting]

    def _console(self, type: str, text: str) -> None:
        self.told_by_pages.append(f"{time.monotonic() - self.began:.1f} s {type}: {text}")
        if (
            type == "error" and "Failed to load resource" not in text
        ):  # those of the network are told by the requests themselves
            self.complaints.append(f"console: {text}")

    def _request(self, request: Request) -> None:
        url = request.url
        self.open[request] = time.monotonic()
        if not url.startswith((self.server, self.server.replace("http", "ws", 1), "blob:", "data:")):
            self.complaints.append(f"left the server: {url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.request.method} {response.url}")

    def _failed(self, request: Request) -> None:
        self.open.pop(request, None)
        reason = request.failure or ""
        if "ERR_ABORTED" not in reason:  # what a page that is left no longer waits for
            self.complaints.append(f"{reason} {request.method} {request.url}")

    def allow(self, *patterns: str) -> None:
        """Names what this test provokes."""
        self.allowed.extend(patterns)

    def left(self) -> list[str]:
        """Complaints that nobody expected."""
        return [text for text in self.complaints if not any(re.search(one, text) for one in self.allowed)]


Allow = Callable[..., None]
"""Names complaints that a test provokes: `allow(r"500 POST .*/v1/jobs")`."""


class Editor:
    """One window of the editor."""

    def __init__(self, page: Page, server: str) -> None:
        self.page = page
        self.server = server

    # --- opening

    def open(self, address: str = "#template=text-to-image") -> Editor:
        """Opens the page and waits until its graph can be worked with."""
        self.page.goto(f"{self.server}/{address}")
        self.page.locator(".react-flow__pane").wait_for()
        expect(self.page.get_by_label("Name of the workflow")).to_be_visible()
        if "template" in address:
            expect(self.cards.first).to_be_visible()
        return self.settled()

    def settled(self) -> Editor:
        """Waits until the graph lies where it will stay."""
        expect(self.page.get_by_role("region", name="Canvas")).to_have_attribute("aria-busy", "false", timeout=60_000)
        return self

    def open_workflow(self, document: Mapping[str, Any]) -> Editor:
        """Opens a document as a file."""
        return self.open_file("workflow.json", json.dumps(document).encode(), "application/json")

    def open_file(self, name: str, data: bytes, type: str) -> Editor:
        """Opens a file through the menu."""
        with self.page.expect_file_chooser() as chooser:
            self.command("Open a file…")
        chooser.value.set_files(FilePayload(name=name, mimeType=type, buffer=data))
        return self.settled()

    def command(self, name: str) -> None:
        """Does something from the command list."""
        self.page.keyboard.press("Control+k")
        self.search(name)
        self.page.get_by_role("option", name=name).first.click()

    def search(self, text: str) -> None:
        """Types into the search that is open."""
        self.page.get_by_role("dialog").get_by_role("combobox").fill(text)

    # --- what is there

    @property
    def cards(self) -> Locator:
        """Every node."""
        return self.page.get_by_role("article")

    def card(self, title: str) -> Locator:
        """The node of that title."""
        return self.page.get_by_role("article", name=title, exact=True)

    def field(self, title: str, name: str) -> Locator:
        """An input's field."""
        return self.card(title).get_by_label(name, exact=True)

    def socket(self, title: str, side: str, name: str) -> Locator:
        """An input's or output's socket; `side` is `Input` or `Output`."""
        return self.card(title).get_by_role("button", name=f"{side} {name}, ")

    @property
    def links(self) -> Locator:
        """Every link."""
        return self.page.locator(".react-flow__edge")

    def says(self, text: str | re.Pattern[str]) -> None:
        """Expects a message in one of the live regions."""
        expect(self.page.locator(".toasts")).to_contain_text(text)

    def document(self) -> dict[str, Any]:
        """The workflow, as it would be saved."""
        with self.page.expect_download() as download:
            self.command("Download as JSON")
        return json.loads(download.value.path().read_bytes())

    # --- gestures

    def drag(self, start: Locator, end: Locator | tuple[float, float]) -> None:
        """Drags from the middle of one thing to the middle of another, or to a point."""
        self.page.mouse.move(*middle(start))
        self.page.mouse.down()
        x, y = end if isinstance(end, tuple) else middle(end)
        self.page.mouse.move(x - 10, y - 5, steps=3)
        self.page.mouse.move(x, y, steps=2)

    def link(self, start: Locator, end: Locator | tuple[float, float]) -> None:
        """Drags a link and lets it go."""
        self.drag(start, end)
        self.page.mouse.up()

    def empty_spot(self, dx: float = 0.08, dy: float = 0.85) -> tuple[float, float]:
        """A point of the canvas, as parts of its width and height."""
        box = self.page.locator(".react-flow__pane").bounding_box()
        assert box is not None
        return box["x"] + box["width"] * dx, box["y"] + box["height"] * dy

    def focus_canvas(self) -> None:
        """Clicks empty canvas."""
        self.page.mouse.click(*self.empty_spot())

    def select(self, *titles: str) -> None:
        """Selects nodes by their titles."""
        for index, title in enumerate(titles):
            name = self.card(title).locator(".card-name")
            name.click(modifiers=["Control"] if index else [])

    def press_often(self, count: int, **key: Any) -> None:
        """Presses a key many times, without a round trip for each."""
        press = (
            "([count, key]) => { for (let i = 0; i < count; i += 1) dispatchEvent(new KeyboardEvent('keydown', key)) }"
        )
        self.page.evaluate(press, [count, key])

    def run(self) -> None:
        """Presses Run."""
        self.page.get_by_role("button", name="Run", exact=True).click()

    def panel(self, name: str) -> Locator:
        """Opens a panel at the side."""
        tab = self.page.get_by_role("navigation", name="Panels").get_by_role("button", name=name)
        if tab.get_attribute("aria-pressed") != "true":
            tab.click()
        return self.page.get_by_role("region", name=name, exact=True)


def middle(locator: Locator) -> tuple[float, float]:
    """The middle of what a locator finds."""
    box = locator.bounding_box()
    assert box is not None, locator
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def workflow(nodes: Mapping[str, tuple[str, Mapping[str, Any]]], **more: Any) -> dict[str, Any]:
    """A document with its nodes side by side."""
    ids: Sequence[str] = list(nodes)
    return {
        "graphflow": 1,
        "name": "test",
        "description": "",
        "nodes": {id: {"type": type, "inputs": dict(inputs)} for id, (type, inputs) in nodes.items()},
        "layout": {id: {"position": [320 * (i % 4), 420 * (i // 4)]} for i, id in enumerate(ids)},
        "groups": [],
        "subgraphs": {},
        **more,
    }

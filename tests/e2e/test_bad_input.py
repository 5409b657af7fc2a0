"""Hostile files, foreign files, a failing server: each a clear message, nothing lost, nothing executed."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.e2e.editor import Allow, Editor, workflow
from tests.e2e.screens import finish, steps

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def error(editor: Editor, text: str | re.Pattern[str]) -> None:
    """Expects an error in the live region, and closes it."""
    said = editor.page.locator(".toast.error").filter(has_text=text)
    said.get_by_role("button", name="Close").click()
    expect(said).to_have_count(0)


def test_markup_typed_into_every_field_stays_text(editor: Editor) -> None:
    editor.page.get_by_label("Name of the workflow").fill(EVIL)
    editor.field("Prompt", "text").fill(EVIL)
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+g")
    editor.page.get_by_label("Title of the frame").fill(EVIL)
    editor.select("KSampler")
    editor.page.keyboard.press("F2")
    editor.page.keyboard.type(EVIL)
    editor.page.keyboard.press("Enter")
    expect(editor.card(EVIL)).to_be_visible()
    document = editor.document()
    document["groups"][0]["note"] = EVIL
    document["form"] = [{"node": "sample", "input": "steps", "label": EVIL, "group": EVIL}]
    document["description"] = EVIL
    editor.open_file(f"{EVIL.replace('/', ' ')}.json", json.dumps(document).encode(), "application/json")
    expect(editor.page.get_by_label("Note", exact=True)).to_have_value(EVIL)
    editor.page.keyboard.press("Control+Shift+S")
    dialog = editor.page.get_by_role("dialog")
    dialog.get_by_label("Tags").fill(EVIL)
    dialog.get_by_role("button", name="Save", exact=True).click()
    editor.says("Saved <img")
    for panel in ("Outline", "Queue", "Node", "Versions", "Problems", "Results"):
        editor.panel(panel)
    editor.page.get_by_role("button", name="Form", exact=True).click()
    expect(editor.page.get_by_role("main", name="Form")).to_contain_text(EVIL)
    editor.command("Workflows and templates")
    expect(editor.page.get_by_role("dialog").get_by_text(EVIL).first).to_be_attached()
    assert editor.page.evaluate("window.hacked") is None
    assert editor.page.locator("img[src=x], main script").count() == 0


def test_the_name_of_an_uploaded_file_stays_text(blank: Editor, picture: bytes) -> None:
    blank.open_workflow(workflow({"load": ("LoadImage", {})}))
    name = "<img src=x onerror=window.hacked=1>.png"
    blank.card("Load Image").get_by_label("Upload a file for image").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": picture}
    )
    expect(blank.card("Load Image").locator("img.chosen")).to_be_visible()
    assert blank.page.evaluate("window.hacked") is None
    assert blank.page.locator("img[src=x]").count() == 0


def test_a_million_nodes_are_refused_and_the_page_stays_quick(editor: Editor) -> None:
    page = editor.page
    page.evaluate(
        "new PerformanceObserver(list => list.getEntries().forEach(e => window.longest = Math.max(window.longest, e.duration))).observe({type: 'longtask'})"
    )
    for count, node, message in (
        (800_000, "{}", "more than 10,000 nodes"),
        (1_000_000, '{"type":"A"}', "larger than 10 MB"),
    ):
        page.evaluate(
            "([count, node]) => { const nodes = Array.from({length: count}, (_, i) => `\"${i}\":${node}`).join(',');"
            ' window.transfer = new DataTransfer(); window.transfer.items.add(new File([`{"graphflow":1,"nodes":{${nodes}}}`], \'million.json\')) }',
            [count, node],
        )
        page.wait_for_timeout(300)  # until what the test itself did is over
        page.evaluate("window.longest = 0")
        page.evaluate(
            "document.querySelector('.canvas').dispatchEvent(new DragEvent('drop', {dataTransfer: window.transfer, bubbles: true, cancelable: true}))"
        )
        error(editor, message)
        page.wait_for_timeout(100)
        assert page.evaluate("window.longest") < 500, message
    expect(editor.card("KSampler")).to_be_visible()


def test_mad_positions_are_mended_and_everything_can_be_seen(blank: Editor) -> None:
    document = workflow({"a": ("PreviewAny", {"source": "x"}), "b": ("PreviewAny", {"source": "y"})})
    text = json.dumps(document).replace("[0, 0]", "[1e999, -1e300]", 1)
    blank.open_file("mad.json", text.encode(), "application/json")
    expect(blank.cards).to_have_count(2)
    for index in (0, 1):
        expect(blank.cards.nth(index)).to_be_in_viewport()
    nan = text.replace("1e999", "NaN")
    blank.open_file("nan.json", nan.encode(), "application/json")
    error(blank, "neither a picture nor valid JSON")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x" * 999)
    return buffer.getvalue()


FOREIGN: list[tuple[str, bytes, str]] = [
    ("archive.zip", _zip(), "application/zip"),
    ("paper.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 9, "application/pdf"),
    ("model.safetensors", (64).to_bytes(8, "little") + b'{"a":{}}' + bytes(999), ""),
    ("letter.txt", b"Dear Sir or Madam", "text/plain"),
    ("settings.json", b'{"sampler": {"steps": [1, 2]}, "nodes": 7}', "application/json"),
    ("graph.json", b'{"nodes": [{"id": 1, "type": 5}], "links": "none", "last_node_id": {}}', "application/json"),
    ("half.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png"),
    ("liar.png", b"GIF89a<script>window.hacked=1</script>", "image/png"),
    (
        "drawing.svg",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked=1</script></svg>',
        "image/svg+xml",
    ),
]


def test_files_of_other_programs_are_named_and_refused(editor: Editor, allow: Allow) -> None:
    allow(r"4\d\d POST .*/v1/(workflows/convert|assets)")
    before = editor.document()
    for name, data, type in FOREIGN:
        editor.open_file(name, data, type)
        error(editor, name)
    assert editor.document() == before
    assert editor.page.evaluate("window.hacked") is None


CALLS: dict[str, tuple[str, str, Callable[[Editor], Any]]] = {
    "run": ("POST", "**/v1/jobs", Editor.run),
    "queue": ("PATCH", "**/v1/queue", lambda e: e.panel("Queue").get_by_role("button", name="Pause").click()),
    "results": ("GET", "**/v1/assets?kind=output**", lambda e: e.panel("Results")),
    "library": ("GET", "**/v1/workflows", lambda e: e.command("Workflows and templates")),
    "templates": ("GET", "**/v1/templates", lambda e: e.command("Workflows and templates")),
    "save": ("POST", "**/v1/workflows", lambda e: _save(e)),
    "share": ("POST", "**/v1/workflows/*/share", lambda e: e.command("Copy a share link")),
    "unshare": ("DELETE", "**/v1/workflows/*/share", lambda e: e.command("Revoke the share link")),
    "versions": ("GET", "**/v1/workflows/*/versions", lambda e: e.panel("Versions")),
    "convert": ("POST", "**/v1/workflows/convert", lambda e: e.open_file("p.png", b"\x89PNG", "image/png")),
    "freeze": ("POST", "**/v1/jobs/*/freeze", lambda e: (e.select("KSampler"), e.page.keyboard.press("Shift+f"))),
    "open a result": ("GET", "**/v1/assets/*/workflow", lambda e: e.card("Result").get_by_role("img").click()),
    "open a run": ("GET", "**/v1/jobs/*", lambda e: _open_run(e)),
}


def _save(editor: Editor) -> None:
    editor.command("Save as…")
    editor.page.get_by_role("dialog").get_by_role("button", name="Save", exact=False).first.click()


def _open_run(editor: Editor) -> None:
    editor.panel("Queue").get_by_role("button", name="Open its workflow").first.click()


def _fail(method: str, route: Route) -> None:
    route.fulfill(status=500, body="oops") if route.request.method == method else route.fallback()


def test_a_server_that_fails_at_any_call_is_said_and_nothing_is_lost(editor: Editor, allow: Allow) -> None:
    allow(r"^500 ")
    page = editor.page
    steps(editor, 2)
    finish(editor)
    editor.card("KSampler").get_by_role("button", name="New seed for each run").click()
    page.get_by_label("Name of the workflow").fill("Kept")
    page.keyboard.press("Control+s")
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    editor.says("Saved Kept")
    editor.field("Prompt", "text").fill("still here")
    silent = []
    for name, (method, address, act) in CALLS.items():
        fail = partial(_fail, method)
        page.route(address, fail)
        with page.expect_response(lambda response: response.status == 500):
            act(editor)
        said = page.locator(".toast.error").filter(has_text="The server answered 500")
        try:
            expect(said).to_be_visible()
        except AssertionError:
            silent.append(name)
        page.unroute(address, fail)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        while said.count():
            said.get_by_role("button", name="Close").first.click()
        expect(editor.field("Prompt", "text")).to_have_value("still here")
    assert silent == []


@pytest.mark.parametrize("address", ["**/v1/nodes", "**/v1/models", "**/v1/assets?*"])
def test_a_server_that_fails_while_the_page_starts_is_said_and_nothing_is_lost(
    editor: Editor, allow: Allow, address: str
) -> None:
    allow(r"^500 ")
    page = editor.page
    with page.expect_response(lambda response: response.request.method == "PUT" and "/v1/drafts" in response.url):
        editor.field("Prompt", "text").fill("still here")
    page.goto(f"{editor.server}/")
    fail = partial(_fail, "GET")
    page.route(address, fail)
    page.reload()
    expect(page.locator(".toast.error")).to_contain_text("The server answered 500")
    page.unroute(address, fail)
    page.reload()
    expect(editor.field("Prompt", "text")).to_have_value("still here")


def test_errors_of_the_start_stay_until_they_are_closed(window: Callable[[], Editor], allow: Allow) -> None:
    allow(r"^500 ")
    editor = window()
    editor.page.clock.install()
    editor.page.route("**/v1/models", partial(_fail, "GET"))
    editor.open("#template=nowhere")
    errors = editor.page.get_by_role("alert").get_by_role("paragraph")
    expect(errors).to_contain_text(["The server answered 500", "There is no template nowhere"])
    editor.command("Copy as curl")
    editor.says("Copied")
    editor.page.clock.fast_forward(60_000)
    expect(editor.page.get_by_text("Copied")).to_have_count(0)
    expect(errors).to_have_count(2)
    errors.first.get_by_role("button", name="Close").click()
    expect(errors).to_contain_text(["There is no template nowhere"])


def test_a_socket_that_closes_in_mid_run_heals_by_itself(editor: Editor) -> None:
    sockets: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        sockets.append(route)
        route.connect_to_server()

    editor.page.route_web_socket("**/v1/live", through)
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.page.goto(f"{editor.server}/")
    editor.page.reload()
    editor.settled()
    steps(editor, 120)
    editor.run()
    expect(editor.card("KSampler").get_by_role("progressbar")).to_be_visible(timeout=20_000)
    sockets[-1].close()
    expect(editor.page.get_by_role("alert").filter(has_text="Connection lost")).to_be_visible()
    expect(editor.page.get_by_role("alert").filter(has_text="Connection lost")).to_have_count(0)
    assert len(sockets) > 1
    expect(editor.card("Result").get_by_role("img")).to_be_visible(timeout=60_000)
    expect(editor.card("KSampler").locator(".badge.done")).to_be_visible()


def test_a_newer_server_says_so_and_a_reload_loses_nothing(editor: Editor) -> None:
    hello = '{"type": "hello", "build": "%s", "version": "9", "paused": false, "workers": [], "jobs": []}'
    sockets: list[WebSocketRoute] = []

    def talk(route: WebSocketRoute) -> None:
        route.send(hello % ("old" if not sockets else "new"))
        sockets.append(route)

    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.page.route_web_socket("**/v1/live", talk)
    editor.page.goto(f"{editor.server}/")
    editor.page.reload()
    editor.settled()
    expect(editor.page.get_by_text("Connecting…")).to_have_count(0)
    sockets[-1].close()
    banner = editor.page.get_by_role("alert").filter(has_text="GraphFlow was updated.")
    expect(banner).to_be_visible()
    editor.field("Prompt", "text").fill("typed just before the reload")
    banner.get_by_role("button", name="Reload").click()
    editor.settled()
    expect(editor.field("Prompt", "text")).to_have_value("typed just before the reload")
    expect(banner).to_have_count(0)


def test_a_dead_worker_is_said_until_it_is_back(editor: Editor) -> None:
    hello = {"type": "hello", "build": "b", "version": "9", "paused": False, "workers": [], "jobs": []}
    sockets: list[WebSocketRoute] = []

    def tell(state: str, message: str = "") -> None:
        notice = {"type": "worker", "name": "local", "state": state, "device": "cpu", "message": message}
        sockets[-1].send(json.dumps(notice))

    def talk(route: WebSocketRoute) -> None:
        sockets.append(route)
        route.send(json.dumps(hello))
        tell("dead", "killed by signal 9")

    editor.page.route_web_socket("**/v1/live", talk)
    editor.page.reload()
    banner = editor.page.get_by_role("banner").get_by_role("alert")
    expect(banner).to_contain_text("A worker died and is being started again: killed by signal 9")
    tell("starting")
    expect(editor.page.get_by_text("Getting ready…")).to_be_visible()
    tell("ready")
    expect(banner).to_have_count(0)
    expect(editor.page.locator(".status.quiet")).to_contain_text("cpu")

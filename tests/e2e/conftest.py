"""One server and one browser for all flows; a fresh window for each.

Both end with the last flow: Playwright keeps an event loop running, beside which no other test could have its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Browser, BrowserContext, Error  # noqa: E402 - only with playwright

from tests.e2e.editor import Allow, Editor, Watch  # noqa: E402

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ON_PAGE = "location.protocol.startsWith('http')"
"""Not on the empty page that a window begins with, which may keep nothing."""
TRACEABLE = """
import faulthandler, signal, sys
faulthandler.register(signal.SIGUSR1, all_threads=True)
from graphflow.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""
"""The command `graphflow`, which writes into its log where every thread is when it is asked to."""
SERVERS: dict[str, tuple[int, Path]] = {}
"""Process and log of each server, by address."""
SLOW = 20_000
"""Milliseconds that anything may take: machines are busy with other tests."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every flow needs the browser, and is given two minutes beside the start of the server.

    A flow that fails is run once more in windows of its own, since a machine that stands still for some seconds looks
    to it like a page that does; the summary names it, with what it met the first time.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(120, func_only=True))
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """To a flow that failed, adds what its pages still wait for and what its server is doing."""
    report = yield
    funcargs = getattr(item, "funcargs", {})
    if report.failed and "server" in funcargs:
        lines = [line for watch in funcargs.get("watches", ()) for line in watch.told()]
        report.sections.append(("what the pages heard and wait for", "\n".join(lines)))
        report.sections.append(("what the server does", _state(funcargs["server"])))
    return report


def _state(address: str) -> str:
    lines = []
    for path in ("readyz", "v1/queue", "v1/jobs?limit=3"):
        try:
            with urllib.request.urlopen(f"{address}/{path}", timeout=3) as answer:
                lines.append(f"{path}: {answer.read().decode()[:800]}")
        except OSError as error:
            lines.append(f"{path}: {error}")
    if address in SERVERS:
        pid, log = SERVERS[address]
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.5)  # it writes the places of its threads
        lines.append(log.read_text(errors="replace")[-6000:])
    return "\n".join(lines)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without one the flows are skipped, but fail in CI."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        hint = "the editor's flows need Chromium: apt-get install chromium (or any of " + ", ".join(NAMES) + ")"
        if os.environ.get("CI") == "true":
            pytest.fail(hint)
        pytest.skip(hint)
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=SLOW)
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a data folder of the file's own, whatever ran before; `GRAPHFLOW_URL` names one that runs already."""
    if running := os.environ.get("GRAPHFLOW_URL"):
        yield running.rstrip("/")
        return
    with serving(tmp_path_factory.mktemp("graphflow")) as address:
        yield address


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server whose data lies in the folder, with the built-in model already read: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", TRACEABLE, "serve", "--port", str(port), "--data", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process, folder / "log")
        _warm_up(address)
        SERVERS[address] = (process.pid, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)  # the server is not of this process: there is nothing to wait on but its port
    pytest.fail(f"the server did not get ready:\n{log.read_text()[-4000:]}")


def _warm_up(address: str) -> None:
    """Runs a workflow of one step, so that no flow waits for the model to be read."""
    document = json.loads((Path(__file__).parents[2] / "workflows" / "text-to-image.json").read_text())
    document["nodes"]["sample"]["inputs"]["steps"] = 1
    body = json.dumps({"workflow": document}).encode()
    request = urllib.request.Request(f"{address}/v1/jobs", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        job = json.load(answer)["id"]
    with urllib.request.urlopen(f"{address}/v1/jobs/{job}/events", timeout=180) as events:
        events.read()  # ends with the job


People = Callable[..., BrowserContext]


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    """Of every browser context; at the end none of them may have heard a complaint that the test did not name."""
    watches: list[Watch] = []
    yield watches
    assert [complaint for watch in watches for complaint in watch.left()] == []


@pytest.fixture
def person(chromium: Browser, server: str, watches: list[Watch]) -> Iterator[People]:
    """Makes browsers of persons of their own: windows of one share what it keeps. `fresh` has never been here."""
    contexts: list[BrowserContext] = []

    def new(fresh: bool = False, browser: Browser = chromium, **options: Any) -> BrowserContext:
        size = {"width": 1440, "height": 900}
        context = browser.new_context(**{"viewport": size, "locale": "en-US", **options})
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
        context.set_default_timeout(SLOW)
        if not fresh:
            context.add_init_script(f"if ({ON_PAGE}) localStorage.setItem('graphflow.tour', '1')")
        watches.append(Watch(context, server))
        contexts.append(context)
        return context

    yield new
    for context in contexts:
        with suppress(Error):  # its browser was killed by the test
            context.close()


@pytest.fixture
def context(person: People) -> BrowserContext:
    """One person's browser."""
    return person()


@pytest.fixture
def allow(context: BrowserContext, watches: list[Watch]) -> Allow:
    """Names complaints that the test provokes: `allow("500 POST .*/v1/jobs")`."""
    return watches[0].allow


@pytest.fixture
def window(context: BrowserContext, server: str) -> Callable[[], Editor]:
    """Opens windows of one person."""
    return lambda: Editor(context.new_page(), server)


@pytest.fixture
def editor(window: Callable[[], Editor]) -> Editor:
    """A window with the text-to-image template."""
    return window().open()


@pytest.fixture
def blank(window: Callable[[], Editor]) -> Editor:
    """A window with an empty workflow."""
    return window().open("#new")


@pytest.fixture(scope="package")
def picture() -> bytes:
    """A small PNG without a workflow."""
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return buffer.getvalue()

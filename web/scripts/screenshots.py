"""Takes the pictures of `docs/editor.md` from a running server: `python web/scripts/screenshots.py [http://127.0.0.1:8188]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

TARGET = Path(__file__).parents[2] / "docs" / "images"
QUIET = "localStorage.setItem('graphflow.tour', '1')"


def run(page: Page) -> None:
    """Runs the workflow and waits for its picture."""
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Run finished")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("Run finished")).to_be_hidden(timeout=10_000)


def main() -> None:
    """The graph in light and dark, and the form on a phone."""
    address = (sys.argv[1:] or ["http://127.0.0.1:8188"])[0]
    TARGET.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
        context.add_init_script(QUIET)
        page = context.new_page()
        page.goto(f"{address}/#template=text-to-image")
        page.get_by_role("article", name="KSampler").wait_for()
        run(page)
        page.screenshot(path=TARGET / "editor.png")
        page.emulate_media(color_scheme="dark")
        page.get_by_role("article", name="KSampler").locator(".card-name").click()
        page.get_by_role("navigation", name="Panels").get_by_role("button", name="Node").click()
        page.screenshot(path=TARGET / "editor-dark.png")
        page.set_viewport_size({"width": 390, "height": 844})
        page.get_by_role("button", name="Close the panel").click()
        page.get_by_role("button", name="Form", exact=True).click()
        page.screenshot(path=TARGET / "editor-form.png")
        browser.close()


if __name__ == "__main__":
    main()

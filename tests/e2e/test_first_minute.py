"""The first minute of a fresh install: a data folder and a browser that nobody used before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.e2e.conftest import serving
from tests.e2e.editor import Editor


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server that nobody has used."""
    with serving(tmp_path) as address:
        yield address


def test_a_fresh_page_runs_its_workflow_shows_the_preview_sharpen_and_a_picture(
    person: Callable[..., BrowserContext], server: str
) -> None:
    context = person(fresh=True)
    editor = Editor(context.new_page(), server).open("")
    page = editor.page
    expect(editor.card("KSampler")).to_be_visible()
    tour = page.get_by_role("dialog", name="Short tour")
    expect(tour).to_contain_text("Step 1 of 5")
    tour.get_by_role("button", name="Close for good").click()
    expect(page.get_by_label("Name of the workflow")).to_have_value("Text to image")
    editor.run()
    expect(editor.card("Result").get_by_role("img")).to_be_visible(timeout=30_000)
    editor.says("Run finished")
    expect(editor.card("KSampler").locator(".badge.done")).to_have_text(re.compile(r"^[\d.]+ s$"))
    editor.field("KSampler", "steps").fill("900")  # long enough to be watched on a busy machine
    editor.run()
    preview = editor.card("KSampler").get_by_role("img", name="Preview")
    first = preview.get_attribute("src") or ""
    expect(preview).not_to_have_attribute("src", first)  # it sharpens
    page.get_by_role("button", name="Cancel this run").click()
    expect(editor.card("KSampler").get_by_role("progressbar")).to_have_count(0)
    editor.select("Prompt")
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")
    expect(editor.card("Prompt")).to_be_visible()
    expect(editor.card("Result").get_by_role("img")).to_be_visible()  # undo leaves results where they are
    expect(page.get_by_text("draft saved")).to_be_visible()
    again = Editor(context.new_page(), server).open("")
    expect(again.card("KSampler")).to_be_visible()
    again.page.wait_for_timeout(900)  # the tour would open 0.6 s after the page
    expect(again.page.get_by_role("dialog", name="Short tour")).to_have_count(0)


def test_the_tour_has_five_steps_each_beside_what_it_speaks_of(
    person: Callable[..., BrowserContext], server: str
) -> None:
    for width, height in ((1440, 900), (390, 844)):
        context = person(fresh=True, viewport={"width": width, "height": height})
        editor = Editor(context.new_page(), server).open()
        editor.command("Short tour")
        tour = editor.page.get_by_role("dialog", name="Short tour")
        for step in range(1, 6):
            expect(tour).to_contain_text(f"Step {step} of 5")
            expect(tour).to_be_in_viewport(ratio=1)
            tour.get_by_role("button", name="Next" if step < 5 else "Done").click()
        expect(tour).to_have_count(0)
        assert editor.page.evaluate("localStorage.getItem('graphflow.tour')") == "1"

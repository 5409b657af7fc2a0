"""What a run is known by: kept results, memory, reasons, estimates, and the queue's order."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.e2e.editor import Editor, workflow


def quick(editor: Editor, steps: int) -> Editor:
    """Sets the template's steps, and waits until the server has planned it."""
    field = editor.field("KSampler", "steps")
    with editor.page.expect_response("**/v1/plans"):
        field.fill(str(steps))
        field.press("Enter")
    return editor


def run(editor: Editor) -> None:
    """Runs to the end."""
    with editor.page.expect_response(lambda response: response.request.method == "POST" and "/v1/jobs" in response.url):
        editor.run()
    editor.says("Run finished")
    expect(editor.page.get_by_role("button", name="Cancel this run")).to_have_count(0, timeout=30_000)


def test_a_frozen_node_keeps_its_result_through_edits_and_a_reload(editor: Editor) -> None:
    quick(editor, 2)
    run(editor)
    editor.select("KSampler")
    editor.page.keyboard.press("Shift+f")
    editor.says("Frozen")
    expect(editor.card("KSampler").get_by_role("img", name="Frozen")).to_be_visible()
    editor.select("Empty Latent Image")
    editor.page.keyboard.press("Delete")
    quick(editor, 3)
    expect(editor.card("KSampler")).not_to_contain_text("Needs a link")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.page.goto(f"{editor.server}/")
    editor.page.reload()
    editor.settled()
    run(editor)
    badge = editor.card("KSampler").locator(".badge.cached")
    expect(badge).to_have_text("frozen")
    expect(badge).to_have_attribute("title", re.compile("this was made at"))
    assert re.fullmatch("[0-9a-f]{64}", editor.document()["nodes"]["sample"]["frozen"])
    editor.select("KSampler")
    editor.page.keyboard.press("Shift+f")
    editor.says("Thawed")
    expect(editor.card("KSampler")).to_contain_text("Needs a link")


def test_what_was_never_run_cannot_be_frozen_and_a_lost_result_is_a_problem_at_its_node(editor: Editor) -> None:
    editor.select("KSampler")
    editor.page.keyboard.press("Shift+f")
    editor.says("Run it once")
    document = editor.document()
    document["nodes"]["sample"]["frozen"] = "0" * 64
    editor.open_workflow(document)
    expect(editor.card("KSampler")).to_contain_text("no longer kept here")
    editor.run()
    editor.says("no longer kept here")


def test_the_peak_of_memory_is_shown_for_the_node_and_for_the_run(editor: Editor) -> None:
    quick(editor, 4)
    run(editor)
    badge = editor.card("KSampler").locator(".badge.done")
    expect(badge).to_have_attribute("title", re.compile(r"Memory at its peak: [\d.]+ [MG]B"))
    row = editor.panel("Queue").get_by_role("list", name="Finished").get_by_role("listitem").first
    expect(row).to_contain_text(re.compile(r"peak [\d.]+ [MG]B"))


def test_a_node_that_ran_again_says_what_changed(editor: Editor) -> None:
    quick(editor, 2)
    run(editor)
    quick(editor, 3)
    run(editor)
    badge = editor.card("KSampler").locator(".badge.done")
    expect(badge).to_have_attribute("title", re.compile(r"Ran again: .*steps.* changed"))
    expect(editor.card("Prompt").locator(".badge")).to_have_text("cached")


def test_resting_on_run_marks_what_would_run_again(editor: Editor) -> None:
    quick(editor, 2)
    editor.card("KSampler").get_by_role("button", name="New seed for each run").click()
    run(editor)
    quick(editor, 5)
    marked = re.compile("mark-rerun")

    def rest_on_run() -> None:
        editor.page.mouse.move(5, 400)
        editor.page.get_by_role("button", name="Run", exact=True).hover()

    rest_on_run()
    expect(editor.card("KSampler")).to_have_class(marked)
    expect(editor.card("Result")).to_have_class(marked)
    expect(editor.card("Prompt")).not_to_have_class(marked)
    editor.page.mouse.move(5, 400)
    expect(editor.card("KSampler")).not_to_have_class(marked)


def test_resting_on_run_counts_seeds_that_will_be_drawn_and_follows_a_new_plan(editor: Editor) -> None:
    quick(editor, 2)
    run(editor)
    marked = re.compile("mark-rerun")
    editor.page.mouse.move(5, 400)
    editor.page.get_by_role("button", name="Run", exact=True).hover()
    expect(editor.card("KSampler")).to_have_class(marked)
    expect(editor.card("Result")).to_have_class(marked)
    expect(editor.card("Negative prompt")).not_to_have_class(marked)
    editor.field("Negative prompt", "text").fill("grey and dull")  # while the pointer stays where it is
    expect(editor.card("Negative prompt")).to_have_class(marked)


def test_a_run_says_how_long_it_will_take(editor: Editor) -> None:
    quick(editor, 3)
    run(editor)
    quick(editor, 1500)
    editor.run()
    progress = editor.page.get_by_role("progressbar", name="Progress of the run")
    expect(progress).to_contain_text(re.compile(r"\d+( min \d+)?(\.\d)? s left"), timeout=30_000)
    editor.page.get_by_role("button", name="Cancel this run").click()
    expect(progress).to_have_count(0)


def test_a_waiting_run_is_dragged_to_another_place(editor: Editor) -> None:
    def waiting() -> list[Any]:
        found: list[Any] = editor.page.request.get(f"{editor.server}/v1/queue").json()["jobs"]
        return found

    queue = editor.panel("Queue")
    queue.get_by_role("button", name="Pause").click()
    editor.says("The queue is paused")
    try:
        editor.page.get_by_label("Number of runs").fill("3")
        editor.run()
        rows = queue.get_by_role("list", name="Running and waiting").get_by_role("listitem")
        expect(rows).to_have_count(3)
        first, second, third = waiting()
        with editor.page.expect_response(lambda response: response.request.method == "PATCH"):
            rows.nth(2).drag_to(rows.nth(0))
        assert waiting() == [third, first, second]
    finally:
        queue.get_by_role("button", name="Clear waiting").click()
        expect(queue.get_by_text("Nothing is running.")).to_be_visible()
        queue.get_by_role("button", name="Resume").click()


def test_an_inner_input_is_promoted_with_its_value_and_set_from_outside(editor: Editor) -> None:
    quick(editor, 4)
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+Shift+G")
    editor.card("Subgraph").get_by_role("button", name="Look inside").click()
    editor.settled()
    editor.link(editor.socket("KSampler", "Input", "steps"), editor.card("Inputs"))
    expect(editor.socket("Inputs", "Output", "steps")).to_be_visible()
    editor.page.get_by_role("navigation", name="Where you are").get_by_role("button").first.click()
    steps = editor.field("Subgraph", "steps")
    expect(steps).to_have_value("4")
    steps.fill("2")
    steps.press("Enter")
    run(editor)
    assert editor.document()["nodes"]["subgraph"]["inputs"]["steps"] == 2


def test_a_note_of_another_program_is_drawn_edited_and_kept(blank: Editor) -> None:
    frame = {"title": "Read me", "bounds": [0, 300, 320, 200], "note": "Use <b>30</b> steps.\nThen run."}
    blank.open_workflow(workflow({"s": ("PreviewAny", {"source": "x"})}, groups=[frame]))
    note = blank.page.get_by_label("Note", exact=True)
    expect(note).to_have_value(frame["note"])
    note.fill("Use 40 steps.")
    assert blank.document()["groups"][0]["note"] == "Use 40 steps."
    note.focus()
    blank.focus_canvas()
    blank.page.keyboard.press("Control+z")
    expect(note).to_have_value(frame["note"])

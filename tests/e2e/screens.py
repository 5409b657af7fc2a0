"""Every screen of the editor, and how to get there: for the accessibility check and for the pictures in the docs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from playwright.sync_api import FilePayload, expect

from tests.e2e.editor import Editor, workflow


def steps(editor: Editor, count: int) -> None:
    """Sets the template's number of steps."""
    field = editor.field("KSampler", "steps")
    field.fill(str(count))
    field.press("Enter")


def finish(editor: Editor) -> None:
    """Runs to the end."""
    editor.run()
    editor.says("Run finished")
    expect(editor.page.get_by_text("Run finished")).to_have_count(0)


def _nothing(editor: Editor) -> None:
    editor.focus_canvas()


def _running(editor: Editor) -> None:
    steps(editor, 1500)
    editor.run()
    expect(editor.card("KSampler").get_by_role("img", name="Preview")).to_be_visible(timeout=30_000)
    editor.panel("Queue")


def _done(editor: Editor) -> None:
    finish(editor)
    editor.panel("Results")


def _palette(editor: Editor) -> None:
    editor.page.mouse.dblclick(*editor.empty_spot(0.3, 0.9))
    expect(editor.page.get_by_role("dialog").get_by_role("option").nth(5)).to_be_visible()


def _commands(editor: Editor) -> None:
    editor.page.keyboard.press("Control+k")
    expect(editor.page.get_by_role("dialog").get_by_role("option").nth(5)).to_be_visible()


def _connect(editor: Editor) -> None:
    editor.select("Negative prompt")
    editor.page.keyboard.press("c")
    expect(editor.page.get_by_role("dialog").get_by_role("option").first).to_be_visible()


def _library(editor: Editor) -> None:
    editor.command("Workflows and templates")
    expect(editor.page.get_by_role("dialog")).to_contain_text("Text to image")


def _save(editor: Editor) -> None:
    editor.command("Save as…")
    expect(editor.page.get_by_role("dialog")).to_be_visible()


def _versions(editor: Editor) -> None:
    editor.page.get_by_label("Name of the workflow").fill("Portraits/Foxes")
    for change in (lambda: None, lambda: steps(editor, 33)):
        change()
        editor.page.keyboard.press("Control+s")
        dialog = editor.page.get_by_role("dialog").get_by_role("button", name="Save", exact=True)
        if dialog.count() or not editor.page.get_by_text("Saved Portraits").count():
            dialog.click()
        editor.says("Saved")
    editor.select("Negative prompt")
    editor.page.keyboard.press("Delete")
    panel = editor.panel("Versions")
    panel.get_by_role("listitem").nth(1).get_by_role("button").first.click()
    expect(panel).to_contain_text("steps")


def _viewer(editor: Editor) -> None:
    _done(editor)
    editor.panel("Results").get_by_role("button", name=re.compile("_0")).first.click()
    expect(editor.page.get_by_role("dialog")).to_contain_text("filename_prefix")


def _compare(editor: Editor) -> None:
    finish(editor)
    steps(editor, 3)
    finish(editor)
    gallery = editor.panel("Results")
    gallery.get_by_role("button", name="Compare two").click()
    for index in (0, 1):
        gallery.get_by_role("button", name=re.compile("_0")).nth(index).click()
    expect(editor.page.get_by_role("dialog")).to_contain_text("steps")


def _mask(editor: Editor) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(buffer, "PNG")
    editor.open_workflow(workflow({"load": ("LoadImage", {})}))
    file = FilePayload(name="moon.png", mimeType="image/png", buffer=buffer.getvalue())
    editor.card("Load Image").get_by_label("Upload a file for image").set_input_files(file)
    editor.card("Load Image").get_by_role("button", name="Paint a mask").click()
    area = editor.page.get_by_role("dialog").locator("canvas")
    expect(area).to_have_attribute("width", "256")
    box = area.bounding_box()
    assert box is not None
    editor.page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    editor.page.mouse.down()
    editor.page.mouse.move(box["x"] + box["width"] / 1.6, box["y"] + box["height"] / 2.4, steps=8)
    editor.page.mouse.up()


def _batch(editor: Editor) -> None:
    steps(editor, 3)
    editor.command("Vary values in a grid")
    dialog = editor.page.get_by_role("dialog")
    dialog.get_by_label("Input that varies Across").select_option(label="KSampler · cfg")
    dialog.get_by_label("Values Across").fill("1, 4, 8")
    dialog.get_by_label("Input that varies Down").select_option(label="KSampler · steps")
    dialog.get_by_label("Values Down").fill("2, 6")
    dialog.get_by_role("button", name="Queue 6 runs").click()
    expect(dialog.get_by_role("figure").get_by_role("img")).to_have_count(6, timeout=60_000)


def _queue(editor: Editor) -> None:
    finish(editor)
    queue = editor.panel("Queue")
    if queue.get_by_role("button", name="Pause").count():
        queue.get_by_role("button", name="Pause").click()
    editor.page.get_by_label("Number of runs").fill("3")
    editor.run()
    expect(queue.get_by_role("list", name="Running and waiting").get_by_role("listitem")).to_have_count(3)


def _problems(editor: Editor) -> None:
    editor.select("Empty Latent Image")
    editor.page.keyboard.press("Delete")
    expect(editor.card("KSampler")).to_contain_text("Needs a link")
    editor.panel("Problems")


def _failed(editor: Editor) -> None:
    broken = {"string": "a", "regex_pattern": "(", "mode": "First Match", "group_index": 1}
    broken |= dict.fromkeys(("case_insensitive", "multiline", "dotall"), False)
    nodes = {"r": ("RegexExtract", broken), "s": ("PreviewAny", {"source": {"from": "r.STRING"}})}
    editor.open_workflow(workflow(nodes))
    editor.run()
    expect(editor.page.locator(".card.failed")).to_be_visible(timeout=30_000)


def _outline(editor: Editor) -> None:
    editor.panel("Outline")


def _help(editor: Editor) -> None:
    editor.select("KSampler")
    expect(editor.panel("Node")).to_contain_text("latent_image")


def _form(editor: Editor) -> None:
    editor.page.get_by_role("button", name="Form", exact=True).click()


def _shared(editor: Editor) -> None:
    saved = editor.page.request.post(f"{editor.server}/v1/workflows", data={"workflow": editor.document()}).json()
    token = editor.page.request.post(f"{editor.server}/v1/workflows/{saved['id']}/share", data={}).json()["token"]
    editor.page.goto(f"{editor.server}/#share={token}")
    editor.page.reload()
    expect(editor.card("KSampler")).to_be_visible()


def _tour(editor: Editor) -> None:
    editor.command("Short tour")


def _shortcuts(editor: Editor) -> None:
    editor.command("Keyboard shortcuts")


def _subgraph(editor: Editor) -> None:
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+Shift+G")
    editor.card("Subgraph").get_by_role("button", name="Look inside").click()
    editor.settled()


def _frames(editor: Editor) -> None:
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+g")
    frame = editor.page.get_by_role("region", name="Frame Frame")
    frame.get_by_label("Title of the frame").fill("Sampling")
    for _ in range(4):
        editor.page.get_by_role("button", name="Next colour").click()


def _frozen(editor: Editor) -> None:
    finish(editor)
    editor.select("KSampler")
    editor.page.keyboard.press("Shift+f")
    editor.panel("Node")
    editor.says("Frozen")


def _text(editor: Editor) -> None:
    editor.card("Prompt").hover()
    editor.card("Prompt").get_by_role("button", name="Edit in a large field").click()


def _conflict(editor: Editor) -> None:
    editor.field("Prompt", "text").fill("mine")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    draft = editor.page.evaluate("sessionStorage.getItem('graphflow.last')")
    theirs = editor.document()
    theirs["nodes"]["sample"]["inputs"]["steps"] = 9
    editor.page.request.put(f"{editor.server}/v1/drafts/{draft}", data={"workflow": theirs})
    editor.field("Prompt", "text").fill("mine, later")
    dialog = editor.page.get_by_role("dialog", name="Changed elsewhere")
    dialog.get_by_role("button", name="Compare").click()
    expect(dialog).to_contain_text("steps")


def _menu(editor: Editor) -> None:
    editor.page.get_by_role("button", name="Menu", exact=True).click()
    expect(editor.page.get_by_role("menuitem").first).to_be_focused()


def _node_menu(editor: Editor) -> None:
    editor.card("KSampler").get_by_role("button", name="Actions of this node").click()
    expect(editor.page.get_by_role("menuitem").first).to_be_focused()


def _empty(editor: Editor) -> None:
    editor.command("New workflow")
    expect(editor.page.get_by_text("An empty workflow")).to_be_visible()


SCREENS: dict[str, Callable[[Editor], None]] = {
    "first": _nothing,
    "running": _running,
    "done": _done,
    "palette": _palette,
    "commands": _commands,
    "connect": _connect,
    "library": _library,
    "save": _save,
    "versions": _versions,
    "viewer": _viewer,
    "compare": _compare,
    "mask": _mask,
    "batch": _batch,
    "queue": _queue,
    "problems": _problems,
    "failed": _failed,
    "outline": _outline,
    "help": _help,
    "form": _form,
    "shared": _shared,
    "tour": _tour,
    "shortcuts": _shortcuts,
    "subgraph": _subgraph,
    "frames": _frames,
    "frozen": _frozen,
    "text": _text,
    "conflict": _conflict,
    "menu": _menu,
    "node-menu": _node_menu,
    "empty": _empty,
}
"""By name; each begins in a window with the text-to-image template."""

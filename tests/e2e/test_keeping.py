"""Nothing is lost: drafts, files, versions, sharing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Error, expect

from graphflow import pictures
from tests.e2e.conftest import FLAGS
from tests.e2e.editor import Allow, Editor, workflow


def test_after_the_browser_is_killed_two_seconds_after_an_edit_nothing_is_lost(
    person: Callable[..., BrowserContext], chromium: Browser, server: str
) -> None:
    victim = chromium.browser_type.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    page = Editor(person(browser=victim).new_page(), server).open()
    page.field("Prompt", "text").fill("do not lose me")
    page.page.wait_for_timeout(2000)
    with suppress(Error):
        victim.new_browser_cdp_session().send("Browser.crash")
    again = Editor(person().new_page(), server).open("")
    expect(again.field("Prompt", "text")).to_have_value("do not lose me")


def test_a_reload_before_the_first_edit_opens_the_same_workflow(editor: Editor) -> None:
    editor.page.goto(f"{editor.server}/")
    expect(editor.page.get_by_label("Name of the workflow")).to_have_value("Text to image")
    editor.command("New workflow")
    editor.page.reload()
    expect(editor.page.get_by_text("An empty workflow")).to_be_visible()


def test_with_the_server_away_an_edit_survives_in_the_browser(editor: Editor, allow: Allow) -> None:
    allow(r"ERR_FAILED PUT .*/v1/drafts")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.page.route(
        "**/v1/drafts/*", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    editor.field("Prompt", "text").fill("kept offline")
    expect(editor.page.get_by_text("kept in this browser")).to_be_visible()
    editor.page.unroute("**/v1/drafts/*")
    editor.page.goto(f"{editor.server}/")
    editor.page.reload()
    expect(editor.field("Prompt", "text")).to_have_value("kept offline")


def test_an_edit_made_just_before_the_page_is_left_is_there_again(editor: Editor) -> None:
    editor.field("Prompt", "text").fill("in the last moment")
    editor.page.goto(f"{editor.server}/healthz")
    editor.page.goto(f"{editor.server}/")
    expect(editor.field("Prompt", "text")).to_have_value("in the last moment")


def test_an_edit_kept_here_never_overwrites_one_made_elsewhere_meanwhile(editor: Editor, allow: Allow) -> None:
    allow(r"ERR_FAILED PUT .*/v1/drafts")
    editor.field("Prompt", "text").fill("before")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    draft = editor.page.evaluate("sessionStorage.getItem('graphflow.last')")
    editor.page.route(
        "**/v1/drafts/*", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    editor.field("Prompt", "text").fill("made here")
    expect(editor.page.get_by_text("kept in this browser")).to_be_visible()
    elsewhere = workflow({"e": ("EmptyLatentImage", {})}, name="made elsewhere")
    assert editor.page.request.put(f"{editor.server}/v1/drafts/{draft}", data={"workflow": elsewhere}).ok
    editor.page.unroute("**/v1/drafts/*")
    editor.page.goto(f"{editor.server}/healthz")
    editor.page.goto(f"{editor.server}/")
    expect(editor.field("Prompt", "text")).to_have_value("made here")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    theirs = editor.page.request.get(f"{editor.server}/v1/drafts/{draft}").json()
    assert theirs["draft"]["workflow"]["name"] == "made elsewhere"


def test_two_windows_never_overwrite_each_other_silently(
    editor: Editor, window: Callable[[], Editor], allow: Allow
) -> None:
    allow(r"412 PUT .*/v1/drafts")
    editor.field("Prompt", "text").fill("shared start")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    other = window().open("")
    expect(other.field("Prompt", "text")).to_have_value("shared start")
    other.field("Prompt", "text").fill("from the other")
    expect(other.page.get_by_text("draft saved")).to_be_visible()
    editor.field("Prompt", "text").fill("from the first")
    dialog = editor.page.get_by_role("dialog", name="Changed elsewhere")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Compare").click()
    expect(dialog).to_contain_text("from the other")
    dialog.get_by_role("button", name="Keep mine as a copy").click()
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    other.page.reload()
    expect(other.field("Prompt", "text")).to_have_value("from the other")
    expect(editor.field("Prompt", "text")).to_have_value("from the first")


def test_save_open_save_gives_the_same_bytes_and_the_file_runs(editor: Editor) -> None:
    def saved() -> bytes:
        with editor.page.expect_download() as download:
            editor.command("Download as JSON")
        return download.value.path().read_bytes()

    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+g")
    first = saved()
    editor.open_file("again.json", first, "application/json")
    editor.says("Opened")
    assert saved() == first
    quick = json.loads(first)
    quick["nodes"]["sample"]["inputs"]["steps"] = 1
    for document in (json.loads(first), quick):  # the saved file itself is what is sent
        answer = editor.page.request.post(f"{editor.server}/v1/plans", data={"workflow": document})
        assert answer.status == 200, answer.text()
    job = editor.page.request.post(f"{editor.server}/v1/jobs", data={"workflow": quick}).json()["id"]
    events = editor.page.request.get(f"{editor.server}/v1/jobs/{job}/events").text()  # ends with the job
    assert "job.done" in events


def test_seeds_beyond_two_to_the_53_stay_exact(editor: Editor) -> None:
    seed = editor.field("KSampler", "seed")
    seed.fill("18446744073709551557")
    seed.press("Enter")
    expect(seed).to_have_value("18446744073709551557")
    with editor.page.expect_download() as download:
        editor.command("Download as JSON")
    data = download.value.path().read_bytes()
    assert b'"seed": 18446744073709551557' in data
    editor.open_file("big.json", data, "application/json")
    editor.says("Opened")
    expect(seed).to_have_value("18446744073709551557")


def test_a_picture_brings_its_workflow_along(editor: Editor) -> None:
    editor.field("KSampler", "steps").fill("2")
    editor.field("KSampler", "steps").press("Enter")
    editor.field("Prompt", "text").fill("a picture that remembers")
    editor.run()
    editor.says("Run finished")
    asset = editor.page.request.get(f"{editor.server}/v1/assets?kind=output&limit=1").json()["assets"][0]
    data = editor.page.request.get(f"{editor.server}/v1/assets/{asset['id']}").body()
    carried = pictures.texts(data)
    for type in ("png", "jpeg", "webp"):
        if type != "png":
            out = BytesIO()
            Image.open(BytesIO(data)).save(out, type)
            data = pictures.embed(out.getvalue(), f"image/{type}", carried)
        editor.command("New workflow")
        expect(editor.cards).to_have_count(0)
        drop(editor, f"apple.{type}", data, f"image/{type}")
        expect(editor.field("Prompt", "text")).to_have_value("a picture that remembers")
    document = editor.document()
    editor.command("New workflow")
    drop(editor, "apple.json", json.dumps(document).encode(), "application/json")
    expect(editor.field("Prompt", "text")).to_have_value("a picture that remembers")
    expect(editor.card("KSampler").get_by_role("button", name="New seed for each run")).to_have_attribute(
        "aria-pressed", "false"
    )


def drop(editor: Editor, name: str, data: bytes, type: str) -> None:
    """Drops a file on the canvas."""
    script = """([name, bytes, type]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
      const target = document.querySelector('.canvas');
      const box = target.getBoundingClientRect();
      target.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true, clientX: box.x + 99, clientY: box.y + 99}));
    }"""
    editor.page.evaluate(script, [name, list(data), type])


def test_a_picture_without_a_workflow_says_so_and_is_loaded_instead(
    blank: Editor, picture: bytes, allow: Allow
) -> None:
    allow(r"400 POST .*/v1/workflows/convert")
    drop(blank, "plain.png", picture, "image/png")
    blank.says("holds no workflow; a Load Image node was added")
    expect(blank.card("Load Image")).to_be_visible()


def test_another_programs_workflow_is_converted(blank: Editor) -> None:
    prompt = {"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}}
    blank.open_file("api.json", json.dumps(prompt).encode(), "application/json")
    expect(blank.card("Empty Latent Image")).to_be_visible()


def test_damaged_files_are_refused_with_a_clear_message_and_nothing_is_lost(editor: Editor, allow: Allow) -> None:
    allow(r"400 POST .*/v1/workflows/convert")
    out = BytesIO()
    Image.new("RGB", (64, 64)).save(out, "PNG")
    for name, data, type, message in (
        ("cut.json", b'{"graphflow": 1, "nodes": {', "application/json", "neither a picture nor valid JSON"),
        (
            "deep.json",
            b'{"graphflow":1,"nodes":{"a":' + b'{"x":' * 90 + b"1" + b"}" * 92,
            "application/json",
            "nested too deeply",
        ),
        ("notes.json", b'{"hello": "world"}', "application/json", "notes.json"),
    ):
        editor.open_file(name, data, type)
        editor.says(re.compile(message))
        expect(editor.card("KSampler")).to_be_visible()


def test_a_truncated_picture_is_refused_or_said_to_be_damaged(editor: Editor, allow: Allow) -> None:
    allow(r"4\d\d POST .*/v1/(workflows/convert|assets)")
    out = BytesIO()
    Image.effect_noise((64, 64), 90).save(out, "PNG")
    drop(editor, "cut.png", out.getvalue()[:400], "image/png")
    expect(editor.page.locator(".toast")).to_be_visible()
    expect(editor.card("KSampler")).to_be_visible()


def test_a_subgraph_that_holds_itself_opens_and_is_named_as_a_problem(blank: Editor) -> None:
    loop = {"type": "subgraph/Loop", "inputs": {"x": {"from": "$inputs.x"}}}
    ports = {"inputs": [{"name": "x", "type": "IMAGE"}], "outputs": [{"name": "y", "type": "IMAGE", "from": "a.y"}]}
    document = workflow({"a": ("subgraph/Loop", {}), "s": ("PreviewImage", {"images": {"from": "a.y"}})})
    document["subgraphs"] = {"Loop": {**ports, "nodes": {"a": loop}, "layout": {}}}
    blank.open_workflow(document)
    expect(blank.card("Loop")).to_be_visible()
    expect(blank.panel("Problems")).to_contain_text("contains itself")


def test_a_workflow_is_saved_found_versioned_compared_and_restored(editor: Editor) -> None:
    editor.page.get_by_label("Name of the workflow").fill("Fruit/My apples")
    editor.page.keyboard.press("Control+s")
    dialog = editor.page.get_by_role("dialog", name="Save the workflow")
    dialog.get_by_label("Tags").fill("fruit, test")
    dialog.get_by_role("button", name="Save", exact=True).click()
    editor.says("Saved Fruit/My apples")
    steps = editor.field("KSampler", "steps")
    steps.fill("33")
    steps.press("Enter")
    editor.page.keyboard.press("Control+s")
    expect(editor.page.locator(".toasts")).to_contain_text("Saved Fruit/My apples")
    panel = editor.panel("Versions")
    versions = panel.get_by_role("list", name="Versions").get_by_role("listitem")
    expect(versions).to_have_count(2)
    editor.select("Negative prompt")
    editor.page.keyboard.press("Delete")
    editor.select("Result")
    editor.page.keyboard.press("Control+d")
    panel.get_by_label("Name of this version").fill("With more steps")
    panel.get_by_role("button", name="Save", exact=True).click()
    expect(versions).to_have_count(3)
    expect(versions.first).to_contain_text("With more steps")
    versions.nth(2).get_by_role("button").first.click()
    expect(panel).to_contain_text("steps")
    expect(editor.page.locator(".card.mark-changed")).to_have_attribute("aria-label", "KSampler")
    expect(editor.page.locator(".card.mark-added")).to_have_attribute("aria-label", "Result")
    expect(editor.page.locator(".ghost-card")).to_have_text("Negative prompt")
    versions.nth(2).get_by_role("button", name="Restore").click()
    expect(steps).to_have_value("20")
    expect(editor.card("Negative prompt")).to_be_visible()
    steps.fill("2")
    steps.press("Enter")
    editor.run()
    editor.says("Run finished")
    editor.page.keyboard.press("Control+s")
    editor.says("Saved")
    editor.command("Workflows and templates")
    library = editor.page.get_by_role("dialog", name="Workflows and templates")
    library.get_by_label("Search by name or tag").fill("fruit")
    folder = library.get_by_role("list", name="Fruit")
    expect(folder.get_by_role("button", name="My apples").first).to_be_visible()
    expect(folder.locator("img")).to_have_count(1)


def test_saving_over_a_newer_version_asks(editor: Editor, allow: Allow) -> None:
    allow(r"412 PUT .*/v1/workflows")
    editor.page.get_by_label("Name of the workflow").fill("Contested")
    editor.page.keyboard.press("Control+s")
    editor.page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    editor.says("Saved Contested")
    [saved] = editor.page.request.get(f"{editor.server}/v1/workflows?search=Contested").json()["workflows"]
    theirs = workflow({"other": ("EmptyLatentImage", {})}, name="Contested")
    put = editor.page.request.put(
        f"{editor.server}/v1/workflows/{saved['id']}",
        data={"workflow": theirs},
        headers={"If-Match": f'"{saved["version"]}"'},
    )
    assert put.ok
    editor.field("Prompt", "text").fill("mine")
    editor.page.keyboard.press("Control+s")
    dialog = editor.page.get_by_role("dialog", name="Changed elsewhere")
    dialog.get_by_role("button", name="Take theirs").click()
    expect(editor.card("Empty Latent Image")).to_be_visible()
    expect(editor.card("KSampler")).to_have_count(0)


def test_a_share_link_opens_a_read_only_copy_and_can_be_revoked(editor: Editor, window: Callable[[], Editor]) -> None:
    editor.page.get_by_label("Name of the workflow").fill("Shared")
    editor.page.keyboard.press("Control+s")
    editor.page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    editor.says("Saved Shared")
    editor.command("Copy a share link")
    editor.says("Link copied")
    link = editor.page.evaluate("navigator.clipboard.readText()")
    guest = window()
    guest.page.goto(link)
    guest.says("A shared workflow, as it was saved")
    expect(guest.card("KSampler")).to_be_visible()
    before = guest.field("Prompt", "text").input_value()
    guest.field("Prompt", "text").fill("the guest's own")
    guest.says("cannot be changed here")
    expect(guest.field("Prompt", "text")).to_have_value(before)
    guest.page.goto(f"{guest.server}/")
    guest.page.get_by_role("button", name="Edit a copy").click()
    guest.field("Prompt", "text").fill("the guest's own")
    expect(guest.page.get_by_text("draft saved")).to_be_visible()
    editor.field("Prompt", "text").fill("a later version")
    editor.page.keyboard.press("Control+s")
    editor.says("Saved Shared")
    shown = editor.page.request.get(f"{editor.server}/v1/shared/{link.split('=')[1]}").json()["workflow"]
    assert shown["nodes"]["prompt"]["inputs"]["text"] not in ("the guest's own", "a later version")
    editor.command("Revoke the share link")
    editor.says("no longer works")
    assert editor.page.request.get(f"{editor.server}/v1/shared/{link.split('=')[1]}").status == 404


def test_the_workflow_is_copied_as_curl_and_as_python(editor: Editor) -> None:
    editor.command("Copy as curl")
    editor.says("Copied")
    assert editor.page.evaluate("navigator.clipboard.readText()").startswith(f"curl -s {editor.server}/v1/jobs")
    editor.command("Copy as Python")
    editor.says("Python program")
    compile(editor.page.evaluate("navigator.clipboard.readText()"), "snippet", "exec")


def test_a_draft_that_another_workflow_took_the_place_of_is_found_again(editor: Editor) -> None:
    editor.page.get_by_label("Name of the workflow").fill("Forgotten draft")
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.command("New workflow")
    expect(editor.cards).to_have_count(0)
    editor.command("Workflows and templates")
    drafts = editor.page.get_by_role("dialog").get_by_role("list", name="Drafts that were not saved")
    drafts.get_by_role("button", name="Forgotten draft").first.click()
    expect(editor.page.get_by_label("Name of the workflow")).to_have_value("Forgotten draft")
    expect(editor.card("KSampler")).to_be_visible()


def test_a_template_starts_a_new_workflow(blank: Editor) -> None:
    blank.command("Workflows and templates")
    templates = blank.page.get_by_role("dialog").get_by_role("list", name="Templates")
    templates.get_by_role("button", name=re.compile("^Text to image")).click()
    expect(blank.card("KSampler")).to_be_visible()

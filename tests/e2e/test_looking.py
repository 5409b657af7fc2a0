"""Finding, arranging, looks, keys, safety."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.e2e.editor import Editor, middle, workflow

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


def test_find_searches_titles_ids_types_and_values(editor: Editor) -> None:
    editor.page.keyboard.press("Control+f")
    editor.search("blue background")
    expect(editor.page.get_by_role("dialog").get_by_role("option")).to_have_count(1)
    editor.page.keyboard.press("Enter")
    expect(editor.page.locator(".card.selected")).to_have_attribute("aria-label", "Prompt")


def test_arrange_is_one_step_and_only_the_selection_when_there_is_one(editor: Editor) -> None:
    before = editor.document()["layout"]
    editor.select("VAE Decode", "Result")
    editor.page.keyboard.press("Shift+A")
    expect(editor.page.get_by_role("button", name="Undo")).to_be_enabled()
    after = editor.document()["layout"]
    assert {id for id in before if after[id] != before[id]} <= {"decode", "save"}
    editor.page.keyboard.press("Control+z")
    assert editor.document()["layout"] == before


def test_zoom_fit_snap_and_the_overview(editor: Editor) -> None:
    tools = editor.page.locator(".view-tools")
    tools.get_by_role("button", name="Zoom to 100 %").click()
    expect(tools).to_contain_text("100 %")
    tools.get_by_role("button", name="Zoom out").click()
    expect(tools).not_to_contain_text("100 %")
    tools.get_by_role("button", name="Show everything").click()
    expect(editor.card("Result")).to_be_in_viewport()
    snap = tools.get_by_role("button", name="Snap to grid")
    expect(snap).to_have_attribute("aria-pressed", "true")
    snap.click()
    expect(snap).to_have_attribute("aria-pressed", "false")
    expect(editor.page.get_by_role("img", name="Overview of the graph")).to_be_visible()


def test_the_outline_lists_nodes_in_order_and_leads_to_them(editor: Editor) -> None:
    outline = editor.panel("Outline")
    rows = outline.get_by_role("listitem")
    expect(rows).to_have_count(9)
    expect(rows.first).to_contain_text("Model")
    expect(rows.last).to_contain_text("Result")
    outline.get_by_role("searchbox").fill("ksam")
    rows.first.get_by_role("button").click()
    expect(editor.page.locator(".card.selected")).to_have_attribute("aria-label", "KSampler")


def test_question_mark_shows_every_shortcut_and_they_are_unique(editor: Editor) -> None:
    editor.focus_canvas()
    editor.page.keyboard.press("?")
    dialog = editor.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    keys = dialog.locator("kbd").all_inner_texts()
    assert len(keys) > 40
    assert sorted(keys) == sorted(set(keys))


def test_light_dark_and_system_are_remembered(editor: Editor) -> None:
    editor.page.emulate_media(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = editor.page.evaluate(background)
    editor.page.get_by_role("button", name="Theme of the system").click()
    assert editor.page.evaluate(background) != dark
    editor.page.reload()
    expect(editor.page.get_by_role("button", name="Light theme")).to_be_visible()


def test_sockets_differ_by_shape_and_letter(editor: Editor) -> None:
    looks = {
        name: editor.socket("KSampler", "Input", name).evaluate(
            "e => e.querySelector('path').getAttribute('d') + e.textContent"
        )
        for name in ("model", "positive", "latent_image", "steps")
    }
    assert len(set(looks.values())) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", ["graph", "form", "library", "menu", "node"])
def test_axe_finds_nothing(editor: Editor, scheme: str, screen: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run npm ci --ignore-scripts in web/")
    editor.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    if screen == "graph":
        editor.page.get_by_role("button", name="Zoom to 100 %").click()
        expect(editor.page.locator(".view-tools")).to_contain_text("100 %")
    elif screen == "form":
        editor.page.get_by_role("button", name="Form", exact=True).click()
    elif screen == "menu":
        editor.page.get_by_role("button", name="Menu", exact=True).click()
        expect(editor.page.get_by_role("menuitem").first).to_be_focused()
    elif screen == "node":
        editor.select("KSampler")
        expect(editor.panel("Node")).to_contain_text("latent_image")
        editor.page.get_by_role("button", name="Zoom to 100 %").click()
    else:
        editor.command("Workflows and templates")
        expect(editor.page.get_by_role("dialog")).to_contain_text("Text to image")
    session = editor.page.context.new_cdp_session(editor.page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    answer = session.send(
        "Runtime.evaluate",
        {
            "expression": "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}).then(r => r.violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.target + ' ' + n.failureSummary).join('; ')))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    assert answer["result"]["value"] == []


def test_the_page_allows_nothing_unsafe(editor: Editor) -> None:
    policy = editor.page.request.get(f"{editor.server}/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "default-src 'none'" in policy


def test_every_visible_sentence_comes_in_german_too(window: Callable[[], Editor], context: BrowserContext) -> None:
    context.add_init_script("localStorage.setItem('graphflow.language', 'de')")
    page = window()
    page.page.goto(f"{page.server}/#template=text-to-image")
    expect(page.page.get_by_role("button", name="Starten", exact=True)).to_be_visible()
    expect(page.page.locator("html")).to_have_attribute("lang", "de")


def test_the_tour_has_five_steps_and_stays_closed(chromium, server: str) -> None:
    context = chromium.new_context()
    context.add_init_script(
        "if (!sessionStorage.seen) { localStorage.removeItem('graphflow.tour'); sessionStorage.seen = 1 }"
    )
    editor = Editor(context.new_page(), server).open()
    editor.command("Short tour")
    tour = editor.page.get_by_role("dialog", name="Short tour")
    for step in range(1, 6):
        expect(tour).to_contain_text(f"Step {step} of 5")
        tour.get_by_role("button", name="Next" if step < 5 else "Done").click()
    expect(tour).to_have_count(0)
    assert editor.page.evaluate("localStorage.getItem('graphflow.tour')") == "1"
    context.close()


def test_a_new_server_build_asks_for_a_reload(editor: Editor) -> None:
    hello = '{"type": "hello", "build": "%s", "version": "9", "paused": false, "workers": [], "jobs": []}'

    def talk(socket) -> None:
        socket.send(hello % len(sockets))
        sockets.append(socket)

    sockets: list[object] = []
    editor.page.route_web_socket("**/v1/live", talk)
    editor.page.reload()
    expect(editor.page.locator(".react-flow__pane")).to_be_visible()
    expect(editor.page.get_by_text("Connecting…")).to_have_count(0)
    sockets[0].close()  # type: ignore[attr-defined]
    expect(editor.page.get_by_role("alert").filter(has_text="GraphFlow was updated.")).to_be_visible()


def test_500_nodes_stay_quick_to_type_in_and_to_drag(blank: Editor) -> None:
    nodes = {f"n{i}": ("CLIPTextEncode", {"text": f"prompt {i}"}) for i in range(500)}
    document = workflow(nodes)
    document["layout"] = {id: {"position": [(i % 25) * 300, (i // 25) * 260]} for i, id in enumerate(nodes)}
    blank.open_workflow(document)
    blank.command("Find in the workflow")
    blank.search("n250")
    blank.page.keyboard.press("Enter")
    expect(blank.page.locator(".card.selected")).to_be_visible()
    prompt = blank.page.locator(".card.selected textarea")
    session = blank.page.context.new_cdp_session(blank.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # processor time: others may be busy, too

    def busy() -> float:
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])

    def spent(events: int, act: Callable[[], None]) -> float:
        before = busy()
        act()
        return (busy() - before) / events * 1000

    def drag() -> None:
        title = middle(blank.page.locator(".card.selected .card-name"))
        blank.page.mouse.move(*title)
        blank.page.mouse.down()
        blank.page.mouse.move(title[0] + 90, title[1] + 60, steps=30)
        blank.page.mouse.up()

    typing = spent(23, lambda: prompt.press_sequentially("a quick brown fox jumps"))
    dragging = min(spent(30, drag), spent(30, drag))
    most = 24  # the budget of 16 ms is held by benchmarks/editor; here, machines are busy with other tests
    assert typing < most, f"{typing:.1f} ms a key"
    assert dragging < most, f"{dragging:.1f} ms a move"
    expect(prompt).to_have_value(re.compile("fox jumps"))

"""Undo, clipboard, selection, frames, subgraphs: edits on what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.editor import Editor, middle, workflow


def test_deleting_nodes_and_undoing_restores_their_links(editor: Editor) -> None:
    before = editor.document()
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Delete")
    expect(editor.card("KSampler")).to_have_count(0)
    editor.page.keyboard.press("Control+z")
    expect(editor.card("KSampler")).to_be_visible()
    assert editor.document() == before
    editor.page.keyboard.press("Control+Shift+Z")
    expect(editor.card("KSampler")).to_have_count(0)


def test_typing_a_word_is_one_step_of_undo(editor: Editor) -> None:
    prompt = editor.field("Prompt", "text")
    before = prompt.input_value()
    prompt.press_sequentially(" pear")
    editor.page.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value(before)
    expect(editor.page.get_by_role("button", name="Undo")).to_be_disabled()


def test_undo_reaches_200_steps_back(editor: Editor) -> None:
    editor.select("KSampler")
    editor.press_often(220, key="b", ctrlKey=True)
    editor.press_often(199, key="z", ctrlKey=True)
    expect(editor.page.get_by_role("button", name="Undo")).to_be_enabled()
    editor.page.keyboard.press("Control+z")
    expect(editor.page.get_by_role("button", name="Undo")).to_be_disabled()


def test_copy_paste_and_paste_with_links_between_windows(editor: Editor, window: Callable[[], Editor]) -> None:
    editor.select("KSampler")
    editor.page.keyboard.press("Control+c")
    editor.focus_canvas()
    editor.page.keyboard.press("Control+v")
    expect(editor.card("KSampler")).to_have_count(2)
    editor.page.keyboard.press("Control+Shift+V")
    expect(editor.card("KSampler")).to_have_count(3)
    nodes = editor.document()["nodes"]
    assert "model" not in nodes["sample2"]["inputs"]
    assert nodes["sample3"]["inputs"]["model"] == {"from": "load.MODEL"}
    assert "KSampler" in json.dumps(json.loads(editor.page.evaluate("navigator.clipboard.readText()")))
    other = window().open("#new")
    other.focus_canvas()
    other.page.keyboard.press("Control+v")
    expect(other.card("KSampler")).to_have_count(1)


def test_cut_removes_and_duplicate_keeps_links(editor: Editor) -> None:
    editor.select("VAE Decode")
    editor.page.keyboard.press("Control+d")
    expect(editor.card("VAE Decode")).to_have_count(2)
    assert editor.document()["nodes"]["decode2"]["inputs"]["vae"] == {"from": "load.VAE"}
    editor.page.keyboard.press("Control+x")
    expect(editor.card("VAE Decode")).to_have_count(1)


def test_a_box_selects_and_moves_many(editor: Editor) -> None:
    before = editor.document()["layout"]
    box = editor.page.locator(".react-flow__pane").bounding_box()
    assert box is not None
    editor.page.keyboard.down("Shift")
    editor.page.mouse.move(box["x"] + 4, box["y"] + 4)
    editor.page.mouse.down()
    editor.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4, steps=4)
    editor.page.mouse.up()
    editor.page.keyboard.up("Shift")
    expect(editor.page.locator(".card.selected")).to_have_count(9)
    start = middle(editor.card("KSampler").locator(".card-name"))
    editor.page.mouse.move(*start)
    editor.page.mouse.down()
    editor.page.mouse.move(start[0] + 60, start[1] + 40, steps=4)
    editor.page.mouse.up()
    after = editor.document()["layout"]
    moves = {
        (after[id]["position"][0] - before[id]["position"][0], after[id]["position"][1] - before[id]["position"][1])
        for id in before
    }
    assert len(moves) == 1
    assert moves != {(0, 0)}
    editor.page.keyboard.press("Control+z")
    assert editor.document()["layout"] == before


def test_bypass_collapse_and_rename(editor: Editor) -> None:
    editor.select("KSampler")
    editor.page.keyboard.press("Control+b")
    expect(editor.card("KSampler")).to_contain_text("bypassed")
    editor.page.keyboard.press("Alt+c")
    expect(editor.field("KSampler", "steps")).to_have_count(0)
    expect(editor.links).to_have_count(11)
    editor.page.keyboard.press("F2")
    editor.page.keyboard.type("Painter")
    editor.page.keyboard.press("Enter")
    expect(editor.card("Painter")).to_be_visible()
    node = editor.document()["nodes"]["sample"]
    assert (node["mode"], node["title"]) == ("bypass", "Painter")


def test_arrows_move_the_focused_node_and_delete_still_works_after_shifted_keys(editor: Editor) -> None:
    before = editor.document()["layout"]["save"]["position"]
    editor.page.locator(".react-flow__node", has=editor.card("Result")).focus()
    editor.page.keyboard.press("Enter")
    editor.page.keyboard.press("ArrowRight")
    editor.page.keyboard.press("Shift+ArrowDown")
    assert editor.document()["layout"]["save"]["position"] == [before[0] + 8, before[1] + 40]
    editor.select("Result")
    editor.page.keyboard.press("Control+z")
    editor.page.keyboard.press("Control+Shift+Z")
    editor.select("Result")
    editor.page.keyboard.press("Delete")
    expect(editor.card("Result")).to_have_count(0)


def test_a_frame_carries_and_bypasses_what_lies_in_it(editor: Editor) -> None:
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+g")
    frame = editor.page.get_by_role("region", name="Frame Frame")
    expect(frame).to_be_visible()
    frame.get_by_label("Title of the frame").fill("Sampling")
    frame = editor.page.get_by_role("region", name="Frame Sampling")
    frame.get_by_role("button", name="Next colour").click()
    expect(frame).to_have_attribute("data-tint", "red")
    frame.get_by_role("button", name="Bypass everything in the frame").click()
    assert [editor.document()["nodes"][id].get("mode") for id in ("sample", "decode", "load")] == [
        "bypass",
        "bypass",
        None,
    ]
    frame.get_by_role("button", name="Bypass everything in the frame").click()
    assert [editor.document()["nodes"][id].get("mode") for id in ("sample", "decode")] == [None, None]
    before = editor.document()["layout"]
    x, y = middle(frame.locator(".frame-title"))
    editor.drag(frame.locator(".frame-title"), (x + 48, y + 24))
    editor.page.mouse.up()
    after = editor.document()["layout"]
    assert after["sample"]["position"] != before["sample"]["position"]
    assert after["load"] == before["load"]


def test_a_link_bends_at_points_that_are_kept(editor: Editor) -> None:
    path = editor.page.locator(".react-flow__edge[data-id='sample:latent_image'] .react-flow__edge-interaction")
    point = path.evaluate(
        "path => { const p = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM()); return [p.x, p.y] }"
    )
    editor.page.mouse.dblclick(*point)
    expect(editor.page.get_by_role("button", name="Point on the link")).to_be_visible()
    [before] = editor.document()["layout"]["sample"]["bends"]["latent_image"]
    bend = editor.page.get_by_role("button", name="Point on the link")
    x, y = middle(bend)
    editor.drag(bend, (x + 60, y + 30))
    editor.page.mouse.up()
    [after] = editor.document()["layout"]["sample"]["bends"]["latent_image"]
    assert (after[0] > before[0] + 30, after[1] > before[1] + 10) == (True, True)
    bend.dblclick()
    expect(bend).to_have_count(0)


def test_a_node_dropped_on_a_link_is_put_into_it(blank: Editor) -> None:
    document = workflow(
        {"a": ("EmptyImage", {}), "b": ("PreviewImage", {"images": {"from": "a.IMAGE"}}), "c": ("ImageInvert", {})}
    )
    document["layout"] = {"a": {"position": [0, 0]}, "b": {"position": [700, 0]}, "c": {"position": [300, 300]}}
    blank.open_workflow(document)
    expect(blank.cards).to_have_count(3)
    path = blank.page.locator(".react-flow__edge-interaction").first
    x, y = path.evaluate(
        "path => { const p = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM()); return [p.x, p.y] }"
    )
    blank.drag(blank.cards.nth(2).locator(".card-name"), (x, y))
    blank.page.mouse.up()
    expect(blank.links).to_have_count(2)
    assert blank.document()["nodes"]["b"]["inputs"]["images"] == {"from": "c.IMAGE"}


def test_replacing_a_node_keeps_what_fits_in_one_step(editor: Editor) -> None:
    editor.select("KSampler")
    editor.page.keyboard.press("Shift+R")
    dialog = editor.page.get_by_role("dialog", name="Replace KSampler")
    dialog.get_by_role("combobox").fill("KSampler Advanced")
    expect(dialog.get_by_role("option").first).to_contain_text("keeps")
    editor.page.keyboard.press("Enter")
    node = editor.document()["nodes"]["sample"]
    assert node["type"] == "KSamplerAdvanced"
    assert node["inputs"]["model"] == {"from": "load.MODEL"}
    editor.page.keyboard.press("Control+z")
    expect(editor.card("KSampler")).to_be_visible()


def test_a_subgraph_is_made_entered_edited_and_unpacked(editor: Editor) -> None:
    before = editor.document()["nodes"]
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+Shift+G")
    expect(editor.card("Subgraph")).to_be_visible()
    editor.card("Subgraph").get_by_role("button", name="Look inside").click()
    expect(editor.page.get_by_role("navigation", name="Where you are")).to_contain_text("Subgraph")
    steps = editor.field("KSampler", "steps")
    steps.fill("3")
    steps.press("Enter")
    editor.page.get_by_role("button", name="Undo").click()  # inside, too
    expect(steps).to_have_value("20")
    editor.page.get_by_role("button", name="Redo").click()
    expect(steps).to_have_value("3")
    editor.page.get_by_role("navigation", name="Where you are").get_by_role("button").first.click()
    editor.select("Subgraph")
    editor.command("Unpack the subgraph")
    expect(editor.card("KSampler")).to_be_visible()
    after = editor.document()
    assert after["subgraphs"] == {}
    before["sample"]["inputs"]["steps"] = 3
    assert after["nodes"] == before


def test_a_subgraph_is_made_inside_a_subgraph_run_and_unpacked(editor: Editor) -> None:
    path = editor.page.get_by_role("navigation", name="Where you are")
    editor.field("KSampler", "steps").fill("2")
    before = editor.document()["nodes"]
    for title in ("Subgraph", "Subgraph2"):
        editor.select("KSampler", *(["VAE Decode"] if title == "Subgraph" else []))
        editor.page.keyboard.press("Control+Shift+G")
        expect(editor.card("KSampler")).to_have_count(0)
        if title == "Subgraph2":
            editor.page.get_by_role("button", name="Undo").click()
            expect(editor.card("KSampler")).to_be_visible()
            editor.page.get_by_role("button", name="Redo").click()
        editor.card(title).get_by_role("button", name="Look inside").click()
        editor.settled()
    expect(path).to_contain_text("SubgraphSubgraph2")
    editor.run()
    editor.says("Run finished")
    expect(editor.card("KSampler").locator(".badge.done")).to_be_visible()
    path.get_by_role("button").nth(1).click()
    editor.settled()
    expect(editor.card("Subgraph2").locator(".badge.done")).to_be_visible()
    editor.select("Subgraph2")
    editor.command("Unpack the subgraph")
    expect(editor.card("KSampler")).to_be_visible()
    path.get_by_role("button").first.click()
    editor.settled()
    editor.select("Subgraph")
    editor.command("Unpack the subgraph")
    expect(editor.card("KSampler")).to_be_visible()
    after = editor.document()
    assert after["subgraphs"] == {}
    before["sample"]["inputs"]["seed"] = after["nodes"]["sample"]["inputs"]["seed"]  # drawn by the run
    assert after["nodes"] == before


def test_unknown_nodes_are_shown_named_and_kept(blank: Editor) -> None:
    document = workflow(
        {"alien": ("AlienNode", {"strength": 0.5}), "save": ("SaveImage", {"images": {"from": "alien.IMAGE"}})}
    )
    blank.open_workflow(document)
    expect(blank.card("AlienNode")).to_contain_text("This server has no node of type AlienNode")
    assert blank.document()["nodes"]["alien"] == document["nodes"]["alien"]


def test_a_hostile_workflow_shows_as_text_and_runs_nothing(blank: Editor) -> None:
    evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    document = workflow(
        {evil: ("CLIPTextEncode", {"text": evil}), "x": (evil, {evil: evil})},
        name=evil,
        groups=[{"title": evil, "bounds": [0, 0, 300, 300]}],
    )
    document["nodes"][evil]["title"] = evil
    document["layout"]["x"] = {"position": ["NaN", 1e99], "color": evil}
    blank.open_file(
        "evil.json",
        json.dumps(document).replace('"name"', '"__proto__": {"hacked": 1}, "name"', 1).encode(),
        "application/json",
    )
    expect(blank.card(evil).first).to_be_visible()
    assert blank.page.evaluate("[window.hacked, ({}).hacked]") == [None, None]
    expect(blank.page.locator("article img, article script")).to_have_count(0)


def test_keyboard_connects_an_output_to_a_fitting_input(editor: Editor) -> None:
    editor.select("Negative prompt")
    editor.page.keyboard.press("c")
    editor.search("positive")
    editor.page.keyboard.press("Enter")
    assert editor.document()["nodes"]["sample"]["inputs"]["positive"] == {"from": "negative.CONDITIONING"}


def test_node_help_shows_what_the_node_says_of_itself(editor: Editor) -> None:
    editor.select("KSampler")
    panel = editor.panel("Node")
    expect(panel).to_contain_text("KSampler")
    expect(panel.get_by_role("heading", name="Inputs")).to_be_visible()
    expect(panel).to_contain_text(re.compile("latent_image"))
    expect(panel.get_by_role("heading", name="Outputs")).to_be_visible()
    expect(panel).to_contain_text("puts noise on a latent")
    panel.get_by_role("button", name="Open an example that uses it").click()
    editor.settled()
    expect(editor.page.locator(".card-name[title^='KSampler ']")).not_to_have_count(0)

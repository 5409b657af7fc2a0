"""Runs: what stops them, what they show, what they leave."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from tests.e2e.conftest import People
from tests.e2e.editor import Editor, workflow


def quick(editor: Editor, steps: int = 2) -> Editor:
    """Makes the template's run short."""
    editor.field("KSampler", "steps").fill(str(steps))
    editor.field("KSampler", "steps").press("Enter")
    return editor


def finished(editor: Editor) -> None:
    """Waits for the picture on the node."""
    expect(editor.card("Result").get_by_role("img")).to_be_visible(timeout=30_000)
    editor.says("Run finished")


def posted(page: Page) -> list[str]:
    """Addresses of jobs sent from now on."""
    sent: list[str] = []
    page.on(
        "request",
        lambda request: (
            sent.append(request.url) if request.method == "POST" and request.url.endswith("/v1/jobs") else None
        ),
    )
    return sent


def test_missing_inputs_are_marked_listed_and_nothing_is_sent(editor: Editor) -> None:
    editor.select("Empty Latent Image")
    editor.page.keyboard.press("Delete")
    expect(editor.card("KSampler")).to_contain_text("Needs a link from a LATENT output.")
    sent = posted(editor.page)
    editor.run()
    editor.says("1 problem: nothing was sent.")
    row = editor.panel("Problems").get_by_role("button", name=re.compile("KSampler.*latent_image"))
    row.click()
    expect(editor.page.locator(".card.selected")).to_have_attribute("aria-label", "KSampler")
    assert sent == []


def test_a_missing_model_offers_the_nearest_names(editor: Editor) -> None:
    editor.open_workflow(
        workflow(
            {
                "load": ("CheckpointLoaderSimple", {"ckpt_name": "graphflow-emojis"}),
                "p": ("CLIPTextEncode", {"clip": {"from": "load.CLIP"}, "text": ""}),
                "k": ("VAEDecode", {"vae": {"from": "load.VAE"}}),
                "s": ("PreviewImage", {"images": {"from": "k.IMAGE"}}),
            }
        )
    )
    editor.panel("Problems").get_by_role("button", name="Use graphflow-emoji").click()
    expect(editor.field("Load Checkpoint", "ckpt_name").locator("option:checked")).to_have_text("graphflow-emoji")


def test_a_seed_is_drawn_for_each_run_until_it_is_fixed(editor: Editor) -> None:
    quick(editor)
    seed = editor.field("KSampler", "seed")
    editor.run()
    finished(editor)
    first = seed.input_value()
    job = editor.page.request.get(f"{editor.server}/v1/jobs?limit=1").json()["jobs"][0]["id"]
    used = editor.page.request.get(f"{editor.server}/v1/jobs/{job}").json()["workflow"]["nodes"]["sample"]["inputs"][
        "seed"
    ]
    assert str(used) == first
    editor.card("KSampler").get_by_role("button", name="New seed for each run").click()
    expect(seed).to_have_value(first)
    editor.run()
    expect(editor.card("KSampler").locator(".badge")).to_have_text("cached")
    expect(seed).to_have_value(first)


def test_a_cached_node_says_so_and_why(editor: Editor) -> None:
    quick(editor)
    editor.run()
    finished(editor)
    editor.run()
    badge = editor.card("Prompt").locator(".badge")
    expect(badge).to_have_text("cached")
    expect(badge).to_have_attribute("title", re.compile("Inputs unchanged since"))


def test_a_failed_node_turns_red_says_why_and_is_brought_to_view(blank: Editor) -> None:
    nodes = {
        "r": (
            "RegexExtract",
            {
                "string": "a",
                "regex_pattern": "(",
                "mode": "First Match",
                "case_insensitive": False,
                "multiline": False,
                "dotall": False,
                "group_index": 1,
            },
        ),
        "s": ("PreviewAny", {"source": {"from": "r.STRING"}}),
    }
    blank.open_workflow(workflow(nodes))
    expect(blank.cards).to_have_count(2)
    blank.run()
    failed = blank.page.locator(".card.failed")
    expect(failed).to_be_visible(timeout=20_000)
    expect(failed.get_by_role("alert")).not_to_be_empty()
    expect(failed).to_have_class(re.compile("selected"))
    red = failed.evaluate("card => getComputedStyle(card).borderTopColor.match(/\\d+/g).map(Number)")
    assert red[0] > 1.5 * max(red[1], red[2])


def test_an_error_inside_a_subgraph_is_seen_from_outside(blank: Editor) -> None:
    broken = {"string": "a", "regex_pattern": "(", "mode": "First Match", "group_index": 1}
    broken |= dict.fromkeys(("case_insensitive", "multiline", "dotall"), False)
    nodes = {"r": ("RegexExtract", broken), "s": ("PreviewAny", {"source": {"from": "r.STRING"}})}
    blank.open_workflow(workflow(nodes))
    blank.select("Regex Extract")
    blank.page.keyboard.press("Control+Shift+G")
    blank.run()
    expect(blank.card("Subgraph")).to_have_class(re.compile("failed"))
    expect(blank.card("Subgraph").get_by_role("alert")).to_contain_text("regex_pattern")


def test_reload_in_mid_run_and_a_second_window_show_the_same_run(editor: Editor, window: Callable[[], Editor]) -> None:
    quick(editor, 1500)
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.run()
    expect(editor.card("KSampler").get_by_role("progressbar")).to_be_visible(timeout=20_000)
    editor.page.goto(f"{editor.server}/")
    editor.page.reload()
    editor.settled()
    expect(editor.card("KSampler").get_by_role("progressbar")).to_be_visible(timeout=1_000)
    other = window().open("")
    expect(other.card("KSampler").get_by_role("progressbar")).to_be_visible(timeout=1_000)
    expect(other.card("KSampler").get_by_role("img", name="Preview")).to_be_visible(timeout=1_000)
    expect(other.panel("Queue").get_by_role("list", name="Running and waiting").get_by_role("listitem")).to_have_count(
        1
    )
    other.page.get_by_role("button", name="Cancel this run").click()
    expect(editor.card("KSampler").get_by_role("progressbar")).to_have_count(0)


def test_the_queue_pauses_reorders_clears_and_cancels(editor: Editor) -> None:
    quick(editor)
    queue = editor.panel("Queue")
    queue.get_by_role("button", name="Pause").click()
    editor.says("The queue is paused")
    editor.page.get_by_label("Number of runs").fill("3")
    editor.run()
    rows = queue.get_by_role("list", name="Running and waiting").get_by_role("listitem")
    expect(rows).to_have_count(3)
    waiting = editor.page.request.get(f"{editor.server}/v1/queue").json()["jobs"]
    workflows = [editor.page.request.get(f"{editor.server}/v1/jobs/{id}").json()["workflow"] for id in waiting]
    assert len({one["nodes"]["sample"]["inputs"]["seed"] for one in workflows}) == 3  # drawn anew for each
    rows.nth(2).get_by_role("button", name="Run next").click()
    rows.nth(0).get_by_role("button", name="Cancel").click()
    expect(rows).to_have_count(2)
    queue.get_by_role("button", name="Clear waiting").click()
    expect(queue.get_by_text("Nothing is running.")).to_be_visible()
    queue.get_by_role("button", name="Resume").click()


def test_the_gallery_shows_new_pictures_their_settings_and_opens_their_workflow(editor: Editor) -> None:
    quick(editor)
    editor.field("Prompt", "text").fill("a violet square")
    editor.run()
    finished(editor)
    gallery = editor.panel("Results")
    newest = editor.page.request.get(f"{editor.server}/v1/assets?kind=output&limit=1").json()["assets"][0]
    first = gallery.get_by_role("button", name=re.compile("text-to-image")).first
    expect(first).to_have_attribute("aria-label", newest["name"])
    expect(first.locator("img")).to_have_attribute("loading", "lazy")
    first.click()
    viewer = editor.page.get_by_role("dialog")
    expect(viewer).to_contain_text("a violet square")
    editor.page.keyboard.press("Escape")
    editor.field("Prompt", "text").fill("something else")
    gallery.get_by_role("button", name=re.compile("text-to-image")).first.click()
    viewer.get_by_role("button", name="Open its workflow").click()
    expect(editor.field("Prompt", "text")).to_have_value("a violet square")


def test_a_subgraph_shows_its_progress_and_time_outside(editor: Editor) -> None:
    quick(editor)
    editor.select("KSampler", "VAE Decode")
    editor.page.keyboard.press("Control+Shift+G")
    expect(editor.card("Subgraph")).to_be_visible()
    editor.run()
    editor.says("Run finished")
    expect(editor.card("Subgraph").locator(".badge.done")).to_have_text(re.compile(r"^[\d.]+ s$"))
    editor.card("Subgraph").get_by_role("button", name="Look inside").click()
    expect(editor.card("KSampler").locator(".badge.done")).to_be_visible()


def test_only_the_branch_that_made_a_picture_is_opened(editor: Editor) -> None:
    quick(editor)
    editor.page.mouse.dblclick(*editor.empty_spot())
    editor.search("load image")
    editor.page.keyboard.press("Enter")
    expect(editor.cards).to_have_count(10)
    editor.run()
    finished(editor)
    editor.panel("Results").get_by_role("button", name=re.compile("text-to-image")).first.click()
    editor.page.get_by_role("dialog").get_by_role("button", name="Open only its branch").click()
    expect(editor.cards).to_have_count(9)


def test_run_to_the_selected_node_runs_only_what_it_needs(editor: Editor) -> None:
    bodies: list[str] = []
    editor.page.on(
        "request", lambda request: bodies.append(request.post_data or "") if request.url.endswith("/v1/jobs") else None
    )
    editor.select("Empty Latent Image")
    editor.page.keyboard.press("Alt+Enter")
    expect(editor.card("Empty Latent Image").locator(".badge")).to_be_visible(timeout=20_000)
    expect(editor.card("KSampler").locator(".badge")).to_have_count(0)
    assert '"targets":["empty"]' in bodies[-1]


def test_two_pictures_are_compared_with_the_settings_that_differ(editor: Editor) -> None:
    quick(editor)
    for text in ("a red square", "a green square"):
        editor.field("Prompt", "text").fill(text)
        editor.run()
        finished(editor)
        expect(editor.page.locator(".toast")).to_have_count(0)
    gallery = editor.panel("Results")
    gallery.get_by_role("button", name="Compare two").click()
    pictures = gallery.get_by_role("button", name=re.compile("text-to-image"))
    pictures.nth(0).click()
    pictures.nth(1).click()
    dialog = editor.page.get_by_role("dialog", name="Compare pictures")
    expect(dialog).to_contain_text("a red square")
    expect(dialog.get_by_role("slider", name="Slider")).to_be_visible()
    dialog.get_by_role("button", name="Side by side").click()
    left, right = (dialog.get_by_role("img").nth(index).bounding_box() for index in (0, 1))
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"] + 1
    dialog.get_by_role("button", name="Hover").click()
    over = dialog.get_by_role("img").nth(1)
    editor.page.mouse.move(2, 2)
    expect(over).to_have_css("opacity", "0")
    dialog.locator(".pair").hover()
    expect(over).to_have_css("opacity", "1")


def test_a_grid_of_values_says_its_count_and_shows_each_with_its_label(editor: Editor) -> None:
    quick(editor)
    editor.page.keyboard.press("Escape")
    editor.command("Vary values in a grid")
    dialog = editor.page.get_by_role("dialog", name="Vary values in a grid")
    dialog.get_by_label("Input that varies Across").select_option(label="KSampler · cfg")
    dialog.get_by_label("Values Across").fill("1..3 by 2")
    expect(dialog.get_by_role("button", name="Queue 2 runs")).to_be_visible()
    dialog.get_by_label("Input that varies Down").select_option(label="KSampler · steps")
    dialog.get_by_label("Values Down").fill("1, 2")
    dialog.get_by_role("button", name="Queue 4 runs").click()
    expect(dialog.get_by_role("figure").get_by_role("img")).to_have_count(4, timeout=30_000)
    labels = ["cfg 1 · steps 1", "cfg 3 · steps 1", "cfg 1 · steps 2", "cfg 3 · steps 2"]
    assert dialog.get_by_role("figure").all_inner_texts() == labels


def test_a_lost_connection_is_said_and_heals(editor: Editor, context: BrowserContext) -> None:
    expect(editor.page.locator(".status.quiet")).to_be_visible()
    editor.page.route_web_socket("**/v1/live", lambda socket: socket.close())
    editor.page.reload()
    expect(editor.page.get_by_role("alert").filter(has_text="Connection lost")).to_be_visible()


def test_the_form_runs_a_marked_input_on_a_phone(editor: Editor) -> None:
    quick(editor)
    editor.card("KSampler").get_by_text("steps", exact=True).hover()
    editor.card("KSampler").get_by_role("button", name="Show steps in the form").click()
    editor.card("Prompt").get_by_text("text", exact=True).hover()
    editor.card("Prompt").get_by_role("button", name="Show text in the form").click()
    expect(editor.page.get_by_text("draft saved")).to_be_visible()
    editor.page.set_viewport_size({"width": 360, "height": 740})
    editor.page.goto(f"{editor.server}/#form")
    editor.page.reload()
    form = editor.page.get_by_role("main", name="Form")
    expect(form.get_by_role("spinbutton")).to_have_count(1)
    form.get_by_role("button", name="Arrange the form").click()
    form.get_by_role("button", name="Move up").nth(1).click()
    assert [item["input"] for item in editor.document()["form"]] == ["text", "steps"]
    form.get_by_label("Group").nth(1).fill("Effort")
    expect(form.get_by_role("group", name="Effort")).to_be_visible()
    form.get_by_label("Label").nth(1).fill("Patience")
    expect(form.get_by_label("Patience", exact=True)).to_have_value("2")
    assert editor.page.evaluate("document.documentElement.scrollWidth") <= 360
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("img")).to_be_visible(timeout=30_000)


def test_a_mask_is_painted_and_used(blank: Editor, picture: bytes) -> None:
    blank.open_workflow(workflow({"load": ("LoadImage", {})}))
    blank.card("Load Image").get_by_label("Upload a file for image").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": picture}
    )
    blank.card("Load Image").get_by_role("button", name="Paint a mask").click()
    dialog = blank.page.get_by_role("dialog", name="Paint a mask")
    canvas = dialog.locator("canvas")
    expect(canvas).to_have_attribute("width", "16")
    painted = """canvas => { const data = canvas.getContext('2d').getImageData(0, 0, 16, 16).data;
      return [Array.from({length: 256}, (_, i) => data[4 * i + 3]).filter(Boolean).length, data[4 * (16 * 8 + 6) + 3]]; }"""

    def stroke() -> None:
        box = canvas.bounding_box()
        assert box is not None
        assert abs(box["width"] - box["height"]) < 2  # as the picture: what is pointed at is what is painted
        blank.page.mouse.move(box["x"] + box["width"] * 0.33, box["y"] + box["height"] * 0.53)
        blank.page.mouse.down()
        blank.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.53, steps=3)
        blank.page.mouse.up()

    for size in ({"width": 1440, "height": 900}, {"width": 390, "height": 844}):
        blank.page.set_viewport_size(size)  # type: ignore[arg-type]
        stroke()
        count, middle_alpha = canvas.evaluate(painted)
        assert 0 < count < 128
        assert middle_alpha > 0
        dialog.get_by_role("button", name="Undo").click()
        assert canvas.evaluate(painted)[0] == 0
    dialog.get_by_role("button", name="Invert").click()
    assert canvas.evaluate(painted)[0] == 256
    dialog.get_by_role("button", name="Erase").click()
    stroke()
    assert canvas.evaluate(painted)[1] < 255
    dialog.get_by_role("button", name="Brush").click()
    dialog.get_by_label("Size").fill("8")
    assert (
        canvas.evaluate("canvas => getComputedStyle(canvas).touchAction") == "none"
    )  # pen and touch paint, not scroll
    blank.page.set_viewport_size({"width": 1440, "height": 900})
    dialog.get_by_role("button", name="Use this mask").click()
    expect(dialog).to_have_count(0)
    name = blank.document()["nodes"]["load"]["inputs"]["image"]
    assert name.startswith("masked-")


PAINTED = """canvas => { const data = canvas.getContext('2d').getImageData(0, 0, 16, 16).data;
  return Array.from({length: 256}, (_, i) => i).filter(i => data[4 * i + 3]).map(i => [i % 16, Math.floor(i / 16)]); }"""
"""Columns and rows of the painted pixels of a mask of 16 by 16."""


class Hand:
    """Fingers and a pen on a thing, at parts of its width and height."""

    def __init__(self, editor: Editor, area: Locator) -> None:
        self.session = editor.page.context.new_cdp_session(editor.page)
        self.area = area

    def at(self, x: float, y: float) -> dict[str, float]:
        """The point of the page."""
        box = self.area.bounding_box()
        assert box is not None
        return {"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y}

    def touch(self, *steps: tuple[tuple[float, float], ...]) -> None:
        """Fingers at each step; the first is put down first, and the last step lifts them all."""
        down = 0
        for step in steps:
            points = [{**self.at(*place), "id": finger} for finger, place in enumerate(step)]
            kind = "touchStart" if len(points) > down else "touchMove"
            self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            down = len(points)
        self.session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def draw(self, force: float, *places: tuple[float, float]) -> None:
        """A stroke with the pen, pressed by so much of the most."""
        for index, place in enumerate((*places, places[-1])):
            kind = "mousePressed" if index == 0 else "mouseReleased" if index == len(places) else "mouseMoved"
            held = {"button": "left", "buttons": 1, "pointerType": "pen", "force": force, "clickCount": 1}
            self.session.send("Input.dispatchMouseEvent", {"type": kind, **self.at(*place), **held})


def test_a_mask_is_painted_by_finger_and_pen_and_two_fingers_zoom(person: People, server: str, picture: bytes) -> None:
    phone = person(viewport={"width": 390, "height": 844}, has_touch=True)
    editor = Editor(phone.new_page(), server).open("#new")
    editor.open_workflow(workflow({"load": ("LoadImage", {})}))
    upload = editor.card("Load Image").get_by_label("Upload a file for image")
    upload.set_input_files({"name": "dot.png", "mimeType": "image/png", "buffer": picture})
    editor.card("Load Image").get_by_role("button", name="Paint a mask").click()
    dialog = editor.page.get_by_role("dialog", name="Paint a mask")
    canvas = dialog.locator("canvas")
    expect(canvas).to_have_attribute("width", "16")
    undo = dialog.get_by_role("button", name="Undo")
    hand = Hand(editor, dialog.locator(".mask-area"))

    across = [(0.1 + step / 10, 0.25) for step in range(8)]
    hand.touch(*[(place,) for place in across[:4]], *[(place, (0.5, 0.9)) for place in across[4:]])
    painted = canvas.evaluate(PAINTED)
    assert [12, 4] in painted  # the stroke went on beside the resting hand
    assert max(row for _, row in painted) < 8  # which painted nothing
    undo.click()
    assert canvas.evaluate(PAINTED) == []

    width = (canvas.bounding_box() or {})["width"]
    hand.touch(((0.45, 0.5),), ((0.45, 0.5), (0.55, 0.5)), ((0.4, 0.5), (0.6, 0.5)), ((0.25, 0.5), (0.75, 0.5)))
    assert (canvas.bounding_box() or {})["width"] > 3 * width
    assert canvas.evaluate(PAINTED) == []
    expect(undo).to_be_disabled()
    hand.touch(((0.5, 0.5),), ((0.52, 0.5),))
    assert {column for column, _ in canvas.evaluate(PAINTED)} <= {5, 6, 7, 8, 9, 10}
    undo.click()
    dialog.get_by_role("button", name="Show everything").click()
    assert (canvas.bounding_box() or {})["width"] == width

    hand.draw(0.1, (0.2, 0.5), (0.8, 0.5))
    light = len(canvas.evaluate(PAINTED))
    undo.click()
    hand.draw(1.0, (0.2, 0.5), (0.8, 0.5))
    strong = canvas.evaluate(PAINTED)
    assert 0 < light < len(strong)
    hand.touch(((0.2, 0.1),), ((0.8, 0.1),))
    assert canvas.evaluate(PAINTED) == strong  # beside a pen, a finger is a hand that rests


def test_the_run_button_shows_that_a_run_is_on_its_way(editor: Editor) -> None:
    held: list[Route] = []
    editor.page.route("**/v1/jobs", lambda route: held.append(route))
    button = editor.page.get_by_role("button", name="Run", exact=True)
    expect(button).to_have_attribute("aria-busy", "false")
    quick(editor).run()
    expect(button).to_have_attribute("aria-busy", "true")
    for route in held:
        route.continue_()
    expect(button).to_have_attribute("aria-busy", "false")
    finished(editor)

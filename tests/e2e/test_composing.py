"""Adding, linking and filling in nodes."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.editor import Editor, workflow


def test_double_click_two_letters_and_enter_add_a_node_under_the_pointer(blank: Editor) -> None:
    x, y = blank.empty_spot(0.4, 0.4)
    blank.page.mouse.dblclick(x, y)
    blank.page.keyboard.type("ks")
    expect(blank.page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    blank.page.keyboard.press("Enter")
    expect(blank.card("KSampler")).to_be_visible()
    box = blank.card("KSampler").bounding_box()
    assert box is not None
    assert abs(box["x"] - x) < 12
    assert abs(box["y"] - y) < 12


def test_tab_opens_the_search_and_adds_a_node_where_the_pointer_rests(blank: Editor) -> None:
    blank.focus_canvas()
    x, y = blank.empty_spot(0.6, 0.3)
    blank.page.mouse.move(x, y)
    blank.page.keyboard.press("Tab")
    dialog = blank.page.get_by_role("dialog", name="Add a node")
    expect(dialog).to_be_visible()
    blank.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    blank.page.keyboard.press("Tab")
    blank.page.keyboard.type("ks")
    expect(blank.page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    blank.page.keyboard.press("Enter")
    box = blank.card("KSampler").bounding_box()
    assert box is not None
    assert abs(box["x"] - x) < 12
    assert abs(box["y"] - y) < 12


def test_a_link_dropped_on_empty_canvas_lists_only_fitting_nodes_and_adds_one_connected(editor: Editor) -> None:
    editor.link(editor.socket("VAE Decode", "Output", "IMAGE"), editor.empty_spot(0.1, 0.9))
    dialog = editor.page.get_by_role("dialog", name="Add a node")
    expect(dialog).to_contain_text("Nodes that take IMAGE")
    dialog.get_by_role("combobox").fill("empty latent")
    expect(dialog.get_by_text("Nothing fits")).to_be_visible()
    dialog.get_by_role("combobox").fill("preview image")
    editor.page.keyboard.press("Enter")
    expect(editor.card("Preview Image")).to_be_visible()
    assert editor.document()["nodes"]["previewimage"]["inputs"] == {"images": {"from": "decode.IMAGE"}}


def test_while_a_link_is_dragged_fitting_sockets_light_up_and_others_dim(editor: Editor) -> None:
    editor.drag(editor.socket("Empty Latent Image", "Output", "LATENT"), editor.empty_spot())
    expect(editor.socket("KSampler", "Input", "latent_image")).to_have_class(re.compile("fits"))
    expect(editor.socket("KSampler", "Input", "model")).to_have_class(re.compile("dimmed"))
    editor.page.mouse.up()


def test_a_refused_link_says_why_in_one_sentence(editor: Editor) -> None:
    editor.link(editor.socket("Empty Latent Image", "Output", "LATENT"), editor.socket("KSampler", "Input", "model"))
    editor.says("model takes MODEL, not LATENT.")


def test_linking_hides_a_field_and_unlinking_brings_its_value_back(blank: Editor) -> None:
    blank.open_workflow(
        workflow(
            {
                "a": ("EmptyLatentImage", {"width": 64, "height": 32, "batch_size": 1}),
                "n": ("PrimitiveInt", {"value": 96}),
            }
        )
    )
    blank.link(
        blank.page.get_by_role("button", name=re.compile("^Output .*, INT")),
        blank.socket("Empty Latent Image", "Input", "width"),
    )
    expect(blank.field("Empty Latent Image", "width")).to_have_count(0)
    blank.links.first.locator("path").first.click(force=True)
    blank.page.keyboard.press("Delete")
    expect(blank.field("Empty Latent Image", "width")).to_have_value("64")


def test_an_input_takes_one_link_a_second_replaces_it(editor: Editor) -> None:
    before = editor.links.count()
    editor.link(
        editor.socket("Negative prompt", "Output", "CONDITIONING"), editor.socket("KSampler", "Input", "positive")
    )
    expect(editor.links).to_have_count(before)
    assert editor.document()["nodes"]["sample"]["inputs"]["positive"] == {"from": "negative.CONDITIONING"}


def test_a_circle_is_refused(blank: Editor) -> None:
    blank.open_workflow(workflow({"a": ("ImageInvert", {}), "b": ("ImageInvert", {"image": {"from": "a.IMAGE"}})}))
    expect(blank.cards).to_have_count(2)
    second, first = blank.cards.nth(1), blank.cards.nth(0)
    blank.link(second.get_by_role("button", name="Output IMAGE, "), first.get_by_role("button", name="Input image, "))
    blank.says("That would make a circle")
    expect(blank.links).to_have_count(1)


def test_numbers_are_typed_stepped_and_visibly_clamped(editor: Editor) -> None:
    steps = editor.field("KSampler", "steps")
    steps.fill("7")
    steps.press("ArrowUp")
    expect(steps).to_have_value("8")
    steps.fill("999999")
    steps.press("Enter")
    expect(steps).to_have_value("10000")
    expect(editor.card("KSampler").get_by_text("Set to 10000, the limit")).to_be_visible()
    slider = editor.card("KSampler").get_by_role("slider", name="denoise slider")
    slider.focus()
    slider.press("ArrowLeft")
    expect(editor.field("KSampler", "denoise")).to_have_value("0.99")


def test_texts_choices_toggles_and_colours_take_mouse_keys_and_paste(editor: Editor) -> None:
    prompt = editor.field("Prompt", "text")
    prompt.fill("")
    editor.page.evaluate("navigator.clipboard.writeText('a pasted pear')")
    prompt.press("Control+v")
    expect(prompt).to_have_value("a pasted pear")
    editor.field("KSampler", "sampler_name").select_option(label="heun")
    editor.field("Result", "filename_prefix").fill("pear")
    inputs = {id: node["inputs"] for id, node in editor.document()["nodes"].items()}
    assert (inputs["prompt"]["text"], inputs["sample"]["sampler_name"]) == ("a pasted pear", "heun")
    assert inputs["save"]["filename_prefix"] == "pear"


def test_toggles_and_colours_are_set_by_mouse_and_keys(blank: Editor) -> None:
    blank.open_workflow(workflow({"b": ("PrimitiveBoolean", {"value": False}), "c": ("EmptyImage", {"color": 0})}))
    toggle = blank.cards.nth(0).get_by_role("switch")
    toggle.focus()
    toggle.press("Space")
    color = blank.cards.nth(1).get_by_label("color", exact=True)
    color.fill("#ff8000")
    color.press("Tab")
    nodes = blank.document()["nodes"]
    assert (nodes["b"]["inputs"]["value"], nodes["c"]["inputs"]["color"]) == (True, 0xFF8000)


def test_every_kind_of_field_takes_a_pasted_value(blank: Editor) -> None:
    """Those with a cursor take it as text does; a slider, a choice, a toggle and a colour picker take what it means."""
    blank.open_workflow(
        workflow(
            {
                "k": (
                    "KSampler",
                    {"seed": 1, "steps": 4, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
                ),
                "b": ("PrimitiveBoolean", {"value": False}),
                "c": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0}),
                "s": ("PrimitiveString", {"value": ""}),
            }
        )
    )
    sampler, toggle, image, string = (blank.cards.nth(index) for index in range(4))
    page = blank.page
    for place, text in (
        (sampler.get_by_label("seed", exact=True), "18446744073709551557"),
        (sampler.get_by_label("steps", exact=True), "12"),
        (sampler.get_by_role("slider", name="denoise slider"), "0.5"),
        (sampler.get_by_label("cfg", exact=True), "7,25"),
        (sampler.get_by_label("sampler_name", exact=True), "heun"),
        (toggle.get_by_role("switch"), "yes"),
        (image.get_by_label("color picker"), "#ff8000"),
        (string.get_by_label("value", exact=True), "a pear"),
    ):
        place.focus()
        page.evaluate("text => navigator.clipboard.writeText(text)", text)
        if place.evaluate("field => field.matches('input[type=text]')"):
            page.keyboard.press("Control+a")
        page.keyboard.press("Control+v")
        page.keyboard.press("Tab")
    nodes = blank.document()["nodes"]
    assert nodes["k"]["inputs"] == {
        "seed": 18446744073709551557, "steps": 12, "cfg": 7.25, "sampler_name": "heun", "scheduler": "normal", "denoise": 0.5,
    }  # fmt: skip
    assert (nodes["b"]["inputs"]["value"], nodes["c"]["inputs"]["color"]) == (True, 0xFF8000)
    assert nodes["s"]["inputs"]["value"] == "a pear"
    expect(blank.cards).to_have_count(4)  # nothing was taken for nodes


def test_every_kind_of_field_is_set_by_mouse_and_by_keys(blank: Editor) -> None:
    blank.open_workflow(
        workflow(
            {
                "k": (
                    "KSampler",
                    {"seed": 1, "steps": 4, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
                ),
                "b": ("PrimitiveBoolean", {"value": False}),
            }
        )
    )
    sampler, toggle = blank.cards.nth(0), blank.cards.nth(1)
    for name in ("seed", "steps"):
        sampler.get_by_role("button", name=f"{name}: more").click()
        sampler.get_by_label(name, exact=True).press("ArrowUp")
    slider = sampler.get_by_role("slider", name="denoise slider")
    box = slider.bounding_box()
    assert box is not None
    blank.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    half = float(sampler.get_by_label("denoise", exact=True).input_value())
    assert 0.3 < half < 0.7
    slider.press("ArrowRight")
    choice = sampler.get_by_label("sampler_name", exact=True)
    choice.focus()
    choice.press("h")
    expect(choice.locator("option:checked")).to_have_text("heun")
    sampler.get_by_label("scheduler", exact=True).select_option(label="karras")
    toggle.get_by_role("switch").click()
    toggle.get_by_role("switch").press("Space")
    toggle.get_by_role("switch").click()
    nodes = blank.document()["nodes"]
    inputs = nodes["k"]["inputs"]
    assert (inputs["seed"], inputs["steps"], inputs["sampler_name"], inputs["scheduler"]) == (3, 6, "heun", "karras")
    assert round(inputs["denoise"] - half, 6) == 0.01
    assert nodes["b"]["inputs"]["value"] is True


def test_a_picture_is_dropped_and_pasted_into_its_field_and_a_file_is_chosen(blank: Editor, picture: bytes) -> None:
    blank.open_workflow(workflow({"load": ("LoadImage", {}), "sound": ("LoadAudio", {})}))
    card = blank.card("Load Image")
    give = """(element, [bytes, name, type, kind]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
      element.dispatchEvent(kind === 'drop' ? new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true})
        : new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true, cancelable: true}));
    }"""
    for name, kind in (("dropped.png", "drop"), ("pasted.png", "paste")):
        card.locator(".file-field select").evaluate(give, [list(picture), name, "image/png", kind])
        expect(card.get_by_role("img", name=name)).to_be_visible()
    card.get_by_label("image", exact=True).select_option(label="dropped.png")
    sound = blank.page.get_by_label("Upload a file for audio")
    sound.set_input_files({"name": "beep.flac", "mimeType": "audio/flac", "buffer": b"fLaC" + bytes(60)})
    expect(blank.page.get_by_label("audio", exact=True).locator("option:checked")).to_have_text("beep.flac")
    nodes = blank.document()["nodes"]
    assert (nodes["load"]["inputs"]["image"], nodes["sound"]["inputs"]["audio"]) == ("dropped.png", "beep.flac")


def test_a_picture_is_uploaded_into_its_field(blank: Editor, picture: bytes) -> None:
    blank.open_workflow(workflow({"load": ("LoadImage", {})}))
    field = blank.card("Load Image").get_by_label("Upload a file for image")
    field.set_input_files({"name": "dot.png", "mimeType": "image/png", "buffer": picture})
    expect(blank.card("Load Image").get_by_role("img", name=re.compile("dot"))).to_be_visible()
    assert blank.document()["nodes"]["load"]["inputs"]["image"].startswith("dot")


def test_prompt_words_get_weight_with_ctrl_and_arrows(editor: Editor) -> None:
    prompt = editor.field("Prompt", "text")
    prompt.fill("apple")
    prompt.press("Control+ArrowUp")
    expect(prompt).to_have_value("(apple:1.05)")
    editor.card("Prompt").get_by_role("button", name="Edit in a large field").click()
    large = editor.page.get_by_role("dialog", name="Prompt · text").get_by_label("text")
    expect(large).to_have_value("(apple:1.05)")
    expect(large).to_be_focused()
    with editor.page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/jobs")):
        large.press("Control+Enter")
    expect(editor.page.get_by_role("dialog")).to_have_count(0)
    assert prompt.evaluate("area => getComputedStyle(area).resize") == "vertical"


def test_inputs_that_grow_offer_the_first_free_one(blank: Editor) -> None:
    blank.open_workflow(workflow({"a": ("EmptyImage", {}), "batch": ("BatchImagesNode", {})}))
    card = blank.cards.nth(1)
    first = card.get_by_role("button", name=re.compile("^Input ")).last
    expect(first).to_be_visible()
    before = card.get_by_role("button", name=re.compile("^Input ")).count()
    blank.link(blank.cards.nth(0).get_by_role("button", name="Output IMAGE, "), first)
    expect(card.get_by_role("button", name=re.compile("^Input "))).to_have_count(before + 1)

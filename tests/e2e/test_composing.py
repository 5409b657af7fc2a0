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


def test_tab_on_the_canvas_opens_the_search(blank: Editor) -> None:
    blank.focus_canvas()
    blank.page.keyboard.press("Tab")
    expect(blank.page.get_by_role("dialog", name="Add a node")).to_be_visible()
    blank.page.keyboard.press("Escape")
    expect(blank.page.get_by_role("dialog", name="Add a node")).to_be_hidden()


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
    expect(editor.page.get_by_role("dialog").get_by_label("text")).to_have_value("(apple:1.05)")


def test_inputs_that_grow_offer_the_first_free_one(blank: Editor) -> None:
    blank.open_workflow(workflow({"a": ("EmptyImage", {}), "batch": ("BatchImagesNode", {})}))
    card = blank.cards.nth(1)
    before = card.get_by_role("button", name=re.compile("^Input ")).count()
    first = card.get_by_role("button", name=re.compile("^Input ")).last
    blank.link(blank.cards.nth(0).get_by_role("button", name="Output IMAGE, "), first)
    expect(card.get_by_role("button", name=re.compile("^Input "))).to_have_count(before + 1)

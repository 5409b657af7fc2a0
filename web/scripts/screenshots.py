"""Takes pictures of the editor from a running server.

python web/scripts/screenshots.py [http://127.0.0.1:8188]            those of `docs/editor.md`
python web/scripts/screenshots.py http://127.0.0.1:8188 --all FOLDER   every screen in every size and theme, to look at
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, expect, sync_playwright  # noqa: E402

from tests.e2e.editor import Editor  # noqa: E402
from tests.e2e.screens import SCREENS, finish  # noqa: E402

TARGET = ROOT / "docs" / "images"
QUIET = "if (location.protocol !== 'about:') localStorage.setItem('graphflow.tour', '1')"
SIZES = {1440: 900, 1024: 768, 390: 844}
THEMES = {"light": ("light", "no-preference"), "dark": ("dark", "no-preference"), "contrast": ("light", "more")}


def window(browser: Browser, address: str, width: int = 1440) -> Editor:
    """A window of a browser that was never here."""
    context = browser.new_context(viewport={"width": width, "height": SIZES[width]}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    context.add_init_script(QUIET)
    return Editor(context.new_page(), address).open()


def for_the_docs(browser: Browser, address: str) -> None:
    """The graph in light and dark, the form on a phone, a version compared."""
    editor = window(browser, address)
    finish(editor)
    editor.page.screenshot(path=TARGET / "editor.png")
    editor.page.emulate_media(color_scheme="dark")
    SCREENS["help"](editor)
    editor.page.screenshot(path=TARGET / "editor-dark.png")
    phone = window(browser, address, 390)
    phone.page.get_by_role("button", name="Form", exact=True).click()
    finish(phone)
    phone.page.screenshot(path=TARGET / "editor-form.png")
    versions = window(browser, address)
    SCREENS["versions"](versions)
    expect(versions.page.locator(".toast")).to_have_count(0, timeout=10_000)
    expect(versions.page.get_by_text("draft saved")).to_be_visible()
    versions.page.screenshot(path=TARGET / "editor-versions.png")


def all_of_them(browser: Browser, address: str, folder: Path) -> None:
    """Every screen: opened at a desk, then looked at in each size and theme."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, open_screen in SCREENS.items():
        editor = window(browser, address)
        open_screen(editor)
        for width, height in SIZES.items():
            editor.page.set_viewport_size({"width": width, "height": height})
            for theme, (scheme, contrast) in THEMES.items():
                editor.page.emulate_media(color_scheme=scheme, contrast=contrast)  # type: ignore[arg-type]
                editor.page.screenshot(path=folder / f"{name}-{width}-{theme}.png", animations="disabled")
        editor.page.request.delete(f"{address}/v1/jobs?status=queued")
        editor.page.request.patch(f"{address}/v1/queue", data={"paused": False})
        editor.page.context.close()


def main() -> None:
    """What the command line asks for."""
    address = (sys.argv[1:] or ["http://127.0.0.1:8188"])[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        if "--all" in sys.argv:
            all_of_them(browser, address, Path(sys.argv[sys.argv.index("--all") + 1]))
        else:
            for_the_docs(browser, address)
        browser.close()


if __name__ == "__main__":
    main()

"""Makes the pictures of the README and of the gallery from the shipped workflows: `python docs/make_pictures.py`.

Every workflow that makes a picture gets `workflows/NAME.webp`, its thumbnail in the gallery; the README's picture shows
prompts and what the model on board makes of them.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from graphflow.events import JobFailed, Made
from graphflow.paths import builtin_models
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import Bench, build, files
from graphflow.workflow import Workflow, parse

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = WorkerSettings(device="cpu", dtype="float32", roots=(builtin_models(),))
SIDE = 192
MARGIN = 12
PROMPTS = {
    "a panda, blue background": 3,
    "a fox, white background": 4,
    "a rocket, purple background": 5,
    "a strawberry, white background": 6,
    "a cat, orange background": 7,
    "a butterfly, white background": 8,
    "a red circle on the left, blue background": 9,
    "a blue heart at the top, yellow background": 10,
}
GUIDANCE = (1.0, 2.0, 4.0, 8.0)


def pictures(bench: Bench, workflow: Workflow) -> list[Image.Image]:
    """Every picture that a workflow saves or shows, in the order in which it does."""
    plan = compile(workflow, bench.engine.shop.definitions, files(SETTINGS), job="docs")
    items: list[object] = []
    bench.engine.run(plan, items.append)
    failed = [item for item in items if isinstance(item, JobFailed)]
    if failed:
        raise SystemExit(f"{workflow.name}: {failed[0].error.message}")
    made = [item for item in items if isinstance(item, Made) and item.media_type.startswith("image/")]
    return [Image.open(io.BytesIO(item.data)).convert("RGB") for item in made]


def sheet(tiles: list[tuple[str, Image.Image]], columns: int, side: int = SIDE) -> Image.Image:
    """Pictures in a grid, each with a line of text below."""
    rows = -(-len(tiles) // columns)
    cell = side + MARGIN
    canvas = Image.new("RGB", (columns * cell + MARGIN, rows * (cell + 22) + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(12)
    for i, (text, picture) in enumerate(tiles):
        x, y = MARGIN + i % columns * cell, MARGIN + i // columns * (cell + 22)
        canvas.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        draw.text((x, y + side + 5), text, fill="#333", font=font)
    return canvas


def thumbnail(made: list[Image.Image], side: int = 256) -> Image.Image:
    """The last picture, or a square of up to nine where there are four or more."""
    if len(made) < 4:
        found = made[-1].copy()
        found.thumbnail((side, side))
        return found
    count = 3 if len(made) >= 9 else 2
    cell = side // count
    canvas = Image.new("RGB", (count * cell, count * cell), "white")
    for i, picture in enumerate(made[: count * count]):
        tile = ImageOps.fit(picture, (cell, cell), Image.Resampling.LANCZOS)
        canvas.paste(tile, (i % count * cell, i // count * cell))
    return canvas


def main() -> None:
    """Writes all of them."""
    bench = build(SETTINGS)
    text_to_image = parse(json.loads((ROOT / "workflows" / "upscale.json").read_text(encoding="utf-8")))
    tiles = []
    for prompt, seed in PROMPTS.items():
        made = pictures(bench, text_to_image.with_values({"prompt.text": prompt, "sample.seed": seed}))
        tiles.append((prompt.replace(" background", ""), made[-1]))
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    sheet(tiles, 4).quantize(128).save(folder / "results.png", optimize=True)
    guided = [
        (f"guidance {guidance:g}", pictures(bench, text_to_image.with_values({**asked, "sample.cfg": guidance}))[-1])
        for guidance in GUIDANCE
        for asked in ({"prompt.text": prompt, "sample.seed": seed} for prompt, seed in PROMPTS.items())
    ]
    sheet(guided, len(PROMPTS), side=96).quantize(128).save(folder / "guidance.png", optimize=True)
    for path in sorted((ROOT / "workflows").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        made = [] if "own files" in document["tags"] else pictures(bench, parse(document))
        if made:
            thumbnail(made).save(path.with_suffix(".webp"), quality=80, method=6)
    bench.close()


if __name__ == "__main__":
    main()

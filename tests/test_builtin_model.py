"""The model on board follows prompts: what it paints is read back by a program."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow.events import Made
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import build, files
from graphflow.workflow import parse

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the checker of scenes lies in training/, which is no part of the installed package

from training import scenes  # noqa: E402

BUILTIN = ROOT / "graphflow" / "builtin"
MODEL = BUILTIN / "checkpoints" / "graphflow-emoji"
UPSCALERS = BUILTIN / "upscale_models"
STEPS = 10


@pytest.fixture(scope="module")
def paint():
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def paint(prompts: list[str], **options) -> np.ndarray:
        generators = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
        options = {
            "guidance_scale": 4.0,
            "num_inference_steps": STEPS,
            "generator": generators,
            "output_type": "np",
        } | options
        return pipeline(prompts, **options).images

    return paint


@pytest.mark.slow
def test_scenes_have_the_background_and_the_colour_that_were_asked_for(paint):
    asked = [scene for scene in scenes.first_scenes(64, seed=4, held_out=True) if len(scene.things) == 1][:16]

    pictures = paint([scene.caption for scene in asked])

    verdicts = [scenes.check(picture, scene) for picture, scene in zip(pictures, asked, strict=True)]
    assert sum(verdict.background for verdict in verdicts) == 16
    assert sum(verdict.colour for verdict in verdicts) == 16


@pytest.mark.parametrize("prompt", ["", "🍎🐈", "猫 と りんご", "a red circle, " * 100])
def test_odd_prompts_still_give_pictures(paint, prompt):
    (picture,) = paint([prompt], num_inference_steps=4)

    assert picture.shape == (64, 64, 3)
    assert np.isfinite(picture).all()
    assert picture.std() > 0.01


def test_sizes_that_are_multiples_of_the_factor_work(paint):
    (picture,) = paint(["a blue star"], height=72, width=96, num_inference_steps=2)

    assert picture.shape == (72, 96, 3)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_upscalers_are_sharper_than_lanczos(scale):
    from spandrel import ModelLoader

    pytest.importorskip("matplotlib", reason="training needs the `training` extra")
    from training.autoencoder import array, tensor
    from training.upscaler import lanczos, psnr, shrunk

    network = ModelLoader().load_from_file(UPSCALERS / f"graphflow-{scale}x.safetensors").eval()
    large = [scenes.draw(scene, size=64 * scale) for scene in scenes.first_scenes(12, seed=5, held_out=True)]

    with torch.no_grad():
        ours = [psnr(array(network(tensor([shrunk(one, scale)])))[0], one) for one in large]
    theirs = [psnr(lanczos(shrunk(one, scale), scale), one) for one in large]

    assert np.mean(ours) > np.mean(theirs) + 2  # dB


@pytest.fixture(scope="module")
def made():
    """What a shipped workflow paints: for each output node its pictures, each (64, 64, 3)."""
    settings = WorkerSettings(device="cpu", dtype="float32", roots=(BUILTIN,))
    bench = build(settings)

    def run(name: str, values: dict[str, object]) -> dict[str, list[np.ndarray]]:
        document = parse(json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8")))
        plan = compile(document.with_values(values), bench.engine.shop.definitions, files(settings), job=name)
        items: list[object] = []
        bench.engine.run(plan, items.append)
        pictures: dict[str, list[np.ndarray]] = {}
        for item in items:
            if isinstance(item, Made):
                picture = (
                    PIL.Image.open(io.BytesIO(item.data)).convert("RGB").resize((64, 64), PIL.Image.Resampling.BOX)
                )
                pictures.setdefault(item.node, []).append(np.asarray(picture, np.float32) / 255)
        return pictures

    yield run
    bench.close()


@pytest.mark.parametrize("prompt", ["a pumpkin, white background", "a panda, red background"])
def test_the_lora_draws_in_the_other_style(made, prompt):
    pytest.importorskip("matplotlib", reason="training needs the `training` extra")
    from training.lora import is_print

    plain, with_it = made("lora", {"prompt.text": prompt})["save"]

    assert [is_print(plain), is_print(with_it)] == [False, True]


@pytest.mark.parametrize("place", ["at the top", "on the right"])
def test_the_controlnet_paints_along_the_edges(made, place):
    pytest.importorskip("matplotlib", reason="training needs the `training` extra")
    from training.controlnet import agreement

    def follows(strength: float) -> float:
        prompt = f"a red star {place}, white background"
        pictures = made("controlnet", {"prompt.text": prompt, "steer.strength": strength})
        _, lines = pictures["before"]
        return agreement(pictures["save"][0][None], lines.mean(-1)[None], reach=2)

    assert follows(1.0) > 0.6
    assert follows(0.0) < 0.4

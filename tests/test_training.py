"""The training code: honest data, a loss that falls, and a run that goes on after a kill as if nothing had happened."""

import io
import itertools
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("matplotlib", reason="training needs the `training` extra")
sys.path.insert(0, str(Path(__file__).parents[1]))  # training/ is no part of the installed package

from training import autoencoder, diffusion, loop, packages, pipeline, scenes, upscaler
from training.lora import adapt
from training.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def held_out() -> list[scenes.Scene]:
    return scenes.first_scenes(100, seed=11, held_out=True)


def test_the_checker_finds_every_attribute_of_true_pictures(held_out):
    rng = np.random.default_rng(0)

    verdicts = [scenes.check(scenes.draw(scene, rng), scene) for scene in held_out]

    assert all(verdict.all for verdict in verdicts)


def test_the_checker_notices_each_wrong_attribute():
    asked = scenes.Scene((scenes.Thing("star", "red"),), "left", "blue")
    shown = {
        "background": scenes.Scene(asked.things, "left", "white"),
        "colour": scenes.Scene((scenes.Thing("star", "green"),), "left", "blue"),
        "position": scenes.Scene(asked.things, "right", "blue"),
        "shape": scenes.Scene((scenes.Thing("circle", "red"),), "left", "blue"),
    }

    for attribute, scene in shown.items():
        verdict = scenes.check(scenes.draw(scene), asked)
        assert {name for name in shown if not getattr(verdict, name)} == {attribute}


def test_no_training_scene_is_a_held_out_one(held_out):
    trained = {scene.caption for scene in itertools.islice(scenes.scenes(seed=11, held_out=False), 2_000)}

    assert trained.isdisjoint(scene.caption for scene in held_out)


def test_a_package_of_another_version_is_refused_by_name_and_version(tmp_path):
    path = tmp_path / packages.NOTO.file_name
    manifest = json.dumps({"name": packages.NOTO.name, "version": "9.9.9"}).encode()
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))

    with pytest.raises(packages.WrongPackage, match=rf"holds .* 9\.9\.9, but .*{packages.NOTO.version} is expected"):
        packages.fetch(packages.NOTO, tmp_path)


def test_captions_survive_the_tokenizer(held_out):
    captions = [scene.caption for scene in held_out]
    tokenizer = train_tokenizer(captions, size=600)

    ids = tokenizer(captions).input_ids

    assert [tokenizer.decode(row, skip_special_tokens=True).replace(" ,", ",") for row in ids] == captions
    assert all(row[-1] == tokenizer.eos_token_id == len(tokenizer) - 1 for row in ids)


@pytest.mark.parametrize("prompt", ["", "🍎🐈", "猫 と りんご", "a red circle " * 200])
def test_any_prompt_becomes_77_tokens(prompt):
    tokenizer = train_tokenizer(["a red circle"], size=520)

    assert pipeline.token_ids(tokenizer, [prompt]).shape == (1, 77)


def tiny_plan(folder: Path, steps: int, **changes: float) -> loop.Plan:
    return loop.Plan(
        folder, samples=8 * steps, batch=8, rate=2e-3, warm_up=16, decay=0.5, picture_samples=10**9, **changes
    )


def test_a_few_steps_of_the_autoencoder_lower_its_loss(tmp_path):
    torch.manual_seed(0)
    task = autoencoder.Autoencoding(autoencoder.new_autoencoder(width=8), emoji=[])
    plan = tiny_plan(tmp_path, steps=12)
    state = loop.begin(task, plan)

    losses = [loop.advance(task, state, plan, step) for step in loop.steps(state, plan)]

    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_a_few_steps_of_the_unet_lower_its_loss(tmp_path):
    torch.manual_seed(0)
    items = scenes.first_scenes(16, seed=0, held_out=False)
    tokenizer = train_tokenizer([item.caption for item in items], size=600)
    vae = autoencoder.new_autoencoder(width=8)
    parts = pipeline.Parts(vae, pipeline.new_text_encoder(tokenizer, layers=1), tokenizer, pipeline.new_unet((32, 32)))
    task = diffusion.Diffusing(parts, diffusion.Pool(torch.full((16, 16, 8, 8), 2.0), items, 0), emoji_share=0)
    plan = tiny_plan(tmp_path, steps=12)
    state = loop.begin(task, plan)

    losses = [loop.advance(task, state, plan, step) for step in loop.steps(state, plan)]

    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


class Fitting:
    """A line fitted to noisy points; dies before the step it is told to die before."""

    def __init__(self, dies_before: int | None = None):
        torch.manual_seed(0)
        self.modules: nn.Module = nn.Linear(3, 1)
        self.dies_before = dies_before

    def loss(self, step: loop.Step) -> Tensor:
        if step.number == self.dies_before:
            raise KeyboardInterrupt
        x = torch.randn(step.batch, 3, generator=step.generator)
        return (self.modules(x) - x.sum(1, keepdim=True)).square().mean()

    def picture(self, averaged):
        return loop.grid(np.zeros((1, 2, 2, 3)), 1)


def test_a_run_that_was_killed_ends_in_the_same_weights(tmp_path):
    whole = loop.train(Fitting(), tiny_plan(tmp_path / "whole", 8))
    with pytest.raises(KeyboardInterrupt):
        loop.train(Fitting(dies_before=5), tiny_plan(tmp_path / "killed", 8, save_seconds=-1))

    resumed = loop.train(Fitting(), tiny_plan(tmp_path / "killed", 8))

    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_a_lora_changes_nothing_before_it_is_trained():
    unet = pipeline.new_unet((32, 32)).eval()
    inputs = (torch.randn(1, 16, 8, 8), torch.tensor([5]), torch.randn(1, 77, pipeline.WIDTH))
    before = unet(*inputs).sample

    additions = adapt(unet, rank=2)

    assert torch.equal(unet(*inputs).sample, before)
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0" in additions


def test_an_untrained_upscaler_is_opened_by_spandrel():
    from spandrel import ModelLoader

    model = ModelLoader().load_from_state_dict(upscaler.Compact(4).state_dict())

    assert (model.scale, model.architecture.id) == (4, "Compact")

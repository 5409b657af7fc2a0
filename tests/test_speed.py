"""Speed switches skip or rearrange work: what they repeat is what was said, each job for itself, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.diffusion.caches import BLOCKS, DeepCache, EasyCache, FirstBlockCache
from graphflow.diffusion.network import CacheRule, RowCache, RowCond, RowControl
from graphflow.diffusion.speed_patches import ChannelsLast, Compiled, Kernels
from graphflow.engine.stepper import Lane, Stepper
from graphflow.families import FAMILIES
from graphflow.models import Residency, loaded
from graphflow.node import Row
from graphflow.values import Cond, Conditioning, Latent, Model, Weights
from graphflow_nodes.loaders import control_net_loader
from graphflow_nodes.model_patches import perturbed_attention_guidance, skip_layer_guidance_dit
from graphflow_nodes.sampling import k_sampler
from graphflow_nodes.speed import (
    attention_kernel,
    channels_last,
    deep_cache,
    easy_cache,
    first_block_cache,
    lazy_cache,
)
from tests.numerics import drive
from tests.test_control import control, write
from tests.tiny import TINY, Tiny, config_of, file, network, original_state, single_file, write_config

UNETS = ["sd15", "sd2", "sdxl"]
TRANSFORMERS = ["sd3", "sd35", "flux", "flux2", "chroma", "qwen_image", "z_image", "auraflow", "lumina2", "sana", "wan"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


DEEPER = {"sana": {"num_layers": 3}, "lumina2": {"num_layers": 3}, "z_image": {"n_layers": 3}}
"""Tiny networks of one block alone, made deeper."""


def deeper(folder: Path, name: str) -> Model:
    tiny = TINY[name]
    config = {**config_of(tiny.config), **DEEPER[name]}
    torch.manual_seed(0)
    module = FAMILIES[tiny.family].build(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
    path = folder / f"deeper {name}.safetensors"
    save_file(original_state(module, FAMILIES[tiny.family].layout, "model.diffusion_model."), path)
    write_config(path, tiny.folder, config)
    return Model(Weights((file(path),), "model", tiny.family))


def recipe(folder: Path, name: str) -> Model:
    return Model(Weights((single_file(folder, TINY[name], network(TINY[name])),), "model", TINY[name].family))


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(live: Any, tiny: Tiny, cache: RowCache | None, *, seed: int = 0, moved: float = 0.0, **more: Any) -> Row:
    cond = RowCond(
        live.parametrisation, noise(1, 6, tiny.width, seed=1), noise(1, tiny.pooled, seed=2) if tiny.pooled else None,
        torch.ones(1, 6), latent_size=(tiny.latent[-2], tiny.latent[-1]), cache=cache, **more,
    )  # fmt: skip
    return Row(live, noise(1, *tiny.latent, seed=seed) + moved, torch.tensor(0.7), cond)


def calls_of(module: torch.nn.Module, counted: list[int]) -> Any:
    return module.register_forward_hook(lambda *_: counted.append(1))


def innermost(module: Any) -> torch.nn.Module:
    """A layer that a cache leaves out."""
    if hasattr(module, "mid_block"):
        return module.mid_block.resnets[0].conv1  # type: ignore[no-any-return]
    last = [block for name in BLOCKS for block in getattr(module, name, ())][-1]
    return next(m for m in last.modules() if isinstance(m, torch.nn.Linear))


@pytest.mark.parametrize("name", [*UNETS, *TRANSFORMERS])
def test_a_question_asked_again_gets_the_same_answer_for_less_work(name: str, tmp_path: Path, home: Residency) -> None:
    tiny, model = TINY[name], deeper(tmp_path, name) if name in DEEPER else recipe(tmp_path, name)
    rule: CacheRule = DeepCache(2) if name in UNETS else FirstBlockCache(0.1)
    memory: dict[Any, Any] = {}
    counted: list[int] = []
    with loaded(model) as live:
        (plain,) = live.predict([row(live, tiny, None)])
        module = home.get(model.weights, lambda: None).content.module  # type: ignore[arg-type, return-value]
        handle = calls_of(innermost(module), counted)
        answers = [live.predict([row(live, tiny, RowCache(rule, memory, "me"))])[0] for _ in range(2)]
        handle.remove()
        (after,) = live.predict([row(live, tiny, None)])

    assert torch.equal(answers[0], plain)
    assert torch.equal(after, plain)  # nothing is left behind in the network
    assert len(counted) == 1
    torch.testing.assert_close(answers[1], plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_rows_of_two_jobs_do_not_share_a_call_nor_what_they_keep(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    rule: CacheRule = DeepCache(2) if name in UNETS else FirstBlockCache(10.0)
    with loaded(recipe(tmp_path, name)) as live:
        mine, other = {}, {}
        first = [row(live, tiny, RowCache(rule, memory, "a"), seed=n) for n, memory in enumerate((mine, other))]
        assert live.batch_key(first[0]) != live.batch_key(first[1])
        for asked in first:
            live.predict([asked])
        again = live.predict([row(live, tiny, RowCache(rule, mine, "a"), seed=0)])[0]
        plain = live.predict([row(live, tiny, None, seed=0)])[0]
        alone = live.predict([row(live, tiny, RowCache(rule, mine, "b"), seed=5)])[0]
        unhurried = live.predict([row(live, tiny, None, seed=5)])[0]

    torch.testing.assert_close(again, plain, atol=1e-5, rtol=1e-4)
    assert torch.equal(alone, unhurried)  # another question of the same job begins anew


def test_a_first_block_that_sees_a_change_asks_the_others(tmp_path: Path) -> None:
    tiny = TINY["flux"]
    with loaded(recipe(tmp_path, "flux")) as live:
        memory: dict[Any, Any] = {}

        def asked(rule: CacheRule, moved: float) -> Tensor:
            return live.predict([row(live, tiny, RowCache(rule, memory, "a"), moved=moved)])[0]

        strict, loose = FirstBlockCache(1e-6), FirstBlockCache(1e6)
        asked(strict, 0.0)
        assert torch.equal(asked(strict, 0.3), live.predict([row(live, tiny, None, moved=0.3)])[0])
        asked(loose, 0.0)
        assert not torch.equal(asked(loose, 0.3), live.predict([row(live, tiny, None, moved=0.3)])[0])
        for _ in range(2):
            asked(loose, 0.3)
        assert torch.equal(asked(loose, 0.3), live.predict([row(live, tiny, None, moved=0.3)])[0])  # the fourth time


def test_easy_cache_leaves_calls_out_while_the_changes_add_up_to_less_than_its_threshold(
    tmp_path: Path, home: Residency
) -> None:
    tiny, model = TINY["flux"], recipe(tmp_path, "flux")
    memory: dict[Any, Any] = {}
    counted: list[int] = []

    with loaded(model) as live:
        handle = calls_of(home.get(model.weights, lambda: None).content.module, counted)  # type: ignore[arg-type, return-value]

        def asked(moved: float) -> Row:
            return row(live, tiny, RowCache(EasyCache(0.3), memory, "a"), moved=moved)

        first, second = live.predict([asked(0.0)])[0], live.predict([asked(0.01)])[0]
        third = live.predict([asked(0.02)])[0]
        calls = len(counted)
        far = live.predict([asked(9.0)])[0]
        handle.remove()
        exact = [live.predict([row(live, tiny, None, moved=m)])[0] for m in (0.0, 0.01, 0.02, 9.0)]

    assert torch.equal(first, exact[0])
    assert torch.equal(second, exact[1])
    assert torch.equal(far, exact[3])  # a large change is computed
    assert (calls, len(counted)) == (2, 3)
    assert 0 < (third - exact[2]).abs().mean() < 0.1 * exact[2].abs().mean()


@pytest.mark.parametrize("name", ["sd15", "sdxl", "z_image", "wan", "flux fill"])
def test_easy_cache_serves_every_family(name: str, tmp_path: Path) -> None:
    model = recipe(tmp_path, name)
    slow, strict, loose = (
        drive(paint(m, name, steps=8)).result.data for m in (model, easy_cache(model, 0.0), lazy_cache(model, 3.0))
    )

    assert torch.equal(strict, slow)
    assert loose.isfinite().all()
    assert not torch.equal(loose, slow)


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_control_nets_keep_steering(tmp_path: Path, name: str) -> None:
    tiny = TINY[name]
    rule: CacheRule = DeepCache(2) if name in UNETS else FirstBlockCache(10.0)
    hint = noise(1, 16, *tiny.latent[-2:], seed=9) if name == "flux" else torch.rand(1, 3, 64, 64)
    with (
        loaded(recipe(tmp_path, name)) as live,
        loaded(control_net_loader(write(tmp_path, "net", control(name)))) as net,
    ):
        memory: dict[Any, Any] = {}
        steered = {"controls": (RowControl(net, hint, 1.0),)}
        (plain,) = live.predict([row(live, tiny, None, **steered)])
        answers = [live.predict([row(live, tiny, RowCache(rule, memory, "a"), **steered)])[0] for _ in range(2)]

    for answer in answers:
        torch.testing.assert_close(answer, plain, atol=1e-5, rtol=1e-4)


def conditioning(tiny: Tiny, seed: int) -> Conditioning:
    pooled = noise(1, tiny.pooled, seed=seed + 1) if tiny.pooled else None
    return Conditioning((Cond(noise(1, 6, tiny.width, seed=seed), pooled),))


def paint(model: Model, name: str, seed: int = 1, steps: int = 6) -> Any:
    tiny = TINY[name]
    return k_sampler(
        model, seed=seed, steps=steps, cfg=3.0, sampler_name="euler", scheduler="simple",
        positive=conditioning(tiny, 5), negative=conditioning(tiny, 7), latent_image=Latent(torch.zeros(1, *tiny.latent)),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_jobs_side_by_side_paint_what_they_paint_alone(name: str, tmp_path: Path) -> None:
    model = recipe(tmp_path, name)
    fast = deep_cache(model, 3) if name in UNETS else first_block_cache(model, 1.0)
    alone = [drive(paint(model, name)).result.data, *(drive(paint(fast, name, seed)).result.data for seed in (1, 2))]

    stepper, lanes = Stepper(batching=True), [
        Lane(lambda m=m, seed=seed: paint(m, name, seed)) for m, seed in ((model, 1), (fast, 1), (fast, 2))  # type: ignore[misc]
    ]  # fmt: skip
    left = list(lanes)
    with torch.inference_mode():
        while left:
            stepper.round(left)
    together = [lane.messages.get()[1].data for lane in lanes]

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    assert (alone[0] - alone[1]).abs().max() > 1e-4  # it did skip something


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_caches_go_with_guidance_that_asks_again(name: str, tmp_path: Path) -> None:
    model = recipe(tmp_path, name)
    if name == "sd15":
        slow = perturbed_attention_guidance(model, 2.0)
        fast = deep_cache(slow, 1)
    else:
        slow = skip_layer_guidance_dit(model, "0", "0", 2.0, 0.0, 1.0)
        fast = first_block_cache(slow, 0.0)

    torch.testing.assert_close(
        drive(paint(fast, name)).result.data, drive(paint(slow, name)).result.data, atol=1e-5, rtol=1e-4
    )


def test_a_switch_for_another_kind_of_network_says_which_to_take(tmp_path: Path) -> None:
    unet, flux = recipe(tmp_path, "sd15"), recipe(tmp_path, "flux")
    for model, name, said in (
        (first_block_cache(unet), "sd15", "take DeepCache"), (deep_cache(flux), "flux", "take FirstBlockCache"),
        (channels_last(flux), "flux", "channels-last is for networks of convolutions"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            drive(paint(model, name))


EDITS = [
    (edit, name)
    for name in ("sd15", "flux", "qwen_image")
    for edit in (Kernels("math"), Kernels("flash"), Compiled("eager"))
]


@pytest.mark.parametrize(("edit", "name"), [*EDITS, (ChannelsLast(), "sd15"), (ChannelsLast(), "sdxl")], ids=str)
def test_the_same_work_done_otherwise_gives_the_same(edit: Any, name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    with loaded(recipe(tmp_path, name)) as live:
        (plain,) = live.predict([row(live, tiny, None)])
        (otherwise,) = live.predict([row(live, tiny, None, edits=(edit,))])
        (after,) = live.predict([row(live, tiny, None)])

    torch.testing.assert_close(otherwise, plain, atol=1e-4, rtol=1e-3)
    assert torch.equal(after, plain)


def test_a_kernel_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the attention kernel 'cudnn' is not there"):
        drive(paint(attention_kernel(recipe(tmp_path, "sd15"), "cudnn"), "sd15"))

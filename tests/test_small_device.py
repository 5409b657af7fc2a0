"""On a device too small for its models everything still runs, with the same results.

The table of paths is `device_paths.py`. They run on a device with a memory of its own (`second_device.py`), so that what
was not brought there fails, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graphflow.diffusion.network import RowCond
from graphflow.files import ModelFiles
from graphflow.models import Residency, checkpoint, loaded
from graphflow.node import File, Row
from tests.device_paths import PATHS, ask, recipe
from tests.second_device import held, second_device
from tests.tiny import golden_sd15

ON_CPU = ("upscaler SPAN", "text seeing")
"""What asks the second device for operations that it has not got: the CPU plays the device."""
TABLES = ("qwen_image",)
"""diffusers keeps these families' tables of positions, which are no weights, on the device for good."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def residency(folder: Path, device: str, limit: int | None = None) -> Residency:
    return Residency(device=device, dtype="float32", limit=limit, shelf=ModelFiles([folder]))


@pytest.mark.parametrize("name", PATHS)
def test_every_path_gives_the_same_on_a_device_of_a_quarter_of_its_weights(name: str, tmp_path: Path) -> None:
    device = "cpu" if name in ON_CPU else second_device()
    large = residency(tmp_path, "cpu")
    with large.active():
        run = PATHS[name](tmp_path)
        expected = run()
    limit, before = large.tally.peak // 4, held()
    small = residency(tmp_path, device, limit)

    with small.active():
        found = run()

    assert torch.equal(found, expected)
    assert small.tally.peak <= limit  # of weights; what a call computes comes on top
    assert small.tally.evicted + small.tally.visits + small.tally.hosted > 0
    small.free()
    assert small.bytes_in("device") == 0
    small.drop()
    assert small.bytes_in("host") == 0
    assert held(collected=True) <= before or name.endswith(TABLES)


def picture(tiny: File, residency: Residency) -> Tensor:
    """One denoising step from noise, seen through every part of a checkpoint."""
    parts = checkpoint(tiny)
    with residency.active(), loaded(parts.clip) as encoder, loaded(parts.model) as live, loaded(parts.vae) as vae:
        (cond,) = encoder.encode("a (red:1.3) cat").entries
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).to(live.device)
        (denoised,) = live.predict([Row(live, x, torch.tensor(2.0), RowCond(live.parametrisation, cond.context))])
        return vae.decode(live.latent_format.process_out(denoised.cpu()))


@pytest.mark.parametrize("device", ["cpu", "second"])
@pytest.mark.parametrize("limit", [0, 2_000_000, 30_000_000])
def test_a_small_device_makes_the_same_picture(tiny: File, limit: int, device: str) -> None:
    small = Residency(device=second_device() if device == "second" else "cpu", dtype="float32", limit=limit)

    assert torch.equal(picture(tiny, small), picture(tiny, Residency(device="cpu", dtype="float32")))
    assert small.tally.peak <= limit
    assert (small.tally.hosted > 0) == (limit < 30_000_000)  # the largest layer has 25 MB


def test_the_second_device_refuses_what_is_not_there() -> None:
    layer, x = nn.Linear(2, 2), torch.ones(1, 2).to(second_device())
    with pytest.raises(RuntimeError, match="on the same device"):
        layer(x)
    assert layer.to(second_device())(x).device.type == second_device()


def test_layers_for_which_there_is_room_stay(tmp_path: Path) -> None:
    large = residency(tmp_path, "cpu")
    with large.active():
        model = recipe(tmp_path, "flux")
        ask(model, "flux")
    need = large.tally.peak
    visits = []
    for limit in (need // 4, need - 1):
        small = residency(tmp_path, second_device(), limit)
        with small.active():
            ask(model, "flux")
            first = small.tally.visits
            ask(model, "flux")
        visits.append((first, small.tally.visits - first))
        assert small.tally.peak <= limit

    (few, again), (all_, rest) = visits
    assert few == all_ > again > 2 * rest > 0


def test_a_call_that_fails_half_way_leaves_nothing_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held()
    with residency(tmp_path, "cpu").active() as large:
        model = recipe(tmp_path, "flux")
        expected = ask(model, "flux")
    small = residency(tmp_path, second_device(), large.tally.peak // 2)

    def stop(*args: object, **kwargs: object) -> Tensor:
        raise InterruptedError("the job was cancelled")

    with small.active():
        with monkeypatch.context() as patch:
            patch.setattr(nn.functional, "layer_norm", stop)
            with pytest.raises(InterruptedError):
                ask(model, "flux")
        assert 0 < small.bytes_in("device") <= small.limit
        small.free()
        assert small.bytes_in("device") == 0
        assert held(collected=True) <= before
        assert torch.equal(ask(model, "flux"), expected)


def test_a_device_with_less_room_than_it_says_is_believed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with residency(tmp_path, "cpu").active() as large:
        model = recipe(tmp_path, "flux")
        expected = ask(model, "flux")
    small, to, calls = residency(tmp_path, second_device()), nn.Module.to, []

    def full(module: nn.Module, where: torch.device) -> nn.Module:
        calls.append(str(where))
        if where.type != "cpu":
            to(next(iter(module.children())), where)  # some of it comes, and then memory runs out
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to(module, where)

    with small.active(), monkeypatch.context() as patch:
        patch.setattr(nn.Module, "to", full)
        assert torch.equal(ask(model, "flux"), expected)
        assert torch.equal(ask(model, "flux"), expected)

    assert calls.count(second_device()) + calls.count(f"{second_device()}:0") == 2  # tried, tried alone, and no more
    assert small.limit == large.tally.peak - 1
    assert small.tally.visits > 0

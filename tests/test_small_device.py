"""On a device too small for its models everything still runs, with the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.diffusion.caches import DeepCache, EasyCache, FirstBlockCache
from graphflow.diffusion.network import CacheRule, RowCache, RowCond
from graphflow.models import Residency, checkpoint, loaded
from graphflow.node import File, Row
from graphflow.values import Image, Lora, Model, Weights
from graphflow_nodes.ip_adapter import ip_adapter_advanced, ip_adapter_model_loader
from graphflow_nodes.loaders import control_net_loader, unet_loader
from graphflow_nodes.merging import model_merge_subtract
from graphflow_nodes.vision import clip_vision_loader
from tests.test_control import ask as ask_under
from tests.test_control import control
from tests.test_control import write as write_control
from tests.test_ip_adapter import adapter
from tests.test_ip_adapter import ask as show
from tests.test_speed import row as asked
from tests.test_vision import write as write_encoder
from tests.tiny import TINY, Tiny, file, golden_sd15, network, single_file


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


def picture(tiny: File, residency: Residency) -> Tensor:
    """One denoising step from noise, seen through every part of a checkpoint."""
    parts = checkpoint(tiny)
    with residency.active(), loaded(parts.clip) as encoder, loaded(parts.model) as live, loaded(parts.vae) as vae:
        (cond,) = encoder.encode("a (red:1.3) cat").entries
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        (denoised,) = live.predict([Row(live, x, torch.tensor(2.0), RowCond(live.parametrisation, cond.context))])
        return vae.decode(live.latent_format.process_out(denoised))


@pytest.mark.parametrize("limit", [0, 2_000_000, 6_000_000, 10_000_000])
def test_a_small_device_makes_the_same_picture(tiny: File, limit: int) -> None:
    small = Residency(device="cpu", dtype="float32", limit=limit)

    assert torch.equal(picture(tiny, small), picture(tiny, Residency(device="cpu", dtype="float32")))
    assert small.bytes_in("device") <= limit


def ask(model: Model, tiny: Tiny, residency: Residency) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    with residency.active(), loaded(model) as live:
        context, pooled = torch.randn(1, 6, tiny.width, generator=generator), torch.randn(1, max(tiny.pooled, 1))
        x = torch.randn(1, *tiny.latent, generator=generator)
        pooled = torch.ones_like(pooled)
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), RowCond(live.parametrisation, context, pooled))])
    return out


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "flux2", "chroma", "qwen_image", "z_image", "wan"])
def test_a_network_larger_than_the_device_gives_the_same(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    model = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", tiny.family))

    small = ask(model, tiny, Residency(device="cpu", dtype="float32", limit=1000))

    assert torch.equal(small, ask(model, tiny, Residency(device="cpu", dtype="float32")))


def test_loras_come_and_go_on_a_network_larger_than_the_device(tmp_path: Path) -> None:
    tiny = TINY["flux"]
    model = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", tiny.family))
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file({f"{name}.diff": torch.randn(96, 32)}, tmp_path / "lora.safetensors")
    patched = model.patched(Lora(file(tmp_path / "lora.safetensors"), 1.0))
    small, large = Residency(device="cpu", dtype="float32", limit=1000), Residency(device="cpu", dtype="float32")

    before, changed, after = (ask(one, tiny, small) for one in (model, patched, model))

    assert torch.equal(before, after)
    assert torch.equal(changed, ask(patched, tiny, large))
    assert not torch.equal(before, changed)


@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_an_ip_adapter_and_its_image_encoder_visit_a_small_device(kind: str, tmp_path: Path) -> None:
    tiny, module = TINY["sd15"], network(TINY["sd15"])
    _, written = adapter(tmp_path, kind, module, tiny.width)
    model = Model(Weights((single_file(tmp_path, tiny, module),), "model", "sd15"))
    eye, look = clip_vision_loader(write_encoder(tmp_path, "clip")[1]), ip_adapter_model_loader(written)
    photo = Image(torch.rand(1, 30, 30, 3, generator=torch.Generator().manual_seed(4)))
    outs = []
    for limit in (1000, None):
        home = Residency(device="cpu", dtype="float32", limit=limit)
        with home.active():
            shown = ip_adapter_advanced(model, look, photo, clip_vision=eye)
            outs.append(show(shown, "sd15")[0])
        assert limit is None or home.bytes_in("device") <= limit

    assert torch.equal(*outs)


@pytest.mark.parametrize("rule", [DeepCache(2), FirstBlockCache(1.0), EasyCache(1.0)], ids=str)
def test_caches_go_with_a_network_larger_than_the_device(rule: CacheRule, tmp_path: Path) -> None:
    name = "sd15" if isinstance(rule, DeepCache) else "flux"
    tiny = TINY[name]
    model = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", tiny.family))
    outs = []
    for limit in (1000, None):
        memory: dict[object, object] = {}
        with Residency(device="cpu", dtype="float32", limit=limit).active(), loaded(model) as live:
            outs.append(
                [live.predict([asked(live, tiny, RowCache(rule, memory, "a"), moved=m)])[0] for m in (0.0, 0.01, 0.02)]
            )

    assert all(torch.equal(small, large) for small, large in zip(*outs, strict=True))


@pytest.mark.parametrize("name", ["sd15", "flux", "qwen_image"])
def test_a_control_net_visits_a_small_device(name: str, tmp_path: Path) -> None:
    written, outs = write_control(tmp_path, f"control {name}", control(name)), []
    for limit in (1000, None):
        with Residency(device="cpu", dtype="float32", limit=limit).active(), loaded(control_net_loader(written)) as net:
            outs.append(ask_under(tmp_path, name, net, 1.0))

    assert torch.equal(*outs)


@pytest.mark.parametrize("style", ["fp8_e4m3fn", "fp8_e5m2"])
def test_a_network_kept_in_fp8_visits_a_small_device(style: Any, tmp_path: Path) -> None:
    tiny = TINY["flux"]
    model = unet_loader(single_file(tmp_path, tiny, network(tiny)), style)

    small = ask(model, tiny, Residency(device="cpu", dtype="float32", limit=1000))

    assert torch.equal(small, ask(model, tiny, Residency(device="cpu", dtype="float32")))


def test_mixed_models_visit_a_small_device(tmp_path: Path) -> None:
    tiny = TINY["sd3"]
    one = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", tiny.family))
    mixed = model_merge_subtract(one, one, 0.5)

    small = ask(mixed, tiny, Residency(device="cpu", dtype="float32", limit=1000))

    assert torch.equal(small, ask(mixed, tiny, Residency(device="cpu", dtype="float32")))
    assert not torch.equal(small, ask(one, tiny, Residency(device="cpu", dtype="float32", limit=1000)))

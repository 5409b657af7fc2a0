"""Wan 2.2's two networks, one for high noise and one for low: both can be chosen, and paint one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.api import Cond, Conditioning, Latent, UnsupportedFile
from graphflow.detect import detect
from graphflow.diffusion.network import RowCond
from graphflow.files import ModelFiles
from graphflow.models import Residency, loaded
from graphflow.node import Row
from graphflow_nodes.loaders import checkpoint_loader_simple, unet_loader
from graphflow_nodes.model_sampling import model_sampling_sd3
from graphflow_nodes.sampling import k_sampler_advanced
from graphflow_nodes.schedules import basic_scheduler
from tests.numerics import drive
from tests.tiny import TINY, network

EXPERTS = ("transformer", "transformer_2")
TEXT = Conditioning((Cond(torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(8))),))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


@pytest.fixture
def experts(tmp_path: Path) -> tuple[ModelFiles, dict[str, Any]]:
    """A folder as the published ones are, and its two networks."""
    folder, made = tmp_path / "checkpoints/Wan2.2", {}
    for n, name in enumerate(EXPERTS):
        module: Any = network(TINY["wan"])
        with torch.no_grad():
            module.proj_out.weight.mul_(1.0 + n)
        module.save_pretrained(folder / name)
        made[name] = module
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps({"shift": 5.0}))
    index = {"_class_name": "WanPipeline", "boundary_ratio": 0.875, "image_encoder": [None, None]}
    index |= {name: ["diffusers", "WanTransformer3DModel"] for name in EXPERTS}
    (folder / "model_index.json").write_text(json.dumps(index))
    return ModelFiles([tmp_path]), made


def test_the_folder_and_both_networks_are_listed(experts: Any) -> None:
    files, _ = experts

    assert files.names("checkpoints") == ["Wan2.2", "Wan2.2/transformer", "Wan2.2/transformer_2"]
    found = detect(files.find("checkpoints", "Wan2.2/transformer_2").path)
    assert (found.kind, found.family, [part.prefix for part in found.parts]) == ("model", "wan", ["transformer_2"])
    assert (
        files.find("checkpoints", "Wan2.2/transformer").digest
        != files.find("checkpoints", "Wan2.2/transformer_2").digest
    )


def test_other_folders_inside_are_no_models(experts: Any) -> None:
    from graphflow.errors import NotFound

    files, _ = experts
    with pytest.raises(NotFound, match=r"there is no 'Wan2\.2/scheduler' in checkpoints"):
        files.find("checkpoints", "Wan2.2/scheduler")


@torch.inference_mode()
def test_two_samplers_paint_one_after_the_other(experts: Any) -> None:
    files, modules = experts
    high, low = (model_sampling_sd3(unet_loader(files.find("checkpoints", f"Wan2.2/{name}")), 8.0) for name in EXPERTS)
    noise = torch.randn(1, 16, 2, 4, 4, generator=torch.manual_seed(3))
    steps: dict[str, Any] = {"steps": 4, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple",
                             "positive": TEXT, "negative": TEXT, "noise_seed": 3}  # fmt: skip

    rough = drive(k_sampler_advanced(high, add_noise="enable", latent_image=Latent(torch.zeros_like(noise)), start_at_step=0,
                                     end_at_step=2, return_with_leftover_noise="enable", **steps)).result  # fmt: skip
    film = drive(k_sampler_advanced(low, add_noise="disable", latent_image=rough, start_at_step=2, end_at_step=10000,
                                    return_with_leftover_noise="disable", **steps)).result  # fmt: skip

    sigmas = basic_scheduler(high, steps=4).data
    x = noise * sigmas[0]
    for n in range(4):
        module = modules[EXPERTS[n // 2]]
        velocity = module(x, 1000 * sigmas[n : n + 1], TEXT.entries[0].context).sample
        x = x + velocity * (sigmas[n + 1] - sigmas[n])
    torch.testing.assert_close(film.data, spread(x), atol=1e-4, rtol=1e-4)


def spread(x: Tensor) -> Tensor:
    from graphflow.families import FAMILIES, Facts
    from graphflow.header import Header

    form = FAMILIES["wan"].latents(Facts(Header(Path("x"), "safetensors", {}), {"out_channels": 16}))
    return form.process_out(x)


def test_the_folder_itself_gives_the_network_for_high_noise(experts: Any) -> None:
    files, _ = experts
    names = ("Wan2.2", "Wan2.2/transformer", "Wan2.2/transformer_2")

    whole, high, low = (checkpoint_loader_simple(files.find("checkpoints", name)) for name in names)

    outs = []
    for one in (whole, high, low):
        with loaded(one.MODEL) as live:
            assert float(live.parametrisation.sigma_min) == pytest.approx(5 / 1004, rel=1e-3)  # the folder's own shift
            row = Row(
                live,
                torch.ones(1, 16, 2, 4, 4),
                torch.tensor(0.5),
                RowCond(live.parametrisation, TEXT.entries[0].context),
            )
            outs += live.predict([row])
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    assert "transformer_2 has no text encoder" in low.CLIP.message  # type: ignore[attr-defined]


def test_a_network_without_weights_is_told(experts: Any) -> None:
    files, _ = experts
    weights = files.find("checkpoints", "Wan2.2/transformer_2").path / "diffusion_pytorch_model.safetensors"
    weights.unlink()

    with pytest.raises(UnsupportedFile, match="transformer_2 is incomplete: it lacks"):
        basic_scheduler(unet_loader(files.find("checkpoints", "Wan2.2/transformer_2")), steps=2)

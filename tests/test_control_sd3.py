"""ControlNets for Stable Diffusion 3 of both makers, and those that are told from others and refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.api import UnsupportedFile
from graphflow.detect import Part, detect
from graphflow.diffusion.network import RowCond, RowControl
from graphflow.layouts import join
from graphflow.models import Residency, loaded, on_base
from graphflow.models.control.flows import sd35_layout
from graphflow.node import File
from graphflow.values import Model, Weights
from graphflow_nodes.loaders import control_net_loader
from tests.test_control import noise
from tests.tiny import TINY, config_of, file, network, single_file

SD3 = TINY["sd3"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def stability(*, text: bool = False, times: int = 1) -> Any:
    """A tiny network as Stability's for 3.5 Large, which sees no text; with `text`, as InstantX's."""
    from diffusers import SD3ControlNetModel

    base = config_of(SD3.config)
    own = {
        "num_layers": 2, "in_channels": 16, "attention_head_dim": base["attention_head_dim"],
        "num_attention_heads": base["num_attention_heads"] * times, "pooled_projection_dim": base["pooled_projection_dim"],
        "joint_attention_dim": base["joint_attention_dim"] if text else None,
        "caption_projection_dim": base["caption_projection_dim"], "pos_embed_max_size": base["pos_embed_max_size"],
        "use_pos_embed": text, "pos_embed_type": "sincos" if text else None, "force_zeros_for_pooled_projection": text,
        "sample_size": base["sample_size"],
    }  # fmt: skip
    torch.manual_seed(1)
    module = SD3ControlNetModel(**own).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.abs().sum() == 0:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return module


def write(folder: Path, module: Any, *, original: bool, control_type: int | None = None) -> File:
    path, state = folder / "control.safetensors", module.state_dict()
    tensors = {e.theirs: join(e, state) for e in sd35_layout(state)} if original else state
    more = {} if control_type is None else {"control_type": torch.tensor([float(control_type)])}
    save_file({key: tensor.contiguous().clone() for key, tensor in (tensors | more).items()}, path)
    path.with_suffix(".config").mkdir()
    (path.with_suffix(".config") / "config.json").write_text(json.dumps(dict(module.config)))
    return file(path)


def ask(net: Any, pooled: Tensor) -> Any:
    cond = RowCond(None, noise(1, 6, 32, seed=1), pooled)  # type: ignore[arg-type]
    return net.residuals(
        noise(1, *SD3.latent, seed=3),
        torch.tensor([500.0]),
        cond,
        RowControl(net, noise(1, *SD3.latent, seed=9), 1.0, ""),
    )


@pytest.mark.parametrize("original", [True, False])
@torch.inference_mode()
def test_stability_s_networks_borrow_positions_from_the_transformer(tmp_path: Path, original: bool) -> None:
    transformer: Any = network(SD3)
    module, base = stability(), Model(Weights((single_file(tmp_path, SD3, transformer),), "model", "sd3"))
    written = write(tmp_path, module, original=original)
    assert detect(written.path).parts == (Part("controlnet", "sd35", ""),)

    with loaded(on_base(control_net_loader(written), base)) as net:
        ours = ask(net, noise(1, 64, seed=2))

    module.pos_embed = module._get_pos_embed_from_transformer(transformer)
    (expected,) = module(
        noise(1, *SD3.latent, seed=3), noise(1, *SD3.latent, seed=9), pooled_projections=noise(1, 64, seed=2),
        timestep=torch.tensor([500.0]), return_dict=False,
    )  # fmt: skip
    assert len(ours.down) == 2
    for one, other in zip(ours.down, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    with pytest.raises(UnsupportedFile, match=r"use it with Stable Diffusion 3\.5 Large"), loaded(control_net_loader(written)):  # fmt: skip
        pass


@pytest.mark.parametrize(("control_type", "white", "black"), [(None, 1.0, 0.0), (1, 64.5, 0.75), (2, 0.0, 1.0)])
def test_pictures_are_prepared_as_each_of_them_was_trained(
    tmp_path: Path, control_type: int | None, white: float, black: float
) -> None:
    base = Model(Weights((single_file(tmp_path, SD3, network(SD3)),), "model", "sd3"))
    written = write(tmp_path, stability(), original=True, control_type=control_type)

    with loaded(on_base(control_net_loader(written), base)) as net:
        seen = net.picture(torch.tensor([1.0, 0.0]))

    assert seen.tolist() == [white, black]


def test_instantx_s_networks_are_told_no_pooled_text_and_scaled_latents(tmp_path: Path) -> None:
    written = write(tmp_path, stability(text=True), original=False)
    assert detect(written.path).parts == (Part("controlnet", "sd3", ""),)

    with loaded(control_net_loader(written)) as net:
        one, other = ask(net, noise(1, 64, seed=2)), ask(net, noise(1, 64, seed=7))
        assert net.latent_format is not None
        assert net.latent_format.process_in(torch.ones(1, 16, 1, 1)).flatten()[0] == pytest.approx(1.5305)

    assert all(torch.equal(a, b) for a, b in zip(one.down, other.down, strict=True))


@pytest.mark.parametrize(
    ("names", "family", "what"),
    [
        (["controlnet_blocks.0.weight", "double_blocks.0.img_attn.qkv.weight", "input_hint_block.0.weight"], "flux", "Flux's in XLabs' layout"),
        (["controlnet_blocks.0.linear.weight"], "flux", "MistoLine for Flux"),
        (["lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight"], "sdxl", "ControlNet-LLLite"),
    ],
)  # fmt: skip
def test_kinds_that_cannot_be_used_are_told_from_others(
    tmp_path: Path, names: list[str], family: str, what: str
) -> None:
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "control.safetensors")
    assert detect(tmp_path / "control.safetensors").family == family

    with pytest.raises(UnsupportedFile, match=f"of a kind that cannot be used: {what}"), loaded(control_net_loader(file(tmp_path / "control.safetensors"))):  # fmt: skip
        pass


def test_a_network_of_another_size_is_told(tmp_path: Path) -> None:
    base = Model(Weights((single_file(tmp_path, SD3, network(SD3)),), "model", "sd3"))
    written = write(tmp_path, stability(times=2), original=True)

    with pytest.raises(UnsupportedFile, match="made for another size of Stable Diffusion 3"), loaded(on_base(control_net_loader(written), base)):  # fmt: skip
        pass

"""ControlNets of every family are told by their headers, loaded offline, and add to the network what they should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from graphflow.api import Cond, Conditioning, Image, Latent, Mask, UnsupportedFile
from graphflow.detect import Entry, Header, Part, detect
from graphflow.diffusion.network import RowCond, RowControl
from graphflow.families.qwen_image import MEAN, STD
from graphflow.layouts import join
from graphflow.models import Residency, loaded, on_base
from graphflow.models.autoencoders import LAYOUTS
from graphflow.models.control import KINDS
from graphflow.models.control.t2i import t2i
from graphflow.models.control.unets import ldm_control
from graphflow.models.loading import as_original
from graphflow.node import File, Row
from graphflow.values import Model, Weights
from graphflow_nodes.control import control_net_inpainting_alimama_apply
from graphflow_nodes.loaders import control_net_loader, diff_control_net_loader, vae_loader
from graphflow_nodes.sampling import _latent_hint
from tests.tiny import TINY, TWO_BLOCKS, Tiny, config_of, file, network, original_state, single_file


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


HINTS = {"conditioning_embedding_out_channels": [8, 16, 16, 32]}
UNION = {"num_control_type": 8, "num_trans_channel": 32, "num_proj_channel": 32, "num_trans_head": 2, **HINTS}


def tiny_of(name: str) -> Tiny:
    """The network that a ControlNet is for."""
    return {"union": TINY["sdxl"], "sana": TWO_BLOCKS}.get(name) or TINY[name]


def control(name: str) -> nn.Module:
    """A tiny ControlNet whose convolutions do not begin at zero."""
    import diffusers

    tiny, cls = tiny_of(name), CLASSES[name]
    base = tiny.family
    config = {k: v for k, v in config_of(tiny.config).items() if k not in ("out_channels", "up_block_types")}
    if base in ("sd15", "sd2", "sdxl"):
        config |= UNION if name == "union" else HINTS
    torch.manual_seed(1)
    module = getattr(diffusers, cls).from_config(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.abs().sum() == 0:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return module  # type: ignore[no-any-return]


CLASSES = {
    "sd15": "ControlNetModel", "sd2": "ControlNetModel", "sdxl": "ControlNetModel", "union": "ControlNetUnionModel",
    "flux": "FluxControlNetModel", "sd3": "SD3ControlNetModel", "qwen_image": "QwenImageControlNetModel",
    "sana": "SanaControlNetModel",
}  # fmt: skip


def write(folder: Path, name: str, module: Any, *, original: bool = False) -> File:
    path = folder / f"{name}.safetensors"
    state = module.state_dict()
    entries = {f"control_model.{e.theirs}": join(e, state) for e in ldm_control(state)} if original else state
    save_file({key: tensor.contiguous().clone() for key, tensor in entries.items()}, path)
    beside = path.with_suffix(".config")
    beside.mkdir(exist_ok=True)
    (beside / "config.json").write_text(json.dumps(dict(module.config)))
    return file(path)


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ask(folder: Path, name: str, net: Any, strength: float, union_type: str = "") -> Tensor:
    """D(x; sigma) of a tiny network of the family under the ControlNet."""
    tiny = tiny_of(name)
    recipe = Model(Weights((single_file(folder, tiny, network(tiny)),), "model", tiny.family))
    with loaded(recipe) as live:
        hint = noise(1, tiny.latent[0], *tiny.latent[-2:], seed=9) if net.latent_format else torch.rand(1, 3, 64, 64)
        controls = (RowControl(net, hint, strength, union_type),) if strength else ()
        cond = RowCond(
            live.parametrisation, noise(1, 6, tiny.width, seed=1), noise(1, tiny.pooled or 1, seed=2),
            controls=controls, latent_size=(tiny.latent[-2], tiny.latent[-1]),
        )  # fmt: skip
        (out,) = live.predict([Row(live, noise(1, *tiny.latent, seed=3), torch.tensor(0.7), cond)])
    return out


@pytest.mark.parametrize("name", CLASSES)
def test_a_control_net_steers_its_network_in_proportion_to_its_strength(tmp_path: Path, name: str) -> None:
    written = write(tmp_path, f"control {name}", control(name))
    found = detect(written.path)
    assert found.kind == "controlnet"
    assert found.family == ("sdxl" if name == "union" else name)

    with loaded(control_net_loader(written)) as net:
        plain, weak, full = (ask(tmp_path, name, net, s, "depth" if name == "union" else "") for s in (0.0, 0.01, 1.0))

    assert plain.shape == full.shape
    assert 0 < (weak - plain).abs().max() < (full - plain).abs().max()


@pytest.mark.parametrize("name", ["sd15", "sd2"])
def test_the_authors_own_layout_gives_the_same_residuals(tmp_path: Path, name: str) -> None:
    module = control(name)
    ours = write(tmp_path, "ours", module)
    theirs = write(tmp_path, "theirs", module, original=True)
    assert detect(theirs.path).parts == (Part("controlnet", name, "control_model."),)

    outs = []
    for one in (ours, theirs):
        with loaded(control_net_loader(one)) as net:
            outs.append(ask(tmp_path, name, net, 1.0))

    assert torch.equal(*outs)


def test_the_authors_layout_is_read_as_diffusers_reads_it() -> None:
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    module: Any = control("sd15")
    state = module.state_dict()
    theirs = {f"control_model.{e.theirs}": join(e, state).clone() for e in ldm_control(state)}

    converted = convert_controlnet_checkpoint(theirs, module.config)

    assert set(converted) == set(state)
    assert all(torch.equal(converted[key], state[key]) for key in state)


def test_residuals_are_those_of_diffusers(tmp_path: Path) -> None:
    module: Any = control("sd15")
    x, context, hint = noise(2, 4, 8, 8, seed=1), noise(2, 6, 32, seed=2), torch.rand(2, 3, 64, 64)
    with loaded(control_net_loader(write(tmp_path, "net", module))) as net:
        cond = RowCond(None, context)  # type: ignore[arg-type]
        down, middle, _ = net.residuals(x, torch.tensor([10.0, 700.0]), cond, RowControl(net, hint, 1.0))
    with torch.inference_mode():
        expected = module(x, torch.tensor([10.0, 700.0]), context, hint, return_dict=False)

    for one, other in zip([*down, *middle], [*expected[0], expected[1]], strict=True):
        torch.testing.assert_close(one, other)


@torch.inference_mode()
def test_rows_under_sana_s_are_told_as_its_pipeline_tells_them(tmp_path: Path) -> None:
    module: Any = control("sana")
    transformer: Any = network(TWO_BLOCKS)
    recipe = Model(Weights((single_file(tmp_path, TWO_BLOCKS, transformer),), "model", "sana"))
    x, context, hint, mask = (
        noise(2, 4, 4, 6, seed=1),
        noise(2, 5, 8, seed=2),
        noise(1, 4, 4, 6, seed=3),
        torch.ones(2, 5),
    )
    mask[:, 3:] = 0
    sigmas = torch.tensor([0.9, 0.2])

    with loaded(recipe) as live, loaded(control_net_loader(write(tmp_path, "net", module))) as net:
        rows = [
            Row(live, x[n : n + 1], sigmas[n], RowCond(
                live.parametrisation, context[n : n + 1], attention_mask=mask[n : n + 1], controls=(RowControl(net, hint, 0.5),)
            ))
            for n in range(2)
        ]  # fmt: skip
        outs = torch.cat(live.predict(rows))

    assert live.batch_key(rows[0]) == live.batch_key(rows[1])
    asked: Any = {"encoder_hidden_states": context, "timestep": sigmas * 1000, "encoder_attention_mask": mask}
    (added,) = module(x, controlnet_cond=hint.expand(2, -1, -1, -1), conditioning_scale=0.5, return_dict=False, **asked)
    velocity = transformer(x, controlnet_block_samples=added, **asked).sample
    torch.testing.assert_close(outs, x - sigmas[:, None, None, None] * velocity, atol=1e-5, rtol=1e-4)


def test_sana_s_control_net_of_real_size_is_told_by_its_shapes(tmp_path: Path) -> None:
    from diffusers import SanaControlNetModel

    with torch.device("meta"):
        module: Any = SanaControlNetModel(
            num_attention_heads=36, num_cross_attention_heads=16, cross_attention_head_dim=72, cross_attention_dim=1152
        )
    entries = {k: Entry("BF16", tuple(v.shape), 0) for k, v in module.state_dict().items()}
    kind = KINDS["sana"]

    config = kind.config(as_original(Header(tmp_path / "x", "safetensors", entries), kind.layout))

    assert not kind.original(Header(tmp_path / "x", "safetensors", entries))
    with torch.device("meta"):
        again = kind.build(config)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in module.state_dict().items()}
    assert (config["num_attention_heads"], config["num_layers"]) == (36, 7)


# --- inpainting ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_qwen_image_s_net_that_inpaints_is_given_the_mask_as_its_pipeline_gives_it(tmp_path: Path) -> None:
    from diffusers import AutoencoderKLWan, QwenImageControlNetModel, QwenImagePipeline

    torch.manual_seed(0)
    autoencoder = AutoencoderKLWan(base_dim=4, z_dim=16).eval()
    save_file(original_state(autoencoder, LAYOUTS["wan"]), tmp_path / "vae.safetensors")
    plain: Any = control("qwen_image")
    settings = {key: value for key, value in plain.config.items() if not key.startswith("_")}
    module: Any = QwenImageControlNetModel.from_config({**settings, "extra_condition_channels": 4}).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    written = write(tmp_path, "inpainting", module)
    entries = {k: Entry("BF16", tuple(v.shape), 0) for k, v in module.state_dict().items()}
    assert KINDS["qwen_image"].config(Header(written.path, "safetensors", entries))["extra_condition_channels"] == 4
    picture, hole = torch.rand(1, 64, 48, 3), torch.zeros(1, 64, 48)
    hole[:, 16:40, 8:] = 1
    text = Conditioning((Cond(noise(1, 6, 32, seed=1)),))
    net, vae = control_net_loader(written), vae_loader(file(tmp_path / "vae.safetensors"))
    pair = control_net_inpainting_alimama_apply(text, text, net, vae, Image(picture), Mask(hole))
    (held,) = pair.positive.entries[0].controls
    tiny, x = TINY["qwen_image"], noise(1, *TINY["qwen_image"].latent, seed=3)
    recipe = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", "qwen_image"))

    with loaded(net) as live, loaded(recipe) as base:
        assert live.takes_mask
        hint = _latent_hint(held, live, Latent(x), base)
        assert hint is not None
        made = live.residuals(
            x, torch.tensor([0.5]), RowCond(base.parametrisation, noise(1, 6, 32, seed=1)), RowControl(live, hint, 1.0)
        )
        with pytest.raises(ValueError, match="apply it with ControlNetInpaintingAliMamaApply, and a mask"):
            _latent_hint(replace(held, mask=None), live, Latent(x), base)

    masked = (picture.movedim(-1, 1) * 2 - 1)[:, :, None]
    masked[(hole > 0.5)[:, None, None].expand_as(masked)] = -1
    mean, std = (torch.tensor(v).reshape(1, 16, 1, 1, 1) for v in (MEAN, STD))
    latent = (autoencoder.encode(masked).latent_dist.mode() - mean) / std
    kept = 1 - interpolate(hole[:, None, None], size=(1, 8, 6))
    torch.testing.assert_close(hint, torch.cat([latent, kept], dim=1), atol=1e-5, rtol=1e-4)
    flat = hint[:, :, 0]
    expected = module(
        QwenImagePipeline._pack_latents(x[:, :, 0], 1, 16, 8, 6), QwenImagePipeline._pack_latents(flat, 1, 17, 8, 6),
        encoder_hidden_states=noise(1, 6, 32, seed=1), encoder_hidden_states_mask=torch.ones(1, 6).bool(),
        timestep=torch.tensor([0.5]), img_shapes=[[(1, 4, 3)]], return_dict=False,
    )  # fmt: skip
    for one, other in zip(made.down, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_control_net_of_flux_is_refused_by_chroma_which_would_not_heed_it(tmp_path: Path) -> None:
    tiny = TINY["chroma"]
    recipe = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", "chroma"))
    with loaded(recipe) as live, loaded(control_net_loader(write(tmp_path, "net", control("flux")))) as net:
        controls = (RowControl(net, noise(1, *tiny.latent, seed=9), 1.0),)
        row = Row(
            live,
            noise(1, *tiny.latent, seed=3),
            torch.tensor(0.5),
            RowCond(live.parametrisation, noise(1, 6, 32, seed=1), noise(1, 32, seed=2), controls=controls),
        )
        with pytest.raises(ValueError, match="the ControlNet steers Flux, this model is Chroma: take it out"):
            live.predict([row])


def test_a_control_net_looks_at_the_prompt_that_is_meant_for_it_alone(tmp_path: Path) -> None:
    written = write(tmp_path, "control", control("sd15"))
    with loaded(control_net_loader(written)) as net:
        x, t, hint = noise(1, 4, 8, 8, seed=3), torch.tensor([500.0]), torch.rand(1, 3, 64, 64)
        one, other = noise(1, 6, 32, seed=1), noise(1, 9, 32, seed=2)
        asked = RowControl(net, hint, 1.0)
        found = net.residuals(x, t, RowCond(None, one, control_context=other), asked)  # type: ignore[arg-type]
        expected = net.residuals(x, t, RowCond(None, other), asked)  # type: ignore[arg-type]
        assert torch.equal(found.middle[0], expected.middle[0])
        assert not torch.equal(found.middle[0], net.residuals(x, t, RowCond(None, one), asked).middle[0])  # type: ignore[arg-type]


def test_a_union_network_must_be_told_the_kind_of_picture(tmp_path: Path) -> None:
    with (
        loaded(control_net_loader(write(tmp_path, "union", control("union")))) as net,
        pytest.raises(ValueError, match="say which with SetUnionControlNetType"),
    ):
        ask(tmp_path, "union", net, 1.0)


# --- control-LoRAs ---------------------------------------------------------------------------------------------------


def low_rank_of(folder: Path, module: Any, base: nn.Module) -> tuple[File, nn.Module]:
    """A control-LoRA over a network, in the layout of Stability's files, and the ControlNet that it stands for."""
    shared, state = base.state_dict(), module.state_dict()
    written, whole = {"lora_controlnet": torch.zeros(0)}, dict(state)
    torch.manual_seed(3)
    for entry in ldm_control(state):
        name, (ours,) = entry.theirs, entry.ours
        if ours not in shared:
            written[name] = state[ours]
        elif name.endswith("weight") and state[ours].ndim > 1:
            flat = shared[ours].flatten(1)
            up, down = torch.randn(flat.shape[0], 2) / 8, torch.randn(2, flat.shape[1]) / 8
            stem = name.removesuffix("weight")
            written |= {f"{stem}up": up, f"{stem}down": down.reshape(2, *shared[ours].shape[1:])}
            whole[ours] = shared[ours] + (up @ down).reshape(shared[ours].shape)
        else:
            whole[ours] = shared[ours]
    save_file({key: tensor.contiguous().clone() for key, tensor in written.items()}, folder / "lora.safetensors")
    module.load_state_dict(whole)
    return file(folder / "lora.safetensors"), module


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_a_control_lora_is_its_network_changed(tmp_path: Path, layout: str) -> None:
    base = network(TINY["sdxl"])
    written, whole = low_rank_of(tmp_path, control("sdxl"), base)
    one = single_file(tmp_path, TINY["sdxl"], base)
    if layout == "diffusers":
        save_file(base.state_dict(), one.path)
        one = file(one.path)
    model = Model(Weights((one,), "model", "sdxl"))
    found = detect(written.path)
    assert (found.kind, found.parts) == ("controlnet", (Part("controlnet", "lora", ""),))

    outs = []
    for net in (on_base(control_net_loader(written), model), control_net_loader(write(tmp_path, "whole", whole))):
        with loaded(net) as live:
            outs.append(ask(tmp_path, "sdxl", live, 1.0))

    torch.testing.assert_close(outs[0], outs[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_a_difference_is_added_to_the_network_it_was_made_from(tmp_path: Path, layout: str) -> None:
    base, module = network(TINY["sd15"]), control("sd15")
    one = single_file(tmp_path, TINY["sd15"], base)
    if layout == "diffusers":
        save_file(base.state_dict(), one.path)
        one = file(one.path)
    model = Model(Weights((one,), "model", "sd15"))
    shared, state = base.state_dict(), module.state_dict()
    less = {name: t - shared[name] if name in shared else t for name, t in state.items()}
    written = {f"control_model.{e.theirs}": join(e, less).contiguous().clone() for e in ldm_control(state)}
    save_file({**written, "difference": torch.zeros(0)}, tmp_path / "difference.safetensors")
    (tmp_path / "difference.config").mkdir()
    (tmp_path / "difference.config/config.json").write_text(json.dumps(dict(module.config)))
    difference, whole = file(tmp_path / "difference.safetensors"), write(tmp_path, "whole", module)

    outs = []
    for net in (diff_control_net_loader(model, difference), diff_control_net_loader(model, whole)):
        with loaded(net) as live:
            outs.append(ask(tmp_path, "sd15", live, 1.0))

    torch.testing.assert_close(outs[0], outs[1], atol=1e-5, rtol=1e-4)
    with pytest.raises(UnsupportedFile, match="load it with DiffControlNetLoader"):
        control_net_loader(difference)
    with pytest.raises(UnsupportedFile, match="another model than a sdxl one"):
        diff_control_net_loader(Model(Weights((one,), "model", "sdxl")), difference)


def test_a_control_lora_needs_a_u_net_below(tmp_path: Path) -> None:
    written, _ = low_rank_of(tmp_path, control("sdxl"), network(TINY["sdxl"]))
    flux = Model(Weights((single_file(tmp_path, TINY["flux"], network(TINY["flux"])),), "model", "flux"))

    with (
        pytest.raises(UnsupportedFile, match="use it with the U-Net"),
        loaded(on_base(control_net_loader(written), flux)),
    ):
        pass


# --- T2I-Adapters ----------------------------------------------------------------------------------------------------

ADAPTERS = {
    "sd15": {"channels": [32, 64], "num_res_blocks": 2, "adapter_type": "full_adapter"},
    "light": {"channels": [32, 64], "num_res_blocks": 3, "adapter_type": "light_adapter"},
    "sdxl": {"channels": [32, 64], "downscale_factor": 16, "num_res_blocks": 2, "adapter_type": "full_adapter_xl"},
}  # fmt: skip


def t2i_adapter(
    folder: Path, name: str, *, original: bool, grey: bool = False, channels: list[int] | None = None
) -> tuple[Any, File]:
    """A tiny adapter and its file, which tells its config by its shapes alone."""
    import diffusers

    torch.manual_seed(4)
    options = ADAPTERS[name] | ({"channels": channels} if channels else {})
    module = diffusers.T2IAdapter(in_channels=1 if grey else 3, **options).eval()
    state = module.state_dict()
    entries = {e.theirs: join(e, state) for e in t2i(state)} if original else state
    path = folder / f"{name} {original}.safetensors"
    save_file({key: tensor.contiguous().clone() for key, tensor in entries.items()}, path)
    return module, file(path)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("name", ["sd15", "light"])
@torch.inference_mode()
def test_a_t2i_adapter_steers_as_diffusers_lets_it(tmp_path: Path, name: str, original: bool, grey: bool) -> None:
    module, written = t2i_adapter(tmp_path, name, original=original, grey=grey)
    tiny, unet = TINY["sd15"], network(TINY["sd15"])
    assert (detect(written.path).kind, detect(written.path).family) == ("t2i_adapter", "sd15")
    model = Model(Weights((single_file(tmp_path, tiny, unet),), "model", "sd15"))
    x, context, hint, sigma = noise(1, *tiny.latent, seed=3), noise(1, 6, 32, seed=1), torch.rand(1, 3, 64, 64), 0.7

    with loaded(model) as live, loaded(control_net_loader(written)) as net:
        p = live.parametrisation
        cond = RowCond(p, context, controls=(RowControl(net, hint, 0.5),), latent_size=(8, 8))
        (out,) = live.predict([Row(live, x, torch.tensor(sigma), cond)])

    inside = [0.5 * f for f in module(hint.mean(1, keepdim=True) if grey else hint)]
    said = unet(
        x / (sigma**2 + 1) ** 0.5, p.timestep(torch.tensor(sigma)), context, down_intrablock_additional_residuals=inside
    ).sample
    torch.testing.assert_close(out, x - sigma * said, atol=1e-5, rtol=1e-4)


def test_an_adapter_for_xl_takes_pictures_of_any_size(tmp_path: Path) -> None:
    _, written = t2i_adapter(tmp_path, "sdxl", original=True)
    assert detect(written.path).family == "sdxl"

    with loaded(control_net_loader(written)) as net:
        cond = RowCond(None, noise(1, 6, 32, seed=1))  # type: ignore[arg-type]
        x = noise(1, 4, 5, 7, seed=2)
        made = net.residuals(x, torch.tensor([1.0]), cond, RowControl(net, torch.rand(1, 3, 40, 56), 1.0))

    assert [tuple(f.shape[-2:]) for f in made.inside] == [(3, 4), (3, 4)]
    assert not made.down


def test_an_adapter_and_a_control_net_work_together(tmp_path: Path) -> None:
    _, adapter = t2i_adapter(tmp_path, "sd15", original=True)
    tiny = TINY["sd15"]
    model = Model(Weights((single_file(tmp_path, tiny, network(tiny)),), "model", "sd15"))
    hint, x = torch.rand(1, 3, 64, 64), noise(1, *tiny.latent, seed=3)

    with loaded(model) as live, loaded(control_net_loader(adapter)) as one, loaded(
        control_net_loader(write(tmp_path, "control", control("sd15")))
    ) as other:  # fmt: skip

        def asked(*nets: Any) -> Tensor:
            controls = tuple(RowControl(net, hint, 1.0) for net in nets)
            cond = RowCond(live.parametrisation, noise(1, 6, 32, seed=1), controls=controls, latent_size=(8, 8))
            return live.predict([Row(live, x, torch.tensor(0.7), cond)])[0]

        outs = [asked(), asked(one), asked(other), asked(one, other)]

    assert all((a - b).abs().max() > 1e-4 for n, a in enumerate(outs) for b in outs[:n])

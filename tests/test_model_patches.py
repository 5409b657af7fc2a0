"""Small networks inside a denoising network, and references worked on apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.detect import Entry, Header, detect
from graphflow.diffusion.network import RowCond
from graphflow.diffusion.references import ReferencesApart
from graphflow.errors import UnsupportedFile
from graphflow.families.common.flow import FLUX_LATENTS
from graphflow.models import Residency, Steered, loaded, model_patch
from graphflow.models.control.flux2_fun import Flux2Control
from graphflow.models.loading import load_model_patch
from graphflow.models.model_patches import KINDS, BlockwiseControl, Steering
from graphflow.models.recipes import network as network_recipe
from graphflow.models.residency import Policy
from graphflow.node import File, Row
from graphflow.values import Image, Mask, Model, ModelPatch, Vae, Weights
from graphflow_nodes.camera import camera_angle
from graphflow_nodes.model_networks import (
    flux_kv_cache,
    model_patch_loader,
    qwen_image_diffsynth_controlnet,
    z_image_fun_controlnet,
)
from tests.tiny import FOUR_BLOCKS, TINY, file, network, single_file

PIXELS = Vae(Weights((), "vae", "pixel_space"))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def shaken(module: nn.Module) -> nn.Module:
    """The module with no weight left at zero, where it would do nothing."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return module.eval()


def qwen_patch(folder: Path, *, tokens: int = 64) -> tuple[File, nn.Module]:
    width, blocks = TINY_QWEN
    module = shaken(BlockwiseControl(tokens, width, blocks))
    path = folder / f"qwen-{tokens}.safetensors"
    save_file(module.state_dict(), path)
    return file(path), module


def _tiny_qwen() -> tuple[int, int]:
    module: Any = network(TINY["qwen_image"])
    return module.img_in.out_features, len(module.transformer_blocks)


TINY_QWEN = _tiny_qwen()


def z_patch(folder: Path, *, channels: int = 16, refiner: str | None = None) -> tuple[File, Any]:
    """A control of the tiny Z-Image, its config beside it: real ones are made for thirty blocks."""
    from diffusers import ZImageControlNetModel

    own: Any = network(TINY["z_image"]).config
    config = {
        "control_layers_places": [0], "control_refiner_layers_places": [0], "control_in_dim": channels,
        "add_control_noise_refiner": refiner, "dim": own.dim, "n_refiner_layers": own.n_refiner_layers,
        "n_heads": own.n_heads, "n_kv_heads": own.n_kv_heads,
    }  # fmt: skip
    module = shaken(ZImageControlNetModel(**config))
    path = folder / f"z-{channels}-{refiner}.safetensors"
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    path.with_suffix(".config").mkdir()
    (path.with_suffix(".config") / "config.json").write_text(json.dumps(config))
    return file(path), module


def steered(folder: Path, name: str, patch: ModelPatch, strengths: list[float], hint: Tensor) -> list[Tensor]:
    """The tiny network's answers under edits with that hint."""
    from graphflow.models.model_patches import Steering

    tiny = FOUR_BLOCKS if name == "flux2" else TINY[name]
    with loaded(network_recipe(single_file(folder, tiny, network(tiny)))) as live, loaded(patch) as net:
        answers = []
        for strength in strengths:
            edits = (Steering(net, hint, strength),) if strength else ()
            cond = RowCond(
                live.parametrisation, noise(1, 5, tiny.width), attention_mask=torch.ones(1, 5), edits=edits,
                references=() if name == "z_image" else (noise(1, *tiny.latent),),
            )  # fmt: skip
            answers.append(live.predict([Row(live, noise(1, *tiny.latent), torch.tensor(0.5), cond)])[0])
        return answers


def test_blockwise_control_adds_after_each_block_of_the_picture_alone(tmp_path: Path) -> None:
    written, module = qwen_patch(tmp_path)
    hint = noise(1, 16, 8, 6)

    plain, half, whole, again = steered(tmp_path, "qwen_image", model_patch(written), [0.0, 0.5, 1.0, 0.0], hint)

    assert torch.equal(plain, again)  # nothing of it stays on the shared network
    assert (half - plain).abs().max() > 1e-4
    assert (whole - half).abs().max() > 1e-4
    torch.testing.assert_close(whole, by_hand(module, hint), atol=1e-5, rtol=1e-4)


def by_hand(patch: Any, hint: Tensor) -> Tensor:
    """The same written out: diffusers' network, its blocks one after another."""
    from graphflow.families.common.flow import pack, unpack

    tiny = TINY["qwen_image"]
    module: Any = network(tiny)
    x = noise(1, *tiny.latent)[:, :, 0]
    own = pack(x)
    reference = pack(noise(1, *tiny.latent)[:, :, 0])
    y = patch.img_in(pack(hint))
    blocks = [block.forward for block in module.transformer_blocks]

    def wrapped(forward: Any, control: Any) -> Any:
        def run(**kwargs: Any) -> Any:
            text, picture = forward(**kwargs)
            mine, rest = picture[:, : own.shape[1]], picture[:, own.shape[1] :]
            rms = [nn.functional.rms_norm(t, t.shape[-1:], n.weight, 1e-6) for t, n in
                   ((mine, control.x_rms), (y, control.y_rms))]  # fmt: skip
            inner = nn.functional.gelu(control.input_proj(rms[0] + rms[1]))
            return text, torch.cat([mine + control.output_proj(inner), rest], dim=1)

        return run

    for block, forward, control in zip(module.transformer_blocks, blocks, patch.controlnet_blocks, strict=True):
        block.forward = wrapped(forward, control)
    with torch.inference_mode():
        velocity = module(
            torch.cat([own, reference], dim=1), encoder_hidden_states=noise(1, 5, tiny.width),
            encoder_hidden_states_mask=torch.ones(1, 5).bool(), timestep=torch.tensor([0.5]),
            img_shapes=[[(1, 4, 3)] * 2], return_dict=False,
        )[0]  # fmt: skip
    flat = unpack(velocity[:, : own.shape[1]], 8, 6)
    return (x - 0.5 * flat)[:, :, None]


@pytest.mark.parametrize(("channels", "refiner"), [(16, None), (33, "control_layers"), (33, "control_noise_refiner")])
def test_z_image_s_control_is_asked_as_its_pipeline_asks_it(tmp_path: Path, channels: int, refiner: str | None) -> None:
    written, patch = z_patch(tmp_path, channels=channels, refiner=refiner)
    hint = noise(1, channels, 8, 6)

    plain, whole, again = steered(tmp_path, "z_image", model_patch(written), [0.0, 0.7, 0.0], hint)

    tiny = TINY["z_image"]
    module: Any = network(tiny)
    x, text = noise(1, *tiny.latent), noise(1, 5, tiny.width)
    control = type(patch).from_transformer(patch, module)
    with torch.inference_mode():
        asked = [x[0][:, None]], torch.tensor([0.5]), [text[0]]
        added = control(*asked, [hint[0][:, None]], conditioning_scale=0.7)
        velocity = -module(*asked, controlnet_block_samples=added, return_dict=False)[0][0][:, 0]
    assert torch.equal(plain, again)
    torch.testing.assert_close(whole[0], x[0] - 0.5 * velocity, atol=1e-5, rtol=1e-4)


def flux2_patch(folder: Path, *, channels: int = 68) -> tuple[File, Any]:
    """A Fun control of the tiny Flux 2: the picture's latent, four places of a mask, and what the mask leaves."""
    own: Any = network(FOUR_BLOCKS).config
    width = own.num_attention_heads * own.attention_head_dim
    module = shaken(Flux2Control(channels, width, own.attention_head_dim, 2, own.mlp_ratio))
    path = folder / f"flux2-{channels}.safetensors"
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return file(path), module


def test_flux_2_s_control_adds_what_its_blocks_make_to_every_other_block(tmp_path: Path) -> None:
    written, patch = flux2_patch(tmp_path)
    hint = noise(1, 68, 4, 6)
    assert detect(written.path).family == "flux2"

    plain, half, whole, again = steered(tmp_path, "flux2", model_patch(written), [0.0, 0.35, 0.7, 0.0], hint)

    assert torch.equal(plain, again)
    assert (half - plain).abs().max() > 1e-4
    torch.testing.assert_close(whole, flux2_by_hand(patch, hint, 0.7), atol=1e-5, rtol=1e-4)


def flux2_by_hand(patch: Any, hint: Tensor, strength: float) -> Tensor:
    """The published formulas: hints of the control's blocks one after another, from the tokens that the first block sees."""
    from diffusers import Flux2Pipeline

    module: Any = network(FOUR_BLOCKS)
    x = noise(1, *FOUR_BLOCKS.latent)
    tokens = torch.cat([hint.flatten(2).transpose(1, 2), torch.zeros(1, 24, 68)], dim=1)  # zeros for the reference
    hints: list[Tensor] = []

    def wrapped(n: int, forward: Any) -> Any:
        def run(**kwargs: Any) -> Any:
            if n == 0:
                first, second = patch.control_transformer_blocks
                control = first.before_proj(patch.control_img_in(tokens)) + kwargs["hidden_states"]
                text, control = first(**{**kwargs, "hidden_states": control})
                hints.append(first.after_proj(control))
                _, control = second(**{**kwargs, "hidden_states": control, "encoder_hidden_states": text})
                hints.append(second.after_proj(control))
            text, picture = forward(**kwargs)
            return text, picture if n % 2 else picture + strength * hints[n // 2]

        return run

    for n, block in enumerate(module.transformer_blocks):
        block.forward = wrapped(n, block.forward)
    ids = Flux2Pipeline._prepare_latent_ids(x)
    beside = ids.clone()
    beside[..., 0] = 10
    with torch.inference_mode():
        velocity = module(
            torch.cat([Flux2Pipeline._pack_latents(x), Flux2Pipeline._pack_latents(x)], dim=1),
            encoder_hidden_states=noise(1, 5, 32), timestep=torch.tensor([0.5]), img_ids=torch.cat([ids, beside], dim=1),
            txt_ids=Flux2Pipeline._prepare_text_ids(noise(1, 5, 32)), guidance=torch.tensor([4.0]), return_dict=False,
        )[0][:, :24]  # fmt: skip
    return x - 0.5 * torch.as_tensor(Flux2Pipeline._unpack_latents_with_ids(velocity, ids))


def test_rows_that_a_patch_steers_share_a_call_whatever_their_noise(tmp_path: Path) -> None:
    net, tiny = model_patch(flux2_patch(tmp_path)[0]), FOUR_BLOCKS
    with loaded(network_recipe(single_file(tmp_path, tiny, network(tiny)))) as live, loaded(net) as patch:
        edits = (Steering(patch, noise(1, 68, 4, 6), 0.5),)
        rows = [
            Row(live, noise(1, *tiny.latent) * n, torch.tensor(sigma), RowCond(live.parametrisation, noise(1, 5, 32), edits=edits))
            for n, sigma in ((1, 0.9), (2, 0.2))
        ]  # fmt: skip
        together = live.predict(rows)
        alone = [live.predict([row])[0] for row in rows]

    assert live.batch_key(rows[0]) == live.batch_key(rows[1])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_patch_visits_a_small_device(tmp_path: Path) -> None:
    net, outs = model_patch(flux2_patch(tmp_path)[0]), []
    for limit in (1000, None):
        with Residency(device="cpu", dtype="float32", limit=limit).active():
            outs += steered(tmp_path, "flux2", net, [0.5], noise(1, 68, 4, 6))

    assert torch.equal(*outs)


def test_the_published_control_of_flux_2_is_told_by_its_shapes(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Flux2Control(260, 6144, 128, 4, 3.0).state_dict().items()}
    entries = {key: Entry("BF16", tuple(shape), 0) for key, shape in shapes.items()}
    header = Header(Path("control.safetensors"), "safetensors", entries)

    config = KINDS["flux2"].config(header, lambda name: torch.zeros(0))

    assert config == {"channels": 260, "width": 6144, "head": 128, "blocks": 4, "mlp_ratio": 3.0}
    assert "control_transformer_blocks.3.ff_context.linear_out.weight" in shapes


def test_a_patch_is_refused_by_a_network_of_another_family(tmp_path: Path) -> None:
    written, _ = qwen_patch(tmp_path)

    with pytest.raises(
        ValueError, match="made for QwenImageTransformer2DModel, this model is a ZImageTransformer2DModel"
    ):
        steered(tmp_path, "z_image", model_patch(written), [1.0], noise(1, 16, 8, 6))


def test_a_file_that_is_no_patch_says_which_are(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)

    with pytest.raises(UnsupportedFile, match=r"other\.safetensors is no model patch that can be used: Qwen-Image's"):
        model_patch_loader(file(path))


@pytest.mark.parametrize(
    ("layers", "after", "before", "wanted"),
    [
        (6, False, 0.0, (None, [0, 5, 10, 15, 20, 25])),
        (15, True, 0.0, ("control_layers", list(range(0, 30, 2)))),
        (15, True, 1.0, ("control_noise_refiner", list(range(0, 30, 2)))),
    ],
)
def test_the_versions_of_z_image_s_control_are_told_apart(
    tmp_path: Path, layers: int, after: bool, before: float, wanted: tuple[str | None, list[int]]
) -> None:
    from graphflow.models.tensors import opened

    tensors = {"control_all_x_embedder.2-1.weight": torch.zeros(256, 64 if layers == 6 else 132)}
    tensors |= {f"control_layers.{n}.attention.norm_q.weight": torch.zeros(128) for n in range(layers)}
    tensors |= {f"control_noise_refiner.{n}.attention.norm_q.weight": torch.zeros(128) for n in range(2)}
    if after:
        tensors["control_noise_refiner.0.after_proj.weight"] = torch.zeros(4, 4)
        tensors["control_noise_refiner.0.before_proj.weight"] = torch.full((4, 4), before)
    save_file(tensors, tmp_path / "z.safetensors")

    with opened(tmp_path / "z.safetensors") as (header, read):
        config = KINDS["z_image"].config(header, read.get)

    assert (config["add_control_noise_refiner"], config["control_layers_places"]) == wanted
    assert (config["control_in_dim"], config["n_heads"]) == (16 if layers == 6 else 33, 2)


def test_a_real_z_control_is_built_from_its_file_alone(tmp_path: Path) -> None:
    from diffusers import ZImageControlNetModel

    places = [0, 5, 10, 15, 20, 25]
    module = ZImageControlNetModel(places, None, 16, None, dim=256, n_heads=2, n_kv_heads=2)
    path = tmp_path / "z.safetensors"
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)

    content = load_model_patch(model_patch(file(path)).weights, Policy(torch.device("cpu"), torch.float32))

    built: Any = content.module
    assert built.control_layers_places == places
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in module.state_dict().items())


# --- the nodes -------------------------------------------------------------------------------------------------------


def hint_of(patch: ModelPatch, mask: Tensor | None = None) -> Tensor:
    """The hint that a sampling of an 8 by 6 latent of pixels would use."""
    from graphflow.models.model_patches import Ready, Steering

    class Network:
        class latent_format:  # noqa: N801 - stands for an attribute
            downscale = 1

    picture = torch.rand(1, 16, 12, 3, generator=torch.Generator().manual_seed(1))
    around = None if mask is None else picture
    ready = Steered(patch, PIXELS, picture, 1.0, mask, around).ready(Network(), (8, 6))  # type: ignore[arg-type]
    assert isinstance(ready, Ready)
    assert isinstance(ready.edit, Steering)
    return ready.edit.hint


def test_hints_are_latents_at_the_size_that_is_painted(tmp_path: Path) -> None:
    plain = hint_of(model_patch(z_patch(tmp_path, channels=3)[0]))

    assert plain.shape == (1, 3, 8, 6)
    hole = torch.zeros(1, 16, 12)
    hole[:, :8] = 1
    more = hint_of(model_patch(z_patch(tmp_path, channels=7)[0]), hole)
    assert more.shape == (1, 7, 8, 6)
    assert torch.equal(more[:, :3], plain)
    assert more[0, 3, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]  # 1 where the picture stays
    assert torch.equal(more[:, 4:, 4:], plain[:, :, 4:])
    assert more[:, 4:, :4].unique().numel() == 1  # grey where it is painted anew
    finer = hint_of(model_patch(flux2_patch(tmp_path, channels=10)[0]), hole)
    assert finer.shape == (1, 10, 8, 6)
    assert torch.equal(finer[:, 3:7], more[:, 3:4].expand(-1, 4, -1, -1))  # a place's four in the mask
    torch.testing.assert_close(FLUX_LATENTS.process_in(finer[:, 7:]), more[:, 4:])  # Flux 2's latents are as they come
    unmasked = hint_of(model_patch(z_patch(tmp_path, channels=9)[0]))
    assert torch.equal(unmasked[:, 3:], torch.zeros(1, 6, 8, 6))


def test_the_nodes_put_a_steered_patch_on_the_model(tmp_path: Path) -> None:
    model = Model(Weights((), "model", "qwen_image"))
    net = model_patch_loader(qwen_patch(tmp_path)[0])
    picture, mask = Image(torch.rand(1, 8, 8, 3)), Mask(torch.zeros(1, 8, 8))

    (patch,) = qwen_image_diffsynth_controlnet(model, net, PIXELS, picture, 0.5, mask).patches

    assert isinstance(patch, Steered)
    assert (patch.net, patch.strength) == (net, 0.5)
    assert qwen_image_diffsynth_controlnet(model, net, PIXELS, picture, 0.0) is model


def test_z_image_s_node_paints_one_picture_in_and_is_steered_by_another(tmp_path: Path) -> None:
    model, net = Model(Weights((), "model", "z_image")), model_patch(z_patch(tmp_path, channels=7)[0])
    pose, photo, hole = (Image(torch.rand(1, 16, 12, 3)), Image(torch.rand(1, 16, 12, 3)), torch.zeros(1, 16, 12))
    hole[:, :8] = 1

    def hint(*pictures: Any) -> Tensor:
        (patch,) = z_image_fun_controlnet(model, net, PIXELS, 0.5, *pictures).patches
        assert isinstance(patch, Steered)
        assert patch.strength == 0.5
        with loaded(net) as live:
            return patch._hint(live, 1, (8, 6))

    both, painted, steered = hint(pose, photo, Mask(hole)), hint(None, photo, Mask(hole)), hint(pose)
    assert torch.equal(both[:, :3], steered[:, :3])
    assert not painted[:, :3].any()
    assert torch.equal(both[:, 3:], painted[:, 3:])
    assert painted[0, 3, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert not steered[:, 3:].any()
    torch.testing.assert_close(painted[:, 4:, 4:], hint(photo)[:, :3, 4:])  # what stays is the photo's
    with pytest.raises(ValueError, match="inpaint_image and mask go together"):
        z_image_fun_controlnet(model, net, PIXELS, 1.0, pose, photo)
    with pytest.raises(ValueError, match="nothing to steer by"):
        z_image_fun_controlnet(model, net, PIXELS)


# --- references apart ------------------------------------------------------------------------------------------------


def klein(folder: Path, edits: tuple[Any, ...], sigma: float, own: Tensor, name: str = "flux2") -> Tensor:
    tiny = TINY[name]
    with loaded(network_recipe(single_file(folder, tiny, network(tiny)))) as live:
        pooled = noise(1, tiny.pooled) if tiny.pooled else None
        references = tuple(noise(1, *tiny.latent) * n for n in (1, 2))
        cond = RowCond(live.parametrisation, noise(1, 5, tiny.width), pooled, references=references, edits=edits)
        return live.predict([Row(live, own, torch.tensor(sigma), cond)])[0]


def test_references_apart_equal_the_pipeline_s_kv_pass(tmp_path: Path) -> None:
    from diffusers.models.transformers import transformer_flux2 as flux2

    from graphflow.families.flux2 import _ids

    tiny = TINY["flux2"]
    own = noise(1, *tiny.latent) * 0.5
    found = klein(tmp_path, (ReferencesApart(),), 0.5, own)
    plain = klein(tmp_path, (), 0.5, own)

    module: Any = network(tiny)
    for block in module.transformer_blocks:
        block.attn.set_processor(flux2.Flux2KVAttnProcessor())
    for block in module.single_transformer_blocks:
        block.attn.set_processor(flux2.Flux2KVParallelSelfAttnProcessor())
    height, width = tiny.latent[-2:]
    pictures = [*(noise(1, *tiny.latent) * n for n in (1, 2)), own]
    text = torch.zeros(5, 4)
    text[:, 3] = torch.arange(5)
    with torch.inference_mode():
        velocity = module(
            torch.cat([p.flatten(2).transpose(1, 2) for p in pictures], dim=1),
            encoder_hidden_states=noise(1, 5, tiny.width), timestep=torch.tensor([0.5]),
            img_ids=torch.cat([_ids(height, width, time) for time in (10, 20, 0)]).float(), txt_ids=text,
            guidance=torch.tensor([4.0]) if module.config.guidance_embeds else None,
            kv_cache_mode="extract", num_ref_tokens=2 * height * width, return_dict=False,
        )[0]  # fmt: skip
    expected = own - 0.5 * velocity.transpose(1, 2).reshape(own.shape)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert (found - plain).abs().max() > 1e-4


def test_references_apart_is_for_flux_2_alone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    own = noise(1, *TINY["flux2"].latent)
    before = klein(tmp_path, (), 0.5, own)
    klein(tmp_path, (ReferencesApart(),), 0.5, own)

    assert torch.equal(klein(tmp_path, (), 0.5, own), before)
    (patch,) = flux_kv_cache(Model(Weights((), "model", "flux2"))).patches
    assert patch.edits(1.0, None) == (ReferencesApart(),)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="for Flux 2 Klein's KV models; this model is none"):
        klein(tmp_path, (ReferencesApart(),), 0.5, noise(1, *TINY["flux"].latent), "flux")


# --- cameras ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("around", "up", "zoom", "wanted"),
    [
        (0, 0, 5.0, "front view eye-level shot medium shot"),
        (333, 17, 5.0, "front-left quarter view elevated shot medium shot"),
        (90, -30, 10.0, "right side view low-angle shot close-up"),
        (360, 45, 0.0, "front view high-angle shot wide shot"),
        (180, -15, 6.0, "back view eye-level shot close-up"),
    ],
)
def test_a_camera_is_put_into_words(around: int, up: int, zoom: float, wanted: str) -> None:
    camera, prompt = camera_angle(around, up, zoom)

    assert prompt == wanted
    assert math.dist((0, 0, 0), (camera.x, camera.y, camera.z)) == pytest.approx(6.0)
    assert camera.zoom == pytest.approx(1.0 + 0.875 * zoom / 10)


def test_a_camera_on_the_right_stands_to_the_right() -> None:
    camera, _ = camera_angle(90, 30)

    assert (camera.x, camera.y, camera.z) == pytest.approx((6 * math.cos(math.radians(30)), 3.0, 0.0), abs=1e-9)

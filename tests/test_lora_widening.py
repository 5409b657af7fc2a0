"""LoRAs that let Flux see a picture beside the latent (Canny and Depth, https://bfl.ai/flux-1-tools): as diffusers' control
pipeline asks a network with them, and gone without a trace when they are taken out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.detect import detect
from graphflow.diffusion.conds import Canvas, resolve
from graphflow.diffusion.network import RowCond
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.layouts import join
from graphflow.models import Residency, check_lora, loaded, saved_network
from graphflow.node import File, Row
from graphflow.values import Cond, Conditioning, Image, Latent, Lora, Model, Weights
from graphflow_nodes.conditioning import conditioning_set_properties
from graphflow_nodes.control import instruct_pix_to_pix_conditioning
from graphflow_nodes.hooks import create_hook_lora_model_only
from graphflow_nodes.loaders import vae_loader
from graphflow_nodes.lora import lora_loader_model_only
from graphflow_nodes.sampling import k_sampler
from tests.numerics import drive
from tests.test_autoencoders import kl
from tests.test_autoencoders import write as write_vae
from tests.test_families import _flux, noise, recipe
from tests.tiny import TINY, config_of, file, network, write_config

WIDE, OWN, RANK = 128, 64, 4
"""Numbers of each place with a picture beside the latent's, the latent's alone, and the LoRA's rank."""


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


@pytest.fixture
def flux(tmp_path: Path) -> Model:
    return recipe(tmp_path, TINY["flux"], network(TINY["flux"]))


def state() -> dict[str, Tensor]:
    return network(TINY["flux"]).state_dict()


def control_lora(folder: Path) -> tuple[File, dict[str, Tensor]]:
    """A LoRA as Black Forest Labs publish it, matrices and biases of every linear layer, norms in full; and the weights
    of the network that it makes."""
    before, after, lora = state(), {}, {}
    for number, entry in enumerate(FAMILIES["flux"].layout(before)):
        whole = join(entry, before)
        module, _, kind = entry.theirs.rpartition(".")
        if kind == "bias":
            lora[f"{module}.lora_B.bias"] = delta = noise(len(whole), seed=number) * 0.1
            made = whole + delta
        elif kind == "scale":
            lora[entry.theirs] = made = whole + noise(*whole.shape, seed=number) * 0.1
        else:
            columns = WIDE if module == "img_in" else whole.shape[1]
            up, down = noise(len(whole), RANK, seed=number) * 0.3, noise(RANK, columns, seed=number + 999) * 0.3
            lora |= {f"{module}.lora_B.weight": up, f"{module}.lora_A.weight": down}
            made = torch.cat([whole, torch.zeros(len(whole), columns - whole.shape[1])], dim=1) + up @ down
        after[entry.theirs] = made
    path = folder / "flux1-canny-dev-lora.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in lora.items()}, path)
    return file(path), after


def reference(weights: dict[str, Tensor]) -> Any:
    """diffusers' network of twice as many channels, of weights in the original layout."""
    import diffusers
    from diffusers.models.normalization import AdaLayerNormContinuous

    config = {**config_of(TINY["flux"].config), "in_channels": WIDE, "out_channels": OWN}
    module = diffusers.FluxTransformer2DModel.from_config(config).eval()
    assert isinstance(module.norm_out, AdaLayerNormContinuous)
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    ours: dict[str, Tensor] = {}
    for entry in FAMILIES["flux"].layout(shapes):
        whole = weights[entry.theirs]
        if entry.transform == "swap":
            whole = torch.cat([whole.chunk(2)[1], whole.chunk(2)[0]])
        ours |= dict(zip(entry.ours, torch.split(whole, [shapes[name][0] for name in entry.ours]), strict=True))
    module.load_state_dict(ours)
    return module


def ask(model: Model, beside: Tensor | None) -> Tensor:
    tiny = TINY["flux"]
    with loaded(model) as live:
        cond = RowCond(
            live.parametrisation, noise(1, 6, tiny.width, seed=1), noise(1, tiny.pooled, seed=2), concat=beside,
            latent_size=(8, 6),
        )  # fmt: skip
        return live.predict([Row(live, noise(1, *tiny.latent, seed=3), torch.tensor(0.7), cond)])[0]


@torch.inference_mode()
def test_a_picture_beside_the_latent_is_seen_as_diffusers_sees_it(tmp_path: Path, flux: Model) -> None:
    lora, weights = control_lora(tmp_path)
    picture = noise(1, 16, 8, 6, seed=4)

    fit = check_lora(lora, flux)
    out = ask(lora_loader_model_only(flux, lora), picture)

    assert detect(lora.path).kind == "lora"
    assert fit.unknown == ()
    cond = RowCond(None, noise(1, 6, 32, seed=1), noise(1, 32, seed=2), concat=picture)  # type: ignore[arg-type]
    x = noise(1, 16, 8, 6, seed=3)
    velocity = _flux(reference(weights), x, torch.tensor([0.7]), cond)
    torch.testing.assert_close(out, x - 0.7 * velocity, atol=2e-5, rtol=1e-4)


def test_the_network_is_as_before_when_the_lora_is_taken_out(tmp_path: Path, flux: Model) -> None:
    lora, _ = control_lora(tmp_path)
    before = ask(flux, None)
    picture = noise(1, 16, 8, 6, seed=4)

    ask(lora_loader_model_only(flux, lora), picture)

    assert lora_loader_model_only(flux, lora, 0.0) == flux
    assert torch.equal(ask(flux, None), before)
    weak = ask(flux.patched(Lora(lora, 1e-6)), picture)
    torch.testing.assert_close(weak, before, atol=1e-4, rtol=1e-3)
    with loaded(flux) as plain, loaded(flux.patched(Lora(lora, 1.0))) as wide:
        assert (plain.concat, wide.concat) == ("", "image")


@pytest.mark.parametrize("first", [True, False])
def test_a_lora_for_the_latent_alone_goes_with_it_in_any_order(tmp_path: Path, flux: Model, first: bool) -> None:
    lora, weights = control_lora(tmp_path)
    up, down = noise(32, 2, seed=50), noise(2, OWN, seed=51)
    save_file({"img_in.lora_B.weight": up, "img_in.lora_A.weight": down}, tmp_path / "narrow.safetensors")
    narrow = Lora(file(tmp_path / "narrow.safetensors"), 0.5)
    both = (narrow, Lora(lora, 1.0)) if first else (Lora(lora, 1.0), narrow)
    model, picture = flux.patched(*both), noise(1, 16, 8, 6, seed=4)

    weights["img_in.weight"][:, :OWN] += 0.5 * up @ down
    out = ask(model, picture)

    cond = RowCond(None, noise(1, 6, 32, seed=1), noise(1, 32, seed=2), concat=picture)  # type: ignore[arg-type]
    x = noise(1, 16, 8, 6, seed=3)
    with torch.inference_mode():
        velocity = _flux(reference(weights), x, torch.tensor([0.7]), cond)
    torch.testing.assert_close(out, x - 0.7 * velocity, atol=2e-5, rtol=1e-4)


def test_the_picture_comes_from_the_node_of_the_published_workflow(tmp_path: Path, flux: Model) -> None:
    lora, _ = control_lora(tmp_path)
    model = lora_loader_model_only(flux, lora)
    text = Conditioning((Cond(noise(1, 6, 32, seed=1), noise(1, 32, seed=2)),))
    pixels = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(1))
    vae = vae_loader(write_vae(tmp_path, kl(16, use_quant_conv=False, use_post_quant_conv=False), "kl"))

    def paint(model: Model, picture: Tensor) -> Tensor:
        positive, negative, latent = instruct_pix_to_pix_conditioning(text, text, vae, Image(picture))
        walk = k_sampler(model, seed=1, steps=2, cfg=1.0, positive=positive, negative=negative, latent_image=latent)
        return drive(walk).result.data

    shown, _, latent = instruct_pix_to_pix_conditioning(text, text, vae, Image(pixels))
    with loaded(model) as live, loaded(vae) as autoencoder:
        canvas = Canvas(live, live.parametrisation, latent.data, None, {}, {})
        beside = resolve({"positive": shown}, canvas)["positive"][0].concat
        assert beside is not None
        torch.testing.assert_close(beside, live.latent_format.process_in(autoencoder.encode(pixels)))
    assert (paint(model, pixels) - paint(model, 1 - pixels)).abs().max() > 1e-3
    assert torch.equal(paint(flux, pixels), paint(flux, 1 - pixels))  # without the LoRA it sees no picture


def test_a_saved_network_sees_the_picture_on_its_own(tmp_path: Path, flux: Model) -> None:
    lora, _ = control_lora(tmp_path)
    model, picture = lora_loader_model_only(flux, lora), noise(1, 16, 8, 6, seed=4)
    path = tmp_path / "saved.safetensors"
    path.write_bytes(b"".join(piece for piece in saved_network(model) if isinstance(piece, bytes)))
    write_config(path, "transformer", {**config_of(TINY["flux"].config), "in_channels": WIDE, "out_channels": OWN})

    saved = Model(Weights((file(path),), "model", "flux"))

    torch.testing.assert_close(ask(saved, picture), ask(model, picture), atol=1e-5, rtol=1e-4)


def test_networks_that_see_something_else_beside_the_latent_refuse_it(tmp_path: Path) -> None:
    lora, _ = control_lora(tmp_path)
    fill = recipe(tmp_path, TINY["flux fill"], network(TINY["flux fill"]))

    with pytest.raises(UnsupportedFile, match=r"img_in: it takes in 128 numbers of each place, the model 384"):
        lora_loader_model_only(fill, lora)
    with pytest.raises(UnsupportedFile, match=r"img_in: it takes in 128 numbers of each place, the model 384"):
        ask(fill.patched(Lora(lora, 1.0)), noise(1, 80, 8, 6))


def test_hooks_cannot_let_a_network_see_more_on_the_way(tmp_path: Path, flux: Model) -> None:
    lora, _ = control_lora(tmp_path)
    text = Conditioning((Cond(noise(1, 6, 32, seed=1), noise(1, 32, seed=2)),))
    text = conditioning_set_properties(text, hooks=create_hook_lora_model_only(lora, 1.0))
    walk = k_sampler(
        flux, seed=1, steps=2, cfg=1.0, positive=text, negative=text, latent_image=Latent(torch.zeros(1, 16, 8, 6))
    )

    with pytest.raises(ValueError, match="cannot come and go on the way: load it with LoraLoaderModelOnly"):
        drive(walk)

"""A checkpoint in Stable Diffusion 1.5's layout gives ComfyUI's numbers, and the model on board makes pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.diffusion.network import RowCond
from graphflow.errors import GraphflowError
from graphflow.models import Residency, checkpoint, loaded
from graphflow.node import File, Row
from graphflow.paths import builtin_models
from graphflow.values import Latent
from graphflow_nodes.sampling import k_sampler
from tests.numerics import drive, same_networks
from tests.tiny import GOLDEN, file, golden_sd15


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> File:
    return golden_sd15(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "e2e_tiny_sd15.safetensors")


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as residency:  # as the golden run: nothing rounded
        yield residency


def test_text_encoders_are_rounded_to_half_precision_unless_a_dtype_is_asked_for(
    tiny: File, golden: dict[str, Tensor]
) -> None:
    with Residency(device="cpu").active(), loaded(checkpoint(tiny).clip) as encoder:
        (cond,) = encoder.encode(NEGATIVE).entries

    assert cond.context.dtype is torch.float32
    assert 1e-4 < (cond.context - golden["cond/last/neg"]).abs().max() < 1e-2


POSITIVE, NEGATIVE = r"a (photo:1.2) of a cat, \(studio\) ((light))", "blurry"


@pytest.mark.parametrize(("layer", "text", "name"), [
    (None, POSITIVE, "last/pos"), (-1, NEGATIVE, "last/neg"), (-2, POSITIVE, "clip_skip_-2/pos"),
])  # fmt: skip
def test_prompts_are_encoded_as_comfyui_does(
    tiny: File, golden: dict[str, Tensor], layer: int | None, text: str, name: str
) -> None:
    with loaded(replace(checkpoint(tiny).clip, layer=layer)) as encoder:
        (cond,) = encoder.encode(text).entries

    torch.testing.assert_close(cond.context, golden[f"cond/{name}"], atol=0 if same_networks() else 2e-6, rtol=0)


@pytest.mark.parametrize("case", ["euler/normal/8", "dpmpp_2m/karras/10", "ddim/ddim_uniform/10"])
def test_latents_are_decoded_as_comfyui_does(tiny: File, golden: dict[str, Tensor], case: str) -> None:
    with loaded(checkpoint(tiny).vae) as autoencoder:
        picture = autoencoder.decode(golden[f"latent/{case}/cfg7/seed5"])

    wrong = (picture[0] * 255).to(torch.uint8).int() - golden[f"image/{case}/cfg7/seed5"].int()
    assert wrong.abs().max() <= 1  # other processors round a few values the other way
    assert wrong.count_nonzero() <= (0 if same_networks() else 20)


def test_pictures_are_encoded_to_the_mode_of_the_posterior(tiny: File, golden: dict[str, Tensor]) -> None:
    picture = golden["image/euler/normal/8/cfg7/seed5"][None] / 255
    with loaded(checkpoint(tiny).vae) as autoencoder:
        latent = autoencoder.encode(picture)

    torch.testing.assert_close(latent, golden["img2img/vae_encode"], atol=0 if same_networks() else 1e-5, rtol=0)


def test_the_model_on_board_follows_colours() -> None:
    parts = checkpoint(file(builtin_models() / "checkpoints" / "graphflow-emoji"))
    with loaded(parts.model) as network, loaded(parts.clip) as encoder, loaded(parts.vae) as autoencoder:
        contexts = [
            encoder.encode(text).entries[0].context for text in ("a red circle in the center, blue background", "")
        ]
        p = network.parametrisation
        sigmas = torch.cat([p.table[torch.linspace(999, 0, 6).long()], torch.zeros(1)])
        x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1)) * (sigmas[0] ** 2 + 1) ** 0.5
        for sigma, following in pairwise(sigmas):
            rows = [Row(network, x, sigma, RowCond(p, context, latent_size=(8, 8))) for context in contexts]
            guided, plain = network.predict(rows)
            x = x + (x - plain - 4 * (guided - plain)) / sigma * (following - sigma)
        picture = autoencoder.decode(network.latent_format.process_out(x))

    red, green, blue = picture[0, :4].mean(dim=(0, 1))  # the upper edge is background
    assert blue > 0.5 > max(red, green)


def test_rows_of_different_noise_and_prompts_share_a_call(tiny: File) -> None:
    with loaded(checkpoint(tiny).model) as network:
        rows = [
            Row(network, torch.randn(n, 4, 8, 8), torch.tensor(sigma), RowCond(network.parametrisation, context))
            for n, sigma, context in ((1, 14.0, torch.randn(1, 77, 32)), (2, 0.3, torch.randn(2, 77, 32)))
        ]
        together = network.predict(rows)
        alone = [network.predict([row])[0] for row in rows]

    assert len({network.batch_key(row) for row in rows}) == 1
    assert [out.shape for out in together] == [(1, 4, 8, 8), (2, 4, 8, 8)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


def test_a_conditioning_of_another_width_is_refused_with_both_widths(tiny: File) -> None:
    with loaded(checkpoint(tiny).model) as network:
        cond = RowCond(network.parametrisation, torch.zeros(1, 77, 768))
        with pytest.raises(ValueError, match=r"768 wide, Stable Diffusion 1\.5 needs 32"):
            network.predict([Row(network, torch.zeros(1, 4, 8, 8), torch.tensor(1.0), cond)])


def test_equal_recipes_give_the_same_network(tiny: File) -> None:
    with loaded(checkpoint(tiny).model) as one, loaded(checkpoint(tiny).model) as other:
        assert one is other


def test_nothing_is_loaded_outside_a_residency(tiny: File) -> None:
    import contextvars

    def outside() -> None:
        with pytest.raises(GraphflowError, match="no residency is active"), loaded(checkpoint(tiny).vae):
            pass

    contextvars.Context().run(outside)


def test_tiles_give_nearly_the_whole_picture(tiny: File) -> None:
    latent = torch.randn(1, 4, 24, 24, generator=torch.Generator().manual_seed(3))
    with loaded(checkpoint(tiny).vae) as autoencoder:
        whole = autoencoder.decode(latent)
        *steps, tiled = autoencoder.decode_tiles(latent, tile=16, overlap=8)

    assert tiled.shape == whole.shape == (1, 192, 192, 3)
    assert [step.value for step in steps] == list(range(1, len(steps) + 1))
    assert (tiled - whole).abs().mean() < 0.2
    assert isinstance(tiny.path, Path)


# --- damaged weights -------------------------------------------------------------------------------------------------


def damaged(tiny: File, key: str, folder: Path) -> File:
    """The checkpoint with NaN in one tensor."""
    state = load_file(tiny.path)
    state[key] = torch.full_like(state[key], float("nan"))
    save_file(state, folder / "damaged.safetensors")
    shutil.copytree(tiny.path.with_suffix(".config"), folder / "damaged.config")
    return file(folder / "damaged.safetensors")


def test_nan_in_the_text_encoder_s_weights_is_told_where_the_prompt_is_encoded(tiny: File, tmp_path: Path) -> None:
    broken = damaged(tiny, "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", tmp_path)
    with (
        loaded(checkpoint(broken).clip) as encoder,
        pytest.raises(ValueError, match=r"text encoder of Stable Diffusion 1\.5 gives NaN or infinity: its weights"),
    ):
        encoder.encode("a cat")


@pytest.mark.parametrize(("side", "said"), [("encoder", "latent"), ("decoder", "picture")])
def test_nan_in_the_autoencoder_s_weights_is_told_where_it_is_used(
    tiny: File, tmp_path: Path, side: str, said: str
) -> None:
    broken = damaged(tiny, f"first_stage_model.{side}.conv_in.weight", tmp_path)
    with (
        loaded(checkpoint(broken).vae) as vae,
        pytest.raises(ValueError, match=f"the {said} that the autoencoder makes holds NaN .* too large for float32"),
    ):
        vae.encode(torch.zeros(1, 16, 16, 3)) if side == "encoder" else vae.decode(torch.zeros(1, 4, 2, 2))


def test_nan_in_a_latent_or_a_picture_is_blamed_on_whoever_made_it(tiny: File) -> None:
    with loaded(checkpoint(tiny).vae) as vae:
        with pytest.raises(ValueError, match="the latent holds NaN or infinity; look at the node that made it"):
            vae.decode(torch.full((1, 4, 2, 2), float("nan")))
        with pytest.raises(ValueError, match="the picture holds NaN or infinity; look at the node that made it"):
            vae.encode(torch.full((1, 16, 16, 3), float("inf")))


def test_nan_in_the_network_s_weights_is_told_with_the_step(tiny: File, tmp_path: Path) -> None:
    broken = damaged(tiny, "model.diffusion_model.out.2.weight", tmp_path)
    with loaded(checkpoint(broken).clip) as encoder:
        cond = encoder.encode("a cat")
    walk = k_sampler(
        checkpoint(broken).model, positive=cond, negative=cond, latent_image=Latent(torch.zeros(1, 4, 2, 2))
    )
    with pytest.raises(ValueError, match=r"at step 1 \(sigma 14\.61\) the model's prediction holds NaN or infinity"):
        drive(walk)

"""Films that steer Wan's models: VACE, Fun control, first and last frames, as their authors' pipelines ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.api import ClipVisionOutput, Cond, Conditioning, Image, Latent, Mask, Model, Vae
from graphflow.diffusion.conds import Canvas, resolve
from graphflow.diffusion.network import RowCond
from graphflow.models import Residency, loaded
from graphflow.models.autoencoders import LAYOUTS
from graphflow.node import Row
from graphflow_nodes.latent import trim_video_latent
from graphflow_nodes.loaders import unet_loader, vae_loader
from graphflow_nodes.sampling import k_sampler
from graphflow_nodes.wan import wan_first_last_frame_to_video, wan_fun_inpaint_to_video, wan_image_to_video
from graphflow_nodes.wan_control import wan22_fun_control_to_video, wan_fun_control_to_video, wan_vace_to_video
from tests.numerics import drive
from tests.tiny import TINY, file, network, original_state, single_file

SIZE, LENGTH = (32, 16), 9
"""Width and height, and pictures: three latent frames of 4 x 2."""
TEXT = Conditioning((Cond(torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(8))),))


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def autoencoder() -> Any:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    return AutoencoderKLWan(base_dim=4, z_dim=16).eval()


@pytest.fixture
def vae(tmp_path: Path) -> Vae:
    save_file(original_state(autoencoder(), LAYOUTS["wan"]), tmp_path / "vae.safetensors")
    return vae_loader(file(tmp_path / "vae.safetensors"))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(count: int, seed: int = 0) -> Tensor:
    """(F, H, W, 3) at the film's size."""
    return torch.rand(count, SIZE[1], SIZE[0], 3, generator=torch.Generator().manual_seed(seed))


def signed(images: Tensor) -> Tensor:
    """(F, H, W, 3) -> (1, 3, F, H, W) in -1 to 1."""
    return images.movedim(-1, 0)[None] * 2 - 1


def model(folder: Path, name: str) -> tuple[Model, Any]:
    module: Any = network(TINY[name])
    return unet_loader(single_file(folder, TINY[name], module)), module


def beside(model: Model, conditioning: Conditioning, frames: int) -> Tensor:
    """What a sampling puts beside the latent."""
    with loaded(model) as live:
        latent = torch.zeros(1, 16, frames, SIZE[1] // 8, SIZE[0] // 8)
        (region,) = resolve({"positive": conditioning}, Canvas(live, live.parametrisation, latent))["positive"]
    assert region.concat is not None
    return region.concat


def pipeline(kind: str, module: Any) -> Any:
    import diffusers

    parts = dict.fromkeys(("tokenizer", "text_encoder", "image_encoder", "image_processor"))
    wanted = {"WanVACEPipeline": ("tokenizer", "text_encoder")}.get(kind, tuple(parts))
    scheduler = diffusers.UniPCMultistepScheduler()
    return getattr(diffusers, kind)(**dict.fromkeys(wanted), vae=autoencoder(), scheduler=scheduler, transformer=module)


# --- VACE ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [False, True])
@torch.inference_mode()
def test_vace_is_told_what_its_pipeline_tells_it(tmp_path: Path, vae: Vae, reference: bool) -> None:
    net, module = model(tmp_path, "wan vace")
    film, photo = pictures(LENGTH), pictures(1, seed=5)
    masks = torch.zeros(LENGTH, SIZE[1], SIZE[0])
    masks[4:, :, 10:] = 1

    told = wan_vace_to_video(
        TEXT, TEXT, vae, *SIZE, LENGTH, control_video=Image(film), control_masks=Mask(masks),
        reference_image=Image(photo) if reference else None,
    )  # fmt: skip

    pipe = pipeline("WanVACEPipeline", module)
    looked = [[signed(photo)[0, :, 0]]] if reference else [[]]
    mask = masks[None, None].expand(1, 3, -1, -1, -1)
    films = pipe.prepare_video_latents(signed(film), mask, looked, None, torch.device("cpu"))
    places = pipe.prepare_masks(mask, looked)
    frames = 4 if reference else 3
    assert (told.trim_latent, told.latent.data.shape) == (int(reference), (1, 16, frames, 2, 4))
    expected = torch.cat([places, films], dim=1)
    assert expected.shape == (1, 96, frames, 2, 4)
    for side in (told.positive, told.negative):
        torch.testing.assert_close(beside(net, side, frames), expected, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_rows_steered_by_vace_share_a_call_whatever_their_noise_and_strength(tmp_path: Path) -> None:
    net, module = model(tmp_path, "wan vace")
    control, x = noise(2, 96, 2, 8, 6, seed=1), noise(2, 16, 2, 8, 6, seed=2)
    sigmas, strengths = (0.7, 0.3), (1.0, 0.25)
    with loaded(net) as live:
        rows = [
            Row(live, x[i : i + 1], torch.tensor(sigmas[i]),
                RowCond(live.parametrisation, TEXT.entries[0].context, concat=control[i : i + 1], sizes={"vace": (strengths[i],)}))
            for i in range(2)
        ]  # fmt: skip
        outs = live.predict(rows)

    assert live.batch_key(rows[0]) == live.batch_key(rows[1])
    for i, out in enumerate(outs):
        own = torch.cat([control[i : i + 1, 64:], control[i : i + 1, :64]], dim=1)  # masks come last in the network
        velocity = module(
            x[i : i + 1], torch.tensor([1000 * sigmas[i]]), TEXT.entries[0].context,
            control_hidden_states=own, control_hidden_states_scale=torch.full((2,), strengths[i]),
        ).sample  # fmt: skip
        torch.testing.assert_close(out, x[i : i + 1] - sigmas[i] * velocity, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_a_vace_network_that_nothing_steers_is_the_plain_one(tmp_path: Path) -> None:
    from diffusers import WanTransformer3DModel

    net, module = model(tmp_path, "wan vace")
    x, context = noise(1, 16, 2, 8, 6), TEXT.entries[0].context
    with loaded(net) as live:
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), RowCond(live.parametrisation, context))])

    plain: Any = WanTransformer3DModel.from_config({k: v for k, v in module.config.items() if "vace" not in k}).eval()
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith("vace")})
    torch.testing.assert_close(out, x - 0.5 * plain(x, torch.tensor([500.0]), context).sample, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_two_films_steer_together(tmp_path: Path, vae: Vae) -> None:
    net, module = model(tmp_path, "wan vace")
    one = wan_vace_to_video(TEXT, TEXT, vae, *SIZE, 5, 1, 0.5, Image(pictures(5, seed=1)))
    both = wan_vace_to_video(one.positive, one.negative, vae, *SIZE, 5, 1, 2.0, Image(pictures(5, seed=2)))
    (cond,) = both.positive.entries
    x, context = noise(1, 16, 2, 2, 4), cond.context
    concat = beside(net, both.positive, 2)
    with loaded(net) as live:
        asked = RowCond(live.parametrisation, context, concat=concat, sizes=cond.extras)
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), asked)])
        first = beside(net, one.positive, 2)
        plain = RowCond(live.parametrisation, context, concat=first, sizes={"vace": (0.5,)})
        (alone,) = live.predict([Row(live, x, torch.tensor(0.5), plain)])

    assert concat.shape[1] == 192
    assert cond.extras["vace"] == (0.5, 2.0)
    controls = [torch.cat([concat[:, 128 + 32 * n : 160 + 32 * n], concat[:, 64 * n : 64 * n + 64]], 1) for n in (0, 1)]
    expected = x - 0.5 * by_hand(module, x, context, list(zip(controls, (0.5, 2.0), strict=True)))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
    assert (out - alone).abs().max() > 1e-3


def by_hand(module: Any, x: Tensor, context: Tensor, controls: list[tuple[Tensor, float]]) -> Tensor:
    """A VACE network written out: each film goes through the steering blocks by itself, what they give is added up."""
    places, hidden = module.rope(x), module.patch_embedding(x).flatten(2).transpose(1, 2)
    temb, time, text, _ = module.condition_embedder(torch.tensor([500.0]), context, None)
    time = time.unflatten(1, (6, -1))
    hints: dict[int, Tensor] = {}
    for control, strength in controls:
        tokens = module.vace_patch_embedding(control).flatten(2).transpose(1, 2)
        for layer, block in zip(module.config.vace_layers, module.vace_blocks, strict=True):
            hint, tokens = block(hidden, text, tokens, time, places)
            hints[layer] = hints.get(layer, 0) + strength * hint
    for n, block in enumerate(module.blocks):
        hidden = block(hidden, text, time, places) + hints.get(n, 0)
    return ending(module, hidden, temb, x.shape)


def ending(module: Any, hidden: Tensor, temb: Tensor, shape: torch.Size) -> Tensor:
    """From tokens to a velocity of that shape."""
    shift, scale = (module.scale_shift_table + temb[:, None]).chunk(2, dim=1)
    out = module.proj_out(module.norm_out(hidden) * (1 + scale) + shift)
    n, c, frames, height, width = shape
    out = out.reshape(n, frames, height // 2, width // 2, 2, 2, c)
    return out.permute(0, 6, 1, 2, 4, 3, 5).reshape(shape)


def test_films_that_do_not_go_together_are_told(vae: Vae) -> None:
    one = wan_vace_to_video(TEXT, TEXT, vae, *SIZE, 5)

    with pytest.raises(ValueError, match="the node before is for 2 latent frames of 4 × 2, this one for 3"):
        wan_vace_to_video(one.positive, one.negative, vae, *SIZE, 9)


def test_a_film_is_painted_after_another_and_its_reference_is_taken_off(tmp_path: Path, vae: Vae) -> None:
    net, _ = model(tmp_path, "wan vace")
    told = wan_vace_to_video(
        TEXT, TEXT, vae, *SIZE, LENGTH, 2, control_video=Image(pictures(4)), reference_image=Image(pictures(1, seed=3))
    )

    def paint(latent: Latent) -> Latent:
        walk = k_sampler(
            net, seed=1, steps=2, cfg=2.0, positive=told.positive, negative=told.negative, latent_image=latent
        )
        return trim_video_latent(drive(walk).result, told.trim_latent)

    painted = paint(told.latent)
    assert painted.data.shape == (2, 16, 3, 2, 4)
    assert painted.data.isfinite().all()
    with pytest.raises(
        ValueError, match="for a film of 4 latent frames of 4 × 2, the latent is one of 2 latent frames"
    ):
        paint(Latent(torch.zeros(1, 16, 2, 2, 4)))


def test_frames_and_masks_that_are_lacking_are_left_to_the_model(tmp_path: Path, vae: Vae) -> None:
    net, _ = model(tmp_path, "wan vace")
    masks = torch.zeros(5, SIZE[1], SIZE[0])

    told = wan_vace_to_video(TEXT, TEXT, vae, *SIZE, LENGTH, control_masks=Mask(masks))

    places = beside(net, told.positive, 3)[:, :64]
    assert places[0, 0, :, 0, 0].tolist() == [0.0, 0.0, 1.0]


# --- first and last frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
@torch.inference_mode()
def test_first_and_last_frames_are_told_as_the_pipeline_tells_them(tmp_path: Path, vae: Vae, last: bool) -> None:
    net, module = model(tmp_path, "wan first and last")
    start, end = pictures(1), pictures(1, seed=4)
    seen = [ClipVisionOutput(t[:, 0], t, t) for t in (noise(1, 5, 16, seed=1), noise(1, 5, 16, seed=2))]
    film = wan_first_last_frame_to_video(
        TEXT, TEXT, vae, *SIZE, LENGTH, 1, *seen, Image(start), Image(end) if last else None
    )
    (cond,) = film.positive.entries
    x = noise(1, 16, 3, 2, 4, seed=6)
    concat = beside(net, film.positive, 3)
    with loaded(net) as live:
        asked = RowCond(live.parametrisation, cond.context, concat=concat, sizes=cond.extras)
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), asked)])

    pipe = pipeline("WanImageToVideoPipeline", module)
    _, given = pipe.prepare_latents(
        signed(start)[:, :, 0], 1, 16, SIZE[1], SIZE[0], LENGTH, torch.float32, torch.device("cpu"),
        last_image=signed(end)[:, :, 0] if last else None,
    )  # fmt: skip
    torch.testing.assert_close(1 - concat[:, :4], given[:, :4])
    torch.testing.assert_close(concat[:, 4:], given[:, 4:], atol=1e-5, rtol=1e-4)
    velocity = module(
        torch.cat([x, given], dim=1), torch.tensor([500.0]), cond.context,
        encoder_hidden_states_image=torch.cat([one.penultimate_hidden_state for one in seen]),
    ).sample  # fmt: skip
    torch.testing.assert_close(out, x - 0.5 * velocity, atol=1e-5, rtol=1e-4)


def ask(net: Model, **more: Any) -> Tensor:
    """The network's answer about a film of two latent frames, with so much of a conditioning."""
    with loaded(net) as live:
        cond = RowCond(live.parametrisation, noise(1, 6, 16), **more)
        return live.predict([Row(live, noise(1, 16, 2, 8, 6, seed=1), torch.tensor(0.5), cond)])[0]


def test_a_model_of_first_and_last_frames_has_to_see_both(tmp_path: Path) -> None:
    net, _ = model(tmp_path, "wan first and last")

    with pytest.raises(ValueError, match="looks at the film's first and last picture"):
        ask(net, concat=noise(1, 17, 2, 8, 6), sizes={"clip_vision": noise(1, 5, 16)})


def test_fun_inpainting_tells_the_same_as_first_and_last_frames(tmp_path: Path, vae: Vae) -> None:
    net, _ = model(tmp_path, "wan i2v")
    start, end = Image(pictures(2)), Image(pictures(3, seed=4))
    seen = ClipVisionOutput(noise(1, 16), noise(1, 5, 16), noise(1, 5, 16))

    film = wan_fun_inpaint_to_video(TEXT, TEXT, vae, *SIZE, LENGTH, 1, seen, start, end)
    other = wan_first_last_frame_to_video(TEXT, TEXT, vae, *SIZE, LENGTH, 1, seen, None, start, end)

    concat = beside(net, film.positive, 3)
    assert torch.equal(concat, beside(net, other.positive, 3))
    assert concat[0, :4, :, 0, 0].T.tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0]]
    assert torch.equal(film.positive.entries[0].extras["clip_vision"], seen.penultimate_hidden_state)


@torch.inference_mode()
def test_a_film_from_pictures_can_be_made_from_a_text_alone(tmp_path: Path) -> None:
    net, module = model(tmp_path, "wan i2v")
    x, context = noise(1, 16, 3, 2, 4), TEXT.entries[0].context
    concat = beside(net, TEXT, 3)
    with loaded(net) as live:
        cond = RowCond(live.parametrisation, context, concat=concat)
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), cond)])

    velocity = module(torch.cat([x, torch.zeros(1, 20, 3, 2, 4)], dim=1), torch.tensor([500.0]), context).sample
    torch.testing.assert_close(out, x - 0.5 * velocity, atol=1e-5, rtol=1e-4)


# --- Fun control -----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_fun_control_takes_the_film_that_steers_before_the_one_that_begins(tmp_path: Path, vae: Vae) -> None:
    net, module = model(tmp_path, "wan fun control")
    seen = ClipVisionOutput(noise(1, 16), noise(1, 5, 16), noise(1, 5, 16))
    steering, start = pictures(LENGTH), pictures(1, seed=4)
    film = wan_fun_control_to_video(TEXT, TEXT, vae, *SIZE, LENGTH, 1, seen, Image(start), Image(steering))
    (cond,) = film.positive.entries
    x = noise(1, 16, 3, 2, 4, seed=6)
    with loaded(net) as live:
        concat = beside(net, film.positive, 3)
        asked = RowCond(live.parametrisation, cond.context, concat=concat, sizes=cond.extras)
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), asked)])
        whole, first = (
            live.latent_format.process_in(autoencoder().encode(signed(one)).latent_dist.mode())
            for one in (steering, start)
        )

    begun = torch.cat([first, torch.zeros(1, 16, 2, 2, 4)], dim=2)
    velocity = module(
        torch.cat([x, whole, begun], dim=1), torch.tensor([500.0]), cond.context,
        encoder_hidden_states_image=seen.penultimate_hidden_state,
    ).sample  # fmt: skip
    torch.testing.assert_close(out, x - 0.5 * velocity, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("looking", [False, True])
@torch.inference_mode()
def test_wan_22_s_fun_control_looks_at_a_picture_as_at_a_frame_before_the_film(
    tmp_path: Path, vae: Vae, looking: bool
) -> None:
    net, module = model(tmp_path, "wan 2.2 fun control")
    steering, photo = pictures(LENGTH), pictures(1, seed=4)
    film = wan22_fun_control_to_video(
        TEXT, TEXT, vae, *SIZE, LENGTH, 1, Image(photo) if looking else None, Image(steering)
    )
    (cond,) = film.positive.entries
    x = noise(1, 16, 3, 2, 4, seed=6)
    with loaded(net) as live:
        form = live.latent_format
        references = tuple(form.process_in(r) for r in cond.reference_latents)
        asked = RowCond(live.parametrisation, cond.context, concat=beside(net, film.positive, 3), references=references)
        (out,) = live.predict([Row(live, x, torch.tensor(0.5), asked)])

    whole, looked = (form.process_in(autoencoder().encode(signed(one)).latent_dist.mode()) for one in (steering, photo))
    given = torch.cat([x, whole, torch.zeros(1, 4, 3, 2, 4), torch.zeros(1, 16, 3, 2, 4)], dim=1)
    # by hand: the picture's tokens stand before the film's, at the place of a frame before its first
    tokens = module.patch_embedding(given).flatten(2).transpose(1, 2)
    picture = looked[:, :, 0] if looking else torch.zeros(1, 16, 2, 4)
    hidden = torch.cat([module.ref_conv(picture).flatten(2).transpose(1, 2), tokens], dim=1)
    places = module.rope(torch.zeros(1, 16, 4, 2, 4))
    temb, time, text, _ = module.condition_embedder(torch.tensor([500.0]), cond.context, None)
    for block in module.blocks:
        hidden = block(hidden, text, time.unflatten(1, (6, -1)), places)
    velocity = ending(module, hidden[:, 2:], temb, x.shape)
    torch.testing.assert_close(out, x - 0.5 * velocity, atol=1e-5, rtol=1e-4)
    assert not module.patch_embedding._forward_hooks


def test_a_film_that_steers_is_refused_by_models_without_a_place_for_it(tmp_path: Path, vae: Vae) -> None:
    film = wan_fun_control_to_video(TEXT, TEXT, vae, *SIZE, LENGTH, control_video=Image(pictures(3)))
    net, _ = model(tmp_path, "wan i2v")
    walk = k_sampler(net, seed=1, steps=1, positive=film.positive, negative=film.negative, latent_image=film.latent)

    with pytest.raises(ValueError, match="no place: load a Fun control model"):
        drive(walk)


def test_a_reference_of_another_size_is_told(tmp_path: Path) -> None:
    net, _ = model(tmp_path, "wan 2.2 fun control")

    with pytest.raises(ValueError, match="another size than the film"):
        ask(net, concat=noise(1, 17, 2, 8, 6), references=(noise(1, 16, 4, 4),))


# --- a small device --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wan vace", "wan fun control", "wan 2.2 fun control"])
def test_they_visit_a_small_device(tmp_path: Path, name: str) -> None:
    net, _ = model(tmp_path, name)
    channels = 192 if name == "wan vace" else 17
    concat, outs = noise(1, channels, 2, 8, 6, seed=2), []
    for limit in (1000, None):
        with Residency(device="cpu", dtype="float32", limit=limit).active():
            outs.append(ask(net, concat=concat, sizes={"vace": (1.0, 0.5)}))

    assert torch.equal(*outs)


def test_an_empty_film_has_the_size_that_is_asked_for(vae: Vae) -> None:
    assert wan_image_to_video(TEXT, TEXT, vae, *SIZE, 9, 2).latent.data.shape == (2, 16, 3, 2, 4)
    assert wan_first_last_frame_to_video(TEXT, TEXT, vae, *SIZE, 6, 2).latent.data.shape == (2, 16, 2, 2, 4)
    assert wan22_fun_control_to_video(TEXT, TEXT, vae, *SIZE, 5).latent.data.shape == (1, 16, 2, 2, 4)

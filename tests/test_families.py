"""Every family: its files are told by their headers, loaded offline, and its network is asked as diffusers asks it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.detect import MODELS, Entry, Header, detect
from graphflow.diffusion.conds import Canvas, resolve
from graphflow.diffusion.network import RowCond
from graphflow.families import FAMILIES
from graphflow.layouts import join
from graphflow.models import Residency, checkpoint, loaded
from graphflow.node import File, Row
from graphflow.values import Cond, Conditioning, Latent, Lora, Model, Weights
from graphflow_nodes.sampling import k_sampler
from tests.numerics import drive
from tests.tiny import TINY, Tiny, config_of, file, network, original_state, single_file, write_config


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def recipe(folder: Path, tiny: Tiny, module: nn.Module) -> Model:
    return Model(Weights((single_file(folder, tiny, module),), "model", tiny.family))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(live: Any, tiny: Tiny, sigma: float, count: int = 1, seed: int = 0) -> Row:
    own = tiny.latent[0]
    extra = {"": 0, "image": own, "inpaint": own + 1, "fill": own + 64, "frames": own + 1, "vace": 96}[live.concat]
    cond = RowCond(
        live.parametrisation,
        noise(count, 6, tiny.width, seed=seed + 1),
        noise(count, tiny.pooled, seed=seed + 2) if tiny.pooled else None,
        torch.ones(count, 6),
        concat=noise(count, extra, *tiny.latent[1:], seed=seed + 3) if extra else None,
        latent_size=(tiny.latent[-2], tiny.latent[-1]),
        sizes={"llama": noise(tiny.layers[0], count, 7, tiny.layers[1], seed=seed + 4)} if tiny.layers[0] else {},
    )
    return Row(live, noise(count, *tiny.latent, seed=seed), torch.tensor(sigma), cond)


@pytest.mark.parametrize("name", TINY)
def test_a_single_file_in_the_original_layout_is_told_by_its_header(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    for prefix in ("model.diffusion_model.", ""):
        found = detect(single_file(tmp_path, tiny, network(tiny), prefix).path)

        assert (found.kind, found.family) == ("model", tiny.family)
        assert "vae" in found.lacks


@pytest.mark.parametrize("name", TINY)
def test_rows_of_different_noise_share_a_call_and_do_not_disturb_each_other(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    high = 0.9 if FAMILIES[tiny.family].dtypes != ("float16", "bfloat16") else 9.0
    with loaded(recipe(tmp_path, tiny, network(tiny))) as live:
        rows = [row(live, tiny, high, 1, 10), row(live, tiny, 0.3, 2, 20)]
        together = live.predict(rows)
        alone = [live.predict([one])[0] for one in rows]

    assert live.batch_key(rows[0]) == live.batch_key(rows[1])
    for one, other, asked in zip(together, alone, rows, strict=True):
        assert one.shape == asked.x.shape
        assert one.dtype is torch.float32
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, atol=3e-4, rtol=1e-3)


@pytest.mark.parametrize("name", TINY)
def test_a_latent_of_odd_sides_keeps_its_size(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    odd = dataclasses.replace(tiny, latent=(*tiny.latent[:-2], 7, 5))
    with loaded(recipe(tmp_path, tiny, network(tiny))) as live:
        (out,) = live.predict([row(live, odd, 0.5)])

    assert out.shape[1:] == odd.latent


# --- asked as diffusers' pipelines ask -------------------------------------------------------------------------------

Ask = Callable[[Any, Tensor, Tensor, RowCond], Tensor]
"""(network, x, sigma (B,), conditioning) -> velocity, as the family's pipeline in diffusers calls its network."""


def _flux(module: Any, x: Tensor, sigma: Tensor, cond: RowCond) -> Tensor:
    from diffusers import FluxPipeline

    height, width = x.shape[-2:]
    packed = FluxPipeline._pack_latents(x, *x.shape)
    if cond.concat is not None:
        mask, image = cond.concat[:, :-16], cond.concat[:, -16:]
        beside = [FluxPipeline._pack_latents(part, *part.shape) for part in (image, mask) if part.shape[1]]
        packed = torch.cat([packed, *beside], dim=-1)
    guidance = torch.full_like(sigma, 3.5) if getattr(module.config, "guidance_embeds", False) else None
    extra = (
        {}
        if module.__class__.__name__.startswith("Chroma")
        else {"pooled_projections": cond.pooled, "guidance": guidance}
    )
    out = module(
        packed,
        encoder_hidden_states=cond.context,
        timestep=sigma,
        img_ids=FluxPipeline._prepare_latent_image_ids(1, height // 2, width // 2, "cpu", x.dtype),
        txt_ids=torch.zeros(cond.context.shape[1], 3),
        **extra,
    ).sample
    return FluxPipeline._unpack_latents(out, height * 8, width * 8, 8)


def _flux2(module: Any, x: Tensor, sigma: Tensor, cond: RowCond) -> Tensor:
    from diffusers import Flux2Pipeline

    ids = Flux2Pipeline._prepare_latent_ids(x)
    out = module(
        Flux2Pipeline._pack_latents(x),
        encoder_hidden_states=cond.context,
        timestep=sigma,
        img_ids=ids,
        txt_ids=Flux2Pipeline._prepare_text_ids(cond.context),
        guidance=torch.full_like(sigma, 4.0),
    ).sample
    return torch.as_tensor(Flux2Pipeline._unpack_latents_with_ids(out, ids))


def _qwen(module: Any, x: Tensor, sigma: Tensor, cond: RowCond) -> Tensor:
    from diffusers import QwenImagePipeline

    height, width = x.shape[-2:]
    flat = x[:, :, 0]
    out = module(
        QwenImagePipeline._pack_latents(flat, *flat.shape),
        encoder_hidden_states=cond.context,
        encoder_hidden_states_mask=torch.ones(cond.context.shape[:2]).bool(),
        timestep=sigma,
        img_shapes=[[(1, height // 2, width // 2)]] * len(x),
    ).sample
    return torch.as_tensor(QwenImagePipeline._unpack_latents(out, height * 8, width * 8, 8))


def _z_image(module: Any, x: Tensor, sigma: Tensor, cond: RowCond) -> Tensor:
    out = module(list(x[:, :, None]), 1 - sigma, list(cond.context), return_dict=False)[0]
    return -torch.stack(list(out))[:, :, 0]


def _wan(module: Any, x: Tensor, sigma: Tensor, cond: RowCond) -> Tensor:
    return module(x, timestep=sigma * 1000, encoder_hidden_states=cond.context).sample  # type: ignore[no-any-return]


def _hidream(module: Any, x: Tensor, sigma: Tensor, cond: RowCond) -> Tensor:
    return -module(  # type: ignore[no-any-return]
        x,
        timesteps=sigma * 1000,
        encoder_hidden_states_t5=cond.context,
        encoder_hidden_states_llama3=cond.sizes["llama"],
        pooled_embeds=cond.pooled,
    ).sample


ASK: dict[str, Ask] = {
    "sd3": lambda m, x, s, c: m(x, c.context, c.pooled, s * 1000).sample,
    "sd35": lambda m, x, s, c: m(x, c.context, c.pooled, s * 1000).sample,
    "flux": _flux,
    "flux schnell": _flux,
    "flux control": _flux,
    "flux fill": _flux,
    "flux2": _flux2,
    "chroma": _flux,
    "qwen_image": _qwen,
    "z_image": _z_image,
    "auraflow": lambda m, x, s, c: m(x, encoder_hidden_states=c.context, timestep=s).sample,
    "lumina2": lambda m, x, s, c: -m(x, 1 - s, c.context, torch.ones(c.context.shape[:2]).bool()).sample,
    "sana": lambda m, x, s, c: m(x, c.context, s * 1000, encoder_attention_mask=torch.ones(c.context.shape[:2])).sample,
    "wan": _wan,
    "hidream": _hidream,
}


@pytest.mark.parametrize("name", ASK)
@torch.inference_mode()
def test_a_flow_network_is_asked_as_its_pipeline_does(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    module = network(tiny)
    with loaded(recipe(tmp_path, tiny, module)) as live:
        asked = row(live, tiny, 0.7, 2)
        (out,) = live.predict([asked])
    velocity = ASK[name](module, asked.x, torch.full((2,), 0.7), asked.cond)

    torch.testing.assert_close(out, asked.x - 0.7 * velocity, atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_sdxl_is_told_sizes_and_pooled_text_in_the_order_of_its_pipeline(tmp_path: Path) -> None:
    tiny = TINY["sdxl"]
    module = network(tiny)
    with loaded(recipe(tmp_path, tiny, module)) as live:
        asked = row(live, tiny, 2.0, 2)
        p = live.parametrisation
        sizes = {"width": 96, "height": 64, "crop_w": 3, "crop_h": 2, "target_width": 48, "target_height": 32}
        cond = RowCond(p, asked.cond.context, asked.cond.pooled, sizes=sizes, latent_size=(8, 8))
        (out,) = live.predict([Row(live, asked.x, asked.sigma, cond)])
        (plain,) = live.predict([asked])
    sigma = asked.sigma
    added = {"text_embeds": cond.pooled, "time_ids": torch.tensor([[64.0, 96, 2, 3, 32, 48]] * 2)}
    epsilon = module(asked.x / (sigma**2 + 1) ** 0.5, p.timestep(sigma), cond.context, added_cond_kwargs=added).sample
    added["time_ids"] = torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2)
    default = module(asked.x / (sigma**2 + 1) ** 0.5, p.timestep(sigma), cond.context, added_cond_kwargs=added).sample

    torch.testing.assert_close(out, asked.x - sigma * epsilon, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(plain, asked.x - sigma * default, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["sd15 inpaint", "sd2 inpaint", "sdxl inpaint"])
@torch.inference_mode()
def test_an_inpainting_u_net_is_given_mask_and_picture_in_the_order_of_its_pipeline(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    module: Any = network(tiny)
    with loaded(recipe(tmp_path, tiny, module)) as live:
        asked = row(live, tiny, 2.0)
        (out,) = live.predict([asked])
        p = live.parametrisation
    assert live.concat == "inpaint"
    assert asked.cond.concat is not None
    mask, picture = asked.cond.concat[:, :1], asked.cond.concat[:, 1:]
    added = {"text_embeds": asked.cond.pooled, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
    raw = module(
        torch.cat([p.scale_in(asked.x, asked.sigma), mask, picture], dim=1), p.timestep(asked.sigma), asked.cond.context,
        added_cond_kwargs=added,
    ).sample  # fmt: skip
    torch.testing.assert_close(out, p.to_denoised(asked.x, asked.sigma, raw), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_refiner_is_told_a_score_in_place_of_the_target_size(tmp_path: Path) -> None:
    tiny = TINY["sdxl_refiner"]
    module = network(tiny)
    with loaded(recipe(tmp_path, tiny, module)) as live:
        asked = row(live, tiny, 2.0)
        p = live.parametrisation

        def ask(**more: Any) -> Tensor:
            cond = RowCond(p, asked.cond.context, asked.cond.pooled, latent_size=(8, 8), **more)
            return live.predict([Row(live, asked.x, asked.sigma, cond)])[0]

        outs = [ask(), ask(uncond=True), ask(sizes={"aesthetic_score": 7.5, "width": 96, "crop_h": 3})]
    sigma = asked.sigma
    for out, ids in zip(outs, ([64, 64, 0, 0, 6.0], [64, 64, 0, 0, 2.5], [64, 96, 3, 0, 7.5]), strict=True):
        added = {"text_embeds": asked.cond.pooled, "time_ids": torch.tensor([ids], dtype=torch.float32)}
        epsilon = module(
            asked.x / (sigma**2 + 1) ** 0.5, p.timestep(sigma), asked.cond.context, added_cond_kwargs=added
        ).sample
        torch.testing.assert_close(out, asked.x - sigma * epsilon, atol=1e-4, rtol=1e-4)


def test_fill_sees_every_pixel_of_the_mask_as_its_pipeline_lays_it_out(tmp_path: Path) -> None:
    tiny = TINY["flux fill"]
    pixels, picture = noise(1, 1, 64, 48, seed=7).sigmoid(), noise(1, 16, 8, 6, seed=8)
    text = Cond(noise(1, 6, tiny.width), noise(1, tiny.pooled), concat_latent=picture, concat_mask=pixels)
    with loaded(recipe(tmp_path, tiny, network(tiny))) as live:
        canvas = Canvas(live, live.parametrisation, torch.zeros(1, *tiny.latent), None, {}, {})
        regions = {
            name: resolve({"positive": Conditioning((one,))}, canvas)["positive"][0].concat
            for name, one in (("given", text), ("bare", Cond(text.context, text.pooled)))
        }
        image = live.latent_format.process_in(picture)

    blocks = pixels.round()[:, 0].view(1, 8, 8, 6, 8).permute(0, 2, 4, 1, 3).reshape(1, 64, 8, 6)
    assert regions["given"] is not None
    assert torch.equal(regions["given"], torch.cat([blocks, image], dim=1))
    assert regions["bare"] is not None
    assert torch.equal(regions["bare"], torch.cat([torch.ones(1, 64, 8, 6), torch.zeros(1, 16, 8, 6)], dim=1))


def test_kontext_sees_reference_pictures_beside_the_latent(tmp_path: Path) -> None:
    tiny = TINY["flux"]
    with loaded(recipe(tmp_path, tiny, network(tiny))) as live:
        plain = row(live, tiny, 0.5)
        cond = RowCond(live.parametrisation, plain.cond.context, plain.cond.pooled, references=(noise(1, 16, 4, 4),))
        (with_reference,) = live.predict([Row(live, plain.x, plain.sigma, cond)])
        (without,) = live.predict([plain])

    assert with_reference.shape == without.shape
    assert (with_reference - without).abs().max() > 1e-3


# --- through the sampler ---------------------------------------------------------------------------------------------

FAMILIES_RUN = {name: tiny for name, tiny in TINY.items() if name == tiny.family}


@pytest.mark.parametrize("name", FAMILIES_RUN)
def test_every_family_paints_from_noise_from_a_picture_and_inside_a_mask(name: str, tmp_path: Path) -> None:
    tiny = TINY[name]
    model = recipe(tmp_path, tiny, network(tiny))
    extras = {"llama": noise(tiny.layers[0], 1, 7, tiny.layers[1])} if tiny.layers[0] else {}
    text = Conditioning((Cond(noise(1, 6, tiny.width), noise(1, tiny.pooled) if tiny.pooled else None, extras=extras),))
    picture = noise(1, *tiny.latent, seed=3)
    mask = torch.zeros(1, 1, *tiny.latent[-2:])
    mask[..., : tiny.latent[-1] // 2] = 1

    def paint(latent: Latent, denoise: float) -> Tensor:
        walk = k_sampler(
            model, seed=1, steps=3, cfg=2.0, positive=text, negative=text, latent_image=latent, denoise=denoise
        )
        return drive(walk).result.data

    new = paint(Latent(torch.zeros_like(picture)), 1.0)
    near = paint(Latent(picture), 0.3)
    partly = paint(Latent(picture, noise_mask=mask), 1.0)

    assert new.shape == near.shape == partly.shape == picture.shape
    assert all(out.isfinite().all() for out in (new, near, partly))
    half = tiny.latent[-1] // 2
    torch.testing.assert_close(partly[..., half:], picture[..., half:], atol=1e-4, rtol=1e-4)
    assert (partly[..., :half] - picture[..., :half]).abs().mean() > 1e-3
    assert 0 < (near - picture).abs().mean() < (new - picture).abs().mean()


# --- layouts against diffusers' own converters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "converter"),
    [
        ("sd3", "convert_sd3_transformer_checkpoint_to_diffusers"),
        ("sd35", "convert_sd3_transformer_checkpoint_to_diffusers"),
        ("flux2", "convert_flux2_transformer_checkpoint_to_diffusers"),
        ("z_image", "convert_z_image_transformer_checkpoint_to_diffusers"),
        ("auraflow", "convert_auraflow_transformer_checkpoint_to_diffusers"),
        ("sana", "convert_sana_transformer_to_diffusers"),
        ("wan", "convert_wan_transformer_to_diffusers"),
        ("wan i2v", "convert_wan_transformer_to_diffusers"),
        ("wan vace", "convert_wan_transformer_to_diffusers"),
    ],
)
def test_files_are_read_as_diffusers_reads_them(name: str, converter: str) -> None:
    from diffusers.loaders import single_file_utils

    module = network(TINY[name])
    state = module.state_dict()
    theirs = {e.theirs: join(e, state).clone() for e in FAMILIES[TINY[name].family].layout(state)}
    if name == "sana":
        theirs |= {"pos_embed": torch.zeros(1), "y_embedder.y_embedding": torch.zeros(1)}

    converted = getattr(single_file_utils, converter)(theirs)

    missing = {key for key in state if key not in converted}
    assert missing == set()
    for key, tensor in state.items():
        assert torch.equal(converted[key], tensor), key


@pytest.mark.parametrize(
    ("family", "cls", "converter", "config"),
    [
        (
            "flux",
            "FluxTransformer2DModel",
            "convert_flux_transformer_checkpoint_to_diffusers",
            {"guidance_embeds": True},
        ),
        ("chroma", "ChromaTransformer2DModel", "convert_chroma_transformer_checkpoint_to_diffusers", {}),
        ("lumina2", "Lumina2Transformer2DModel", "convert_lumina2_to_diffusers", {}),
    ],
)
def test_real_sizes_are_cut_as_diffusers_cuts_them(
    family: str, cls: str, converter: str, config: dict[str, Any]
) -> None:
    import diffusers
    from diffusers.loaders import single_file_utils

    layers = {"num_layers": 1} | ({} if family == "lumina2" else {"num_single_layers": 1})
    with torch.device("meta"):
        state = getattr(diffusers, cls)(**layers, **config).state_dict()
    theirs = {e.theirs: join(e, state) for e in FAMILIES[family].layout(state)}

    converted = getattr(single_file_utils, converter)(theirs)

    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in state.items() if k in converted}
    assert set(state) - set(converted) <= {"distilled_guidance_layer.mod_proj", "time_text_embed.mod_proj"}


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
def test_u_nets_are_read_as_diffusers_reads_them(name: str) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    tiny = TINY[name]
    module = network(tiny)
    theirs = original_state(module, FAMILIES[name].layout, "model.diffusion_model.")

    converted = convert_ldm_unet_checkpoint(theirs, config_of(tiny.config))

    state = module.state_dict()
    assert set(converted) == set(state)
    assert all(torch.equal(converted[key], tensor) for key, tensor in state.items())


# --- configs from shapes alone ---------------------------------------------------------------------------------------

REAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sd3": ("sd3", "SD3Transformer2DModel", {"num_layers": 2, "pos_embed_max_size": 192, "num_attention_heads": 24,
                                             "caption_projection_dim": 1536}),
    "sd35": ("sd3", "SD3Transformer2DModel", {"num_layers": 2, "qk_norm": "rms_norm", "dual_attention_layers": (0,)}),
    "flux": ("flux", "FluxTransformer2DModel", {"num_layers": 1, "num_single_layers": 2, "guidance_embeds": True}),
    "flux fill": ("flux", "FluxTransformer2DModel", {"num_layers": 1, "num_single_layers": 1, "in_channels": 384,
                                                     "out_channels": 64}),
    "flux2": ("flux2", "Flux2Transformer2DModel", {"num_layers": 1, "num_single_layers": 1}),
    "chroma": ("chroma", "ChromaTransformer2DModel", {"num_layers": 1, "num_single_layers": 1}),
    "qwen_image": ("qwen_image", "QwenImageTransformer2DModel", {"num_layers": 1}),
    "z_image": ("z_image", "ZImageTransformer2DModel", {"n_layers": 1, "n_refiner_layers": 1}),
    "auraflow": ("auraflow", "AuraFlowTransformer2DModel", {"num_mmdit_layers": 1, "num_single_dit_layers": 1}),
    "lumina2": ("lumina2", "Lumina2Transformer2DModel", {"num_layers": 1, "num_refiner_layers": 1, "cap_feat_dim": 2304,
                                                        "axes_dim_rope": (32, 32, 32)}),
    "sana": ("sana", "SanaTransformer2DModel", {"num_layers": 1}),
    "small sana": ("sana", "SanaTransformer2DModel", {
        "num_layers": 1, "num_attention_heads": 36, "num_cross_attention_heads": 16, "cross_attention_head_dim": 72,
        "cross_attention_dim": 1152}),
    "wan": ("wan", "WanTransformer3DModel", {"num_layers": 1}),
    "wan i2v": ("wan", "WanTransformer3DModel", {"num_layers": 1, "in_channels": 36, "image_dim": 1280,
                                                 "added_kv_proj_dim": 5120}),
    "wan first and last": ("wan", "WanTransformer3DModel", {
        "num_layers": 1, "in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120, "pos_embed_seq_len": 514}),
    "wan vace": ("wan", "WanVACETransformer3DModel", {"num_layers": 10, "vace_layers": [0, 5]}),
    "small wan vace": ("wan", "WanVACETransformer3DModel", {
        "num_layers": 6, "vace_layers": [0, 2, 4], "num_attention_heads": 12, "ffn_dim": 8960}),
    "hidream": ("hidream", "HiDreamImageTransformer2DModel", {
        "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 1, "num_single_layers": 1,
        "caption_channels": [4096, 4096], "llama_layers": [0, 1], "axes_dims_rope": [64, 32, 32],
        "max_resolution": [128, 128]}),
}  # fmt: skip


def as_header(state: Mapping[str, Tensor], path: Path = Path("real.safetensors")) -> Header:
    return Header(path, "safetensors", {k: Entry("F16", tuple(v.shape), 2 * v.numel()) for k, v in state.items()})


@pytest.mark.parametrize("name", REAL)
def test_a_config_follows_from_the_shapes_of_a_real_file(name: str) -> None:
    import diffusers

    family, cls, options = REAL[name]
    with torch.device("meta"):
        module = getattr(diffusers, cls)(**options)
    state = module.state_dict()
    original = {e.theirs: join(e, state) for e in FAMILIES[family].layout(state)}

    config = FAMILIES[family].config(as_header(original))
    with torch.device("meta"):
        again = FAMILIES[family].build(config)

    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in state.items()}
    heads = [k for k in config if "head" in k or "axes_dim" in k or k == "vace_layers"]
    assert {k: _plain(config[k]) for k in heads} == {k: _plain(module.config[k]) for k in heads}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


UNETS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd15": ("sd15", {"attention_head_dim": 8, "cross_attention_dim": 768}),
    "sd2": ("sd2", {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True}),
    "sdxl": ("sdxl", {
        "block_out_channels": [320, 640, 1280], "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816, "use_linear_projection": True}),
    "sdxl_refiner": ("sdxl_refiner", {
        "block_out_channels": [384, 768, 1536, 1536], "attention_head_dim": [6, 12, 24, 24], "cross_attention_dim": 1280,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": 4, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560, "use_linear_projection": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNETS)
def test_a_u_net_s_config_follows_from_the_shapes_of_a_real_file(name: str) -> None:
    from diffusers import UNet2DConditionModel

    family, options = UNETS[name]
    with torch.device("meta"):
        module = UNet2DConditionModel(**options)
    state = module.state_dict()
    original = {f"model.diffusion_model.{e.theirs}": join(e, state) for e in FAMILIES[family].layout(state)}
    header = as_header(original)

    config = FAMILIES[family].config(header.under("model.diffusion_model."))
    with torch.device("meta"):
        again = FAMILIES[family].build(config)

    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in state.items()}
    heads = options["attention_head_dim"]
    assert config["attention_head_dim"] == heads
    assert next(s.family for s in MODELS if s.matches(header, "model.diffusion_model.")) == family


# --- every family's folders, LoRAs and fp8 ---------------------------------------------------------------------------

NEEDS_ONE = {name: tiny for name, tiny in TINY.items() if name == tiny.family}


def predict(model: Model, tiny: Tiny) -> Tensor:
    with loaded(model) as live:
        (out,) = live.predict([row(live, tiny, 0.5)])
    return out


@pytest.mark.parametrize("name", NEEDS_ONE)
def test_a_diffusers_folder_gives_what_the_single_file_gives(name: str, tmp_path: Path) -> None:
    tiny = NEEDS_ONE[name]
    module: Any = network(tiny)
    folder = tmp_path / "folder"
    module.save_pretrained(folder / tiny.folder, variant="fp16")
    index = {"_class_name": "SomePipeline", tiny.folder: ["diffusers", type(module).__name__]}
    (folder / "model_index.json").write_text(json.dumps(index))
    whole = checkpoint(File("folder", folder, "folder")).model

    assert whole.weights.family == tiny.family
    assert torch.equal(predict(whole, tiny), predict(recipe(tmp_path, tiny, module), tiny))


@pytest.mark.parametrize("name", NEEDS_ONE)
def test_a_lora_by_the_original_s_names_changes_what_one_by_ours_does(name: str, tmp_path: Path) -> None:
    tiny = NEEDS_ONE[name]
    module = network(tiny)
    model = recipe(tmp_path, tiny, module)
    shapes = {key: tuple(value.shape) for key, value in module.named_parameters()}
    entries = [e for e in FAMILIES[tiny.family].layout(shapes) if e.theirs.endswith(".weight") and not e.transform]
    fused = [e for e in entries if len(e.ours) > 1 and len(shapes[e.ours[0]]) == 2]
    entry = (fused or [e for e in entries if len(shapes[e.ours[0]]) == 2 and "block" in e.ours[0]])[0]
    rows, columns = sum(shapes[o][0] for o in entry.ours), shapes[entry.ours[0]][1]
    up, down = noise(rows, 2, seed=4), noise(2, columns, seed=5)
    theirs = {f"lora_unet_{entry.theirs.removesuffix('.weight').replace('.', '_')}.lora_up.weight": up,
              f"lora_unet_{entry.theirs.removesuffix('.weight').replace('.', '_')}.lora_down.weight": down}  # fmt: skip
    parts = torch.split(up, [shapes[o][0] for o in entry.ours])
    ours = {f"transformer.{o.removesuffix('.weight')}.lora_B.weight": part.contiguous()
            for o, part in zip(entry.ours, parts, strict=True)}  # fmt: skip
    ours |= {f"transformer.{o.removesuffix('.weight')}.lora_A.weight": down.clone() for o in entry.ours}
    for path, state in ((tmp_path / "theirs.safetensors", theirs), (tmp_path / "ours.safetensors", ours)):
        save_file(state, path)

    plain, one, other = (
        predict(model.patched(*patches), tiny)
        for patches in ((), (Lora(file(tmp_path / "theirs.safetensors"), 1.0),), (Lora(file(tmp_path / "ours.safetensors"), 1.0),))
    )  # fmt: skip

    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert (one - plain).abs().max() > 1e-4


@pytest.mark.parametrize("name", NEEDS_ONE)
def test_weights_can_be_kept_in_eight_bits(name: str, tmp_path: Path) -> None:
    tiny = NEEDS_ONE[name]
    model = recipe(tmp_path, tiny, network(tiny))
    eight = Model(Weights(model.weights.files, "model", tiny.family, "fp8_e4m3fn"))

    exact, near = predict(model, tiny), predict(eight, tiny)

    assert near.isfinite().all()
    assert 0 < (exact - near).abs().mean() < 0.5 * exact.abs().mean()


@pytest.mark.parametrize("name", NEEDS_ONE)
def test_a_gguf_file_is_read(name: str, tmp_path: Path) -> None:
    import gguf

    tiny = NEEDS_ONE[name]
    module = network(tiny)
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(str(path), tiny.family)
    for key, tensor in original_state(module, FAMILIES[tiny.family].layout).items():
        if tensor.ndim > 4:  # GGUF has four axes at most: the shape goes beside
            writer.add_array(f"comfy.gguf.orig_shape.{key}", list(tensor.shape))
            tensor = tensor.flatten(0, tensor.ndim - 4)
        writer.add_tensor(key, tensor.numpy().astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_config(path, tiny.folder, config_of(tiny.config))
    assert detect(path).family == tiny.family

    small = Model(Weights((file(path),), "model", tiny.family))

    torch.testing.assert_close(predict(small, tiny), predict(recipe(tmp_path, tiny, module), tiny))

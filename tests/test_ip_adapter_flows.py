"""IP-Adapters of Flux and Stable Diffusion 3 show a network their pictures as their authors' code does, a job at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models import embeddings
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.detect import detect
from graphflow.diffusion.image_prompts import PicturePrompt
from graphflow.diffusion.network import RowCond, RowImage
from graphflow.models import Residency, loaded
from graphflow.node import File, Row
from graphflow.values import ClipVisionOutput, Image, Mask, Model, Weights
from graphflow_nodes.ip_adapter import ip_adapter_advanced, ip_adapter_model_loader
from graphflow_nodes.vision import clip_vision_loader
from tests.test_vision import write as write_encoder
from tests.tiny import TINY, file, network, single_file


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def r(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(module: nn.Module) -> dict[str, Tensor]:
    """Its weights, all of them random, which are not the module's own."""
    return {name: r(*t.shape, seed=n) * 0.3 for n, (name, t) in enumerate(module.state_dict().items())}


# --- adapters as they are published ----------------------------------------------------------------------------------

WIDTH, INNER, TOKENS = 32, 32, 4
"""Of the text and of the network, and how many tokens an adapter makes."""


def xlabs(folder: Path, module: Any) -> tuple[Any, File]:
    """XLabs' names, and a network of diffusers' with the adapter in it."""
    projection = {"proj.weight": r(TOKENS * WIDTH, 12, seed=1), "proj.bias": r(TOKENS * WIDTH, seed=2),
                  "norm.weight": r(WIDTH, seed=3), "norm.bias": r(WIDTH, seed=4)}  # fmt: skip
    layers: dict[str, Tensor] = {}
    for number in range(len(module.transformer_blocks)):
        for x in "kv":
            layers[f"{number}.to_{x}_ip.weight"] = r(INNER, WIDTH, seed=10 + number + ord(x)) * 0.3
            layers[f"{number}.to_{x}_ip.bias"] = r(INNER, seed=50 + number + ord(x)) * 0.3
    names = {f"ip_adapter_proj_model.{name}": tensor for name, tensor in projection.items()}
    for name, tensor in layers.items():
        number, x, end = name[0], name[5], name.rsplit(".", 1)[1]
        names[f"double_blocks.{number}.processor.ip_adapter_double_stream_{x}_proj.{end}"] = tensor
    save_file(names, folder / "xlabs.safetensors")
    module._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": layers}])
    for processor in module.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.7]
    return module, file(folder / "xlabs.safetensors")


class InstantX(nn.Module):
    """Attention as InstantX published it: pictures are asked with the queries before they are turned."""

    def __init__(self, to_k: Tensor, to_v: Tensor) -> None:
        super().__init__()
        self.to_k, self.to_v, self.tokens = to_k, to_v, torch.zeros(0)

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, mask: Any = None,
        rotary: Any = None,
    ) -> Any:  # fmt: skip
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)))
        key, value = ((self.tokens @ w.T).unflatten(-1, (attn.heads, -1)) for w in (self.to_k, self.to_v))
        key = key / (key.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        share = torch.einsum("nshc,nthc->nhst", query, key).mul(query.shape[-1] ** -0.5).softmax(-1)
        seen = 0.7 * torch.einsum("nhst,nthc->nshc", share, value).flatten(2)
        if encoder_hidden_states is None:
            return FluxAttnProcessor()(attn, hidden_states, None, mask, rotary) + seen
        output, attn.to_out[0] = attn.to_out[0], nn.Identity()
        try:
            picture, text = FluxAttnProcessor()(attn, hidden_states, encoder_hidden_states, mask, rotary)
        finally:
            attn.to_out[0] = output
        return output(picture + seen), text


def instantx(folder: Path, module: Any) -> tuple[Any, File]:
    """InstantX' names for Flux."""
    projection = embeddings.IPAdapterFaceIDImageProjection(16, WIDTH, 2, TOKENS)
    projection.load_state_dict(seeded(projection))
    state = {f"image_proj.{k.replace('ff.net.0.proj', 'proj.0').replace('ff.net.2', 'proj.2')}": t
             for k, t in projection.state_dict().items()}  # fmt: skip
    processors = {}
    for number, name in enumerate(module.attn_processors):
        matrices = [r(INNER, WIDTH, seed=100 + 2 * number + n) * 0.3 for n in (0, 1)]
        state |= {f"ip_adapter.{number}.to_{x}_ip.weight": m for x, m in zip("kv", matrices, strict=True)}
        processors[name] = InstantX(*matrices)
    save_file({k: t.contiguous().clone() for k, t in state.items()}, folder / "instantx.safetensors")
    module.set_attn_processor(processors)
    module.projection = projection
    return module, file(folder / "instantx.safetensors")


TIMED = ((".ln0", ".0.norm1"), (".ln1", ".0.norm2"), (".attn.to_out.0", ".0.to_out"), (".attn.to", ".0.to"),
         (".adaln_norm", ".1.0"), (".ff.net.0.proj", ".1.1"), (".ff.net.2", ".1.3"), (".adaln_proj", ".2.1"))  # fmt: skip
"""diffusers' names in the resampler that is told the time, and its authors'."""


def sd3(folder: Path, module: Any, *, original: bool = True) -> tuple[Any, File]:
    """InstantX' names for Stable Diffusion 3.5, or those of diffusers."""
    inner, head = module.inner_dim, module.config.attention_head_dim
    projection = seeded(
        embeddings.IPAdapterTimeImageProjection(16, inner, 48, heads=1, num_queries=5, timestep_in_dim=20)
    )
    if original:
        for ours, theirs in TIMED:
            projection = {k.replace(ours, theirs) if k.startswith("layers.") else k: t for k, t in projection.items()}
    layers: dict[str, Tensor] = {}
    for number in range(len(module.attn_processors)):
        made = seeded(SD3IPAdapterJointAttnProcessor2_0(inner, inner, head, 48))
        layers |= {f"{number}.{k}": t + number / 10 for k, t in made.items()}
    state = {
        **{f"image_proj.{k}": t for k, t in projection.items()},
        **{f"ip_adapter.{k}": t for k, t in layers.items()},
    }
    save_file({k: t.contiguous().clone() for k, t in state.items()}, folder / "sd3.safetensors")
    module._load_ip_adapter_weights({"image_proj": projection, "ip_adapter": layers}, low_cpu_mem_usage=False)
    for processor in module.attn_processors.values():
        processor.scale = 0.7
    return module, file(folder / "sd3.safetensors")


# --- asked as diffusers' pipelines ask -------------------------------------------------------------------------------


def _flux(module: Any, x: Tensor, cond: RowCond, extra: dict[str, Any]) -> Tensor:
    from diffusers import FluxPipeline

    height, width = x.shape[-2:]
    out = module(
        FluxPipeline._pack_latents(x, *x.shape), encoder_hidden_states=cond.context, pooled_projections=cond.pooled,
        timestep=torch.full((len(x),), 0.7), guidance=torch.full((len(x),), 3.5), txt_ids=torch.zeros(6, 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(1, height // 2, width // 2, "cpu", x.dtype),
        joint_attention_kwargs=extra,
    ).sample  # fmt: skip
    return FluxPipeline._unpack_latents(out, height * 8, width * 8, 8)


def ask_xlabs(module: Any, x: Tensor, cond: RowCond, seen: ClipVisionOutput) -> Tensor:
    return _flux(module, x, cond, {"ip_adapter_image_embeds": [seen.image_embeds[:, None].expand(len(x), -1, -1)]})


def ask_instantx(module: Any, x: Tensor, cond: RowCond, seen: ClipVisionOutput) -> Tensor:
    for processor in module.attn_processors.values():
        processor.tokens = module.projection(seen.image_embeds).expand(len(x), -1, -1)
    return _flux(module, x, cond, {})


def ask_sd3(module: Any, x: Tensor, cond: RowCond, seen: ClipVisionOutput) -> Tensor:
    embeds = {"ip_adapter_image_embeds": seen.penultimate_hidden_state.expand(len(x), -1, -1)}
    times = torch.full((len(x),), 700.0)
    return module(x, cond.context, cond.pooled, times, joint_attention_kwargs=embeds).sample  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Case:
    """A published kind of adapter."""

    tiny: str
    encoder: str
    write: Callable[[Path, Any], tuple[Any, File]]
    ask: Callable[[Any, Tensor, RowCond, ClipVisionOutput], Tensor]


CASES = {
    "XLabs for Flux": Case("flux", "clip", xlabs, ask_xlabs),
    "InstantX for Flux": Case("flux", "siglip", instantx, ask_instantx),
    "InstantX for SD 3": Case("sd3", "siglip", sd3, ask_sd3),
    "InstantX for SD 3.5 medium": Case("sd35", "siglip", sd3, ask_sd3),
    "InstantX for SD 3 in diffusers' names": Case("sd3", "siglip", lambda f, m: sd3(f, m, original=False), ask_sd3),
}
FAMILIES_SHOWN = {TINY[case.tiny].family for case in CASES.values()}


def model_of(folder: Path, name: str) -> Model:
    tiny = TINY[name]
    return Model(Weights((single_file(folder, tiny, network(tiny)),), "model", tiny.family))


def ask(model: Model, name: str, sides: tuple[bool, ...] = (False,)) -> list[Tensor]:
    """D(x; sigma) of rows of two samples, with what the model's patches show each side."""
    tiny = TINY[name]
    with loaded(model) as live:
        p, rows = live.parametrisation, []
        for uncond in sides:
            images = [
                RowImage(i.adapter, i.tokens.expand(2, -1, -1), i.weight, i.layers, i.keys, i.mask)
                for patch in model.patches
                if isinstance(patch, PicturePrompt)
                for i in patch.images(0.7, p, uncond=uncond)
            ]
            cond = RowCond(
                p, r(2, 6, tiny.width, seed=1), r(2, tiny.pooled, seed=2), latent_size=(8, 6), images=tuple(images)
            )
            rows.append(Row(live, r(2, *tiny.latent, seed=3), torch.tensor(0.7), cond))
        return live.predict(rows)


@pytest.mark.parametrize("kind", CASES)
@torch.inference_mode()
def test_pictures_are_seen_as_the_authors_code_sees_them(tmp_path: Path, kind: str) -> None:
    case = CASES[kind]
    reference, written = case.write(tmp_path, network(TINY[case.tiny]))
    model, picture = model_of(tmp_path, case.tiny), torch.rand(1, 40, 56, 3)
    encoder = clip_vision_loader(write_encoder(tmp_path, case.encoder)[1])

    patched = ip_adapter_advanced(model, ip_adapter_model_loader(written), Image(picture), 0.7, clip_vision=encoder)
    before, ours, after = ask(model, case.tiny)[0], ask(patched, case.tiny, (False, True)), ask(model, case.tiny)[0]

    assert (detect(written.path).kind, detect(written.path).family) == ("ip_adapter", TINY[case.tiny].family)
    assert torch.equal(before, after)
    cond = RowCond(None, r(2, 6, TINY[case.tiny].width, seed=1), r(2, TINY[case.tiny].pooled, seed=2))  # type: ignore[arg-type]
    x = r(2, *TINY[case.tiny].latent, seed=3)
    with loaded(encoder) as see:
        crop: Any = "none" if case.encoder == "siglip" else "center"  # as the processors of the two prepare pictures
        shown, black = see.encode(picture, crop), see.encode(torch.zeros(1, 8, 8, 3))
    if TINY[case.tiny].family == "sd3":  # its pipeline shows the unguided side zeros, that of Flux a black picture
        black = ClipVisionOutput(*(torch.zeros_like(t) for t in (black.image_embeds, black.last_hidden_state,
                                                                 black.penultimate_hidden_state)))  # fmt: skip
    for out, seen in zip(ours, (shown, black), strict=True):
        torch.testing.assert_close(out, x - 0.7 * case.ask(reference, x, cond, seen), atol=3e-5, rtol=1e-4)
    assert (ours[0] - before).abs().max() > 1e-3


@pytest.mark.parametrize("kind", list(CASES)[:3])
def test_weights_and_masks_say_how_much_of_a_picture_comes_through(tmp_path: Path, kind: str) -> None:
    case = CASES[kind]
    _, written = case.write(tmp_path, network(TINY[case.tiny]))
    model, picture = model_of(tmp_path, case.tiny), Image(torch.rand(2, 30, 30, 3))
    encoder, adapt = clip_vision_loader(write_encoder(tmp_path, case.encoder)[1]), ip_adapter_model_loader(written)

    def change(**options: Any) -> Tensor:
        return ask(ip_adapter_advanced(model, adapt, picture, clip_vision=encoder, **options), case.tiny)[0] - plain

    plain = ask(model, case.tiny)[0]
    whole, left = change(), torch.zeros(1, 64, 48)
    left[..., :24] = 1

    assert 0 < change(weight=0.1).abs().max() < whole.abs().max()
    assert (change(weight=0.5, embeds_scaling="K+V") - change(weight=0.5)).abs().max() > 1e-5
    assert (change(attn_mask=Mask(left)) - whole).abs().max() > 1e-4
    if kind != "InstantX for Flux":  # where the text's tokens look as well, and a mask says nothing of them
        torch.testing.assert_close(change(attn_mask=Mask(torch.ones(1, 64, 48))), whole, atol=1e-5, rtol=1e-4)
    assert change(attn_mask=Mask(torch.zeros(1, 64, 48))).abs().max() < 1e-6


def test_what_does_not_fit_says_what_would(tmp_path: Path) -> None:
    _, flux_adapter = xlabs(tmp_path, network(TINY["flux"]))
    _, sd3_adapter = sd3(tmp_path, network(TINY["sd3"]))
    picture = Image(torch.rand(1, 30, 30, 3))
    clip, siglip = (clip_vision_loader(write_encoder(tmp_path, kind)[1]) for kind in ("clip", "siglip"))
    flux, other, dual = (model_of(tmp_path, name) for name in ("flux", "sd3", "sd35"))

    with pytest.raises(ValueError, match=r"looks at 12 channels, the image encoder gave 16: load .* CLIP-L for XLabs'"):
        ip_adapter_advanced(flux, ip_adapter_model_loader(flux_adapter), picture, clip_vision=siglip)
    with pytest.raises(ValueError, match="'weak input' speaks of a U-Net's parts, which this model has not"):
        ip_adapter_advanced(
            flux, ip_adapter_model_loader(flux_adapter), picture, weight_type="weak input", clip_vision=clip
        )
    with pytest.raises(ValueError, match="made for another family of models"):
        ask(ip_adapter_advanced(other, ip_adapter_model_loader(flux_adapter), picture, clip_vision=clip), "sd3")
    with pytest.raises(ValueError, match="made for another family of models"):
        ask(ip_adapter_advanced(flux, ip_adapter_model_loader(sd3_adapter), picture, clip_vision=siglip), "flux")
    with pytest.raises(ValueError, match=r"layers that do not fit the model's .*: it was made for another size"):
        ask(ip_adapter_advanced(dual, ip_adapter_model_loader(sd3_adapter), picture, clip_vision=siglip), "sd35")

"""IP-Adapters of every kind show a network their pictures as diffusers' own do, for one job at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models import embeddings
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.api import UnsupportedFile
from graphflow.detect import detect
from graphflow.diffusion.image_prompts import PicturePrompt
from graphflow.diffusion.network import RowCond, RowImage
from graphflow.models import Residency, loaded
from graphflow.models.adapters import cross_attentions
from graphflow.node import File, Row
from graphflow.values import ClipVision, Image, Mask, Model, Weights
from graphflow_nodes.ip_adapter import ip_adapter_advanced, ip_adapter_model_loader
from graphflow_nodes.vision import clip_vision_loader
from tests.test_vision import write as write_encoder
from tests.tiny import TINY, file, network, single_file

KINDS = ("plain", "plus", "full")


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def projection(kind: str, width: int) -> nn.Module:
    """What diffusers has, for an image encoder of 16 channels whose embeddings have 12."""
    match kind:
        case "plain":
            return embeddings.ImageProjection(12, width, 4)
        case "plus":
            return embeddings.IPAdapterPlusImageProjection(16, width, 32, 4, 64, 1, 5)
        case _:
            return embeddings.IPAdapterFullImageProjection(16, width)


WILD = {
    "plain": (("image_embeds", "proj"),),
    "full": (("ff.net.0.proj", "proj.0"), ("ff.net.2", "proj.2"), ("norm", "proj.3")),
    "plus": (
        (".ln0", ".0.norm1"), (".ln1", ".0.norm2"), (".attn.to_out.0", ".0.to_out"), (".attn.to", ".0.to"),
        (".ff.0", ".1.0"), (".ff.1.net.0.proj", ".1.1"), (".ff.1.net.2", ".1.3"),
    ),
}  # fmt: skip
"""How the authors' files spell what diffusers renamed."""


def wild(kind: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An image projection as the authors' files have it, keys and values in one."""
    named = {}
    for name, tensor in state.items():
        for ours, theirs in WILD[kind]:
            name = name.replace(ours, theirs)
        named[name] = tensor
    for name in [n for n in named if n.endswith("to_k.weight")]:
        named[name.replace("to_k", "to_kv")] = torch.cat([named.pop(name), named.pop(name.replace("to_k", "to_v"))])
    return named


def adapter(folder: Path, kind: str, unet: Any, width: int) -> tuple[dict[str, dict[str, Tensor]], File]:
    """A tiny adapter for a network: its two halves as diffusers takes them, and its file."""
    torch.manual_seed(5)
    halves = {"image_proj": wild(kind, projection(kind, width).state_dict()), "ip_adapter": {}}
    for number, (_, attention) in enumerate(cross_attentions(unet)):
        for x in "kv":
            halves["ip_adapter"][f"{2 * number + 1}.to_{x}_ip.weight"] = (
                torch.randn(attention.to_q.out_features, width) / 4
            )
    path = folder / f"{kind}.safetensors"
    save_file({f"{half}.{k}": t.contiguous().clone() for half, s in halves.items() for k, t in s.items()}, path)
    return halves, file(path)


def eye(folder: Path) -> ClipVision:
    return clip_vision_loader(write_encoder(folder, "clip")[1])


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ask(model: Model, name: str, *, images: tuple[RowImage, ...] | None = None, sides: tuple[bool, ...] = (False,)) -> list[Tensor]:  # fmt: skip
    """D(x; sigma) of rows of two samples, with what the model's patches show each side."""
    tiny = TINY[name]
    with loaded(model) as live:
        rows = []
        for uncond in sides:
            found = [
                patch.images(2.0, live.parametrisation, uncond=uncond)
                for patch in model.patches
                if isinstance(patch, PicturePrompt)
            ]
            shown = tuple(image for some in found for image in some) if images is None else images
            cond = RowCond(
                live.parametrisation, noise(2, 6, tiny.width, seed=1), noise(2, tiny.pooled or 1, seed=2), latent_size=(8, 8),
                images=tuple(RowImage(i.adapter, i.tokens.expand(2, -1, -1), i.weight, i.layers, i.keys, i.mask) for i in shown),
            )  # fmt: skip
            rows.append(Row(live, noise(2, *tiny.latent, seed=3), torch.tensor(2.0), cond))
        return live.predict(rows)


FAMILIES_SHOWN = ("sd15", "sdxl")


@pytest.mark.parametrize("name", FAMILIES_SHOWN)
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_pictures_are_seen_as_diffusers_sees_them(tmp_path: Path, kind: str, name: str) -> None:
    tiny, module = TINY[name], network(TINY[name])
    halves, written = adapter(tmp_path, kind, module, tiny.width)
    model = Model(Weights((single_file(tmp_path, tiny, module),), "model", tiny.family))
    encoder, picture = eye(tmp_path), torch.rand(1, 40, 56, 3)

    patched = ip_adapter_advanced(model, ip_adapter_model_loader(written), Image(picture), 0.7, clip_vision=encoder)
    ours, plain = ask(patched, name, sides=(False, True)), ask(model, name)[0]

    assert detect(written.path).kind == "ip_adapter"
    unet: Any = module
    unet._load_ip_adapter_weights([halves])
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.7]
    with loaded(encoder) as see:
        seen, none = see.encode(picture), see.nothing()
    for out, uncond in zip(ours, (False, True), strict=True):
        if kind == "plain":
            embeds = torch.zeros(2, 1, 12) if uncond else seen.image_embeds[None].expand(2, -1, -1)
        else:
            embeds = (none if uncond else seen).penultimate_hidden_state[:, None].expand(2, -1, -1, -1)
        assert torch.allclose(out, diffusers_says(unet, name, embeds), atol=2e-5)
        assert (out - plain).abs().max() > 1e-4


def diffusers_says(unet: Any, name: str, embeds: Tensor) -> Tensor:
    tiny, sigma = TINY[name], torch.tensor(2.0)
    added: dict[str, Any] = {"image_embeds": [embeds]}
    if name == "sdxl":
        added |= {
            "text_embeds": noise(2, tiny.pooled, seed=2),
            "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2),
        }
    from graphflow.diffusion.parametrisation import Discrete

    x = noise(2, *tiny.latent, seed=3)
    time = Discrete(1000, 0.00085, 0.012, "scaled_linear", False).timestep(sigma)
    out = unet(x / (sigma**2 + 1) ** 0.5, time, noise(2, 6, tiny.width, seed=1), added_cond_kwargs=added).sample
    return x - sigma * out


def test_a_job_without_pictures_is_not_touched_by_one_with(tmp_path: Path) -> None:
    tiny, module = TINY["sd15"], network(TINY["sd15"])
    _, written = adapter(tmp_path, "plain", module, tiny.width)
    model = Model(Weights((single_file(tmp_path, tiny, module),), "model", "sd15"))
    shown = ip_adapter_advanced(
        model, ip_adapter_model_loader(written), Image(torch.rand(1, 30, 30, 3)), clip_vision=eye(tmp_path)
    )

    before, with_pictures, after = ask(model, "sd15")[0], ask(shown, "sd15")[0], ask(model, "sd15")[0]

    assert torch.equal(before, after)
    assert (before - with_pictures).abs().max() > 1e-3
    with loaded(model) as one, loaded(shown) as other:
        assert one is other  # the jobs share the network


def test_weights_masks_and_layers_say_how_much_of_a_picture_comes_through(tmp_path: Path) -> None:
    tiny, module = TINY["sdxl"], network(TINY["sdxl"])
    _, written = adapter(tmp_path, "plain", module, tiny.width)
    model = Model(Weights((single_file(tmp_path, tiny, module),), "model", "sdxl"))
    adapt, picture, encoder = ip_adapter_model_loader(written), Image(torch.rand(1, 30, 30, 3)), eye(tmp_path)

    def change(**options: Any) -> Tensor:
        return ask(ip_adapter_advanced(model, adapt, picture, clip_vision=encoder, **options), "sdxl")[0] - plain

    plain = ask(model, "sdxl")[0]
    whole, weak = change(), change(weight=0.1)
    nowhere = change(attn_mask=Mask(torch.zeros(1, 64, 64)))
    everywhere = change(attn_mask=Mask(torch.ones(1, 64, 64)))
    output = change(weight_type="weak output")
    keys = change(weight=0.5, embeds_scaling="K+V")

    assert 0 < weak.abs().max() < whole.abs().max()
    assert nowhere.abs().max() < 1e-6
    torch.testing.assert_close(everywhere, whole, atol=1e-5, rtol=1e-4)
    assert (output - whole).abs().max() > 1e-4
    assert (keys - change(weight=0.5)).abs().max() > 1e-5


def test_it_holds_in_its_part_of_the_sampling_alone(tmp_path: Path) -> None:
    tiny, module = TINY["sd15"], network(TINY["sd15"])
    _, written = adapter(tmp_path, "plus", module, tiny.width)
    model = Model(Weights((single_file(tmp_path, tiny, module),), "model", "sd15"))
    shown = ip_adapter_advanced(
        model, ip_adapter_model_loader(written), Image(torch.rand(2, 30, 30, 3)), start_at=0.5, end_at=0.8,
        clip_vision=eye(tmp_path),
    )  # fmt: skip
    (patch,) = shown.patches
    assert isinstance(patch, PicturePrompt)
    with loaded(model) as live:
        p = live.parametrisation

    assert patch.tokens.shape == (1, 2 * 5, tiny.width)  # two pictures, one after another
    assert [len(patch.images(p.percent_to_sigma(at), p, uncond=False)) for at in (0.2, 0.6, 0.9)] == [0, 1, 0]


def test_what_does_not_fit_says_what_would(tmp_path: Path) -> None:
    tiny, module = TINY["sd15"], network(TINY["sd15"])
    _, written = adapter(tmp_path, "plain", module, tiny.width)
    adapt, picture, encoder = ip_adapter_model_loader(written), Image(torch.rand(1, 30, 30, 3)), eye(tmp_path)
    flux = Model(Weights((single_file(tmp_path, TINY["flux"], network(TINY["flux"])),), "model", "flux"))
    sdxl = Model(Weights((single_file(tmp_path, TINY["sdxl"], network(TINY["sdxl"])),), "model", "sdxl"))

    with pytest.raises(ValueError, match="connect clip_vision"):
        ip_adapter_advanced(flux, adapt, picture)
    with pytest.raises(ValueError, match="looks at 12 channels, the image encoder gave 16: load the CLIP vision model"):
        ip_adapter_advanced(flux, adapt, picture, clip_vision=clip_vision_loader(write_encoder(tmp_path, "siglip")[1]))
    with pytest.raises(ValueError, match="are for U-Nets"):
        ask(ip_adapter_advanced(flux, adapt, picture, clip_vision=encoder), "flux")
    with pytest.raises(ValueError, match="made for another family"):
        ask(ip_adapter_advanced(sdxl, adapt, picture, clip_vision=encoder), "sdxl")
    face = {
        "image_proj.proj.0.weight": torch.zeros(2, 2),
        "image_proj.norm.weight": torch.zeros(2),
        "ip_adapter.1.to_k_ip.weight": torch.zeros(2, 2),
    }
    save_file(face, tmp_path / "face.safetensors")
    with (
        pytest.raises(UnsupportedFile, match="it looks at faces"),
        loaded(ip_adapter_model_loader(file(tmp_path / "face.safetensors"))),
    ):
        pass

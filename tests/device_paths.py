"""Every path on which weights come to the device, each as a small computation with tiny models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.diffusion.caches import DeepCache, EasyCache, FirstBlockCache
from graphflow.diffusion.conds import Canvas, resolve, row_cond
from graphflow.diffusion.image_prompts import PicturePrompt
from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import CacheRule, RowCache, RowControl, RowImage
from graphflow.families import FAMILIES
from graphflow.models import Shown, checkpoint, loaded, model_patch, on_base, residency
from graphflow.models.model_patches import Steering
from graphflow.models.previews import tiny_decoder
from graphflow.node import File, Text
from graphflow.values import Cond, Conditioning, Grounding, Image, Lora, Model, TextBox, Weights
from graphflow_nodes import hooks as hook_nodes
from graphflow_nodes.conditioning import clip_text_encode, conditioning_set_properties
from graphflow_nodes.control import unclip_conditioning
from graphflow_nodes.ip_adapter import ip_adapter_advanced, ip_adapter_model_loader
from graphflow_nodes.loaders import (
    checkpoint_loader_simple,
    clip_loader,
    control_net_loader,
    diff_control_net_loader,
    dual_clip_loader,
    gligen_loader,
    quadruple_clip_loader,
    triple_clip_loader,
    unclip_checkpoint_loader,
    unet_loader,
    vae_loader,
)
from graphflow_nodes.merging import model_merge_subtract
from graphflow_nodes.model_networks import hypernetwork_loader
from graphflow_nodes.upscale import image_upscale_with_model, upscale_model_loader
from graphflow_nodes.vision import clip_vision_encode, clip_vision_loader, style_model_apply, style_model_loader
from tests import (
    test_autoencoders,
    test_control,
    test_control_sd3,
    test_editing,
    test_gguf_encoders,
    test_gligen,
    test_hypernetworks,
    test_ip_adapter,
    test_ip_adapter_flows,
    test_model_patches,
    test_scaled_fp8,
    test_text_encoders,
    test_unclip,
    test_vision,
    test_wan,
)
from tests.numerics import drive
from tests.test_families import row
from tests.test_hooks import NETWORK, paint
from tests.tiny import TINY, file, golden_sd15, network, original_state, single_file, write_config

Path_ = Callable[[Path], Callable[[], Tensor]]
"""Writes the files into a folder, and gives the computation, which is run in a residency; its result is on the CPU."""


def recipe(folder: Path, name: str) -> Model:
    tiny = TINY[name]
    return Model(Weights((single_file(folder, tiny, network(tiny)),), "model", tiny.family))


def ask(model: Model, name: str, **changes: Any) -> Tensor:
    """D(x; sigma) of a row."""
    with loaded(model) as live:
        return ask_live(live, name, **changes)


def ask_live(live: Any, name: str, **changes: Any) -> Tensor:
    asked = row(live, TINY[name], 0.7)
    cond = dataclasses.replace(asked.cond, **changes)
    (out,) = live.predict([dataclasses.replace(asked, x=asked.x.to(live.device), cond=cond)])
    return torch.as_tensor(out.cpu())


# --- networks --------------------------------------------------------------------------------------------------------


def _family(name: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        model = recipe(folder, name)
        return lambda: ask(model, name)

    return path


def _lora(folder: Path) -> Callable[[], Tensor]:
    """It comes, changes, and goes."""
    model = recipe(folder, "flux")
    names = ("lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_double_blocks_0_img_mlp_0")
    save_file(
        {f"{names[0]}.diff": torch.randn(96, 32), f"{names[1]}.diff": torch.randn(128, 32)}, folder / "l.safetensors"
    )
    one, half = (model.patched(Lora(file(folder / "l.safetensors"), strength)) for strength in (1.0, 0.5))
    return lambda: torch.cat([ask(m, "flux") for m in (model, one, half, model)])


def _mix(folder: Path) -> Callable[[], Tensor]:
    model = recipe(folder, "sd3")
    mixed = model_merge_subtract(model, model, 0.5)
    return lambda: torch.cat([ask(m, "sd3") for m in (model, mixed, model)])


def _fp8(style: Any) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        model = unet_loader(single_file(folder, TINY["flux"], network(TINY["flux"])), style)
        return lambda: ask(model, "flux")

    return path


def _scaled_fp8(folder: Path) -> Callable[[], Tensor]:
    """With a LoRA, under which packed weights grow."""
    state = original_state(network(TINY["flux"]), FAMILIES["flux"].layout)
    scaled, _ = test_scaled_fp8.eight_bits(state, "new")
    model = unet_loader(test_scaled_fp8.written(folder, scaled, "scaled"), "default")
    save_file({"lora_unet_double_blocks_0_img_attn_qkv.diff": torch.randn(96, 32)}, folder / "l.safetensors")
    patched = model.patched(Lora(file(folder / "l.safetensors"), 1.0))
    return lambda: torch.cat([ask(m, "flux") for m in (model, patched, model)])


def _gguf(folder: Path) -> Callable[[], Tensor]:
    import gguf

    tiny, path = TINY["flux"], folder / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "flux")
    for key, tensor in original_state(network(tiny), FAMILIES["flux"].layout).items():
        numbers = tensor.numpy().astype("float32")
        if numbers.ndim == 2 and numbers.shape[1] % 32 == 0 and "blocks" in key:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(key, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
        else:
            writer.add_tensor(key, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_config(path, tiny.folder, dict(network(tiny).config))  # type: ignore[arg-type]
    model = Model(Weights((file(path),), "model", "flux"))
    return lambda: ask(model, "flux")


def _cached(rule: CacheRule, name: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        model = recipe(folder, name)

        def run() -> Tensor:
            memory: dict[object, object] = {}
            return torch.cat([ask(model, name, cache=RowCache(rule, memory, "a")) for _ in range(3)])

        return run

    return path


def _hooks(folder: Path) -> Callable[[], Tensor]:
    tiny = golden_sd15(folder)
    save_file({f"{NETWORK}.diff": torch.randn(128, 32) / 9}, folder / "lora.safetensors")

    def run() -> Tensor:
        parts = checkpoint_loader_simple(tiny)
        cat = clip_text_encode(Text("a cat"), parts.CLIP)
        hooks = hook_nodes.create_hook_lora_model_only(file(folder / "lora.safetensors"), 0.5)
        return paint(parts.MODEL, conditioning_set_properties(cat, hooks=hooks), cat, 3.0)

    return run


def _hypernetwork(folder: Path) -> Callable[[], Tensor]:
    tiny = golden_sd15(folder)
    hyper = test_hypernetworks.written(folder, test_hypernetworks.pair(32, 0.5))

    def run() -> Tensor:
        parts = checkpoint_loader_simple(tiny)
        return paint(hypernetwork_loader(parts.MODEL, hyper, 1.0), clip_text_encode(Text("a cat"), parts.CLIP))

    return run


def _model_patch(name: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        kinds = {"qwen_image": test_model_patches.qwen_patch, "flux2": test_model_patches.flux2_patch}
        written, _ = kinds.get(name, test_model_patches.z_patch)(folder)
        base = "flux2 of four blocks" if name == "flux2" else name
        model, hint = recipe(folder, base), torch.ones(1, *((68, 4, 6) if name == "flux2" else (16, 8, 6)))

        def run() -> Tensor:
            with loaded(model) as live, loaded(model_patch(written)) as net:
                return ask_live(live, base, edits=(Steering(net, hint, 1.0),))

        return run

    return path


def _gligen(folder: Path) -> Callable[[], Tensor]:
    unet = network(TINY["sd15"])
    net = gligen_loader(test_gligen.written(folder, test_gligen.grounder(unet, 32), unet))
    model = recipe(folder, "sd15")
    box = TextBox(torch.ones(1, 12), height=4, width=2, y=1, x=6)

    def run() -> Tensor:
        with loaded(model) as live:
            x = torch.ones(1, 4, 8, 8).to(live.device)
            canvas = Canvas(live, live.parametrisation, x)
            cond = Cond(torch.ones(1, 5, 32), grounding=Grounding(net, (box,)))
            (region,) = resolve({"positive": Conditioning((cond,))}, canvas)["positive"]
            made = row_cond(region, x, 2.0, canvas, uncond=False, edits=())
            return ask_live(live, "sd15", **{f.name: getattr(made, f.name) for f in dataclasses.fields(made)})

    return run


def _ip_adapter(kind: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        case = test_ip_adapter_flows.CASES.get(kind)
        name, encoder = (case.tiny, case.encoder) if case else ("sd15", "clip")
        unet = network(TINY[name])
        written = (case.write(folder, unet) if case else test_ip_adapter.adapter(folder, kind, unet, 32))[1]
        model, eye = recipe(folder, name), clip_vision_loader(test_vision.write(folder, encoder)[1])
        look, photo = ip_adapter_model_loader(written), Image(torch.full((1, 30, 30, 3), 0.3))

        def run() -> Tensor:
            shown = ip_adapter_advanced(model, look, photo, clip_vision=eye)
            with loaded(shown) as live:
                images: tuple[RowImage, ...] = tuple(
                    image
                    for patch in shown.patches
                    if isinstance(patch, PicturePrompt)
                    for image in patch.images(0.7, live.parametrisation, uncond=False)
                )
                return ask_live(live, name, images=images)

        return run

    return path


# --- ControlNets -----------------------------------------------------------------------------------------------------


def _steered(model: Model, name: str, net: Any, union_type: str = "") -> Callable[[], Tensor]:
    def run() -> Tensor:
        with loaded(model) as live, loaded(net) as control:
            shape = (1, TINY[name].latent[0], *TINY[name].latent[-2:]) if control.latent_format else (1, 3, 64, 64)
            hint = torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape)
            return ask_live(live, name, controls=(RowControl(control, hint, 1.0, union_type),))

    return run


def _control(name: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        net = control_net_loader(test_control.write(folder, f"control {name}", test_control.control(name)))
        base = {"union": "sdxl", "sana": "sana of two blocks"}.get(name, name)
        return _steered(recipe(folder, base), base, net, "depth" if name == "union" else "")

    return path


def _control_lora(folder: Path) -> Callable[[], Tensor]:
    written, _ = test_control.low_rank_of(folder, test_control.control("sdxl"), network(TINY["sdxl"]))
    model = recipe(folder, "sdxl")
    return _steered(model, "sdxl", on_base(control_net_loader(written), model))


def _difference(folder: Path) -> Callable[[], Tensor]:
    model, module = recipe(folder, "sd15"), test_control.control("sd15")
    written = test_control.write(folder, "difference", module, original=True)
    save_file({**load_file(written.path), "difference": torch.zeros(0)}, written.path)
    return _steered(model, "sd15", diff_control_net_loader(model, file(written.path)))


def _control_sd35(folder: Path) -> Callable[[], Tensor]:
    model = recipe(folder, "sd3")
    written = test_control_sd3.write(folder, test_control_sd3.stability(), original=True)
    return _steered(model, "sd3", on_base(control_net_loader(written), model))


def _t2i(name: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        _, written = test_control.t2i_adapter(folder, name, original=True)
        return _steered(recipe(folder, "sd15"), "sd15", control_net_loader(written))

    return path


# --- text ------------------------------------------------------------------------------------------------------------


def _said(clip: Callable[[], Any], text: str = "a red cat") -> Callable[[], Tensor]:
    def run() -> Tensor:
        with loaded(clip()) as encoder:
            (cond,) = encoder.encode(text).entries
        found = [cond.context, cond.pooled, cond.attention_mask, cond.extras.get("llama")]
        return torch.cat([tensor.flatten().float() for tensor in found if tensor is not None])

    return run


def _clips(kind: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        write, clip, t5, llm = (getattr(test_text_encoders, name) for name in ("write", "clip", "t5", "llm"))
        small, large = (write(folder, f"clip{width}", clip(width), tokenizer=False) for width in (16, 24))
        match kind:
            case "sdxl":
                return _said(lambda: dual_clip_loader(small, large, "sdxl"), "a (red:1.3) cat")
            case "flux":
                one = write(folder, "t5", t5())
                return _said(lambda: dual_clip_loader(small, one, "flux"), "a (red:1.3) cat")
            case "sd3":
                one = write(folder, "t5", t5(64))
                return _said(lambda: triple_clip_loader(one, large, small))
            case _:
                one, other = write(folder, "llama", llm("Llama"), prefix="model."), write(folder, "t5", t5(64))
                return _said(lambda: quadruple_clip_loader(one, other, large, small))

    return path


def _language(kind: str, type: Any) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        made = test_text_encoders.t5(umt5=True) if kind == "UMT5" else test_text_encoders.llm(kind)
        one = test_text_encoders.write(folder, "one", made, prefix="" if kind == "UMT5" else "model.")
        return _said(lambda: clip_loader(one, type))

    return path


def _packed_text(architecture: str, kind: str, type: Any) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        made = test_gguf_encoders.t5() if kind == "T5" else test_gguf_encoders.llm(kind)
        one = test_gguf_encoders.write(folder, architecture, made, "Q8_0")
        return _said(lambda: clip_loader(one, type), "cat")

    return path


def _seeing(folder: Path) -> Callable[[], Tensor]:
    written, _ = test_editing.qwen_vl(folder)
    told = f"word1 <|vision_start|>{test_editing.PICTURE}<|vision_end|> cat"

    def run() -> Tensor:
        with loaded(clip_loader(written, "qwen_image")) as encoder:
            picture = torch.linspace(0, 1, 56 * 84 * 3).reshape(56, 84, 3)
            return encoder.encode_shown(told, Shown("edit", (picture,))).entries[0].context

    return run


# --- pictures --------------------------------------------------------------------------------------------------------


def _whole_checkpoint(folder: Path) -> Callable[[], Tensor]:
    """Text, network and autoencoder in turn."""
    tiny = golden_sd15(folder)

    def run() -> Tensor:
        parts = checkpoint(tiny)
        with loaded(parts.clip) as encoder, loaded(parts.vae) as vae:
            made = paint(parts.model, encoder.encode("a (red:1.3) cat"))
            return vae.decode(made)

    return run


def _vae(kind: str, *, tiles: bool = False) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        written, shape = _autoencoder(folder, kind)
        picture = torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape)

        def run() -> Tensor:
            with loaded(vae_loader(written)) as live:
                if tiles:
                    *_, latent = live.encode_tiles(picture, 16, 4)
                    assert isinstance(latent, Tensor)
                    *_, made = live.decode_tiles(latent, 8, 2)
                    assert isinstance(made, Tensor)
                    return made
                return live.decode(live.encode(picture))

        return run

    return path


def _autoencoder(folder: Path, kind: str) -> tuple[File, tuple[int, ...]]:
    match kind:
        case "kl":
            return test_autoencoders.write(folder, test_autoencoders.kl(4), "kl"), (1, 32, 32, 3)
        case "wan":
            return test_autoencoders.write(folder, test_autoencoders.wan(), "wan"), (5, 16, 24, 3)
        case "wan 2.2":
            return test_autoencoders.write(folder, test_wan.small_vae(), "wan"), (5, 32, 48, 3)
        case "flux2":
            return _flux2(folder), (1, 8, 16, 3)
        case _:
            from diffusers import AutoencoderTiny

            torch.manual_seed(0)
            return test_autoencoders.write(folder, AutoencoderTiny(latent_channels=4).eval()), (1, 16, 16, 3)


def _flux2(folder: Path) -> File:
    from diffusers import AutoencoderKLFlux2

    torch.manual_seed(0)
    config: dict[str, Any] = {
        "block_out_channels": (16, 16), "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "latent_channels": 8, "norm_num_groups": 16,
    }  # fmt: skip
    written = test_autoencoders.write(folder, AutoencoderKLFlux2(**config).eval())
    write_config(written.path, "vae", {**config, "batch_norm_eps": 1e-4})
    return written


def _preview(folder: Path) -> Callable[[], Tensor]:
    from diffusers.models.autoencoders.vae import DecoderTiny

    torch.manual_seed(0)
    module = DecoderTiny(
        4, 3, num_blocks=(3, 3, 3, 1), block_out_channels=(64,) * 4, upsampling_scaling_factor=2, act_fn="relu",
        upsample_fn="nearest",
    )  # fmt: skip
    state = {}
    for key, value in module.state_dict().items():
        _, number, rest = key.split(".", 2)
        state[f"{int(number) + 1}.{rest}"] = value
    (folder / "vae_approx").mkdir()
    save_file(state, folder / "vae_approx" / "taesd_decoder.safetensors")

    def run() -> Tensor:
        decoder = tiny_decoder(LatentFormat(4, tiny="taesd"))
        assert decoder is not None
        return decoder(torch.ones(1, 4, 4, 4).to(residency().device)).cpu()

    return run


def _eye(kind: str) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        eye = clip_vision_loader(test_vision.write(folder, kind)[1])

        def run() -> Tensor:
            seen = clip_vision_encode(eye, Image(torch.linspace(0, 1, 30 * 40 * 3).reshape(1, 30, 40, 3)))
            return torch.cat([seen.image_embeds.flatten(), seen.penultimate_hidden_state.flatten()])

        return run

    return path


def _redux(folder: Path) -> Callable[[], Tensor]:
    eye, style = clip_vision_loader(test_vision.write(folder, "siglip")[1]), test_vision.redux(folder)[1]
    text = Conditioning((Cond(torch.ones(1, 7, 32)),))

    def run() -> Tensor:
        seen = clip_vision_encode(eye, Image(torch.linspace(0, 1, 30 * 40 * 3).reshape(1, 30, 40, 3)))
        return style_model_apply(text, style_model_loader(style), seen).entries[0].context

    return run


def _unclip(folder: Path) -> Callable[[], Tensor]:
    written = test_unclip.checkpoint(folder, *test_unclip.parts())

    def run() -> Tensor:
        parts = unclip_checkpoint_loader(written)
        seen = clip_vision_encode(parts.CLIP_VISION, Image(torch.full((1, 30, 40, 3), 0.3)))
        shown = unclip_conditioning(Conditioning((Cond(torch.ones(1, 6, 32)),)), seen, 0.8, 0.3)
        (u,) = shown.entries[0].unclip
        return ask(parts.MODEL, "sd2", unclip=((u.output.image_embeds, u.strength, u.noise_augmentation),))

    return run


def _upscaler(name: str, options: Mapping[str, Any]) -> Path_:
    def path(folder: Path) -> Callable[[], Tensor]:
        import importlib

        torch.manual_seed(0)
        module = getattr(importlib.import_module(f"spandrel.architectures.{name}"), name)(**options)
        save_file({k: v.contiguous().clone() for k, v in module.state_dict().items()}, folder / "up.safetensors")
        model = upscale_model_loader(file(folder / "up.safetensors"))
        picture = Image(torch.linspace(0, 1, 24 * 32 * 3).reshape(1, 24, 32, 3))
        return lambda: drive(image_upscale_with_model(model, picture)).result.data  # type: ignore[no-any-return]

    return path


PATHS: dict[str, Path_] = {
    **{f"network {name}": _family(name) for name in TINY},
    "lora": _lora, "mix": _mix, "hooks": _hooks, "hypernetwork": _hypernetwork, "gligen": _gligen, "gguf": _gguf,
    "fp8 e4m3": _fp8("fp8_e4m3fn"), "fp8 e5m2": _fp8("fp8_e5m2"), "scaled fp8": _scaled_fp8,
    "DeepCache": _cached(DeepCache(2), "sd15"), "FirstBlockCache": _cached(FirstBlockCache(1.0), "flux"),
    "EasyCache": _cached(EasyCache(1.0), "flux"),
    "model patch qwen_image": _model_patch("qwen_image"), "model patch z_image": _model_patch("z_image"),
    "model patch flux2": _model_patch("flux2"),
    **{f"IP-Adapter {kind}": _ip_adapter(kind) for kind in (*test_ip_adapter.KINDS, *test_ip_adapter_flows.CASES)},
    **{f"ControlNet {name}": _control(name) for name in test_control.CLASSES},
    "ControlNet sd35": _control_sd35, "control-LoRA": _control_lora, "ControlNet difference": _difference,
    "T2I-Adapter": _t2i("sd15"), "T2I-Adapter light": _t2i("light"),
    **{f"text {kind}": _clips(kind) for kind in ("sdxl", "flux", "sd3", "hidream")},
    "text umt5": _language("UMT5", "wan"), "text qwen3": _language("Qwen3", "z_image"),
    "text gemma2": _language("Gemma2", "lumina2"), "text packed t5": _packed_text("t5encoder", "T5", "chroma"),
    "text packed qwen2": _packed_text("qwen2vl", "Qwen2", "qwen_image"), "text seeing": _seeing,
    "checkpoint": _whole_checkpoint,
    **{f"vae {kind}": _vae(kind) for kind in ("kl", "wan", "wan 2.2", "flux2", "tiny")},
    "vae tiled": _vae("kl", tiles=True), "vae tiled video": _vae("wan", tiles=True), "preview": _preview,
    "vision clip": _eye("clip"), "vision siglip": _eye("siglip"), "Redux": _redux, "unCLIP": _unclip,
    "upscaler Compact": _upscaler("Compact", {"num_feat": 8, "num_conv": 2, "upscale": 2}),
    "upscaler SPAN": _upscaler("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}),
    "upscaler SwinIR": _upscaler("SwinIR", {"img_size": 16, "window_size": 8, "depths": [2], "num_heads": [2], "embed_dim": 12, "upscale": 2, "upsampler": "pixelshuffledirect"}),
}  # fmt: skip
"""By what is on it."""

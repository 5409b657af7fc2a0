"""What cannot go together is told when the plan is made, at the node and input; what can is let through."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import graphflow_nodes
from graphflow.errors import InvalidWorkflow, Problem
from graphflow.files import ModelFiles
from graphflow.pairings import check_pairings
from graphflow.plan import compile
from graphflow.registry import Registry, nodes_in
from graphflow.workflow import parse

Shapes = dict[str, list[int]]


def header(path: Path, shapes: Shapes) -> None:
    """A safetensors file of these tensors, in one byte a number."""
    position, entries = 0, {}
    for key, shape in shapes.items():
        size = 1
        for n in shape:
            size *= n
        entries[key] = {"dtype": "U8", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(position))


def unet(projection: int, *, label: bool = False, channels: int = 4) -> Shapes:
    more = {"label_emb.0.0.weight": [1, 1]} if label else {}
    return {
        "input_blocks.0.0.weight": [1, channels, 1, 1], "time_embed.0.weight": [1, 1],
        "middle_block.0.in_layers.0.weight": [1], "middle_block.1.proj_in.weight": [1] * projection, **more,
    }  # fmt: skip


def keys(*names: str, rank: int = 2) -> Shapes:
    return {name: [1] * rank for name in names}


def wan(channels: int) -> Shapes:
    return {**keys("head.modulation", "blocks.0.cross_attn.norm_k.weight"), "patch_embedding.weight": [1, channels, 1, 1, 1],
            "head.head.weight": [64, 1]}  # fmt: skip


NETWORKS: dict[str, Shapes] = {
    "sd15": unet(4), "sd2": unet(2), "sdxl": unet(2, label=True),
    "sd3": keys("joint_blocks.0.context_block.adaLN_modulation.1.weight", "x_embedder.proj.weight"),
    "flux": keys("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "vector_in.in_layer.weight"),
    "chroma": keys("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.weight"),
    "qwen_image": keys("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"),
    "flux2": keys("double_stream_modulation_img.lin.weight", "img_in.weight"),
    "sana": keys("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.inverted_conv.conv.weight"),
    "z_image": keys("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight"),
    "wan22": {**keys("head.modulation", "blocks.0.cross_attn.norm_k.weight"), "patch_embedding.weight": [1, 48, 1, 1, 1], "head.head.weight": [192, 1]},
    "wan": keys("head.modulation", "blocks.0.cross_attn.norm_k.weight", "patch_embedding.weight"),
    **{f"wan {name}": wan(channels) for name, channels in (("t2v", 16), ("i2v", 36), ("control", 48), ("control 2.2", 52))},
    "wan vace": {**wan(16), "vace_patch_embedding.weight": [1, 96, 1, 1, 1]},
}  # fmt: skip
CLIP_L = {
    "text_model.encoder.layers.0.layer_norm1.weight": [1],
    "text_model.embeddings.token_embedding.weight": [1, 768],
}
CLIP_G = {**CLIP_L, "text_model.embeddings.token_embedding.weight": [1, 1280]}
T5 = keys("encoder.block.0.layer.0.SelfAttention.q.weight")
UMT5 = {**T5, **keys("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight")}
QWEN3 = keys("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.q_norm.weight")
QWEN25 = keys("model.layers.0.self_attn.q_proj.weight", "visual.blocks.0.attn.qkv.weight")


def vae(channels: int) -> Shapes:
    return {"decoder.conv_in.weight": [1, channels, 1, 1], "encoder.conv_in.weight": [1, 3, 1, 1],
            "decoder.norm_out.weight": [1]}  # fmt: skip


def lora(name: str, width: int = 1) -> Shapes:
    return {f"{name}.lora_down.weight": [1, width], f"{name}.lora_up.weight": [1, 1]}


def under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + key: shape for key, shape in shapes.items()}


def whole(network: Shapes, encoders: Shapes) -> Shapes:
    return {**under("model.diffusion_model.", network), **under("first_stage_model.", vae(4)), **encoders}


ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
FILES: dict[str, Shapes] = {
    "checkpoints/sd15": whole(NETWORKS["sd15"], under("cond_stage_model.transformer.", CLIP_L)),
    "checkpoints/sdxl": whole(NETWORKS["sdxl"], under("conditioner.embedders.0.transformer.", CLIP_L)),
    **{f"diffusion_models/{name}": shapes for name, shapes in NETWORKS.items()},
    "text_encoders/clip_l": CLIP_L, "text_encoders/clip_g": CLIP_G, "text_encoders/t5": T5, "text_encoders/umt5": UMT5,
    "text_encoders/qwen3": QWEN3, "text_encoders/qwen25": QWEN25,
    "vae/kl4": vae(4), "vae/kl16": vae(16), "vae/wan": keys("decoder.middle.0.residual.0.gamma", rank=1),
    "vae/wan22": {**keys("decoder.middle.0.residual.0.gamma", rank=1), "conv2.weight": [48, 1, 1, 1, 1]},
    "loras/sd15": lora(ATTENTION, 768), "loras/sdxl": lora(ATTENTION, 2048), "loras/sd2": lora(ATTENTION, 1024),
    "loras/flux": lora("lora_unet_double_blocks_0_img_mod_lin", 3072),
    "loras/flux or chroma": lora("lora_unet_double_blocks_0_img_attn_qkv", 3072),
    "loras/qwen_image": lora("transformer_blocks.0.img_mod.1"),
    "loras/z_image": lora("diffusion_model.layers.0.attention.to_q", 3840),
    "loras/flux canny": {
        **lora("double_blocks.0.img_mod.lin", 3072), "img_in.lora_A.weight": [1, 128], "img_in.lora_B.weight": [3072, 1],
        "double_blocks.0.img_attn.norm.query_norm.scale": [128],
    },
    "loras/unsure": lora("lora_unet_something"),
    "controlnet/sd15": {"controlnet_cond_embedding.conv_in.weight": [1, 3, 1, 1], "mid_block.attentions.0.proj_in.weight": [1] * 4},
    "controlnet/sdxl": {"controlnet_cond_embedding.conv_in.weight": [1, 3, 1, 1], "add_embedding.linear_1.weight": [1, 1]},
    "controlnet/t2i sd15": {"conv_in.weight": [1, 192, 1, 1], "body.0.block1.weight": [1, 1, 1, 1]},
    "controlnet/t2i sdxl": {"adapter.conv_in.weight": [1, 768, 1, 1], "adapter.body.0.resnets.0.block1.weight": [1, 1, 1, 1]},
    "controlnet/flux": keys("controlnet_blocks.0.weight"),
    "controlnet/sana": keys("controlnet_blocks.0.weight", "transformer_blocks.0.ff.conv_inverted.weight"),
    "text_encoders/gemma2": keys("model.layers.0.self_attn.q_proj.weight", "model.layers.0.post_feedforward_layernorm.weight"),
    "checkpoints/lora": lora(ATTENTION, 768), "controlnet/lora": lora(ATTENTION, 768), "vae/network": NETWORKS["sd15"],
    "loras/network": NETWORKS["sd15"], "text_encoders/vae": vae(4),
    "text_encoders/clip_h": {**CLIP_L, "text_model.embeddings.token_embedding.weight": [1, 1024]},
    "model_patches/qwen": keys("controlnet_blocks.0.y_rms.weight", "img_in.weight"),
    "model_patches/z": keys("control_all_x_embedder.2-1.weight"),
    "model_patches/flux2": keys("control_transformer_blocks.0.ff.linear_in.weight"), "model_patches/lora": lora(ATTENTION, 768),
    "ipadapter/sd15": {"image_proj.proj.weight": [4, 1], "image_proj.norm.weight": [1], "ip_adapter.1.to_k_ip.weight": [1, 768]},
    "ipadapter/sdxl": {"image_proj.latents": [1, 1, 1], "ip_adapter.1.to_k_ip.weight": [1, 2048]},
    "ipadapter/flux": {"ip_adapter_proj_model.proj.weight": [4, 1], "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight": [1, 4096]},
    "ipadapter/flux instantx": {"image_proj.proj.0.weight": [4, 1], "ip_adapter.0.to_k_ip.weight": [1, 4096]},
    "ipadapter/sd3": {"image_proj.latents": [1, 1, 1], "ip_adapter.0.norm_ip.linear.weight": [1, 1], "ip_adapter.0.to_k_ip.weight": [1, 2432]},
    "ipadapter/lora": lora(ATTENTION, 768), "style_models/redux": keys("redux_up.weight", "redux_down.weight"),
    "embeddings/sd15": {"emb_params": [2, 768]}, "embeddings/sdxl": {"clip_g": [2, 1280], "clip_l": [2, 768]},
    "clip_vision/network": NETWORKS["sd15"],
    "controlnet/control-lora": {"lora_controlnet": [1], "input_blocks.4.1.transformer_blocks.0.attn2.to_k.down": [2, 2048]},
    "clip_vision/eye": keys("vision_model.encoder.layers.0.layer_norm1.weight"),
}  # fmt: skip


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], list[tuple[str | None, str | None]]]:
    """Where a workflow's pairings are refused: nodes and inputs."""
    root = tmp_path_factory.mktemp("models")
    for name, shapes in FILES.items():
        header(root / f"{name}.safetensors", shapes)
    nodes = {node.definition.type: node for node in nodes_in(graphflow_nodes, "core")}
    definitions = Registry(nodes).definitions()

    def run(document: dict[str, Any]) -> list[tuple[str | None, str | None]]:
        targets = None if "save" in document["nodes"] else ["lora"]
        problems: Sequence[Problem] = ()
        try:
            compile(parse(document), definitions, ModelFiles([root]), targets=targets, checks=[check_pairings])
        except InvalidWorkflow as refused:
            problems = refused.problems
        assert {p.code for p in problems} <= {"wrong_pairing"}, problems
        assert all(p.details["expected"] and p.details["found"] for p in problems)
        return [(p.node, p.input) for p in problems]

    return run


# --- pieces of workflows ---------------------------------------------------------------------------------------------


def of(node: str, output: str) -> dict[str, str]:
    return {"from": f"{node}.{output}"}


def checkpoint(name: str) -> dict[str, Any]:
    return {"load": {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": f"{name}.safetensors"}}}


def network(name: str) -> dict[str, Any]:
    return {"net": {"type": "UNETLoader", "inputs": {"unet_name": f"{name}.safetensors", "weight_dtype": "default"}}}


def encoder(name: str, type: str) -> dict[str, Any]:
    return {"clip": {"type": "CLIPLoader", "inputs": {"clip_name": f"{name}.safetensors", "type": type}}}


def encoders(one: str, other: str, type: str) -> dict[str, Any]:
    names = {"clip_name1": f"{one}.safetensors", "clip_name2": f"{other}.safetensors"}
    return {"clip": {"type": "DualCLIPLoader", "inputs": {**names, "type": type}}}


def autoencoder(name: str) -> dict[str, Any]:
    return {"vae": {"type": "VAELoader", "inputs": {"vae_name": f"{name}.safetensors"}}}


def lora_on(name: str, model: str) -> dict[str, Any]:
    inputs = {"model": of(model, "MODEL"), "lora_name": f"{name}.safetensors", "strength_model": 1.0}
    return {"lora": {"type": "LoraLoaderModelOnly", "inputs": inputs}}


def control(name: str) -> dict[str, Any]:
    inputs = {
        "positive": of("text", "CONDITIONING"), "negative": of("text", "CONDITIONING"), "control_net": of("steering", "CONTROL_NET"),
        "image": of("picture", "IMAGE"),
    }  # fmt: skip
    return {
        "steering": {"type": "ControlNetLoader", "inputs": {"control_net_name": f"{name}.safetensors"}},
        "picture": {"type": "EmptyImage", "inputs": {}},
        "control": {"type": "ControlNetApplyAdvanced", "inputs": inputs},
    }


def pictures(name: str, model: str) -> dict[str, Any]:
    """An IP-Adapter on a model."""
    inputs = {"model": of(model, "MODEL"), "ipadapter": of("adapter", "IPADAPTER"), "image": of("photo", "IMAGE")}
    return {
        "adapter": {"type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": f"{name}.safetensors"}},
        "photo": {"type": "EmptyImage", "inputs": {}},
        "shown": {"type": "IPAdapterAdvanced", "inputs": inputs},
    }


def patched(name: str, net: str) -> dict[str, Any]:
    """A network with a small one inside."""
    inputs = {
        "model": of("net", "MODEL"), "model_patch": of("patch", "MODEL_PATCH"), "vae": of("vae", "VAE"),
        "image": of("photo", "IMAGE"),
    }  # fmt: skip
    return {
        **network(net), **autoencoder("wan"), "photo": {"type": "EmptyImage", "inputs": {}},
        "patch": {"type": "ModelPatchLoader", "inputs": {"name": f"{name}.safetensors"}},
        "steer": {"type": "QwenImageDiffsynthControlnet", "inputs": inputs},
        **encoder("qwen3", "lumina2"), **sampling("steer", "clip"),
    }  # fmt: skip


def styled(eye: str = "eye") -> dict[str, Any]:
    """Flux Redux on a prompt."""
    seen = {"clip_vision": of("eye", "CLIP_VISION"), "image": of("photo", "IMAGE")}
    inputs = {
        "conditioning": of("text", "CONDITIONING"), "style_model": of("redux", "STYLE_MODEL"),
        "clip_vision_output": of("seen", "CLIP_VISION_OUTPUT"),
    }  # fmt: skip
    return {
        "photo": {"type": "EmptyImage", "inputs": {}},
        "eye": {"type": "CLIPVisionLoader", "inputs": {"clip_name": f"{eye}.safetensors"}},
        "seen": {"type": "CLIPVisionEncode", "inputs": seen},
        "redux": {"type": "StyleModelLoader", "inputs": {"style_model_name": "redux.safetensors"}},
        "style": {"type": "StyleModelApply", "inputs": inputs},
    }


def mixed(one: str, other: str, wire: str, kind: str = "") -> dict[str, Any]:
    """Two models, or their text encoders, mixed."""
    usual, name = ("ModelMergeSimple", "model") if wire == "MODEL" else ("CLIPMergeSimple", "clip")
    kind = kind or usual
    inputs = {f"{name}1": of(one, wire), f"{name}2": of(other, wire), **({} if kind != usual else {"ratio": 0.5})}
    return {"mix": {"type": kind, "inputs": inputs}}


def sampling(
    model: str, clip: str, vae_: str | None = None, *, latent: dict[str, str] | None = None, cond: dict[str, str] | None = None,
    text: str = "a cat",
) -> dict[str, Any]:  # fmt: skip
    """From model and text encoder to a picture."""
    positive = cond or of("text", "CONDITIONING")
    inputs = {
        "model": of(model, "MODEL"), "positive": positive, "negative": of("text", "CONDITIONING"),
        "latent_image": latent or of("empty", "LATENT"),
    }  # fmt: skip
    nodes: dict[str, Any] = {
        "text": {"type": "CLIPTextEncode", "inputs": {"clip": of(clip, "CLIP"), "text": text}},
        "empty": {"type": "EmptyLatentImage", "inputs": {}},
        "sample": {"type": "KSampler", "inputs": inputs},
        "save": {"type": "SaveLatent", "inputs": {"samples": of("sample", "LATENT")}},
    }
    if vae_:
        nodes["decode"] = {"type": "VAEDecode", "inputs": {"samples": of("sample", "LATENT"), "vae": of(vae_, "VAE")}}
        nodes["show"] = {"type": "PreviewImage", "inputs": {"images": of("decode", "IMAGE")}}
    return nodes


def encoded(vae_: str) -> dict[str, Any]:
    return {
        "photo": {"type": "EmptyImage", "inputs": {}},
        "encode": {"type": "VAEEncode", "inputs": {"pixels": of("photo", "IMAGE"), "vae": of(vae_, "VAE")}},
    }


def film(net: str, kind: str, *pictures: str) -> dict[str, Any]:
    """A Wan film by a node that puts something beside it."""
    inputs = {
        "positive": of("text", "CONDITIONING"), "negative": of("text", "CONDITIONING"), "vae": of("vae", "VAE"),
        **{name: of("photo", "IMAGE") for name in pictures},
    }  # fmt: skip
    return {
        **network(net), **encoder("umt5", "wan"), **autoencoder("wan"), "photo": {"type": "EmptyImage", "inputs": {}},
        "film": {"type": kind, "inputs": inputs},
        **sampling("net", "clip", "vae", latent=of("film", "latent"), cond=of("film", "positive")),
    }  # fmt: skip


ENCODED = of("encode", "LATENT")
PROMPTS = {
    "flux": encoders("clip_l", "t5", "flux"), "sd3": encoders("clip_l", "clip_g", "sd3"), "chroma": encoder("t5", "chroma"),
    "sdxl": encoders("clip_l", "clip_g", "sdxl"),
}  # fmt: skip
"""The text encoders of a family."""
Case = tuple[dict[str, Any], list[tuple[str, str]]]

WRONG: dict[str, Case] = {
    **{
        f"{kind} with {' and '.join(given) or 'no picture'} for {net}": (
            film(net, kind, *given), [("sample", "positive")],
        )
        for net, kind, *given in (
            ("wan t2v", "WanVaceToVideo"), ("wan i2v", "WanVaceToVideo", "control_video"),
            ("wan i2v", "WanFunControlToVideo", "control_video"), ("wan vace", "Wan22FunControlToVideo", "control_video"),
            ("wan t2v", "WanImageToVideo", "start_image"), ("wan vace", "WanFirstLastFrameToVideo", "start_image"),
            ("wan t2v", "WanFunInpaintToVideo", "end_image"),
        )
    },
    **{
        f"a LoRA for {name} on {base}": (
            {**network(base), **encoder("clip_l", "stable_diffusion"), **lora_on(name, "net")},
            [("lora", "lora_name")],
        )
        for name, base in (("sdxl", "sd15"), ("sd15", "sdxl"), ("sd2", "sd15"), ("flux", "sdxl"), ("sdxl", "flux"),
                           ("flux", "qwen_image"), ("qwen_image", "flux"), ("z_image", "flux"), ("flux", "chroma"),
                           ("flux canny", "sdxl"), ("flux canny", "chroma"), ("flux canny", "sd3"))
    },
    **{
        f"{file} for prompts of {base}": (
            {**network(base), **encoder(file, type), **sampling("net", "clip")},
            [("sample", "positive"), ("sample", "negative")],
        )
        for base, file, type in (("sdxl", "clip_l", "stable_diffusion"), ("flux", "t5", "sd3"), ("z_image", "umt5", "wan"),
                                 ("wan", "qwen3", "lumina2"), ("qwen_image", "qwen3", "lumina2"), ("sd15", "t5", "chroma"))
    },
    "the text encoder of another checkpoint": (
        {**checkpoint("sdxl"), **network("sd15"), **sampling("net", "load")}, [("sample", "positive"), ("sample", "negative")],
    ),
    "an encoder that the type does not take": (
        {**network("sd15"), **encoder("t5", "stable_diffusion"), **sampling("net", "clip")}, [("clip", "type")],
    ),
    "T5 for Qwen-Image": (
        {**network("qwen_image"), **encoder("t5", "qwen_image"), **sampling("net", "clip")}, [("clip", "type")],
    ),
    "a VAE of 16 channels for SD 1.5": (
        {**checkpoint("sd15"), **autoencoder("kl16"), **sampling("load", "load", "vae")}, [("decode", "vae")],
    ),
    "a VAE of 4 channels for Flux": (
        {**network("flux"), **encoders("clip_l", "t5", "flux"), **autoencoder("kl4"), **sampling("net", "clip", "vae")},
        [("decode", "vae")],
    ),
    "Flux's VAE for Wan": (
        {**network("wan"), **encoder("umt5", "wan"), **autoencoder("kl16"), **sampling("net", "clip", "vae")},
        [("decode", "vae")],
    ),
    "the VAE of an SDXL checkpoint for SD 1.5": (
        {**checkpoint("sdxl"), **network("sd15"), **encoder("clip_l", "stable_diffusion"), **sampling("net", "clip", "load")},
        [("decode", "vae")],
    ),
    "a picture encoded for another model": (
        {**checkpoint("sd15"), **autoencoder("kl16"), **encoded("vae"), **sampling("load", "load", latent=ENCODED)},
        [("sample", "latent_image")],
    ),
    "a picture encoded by Wan's VAE for Flux": (
        {**network("flux"), **encoders("clip_l", "t5", "flux"), **autoencoder("wan"), **encoded("vae"),
         **sampling("net", "clip", latent=ENCODED)},
        [("sample", "latent_image")],
    ),
    "an SDXL ControlNet for SD 1.5": (
        {**checkpoint("sd15"), **control("sdxl"), **sampling("load", "load", cond=of("control", "positive"))},
        [("control", "control_net")],
    ),
    "an SD 1.5 ControlNet for SDXL": (
        {**checkpoint("sdxl"), **control("sd15"), **sampling("load", "load", cond=of("control", "positive"))},
        [("control", "control_net")],
    ),
    "an SDXL T2I-Adapter for SD 1.5": (
        {**checkpoint("sd15"), **control("t2i sdxl"), **sampling("load", "load", cond=of("control", "positive"))},
        [("control", "control_net")],
    ),
    "a Flux ControlNet for SD 1.5": (
        {**checkpoint("sd15"), **control("flux"), **sampling("load", "load", cond=of("control", "positive"))},
        [("control", "control_net")],
    ),
    "a LoRA among the checkpoints": (
        {**checkpoint("lora"), **encoder("clip_l", "stable_diffusion"), **sampling("load", "clip")}, [("load", "ckpt_name")],
    ),
    "a LoRA among the ControlNets": (
        {**checkpoint("sd15"), **control("lora"), **sampling("load", "load", cond=of("control", "positive"))},
        [("steering", "control_net_name")],
    ),
    "a network among the VAEs": (
        {**checkpoint("sd15"), **autoencoder("network"), **sampling("load", "load", "vae")}, [("vae", "vae_name")],
    ),
    "a network among the LoRAs": ({**network("sd15"), **lora_on("network", "net")}, [("lora", "lora_name")]),
    "a VAE among the text encoders": (
        {**network("sd15"), **encoder("vae", "stable_diffusion"), **sampling("net", "clip")}, [("clip", "clip_name")],
    ),
    "the VAE of Wan 2.1 on Wan 2.2's small model": (
        {**network("wan22"), **encoder("umt5", "wan"), **autoencoder("wan"), **sampling("net", "clip", "vae")}, [("decode", "vae")],
    ),
    "models mixed by the blocks of another family": (
        {**checkpoint("sd15"), **network("sd15"), **mixed("load", "net", "MODEL", "ModelMergeSDXL"), **sampling("mix", "load")},
        [("mix", "model1"), ("mix", "model2")],
    ),
    "SD 1.5 and SDXL mixed": (
        {**checkpoint("sd15"), **network("sdxl"), **mixed("load", "net", "MODEL"), **sampling("mix", "load")},
        [("mix", "model2")],
    ),
    "the text encoders of SDXL and Flux mixed": (
        {**checkpoint("sdxl"), **encoders("clip_l", "t5", "flux"), **mixed("load", "clip", "CLIP"), **sampling("load", "mix")},
        [("mix", "clip2")],
    ),
    "a control-LoRA of SDXL for SD 1.5": (
        {**checkpoint("sd15"), **control("control-lora"), **sampling("load", "load", cond=of("control", "positive"))},
        [("control", "control_net")],
    ),
    "a checkpoint without an image encoder among the image encoders": (
        {**network("flux"), **encoders("clip_l", "t5", "flux"), **styled("network"),
         **sampling("net", "clip", cond=of("style", "CONDITIONING"))},
        [("eye", "clip_name")],
    ),
    "Flux's ControlNet for Sana": (
        {**network("sana"), **encoder("gemma2", "sana"), **control("flux"), **sampling("net", "clip", cond=of("control", "positive"))},
        [("control", "control_net")],
    ),
    "Z-Image's control in Flux 2": (
        patched("z", "flux2"), [("sample", "negative"), ("sample", "positive"), ("steer", "model_patch")],
    ),
    "Flux 2's control in Z-Image": (patched("flux2", "z_image"), [("steer", "model_patch")]),
    "Qwen-Image's control in Z-Image": (patched("qwen", "z_image"), [("steer", "model_patch")]),
    "a LoRA among the model patches": (patched("lora", "z_image"), [("patch", "name")]),
    "an SDXL IP-Adapter on SD 1.5": (
        {**checkpoint("sd15"), **pictures("sdxl", "load"), **sampling("shown", "load")}, [("shown", "ipadapter")],
    ),
    "an SD 1.5 IP-Adapter on SDXL": (
        {**checkpoint("sdxl"), **pictures("sd15", "load"), **sampling("shown", "load")}, [("shown", "ipadapter")],
    ),
    **{
        f"an IP-Adapter for {name} on {base}": (
            {**network(base), **PROMPTS[base], **pictures(name, "net"), **sampling("shown", "clip")}, [("shown", "ipadapter")],
        )
        for name, base in (("flux", "sd3"), ("flux instantx", "chroma"), ("flux", "sdxl"), ("sd3", "flux"), ("sdxl", "flux"))
    },
    "a LoRA among the IP-Adapters": (
        {**checkpoint("sd15"), **pictures("lora", "load"), **sampling("shown", "load")}, [("adapter", "ipadapter_file")],
    ),
    "Flux Redux on a prompt of SD 1.5": (
        {**checkpoint("sd15"), **styled(), **sampling("load", "load", cond=of("style", "CONDITIONING"))},
        [("style", "style_model")],
    ),
    "SDXL's textual inversion in SD 2": (
        {**network("sd2"), **encoder("clip_h", "stable_diffusion"), **sampling("net", "clip", text="a embedding:sdxl")},
        [("text", "text")],
    ),
}  # fmt: skip


def right() -> dict[str, dict[str, Any]]:
    cases: dict[str, dict[str, Any]] = {
        "a checkpoint by itself": {**checkpoint("sd15"), **sampling("load", "load", "load")},
        "an SDXL checkpoint by itself": {**checkpoint("sdxl"), **sampling("load", "load", "load")},
        "SD 1.5 with a VAE of its own": {**checkpoint("sd15"), **autoencoder("kl4"), **sampling("load", "load", "vae")},
        "SDXL with a VAE of its own": {**checkpoint("sdxl"), **autoencoder("kl4"), **sampling("load", "load", "vae")},
        "SDXL from parts": {
            **network("sdxl"), **encoders("clip_g", "clip_l", "sdxl"), **autoencoder("kl4"), **sampling("net", "clip", "vae"),
        },
        "SD3 with T5 alone": {**network("sd3"), **encoder("t5", "sd3"), **autoencoder("kl16"), **sampling("net", "clip", "vae")},
        "Flux from parts": {
            **network("flux"), **encoders("t5", "clip_l", "flux"), **autoencoder("kl16"), **sampling("net", "clip", "vae"),
        },
        "Chroma with T5": {**network("chroma"), **encoder("t5", "chroma"), **autoencoder("kl16"), **sampling("net", "clip", "vae")},
        "Chroma with Flux's encoders": {**network("chroma"), **encoders("t5", "clip_l", "flux"), **sampling("net", "clip")},
        "Qwen-Image": {
            **network("qwen_image"), **encoder("qwen25", "qwen_image"), **autoencoder("wan"), **sampling("net", "clip", "vae"),
        },
        "Z-Image by Lumina's type": {**network("z_image"), **encoder("qwen3", "lumina2"), **sampling("net", "clip")},
        "Z-Image by its own type": {**network("z_image"), **encoder("qwen3", "z_image"), **sampling("net", "clip")},
        "Wan": {**network("wan"), **encoder("umt5", "wan"), **autoencoder("wan"), **sampling("net", "clip", "vae")},
        "a picture to start from": {**checkpoint("sd15"), **encoded("load"), **sampling("load", "load", "load", latent=ENCODED)},
        "a picture encoded by another VAE of the space": {
            **checkpoint("sd15"), **autoencoder("kl4"), **encoded("vae"), **sampling("load", "load", latent=ENCODED),
        },
        "an SD 1.5 ControlNet": {
            **checkpoint("sd15"), **control("sd15"), **sampling("load", "load", cond=of("control", "positive")),
        },
        "an SDXL ControlNet": {
            **checkpoint("sdxl"), **control("sdxl"), **sampling("load", "load", cond=of("control", "positive")),
        },
        "Wan 2.2's small model with its VAE": {
            **network("wan22"), **encoder("umt5", "wan"), **autoencoder("wan22"), **sampling("net", "clip", "vae"),
        },
        "two models mixed by the blocks of their family": {
            **checkpoint("sd15"), **network("sd15"), **mixed("load", "net", "MODEL", "ModelMergeSD1"), **sampling("mix", "load"),
        },
        "SD 1.5 mixed with itself": {
            **checkpoint("sd15"), **network("sd15"), **mixed("load", "net", "MODEL"), **sampling("mix", "load"),
        },
        "two text encoders of SD 1.5 mixed": {
            **checkpoint("sd15"), **encoder("clip_l", "stable_diffusion"), **mixed("load", "clip", "CLIP"),
            **sampling("load", "mix"),
        },
        "a control-LoRA of SDXL": {
            **checkpoint("sdxl"), **control("control-lora"), **sampling("load", "load", cond=of("control", "positive")),
        },
        "an unCLIP checkpoint": {
            "load": {"type": "unCLIPCheckpointLoader", "inputs": {"ckpt_name": "sd15.safetensors"}},
            **sampling("load", "load", "load"),
        },
        "an SD 1.5 T2I-Adapter": {
            **checkpoint("sd15"), **control("t2i sd15"), **sampling("load", "load", cond=of("control", "positive")),
        },
        "an SDXL T2I-Adapter": {
            **checkpoint("sdxl"), **control("t2i sdxl"), **sampling("load", "load", cond=of("control", "positive")),
        },
        "Z-Image's control in Z-Image": patched("z", "z_image"),
        "an SD 1.5 IP-Adapter": {**checkpoint("sd15"), **pictures("sd15", "load"), **sampling("shown", "load")},
        "an SDXL IP-Adapter": {**checkpoint("sdxl"), **pictures("sdxl", "load"), **sampling("shown", "load")},
        "XLabs' IP-Adapter for Flux": {**network("flux"), **PROMPTS["flux"], **pictures("flux", "net"), **sampling("shown", "clip")},
        "InstantX' IP-Adapter for Flux": {
            **network("flux"), **PROMPTS["flux"], **pictures("flux instantx", "net"), **sampling("shown", "clip"),
        },
        "an IP-Adapter for SD 3.5": {
            **network("sd3"), **PROMPTS["sd3"], **pictures("sd3", "net"), **sampling("shown", "clip"),
        },
        "Flux Redux on a prompt of Flux": {
            **network("flux"), **encoders("clip_l", "t5", "flux"), **styled(),
            **sampling("net", "clip", cond=of("style", "CONDITIONING")),
        },
        "a textual inversion": {**checkpoint("sd15"), **sampling("load", "load", text="a embedding:sd15")},
        "SDXL's textual inversion": {**checkpoint("sdxl"), **sampling("load", "load", text="a embedding:sdxl")},
        "SD 1.5's textual inversion in SDXL, whose first encoder is the same": {
            **checkpoint("sdxl"), **sampling("load", "load", text="a embedding:sd15"),
        },
    }  # fmt: skip
    for net, kind, *given in (
        ("wan vace", "WanVaceToVideo", "control_video", "reference_image"), ("wan t2v", "WanImageToVideo"),
        ("wan i2v", "WanFirstLastFrameToVideo", "start_image", "end_image"), ("wan i2v", "WanFunInpaintToVideo", "end_image"),
        ("wan control", "WanFunControlToVideo", "control_video", "start_image"), ("wan control", "WanImageToVideo", "start_image"),
        ("wan control 2.2", "Wan22FunControlToVideo", "control_video", "ref_image"), ("wan", "WanVaceToVideo"),
    ):  # fmt: skip
        cases[f"{kind} with {' and '.join(given) or 'no picture'} for {net}"] = film(net, kind, *given)
    for name, base in (("sd15", "sd15"), ("sdxl", "sdxl"), ("sd2", "sd2"), ("flux", "flux"), ("qwen_image", "qwen_image"),
                       ("z_image", "z_image"), ("unsure", "sd15"), ("unsure", "flux"), ("unsure", "wan"), ("flux or chroma", "flux"),
                       ("flux or chroma", "chroma"), ("flux canny", "flux")):  # fmt: skip
        cases[f"a LoRA for {name} on {base}"] = {**network(base), **lora_on(name, "net")}
    second = sampling("load", "load")["sample"]
    second["inputs"]["latent_image"] = of("sample", "LATENT")
    cases["a second pass over what the first made"] = {
        **checkpoint("sd15"), **sampling("load", "load", "load"), "again": second,
        "more": {"type": "SaveLatent", "inputs": {"samples": of("again", "LATENT")}},
    }  # fmt: skip
    return cases


RIGHT = right()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_pairing_is_refused_where_it_can_be_mended(name: str, check: Any) -> None:
    nodes, places = WRONG[name]

    assert sorted(set(check({"graphflow": 1, "nodes": nodes}))) == sorted(places)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_pairing_is_let_through(name: str, check: Any) -> None:
    assert check({"graphflow": 1, "nodes": RIGHT[name]}) == []

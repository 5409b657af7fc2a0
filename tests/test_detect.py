"""What a file is, seen from its header; what cannot be a model is refused with the reason."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graphflow.detect import Part, describe, detect, read_header, require
from graphflow.errors import NotFound, UnsupportedFile
from graphflow.paths import builtin_models
from tests.tiny import golden_sd15


def written(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def of(*keys: str, **shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(shapes.get(key, (1,))) for key in keys}


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_checkpoint_is_its_family_with_its_parts(tmp_path: Path) -> None:
    found = detect(golden_sd15(tmp_path).path)

    assert (found.kind, found.family, found.dtype, found.lacks) == ("checkpoint", "sd15", "F32", ())
    assert found.parts == (
        Part("model", "sd15", "model.diffusion_model."),
        Part("vae", "kl", "first_stage_model."),
        Part("clip_l", "", "cond_stage_model.transformer."),
    )


def test_a_diffusers_folder_is_its_family_with_its_parts() -> None:
    found = detect(builtin_models() / "checkpoints" / "graphflow-emoji")

    assert (found.kind, found.family, found.format, found.lacks) == ("checkpoint", "sd15", "diffusers", ())
    assert [part.name for part in found.parts] == ["model", "clip_l", "vae"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"not json", "damaged header"),
        (b"[]", "no object"),
        (b"[" * 200_000, "damaged header"),
        ({"a": tensor(0, 4, [1]), "b": tensor(2, 6, [1])}, "overlaps"),
        ({"a": tensor(0, 8, [1])}, "8 bytes where its shape"),
        ({"a": tensor(0, 4 * 2**40, [2**40])}, "cut off: its tensors need 4,398,046,511,104 bytes"),
        ({"a": tensor(0, 4, [-1, -1])}, "negative"),
        ({"a": tensor(0, 4, [1], "F99")}, "unknown dtype 'F99'"),
        ({"a": {"shape": [1]}}, "damaged header"),
        (b'{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "a": {}}', "'a' stands twice"),
    ],
)
def test_a_damaged_header_is_refused_with_the_reason(tmp_path: Path, header: object, reason: str) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        read_header(written(tmp_path / "bad.safetensors", header, b"\0" * 8))


def test_a_header_that_claims_terabytes_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**42).to_bytes(8, "little") + b"{}")

    with pytest.raises(UnsupportedFile, match="claims 4,398,046,511,104 bytes"):
        read_header(path)


@pytest.mark.parametrize("size", [0, 3, 100])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "whole.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(UnsupportedFile, match="cut off"):
        read_header(path)


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors", "model.pth"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))

    with pytest.raises(UnsupportedFile, match=r"is a pickle.*\.safetensors, or convert it"):
        detect(tmp_path / name)


@pytest.mark.parametrize("length", [0x0580, 0x4B50])
def test_a_header_whose_length_looks_like_a_pickle_is_none(tmp_path: Path, length: int) -> None:
    text = json.dumps({"a": tensor(0, 4, [1])}).encode()

    found = read_header(written(tmp_path / "odd.safetensors", text + b" " * (length - len(text)), b"\0" * 4))

    assert list(found.tensors) == ["a"]


def test_a_missing_file_and_a_missing_shard_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not there"):
        detect(tmp_path / "gone.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    save_file({"a": torch.zeros(1)}, tmp_path / "one.safetensors")

    with pytest.raises(NotFound, match=r"1 of 2 shards are missing, the first is two\.safetensors"):
        detect(index)


def test_a_shard_outside_the_folder_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))

    with pytest.raises(UnsupportedFile, match="outside its folder"):
        detect(index)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (struct.pack("<IQQ", 99, 0, 0), "version 99"),
        (struct.pack("<IQQ", 3, 2**60, 0), "claims"),
        (struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**50), "past the end"),
        (struct.pack("<IQQ", 3, 1, 0), "past the end"),
    ],
)
def test_a_damaged_gguf_file_is_refused_with_the_reason(tmp_path: Path, body: bytes, reason: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + body)

    with pytest.raises(UnsupportedFile, match=reason):
        read_header(path)


def test_an_unknown_file_says_what_would_be_known(tmp_path: Path) -> None:
    path = tmp_path / "what.safetensors"
    save_file({"something.weight": torch.zeros(2)}, path)
    found = detect(path)

    assert found.kind == "unknown"
    assert "Stable Diffusion 1.5" in describe(found)
    with pytest.raises(UnsupportedFile, match="holds no denoising network"):
        require(found, path, part="model")


def test_a_lora_in_place_of_a_checkpoint_says_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file({f"{name}.lora_down.weight": torch.zeros(4, 768), f"{name}.lora_up.weight": torch.zeros(320, 4)}, path)
    found = detect(path)

    assert (found.kind, found.family) == ("lora", "sd15")
    with pytest.raises(UnsupportedFile, match=r"it is a lora for Stable Diffusion 1\.5; put it into loras/"):
        require(found, path, part="model")


# --- LoRAs, by the names and widths of published ones ----------------------------------------------------------------

UNET = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
LORAS: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "kohya sd15": ({"lora_unet_" + UNET.replace(".", "_"): 768}, ("sd15",)),
    "kohya sdxl": ({"lora_unet_" + UNET.replace(".", "_"): 2048, "lora_te2_text_model_encoder_layers_0_mlp_fc1": 1280}, ("sdxl",)),
    "kohya sdxl, text alone": ({"lora_te2_text_model_encoder_layers_0_mlp_fc1": 1280}, ("sdxl",)),
    "diffusers sdxl": ({f"unet.{UNET}": 2048}, ("sdxl",)),
    "peft sd2": ({f"base_model.model.{UNET}": 1024}, ("sd2",)),
    "kohya flux": (
        {"lora_unet_double_blocks_18_img_attn_qkv": 3072, "lora_unet_double_blocks_18_img_mod_lin": 3072,
         "lora_unet_single_blocks_37_linear1": 3072, "lora_te1_text_model_encoder_layers_0_mlp_fc1": 768}, ("flux",),
    ),
    "ai-toolkit flux": (
        {"transformer.transformer_blocks.18.attn.to_q": 3072, "transformer.transformer_blocks.18.norm1.linear": 3072,
         "transformer.single_transformer_blocks.37.proj_mlp": 3072}, ("flux",),
    ),
    "flux or chroma": (
        {"transformer.transformer_blocks.18.attn.to_q": 3072, "transformer.single_transformer_blocks.37.attn.to_q": 3072},
        ("chroma", "flux"),
    ),
    "flux2 klein 9b": ({"diffusion_model.double_blocks.7.img_attn.qkv": 4096, "diffusion_model.single_blocks.23.linear1": 4096}, ("flux2",)),
    "flux2 dev": ({"transformer.transformer_blocks.7.attn.to_q": 6144, "transformer.single_transformer_blocks.47.attn.to_qkv_mlp_proj": 6144}, ("flux2",)),
    "kohya sd3": (
        {"lora_unet_joint_blocks_23_x_block_attn_qkv": 1536, "lora_te2_text_model_encoder_layers_0_mlp_fc1": 1280,
         "lora_te3_encoder_block_0_layer_0_SelfAttention_q": 4096}, ("sd3",),
    ),
    "diffusers sd3.5 large": ({"transformer.transformer_blocks.37.attn.add_q_proj": 2432}, ("sd3",)),
    "qwen-image, attention alone": (
        {"transformer_blocks.59.attn.to_q": 3072, "transformer_blocks.59.attn.add_q_proj": 3072}, ("qwen_image",),
    ),
    "kohya qwen-image": ({"lora_unet_transformer_blocks_0_img_mlp_net_2": 12288, "lora_unet_transformer_blocks_0_attn_to_q": 3072}, ("qwen_image",)),
    "z-image": ({"diffusion_model.layers.0.attention.to_q": 3840, "diffusion_model.layers.0.feed_forward.w1": 3840}, ("z_image",)),
    "lumina2": ({"diffusion_model.layers.0.attention.qkv": 2304}, ("lumina2",)),
    "auraflow": ({"transformer.joint_transformer_blocks.0.attn.add_q_proj": 3072}, ("auraflow",)),
    "hidream": ({"diffusion_model.double_stream_blocks.0.block.attn1.to_q": 2560}, ("hidream",)),
    "wan": ({"diffusion_model.blocks.39.self_attn.q": 5120, "diffusion_model.blocks.39.cross_attn.k_img": 5120}, ("wan",)),
    "kohya wan": ({"lora_unet_blocks_0_cross_attn_v": 1536}, ("wan",)),
    "sana": ({"transformer.transformer_blocks.0.attn1.to_q": 2240}, ("sana",)),
    "xlabs flux": ({"double_blocks.18.processor.qkv_lora1": 3072}, ("flux",)),
    "xlabs flux, single blocks": ({"single_blocks.37.processor.qkv_lora": 3072, "single_blocks.37.processor.proj_lora": 15360}, ("flux",)),
    "the model on board": ({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": 192}, ("sd15",)),
    "sd15 or sd2": ({"lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q": 320}, ("sd15", "sd2")),
    "nothing that is known": ({"lora_unet_something": 768}, ()),
}  # fmt: skip
"""Modules with the width that each is asked with."""


@pytest.mark.parametrize("name", LORAS)
@pytest.mark.parametrize(("down", "up"), [("lora_down", "lora_up"), ("lora_A", "lora_B")])
def test_a_lora_is_told_by_names_and_widths(tmp_path: Path, name: str, down: str, up: str) -> None:
    modules, families = LORAS[name]
    ends = {down: lambda width: torch.zeros(1, width), up: lambda width: torch.zeros(1, 1)}
    if name.startswith("xlabs"):
        ends = {"down": ends[down], "up": ends[up]}
    tensors = {f"{m}.{end}.weight": make(width) for m, width in modules.items() for end, make in ends.items()}
    save_file(tensors, tmp_path / "lora.safetensors")

    found = detect(tmp_path / "lora.safetensors")

    assert found.kind == "lora"
    assert (found.family, *found.details["also"]) == (families or ("",))


def test_the_lora_on_board_is_for_the_model_on_board() -> None:
    lora, model = (
        detect(builtin_models() / name) for name in ("loras/graphflow-ink.safetensors", "checkpoints/graphflow-emoji")
    )

    assert (lora.kind, lora.families) == ("lora", (model.family,))


# --- upscalers -------------------------------------------------------------------------------------------------------

UPSCALERS: dict[str, dict[str, tuple[int, ...]]] = {
    "ESRGAN of old": {"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)},
    "RealESRGAN_x4plus": {"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)},
    "the same, wrapped": {"params_ema.conv_first.weight": (64, 3, 3, 3), "params_ema.body.0.rdb1.conv1.weight": (32, 64, 3, 3)},
    "realesr-general-x4v3": {"body.0.weight": (64, 3, 3, 3), "body.1.weight": (64,), "body.2.weight": (64, 64, 3, 3)},
    "SwinIR": {"conv_first.weight": (180, 3, 3, 3), "layers.0.residual_group.blocks.0.norm1.weight": (180,)},
}  # fmt: skip


@pytest.mark.parametrize("name", UPSCALERS)
def test_an_upscaler_is_told_from_other_models(tmp_path: Path, name: str) -> None:
    save_file({key: torch.zeros(shape) for key, shape in UPSCALERS[name].items()}, tmp_path / "up.safetensors")

    found = detect(tmp_path / "up.safetensors")

    assert (found.kind, found.family) == ("upscale_model", "")
    assert "put it into upscale_models/ and load it with UpscaleModelLoader" in describe(found)

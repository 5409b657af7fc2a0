"""fp8 and GGUF: smaller files and smaller weights, nearly the same predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow.detect import detect
from graphflow.diffusion.network import RowCond
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.models import Residency, loaded
from graphflow.models.packed import Packed, plain, shapes_of, unpacked
from graphflow.models.weights import nbytes
from graphflow.node import File, Row
from graphflow.values import Lora, Model
from graphflow_nodes.loaders import unet_loader
from graphflow_nodes.merging import model_merge_simple
from tests.tiny import TINY, config_of, file, network, original_state, single_file, write_config

FLUX = TINY["flux"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def predict(model: Model) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    with loaded(model) as live:
        cond = RowCond(
            live.parametrisation, torch.randn(1, 6, 32, generator=generator), torch.randn(1, 32, generator=generator)
        )
        (out,) = live.predict([Row(live, torch.randn(1, 16, 8, 8, generator=generator), torch.tensor(0.5), cond)])
    return out


def content(home: Residency, model: Model) -> Any:
    def load() -> Any:
        raise AssertionError("it is loaded already")

    return home.get(model.weights, load).content


def written(folder: Path, state: dict[str, Tensor], name: str) -> File:
    path = folder / f"{name}.safetensors"
    save_file(state, path)
    write_config(path, "transformer", config_of(FLUX.config))
    return file(path)


def linears(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor for name, tensor in original_state(module, FAMILIES["flux"].layout).items() if tensor.ndim == 2
    }


@pytest.mark.parametrize("dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
def test_fp8_storage_takes_less_memory_for_a_small_loss(
    tmp_path: Path, home: Residency, dtype: Literal["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
) -> None:
    one = single_file(tmp_path, FLUX, network(FLUX))
    plain, small = unet_loader(one), unet_loader(one, dtype)

    exact, near = predict(plain), predict(small)

    kept, whole = (content(home, model).module.single_transformer_blocks[0].attn for model in (small, plain))
    assert nbytes(kept) < 0.3 * nbytes(whole)
    assert 0 < (exact - near).abs().max() < 0.2 * exact.abs().max()


def test_a_file_in_fp8_is_kept_in_fp8(tmp_path: Path, home: Residency) -> None:
    state = original_state(network(FLUX), FAMILIES["flux"].layout)
    eight = {k: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for k, t in state.items()}
    model = unet_loader(written(tmp_path, eight, "eight"))

    predict(model)

    assert detect(tmp_path / "eight.safetensors").dtype == "F8_E4M3"
    kept = content(home, model).module.transformer_blocks[0].attn.to_q.weight
    assert kept.dtype is torch.float8_e4m3fn


def test_loras_apply_to_fp8_weights(tmp_path: Path) -> None:
    model = unet_loader(single_file(tmp_path, FLUX, network(FLUX)), "fp8_e4m3fn")
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file({f"{name}.lora_up.weight": torch.randn(96, 2), f"{name}.lora_down.weight": torch.randn(2, 32)},
              tmp_path / "lora.safetensors")  # fmt: skip
    patched = model.patched(Lora(file(tmp_path / "lora.safetensors"), 1.0))

    before, with_lora, after = predict(model), predict(patched), predict(model)

    assert (with_lora - before).abs().max() > 1e-3
    assert torch.equal(before, after)


def write_gguf(path: Path, state: dict[str, Tensor], kind: gguf.GGMLQuantizationType) -> File:
    writer = gguf.GGUFWriter(str(path), "flux")
    for name, tensor in state.items():
        data = tensor.numpy().astype(np.float32)
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_config(path, "transformer", config_of(FLUX.config))
    return file(path)


@pytest.mark.parametrize(("kind", "loss"), [("F16", 0.005), ("Q8_0", 0.05), ("Q5_1", 0.3), ("Q4_0", 0.6)])
def test_a_gguf_file_is_detected_and_read(tmp_path: Path, kind: str, loss: float) -> None:
    module = network(FLUX)
    state = original_state(module, FAMILIES["flux"].layout)
    small = write_gguf(tmp_path / "flux.gguf", state, gguf.GGMLQuantizationType[kind])
    found = detect(small.path)
    assert (found.family, found.format, found.kind) == ("flux", "gguf", "model")
    assert found.dtype == kind

    near = predict(unet_loader(small))
    exact = predict(unet_loader(single_file(tmp_path, FLUX, module)))

    assert (exact - near).abs().max() < loss * exact.abs().max()


# --- packed ----------------------------------------------------------------------------------------------------------

KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]


@pytest.mark.parametrize("name", KINDS)
def test_blocks_are_unpacked_as_the_format_s_own_library_unpacks_them(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    block, size = gguf.constants.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(0).integers(0, 256, (3, 2 * size), dtype=np.uint8)
    expected = torch.from_numpy(gguf.quants.dequantize(data, kind))

    ours = unpacked(torch.from_numpy(data.view(np.int8)), kind, (3, 2 * block), torch.float32)

    sane = expected.isfinite() & (expected.abs() < 1e4)  # random bytes are also scales
    assert sane.float().mean() > 0.3
    torch.testing.assert_close(ours[sane], expected[sane], atol=1e-3, rtol=2e-3)


def small_gguf(folder: Path, kind: str = "Q8_0") -> Model:
    state = original_state(network(FLUX), FAMILIES["flux"].layout)
    return unet_loader(write_gguf(folder / f"flux {kind}.gguf", state, gguf.GGMLQuantizationType[kind]))


def test_a_gguf_network_stays_packed_in_memory(tmp_path: Path, home: Residency) -> None:
    packed, whole = small_gguf(tmp_path, "Q4_0"), unet_loader(single_file(tmp_path, FLUX, network(FLUX)))
    predict(packed), predict(whole)

    attention, plain = (content(home, model).module.transformer_blocks[0].attn for model in (packed, whole))
    assert isinstance(attention.to_q, Packed)
    assert attention.to_q.is_packed  # though the file has query, key and value in one
    assert nbytes(attention) < 0.4 * nbytes(plain)


def test_patches_go_on_and_off_packed_weights(tmp_path: Path, home: Residency) -> None:
    model = small_gguf(tmp_path)
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file({f"{name}.lora_up.weight": torch.randn(96, 2), f"{name}.lora_down.weight": torch.randn(2, 32)},
              tmp_path / "lora.safetensors")  # fmt: skip
    lora = Lora(file(tmp_path / "lora.safetensors"), 1.0)
    with loaded(model):
        dense = {k: plain(content(home, model).module, k) for k in shapes_of(content(home, model).module)}
    save_file(dense, tmp_path / "dense.safetensors")
    write_config(tmp_path / "dense.safetensors", "transformer", config_of(FLUX.config))
    unpacked_model = unet_loader(file(tmp_path / "dense.safetensors"))

    before, patched, after = predict(model), predict(model.patched(lora)), predict(model)
    mixed = predict(model_merge_simple(model, unpacked_model.patched(lora), 0.5))

    assert torch.equal(before, after)
    torch.testing.assert_close(before, predict(unpacked_model), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(patched, predict(unpacked_model.patched(lora)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        mixed, predict(model_merge_simple(unpacked_model, unpacked_model.patched(lora), 0.5)), atol=1e-5, rtol=1e-4
    )
    assert torch.equal(predict(model), before)
    assert content(home, model).module.transformer_blocks[0].attn.to_q.is_packed


def test_a_packed_network_larger_than_the_device_visits_it_layer_by_layer(tmp_path: Path) -> None:
    model = small_gguf(tmp_path)
    expected = predict(model)

    with Residency(device="cpu", dtype="float32", limit=10_000).active():
        assert torch.equal(predict(model), expected)


def test_a_packed_matrix_of_another_size_is_refused(tmp_path: Path) -> None:
    state = original_state(network(FLUX), FAMILIES["flux"].layout)
    state["double_blocks.0.img_attn.qkv.weight"] = torch.randn(96, 64)
    wrong = write_gguf(tmp_path / "wrong.gguf", state, gguf.GGMLQuantizationType.Q8_0)

    with pytest.raises(UnsupportedFile, match=r"double_blocks.0.img_attn.qkv.weight is \[96, 64\] where \[96, 32\]"):
        predict(unet_loader(wrong))

"""fp8 weights with a factor each, as published files have them: kept so, computed with as if they were multiplied out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.detect import detect
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.models import Residency, loaded
from graphflow.models.packed import Packed
from graphflow.models.weights import nbytes
from graphflow.node import File
from graphflow.values import Lora
from graphflow_nodes.loaders import clip_loader, unet_loader
from tests.test_storage import FLUX, content, predict
from tests.test_text_encoders import t5, write_tokenizer
from tests.tiny import config_of, file, network, original_state, write_config


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def eight_bits(state: dict[str, Tensor], style: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A file's tensors in scaled fp8, and the same multiplied out."""
    scaled, whole = dict(state), dict(state)
    for key in [key for key, tensor in state.items() if tensor.ndim == 2]:
        stem, rows = key.removesuffix("weight"), state[key].float()
        factor = (rows.abs().amax(dim=1, keepdim=True) if style == "rows" else rows.abs().max()) / 448 + 1e-9
        scaled[key] = (rows / factor).to(torch.float8_e4m3fn)
        whole[key] = scaled[key].float() * factor
        if style == "old":
            scaled |= {f"{stem}scale_weight": factor.reshape(1), f"{stem}scale_input": torch.ones(1)}
        else:
            mark = torch.frombuffer(bytearray(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
            scaled |= {f"{stem}weight_scale": factor, f"{stem}input_scale": torch.ones(()), f"{stem}comfy_quant": mark}
    return (scaled | {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)} if style == "old" else scaled), whole


def written(folder: Path, state: dict[str, Tensor], name: str, prefix: str = "") -> File:
    path = folder / f"{name}.safetensors"
    save_file({prefix + key: tensor.contiguous() for key, tensor in state.items()}, path)
    write_config(path, "transformer", config_of(FLUX.config))
    return file(path)


@pytest.mark.parametrize("style", ["old", "new", "rows"])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_network_in_scaled_fp8_says_what_its_multiplied_weights_say(
    tmp_path: Path, home: Residency, style: str, prefix: str
) -> None:
    scaled, whole = eight_bits(original_state(network(FLUX), FAMILIES["flux"].layout), style)
    small, large = (unet_loader(written(tmp_path, s, n, prefix)) for s, n in ((scaled, "scaled"), (whole, "whole")))

    torch.testing.assert_close(predict(small), predict(large), atol=1e-6, rtol=1e-5)

    assert detect(tmp_path / "scaled.safetensors").family == "flux"
    kept, full = (content(home, model).module.transformer_blocks[0].attn for model in (small, large))
    assert isinstance(kept.to_q, Packed)
    assert kept.to_q.is_packed
    assert nbytes(kept) < 0.35 * nbytes(full)


def test_a_lora_on_scaled_fp8_is_exact_and_leaves_no_trace(tmp_path: Path, home: Residency) -> None:
    scaled, whole = eight_bits(original_state(network(FLUX), FAMILIES["flux"].layout), "new")
    small, large = (unet_loader(written(tmp_path, s, n)) for s, n in ((scaled, "scaled"), (whole, "whole")))
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file({f"{name}.lora_up.weight": torch.randn(96, 2), f"{name}.lora_down.weight": torch.randn(2, 32)},
              tmp_path / "lora.safetensors")  # fmt: skip
    lora = Lora(file(tmp_path / "lora.safetensors"), 1.0)

    before, patched, after = predict(small), predict(small.patched(lora)), predict(small)

    torch.testing.assert_close(patched, predict(large.patched(lora)), atol=1e-5, rtol=1e-4)
    assert (patched - before).abs().max() > 1e-3
    assert torch.equal(before, after)


def test_a_scaled_network_larger_than_the_device_visits_it_layer_by_layer(tmp_path: Path) -> None:
    scaled, _ = eight_bits(original_state(network(FLUX), FAMILIES["flux"].layout), "rows")
    model = unet_loader(written(tmp_path, scaled, "scaled"))
    expected = predict(model)

    with Residency(device="cpu", dtype="float32", limit=10_000).active():
        assert torch.equal(predict(model), expected)


@pytest.mark.parametrize("style", ["old", "new", "plain"])
@torch.inference_mode()
def test_a_text_encoder_in_fp8_stays_so(tmp_path: Path, home: Residency, style: str) -> None:
    module: Any = t5(32)
    state = {key: tensor for key, tensor in module.state_dict().items() if key != "encoder.embed_tokens.weight"}
    if style == "plain":
        eight = {k: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for k, t in state.items()}
        whole = {k: t.float() for k, t in eight.items()}
    else:
        eight, whole = eight_bits(state, style)
    contexts, sizes = [], []
    for name, tensors in (("eight", eight), ("whole", whole)):
        save_file({k: t.contiguous() for k, t in tensors.items()}, tmp_path / f"{name}.safetensors")
        write_config(tmp_path / f"{name}.safetensors", "text_encoder", module.config.to_dict())
        write_tokenizer((tmp_path / name).with_suffix(".config") / "tokenizer")
        recipe = clip_loader(file(tmp_path / f"{name}.safetensors"), "chroma")
        with loaded(recipe) as encoder:
            contexts.append(encoder.encode("a red cat").entries[0].context)
        (kept,) = content(home, recipe).modules
        sizes.append(nbytes(kept.encoder.block[0]))

    torch.testing.assert_close(contexts[0], contexts[1], atol=1e-5, rtol=1e-4)
    assert sizes[0] < 0.4 * sizes[1]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"weight_scale": torch.ones(4, 2).to(torch.float8_e4m3fn), "weight_scale_2": torch.ones(())}, "NVFP4"),
        ({"weight_scale": torch.ones(4, 2, dtype=torch.uint8)}, "MXFP8"),
        ({"weight": torch.zeros(4, 4, dtype=torch.int8), "weight_scale": torch.ones(4, 1)}, "INT8"),
        ({"weight.absmax": torch.ones(1), "weight.quant_state.bitsandbytes__nf4": torch.ones(1)}, "NF4"),
        ({"qweight": torch.zeros(4, 4, dtype=torch.int32), "wscales": torch.ones(4)}, "SVDQuant"),
    ],
)
def test_other_ways_to_keep_weights_in_few_bits_are_refused_by_name(
    tmp_path: Path, more: dict[str, Tensor], what: str
) -> None:
    state = original_state(network(FLUX), FAMILIES["flux"].layout)
    stem = "double_blocks.0.img_attn.qkv."
    save_file({**state, **{stem + end: tensor for end, tensor in more.items()}}, tmp_path / "flux.safetensors")

    with pytest.raises(
        UnsupportedFile, match=rf"flux\.safetensors keeps its weights as {what}.*take the same model in"
    ):
        unet_loader(file(tmp_path / "flux.safetensors"))

"""Text encoders in GGUF, as llama.cpp writes them, encode as their classes do, with the vocabulary in their header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import nn

from graphflow.detect import detect, read_header
from graphflow.errors import UnsupportedFile
from graphflow.families.common.base import Template
from graphflow.gguf_names import NAMES
from graphflow.models import Residency, loaded, residency
from graphflow.models.packed import Packed
from graphflow.node import File
from graphflow_nodes.loaders import clip_loader, dual_clip_loader
from tests.test_text_encoders import clip
from tests.test_text_encoders import write as write_safetensors
from tests.tiny import file, write_config

PIECES = ["<pad>", "</s>", "<unk>", "▁a", "▁red", "▁cat", "▁", "c", "a", "t", "e", "r", "d"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def t5(*, umt5: bool = False) -> Any:
    from transformers import T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

    torch.manual_seed(1)
    options: dict[str, Any] = {
        "vocab_size": 120, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    }  # fmt: skip
    return (UMT5EncoderModel(UMT5Config(**options)) if umt5 else T5EncoderModel(T5Config(**options))).eval()


def llm(kind: str) -> Any:
    import transformers

    torch.manual_seed(2)
    options = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
               "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}  # fmt: skip
    module = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**options)).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def as_llama_cpp(architecture: str, module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's tensors as llama.cpp's converter writes them: its names, and its own order and offset of some."""
    names = {ours: theirs for theirs, ours in NAMES[architecture].items()}
    prefix = "" if architecture.startswith("t5") else "model."
    config: Any = module.config
    found = {}
    for name, tensor in module.state_dict().items():
        path, _, parameter = (prefix + name).rpartition(".")
        number = re.search(r"(?:block|layers)\.(\d+)\.", path)
        theirs = names.get(re.sub(r"((?:block|layers))\.\d+\.", r"\1.*.", path, count=1))
        if theirs is None:
            continue
        if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
        if architecture == "gemma2" and name.endswith("norm.weight"):
            tensor = tensor + 1
        found[f"{theirs.replace('*', number[1] if number else '')}.{parameter}"] = tensor
    return found


def write(folder: Path, architecture: str, module: Any, kind: str = "F32") -> File:
    """A GGUF file with a tiny vocabulary."""
    path = folder / f"{architecture} {kind}.gguf"
    writer = gguf.GGUFWriter(str(path), architecture)
    if architecture.startswith("t5"):
        writer.add_tokenizer_model("t5")
        tokens = PIECES + [f"[PAD{n}]" for n in range(120 - len(PIECES))]
        writer.add_token_list(tokens)
        writer.add_token_scores([-float(n) for n in range(len(tokens))])
        writer.add_eos_token_id(1)
        writer.add_pad_token_id(0)
        writer.add_unk_token_id(2)
    else:
        config = module.config
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        letters = [chr(n) for n in range(ord("!"), ord("~") + 1)] + ["Ġ"]
        writer.add_token_list(letters + ["ca", "cat"] + [f"unused{n}" for n in range(300 - len(letters) - 2)])
        writer.add_token_merges(["c a", "ca t"])
        writer.add_eos_token_id(1)
        writer.add_pad_token_id(0)
    types = gguf.GGMLQuantizationType[kind]
    for name, tensor in as_llama_cpp(architecture, module).items():
        data = tensor.numpy().astype(np.float32)
        if kind != "F32" and data.ndim == 2 and data.shape[1] % 32 == 0 and "rel_b" not in name:
            writer.add_tensor(name, gguf.quants.quantize(data, types), raw_dtype=types)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_config(path, "text_encoder", module.config.to_dict())
    return file(path)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
@pytest.mark.parametrize(("architecture", "umt5"), [("t5encoder", False), ("t5", False), ("t5encoder", True)])
@torch.inference_mode()
def test_t5_in_gguf_encodes_as_t5(tmp_path: Path, architecture: str, umt5: bool, kind: str) -> None:
    module = t5(umt5=umt5)
    written = write(tmp_path, architecture, module, kind)
    assert [part.name for part in detect(written.path).parts] == ["umt5" if umt5 else "t5"]

    with loaded(clip_loader(written, "wan" if umt5 else "chroma")) as encoder:
        (cond,) = encoder.encode("a red cat").entries

    ids = torch.tensor([[3, 4, 5, 1]])  # a, red, cat, end
    expected = module(input_ids=ids).last_hidden_state
    loss = 1e-5 if kind == "F32" else 0.1 * float(expected.abs().max())
    torch.testing.assert_close(cond.context[:, :4], expected, atol=loss, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "kind", "type"),
    [("qwen3", "Qwen3", "z_image"), ("qwen2vl", "Qwen2", "qwen_image"), ("gemma2", "Gemma2", "lumina2")],
)
@pytest.mark.parametrize("packing", ["F32", "Q8_0"])
@torch.inference_mode()
def test_a_language_model_in_gguf_encodes_as_its_class(
    tmp_path: Path, architecture: str, kind: str, type: Any, packing: str
) -> None:
    module = llm(kind)

    with loaded(clip_loader(write(tmp_path, architecture, module, packing), type)) as encoder:
        content = encoder_of(encoder)
        held = content.encoders[0]
        (cond,) = encoder.encode("cat").entries
        ids = held.vocabulary.words("cat")

    assert len(ids) == 1
    got = held.told("cat", Template()).context
    states = module(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    wanted = [states[n] for n in held.part.layers] or [states[-1]]
    expected = torch.cat(wanted, dim=-1)
    loss = 1e-5 if packing == "F32" else 0.1 * float(expected.abs().max())
    torch.testing.assert_close(got, expected, atol=loss, rtol=1e-4)
    assert cond.context.isfinite().all()
    assert any(isinstance(m, Packed) and m.is_packed for m in held.module.modules()) == (packing != "F32")


def encoder_of(encoder: Any) -> Any:
    def load() -> Any:
        raise AssertionError("it is loaded already")

    return residency().get(encoder._recipe.weights, load).content


@pytest.mark.parametrize("packing", ["F32", "Q8_0"])
@torch.inference_mode()
def test_llama_s_rows_are_put_back_in_order(tmp_path: Path, packing: str) -> None:
    from graphflow.models.tensors import opened, raw

    module = llm("Llama")
    written = write(tmp_path, "llama", module, packing)

    with opened(written.path) as (_, tensors):
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
            ours = module.state_dict()[f"layers.0.{name}.weight"]
            torch.testing.assert_close(tensors.get(f"model.layers.0.{name}.weight"), ours, atol=2e-2, rtol=1e-2)
            if packing != "F32":
                from graphflow.models.packed import unpacked

                found = raw(tensors, f"model.layers.0.{name}.weight")
                assert found is not None
                again = unpacked(found.rows, found.kind, (len(found.rows), found.columns), torch.float32)
                torch.testing.assert_close(again, ours, atol=2e-2, rtol=1e-2)


def test_flux_takes_its_t5_in_gguf(tmp_path: Path) -> None:
    files = [write_safetensors(tmp_path, "l", clip(16), tokenizer=False), write(tmp_path, "t5encoder", t5(), "Q8_0")]

    with loaded(dual_clip_loader(files[0], files[1], "flux")) as encoder:
        (cond,) = encoder.encode("a red cat").entries

    assert cond.context.shape == (1, 256, 32)
    assert cond.pooled is not None


def test_a_vocabulary_is_passed_over_when_a_file_is_only_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "many.gguf"
    writer = gguf.GGUFWriter(str(path), "t5encoder")
    writer.add_token_list([f"word{n}" for n in range(5000)])
    writer.add_token_scores([float(n) for n in range(5000)])
    writer.add_tensor("enc.blk.0.attn_q.weight", np.zeros((4, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    header = read_header(path)

    assert header.metadata["tokenizer.ggml.tokens"] == 5000
    assert list(header.tensors) == ["encoder.block.0.layer.0.SelfAttention.q.weight"]
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UnsupportedFile, match="runs past the end of the file"):
        read_header(path)

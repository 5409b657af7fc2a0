"""Flux 2's prompts: dev's go through Mistral, Klein's through Qwen3, each in the words it was trained with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from graphflow.detect import detect
from graphflow.families import FAMILIES
from graphflow.models import Residency, loaded
from graphflow.models.language import LanguageEncoder
from graphflow.models.tokenizers import Vocabulary
from graphflow_nodes.loaders import clip_loader
from tests.test_text_encoders import WORDS, write_tokenizer
from tests.tiny import file, write_config

SAID = (
    "[SYSTEM_PROMPT]You are an AI that reasons about image descriptions. You give structured responses focusing on "
    "object relationships, object\nattribution and actions without speculation.[/SYSTEM_PROMPT][INST]a cat[/INST]"
)


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def letters() -> Vocabulary:
    """A token for each letter, two marks in one."""
    return Vocabulary(lambda text: [1, *(3 + ord(c) % 13 for c in text.removeprefix("<s>"))], None, 2, 0)


@torch.inference_mode()
def test_flux_2_dev_looks_at_three_layers_of_mistral_filled_up_on_the_left() -> None:
    from transformers import MistralConfig, MistralModel

    torch.manual_seed(3)
    options: dict[str, Any] = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 31,
               "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}  # fmt: skip
    module = MistralModel(MistralConfig(**options)).eval()
    (part,) = [part for part in FAMILIES["flux2"].text if part.name == "mistral3"]

    encoded = LanguageEncoder("mistral3", module, letters(), part).encode("a cat", {}, None)

    ids = [1, *(3 + ord(c) % 13 for c in SAID)]
    filled = torch.tensor([[0] * (512 - len(ids)) + ids])
    states = module(input_ids=filled, attention_mask=(filled > 0).int(), output_hidden_states=True).hidden_states
    expected = torch.cat([states[n] for n in (10, 20, 30)], dim=-1)
    torch.testing.assert_close(encoded.context[:, -len(ids) :], expected[:, -len(ids) :], atol=1e-5, rtol=1e-4)
    assert encoded.context.shape == (1, 512, 48)


def test_klein_s_prompts_end_where_its_pipeline_lets_the_answer_begin() -> None:
    (part,) = [part for part in FAMILIES["flux2"].text if part.name == "qwen3"]
    around = part.template

    assert around.before + "a cat" + around.after == (
        "<|im_start|>user\na cat<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


@torch.inference_mode()
def test_a_mistral_cut_after_its_thirtieth_layer_says_what_the_whole_one_says(tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralModel

    torch.manual_seed(3)
    options: dict[str, Any] = {"vocab_size": len(WORDS), "hidden_size": 5120, "intermediate_size": 8, "num_hidden_layers": 30,
               "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2, "pad_token_id": 0}  # fmt: skip
    module = MistralModel(MistralConfig(**options)).eval()
    state = {f"model.{key}": tensor for key, tensor in module.state_dict().items() if key != "norm.weight"}
    path = tmp_path / "mistral.safetensors"
    save_file(state, path)
    write_config(path, "text_encoder", module.config.to_dict())
    write_tokenizer(path.with_suffix(".config") / "tokenizer")

    with loaded(clip_loader(file(path), "flux2")) as encoder:
        (cond,) = encoder.encode("cat").entries

    assert [part.name for part in detect(path).parts] == ["mistral3"]
    module.norm = torch.nn.Identity()
    ids = [WORDS.index(word) if word in WORDS else 0 for word in f"<s>{SAID}".replace("a cat", "cat").split()]
    filled = torch.tensor([[0] * (512 - len(ids)) + ids])
    mask = torch.tensor([[0] * (512 - len(ids)) + [1] * len(ids)])
    states = module(input_ids=filled, attention_mask=mask, output_hidden_states=True).hidden_states
    expected = torch.cat([states[n] for n in (10, 20, 30)], dim=-1)
    torch.testing.assert_close(cond.context[:, -len(ids) :], expected[:, -len(ids) :], atol=1e-4, rtol=1e-3)

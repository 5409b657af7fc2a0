"""T5 and language models as text encoders: one sequence a prompt, no chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, count
from graphflow.diffusion import prompts
from graphflow.diffusion.prompts import Chunk
from graphflow.families.common.base import Encoded, Template, TextPart
from graphflow.layouts import Entry, Layout
from graphflow.models import seeing
from graphflow.models.offloading import device_of
from graphflow.models.tokenizers import Vocabulary
from graphflow.node import File


@dataclass
class SequenceEncoder:
    """T5 or UMT5: weights as CLIP's, by distance from the empty prompt's encoding at the same place."""

    name: str
    module: nn.Module
    vocabulary: Vocabulary
    part: TextPart

    def encode(self, text: str, files: Mapping[str, File], layer: int | None, *, chunks: int = 0) -> Encoded:
        """(1, T, D); T is the prompt's tokens with the end token, filled up to the family's least."""
        tokens = prompts.unbroken(text, self.vocabulary, least=self.part.least, padding=self.part.padding)
        hidden, mask = self._run(tokens)
        if any(weight != 1.0 for _, weight in tokens):
            nothing, _ = self._run(prompts.unbroken("", self.vocabulary, least=len(tokens)))
            hidden = prompts.weigh(hidden, nothing, [tokens])
        hidden = hidden * mask[:, :, None] if self.part.zeroed else hidden
        return Encoded(hidden.cpu(), mask=mask.cpu() if self.part.masked else None)

    def _run(self, tokens: Chunk) -> tuple[Tensor, Tensor]:
        module: Any = self.module
        device = device_of(module)
        ids = torch.tensor([[token for token, _ in tokens]], device=device)
        filled = _filling(tokens, self.vocabulary)
        mask = torch.tensor([[0 if n >= len(tokens) - filled else 1 for n in range(len(tokens))]], device=device)
        seen = mask if self.part.masked or self.part.zeroed else torch.ones_like(mask)
        return module(input_ids=ids, attention_mask=seen).last_hidden_state.float(), mask


def _filling(tokens: Chunk, vocabulary: Vocabulary) -> int:
    """How many tokens at the end only fill up."""
    ends = [n for n, (token, _) in enumerate(tokens) if token == vocabulary.end]
    return len(tokens) - 1 - ends[-1] if ends else 0


@dataclass
class LanguageEncoder:
    """A language model's hidden states; prompts have no weights."""

    name: str
    module: nn.Module
    vocabulary: Vocabulary
    part: TextPart

    def encode(self, text: str, files: Mapping[str, File], layer: int | None, *, chunks: int = 0) -> Encoded:
        """(1, T, D) of one layer, several side by side, or for Llama each apart; the template's head left out."""
        return self.told(text, self.part.template)

    def told(self, text: str, template: Template, pictures: Sequence[Tensor] = ()) -> Encoded:
        """The same for a text in a template, with the pictures (H, W, 3) that it names."""
        whole, looked = template.before + text + template.after, None
        if pictures:
            looked = seeing.seen(self.module, pictures)
            whole = looked.spelt(whole)
        ids = list(self.vocabulary.words(whole))
        ids = [self.vocabulary.start, *ids] if self.vocabulary.start is not None and not template.before else ids
        ids = ids or [self.vocabulary.pad]
        lacking = self.part.least - len(ids)
        filling, unseen = [self.vocabulary.pad] * lacking, [0] * lacking
        mask = unseen + [1] * len(ids) if self.part.left else [1] * len(ids) + unseen
        ids = filling + ids if self.part.left else ids + filling
        states, seen = self._run(ids, mask, looked)
        states = [state.float()[:, template.dropped :] for state in states]
        kept = seen[:, template.dropped :].cpu() if self.part.masked else None
        if self.part.name == "llama":
            return Encoded(states[-1].cpu(), mask=kept, layers=torch.stack(states[1:]).cpu())
        wanted = [states[n] for n in self.part.layers] or [states[-1]]
        return Encoded(torch.cat(wanted, dim=-1).cpu(), mask=kept)

    def _run(self, ids: list[int], mask: list[int], looked: seeing.Seen | None) -> tuple[list[Tensor], Tensor]:
        """Every layer's hidden states (1, T, D), and the mask (1, T)."""
        module: Any = self.module
        device = device_of(module)
        tokens, seen = torch.tensor([ids], device=device), torch.tensor([mask], device=device)
        pictures: dict[str, Any] = {}
        if looked is not None:
            pictures = {
                "pixel_values": looked.patches,
                "image_grid_thw": looked.grids,
                "mm_token_type_ids": (tokens == module.config.image_token_id).int(),
            }
        out = module(input_ids=tokens, attention_mask=seen, output_hidden_states=True, **pictures)
        return list(out.hidden_states), seen


# --- from files ------------------------------------------------------------------------------------------------------

CLASSES: Mapping[str, tuple[str, str]] = {
    "t5": ("T5EncoderModel", "T5Config"), "umt5": ("UMT5EncoderModel", "UMT5Config"),
    "qwen25_vl": ("Qwen2Model", "Qwen2Config"), "qwen25": ("Qwen2Model", "Qwen2Config"),
    "qwen3": ("Qwen3Model", "Qwen3Config"), "gemma2": ("Gemma2Model", "Gemma2Config"),
    "llama": ("LlamaModel", "LlamaConfig"), "mistral3": ("MistralModel", "MistralConfig"),
}  # fmt: skip
"""A text encoder's name: its classes in transformers; of Qwen2.5-VL without its image side."""


def is_sequence(name: str) -> bool:
    """T5 and UMT5."""
    return name in ("t5", "umt5")


def build(name: str, config: Mapping[str, Any]) -> nn.Module:
    """The encoder of transformers."""
    import transformers

    if name == "qwen25_vl" and "vision_config" in config:
        return seeing.build(config)
    model, settings = CLASSES[name]
    options = {**config, **config.get("text_config", {})}
    for key in ("text_config", "vision_config", "architectures", "model_type", "dtype", "torch_dtype", "layer_types"):
        options.pop(key, None)
    return getattr(transformers, model)(getattr(transformers, settings)(**options))  # type: ignore[no-any-return]


def layout(header: Header) -> Layout:
    """How the file names a language model's tensors: some prefix, then as transformers does."""
    prefix = next(
        (k.removesuffix("embed_tokens.weight") for k in header.tensors if k.endswith("embed_tokens.weight")), ""
    )

    def theirs(name: str) -> str:
        if name.startswith("visual."):
            return (seeing.prefix(header) or "visual.") + name.removeprefix("visual.")
        return prefix + name.removeprefix("language_model.")

    def entries(names: Any) -> list[Entry]:
        return [Entry(theirs(name), (name,)) for name in names]

    return entries


def t5_layout(header: Header) -> Layout:
    """T5's own names; its embedding is in the file once, under one of two names."""
    shared = "shared.weight" if "shared.weight" in header.tensors else "encoder.embed_tokens.weight"

    def entries(names: Any) -> list[Entry]:
        return [Entry(shared if n in ("shared.weight", "encoder.embed_tokens.weight") else n, (n,)) for n in names]

    return entries


def config(name: str, header: Header) -> dict[str, Any]:
    """An encoder's config by the shapes of its file."""
    if is_sequence(name):
        return _t5_config(name, header)
    found = _llm_config(name, header)
    return found if seeing.prefix(header) is None else seeing.config(header, found)


def _t5_config(name: str, header: Header) -> dict[str, Any]:
    table = header.shape("shared.weight") or header.shape("encoder.embed_tokens.weight")
    block = "encoder.block.0.layer."
    buckets, heads = header.shape(f"{block}0.SelfAttention.relative_attention_bias.weight")
    gated = bool(header.shape(f"{block}1.DenseReluDense.wi_0.weight"))
    return {
        "vocab_size": table[0],
        "d_model": table[1],
        "d_kv": header.shape(f"{block}0.SelfAttention.q.weight")[0] // heads,
        "d_ff": header.shape(f"{block}1.DenseReluDense.wo.weight")[1],
        "num_layers": count(header, "encoder.block.{}."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "tie_word_embeddings": False,
    }


_ROPE: Mapping[str, float] = {
    "qwen25_vl": 1e6,
    "qwen25": 1e6,
    "qwen3": 1e6,
    "gemma2": 1e4,
    "llama": 5e5,
    "mistral3": 1e9,
}


def _llm_config(name: str, header: Header) -> dict[str, Any]:
    prefix = next(k.removesuffix("embed_tokens.weight") for k in header.tensors if k.endswith("embed_tokens.weight"))
    layer = f"{prefix}layers.0."
    vocabulary, width = header.shape(f"{prefix}embed_tokens.weight")
    head = (header.shape(f"{layer}self_attn.q_norm.weight") or (256 if name == "gemma2" else 128,))[0]
    settings = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": header.shape(f"{layer}mlp.gate_proj.weight")[0],
        "num_hidden_layers": count(header, f"{prefix}layers.{{}}."),
        "num_attention_heads": header.shape(f"{layer}self_attn.q_proj.weight")[0] // head,
        "num_key_value_heads": header.shape(f"{layer}self_attn.k_proj.weight")[0] // head,
        "rope_parameters": {"rope_type": "default", "rope_theta": _ROPE[name]},
        "rms_norm_eps": 1e-5 if name in ("llama", "mistral3") else 1e-6,
    }
    if name not in ("qwen25_vl", "qwen25"):
        settings["head_dim"] = head
    if name == "llama":
        settings["rope_parameters"] = {
            "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }  # fmt: skip
    return settings


Make = Callable[[str, nn.Module, Vocabulary, TextPart], "SequenceEncoder | LanguageEncoder"]


def make(part: TextPart) -> Make:
    """The class of encoder for a part."""
    return SequenceEncoder if is_sequence(part.name) else LanguageEncoder

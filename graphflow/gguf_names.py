"""What GGUF files of text encoders call their tensors, and what those tensors are called everywhere else.

Files of diffusion networks keep the original names. Text encoders come from llama.cpp, which has names of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_T5: Mapping[str, str] = {
    "token_embd": "shared", "enc.output_norm": "encoder.final_layer_norm",
    "enc.blk.*.attn_q": "encoder.block.*.layer.0.SelfAttention.q",
    "enc.blk.*.attn_k": "encoder.block.*.layer.0.SelfAttention.k",
    "enc.blk.*.attn_v": "encoder.block.*.layer.0.SelfAttention.v",
    "enc.blk.*.attn_o": "encoder.block.*.layer.0.SelfAttention.o",
    "enc.blk.*.attn_rel_b": "encoder.block.*.layer.0.SelfAttention.relative_attention_bias",
    "enc.blk.*.attn_norm": "encoder.block.*.layer.0.layer_norm",
    "enc.blk.*.ffn_norm": "encoder.block.*.layer.1.layer_norm",
    "enc.blk.*.ffn_gate": "encoder.block.*.layer.1.DenseReluDense.wi_0",
    "enc.blk.*.ffn_up": "encoder.block.*.layer.1.DenseReluDense.wi_1",
    "enc.blk.*.ffn_down": "encoder.block.*.layer.1.DenseReluDense.wo",
}  # fmt: skip
_LANGUAGE: Mapping[str, str] = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "blk.*.attn_q": "model.layers.*.self_attn.q_proj", "blk.*.attn_k": "model.layers.*.self_attn.k_proj",
    "blk.*.attn_v": "model.layers.*.self_attn.v_proj", "blk.*.attn_output": "model.layers.*.self_attn.o_proj",
    "blk.*.attn_q_norm": "model.layers.*.self_attn.q_norm", "blk.*.attn_k_norm": "model.layers.*.self_attn.k_norm",
    "blk.*.attn_norm": "model.layers.*.input_layernorm", "blk.*.ffn_norm": "model.layers.*.post_attention_layernorm",
    "blk.*.ffn_gate": "model.layers.*.mlp.gate_proj", "blk.*.ffn_up": "model.layers.*.mlp.up_proj",
    "blk.*.ffn_down": "model.layers.*.mlp.down_proj",
}  # fmt: skip
_GEMMA: Mapping[str, str] = {
    **_LANGUAGE, "blk.*.ffn_norm": "model.layers.*.pre_feedforward_layernorm",
    "blk.*.post_attention_norm": "model.layers.*.post_attention_layernorm",
    "blk.*.post_ffw_norm": "model.layers.*.post_feedforward_layernorm",
}  # fmt: skip
NAMES: Mapping[str, Mapping[str, str]] = {
    "t5": _T5, "t5encoder": _T5, "llama": _LANGUAGE, "qwen2": _LANGUAGE, "qwen2vl": _LANGUAGE, "qwen3": _LANGUAGE,
    "gemma2": _GEMMA,
}  # fmt: skip
"""By the architecture that a file names: its modules, and ours; `*` is a block's number."""


def renaming(architecture: str) -> Callable[[str], str]:
    """From a name in a file of that architecture to the usual one."""
    names = NAMES.get(architecture, {})

    def usual(name: str) -> str:
        module, _, parameter = name.rpartition(".")
        number = re.search(r"blk\.(\d+)\.", module)
        found = names.get(re.sub(r"blk\.\d+\.", "blk.*.", module))
        return f"{found.replace('*', number[1] if number else '')}.{parameter}" if found else name

    return usual

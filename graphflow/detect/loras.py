"""LoRAs and their kin: that a file is one, and for which families it was made."""

from __future__ import annotations

import re

from graphflow.detect.kinds import Detected
from graphflow.families import FAMILIES
from graphflow.families.common.looks import LoraLooks
from graphflow.header import Header

ENDS = re.compile(
    r"[._](lora_(down|up|mid|A|B)(\.default)?(\.weight|\.bias)?|lora[12]?\.(down|up)\.weight|lora_linear_layer\.(down|up)\.weight"
    r"|lora_magnitude_vector.*|hada_w[12]_[ab]|hada_t[12]|lokr_w[12](_[ab])?|lokr_t[12]|oft_blocks|oft_diag"
    r"|[ab][12]\.weight|bm\.weight|dora_scale|diff(_b)?|w_norm|b_norm|set_weight|on_input|b?oft_[RSrs](\.default)?(\.weight)?|ia3_l|hra_u"
    r"|vera_lambda_[bd]|lora_E|hira_[AB]|fourierft_spectrum)$"
)
"""How names in such files end."""

_DOWN = re.compile(
    r"\.(lora_down\.weight|lora_A(\.default)?\.weight|lora\.down\.weight|hada_w1_b)$|_lora[12]?\.down\.weight$"
)
_QUERY = re.compile(r"(to_q|add_q_proj|_qkv|w1q|self_attn_q|attn_q_linear|processor_qkv)$")
_TEXT = re.compile(r"^(lora_te\d?_|text_encoder|lora_clip_|base_model_model_text_model|clip_[lg]_)")
_FIRST_LEVEL = re.compile(r"(^|_)(down_blocks_0_attentions|input_blocks_1_1|up_blocks_3_attentions|output_blocks_9_1)_")
"""Where the U-Nets of Stable Diffusion 1 and 2 look at the text, and XL's do not."""
_BLOCK = re.compile(r"(?:double_blocks|(?<!single_)transformer_blocks|joint_blocks)_(\d+)_")


def as_lora(header: Header) -> Detected | None:
    """The LoRA that the file is; None for other files."""
    adapted = [key for key in header.tensors if ENDS.search(key)]
    if not adapted or len(adapted) * 4 < len(header.tensors) or any("lora_controlnet" in k for k in header.tensors):
        return None
    families = lora_families(header)
    details = {"targets": len({ENDS.sub("", key) for key in adapted}), "also": families[1:]}
    return Detected("lora", families[0] if families else "", details=details)


def lora_families(header: Header) -> tuple[str, ...]:
    """The families that a LoRA can have been made for, by its names and widths; none when that does not follow."""
    names = [name for name in (key.replace(".", "_") for key in header.tensors) if not _TEXT.match(name)]
    width, blocks = _width(header), 1 + max((int(m[1]) for n in names for m in _BLOCK.finditer(n)), default=0)
    found = [one.name for one in FAMILIES.values() if one.loras and _looks(one.loras, names, width, blocks)]
    if found:
        return tuple(found)
    if any(re.search(r"(^|_)(add_embedding|label_emb)_", name) for name in names):
        return ("sdxl",)
    seen = _text_width(header)
    if not seen and any(key.startswith("lora_te2_") for key in header.tensors):
        return ("sdxl",)
    told = tuple(one.name for one in FAMILIES.values() if one.context and one.context == seen)
    if told or not any(_FIRST_LEVEL.search(name) for name in names):
        return told
    return ("sd15",) if seen else ("sd15", "sd2")  # seen is the width of the model on board, or of another small one


def _looks(looks: LoraLooks, names: list[str], width: int, blocks: int) -> bool:
    def seen(expressions: tuple[str, ...]) -> bool:
        return any(re.search(expression, name) for expression in expressions for name in names)

    fits = not (width and looks.widths and width not in looks.widths) and blocks <= looks.blocks
    return fits and seen(looks.names) and not seen(looks.never)


def _width(header: Header) -> int:
    """How wide the tokens are that queries are asked of; 0 where no tensor says it."""
    for key, entry in header.tensors.items():
        module = _DOWN.sub("", key).replace(".", "_")
        if (
            module != key.replace(".", "_")
            and _QUERY.search(module)
            and not _TEXT.match(module)
            and len(entry.shape) > 1
        ):
            return entry.shape[1]
    return 0


def _text_width(header: Header) -> int:
    """How wide the text is that a U-Net's cross-attention looks at; 0 where no tensor says it."""
    for key, entry in header.tensors.items():
        if "attn2" in key and re.search(r"to_[kv]$", _DOWN.sub("", key)) and _DOWN.search(key) and len(entry.shape) > 1:
            return entry.shape[1]
    return 0

"""A file's keys as adapters of modules, whatever its author's style of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_ENDS: tuple[tuple[str, str], ...] = (
    (r"\.lora_up\.weight", "up"), (r"\.lora_down\.weight", "down"), (r"\.lora_mid\.weight", "mid"),
    (r"\.lora_B(\.default)?\.weight", "up"), (r"\.lora_A(\.default)?\.weight", "down"), (r"\.lora_B", "up"), (r"\.lora_A", "down"),
    (r"\.lora\.up\.weight", "up"), (r"\.lora\.down\.weight", "down"),
    (r"\.lora_linear_layer\.up\.weight", "up"), (r"\.lora_linear_layer\.down\.weight", "down"),
    (r"_lora\.up\.weight", "up"), (r"_lora\.down\.weight", "down"),
    (r"\.lora_magnitude_vector(\.default)?(\.weight)?", "magnitude"), (r"\.dora_scale", "dora_scale"),
    (r"\.alpha", "alpha"), (r"\.(hada_(?:w[12]_[ab]|t[12]))", ""), (r"\.(lokr_(?:w[12](?:_[ab])?|t[12]))", ""),
    (r"\.([ab][12]|bm)\.weight", ""), (r"\.oft_blocks", "oft_blocks"), (r"\.oft_diag", "oft_blocks"), (r"\.rescale", "rescale"),
    (r"\.oft_R(\.default)?(\.weight)?", "oft_R"), (r"\.on_input", "on_input"),
    (r"\.lora_B(\.default)?\.bias", "up_b"), (r"\.diff_b", "diff_b"), (r"\.diff", "diff"), (r"\.w_norm", "diff"), (r"\.b_norm", "diff_b"),
    (r"\.set_weight", "set"),
    (r"(?<=_norm\.scale)", "set"), (r"(?<=\.norm_[qk])\.weight", "set"), (r"(?<=\.norm_added_[qk])\.weight", "set"),
)  # fmt: skip
_END_PATTERNS = tuple((re.compile(f"(.+?){end}"), name) for end, name in _ENDS)

_OTHER_KINDS: Mapping[str, str] = {
    r"boft_[RS]": "BOFT of peft", r"oft_[rs]": "OFT of peft before 0.15", r"vera_lambda_[bd]": "VeRA", r"lora_E": "AdaLoRA",
    r"hra_u": "HRA", r"ia3_l": "IA3 of peft", r"hira_[AB]": "HiRA", r"fourierft_spectrum": "FourierFT",
}  # fmt: skip
"""Ends of names in files of kinds that are told, and not supported."""

_PREFIXES = (
    "base_model.model.", "lora_unet_", "lora_transformer_", "lora_prior_unet_", "lycoris_", "model.diffusion_model.",
    "diffusion_model.", "transformer.", "unet.", "lora_unet.",
)  # fmt: skip
_TEXT_PREFIXES: tuple[tuple[str, int], ...] = (
    ("lora_te1_", 0), ("lora_te2_", 1), ("lora_te3_", 2), ("lora_te_", 0), ("text_encoder.", 0), ("text_encoder_2.", 1),
    ("text_encoder_3.", 2), ("text_encoders.clip_l.transformer.", 0), ("text_encoders.clip_g.transformer.", 1),
    ("text_encoders.t5xxl.transformer.", 2), ("text_encoders.clip_h.transformer.", 0), ("lora_clip_l_", 0), ("clip_l.", 0), ("clip_g.", 1),
)  # fmt: skip


def flat(name: str) -> str:
    """A module's name without the marks that files spell differently."""
    name = name.replace(".processor.to_out", ".to_out.0").replace(".processor.", ".")
    return name.replace(".", "_").removeprefix("text_model_")


@dataclass(frozen=True)
class Group:
    """The adapter of one module."""

    name: str
    """As in the file."""
    encoder: int | None
    """Which of the text encoders is meant; None for the network."""
    flat: str
    keys: Mapping[str, str]
    """Name's end -> the file's key."""
    alpha: float | None = None
    """What the file's metadata say where no tensor does."""


def other_kinds(keys: Iterable[str]) -> list[str]:
    """The kinds of adapters, not supported ones, that keys without a place belong to."""
    return sorted(
        {
            title
            for key in keys
            for end, title in _OTHER_KINDS.items()
            if re.search(rf"\.{end}(\.default)?(\.weight)?$", key)
        }
    )


def groups(keys: Iterable[str], alpha: Callable[[str], float | None] = lambda _: None) -> tuple[list[Group], list[str]]:
    """A file's adapters by module, and the keys that are none; `alpha` tells what the file says elsewhere of a module."""
    keys = list(keys)
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for module in (key.removesuffix(".on_input") for key in keys if key.endswith(".on_input")):
        found[module] = {"factors": f"{module}.weight"}  # IA3's, an end that says nothing by itself
    claimed = {ends["factors"] for ends in found.values()}
    for key in keys:
        if key in claimed:
            continue
        for pattern, end in _END_PATTERNS:
            if match := pattern.fullmatch(_XLABS.sub(_as_usual, key)):
                found.setdefault(match[1], {})[end or match[2]] = key
                break
        else:
            unknown.append(key)
    return [_group(name, ends, alpha(name)) for name, ends in found.items()], sorted(unknown)


def _group(name: str, ends: Mapping[str, str], alpha: float | None) -> Group:
    rest = name
    for prefix in ("base_model.model.", "lycoris_"):
        rest = rest.removeprefix(prefix)
    for prefix, encoder in _TEXT_PREFIXES:
        if rest.startswith(prefix):
            return Group(name, encoder, flat(rest.removeprefix(prefix)), ends, alpha)
    for prefix in _PREFIXES:
        rest = rest.removeprefix(prefix)
    return Group(name, None, flat(rest), ends, alpha)


_XLABS = re.compile(r"(double_blocks\.\d+)\.processor\.(qkv|proj)_lora([12])\.(up|down)\.weight")
"""XLabs' LoRAs for Flux: 1 stands for the picture's side, 2 for the text's."""


def _as_usual(match: re.Match[str]) -> str:
    block, module, side, end = match.groups()
    return f"{block}.{'img' if side == '1' else 'txt'}_attn.{module}.lora_{end}.weight"

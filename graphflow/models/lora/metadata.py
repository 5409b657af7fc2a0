"""Strengths that a LoRA's file says in its metadata: peft's config, as diffusers saves it beside the tensors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from graphflow.header import Header

KEY = "lora_adapter_metadata"
COMPONENTS = ("transformer", "unet", "text_encoder", "text_encoder_2", "text_encoder_3", "base_model.model")


def alphas(header: Header) -> Callable[[str], float | None]:
    """The alpha of a module by its name in the file, such that alpha / r is its scale; None where nothing is said."""
    try:
        said: Any = json.loads(header.metadata.get(KEY) or "{}")
    except (ValueError, TypeError):
        said = {}
    if not isinstance(said, dict):
        said = {}

    def alpha(name: str) -> float | None:
        component = next((one for one in COMPONENTS if name.startswith(f"{one}.")), "")
        config = {key.removeprefix(f"{component}."): value for key, value in said.items() if key.startswith(component)}
        return _alpha(config, name.removeprefix(f"{component}."))

    return alpha


def _alpha(config: Mapping[str, Any], module: str) -> float | None:
    """peft's lora_alpha / r, or rank-stabilised lora_alpha / sqrt(r) (https://arxiv.org/abs/2312.03732)."""
    value = _of(config.get("alpha_pattern"), module, config.get("lora_alpha"))
    rank = _of(config.get("rank_pattern"), module, config.get("r"))
    if not isinstance(value, int | float):
        return None
    return float(value) * (rank**0.5 if config.get("use_rslora") and isinstance(rank, int) else 1.0)


def _of(patterns: Any, module: str, usual: Any) -> Any:
    """The value of the first pattern that is the module's name or its end."""
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except re.error:
            continue
    return usual

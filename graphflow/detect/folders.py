"""What a diffusers folder is, by its model_index.json and its parts' configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.detect.families import UNDERSTOOD, lacking
from graphflow.detect.kinds import Detected, Kind, Part
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.header import Header

_ENCODER_CLASSES = {
    "CLIPTextModel": "clip_l", "CLIPTextModelWithProjection": "clip_g", "T5EncoderModel": "t5", "UMT5EncoderModel": "umt5",
    "Qwen2_5_VLForConditionalGeneration": "qwen25_vl", "Qwen3Model": "qwen3", "Qwen3ForCausalLM": "qwen3",
    "Gemma2Model": "gemma2", "Gemma2ForCausalLM": "gemma2", "LlamaForCausalLM": "llama",
    "Mistral3ForConditionalGeneration": "mistral3",
}  # fmt: skip
_UNET = "UNet2DConditionModel"
_NETWORK_CLASSES = {
    name: one.name
    for one in FAMILIES.values()
    if not one.context
    for name in (one.class_name, *one.other_classes.values())
}
_VAE_CLASSES = {
    "AutoencoderKL": "kl", "AutoencoderTiny": "tiny", "AutoencoderKLWan": "wan", "AutoencoderKLQwenImage": "wan",
    "AutoencoderDC": "dc", "AutoencoderKLFlux2": "kl",
}  # fmt: skip


def in_folder(header: Header) -> Detected:
    """What the folder holds. Raises `UnsupportedFile` for a pipeline that is not known."""
    index: Mapping[str, Any] = header.metadata["model_index"]
    parts: list[Part] = []
    details: dict[str, Any] = {}
    for name, entry in index.items():
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], str):
            continue
        config = header.metadata.get(name, {})
        if family := _unet_family(config) if entry[1] == _UNET else _NETWORK_CLASSES.get(entry[1]):
            if parts and parts[0].name == "model":  # Wan 2.2's second network, which has a name of its own
                continue
            parts.insert(0, Part("model", family, name))
            details["in_channels"] = config.get("in_channels")
        elif entry[1] in _VAE_CLASSES:
            parts.append(Part("vae", _VAE_CLASSES[entry[1]], name))
            details["latent_channels"] = config.get("latent_channels")
        elif entry[1] in ("CLIPVisionModelWithProjection", "CLIPVisionModel", "SiglipVisionModel"):
            parts.append(Part("clip_vision", "", name))
        elif entry[1] in _ENCODER_CLASSES:
            parts.append(Part(_encoder_name(entry[1], name, config), "", name))
    if not parts or parts[0].name != "model":
        raise UnsupportedFile(
            f"{header.path.name} is a diffusers folder of {index.get('_class_name', 'an unknown pipeline')}, which is "
            f"not known; known are {UNDERSTOOD}"
        )
    details["prediction"] = header.metadata.get("scheduler", {}).get("prediction_type")
    lacks = lacking(parts[0].family, {part.name for part in parts})
    kind: Kind = "checkpoint" if len(parts) > 1 else "model"
    return Detected(kind, parts[0].family, tuple(parts), lacks=lacks, details=details)


def _encoder_name(class_name: str, folder: str, config: Mapping[str, Any]) -> str:
    name = _ENCODER_CLASSES[class_name]
    if not name.startswith("clip"):
        return name
    by_width = {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}.get(config.get("hidden_size", 0))
    return by_width or ("clip_g" if folder.endswith("_2") else "clip_l")


def _unet_family(config: Mapping[str, Any]) -> str:
    if config.get("addition_embed_type") == "text_time":
        return "sdxl_refiner" if len(config.get("block_out_channels", ())) == 4 else "sdxl"
    return "sd2" if config.get("use_linear_projection") else "sd15"

"""The text that AUTOMATIC1111's web UI and its kin write into pictures, read as the workflow that it amounts to.

It holds the prompt, a line `Negative prompt: ...`, and a last line of settings: `Steps: 20, Sampler: Euler a, ...`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphflow.workflow import Converted, parse

_SETTING = re.compile(r'\s*([\w ]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_LORA = re.compile(r"<lora:([^:>]+)(?::(-?[\d.]+))?(?::(-?[\d.]+))?>")
SAMPLERS: Mapping[str, str] = {
    "euler": "euler",
    "euler a": "euler_ancestral",
    "lms": "lms",
    "heun": "heun",
    "dpm2": "dpm_2",
    "dpm2 a": "dpm_2_ancestral",
    "dpm++ 2s a": "dpmpp_2s_ancestral",
    "dpm++ 2m": "dpmpp_2m",
    "dpm++ sde": "dpmpp_sde",
    "dpm++ 2m sde": "dpmpp_2m_sde",
    "dpm++ 2m sde heun": "dpmpp_2m_sde_heun",
    "dpm++ 3m sde": "dpmpp_3m_sde",
    "dpm fast": "dpm_fast",
    "dpm adaptive": "dpm_adaptive",
    "ddim": "ddim",
    "unipc": "uni_pc",
    "lcm": "lcm",
    "restart": "euler",
    "plms": "ipndm",
}
SCHEDULERS: Mapping[str, str] = {
    "karras": "karras",
    "exponential": "exponential",
    "sgm uniform": "sgm_uniform",
    "simple": "simple",
    "normal": "normal",
    "ddim": "ddim_uniform",
    "beta": "beta",
    "kl optimal": "kl_optimal",
}


def is_parameters(text: str) -> bool:
    """Whether a text is of this kind."""
    return re.search(r"(^|\n)Steps: \d+,", text) is not None


def read_parameters(text: str) -> Converted:
    """The workflow that would make such a picture, and what it cannot say."""
    head, _, tail = text.rpartition("\nSteps:") if "\nSteps:" in text else ("", "", text.removeprefix("Steps:"))
    settings = {name.strip().lower(): value.strip('" ') for name, value in _SETTING.findall(f"Steps:{tail}")}
    positive, _, negative = head.partition("Negative prompt:")
    loras = _LORA.findall(head)
    notes = [] if "model" in settings else ["the picture does not say which model made it: choose one"]
    notes += [
        f"{name!r} was used for it and is not carried over"
        for name in ("hires upscaler", "controlnet 0", "refiner", "adetailer model")
        if name in settings
    ]
    nodes = _nodes(_plain(positive), _plain(negative), settings, loras)
    return Converted(parse({"graphflow": 1, "nodes": nodes}), tuple(notes))


def _plain(prompt: str) -> str:
    return _LORA.sub("", prompt).strip()


def _nodes(
    positive: str, negative: str, settings: Mapping[str, str], loras: list[tuple[str, str, str]]
) -> dict[str, Any]:
    nodes: dict[str, Any] = {"load": {"type": "CheckpointLoaderSimple", "inputs": _model(settings)}}
    model, clip = "load.MODEL", "load.CLIP"
    for place, (name, strength, for_clip) in enumerate(loras):
        id, amount = f"lora{place + 1}", _number(strength, 1.0)
        inputs = {"model": {"from": model}, "clip": {"from": clip}, "lora_name": f"{name}.safetensors",
                  "strength_model": amount, "strength_clip": _number(for_clip, amount)}  # fmt: skip
        nodes[id] = {"type": "LoraLoader", "inputs": inputs}
        model, clip = f"{id}.MODEL", f"{id}.CLIP"
    if (skip := int(_number(settings.get("clip skip", ""), 1))) > 1:
        inputs = {"clip": {"from": clip}, "stop_at_clip_layer": -skip}
        nodes["skip"] = {"type": "CLIPSetLastLayer", "inputs": inputs}
        clip = "skip.CLIP"
    width, height = _size(settings.get("size", ""))
    sampler, scheduler = _sampler(settings)
    for id, text in (("positive", positive), ("negative", negative)):
        nodes[id] = {"type": "CLIPTextEncode", "inputs": {"clip": {"from": clip}, "text": text}}
    latent = {"width": width, "height": height, "batch_size": 1}
    nodes["latent"] = {"type": "EmptyLatentImage", "inputs": latent}
    nodes["sample"] = {
        "type": "KSampler",
        "inputs": {
            "model": {"from": model},
            "positive": {"from": "positive.CONDITIONING"},
            "negative": {"from": "negative.CONDITIONING"},
            "latent_image": {"from": "latent.LATENT"},
            "seed": int(_number(settings.get("seed", ""), 0)) % 2**64,
            "steps": int(_number(settings.get("steps", ""), 20)),
            "cfg": _number(settings.get("cfg scale", ""), 7.0),
            "sampler_name": sampler,
            "scheduler": scheduler,
            "denoise": 1.0,
        },
    }
    nodes["decode"] = {
        "type": "VAEDecode",
        "inputs": {"samples": {"from": "sample.LATENT"}, "vae": {"from": "load.VAE"}},
    }
    nodes["save"] = {"type": "SaveImage", "inputs": {"images": {"from": "decode.IMAGE"}, "filename_prefix": "image"}}
    return nodes


def _model(settings: Mapping[str, str]) -> dict[str, str]:
    return {"ckpt_name": f"{settings['model']}.safetensors"} if settings.get("model") else {}


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    return (int(found[1]), int(found[2])) if found else (512, 512)


def _sampler(settings: Mapping[str, str]) -> tuple[str, str]:
    """Names of sampler and scheduler; older texts hold both in one."""
    name = settings.get("sampler", "Euler").lower()
    scheduler = settings.get("schedule type", "").lower()
    for word in SCHEDULERS:
        if name.endswith(f" {word}"):
            name, scheduler = name.removesuffix(f" {word}"), word
    return SAMPLERS.get(name, "euler"), SCHEDULERS.get(scheduler, "normal")

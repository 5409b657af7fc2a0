"""What works on a model: ControlNets, IP-Adapters, style models, textual inversions. LoRAs are in `loras`."""

from __future__ import annotations

from graphflow.detect.families import MODELS
from graphflow.detect.kinds import Detected, Part
from graphflow.detect.parts import first
from graphflow.families import FAMILIES
from graphflow.families.common.unet import PROJ_D
from graphflow.header import Header

UNETS = [signature for signature in MODELS if FAMILIES[signature.family].context and not signature.layout]
_BY_CONTEXT = {one.context: one.name for one in FAMILIES.values() if one.context}
"""The width of the text that U-Nets look at, and the family."""


PATCHES = {
    "controlnet_blocks.0.y_rms.weight": "qwen_image",
    "control_all_x_embedder.2-1.weight": "z_image",
    "control_transformer_blocks.0.ff.linear_in.weight": "flux2",
}
"""A tensor that a small network inside another alone has, and the family of the other."""


def as_patch(header: Header) -> Detected | None:
    """The model patch that the file is; None for other files."""
    family = next((family for mark, family in PATCHES.items() if mark in header.tensors), "")
    return Detected("model_patch", family, (Part("model_patch", family, ""),)) if family else None


def as_control(header: Header) -> Detected | None:
    """The ControlNet or T2I-Adapter that the file is; None for other files."""
    keys = header.tensors
    if "lora_controlnet" in keys:
        width = next((e.shape[1] for k, e in keys.items() if k.endswith("attn2.to_k.down") and len(e.shape) > 1), 0)
        base = _BY_CONTEXT.get(width, "")
        return Detected("controlnet", base, (Part("controlnet", "lora", ""),))
    if any(key.startswith("lllite_") for key in keys):
        return Detected("controlnet", "sdxl", (Part("controlnet", "ControlNet-LLLite", ""),))
    if "controlnet_blocks.0.weight" in keys and "double_blocks.0.img_attn.qkv.weight" in keys:
        return Detected("controlnet", "flux", (Part("controlnet", "Flux's in XLabs' layout", ""),))
    if "controlnet_blocks.0.linear.weight" in keys:
        return Detected("controlnet", "flux", (Part("controlnet", "MistoLine for Flux", ""),))
    for prefix in ("control_model.", ""):
        if prefix + "input_hint_block.0.weight" in keys:
            family = first(header, UNETS, (prefix,))
            context = _context_width(header, prefix)
            name = family.family if family else _BY_CONTEXT.get(context, "sd15")
            return Detected("controlnet", name, (Part("controlnet", name, prefix),))
    if "controlnet_cond_embedding.conv_in.weight" in keys:
        name = "sdxl" if "add_embedding.linear_1.weight" in keys else "sd15"
        if name == "sd15" and len(header.shape(PROJ_D)) == 2:
            name = "sd2"
        details = {"union": "control_add_embedding.linear_1.weight" in keys}
        return Detected("controlnet", name, (Part("controlnet", name, ""),), details=details)
    if "controlnet_blocks.0.weight" in keys:
        flow = _flow_control(header)
        sees_text = "context_embedder.weight" in keys
        kind = "sd35" if flow == "sd3" and not sees_text else flow
        return Detected("controlnet", flow, (Part("controlnet", kind, ""),))
    for prefix in ("adapter.", ""):
        full = header.shape(prefix + "conv_in.weight")
        light = header.shape(prefix + "body.0.in_conv.weight")
        if (full or light) and any(key.startswith(f"{prefix}body.0.") and "block1" in key for key in keys):
            base = "sdxl" if full and full[1] in (256, 768) else "sd15"  # sixteen pixels folded into one, or eight
            return Detected("t2i_adapter", base, (Part("controlnet", "t2i", ""),))
    return None


def _context_width(header: Header, prefix: str) -> int:
    for key, entry in header.tensors.items():
        if key.startswith(prefix) and key.endswith("attn2.to_k.weight") and len(entry.shape) == 2:
            return entry.shape[1]
    return 0


def _flow_control(header: Header) -> str:
    if "transformer_blocks.0.img_mod.1.weight" in header.tensors:
        return "qwen_image"
    if "transformer_blocks.0.ff.conv_inverted.weight" in header.tensors:
        return "sana"
    return (
        "sd3"
        if "pos_embed.proj.weight" in header.tensors or "pos_embed_input.proj.weight" in header.tensors
        else "flux"
    )


def as_small(header: Header) -> Detected | None:
    """The IP-Adapter, style model, textual inversion or upscaler that the file is; None for other files."""
    keys = header.tensors
    if any(key.startswith(("ip_adapter.", "double_blocks.")) for key in keys) and any(
        key.startswith(("image_proj.", "ip_adapter_proj_model.")) for key in keys
    ):
        family = _ip_adapter_family(header)
        return Detected("ip_adapter", family, (Part("ip_adapter", family, ""),))
    if "redux_up.weight" in keys:
        return Detected("style_model", "flux", (Part("style_model", "flux", ""),))
    if "style_embedding" in keys:
        return Detected("style_model", "sd15", (Part("style_model", "sd15", ""),))
    if len(keys) <= 4 and ({"emb_params", "clip_l", "clip_g", "t5xxl", "string_to_param.*"} & set(keys)):
        return Detected("embedding", _embedding_family(header))
    return Detected("upscale_model", "", (Part("upscale_model", "", ""),)) if _enlarges(header) else None


def _ip_adapter_family(header: Header) -> str:
    """Those of transformers number their layers from 0, those of U-Nets otherwise; the latter by the text's width."""
    keys = header.tensors
    if "ip_adapter.0.norm_ip.linear.weight" in keys:
        return "sd3"
    if "ip_adapter.0.to_k_ip.weight" in keys or any(key.startswith("ip_adapter_proj_model.") for key in keys):
        return "flux"
    width = next((e.shape[-1] for k, e in keys.items() if k.endswith("to_k_ip.weight") and e.shape), 0)
    return _BY_CONTEXT.get(width, "")


def _enlarges(header: Header) -> bool:
    """By the names of the kinds of upscalers that are about: ESRGAN old and new, its compact kin, SwinIR and DAT."""
    whole = next((n for n in ("params_ema.", "params.") if any(k.startswith(n) for k in header.tensors)), "")
    names = {key.removeprefix(whole) for key in header.tensors}
    compact = len(header.shape(f"{whole}body.0.weight")) == 4 and len(header.shape(f"{whole}body.1.weight")) == 1
    first = len(header.shape(f"{whole}conv_first.weight")) == 4
    return (
        compact
        or "model.1.sub.0.RDB1.conv1.0.weight" in names
        or (first and any(name.startswith(("body.0.", "RRDB_trunk.", "layers.0.")) for name in names))
    )


def _embedding_family(header: Header) -> str:
    if "clip_g" in header.tensors:
        return "sdxl"
    entry = header.tensors.get("emb_params") or next(iter(header.tensors.values()))
    return {768: "sd15", 1024: "sd2", 1280: "sdxl"}.get(entry.shape[-1] if entry.shape else 0, "")

"""The parts of a checkpoint, or of a file with one: network, autoencoder, text and image encoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from graphflow.detect.families import MODELS
from graphflow.detect.kinds import Part
from graphflow.families import FAMILIES
from graphflow.families.common.looks import Shape, Signature
from graphflow.header import Header


def _encoder(
    part: str, has: tuple[str, ...], without: tuple[str, ...] = (), shapes: tuple[Shape, ...] = ()
) -> Signature:
    return Signature(has, without, shapes, part=part)


def _autoencoder(family: str, has: tuple[str, ...], layout: str = "") -> Signature:
    return Signature(has, layout=layout, part="vae", family=family)


_CLIP = "text_model.encoder.layers.0.layer_norm1.weight"
_OPEN_CLIP = "transformer.resblocks.0.ln_1.weight"
_T5 = "encoder.block.0.layer.0.SelfAttention.q.weight"
_LLM = "model.layers.0.self_attn.q_proj.weight"

ENCODERS: tuple[Signature, ...] = (
    _encoder("clip_vision", ("vision_model.encoder.layers.0.layer_norm1.weight",), (_CLIP,)),
    _encoder("clip_vision", (_OPEN_CLIP, "conv1.weight", "class_embedding")),
    _encoder("clip_g", (_CLIP,), shapes=(("text_model.embeddings.token_embedding.weight", 1, lambda n: n == 1280),)),
    _encoder("clip_h", (_CLIP,), shapes=(("text_model.embeddings.token_embedding.weight", 1, lambda n: n == 1024),)),
    _encoder("clip_l", (_CLIP,)),
    _encoder("clip_h", (_OPEN_CLIP,), shapes=(("token_embedding.weight", 1, lambda n: n == 1024),)),
    _encoder("clip_g", (_OPEN_CLIP, "token_embedding.weight")),
    _encoder("umt5", (_T5, "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight")),
    _encoder("t5", (_T5,)),
    _encoder("qwen25_vl", (_LLM, "visual.blocks.0.attn.qkv.weight")),
    _encoder("gemma2", (_LLM, "model.layers.0.post_feedforward_layernorm.weight")),
    _encoder("qwen3", (_LLM, "model.layers.0.self_attn.q_norm.weight")),
    _encoder("qwen25", (_LLM, "model.layers.0.self_attn.q_proj.bias")),
    _encoder("mistral3", (_LLM,), shapes=((_LLM, 1, lambda n: n == 5120),)),
    _encoder("llama", (_LLM,)),
)
"""Text and image encoders."""

VAES: tuple[Signature, ...] = (
    _autoencoder("kl", ("decoder.conv_in.weight", "encoder.conv_in.weight", "decoder.conv_norm_out.weight"),
              layout="diffusers"),
    _autoencoder("kl", ("decoder.conv_in.weight", "encoder.conv_in.weight", "decoder.norm_out.weight")),
    _autoencoder("wan", ("decoder.middle.0.residual.0.gamma",)),
    _autoencoder("wan", ("decoder.mid_block.resnets.0.norm1.gamma",), layout="diffusers"),
    _autoencoder("dc", ("decoder.stages.1.op_list.0.main.conv.conv.bias",)),
    _autoencoder("dc", ("decoder.up_blocks.0.0.conv1.weight", "decoder.conv_in.weight"), layout="diffusers"),
    _autoencoder("tiny", ("decoder.layers.0.weight", "encoder.layers.0.weight"), layout="diffusers"),
    _autoencoder("tiny", ("taesd_decoder.1.weight",)),
)  # fmt: skip
"""Autoencoders."""

MODEL_PREFIXES = ("model.diffusion_model.", "", "model.", "diffusion_model.", "transformer.", "unet.", "net.")
VAE_PREFIXES = ("first_stage_model.", "vae.", "")
ENCODER_PREFIXES = (
    "cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.0.transformer.",
    "conditioner.embedders.0.model.", "conditioner.embedders.1.model.", "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.", "text_encoders.t5xxl.transformer.", "text_encoder.", "text_encoder_2.",
    "text_encoder_3.", "text_encoders.t5xxl.", "text_encoders.gemma2_2b.transformer.",
    "text_encoders.pile_t5xl.transformer.", "text_encoders.umt5xxl.transformer.", "text_encoders.qwen3_4b.transformer.",
    "text_encoders.qwen25_7b.transformer.", "embedder.model.visual.", "",
)  # fmt: skip

_FORCED = {
    "cond_stage_model.model.": "clip_h", "conditioner.embedders.0.model.": "clip_g",
    "conditioner.embedders.1.model.": "clip_g", "text_encoders.clip_g.transformer.": "clip_g",
    "text_encoders.clip_l.transformer.": "clip_l", "cond_stage_model.transformer.": "clip_l",
    "conditioner.embedders.0.transformer.": "clip_l",
}  # fmt: skip


def parts_of(header: Header) -> Iterator[Part]:
    """Each component once."""
    if model := first(header, MODELS, MODEL_PREFIXES):
        yield model
    if vae := first(header, VAES, VAE_PREFIXES):
        yield vae
    seen = set()
    for prefix in ENCODER_PREFIXES:
        part = first(header, ENCODERS, (prefix,))
        part = replace(part, name=_FORCED.get(prefix, part.name)) if part else None
        if part and part.name not in seen and not (prefix == "" and model):
            seen.add(part.name)
            yield part


def first(header: Header, signatures: Sequence[Signature], prefixes: Sequence[str]) -> Part | None:
    """The first part that one of the signatures recognises under one of the prefixes."""
    for prefix in prefixes:
        for signature in signatures:
            if signature.matches(header, prefix):
                return Part(signature.part, signature.family, prefix)
    return None


def nearest(header: Header) -> str:
    """The part of a family that most of the tensors asked for speak for, what is there of it and what is not."""
    best: tuple[float, Signature, str] | None = None
    for signature in (*MODELS, *VAES, *ENCODERS):
        for prefix in (*MODEL_PREFIXES, *VAE_PREFIXES, *ENCODER_PREFIXES):
            share = sum(prefix + key in header.tensors for key in signature.has) / len(signature.has)
            if share > (best[0] if best else 0.0):
                best = (share, signature, prefix)
    if best is None:
        return ""
    _, signature, prefix = best
    there = next(prefix + key for key in signature.has if prefix + key in header.tensors)
    lacking = next((prefix + key for key in signature.has if prefix + key not in header.tensors), "")
    but = f"but lacks {lacking}" if lacking else "but its sizes are of another"
    return f"the nearest is {signature.family or signature.part} ({signature.part}): it has {there}, {but}"


def layout_of(header: Header, part: Part) -> str:
    """`diffusers` or empty (the original's), for a part that was detected."""
    table = {"model": MODELS, "vae": VAES}.get(part.name, ENCODERS)
    return next((s.layout for s in table if s.family == part.family and s.matches(header, part.prefix)), "")


def model_details(header: Header, part: Part) -> dict[str, Any]:
    """What its family wants to be known of the network."""
    return FAMILIES[part.family].details(header.under(part.prefix))


def vae_details(header: Header, part: Part) -> dict[str, Any]:
    """How many channels the latents have."""
    if part.family == "wan":
        last = header.shape(part.prefix + "conv2.weight") or header.shape(part.prefix + "post_quant_conv.weight")
        return {"latent_channels": last[0]} if last else {}
    shape = header.shape(part.prefix + "decoder.conv_in.weight") or header.shape(
        part.prefix + "decoder.layers.0.weight"
    )
    return {"latent_channels": shape[1]} if len(shape) > 1 else {}


def prediction(header: Header) -> dict[str, Any]:
    """What the file says of its parametrisation: marks in its keys or metadata."""
    said = str(header.metadata.get("modelspec.prediction_type", "")).lower()
    details: dict[str, Any] = {}
    if "v_pred" in header.tensors or said in ("v", "v_prediction"):
        details["prediction"] = "v"
    if "ztsnr" in header.tensors:
        details["zsnr"] = True
    if "edm_vpred.sigma_max" in header.tensors:
        details["prediction"] = "edm_v"
    if "edm_mean" in header.tensors:
        details["prediction"] = "edm"
    return details

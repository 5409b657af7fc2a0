"""Loaders: model files to recipes. Only headers are read here; weights are brought to the device where they are used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

from pydantic import Field

from graphflow.api import Clip, ClipVision, ControlNet, File, Filling, Folder, Gligen, Model, Vae, Widget, node
from graphflow.models import (
    checkpoint,
    control_net,
    difference_control_net,
    gligen,
    network,
    text_encoder_types,
    text_encoders,
    vae,
)


class CheckpointParts(NamedTuple):
    """What a whole checkpoint holds."""

    MODEL: Model
    CLIP: Clip
    VAE: Vae


@node("CheckpointLoaderSimple", title="Load Checkpoint", category="loaders", example="text-to-image")
def checkpoint_loader_simple(ckpt_name: Annotated[File, Folder("checkpoints")]) -> CheckpointParts:
    """Opens a checkpoint: a single safetensors file, or a folder in the layout of diffusers.

    Gives the denoising network, the text encoder for prompts, and the VAE between pictures and latents. What the file
    does not hold is told when it is used.
    """
    parts = checkpoint(ckpt_name)
    return CheckpointParts(parts.model, cast(Clip, parts.clip), cast(Vae, parts.vae))


class UnclipParts(NamedTuple):
    """What a whole checkpoint that looks at pictures holds."""

    MODEL: Model
    CLIP: Clip
    VAE: Vae
    CLIP_VISION: ClipVision


@node("unCLIPCheckpointLoader", title="unCLIPCheckpointLoader", category="loaders")
def unclip_checkpoint_loader(ckpt_name: Annotated[File, Folder("checkpoints")]) -> UnclipParts:
    """Opens a checkpoint that paints after pictures, with the image encoder that it looks through (SD 2.1 unCLIP)."""
    parts = checkpoint(ckpt_name)
    return UnclipParts(parts.model, cast(Clip, parts.clip), cast(Vae, parts.vae), cast(ClipVision, parts.clip_vision))


@node("DiffusersLoader", category="advanced/loaders/deprecated", deprecated=True)
def diffusers_loader(model_path: Annotated[File, Folder("diffusers")]) -> CheckpointParts:
    """Opens a folder in the layout of diffusers; CheckpointLoaderSimple does the same in its own folder."""
    return checkpoint_loader_simple(model_path)


@node("VAELoader", title="Load VAE", category="loaders")
def vae_loader(vae_name: Annotated[File, Folder("vae", extra=("pixel_space",))]) -> Vae:
    """Opens a VAE of its own, instead of a checkpoint's. `pixel_space` stands for none: latents are pixels."""
    return vae(vae_name)


@node("UNETLoader", title="Load Diffusion Model", category="advanced/loaders")
def unet_loader(
    unet_name: Annotated[File, Folder("diffusion_models")],
    weight_dtype: Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"] = "default",
) -> Model:
    """Opens a denoising network that comes without text encoder and VAE: safetensors, fp8 or GGUF.

    `weight_dtype` keeps its weights in eight bits, half the memory of float16 for a small loss.
    """
    return network(unet_name, "" if weight_dtype == "default" else weight_dtype.removesuffix("_fast"))


TextEncoderFile = Annotated[File, Folder("text_encoders")]
Device = Annotated[Literal["default", "cpu"], Widget(advanced=True)]


if TYPE_CHECKING:
    OneEncoder = str
    TwoEncoders = str
else:
    OneEncoder = Literal[
        text_encoder_types(
            1, "stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos",
            "lumina2", "wan", "hidream", "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image", "flux2",
        )
    ]  # fmt: skip
    TwoEncoders = Literal[
        text_encoder_types(2, "sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image")
    ]  # fmt: skip


@node("CLIPLoader", title="Load CLIP", category="advanced/loaders")
def clip_loader(
    clip_name: TextEncoderFile,
    type: OneEncoder = "stable_diffusion",
    device: Device = "default",
) -> Clip:
    """Opens a text encoder of its own; `type` says for which models. `cpu` keeps it off the device."""
    return text_encoders([clip_name], type, device)


@node("DualCLIPLoader", category="advanced/loaders")
def dual_clip_loader(
    clip_name1: TextEncoderFile,
    clip_name2: TextEncoderFile,
    type: TwoEncoders = "sdxl",
    device: Device = "default",
) -> Clip:
    """Opens two text encoders, in any order: CLIP-L and CLIP-G for SDXL, CLIP-L and T5 for Flux."""
    return text_encoders([clip_name1, clip_name2], type, device)


@node("TripleCLIPLoader", category="advanced/loaders")
def triple_clip_loader(clip_name1: TextEncoderFile, clip_name2: TextEncoderFile, clip_name3: TextEncoderFile) -> Clip:
    """Opens CLIP-L, CLIP-G and T5 for Stable Diffusion 3, in any order."""
    return text_encoders([clip_name1, clip_name2, clip_name3], "sd3")


@node("QuadrupleCLIPLoader", category="advanced/loaders")
def quadruple_clip_loader(
    clip_name1: TextEncoderFile, clip_name2: TextEncoderFile, clip_name3: TextEncoderFile, clip_name4: TextEncoderFile
) -> Clip:
    """Opens CLIP-L, CLIP-G, T5 and Llama for HiDream, in any order."""
    return text_encoders([clip_name1, clip_name2, clip_name3, clip_name4], "hidream")


@node("ControlNetLoader", title="Load ControlNet Model", category="loaders")
def control_net_loader(control_net_name: Annotated[File, Folder("controlnet")]) -> ControlNet:
    """Opens a ControlNet, control-LoRA or T2I-Adapter, which steers a model by a picture: edges, depth, a pose."""
    return control_net(control_net_name)


@node("DiffControlNetLoader", title="Load ControlNet Model (diff)", category="loaders")
def diff_control_net_loader(model: Model, control_net_name: Annotated[File, Folder("controlnet")]) -> ControlNet:
    """Opens a ControlNet whose file holds only the difference from a model: it is added to the model's own weights.

    LoRAs on the model are not in it. Other ControlNets are opened as they are.
    """
    return difference_control_net(control_net_name, model)


@node("GLIGENLoader", category="loaders")
def gligen_loader(gligen_name: Annotated[File, Folder("gligen")]) -> Gligen:
    """Opens a GLIGEN, which puts what texts say into boxes; for Stable Diffusion 1.4 and 1.5."""
    return gligen(gligen_name)


@node("CLIPSetLastLayer", title="CLIP Set Last Layer", category="conditioning")
def clip_set_last_layer(clip: Clip, stop_at_clip_layer: Annotated[int, Field(ge=-24, le=-1)] = -1) -> Clip:
    """Takes the text's encoding from an earlier layer ("clip skip"): -1 is the last, -2 the one before."""
    return replace(clip, layer=stop_at_clip_layer)


Tokens = Annotated[int, Field(ge=0, le=10000)]


@node("T5TokenizerOptions", category="_for_testing/conditioning", experimental=True)
def t5_tokenizer_options(clip: Clip, min_padding: Tokens = 0, min_length: Tokens = 0) -> Clip:
    """How T5 fills a prompt up: with `min_padding` tokens after it, and with more until there are `min_length`.

    Some models heed the tokens that fill up, and draw otherwise with more or fewer of them.
    """
    return replace(clip, filling=Filling(min_padding, min_length))

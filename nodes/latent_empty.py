"""Empty latents for models that need another shape than the usual one."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch

from graphflow.api import Latent, node

from ._fields import MAX_SIDE, BatchSize, span

By16 = Annotated[int, span(16, MAX_SIDE, 16, "In pixels.")]
By32 = Annotated[int, span(64, MAX_SIDE, 32, "In pixels.")]
FRAMES = "Frames of the video."


class Stages(NamedTuple):
    stage_c: Latent
    stage_b: Latent


def _zeros(*shape: int) -> Latent:
    return Latent(torch.zeros(shape))


@node("EmptySD3LatentImage", category="latent/sd3")
def empty_sd3_latent_image(width: By16 = 1024, height: By16 = 1024, batch_size: BatchSize = 1) -> Latent:
    """16 channels, an eighth of the picture: SD3, Flux, Qwen-Image, Chroma, HiDream and others."""
    return _zeros(batch_size, 16, height // 8, width // 8)


@node("EmptyFlux2LatentImage", title="Empty Flux 2 Latent", category="latent")
def empty_flux2_latent_image(width: By16 = 1024, height: By16 = 1024, batch_size: BatchSize = 1) -> Latent:
    """128 channels, a sixteenth of the picture: Flux 2."""
    return _zeros(batch_size, 128, height // 16, width // 16)


@node("EmptyChromaRadianceLatentImage", category="latent/chroma_radiance")
def empty_chroma_radiance_latent_image(width: By16 = 1024, height: By16 = 1024, batch_size: BatchSize = 1) -> Latent:
    """3 channels, as large as the picture: Chroma Radiance works on pixels."""
    return _zeros(batch_size, 3, height, width)


@node("EmptyHiDreamO1LatentImage", title="Empty HiDream-O1 Latent Image", category="latent")
def empty_hidream_o1_latent_image(
    width: Annotated[int, span(64, 4096, 32, "In pixels; trained on about four megapixels.")] = 2048,
    height: Annotated[int, span(64, 4096, 32, "In pixels; trained on about four megapixels.")] = 2048,
    batch_size: Annotated[int, span(1, 64, description="How many at once.")] = 1,
) -> Latent:
    """3 channels, as large as the picture: HiDream-O1 works on pixels."""
    return _zeros(batch_size, 3, height, width)


@node("EmptyHunyuanImageLatent", category="latent")
def empty_hunyuan_image_latent(
    width: By32 = 2048,
    height: By32 = 2048,
    batch_size: BatchSize = 1,
) -> Latent:
    """64 channels, a thirty-second of the picture: HunyuanImage 2.1."""
    return _zeros(batch_size, 64, height // 32, width // 32)


@node("EmptyQwenImageLayeredLatentImage", title="Empty Qwen Image Layered Latent", category="latent")
def empty_qwen_image_layered_latent_image(
    width: By16 = 640,
    height: By16 = 640,
    layers: Annotated[int, span(0, MAX_SIDE, 1, "One more comes out: the complete picture, first.")] = 3,
    batch_size: BatchSize = 1,
) -> Latent:
    """A stack of pictures for Qwen-Image-Layered: the complete one and its layers."""
    return _zeros(batch_size, 16, layers + 1, height // 8, width // 8)


@node("StableCascade_EmptyLatentImage", category="latent/stable_cascade")
def stable_cascade_empty_latent_image(
    width: Annotated[int, span(256, MAX_SIDE, 8, "In pixels.")] = 1024,
    height: Annotated[int, span(256, MAX_SIDE, 8, "In pixels.")] = 1024,
    compression: Annotated[int, span(4, 128, 1, "Pixels a latent pixel of stage C stands for, each way.")] = 42,
    batch_size: BatchSize = 1,
) -> Stages:
    """The two latents of Stable Cascade: 16 channels for stage C, 4 channels and a fourth of the picture for stage B."""
    stage_c = _zeros(batch_size, 16, height // compression, width // compression)
    return Stages(stage_c, _zeros(batch_size, 4, height // 4, width // 4))


# --- video and sound -------------------------------------------------------------------------------------------------


@node("EmptyHunyuanLatentVideo", category="latent/video")
def empty_hunyuan_latent_video(
    width: By16 = 848,
    height: By16 = 480,
    length: Annotated[int, span(1, MAX_SIDE, 4, FRAMES)] = 25,
    batch_size: BatchSize = 1,
) -> Latent:
    """16 channels, every fourth frame, an eighth of the picture: HunyuanVideo, Wan 2.1, Wan 2.2 14B."""
    return _zeros(batch_size, 16, (length - 1) // 4 + 1, height // 8, width // 8)


@node("EmptyHunyuanVideo15Latent", title="Empty HunyuanVideo 1.5 Latent", category="latent/video")
def empty_hunyuan_video15_latent(
    width: By16 = 848,
    height: By16 = 480,
    length: Annotated[int, span(1, MAX_SIDE, 4, FRAMES)] = 25,
    batch_size: BatchSize = 1,
) -> Latent:
    """32 channels, every fourth frame, a sixteenth of the picture: HunyuanVideo 1.5."""
    return _zeros(batch_size, 32, (length - 1) // 4 + 1, height // 16, width // 16)


@node("EmptyMochiLatentVideo", category="latent/video")
def empty_mochi_latent_video(
    width: By16 = 848,
    height: By16 = 480,
    length: Annotated[int, span(7, MAX_SIDE, 6, FRAMES)] = 25,
    batch_size: BatchSize = 1,
) -> Latent:
    """12 channels, every sixth frame, an eighth of the picture: Mochi."""
    return _zeros(batch_size, 12, (length - 1) // 6 + 1, height // 8, width // 8)


@node("EmptyLTXVLatentVideo", category="latent/video/ltxv")
def empty_ltxv_latent_video(
    width: By32 = 768,
    height: By32 = 512,
    length: Annotated[int, span(1, MAX_SIDE, 8, FRAMES)] = 97,
    batch_size: BatchSize = 1,
) -> Latent:
    """128 channels, every eighth frame, a thirty-second of the picture: LTX-Video."""
    return _zeros(batch_size, 128, (length - 1) // 8 + 1, height // 32, width // 32)


@node("EmptyCosmosLatentVideo", category="latent/video")
def empty_cosmos_latent_video(
    width: By16 = 1280,
    height: By16 = 704,
    length: Annotated[int, span(1, MAX_SIDE, 8, FRAMES)] = 121,
    batch_size: BatchSize = 1,
) -> Latent:
    """16 channels, every eighth frame, an eighth of the picture: Cosmos."""
    return _zeros(batch_size, 16, (length - 1) // 8 + 1, height // 8, width // 8)


@node("EmptyLatentAudio", title="Empty Latent Audio", category="latent/audio")
def empty_latent_audio(
    seconds: Annotated[float, span(1.0, 1000.0, 0.1, "Length of the sound.")] = 47.6, batch_size: BatchSize = 1
) -> Latent:
    """64 channels, 2048 samples of 44.1 kHz each, an even number of them: Stable Audio."""
    return _zeros(batch_size, 64, round(seconds * 44100 / 2048 / 2) * 2)


@node("EmptyAceStepLatentAudio", category="latent/audio")
def empty_ace_step_latent_audio(
    seconds: Annotated[float, span(1.0, 1000.0, 0.1, "Length of the sound.")] = 120.0, batch_size: BatchSize = 1
) -> Latent:
    """8 channels of 16 bands, 4096 samples of 44.1 kHz each: ACE-Step."""
    return _zeros(batch_size, 8, 16, int(seconds * 44100 / 512 / 8))

"""Sound: loaded, made, cut, mixed, saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from graphflow.api import Artifact, Audio, File, Folder, node

from ._fields import span
from ._media import read_audio, write_audio
from .image_io import Prefix

FOREVER = 2**64 - 1
"""Seconds: what ComfyUI's widgets have for no limit."""
Seconds = Annotated[float, span(-FOREVER, FOREVER, 0.01, "In seconds; negative counts from the end.")]


class Channels(NamedTuple):
    left: Audio
    right: Audio


@node("LoadAudio", title="Load Audio", category="audio")
def load_audio(audio: Annotated[File, Folder("input", media="audio")]) -> Audio:
    """The sound of an uploaded file, of a video as well."""
    return read_audio(audio.path)


@node("EmptyAudio", title="Empty Audio", category="audio")
def empty_audio(
    duration: Annotated[float, span(0.0, FOREVER, 0.01, "In seconds.")] = 60.0,
    sample_rate: Annotated[int, span(None, None, description="Samples a second.")] = 44100,
    channels: Annotated[int, span(1, 2, description="1 is mono, 2 is stereo.")] = 2,
) -> Audio:
    """Silence."""
    if sample_rate < 1:
        raise ValueError(f"sample_rate is {sample_rate}; it must be at least 1")
    return Audio(torch.zeros(1, channels, round(duration * sample_rate)), sample_rate)


@node("TrimAudioDuration", title="Trim Audio Duration", category="audio")
def trim_audio_duration(
    audio: Audio,
    start_index: Seconds = 0.0,
    duration: Annotated[float, span(0.0, None, 0.01, "In seconds; less where the sound ends sooner.")] = 60.0,
) -> Audio:
    """A part of a sound."""
    length = audio.data.shape[-1]
    start = round(start_index * audio.sample_rate)
    start = min(max(length + start if start < 0 else start, 0), length - 1)
    end = min(start + round(duration * audio.sample_rate), length)
    if start >= end:
        raise ValueError(f"nothing is left of {length / audio.sample_rate:.2f} s of sound; choose a longer duration")
    return Audio(audio.data[..., start:end], audio.sample_rate)


@node("SplitAudioChannels", title="Split Audio Channels", category="audio")
def split_audio_channels(audio: Audio) -> Channels:
    """The left and the right side of a stereo sound."""
    if audio.data.shape[1] != 2:
        raise ValueError(f"the sound has {audio.data.shape[1]} channels; only one of two can be split")
    return Channels(*(Audio(audio.data[:, i : i + 1], audio.sample_rate) for i in range(2)))


@node("AudioConcat", title="Audio Concat", category="audio")
def audio_concat(audio1: Audio, audio2: Audio, direction: Literal["after", "before"] = "after") -> Audio:
    """The second sound after or before the first; both as stereo if one is, at the higher sample rate."""
    first, second = _alike(audio1, audio2)
    parts = [first.data, second.data] if direction == "after" else [second.data, first.data]
    return Audio(torch.cat(parts, dim=2), first.sample_rate)


@node("AudioMerge", title="Audio Merge", category="audio")
def audio_merge(
    audio1: Audio, audio2: Audio, merge_method: Literal["add", "mean", "subtract", "multiply"] = "add"
) -> Audio:
    """Two sounds at once, as long as the first; made quieter where they would be too loud together."""
    first, second = _alike(audio1, audio2)
    length = first.data.shape[-1]
    a, b = first.data, F.pad(second.data[..., :length], (0, max(0, length - second.data.shape[-1])))
    merged = {"add": a + b, "mean": (a + b) / 2, "subtract": a - b, "multiply": a * b}[merge_method]
    loudest = merged.abs().max().item() if merged.numel() else 0.0
    return Audio(merged / loudest if loudest > 1 else merged, first.sample_rate)


@node("AudioAdjustVolume", title="Audio Adjust Volume", category="audio")
def audio_adjust_volume(
    audio: Audio, volume: Annotated[int, span(-100, 100, description="In decibels; 0 leaves it as it is.")] = 1
) -> Audio:
    """A sound louder or quieter."""
    return Audio(audio.data * 10 ** (volume / 20), audio.sample_rate)


def _alike(a: Audio, b: Audio) -> tuple[Audio, Audio]:
    """Both at the higher sample rate, with as many channels and items as the one that has more."""
    rate = max(a.sample_rate, b.sample_rate)
    channels, count = (max(a.data.shape[dim], b.data.shape[dim]) for dim in (1, 0))
    first, second = (Audio(_spread(resampled(x, rate), channels, count), rate) for x in (a, b))
    return first, second


def _spread(x: Tensor, channels: int, count: int) -> Tensor:
    if x.shape[1] not in (1, channels) or x.shape[0] not in (1, count):
        raise ValueError(f"sounds of {x.shape[1]} and {channels} channels do not go together; split one first")
    return x.expand(count, channels, -1)


def resampled(audio: Audio, rate: int) -> Tensor:
    """(B, channels, samples) at another sample rate."""
    if rate == audio.sample_rate:
        return audio.data
    from scipy.signal import resample_poly  # slow to import

    divisor = math.gcd(rate, audio.sample_rate)
    samples = resample_poly(audio.data.numpy(), rate // divisor, audio.sample_rate // divisor, axis=-1)
    return torch.from_numpy(samples).float()


# --- saving ----------------------------------------------------------------------------------------------------------

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


@node("SaveAudio", title="Save Audio (FLAC)", category="audio", output_node=True)
def save_audio(audio: Audio, filename_prefix: Prefix = "audio/ComfyUI") -> list[Artifact]:
    """Each sound as a FLAC file: lossless, 24 bits."""
    return list(_flacs(audio, filename_prefix))


@node("SaveAudioMP3", title="Save Audio (MP3)", category="audio", output_node=True)
def save_audio_mp3(
    audio: Audio, filename_prefix: Prefix = "audio/ComfyUI", quality: Literal["V0", "128k", "320k"] = "V0"
) -> list[Artifact]:
    """Each sound as an MP3 file; V0 spends as many bits as it needs."""
    options: dict[str, int] = {"quality": 0} if quality == "V0" else {"bit_rate": int(quality[:-1]) * 1000}
    files = [write_audio(one, audio.sample_rate, "mp3", "libmp3lame", **options) for one in audio.data]
    return [Artifact("audio/mpeg", data, filename_prefix, _length(audio)) for data in files]


@node("SaveAudioOpus", title="Save Audio (Opus)", category="audio", output_node=True)
def save_audio_opus(
    audio: Audio,
    filename_prefix: Prefix = "audio/ComfyUI",
    quality: Literal["64k", "96k", "128k", "192k", "320k"] = "128k",
) -> list[Artifact]:
    """Each sound as an Opus file, at the nearest higher sample rate that Opus has."""
    rate = next((rate for rate in OPUS_RATES if rate >= audio.sample_rate), OPUS_RATES[-1])
    bits = int(quality[:-1]) * 1000
    files = [write_audio(one, rate, "ogg", "libopus", bit_rate=bits) for one in resampled(audio, rate)]
    return [Artifact("audio/opus", data, filename_prefix, _length(audio)) for data in files]


@node("PreviewAudio", title="Preview Audio", category="audio", output_node=True)
def preview_audio(audio: Audio) -> list[Artifact]:
    """Plays the sounds without keeping them."""
    return list(_flacs(audio, "preview", temporary=True))


def _flacs(audio: Audio, prefix: str, **details: Any) -> Iterator[Artifact]:
    for one in audio.data:
        data = write_audio(one, audio.sample_rate, "flac", "flac")
        yield Artifact("audio/flac", data, prefix, {**_length(audio), **details})


def _length(audio: Audio) -> dict[str, float]:
    return {"seconds": audio.data.shape[-1] / audio.sample_rate, "sample_rate": audio.sample_rate}

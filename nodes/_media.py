"""Moving pictures and sound as files, through PyAV."""

from __future__ import annotations

import ctypes
import io
import math
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from graphflow.api import Audio, TooLarge, UnsupportedFile, Video

from ._tensors import to_bytes

PIXEL_LIMIT = 2**29
"""Pixels of all frames together that are decoded unless told otherwise: 6 GiB of them."""
SAMPLE_LIMIT = 2**29
"""Samples of all channels together."""

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegts,mpegvideo,flv,asf,ogg,wav,flac,mp3,aac,aiff,w64,caf"
)
"""What is opened: no format that can name further files or addresses."""

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
BT709, LIMITED = 1, 1
"""Numbers of colour space and range in video streams (ITU-T H.273)."""


# --- reading ---------------------------------------------------------------------------------------------------------


def _open(path: Path) -> av.container.InputContainer:
    return av.open(str(path), "r", options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"})


def read_video(path: Path, *, limit: int = PIXEL_LIMIT) -> Video:
    """Every frame, upright, with the sound. Raises `UnsupportedFile` or `TooLarge`."""
    try:
        with _open(path) as file:
            if not file.streams.video:
                raise UnsupportedFile(f"{path.name} holds no moving pictures; choose a video")
            stream = file.streams.video[0]
            stream.thread_type = "AUTO"
            frames = list(_frames(file.decode(stream), path.name, limit))
            rate = stream.average_rate or stream.guessed_rate or Fraction(24)
        sound = _sound(path, SAMPLE_LIMIT)
    except (av.FFmpegError, ValueError) as error:
        raise UnsupportedFile(f"{path.name} is no video that can be read ({error}); choose another") from error
    if not frames:
        raise UnsupportedFile(f"{path.name} holds no frames; it may be cut short")
    return Video(torch.from_numpy(np.stack(frames)).float() / 255, float(rate), sound)


def _frames(frames: Iterable[av.VideoFrame], name: str, limit: int) -> Iterator[np.ndarray[Any, Any]]:
    pixels = 0
    for frame in frames:
        pixels += frame.width * frame.height
        if pixels > limit:
            raise TooLarge(f"{name} has more than {limit:,} pixels in its frames; cut it shorter or scale it down")
        yield np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))


def read_audio(path: Path, *, limit: int = SAMPLE_LIMIT) -> Audio:
    """The first sound of a file, whole. Raises `UnsupportedFile` or `TooLarge`."""
    try:
        sound = _sound(path, limit)
    except (av.FFmpegError, ValueError) as error:
        raise UnsupportedFile(f"{path.name} is no sound that can be read ({error}); choose another") from error
    if sound is None:
        raise UnsupportedFile(f"{path.name} holds no sound; choose another")
    return sound


def _sound(path: Path, limit: int) -> Audio | None:
    with _open(path) as file:
        if not file.streams.audio:
            return None
        stream = file.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        parts: list[np.ndarray[Any, Any]] = []
        samples = 0
        for frame in chain(file.decode(stream), [None]):  # None: what the resampler still holds
            new = [part.to_ndarray() for part in resampler.resample(frame)]
            samples += sum(part.size for part in new)
            if samples > limit:
                raise TooLarge(f"{path.name} has more than {limit:,} samples; cut it shorter")
            parts += new
        if not parts:
            return None
        return Audio(torch.from_numpy(np.concatenate(parts, axis=1))[None].float(), stream.rate)


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """How moving pictures become a file."""

    container: str
    codec: str
    pixels: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    audio_codec: str = "aac"


SETRESUID = {"x86_64": 117, "aarch64": 147}
"""Linux's number of the call that changes the user of one thread; the C library's own changes all threads'."""
NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """This thread, and those that it starts, without root's rights.

    SVT-AV1 takes real-time priority when it runs as root, for the thread that calls it too, and what that thread starts
    inherits it: all else on the machine, our server first, then stands still.
    """
    number = SETRESUID.get(platform.machine()) if sys.platform == "linux" and os.geteuid() == 0 else None
    if number is None:
        yield
        return
    call = ctypes.CDLL(None).syscall
    call(number, -1, NOBODY, -1)
    try:
        yield
    finally:
        call(number, -1, 0, -1)


def write_video(frames: Tensor, fps: float, format: Format, audio: Audio | None = None) -> bytes:
    """A video file of (F, H, W, 3 or 4); odd sides are made even by repeating the last row or column.

    Colours are those of BT.709. The sound is cut to the length of the pictures. Equal arguments give equal bytes.
    """
    rate = Fraction(fps).limit_denominator(1001)
    out = io.BytesIO()
    with unprivileged(), av.open(out, "w", format=format.container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(format.codec, rate=rate, options={"threads": "2", **format.options})
        assert isinstance(stream, av.VideoStream)
        pictures = _even(frames)
        stream.height, stream.width, stream.pix_fmt = pictures.shape[1], pictures.shape[2], format.pixels
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED
        sound = file.add_stream(format.audio_codec, rate=audio.sample_rate) if audio else None
        if audio and isinstance(sound, av.AudioStream):
            sound.layout = _layout(audio)
        for one in pictures:
            frame = av.VideoFrame.from_ndarray(to_bytes(one), format="rgba" if one.shape[-1] == 4 else "rgb24")
            converted = frame.reformat(format=format.pixels, dst_colorspace=BT709, dst_color_range=LIMITED)
            file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
        if audio and isinstance(sound, av.AudioStream):
            length = math.ceil(audio.sample_rate * len(frames) / float(rate))
            file.mux(_encoded(sound, audio.data[0, :, :length], audio.sample_rate))
    return out.getvalue()


def _even(frames: Tensor) -> Tensor:
    height, width = frames.shape[1:3]
    if height % 2 == width % 2 == 0:
        return frames
    return F.pad(frames.movedim(-1, 1), (0, width % 2, 0, height % 2), "replicate").movedim(1, -1)


def write_audio(
    samples: Tensor, rate: int, container: str, codec: str, *, bit_rate: int = 0, quality: int | None = None
) -> bytes:
    """A sound file of (channels, samples). Equal arguments give equal bytes."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        options = {} if quality is None else {"q": str(quality), "flags": "+qscale"}
        stream = file.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, av.AudioStream)
        stream.layout = _layout(Audio(samples[None], rate))
        if bit_rate:
            stream.bit_rate = bit_rate
        if codec == "flac":
            stream.format = "s32"  # 24 bits a sample
        file.mux(_encoded(stream, samples, rate))
    return out.getvalue()


def _encoded(stream: av.AudioStream, samples: Tensor, rate: int) -> list[Any]:
    """Packets of (channels, samples), in pieces that every encoder takes."""
    packets: list[Any] = []
    resampler = av.AudioResampler(format=stream.format, layout=stream.layout, rate=stream.rate, frame_size=0)
    for at in range(0, samples.shape[1], 4096):
        part = samples[:, at : at + 4096].clamp(-1, 1).contiguous().numpy()
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        for converted in resampler.resample(frame):
            packets += stream.encode(converted)
    for converted in resampler.resample(None):
        packets += stream.encode(converted)
    return packets + stream.encode(None)


def _layout(audio: Audio) -> str:
    channels = audio.data.shape[1]
    if channels not in LAYOUTS:
        raise ValueError(f"a sound of {channels} channels cannot be saved; {', '.join(map(str, LAYOUTS))} can")
    return LAYOUTS[channels]

"""Videos, sounds and latents carry texts without a byte of what is encoded changed."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from graphflow import containers, pictures
from graphflow.documents import open_document
from graphflow.errors import UnsupportedFile

TEXTS = {"graphflow": '{"name": "Äpfel 苹果"}', "prompt": '{"1": {}}', "workflow": '{"nodes": []}'}
LONG = {"graphflow": "long " * 40_000}


def recorded(container: str, codec: str, *, video: bool) -> bytes:
    """A short file of one stream."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        if video:
            stream = file.add_stream(codec, rate=5)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            frames: list[Any] = [av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * i, np.uint8)) for i in range(3)]
        else:
            stream = file.add_stream(codec, rate=44100)
            stream.layout = "mono"
            frames = [av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), format="s16", layout="mono")]
            frames[0].sample_rate = 44100
        for frame in frames:
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


FILES = {
    "video/mp4": recorded("mp4", "libx264", video=True),
    "video/webm": recorded("webm", "libvpx-vp9", video=True),
    "audio/flac": recorded("flac", "flac", video=False),
    "audio/mpeg": recorded("mp3", "libmp3lame", video=False),
    "application/x-latent": save({"latent_tensor": torch.ones(1, 4, 2, 2)}),
}
every_file = pytest.mark.parametrize(("media_type", "data"), FILES.items(), ids=FILES)


def packets(data: bytes) -> list[bytes]:
    if data[8:9] == b"{":
        return [tensor.numpy().tobytes() for tensor in load(data).values()]
    with av.open(io.BytesIO(data)) as file:
        return [bytes(packet) for packet in file.demux() if packet.size]


@every_file
@pytest.mark.parametrize("texts", [TEXTS, LONG], ids=["three", "long"])
def test_texts_come_back_and_what_is_encoded_stays(media_type: str, data: bytes, texts: dict[str, str]) -> None:
    written = pictures.embed(data, media_type, texts)
    assert pictures.texts(written).items() >= texts.items()
    assert packets(written) == packets(data)


@every_file
def test_writing_again_changes_nothing_and_new_texts_replace_old_ones(media_type: str, data: bytes) -> None:
    once = pictures.embed(data, media_type, TEXTS)
    assert pictures.embed(once, media_type, TEXTS) == once
    longer = pictures.embed(once, media_type, LONG)
    short = pictures.embed(longer, media_type, {"graphflow": "short"})
    assert pictures.texts(longer).items() >= (TEXTS | LONG).items()
    assert pictures.texts(short).items() >= (TEXTS | {"graphflow": "short"}).items()
    assert packets(short) == packets(data)


@pytest.mark.parametrize("media_type", ["video/mp4", "video/webm", "audio/flac", "audio/mpeg"])
def test_ffmpeg_reads_what_we_write(media_type: str) -> None:
    with av.open(io.BytesIO(pictures.embed(FILES[media_type], media_type, TEXTS))) as file:
        read = {key.lower(): text for key, text in file.metadata.items()}
    assert read.items() >= TEXTS.items()


@every_file
def test_a_workflow_is_opened_from_any_of_them(media_type: str, data: bytes) -> None:
    document = '{"graphflow": 1, "nodes": {"a": {"type": "EmptyImage", "inputs": {}}}}'
    opened = open_document(pictures.embed(data, media_type, {"graphflow": document}))
    assert opened.workflow.nodes["a"].type == "EmptyImage"


def test_json_is_no_latent_whatever_its_ninth_byte() -> None:
    assert containers.reader_of(b'{"123": {"class_type": "EmptyImage"}}') is None


def test_a_video_that_ffmpeg_tagged_is_read() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={"movflags": "use_metadata_tags"}) as file:
        file.metadata["workflow"] = "{}"
        stream = file.add_stream("libx264", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        file.mux(stream.encode(None))
    assert pictures.texts(out.getvalue())["workflow"] == "{}"


def test_a_video_that_begins_with_its_description_stays_as_it_is() -> None:
    boxes = {data[4:8]: data for data in _top(FILES["video/mp4"])}
    streamed = boxes[b"ftyp"] + boxes[b"moov"] + boxes[b"mdat"]
    assert pictures.embed(streamed, "video/mp4", TEXTS) == streamed


def _top(data: bytes) -> list[bytes]:
    at, found = 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at : at + size])
        at += size
    return found


@every_file
def test_nothing_is_embedded_into_a_damaged_file(media_type: str, data: bytes) -> None:
    if media_type == "audio/mpeg":  # any bytes may begin an MP3: decoders look for the first frame
        return
    for damaged in (b"", b"damaged file"):
        with pytest.raises((UnsupportedFile, ValueError)):
            pictures.embed(damaged, media_type, TEXTS)


@every_file
@given(cut=st.floats(0, 1), flip=st.integers(0, 2**16))
def test_damaged_files_have_texts_or_none_but_never_crash(media_type: str, data: bytes, cut: float, flip: int) -> None:
    written = bytearray(pictures.embed(data, media_type, TEXTS))
    written[flip % len(written)] ^= 0xFF
    assert isinstance(pictures.texts(bytes(written[: int(len(written) * cut)])), dict)


def test_a_flac_file_that_claims_billions_of_comments_is_refused_at_once() -> None:
    written = bytearray(pictures.embed(FILES["audio/flac"], "audio/flac", TEXTS))
    vendor = written.index(b"\x04", 4 + 4 + 34) + 4  # past the stream's own description: a block of comments
    count = vendor + 4 + int.from_bytes(written[vendor : vendor + 4], "little")
    written[count : count + 4] = b"\xff" * 4
    with pytest.raises(ValueError, match="cut short"):
        containers.flac_texts(bytes(written))


READERS: list[Callable[[bytes], dict[str, str]]] = [
    containers.mp4_texts, containers.webm_texts, containers.flac_texts, containers.mp3_texts,
]  # fmt: skip


@pytest.mark.parametrize("media_type", list(FILES)[:4])
def test_a_fresh_file_has_no_workflow(media_type: str) -> None:
    read = READERS[list(FILES).index(media_type)]
    assert read(FILES[media_type]).keys().isdisjoint(TEXTS)

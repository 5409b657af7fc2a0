"""Videos, animations and sounds go into files and come back."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import av
import PIL.Image
import pytest
import torch

from graphflow.api import Artifact, Audio, File, Image, TooLarge, UnsupportedFile, Video, pictures
from graphflow_nodes import _media as media
from graphflow_nodes import animation, audio, video


def stored(folder: Path, data: bytes, name: str) -> File:
    (folder / name).write_bytes(data)
    return File(name, folder / name, "digest")


def ramp(frames: int = 6, height: int = 16, width: int = 32, channels: int = 3) -> Image:
    """Each frame one grey, brighter from frame to frame."""
    greys = torch.linspace(0.1, 0.9, frames).reshape(frames, 1, 1, 1)
    return Image(greys.expand(frames, height, width, channels).contiguous())


def tone(seconds: float = 0.5, rate: int = 8000, channels: int = 2) -> Audio:
    """440 Hz at half the loudness."""
    wave = 0.5 * torch.sin(torch.arange(round(seconds * rate)) * 2 * math.pi * 440 / rate)
    return Audio(wave.expand(1, channels, -1).contiguous(), rate)


def pitch(sound: Audio) -> float:
    """The loudest frequency, in Hz."""
    wave = sound.data[0, 0] * torch.hann_window(sound.data.shape[-1])
    return torch.fft.rfft(wave, 2**18).abs().argmax().item() * sound.sample_rate / 2**18


# --- video -----------------------------------------------------------------------------------------------------------


def test_a_video_is_saved_and_loaded_with_its_sound(tmp_path: Path) -> None:
    made = video.create_video(ramp(), 12.0, tone(rate=48000))
    passed_on, saved = video.save_video(made, "video/%width%x%height%")
    assert passed_on is made
    assert (saved.media_type, saved.name) == ("video/mp4", "video/32x16")
    assert dict(saved.details) == {"width": 32, "height": 16, "frames": 6, "fps": 12.0}
    images, sound, fps = video.get_video_components(video.load_video(stored(tmp_path, saved.data, "a.mp4")))
    assert (images.data.shape, fps) == ((6, 16, 32, 3), 12.0)
    assert torch.allclose(images.data, ramp().data, atol=0.02)
    assert sound is not None
    assert (sound.sample_rate, sound.data.shape[1]) == (48000, 2)
    assert sound.data.shape[2] == pytest.approx(24000, abs=2048)  # AAC works in frames of 1024


def test_equal_videos_are_equal_bytes() -> None:
    first, second = (video.save_video(video.create_video(ramp(), 8.0, tone(rate=44100))).file.data for _ in range(2))
    assert first == second


def test_sound_is_cut_to_the_pictures() -> None:
    saved = video.save_video(video.create_video(ramp(2), 10.0, tone(1.0, 48000))).file
    with av.open(io.BytesIO(saved.data)) as file:
        assert file.duration is not None
        assert file.duration / 1e6 < 0.3


def test_odd_sides_are_made_even_by_the_last_row_and_column(tmp_path: Path) -> None:
    saved = video.save_video(Video(ramp(2, 15, 17).data, 5.0)).file
    loaded = video.load_video(stored(tmp_path, saved.data, "odd.mp4"))
    assert loaded.frames.shape == (2, 16, 18, 3)
    assert torch.allclose(loaded.frames[:, 15, 17], ramp(2).data[:, 0, 0], atol=0.02)


def test_a_part_of_a_video_takes_its_part_of_the_sound() -> None:
    whole = Video(ramp(10).data, 10.0, tone(1.0, 8000))
    part = video.video_slice(whole, 0.2, 0.5)
    assert part.audio is not None
    assert (torch.equal(part.frames, whole.frames[2:7]), part.audio.data.shape[2]) == (True, 4000)
    assert len(video.video_slice(whole, -0.3).frames) == 3
    assert len(video.video_slice(whole, 0.5, 9.0).frames) == 5
    with pytest.raises(ValueError, match=r"the video has only 0\.500 s from there, not 9"):
        video.video_slice(whole, 0.5, 9.0, strict_duration=True)
    with pytest.raises(ValueError, match=r"the video ends after 1\.000 s"):
        video.video_slice(whole, 1.0)


@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_webm_is_saved(codec: str, tmp_path: Path) -> None:
    saved = video.save_webm(ramp(3, 64, 64), "w", codec, 24.0, 10.0)  # type: ignore[arg-type]
    loaded = video.load_video(stored(tmp_path, saved.data, "a.webm"))
    assert (saved.media_type, loaded.frames.shape) == ("video/webm", (3, 64, 64, 3))
    assert torch.allclose(loaded.frames, ramp(3, 64, 64).data, atol=0.03)


def test_compression_leaves_traces_and_even_sides() -> None:
    noise = Image(torch.rand(1, 33, 35, 3, generator=torch.Generator().manual_seed(0)))
    assert video.ltxv_preprocess(noise, 0) is noise
    compressed = video.ltxv_preprocess(noise, 35).data
    assert compressed.shape == (1, 32, 34, 3)
    assert 0.01 < (compressed - noise.data[:, :32, :34]).abs().mean() < 0.3
    flat = Image(torch.full((1, 16, 16, 3), 0.25))
    assert torch.allclose(video.ltxv_preprocess(flat, 20).data, flat.data, atol=0.02)


@pytest.mark.parametrize(
    "data", [b"", b"no video", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile a\n"]
)
def test_what_is_no_video_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match=r"a\.mp4"):
        video.load_video(stored(tmp_path, data, "a.mp4"))
    with pytest.raises(UnsupportedFile, match=r"a\.mp3"):
        audio.load_audio(stored(tmp_path, data, "a.mp3"))


def test_a_video_cut_short_is_refused_or_gives_its_first_frames(tmp_path: Path) -> None:
    saved = video.save_video(video.create_video(ramp(), 8.0)).file.data
    with pytest.raises(UnsupportedFile):
        video.load_video(stored(tmp_path, saved[: len(saved) // 2], "short.mp4"))


def test_too_long_is_told_before_the_memory_is_full(tmp_path: Path) -> None:
    file = stored(tmp_path, video.save_video(video.create_video(ramp(), 8.0, tone(rate=48000))).file.data, "long.mp4")
    with pytest.raises(TooLarge, match="cut it shorter or scale it down"):
        media.read_video(file.path, limit=3 * 16 * 32)
    with pytest.raises(TooLarge, match="more than 100 samples"):
        media.read_audio(file.path, limit=100)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    (flac,) = audio.save_audio(tone())
    with pytest.raises(UnsupportedFile, match="holds no moving pictures"):
        video.load_video(stored(tmp_path, flac.data, "a.flac"))
    silent = video.save_video(video.create_video(ramp(), 8.0)).file
    with pytest.raises(UnsupportedFile, match="holds no sound"):
        audio.load_audio(stored(tmp_path, silent.data, "a.mp4"))


# --- animations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [animation.save_animated_webp, animation.save_animated_png])
def test_an_animation_keeps_every_frame(save: object) -> None:
    saved = save(ramp(3), "frames", 4.0)  # type: ignore[operator]
    assert isinstance(saved, Artifact)
    assert dict(saved.details) == {"width": 32, "height": 16, "frames": 3, "fps": 4.0}
    greys = [frame.convert("RGB").getpixel((0, 0))[0] for frame in pictures.read(saved.data)]  # type: ignore[index]
    assert greys == [25, 127, 229]
    with PIL.Image.open(io.BytesIO(saved.data)) as film:
        film.seek(1)
        film.load()
        assert (film.format, film.info["duration"]) == (saved.media_type.split("/")[1].upper(), 250)


def test_an_animation_can_be_small() -> None:
    noise = Image(torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0)))
    small = animation.save_animated_webp(noise, "f", 6.0, False, 20, "fastest")
    assert len(small.data) < len(animation.save_animated_webp(noise).data) / 3


# --- sound -----------------------------------------------------------------------------------------------------------


def test_flac_keeps_24_bits(tmp_path: Path) -> None:
    (saved,) = audio.save_audio(tone(), "audio/tone")
    assert (saved.media_type, saved.details["seconds"], saved.details["sample_rate"]) == ("audio/flac", 0.5, 8000)
    loaded = audio.load_audio(stored(tmp_path, saved.data, "tone.flac"))
    assert (loaded.sample_rate, loaded.data.shape) == (8000, (1, 2, 4000))
    assert torch.allclose(loaded.data, tone().data, atol=2**-23)


@pytest.mark.parametrize("quality", ["V0", "128k", "320k"])
def test_mp3_sounds_alike(quality: str, tmp_path: Path) -> None:
    (saved,) = audio.save_audio_mp3(tone(rate=44100), "tone", quality)  # type: ignore[arg-type]
    loaded = audio.load_audio(stored(tmp_path, saved.data, "tone.mp3"))
    assert (saved.media_type, loaded.sample_rate) == ("audio/mpeg", 44100)
    assert loaded.data.abs().max().item() == pytest.approx(0.5, abs=0.05)
    assert pitch(loaded) == pytest.approx(440, abs=2)


def test_more_bits_make_a_longer_file() -> None:
    noise = Audio(torch.rand(1, 1, 44100, generator=torch.Generator().manual_seed(0)) - 0.5, 44100)
    sizes = [len(audio.save_audio_mp3(noise, "n", quality)[0].data) for quality in ("128k", "320k")]  # type: ignore[arg-type]
    assert sizes == [pytest.approx(128000 / 8, rel=0.1), pytest.approx(320000 / 8, rel=0.1)]
    small, large = (len(audio.save_audio_opus(noise, "n", quality)[0].data) for quality in ("64k", "192k"))  # type: ignore[arg-type]
    assert large > 2 * small


def test_opus_takes_the_next_rate_that_it_has(tmp_path: Path) -> None:
    (saved,) = audio.save_audio_opus(tone(rate=44100))
    loaded = audio.load_audio(stored(tmp_path, saved.data, "tone.opus"))
    assert (saved.media_type, loaded.sample_rate) == ("audio/opus", 48000)
    assert loaded.data.shape[2] == pytest.approx(24000, abs=1000)
    assert loaded.data.abs().max().item() == pytest.approx(0.5, abs=0.05)
    assert pitch(loaded) == pytest.approx(440, abs=2)


def test_each_of_a_batch_is_a_file() -> None:
    two = Audio(torch.zeros(2, 1, 100), 8000)
    assert [a.details.get("temporary") for a in audio.preview_audio(two)] == [True, True]
    assert len(audio.save_audio(two)) == 2


def test_many_channels_cannot_be_saved() -> None:
    with pytest.raises(ValueError, match="a sound of 3 channels cannot be saved; 1, 2, 6, 8 can"):
        audio.save_audio(Audio(torch.zeros(1, 3, 10), 8000))


def test_silence() -> None:
    silence = audio.empty_audio(0.5, 8000, 1)
    assert (silence.data.shape, silence.sample_rate, silence.data.any().item()) == ((1, 1, 4000), 8000, False)
    with pytest.raises(ValueError, match="sample_rate is 0"):
        audio.empty_audio(1.0, 0)


def test_sounds_are_trimmed_from_either_end() -> None:
    count = Audio(torch.arange(10.0).reshape(1, 1, 10), 10)
    assert audio.trim_audio_duration(count, 0.2, 0.3).data.flatten().tolist() == [2, 3, 4]
    assert audio.trim_audio_duration(count, -0.3, 60.0).data.flatten().tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="nothing is left"):
        audio.trim_audio_duration(count, 0.0, 0.0)


def test_stereo_is_split() -> None:
    both = Audio(torch.tensor([[[1.0], [2.0]]]), 8)
    assert [side.data.flatten().tolist() for side in audio.split_audio_channels(both)] == [[1.0], [2.0]]
    with pytest.raises(ValueError, match="has 1 channels"):
        audio.split_audio_channels(Audio(torch.zeros(1, 1, 1), 8))


def test_sounds_follow_one_another() -> None:
    mono, stereo = Audio(torch.ones(1, 1, 2), 8), Audio(torch.zeros(1, 2, 3), 8)
    assert audio.audio_concat(mono, stereo).data[0, 1].tolist() == [1, 1, 0, 0, 0]
    assert audio.audio_concat(mono, stereo, "before").data[0, 0].tolist() == [0, 0, 0, 1, 1]
    joined = audio.audio_concat(tone(0.5, 8000), tone(0.5, 16000))
    assert (joined.data.shape, joined.sample_rate) == ((1, 2, 16000), 16000)
    assert torch.allclose(joined.data[..., 100:7900], tone(0.5, 16000).data[..., 100:7900], atol=0.01)
    assert torch.equal(joined.data[..., 8000:], tone(0.5, 16000).data)


@pytest.mark.parametrize(
    ("method", "wanted"),
    [("add", [1.0, 0.5]), ("mean", [0.75, 0.375]), ("subtract", [0.0, 0.75]), ("multiply", [0.5625, 0.0])],
)
def test_sounds_are_mixed_and_never_too_loud(method: str, wanted: list[float]) -> None:
    a, b = Audio(torch.tensor([[[0.75, 0.75]]]), 8), Audio(torch.tensor([[[0.75]]]), 8)
    assert audio.audio_merge(a, b, method).data.flatten().tolist() == pytest.approx(wanted)  # type: ignore[arg-type]


def test_volume_is_in_decibels() -> None:
    assert audio.audio_adjust_volume(Audio(torch.ones(1, 1, 1), 8), -20).data.item() == pytest.approx(0.1)


def test_a_tone_stays_the_same_at_another_rate() -> None:
    slower = audio.resampled(tone(0.5, 16000), 8000)
    assert torch.allclose(slower[..., 100:-100], tone(0.5, 8000).data[..., 100:-100], atol=0.01)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux tells how a process is scheduled")
def test_a_film_in_av1_takes_no_real_time_priority() -> None:
    before = os.sched_getscheduler(0)
    video.save_webm(ramp(2, 64, 64), codec="av1")
    assert os.sched_getscheduler(0) == before
    assert os.geteuid() == os.getuid()

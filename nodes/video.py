"""Moving pictures: loaded, put together, taken apart, cut, saved."""

from __future__ import annotations

import io
from typing import Annotated, Literal, NamedTuple

import av
import torch

from graphflow.api import Artifact, Audio, File, Folder, Image, Video, node

from ._fields import said, span
from ._media import Format, read_video, write_video
from ._tensors import to_bytes
from .image_io import Prefix, file_name

H264 = Format("mp4", "libx264", options={"crf": "18", "preset": "medium"})


class Components(NamedTuple):
    images: Image
    audio: Audio | None
    fps: float


class SavedVideo(NamedTuple):
    video: Video
    file: Artifact


@node("LoadVideo", title="Load Video", category="image/video")
def load_video(file: Annotated[File, Folder("input", media="video")]) -> Video:
    """An uploaded video with its sound, every frame of it."""
    return read_video(file.path)


@node("CreateVideo", title="Create Video", category="image/video")
def create_video(
    images: Image, fps: Annotated[float, span(1.0, 120.0, 1.0, "Frames a second.")] = 30.0, audio: Audio | None = None
) -> Video:
    """A batch of pictures as the frames of a video, with sound if there is any."""
    return Video(images.data[..., :3], fps, audio)


@node("GetVideoComponents", title="Get Video Components", category="image/video")
def get_video_components(video: Video) -> Components:
    """A video's frames as a batch of pictures, its sound, and how many frames a second has."""
    return Components(Image(video.frames), video.audio, video.fps)


@node("Video Slice", title="Video Slice", category="image/video")
def video_slice(
    video: Video,
    start_time: Annotated[float, span(-1e5, 1e5, 0.001, "In seconds; negative counts from the end.")] = 0.0,
    duration: Annotated[float, span(0.0, None, 0.001, "In seconds; 0 means to the end.")] = 0.0,
    strict_duration: Annotated[bool, span(None, None, description="Fail when the video is shorter.")] = False,
) -> Video:
    """A part of a video, with its sound."""
    length = len(video.frames) / video.fps
    start = max(0.0, length + start_time) if start_time < 0 else start_time
    if start >= length:
        raise ValueError(f"start_time is {start_time} s, but the video ends after {length:.3f} s; begin sooner")
    end = start + duration if duration else length
    if strict_duration and end > length + 0.5 / video.fps:
        raise ValueError(f"the video has only {length - start:.3f} s from there, not {duration}; ask for less")
    first, last = (round(second * video.fps) for second in (start, end))
    return Video(video.frames[first : max(last, first + 1)], video.fps, _cut(video.audio, start, end))


def _cut(audio: Audio | None, start: float, end: float) -> Audio | None:
    if audio is None:
        return None
    first, last = (round(second * audio.sample_rate) for second in (start, end))
    return Audio(audio.data[..., first:last], audio.sample_rate)


@node("SaveVideo", title="Save Video", category="image/video", output_node=True)
def save_video(
    video: Video,
    filename_prefix: Prefix = "video/ComfyUI",
    format: Annotated[Literal["auto", "mp4"], said("Of the file; auto is MP4.")] = "auto",
    codec: Annotated[Literal["auto", "h264"], said("Of the pictures; auto is H.264.")] = "auto",
) -> SavedVideo:
    """A video as an MP4 file (H.264, AAC) that browsers play. The video is passed on."""
    return SavedVideo(video, _video(video.frames, video.fps, "video/mp4", H264, filename_prefix, video.audio))


@node("SaveWEBM", category="image/video", output_node=True, experimental=True)
def save_webm(
    images: Image,
    filename_prefix: Prefix = "ComfyUI",
    codec: Literal["vp9", "av1"] = "vp9",
    fps: Annotated[float, span(0.01, 1000.0, 0.01, "Frames a second.")] = 24.0,
    crf: Annotated[float, span(0, 63.0, 1, "Higher is smaller and worse.")] = 32.0,
) -> Artifact:
    """Pictures as a WebM file (VP9 or AV1); VP9 keeps alpha."""
    quality = {"crf": str(int(crf)), "b": "0"}
    if codec == "av1":
        return _video(
            images.data[..., :3], fps, "video/webm",
            Format("webm", "libsvtav1", "yuv420p10le", {"preset": "6", **quality}), filename_prefix,
        )  # fmt: skip
    pixels = "yuva420p" if images.data.shape[-1] == 4 else "yuv420p"
    options = {"deadline": "good", "cpu-used": "4", **quality}
    return _video(images.data, fps, "video/webm", Format("webm", "libvpx-vp9", pixels, options), filename_prefix)


def _video(
    frames: torch.Tensor, fps: float, media_type: str, format: Format, prefix: str, audio: Audio | None = None
) -> Artifact:
    details = {"width": frames.shape[2], "height": frames.shape[1], "frames": len(frames), "fps": fps}
    return Artifact(media_type, write_video(frames, fps, format, audio), file_name(prefix, frames[0], 0), details)


@node("LTXVPreprocess", category="image", outputs=("output_image",))
def ltxv_preprocess(
    image: Image, img_compression: Annotated[int, span(0, 100, description="H.264's crf; 0 leaves it alone.")] = 35
) -> Image:
    """Pictures with the traces of video compression that LTX-Video expects; sides are cut to even numbers."""
    if img_compression == 0:
        return image
    height, width = (side // 2 * 2 for side in image.data.shape[1:3])
    return Image(torch.stack([_compressed(one[:height, :width, :3], img_compression) for one in image.data]))


def _compressed(pixels: torch.Tensor, crf: int) -> torch.Tensor:
    packet = write_video(pixels[None], 1, Format("mp4", "libx264", options={"crf": str(min(crf, 51))}))
    with av.open(io.BytesIO(packet), "r") as file:
        frame = next(file.decode(video=0))
        decoded = frame.reformat(format="rgb24", src_colorspace=1).to_ndarray()
    assert decoded.shape == to_bytes(pixels).shape
    return torch.from_numpy(decoded).float() / 255

"""What Wan's models take beyond a prompt: frames that are given."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from graphflow.api import ClipVisionOutput, Conditioning, Image, Latent, Vae, Widget, node

from ._films import VIDEO, Count, Film, Length, Screen, Side, encoded, seeing
from ._tensors import resized


@node("WanImageToVideo", category=VIDEO)
def wan_image_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Count = 1,
    clip_vision_output: ClipVisionOutput | None = None,
    start_image: Image | None = None,
) -> Film:
    """A film that begins with the pictures given; without any, from nothing but the text.

    `length` counts frames, of which a latent frame holds four after the first. What an image encoder saw of the first
    picture is told to models that look at it.
    """
    screen = Screen(width, height, length)
    both = seeing([positive, negative], clip_vision_output)
    if start_image is not None:
        film, given, _ = screen.film(start_image)
        begun = encoded(vae, film)
        free = torch.ones(1, 1, *begun.shape[2:])
        free[:, :, : (given - 1) // 4 + 1] = 0
        both = [side.each(concat_latent=begun, concat_mask=free) for side in both]
    return Film(both[0], both[1], Latent(screen.zeros(batch_size)))


@node("WanFirstLastFrameToVideo", category=VIDEO)
def wan_first_last_frame_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Count = 1,
    clip_vision_start_image: ClipVisionOutput | None = None,
    clip_vision_end_image: ClipVisionOutput | None = None,
    start_image: Image | None = None,
    end_image: Image | None = None,
) -> Film:
    """A film between two pictures: it begins with one and ends with the other; either may be left out.

    For Wan 2.1's model of first and last frames, which also looks at both through an image encoder, for Wan 2.2's image
    to video, and for Fun InP models.
    """
    screen = Screen(width, height, length)
    both = seeing([positive, negative], clip_vision_start_image, clip_vision_end_image)
    film, begun, ended = screen.film(start_image, end_image)
    free = torch.ones(1, 1, 4 * screen.frames, height // 8, width // 8)  # the first picture stands for four
    free[:, :, : begun + 3 if begun else 0] = 0
    free[:, :, 4 * screen.frames - ended :] = 0
    masks = free.reshape(1, screen.frames, 4, *free.shape[3:]).transpose(1, 2)
    both = [side.each(concat_latent=encoded(vae, film), concat_mask=masks) for side in both]
    return Film(both[0], both[1], Latent(screen.zeros(batch_size)))


@node("WanFunInpaintToVideo", category=VIDEO)
def wan_fun_inpaint_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Count = 1,
    clip_vision_output: ClipVisionOutput | None = None,
    start_image: Image | None = None,
    end_image: Image | None = None,
) -> Film:
    """As WanFirstLastFrameToVideo, for Fun InP models: what is between two pictures is filled in."""
    sizes = (width, height, length, batch_size)
    return wan_first_last_frame_to_video(
        positive, negative, vae, *sizes, clip_vision_output, None, start_image, end_image
    )


@node("Wan22ImageToVideoLatent", category="conditioning/inpaint")
def wan22_image_to_video_latent(
    vae: Vae,
    width: Annotated[int, Field(ge=32, le=16384), Widget(step=32)] = 1280,
    height: Annotated[int, Field(ge=32, le=16384), Widget(step=32)] = 704,
    length: Length = 49,
    batch_size: Count = 1,
    start_image: Image | None = None,
) -> Latent:
    """An empty film for Wan 2.2's small model (5B), or one that begins with the pictures given.

    Those are kept, and the model sees them without noise. `length` counts frames, of which a latent frame holds four after
    the first.
    """
    frames = (length - 1) // 4 + 1
    latent = torch.zeros(batch_size, 48, frames, height // 16, width // 16)
    if start_image is None:
        return Latent(latent)
    given = resized(Image(start_image.data[:length, ..., :3]), width, height, "bilinear", "center").data
    begun = encoded(vae, given)
    if begun.shape[1:2] + begun.shape[3:] != latent.shape[1:2] + latent.shape[3:]:
        raise ValueError(f"this VAE makes {begun.shape[1]} channels: load that of Wan 2.2's 5B model, which makes 48")
    latent[:, :, : begun.shape[2]] = begun
    free = torch.ones(batch_size, 1, *latent.shape[2:])
    free[:, :, : begun.shape[2]] = 0
    return Latent(latent, noise_mask=free)

"""What Wan's models take beyond a prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

import torch
from pydantic import Field

from graphflow.api import ClipVisionOutput, Conditioning, Image, Latent, Vae, Widget, node
from graphflow.models import loaded

from ._tensors import resized

Side = Annotated[int, Field(ge=16, le=16384), Widget(step=16)]


class Film(NamedTuple):
    """Conditioning of both sides, and the empty film that is to be filled."""

    positive: Conditioning
    negative: Conditioning
    latent: Latent


@node("WanImageToVideo", category="conditioning/video_models")
def wan_image_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Annotated[int, Field(ge=1, le=16384), Widget(step=4)] = 81,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 1,
    clip_vision_output: ClipVisionOutput | None = None,
    start_image: Image | None = None,
) -> Film:
    """A film that begins with the pictures given; without any, from nothing but the text.

    `length` counts frames, of which a latent frame holds four after the first. What an image encoder saw of the first
    picture is told to models that look at it.
    """
    frames = (length - 1) // 4 + 1
    latent = torch.zeros(batch_size, 16, frames, height // 8, width // 8)
    both = [positive, negative]
    if start_image is not None:
        given = resized(Image(start_image.data[:length, ..., :3]), width, height, "bilinear", "center").data
        film = torch.full((length, height, width, 3), 0.5)
        film[: len(given)] = given
        with loaded(vae) as autoencoder:
            encoded = autoencoder.encode(film)
        free = torch.ones(1, 1, *encoded.shape[2:])
        free[:, :, : (len(given) - 1) // 4 + 1] = 0
        both = [side.each(concat_latent=encoded, concat_mask=free) for side in both]
    if clip_vision_output is not None:
        seen = clip_vision_output.penultimate_hidden_state
        both = [
            Conditioning(tuple(replace(e, extras={**e.extras, "clip_vision": seen}) for e in side.entries))
            for side in both
        ]
    return Film(both[0], both[1], Latent(latent))


@node("Wan22ImageToVideoLatent", category="conditioning/inpaint")
def wan22_image_to_video_latent(
    vae: Vae,
    width: Annotated[int, Field(ge=32, le=16384), Widget(step=32)] = 1280,
    height: Annotated[int, Field(ge=32, le=16384), Widget(step=32)] = 704,
    length: Annotated[int, Field(ge=1, le=16384), Widget(step=4)] = 49,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 1,
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
    with loaded(vae) as autoencoder:
        encoded = autoencoder.encode(given)
    if encoded.shape[1:2] + encoded.shape[3:] != latent.shape[1:2] + latent.shape[3:]:
        raise ValueError(f"this VAE makes {encoded.shape[1]} channels: load that of Wan 2.2's 5B model, which makes 48")
    latent[:, :, : encoded.shape[2]] = encoded
    free = torch.ones(batch_size, 1, *latent.shape[2:])
    free[:, :, : encoded.shape[2]] = 0
    return Latent(latent, noise_mask=free)

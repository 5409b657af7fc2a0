"""Films that steer Wan's models: Fun control and VACE."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pixel_unshuffle

from graphflow.api import ClipVisionOutput, Cond, Conditioning, Image, Latent, Mask, Vae, node

from ._fields import span
from ._films import VIDEO, Count, Film, Length, Screen, Side, each, encoded, seeing
from ._tensors import resized_mask


@node("WanFunControlToVideo", category=VIDEO)
def wan_fun_control_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Count = 1,
    clip_vision_output: ClipVisionOutput | None = None,
    start_image: Image | None = None,
    control_video: Image | None = None,
) -> Film:
    """A film steered by another of edges, depth or poses, for Wan 2.1's Fun control models; it may begin with a picture."""
    screen = Screen(width, height, length)
    both = seeing([positive, negative], clip_vision_output)
    beside = _beside(screen, vae, control_video, start_image)
    both = [side.each(**beside) for side in both]
    return Film(both[0], both[1], Latent(screen.zeros(batch_size)))


@node("Wan22FunControlToVideo", category=VIDEO)
def wan22_fun_control_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Count = 1,
    ref_image: Image | None = None,
    control_video: Image | None = None,
) -> Film:
    """A film steered by another, for Wan 2.2's Fun control models, which also look at a picture of what is to be seen."""
    screen = Screen(width, height, length)
    both = [side.each(**_beside(screen, vae, control_video, None)) for side in (positive, negative)]
    if ref_image is not None:
        looked = encoded(vae, screen.sized(ref_image)[:1])
        both = [each(side, lambda e: {"reference_latents": (*e.reference_latents, looked)}) for side in both]
    return Film(both[0], both[1], Latent(screen.zeros(batch_size)))


class SteeredFilm(NamedTuple):
    """Conditioning of both sides, the empty film, and how many of its latent frames are the reference's."""

    positive: Conditioning
    negative: Conditioning
    latent: Latent
    trim_latent: int


@node("WanVaceToVideo", category=VIDEO, example="wan-vace")
def wan_vace_to_video(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Count = 1,
    strength: Annotated[float, span(0.0, 1000.0, 0.01, "How strongly the film steers.")] = 1.0,
    control_video: Image | None = None,
    control_masks: Mask | None = None,
    reference_image: Image | None = None,
) -> SteeredFilm:
    """A film made after another, for Wan's VACE models: repainted where the masks are, the rest kept.

    Without masks all is painted, after edges, depth or poses in `control_video`; frames that it lacks are left to the
    model. A `reference_image` of who or what is to be seen takes a latent frame of its own at the start: take
    `trim_latent` off with TrimVideoLatent. Several of these nodes in a row steer together.
    """
    screen = Screen(width // 8 * 8, height // 8 * 8, length)
    film, _, _ = screen.film(control_video)
    masks = torch.ones(len(film), screen.height, screen.width)
    if control_masks is not None:
        given = resized_mask(Mask(control_masks.data[: len(film)]), screen.width, screen.height, "bilinear", "center")
        masks[: len(given.data)] = given.data
    painted = (masks > 0.5).float()[..., None]
    parts = [(film - 0.5) * share + 0.5 for share in (1.0 - painted, painted)]
    latents = torch.cat([encoded(vae, part) for part in parts], dim=1)
    pixels = pixel_unshuffle(masks[:, None], 8).transpose(0, 1)[None]
    pixels = interpolate(pixels, size=latents.shape[2:], mode="nearest-exact")
    if reference_image is not None:
        looked = encoded(vae, screen.sized(reference_image)[:1])
        latents = torch.cat([torch.cat([looked, torch.zeros_like(looked)], dim=1), latents], dim=2)
        pixels = torch.cat([torch.zeros_like(pixels[:, :, :1]), pixels], dim=2)
    both = [each(side, lambda e: _further(e, latents, pixels, strength)) for side in (positive, negative)]
    trim = 0 if reference_image is None else 1
    return SteeredFilm(both[0], both[1], Latent(screen.zeros(batch_size, more=trim)), trim)


def _further(entry: Cond, latents: Tensor, pixels: Tensor, strength: float) -> dict[str, Any]:
    """What a VACE model is told, after what nodes before have told it."""
    before = entry.extras.get("vace", ())
    if before and entry.concat_latent is not None and entry.concat_mask is not None:
        if entry.concat_latent.shape[2:] != latents.shape[2:]:
            raise ValueError(
                f"the node before is for {_told(entry.concat_latent)}, this one for {_told(latents)}: give both the same "
                "size and length, and a reference image or none"
            )
        latents = torch.cat([entry.concat_latent, latents], dim=1)
        pixels = torch.cat([entry.concat_mask, pixels], dim=1)
    extras = {**entry.extras, "vace": (*before, strength)}
    return {"concat_latent": latents, "concat_mask": pixels, "extras": extras}


def _beside(screen: Screen, vae: Vae, steering: Image | None, start: Image | None) -> dict[str, Tensor]:
    """The films that steer and begin, each as far as it goes; nothing of it is given to be kept."""
    beside = screen.zeros(1, 32)
    for place, images in ((slice(0, 16), steering), (slice(16, 32), start)):
        if images is not None:
            film = encoded(vae, screen.sized(Image(images.data[: screen.pictures])))
            beside[:, place, : film.shape[2]] = film
    return {"concat_latent": beside, "concat_mask": torch.ones_like(beside[:, :1])}


def _told(film: Tensor) -> str:
    return f"{film.shape[2]} latent frames of {film.shape[-1]} × {film.shape[-2]}"

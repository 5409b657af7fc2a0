"""What the nodes of Wan's models share: the film that is asked for, and what conditionings of it are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphflow.api import ClipVisionOutput, Cond, Conditioning, Image, Latent, Vae, Widget
from graphflow.models import loaded

from ._tensors import resized

Side = Annotated[int, Field(ge=16, le=16384), Widget(step=16)]
Length = Annotated[int, Field(ge=1, le=16384), Widget(step=4)]
Count = Annotated[int, Field(ge=1, le=4096)]
VIDEO = "conditioning/video_models"


class Film(NamedTuple):
    """Conditioning of both sides, and the empty film that is to be filled."""

    positive: Conditioning
    negative: Conditioning
    latent: Latent


@dataclass(frozen=True)
class Screen:
    """The film that is asked for."""

    width: int
    height: int
    length: int

    @property
    def frames(self) -> int:
        """Of the latent: the first stands for one picture, every other for four."""
        return (self.length - 1) // 4 + 1

    @property
    def pictures(self) -> int:
        """As many as the latent's frames stand for."""
        return 4 * (self.frames - 1) + 1

    def zeros(self, batch: int, channels: int = 16, *, more: int = 0) -> Tensor:
        """A latent that says nothing, with `more` frames."""
        return torch.zeros(batch, channels, self.frames + more, self.height // 8, self.width // 8)

    def sized(self, image: Image) -> Tensor:
        """Pictures (F, H, W, 3) that fill it, cut at the sides."""
        return resized(Image(image.data[..., :3]), self.width, self.height, "bilinear", "center").data

    def film(self, start: Image | None = None, end: Image | None = None) -> tuple[Tensor, int, int]:
        """Grey, with the pictures that are given at its start and its end, and how many each are."""
        film = torch.full((self.pictures, self.height, self.width, 3), 0.5)
        first = None if start is None else self.sized(Image(start.data[: self.pictures]))
        last = None if end is None else self.sized(Image(end.data[-self.pictures :]))
        if first is not None:
            film[: len(first)] = first
        if last is not None:
            film[-len(last) :] = last
        return film, 0 if first is None else len(first), 0 if last is None else len(last)


def seeing(sides: list[Conditioning], *outputs: ClipVisionOutput | None) -> list[Conditioning]:
    """With what an image encoder saw of the pictures."""
    seen = [output.penultimate_hidden_state for output in outputs if output is not None]
    if not seen:
        return sides
    return [each(side, lambda e: {"extras": {**e.extras, "clip_vision": torch.cat(seen, dim=1)}}) for side in sides]


def each(side: Conditioning, changes: Callable[[Cond], dict[str, Any]]) -> Conditioning:
    """With some fields of every entry changed, by what the entry says."""
    return Conditioning(tuple(replace(entry, **changes(entry)) for entry in side.entries))


def encoded(vae: Vae, frames: Tensor) -> Tensor:
    """The latent (1, C, f, h, w) of pictures (F, H, W, 3)."""
    with loaded(vae) as autoencoder:
        return autoencoder.encode(frames)

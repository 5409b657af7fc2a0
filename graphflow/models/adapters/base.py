"""What IP-Adapters of every kind share: their recipe at work, and one attention's look at pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention

from graphflow.diffusion.network import RowImage
from graphflow.models.residency import Residency, Unpatched
from graphflow.models.vision import ResidentVision
from graphflow.values import ClipVisionOutput, IpAdapter


@dataclass(frozen=True)
class Asked:
    """What else a call asks of the network, as far as adapters need it."""

    size: tuple[int, int]
    """The latent's height and width."""
    timestep: Tensor
    """(N,) as the network is told it."""
    text: int
    """How many tokens the text has."""


class Adapter(nn.Module):
    """What makes tokens of pictures, and shows them to a network."""

    projection: nn.Module

    def tokens(self, seen: Tensor) -> Tensor:
        """(B, T, D): what rows carry of pictures that the image encoder saw so."""
        made: Tensor = self.projection(seen)
        return made

    def shown(self, network: nn.Module, images: Sequence[RowImage], asked: Asked) -> Iterator[Any]:
        """Hooks on the network, by which each of its samples looks at its own of these; to be removed after the call.

        Raises `ValueError` when the adapter was made for another network.
        """
        raise NotImplementedError


@dataclass
class AdapterContent(Unpatched):
    """An adapter in memory."""

    module: Adapter
    dtype: torch.dtype
    seen: int
    """Width of what the image encoder has to give."""
    hidden: bool
    """It looks at the encoder's hidden states, not at the picture's embedding."""
    nothing: Literal["zeros", "grey", "black"] = "zeros"
    """What the unguided side sees: nothing at all, or what the encoder sees in a picture of one colour."""
    crop: Literal["center", "none"] = "center"
    """How pictures are brought to the image encoder's size: cut, or squashed."""


class ResidentAdapter:
    """An adapter that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: IpAdapter, load: Callable[[], AdapterContent]) -> None:
        residency.get(recipe.weights, load)
        self._residency, self._recipe, self._load = residency, recipe, load

    @property
    def _content(self) -> Any:
        return self._residency.get(self._recipe.weights, self._load).content

    @property
    def crop(self) -> Literal["center", "none"]:
        """How the image encoder is to be given pictures, as in the adapter's training."""
        crop: Literal["center", "none"] = self._content.crop
        return crop

    def looks_at(self, output: ClipVisionOutput) -> Tensor:
        """(B, D) or (B, T, D): what of an image encoder's output the adapter takes.

        Raises `ValueError` when the output is that of another image encoder.
        """
        content = self._content
        seen = output.penultimate_hidden_state if content.hidden else output.image_embeds
        if seen.shape[-1] != content.seen:
            raise ValueError(
                f"this IP-Adapter looks at {content.seen} channels, the image encoder gave {seen.shape[-1]}: load the "
                "CLIP vision model it was trained with (ViT-H for most, ViT-bigG for ip-adapter_sdxl, CLIP-L for XLabs' "
                "of Flux, SigLIP for InstantX')"
            )
        return seen

    def nothing(self, encoder: ResidentVision, seen: Tensor) -> Tensor:
        """Like one of `seen`, where there is no picture."""
        match self._content.nothing:
            case "grey":
                return self.looks_at(encoder.nothing())
            case "black":
                return self.looks_at(encoder.encode(torch.zeros(1, 8, 8, 3)))
            case _:
                return torch.zeros_like(seen[:1])

    @torch.inference_mode()
    def tokens(self, seen: Tensor) -> Tensor:
        """What `looks_at` gave to (B, T, D), float32 on the CPU: what a row shows to the network."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            made: Tensor = content.module.tokens(seen.to(self._residency.device, content.dtype))
            return made.float().cpu()


class Look:
    """One attention's look at the pictures in one call."""

    def __init__(self, images: Sequence[RowImage], heads: int, share: float = 1.0) -> None:
        """`share` of their weights comes through here."""
        self.images, self.heads = images, heads
        self.weights = torch.tensor([image.weight * share for image in images for _ in image.tokens])
        self.query = self.weights

    def tokens(self, like: nn.Linear) -> Tensor:
        """(N, T, D): the pictures', where the queries are and in the layer's dtype."""
        return torch.cat([image.tokens for image in self.images]).to(self.query.device, like.weight.dtype)

    def split(self, tensor: Tensor) -> Tensor:
        """(N, T, C) to (N, heads, T, c), in the queries' dtype."""
        return tensor.to(self.query.dtype).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def weighed(self, tensor: Tensor) -> Tensor:
        """(N, ...), each sample's times its weight."""
        return tensor * self.weights.to(tensor).reshape(-1, *[1] * (tensor.ndim - 1))

    def answer(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """(N, S, C): what is seen, with the weights, where the mask (N, S, 1) is."""
        seen = self.weighed(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return seen if mask is None else seen * mask.to(seen)

    def key(self, key: Tensor) -> Tensor:
        """The pictures' keys, which the weights may scale as well."""
        return self.weighed(key) if self.images[0].keys else key

    def mask(self, grid: tuple[int, int], before: int = 0, places: int = 0) -> Tensor | None:
        """(N, places, 1): where each sample's pictures hold, of places that begin with `before` others than the grid's."""
        if all(image.mask is None for image in self.images):
            return None
        masks = [
            torch.ones(len(image.tokens), 1, *grid)
            if image.mask is None
            else interpolate(image.mask[:, None].float().cpu(), size=grid, mode="area").expand(
                len(image.tokens), -1, -1, -1
            )
            for image in self.images
        ]
        flat = torch.cat(masks).flatten(1)
        return pad(flat, (before, max(0, places - before - flat.shape[1])))[:, :, None]

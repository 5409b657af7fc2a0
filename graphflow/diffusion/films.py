"""Films beside a film: what Wan's networks are given and steered by, inside their forward pass.

What a network takes beside the latent comes as one tensor, a mask first and latents behind it. For networks of given
frames the mask has one channel or four (a latent frame's four pictures apart), 1 where they are free, and of the latents
the last is the film that is begun, the ones before it steer. For VACE (https://arxiv.org/abs/2503.07598) the mask has 64
channels (a place's 8 by 8 pixels), and the latents are what stays of the film and what is painted anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.diffusion.edits import hooked


def arranged(beside: Tensor, wanted: int, own: int) -> Tensor:
    """The latents that steer, a mask of four channels, 1 where frames are given, and the film that is begun.

    Networks that have no place for the mask are told none; latents that steer and are not there are zeros.
    """
    masked, groups = wanted % own, wanted // own
    masks, films = beside[:, : beside.shape[1] % own], beside[:, beside.shape[1] % own :]
    lacking = groups * own - films.shape[1]
    if lacking < 0:
        raise ValueError(
            "the conditioning holds a film that steers, for which this model has no place: load a Fun control model"
        )
    films = torch.cat([films.new_zeros(len(films), lacking, *films.shape[2:]), films], dim=1)
    given = (1.0 - masks).expand(-1, masked, *masks.shape[2:]) if masked else masks[:, :0]
    return torch.cat([films[:, :-own], given, films[:, -own:]], dim=1)


@contextlib.contextmanager
def reference(module: Any, x: Tensor, picture: Tensor | None) -> Iterator[Tensor]:
    """x with a frame before it that is a picture (N, C, h, w), embedded by a convolution of its own; zeros for none."""
    looked = x.new_zeros(len(x), module.ref_conv.in_channels, *x.shape[-2:]) if picture is None else picture
    if looked.shape[-2:] != x.shape[-2:]:
        raise ValueError("the reference picture has another size than the film: give both the same width and height")

    def embed(_: nn.Module, args: Any, out: Tensor) -> Tensor:
        return torch.cat([module.ref_conv(looked)[:, :, None], out[:, :, 1:]], dim=2)

    with hooked([module.patch_embedding.register_forward_hook(embed)]):
        yield torch.cat([torch.zeros_like(x[:, :, :1]), x], dim=2)


# --- VACE ------------------------------------------------------------------------------------------------------------

PIXELS, FILMS = 64, 32
"""Channels of what steers a VACE network: of the mask, and of the two latents."""


def number_of(beside: Tensor) -> int:
    """How many films (N, 96 n, F, h, w) steer a VACE network."""
    return beside.shape[1] // (PIXELS + FILMS)


@contextlib.contextmanager
def steering(module: Any, beside: Tensor, strengths: Tensor) -> Iterator[dict[str, Tensor]]:
    """The first of the films that steer, as diffusers' class takes it, with the others at work; `strengths` are (N, n).

    Without any, nothing is added to the network.
    """
    if not (number := number_of(beside)):
        number, strengths = 1, beside.new_zeros(len(beside), 1)
        beside = beside.new_zeros(len(beside), PIXELS + FILMS, *beside.shape[2:])
    masks, films = beside.split([number * PIXELS, number * FILMS], dim=1)
    pairs = zip(films.chunk(number, 1), masks.chunk(number, 1), strict=True)
    controls = [torch.cat([film, mask], dim=1) for film, mask in pairs]
    scale = strengths[:, 0, None, None].expand(len(module.config.vace_layers), -1, -1, -1)
    with _further(module, controls[1:], strengths[:, 1:]) if number > 1 else contextlib.nullcontext():
        yield {"control_hidden_states": controls[0], "control_hidden_states_scale": scale}


@contextlib.contextmanager
def _further(module: Any, controls: Sequence[Tensor], strengths: Tensor) -> Iterator[None]:
    """Adds what further films steer: asked before the first block, added after the blocks that the first is added after."""
    hints: list[Tensor] = []

    def ask(_: nn.Module, args: tuple[Any, ...]) -> None:
        hidden, text, time, places = args
        found = []
        for n, control in enumerate(controls):
            tokens, own = module.vace_patch_embedding(control).flatten(2).transpose(1, 2), []
            for block in module.vace_blocks:
                hint, tokens = block(hidden, text, tokens, time, places)
                own.append(hint * strengths[:, n, None, None])
            found.append(own)
        hints[:] = [sum(each[1:], each[0]) for each in zip(*found, strict=True)]

    def add(number: int) -> Any:
        return lambda _block, _args, out: out + hints[number]

    handles = [module.blocks[at].register_forward_hook(add(n)) for n, at in enumerate(module.config.vace_layers)]
    with hooked([module.blocks[0].register_forward_pre_hook(ask), *handles]):
        yield

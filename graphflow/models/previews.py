"""Tiny decoders for previews: small files that show a latent nearly as well as the autoencoder does, in no time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch
from torch import Tensor, nn

from graphflow.diffusion.latents import LatentFormat
from graphflow.errors import GraphflowError
from graphflow.models.residency import Unpatched, residency
from graphflow.models.tensors import opened
from graphflow.node import File
from graphflow.values import Weights

log = logging.getLogger(__name__)

Decoder = Callable[[Tensor], Tensor]


@dataclass
class TinyContent(Unpatched):
    """A tiny decoder in memory."""

    module: nn.Module


def tiny_decoder(form: LatentFormat) -> Decoder | None:
    """From latents (1, C, h, w) in the network's space to pictures (1, 3, H, W), 0 to 1.

    None when the family has no tiny decoder, or `vae_approx/` has not its file, `{name}_decoder.safetensors`.
    """
    home = residency()
    file = _find(form.tiny)
    if file is None:
        return None
    weights = Weights((file,), "vae", "tiny_decoder")
    try:
        home.get(weights, lambda: _load(file, form.channels))
    except (GraphflowError, RuntimeError, KeyError) as error:
        log.warning("%s cannot be used for previews: %s", file.name, error)
        return None

    @torch.inference_mode()
    def decode(latent: Tensor) -> Tensor:
        with home.ready(weights, (), lambda: _load(file, form.channels)) as resident:
            (module,) = resident.content.modules
            picture: Tensor = module(latent.to(home.device, torch.float32))
        return (picture + 1) / 2

    return decode


def _find(name: str) -> File | None:
    shelf = residency().shelf
    if not name or shelf is None:
        return None
    wanted = (f"{name}_decoder.safetensors", f"{name}_decoder.sft")
    found = next((n for n in shelf.names("vae_approx") if PurePosixPath(n).name in wanted), None)
    return None if found is None else shelf.find("vae_approx", found)


def _load(file: File, channels: int) -> TinyContent:
    """In the layout of its authors, whose first layer, without weights, diffusers does not count."""
    from diffusers.models.autoencoders.vae import DecoderTiny  # slow to import, and few have the file

    module = DecoderTiny(
        channels, 3, num_blocks=(3, 3, 3, 1), block_out_channels=(64, 64, 64, 64), upsampling_scaling_factor=2,
        act_fn="relu", upsample_fn="nearest",
    )  # fmt: skip
    with opened(file.path) as (header, tensors):
        state = {}
        for key in header.tensors:
            number, _, rest = key.removeprefix("decoder.layers.").partition(".")
            shift = 0 if key.startswith("decoder.") else 1
            state[f"layers.{int(number) - shift}.{rest}"] = tensors.get(key).float()
    module.load_state_dict(state)
    return TinyContent(module.eval().requires_grad_(False))

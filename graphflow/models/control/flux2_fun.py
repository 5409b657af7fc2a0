"""Fun control for Flux 2: blocks beside the network's own, whose outputs are added to every few of them.

As VACE does it (https://arxiv.org/abs/2503.07598), in the layout of https://github.com/aigc-apps/VideoX-Fun: a picture's
latent, a mask and the latent of what the mask leaves become tokens, to which the network's are added; each block's output
goes through a projection of its own to the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from graphflow.detect import Header, count
from graphflow.diffusion.conds import fit_batch
from graphflow.diffusion.edits import hooked

Blocks = tuple[Tensor, Tensor]
"""What a block gives: the text's tokens and the picture's."""


class Flux2Control(nn.Module):
    """The control's own weights; names as in its files."""

    def __init__(self, channels: int, width: int, head: int, blocks: int, mlp_ratio: float) -> None:
        from diffusers.models.transformers.transformer_flux2 import Flux2TransformerBlock

        super().__init__()
        self.control_img_in = nn.Linear(channels, width)
        made: list[Any] = [Flux2TransformerBlock(width, width // head, head, mlp_ratio) for _ in range(blocks)]
        made[0].before_proj = nn.Linear(width, width)
        for block in made:
            block.after_proj = nn.Linear(width, width)
        self.control_transformer_blocks = nn.ModuleList(made)

    def hints(self, tokens: Tensor, shared: dict[str, Any]) -> list[Tensor]:
        """What each block adds to the network (N, T, width); `shared` is what the network's first block is asked with."""
        control: Tensor = self.control_img_in(tokens)
        text, found = shared["encoder_hidden_states"], []
        for n, each in enumerate(self.control_transformer_blocks):
            block: Any = each
            control = control if n else block.before_proj(control) + shared["hidden_states"]
            text, control = block(**{**shared, "hidden_states": control, "encoder_hidden_states": text})
            found.append(block.after_proj(control))
        return found


def config(header: Header, _: Callable[[str], Tensor]) -> dict[str, Any]:
    """By shapes."""
    width, channels = header.shape("control_img_in.weight")
    block = "control_transformer_blocks.0."
    return {
        "channels": channels,
        "width": width,
        "head": header.shape(f"{block}attn.norm_q.weight")[0],
        "blocks": count(header, "control_transformer_blocks.{}."),
        "mlp_ratio": header.shape(f"{block}ff.linear_out.weight")[1] / width,
    }


def channels(module: Any) -> int:
    """Of the hint."""
    return int(module.control_img_in.in_features)


@contextlib.contextmanager
def steered(network: Any, patch: Any, hint: Tensor, strength: float) -> Iterator[None]:
    """The network steered by a hint (B, C, h, w); reference pictures are steered by zeros."""
    tokens: list[Tensor] = []
    hints: list[Tensor] = []

    def note(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        size, whole = _own_size(kwargs["img_ids"]), len(kwargs["img_ids"])
        fitted = fit_batch(_sized(hint, size), len(args[0])).flatten(2).transpose(1, 2)
        rest = fitted.new_zeros(len(fitted), whole - fitted.shape[1], fitted.shape[2])
        tokens[:] = [torch.cat([fitted, rest], dim=1)]

    def ask(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        hints[:] = patch.hints(tokens[0], {**kwargs, "joint_attention_kwargs": None})

    def add(number: int) -> Callable[[nn.Module, Any, Blocks], Blocks]:
        return lambda _block, _args, out: (out[0], out[1] + hints[number] * strength)

    blocks, controls = network.transformer_blocks, len(patch.control_transformer_blocks)
    every = max(1, len(blocks) // controls)
    handles = [blocks[n * every].register_forward_hook(add(n)) for n in range(min(controls, len(blocks)))]
    asking = blocks[0].register_forward_pre_hook(ask, with_kwargs=True)
    with hooked([network.register_forward_pre_hook(note, with_kwargs=True), asking, *handles]):
        yield


def _own_size(ids: Tensor) -> tuple[int, int]:
    """Rows and columns of the picture that is painted, whose tokens come first (T, 4)."""
    places = ids[:, 1:3].long().tolist()
    columns = next((n for n, (row, _) in enumerate(places) if row != places[0][0]), len(places))
    same = (n for n, (row, column) in enumerate(places) if (row, column) != divmod(n, columns))
    return next(same, len(places)) // columns, columns


def _sized(hint: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(hint.shape[-2:]) == size:
        return hint
    return interpolate(hint.float(), size=size, mode="bilinear", align_corners=False).to(hint.dtype)

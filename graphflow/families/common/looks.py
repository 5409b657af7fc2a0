"""How files are told by their headers: the tensors of a family's networks, and the names in its LoRAs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphflow.header import Header

Shape = tuple[str, int, Callable[[int], bool]]
"""A tensor's name, an axis, and what must hold for its length there."""


@dataclass(frozen=True)
class Signature:
    """How a part of a family is recognised: tensors that are there, tensors that are not, and shapes."""

    has: tuple[str, ...]
    without: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    ndim: tuple[tuple[str, int], ...] = ()
    layout: str = ""
    """`diffusers` where the names are those of diffusers' classes."""
    part: str = "model"
    family: str = ""

    def matches(self, header: Header, prefix: str) -> bool:
        """Whether the tensors under `prefix` are this part."""
        tensors = header.tensors
        return (
            all(prefix + key in tensors for key in self.has)
            and not any(prefix + key in tensors for key in self.without)
            and all(len(header.shape(prefix + key)) == n for key, n in self.ndim)
            and all(_length(header, prefix + key, axis, test) for key, axis, test in self.shapes)
        )


def _length(header: Header, key: str, axis: int, test: Callable[[int], bool]) -> bool:
    shape = header.shape(key)
    return len(shape) > axis and test(shape[axis])


@dataclass(frozen=True)
class LoraLooks:
    """How a LoRA for a transformer family is told, by names in which every dot is an underscore."""

    names: tuple[str, ...]
    """Expressions, one of which is found in a name."""
    never: tuple[str, ...] = ()
    """Expressions that are found in no name."""
    widths: tuple[int, ...] = ()
    """Of the picture's tokens in the family's models; any for none."""
    blocks: int = 1000
    """The most blocks of the kind that sees picture and text apart."""


FLUX_BLOCKS = (r"double_blocks_\d+_", r"(?<!stream_)single_blocks_\d+_", r"single_transformer_blocks_\d+_")
"""Blocks of Flux and its kin."""
JOINT = r"(?<!joint_)(?<!single_)transformer_blocks_\d+_"
"""Blocks that see picture and text apart, as diffusers names them."""
JOINT_ATTENTION = rf"{JOINT}attn_(add_|to_add_out)"


def input_channels(header: Header) -> dict[str, Any]:
    """How many channels a network takes, by the names that its first layer usually has; empty for others."""
    for key in ("input_blocks.0.0.weight", "conv_in.weight", "img_in.weight", "x_embedder.proj.weight",
                "patch_embedding.weight"):  # fmt: skip
        if len(shape := header.shape(key)) > 1:
            return {"in_channels": shape[1]}
    return {}

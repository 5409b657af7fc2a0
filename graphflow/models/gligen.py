"""GLIGEN (https://arxiv.org/abs/2301.07093): texts in boxes, through a gated self-attention in each block of a U-Net.

A file holds what makes a token of a box and its text (`position_net`), and a `fuser` for each block, named as in the
original layout of the network. The shared U-Net is never changed: for the length of one call its blocks have fusers.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, read_header
from graphflow.diffusion.network import RowGrounding
from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout
from graphflow.models.residency import Policy, Residency, Unpatched
from graphflow.models.tensors import opened
from graphflow.models.weights import fill, hollow
from graphflow.node import File
from graphflow.values import Gligen, Weights

_FUSER = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)\..*\.fuser\.linear\.weight")
_ORDER = ("input_blocks", "middle_block", "output_blocks")


class Grounder(nn.Module):
    """What makes tokens of boxes, and a gated self-attention for each block, in the order of the forward pass."""

    def __init__(self, text: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__()
        from diffusers.models.attention import GatedSelfAttentionDense
        from diffusers.models.embeddings import GLIGENTextBoundingboxProjection

        self.position_net = GLIGENTextBoundingboxProjection(text, width)  # type: ignore[no-untyped-call]
        self.fusers = nn.ModuleList(
            GatedSelfAttentionDense(size, width, heads, size // heads)
            for size, heads in ((size, 8 if width == 768 else max(1, size // 64)) for size in sizes)
        )


@dataclass
class GligenContent(Unpatched):
    """GLIGEN in memory."""

    module: Grounder
    dtype: torch.dtype


def _fusers(header: Header) -> list[str]:
    """What the names of each fuser's tensors begin with, in the order of the forward pass."""
    found = [(match, key) for key in header.tensors if (match := _FUSER.fullmatch(key))]
    found.sort(key=lambda item: (_ORDER.index(item[0][1]), int(item[0][2]), item[1]))
    return [key.removesuffix("linear.weight") for _, key in found]


def gligen(file: File) -> Gligen:
    """The recipe of a GLIGEN file. Raises `UnsupportedFile` for other files."""
    header = read_header(file.path)
    if not header.shape("position_net.linears.0.weight") or not _fusers(header):
        raise UnsupportedFile(
            f"{file.name} is no GLIGEN for text boxes: it lacks position_net.linears or fusers; get "
            "gligen_sd14_textbox_pruned.safetensors"
        )
    return Gligen(Weights((file,), "gligen"))


def load_gligen(weights: Weights, policy: Policy) -> GligenContent:
    """The networks of a file."""
    file = weights.files[0]
    with opened(file.path) as (header, tensors):
        starts = _fusers(header)
        text = header.shape("position_net.null_positive_feature")[0]
        width = header.shape("position_net.linears.4.weight")[0]
        sizes = [header.shape(f"{start}linear.weight")[0] for start in starts]
        module = hollow(lambda: Grounder(text, width, sizes))
        dtype = policy.dtype(("float16", "bfloat16"))
        fill(module, tensors, _layout(starts), dtype=dtype, name=file.name)
        assert isinstance(module, Grounder)
        return GligenContent(module, dtype)


def _layout(starts: Sequence[str]) -> Layout:
    def entries(names: Iterable[str]) -> list[Entry]:
        found = []
        for name in names:
            _, number, rest = [*name.split(".", 2), "", ""][:3]
            found.append(Entry(starts[int(number)] + rest if name.startswith("fusers.") else name, (name,)))
        return found

    return entries


# --- at work in a U-Net ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def grounded(
    residency: Residency, unet: nn.Module, rows: Sequence[RowGrounding], counts: Sequence[int]
) -> Iterator[None]:
    """Within it the U-Net's blocks also look at boxes; each row's grounding holds for so many samples."""
    recipe = rows[0].net
    load = functools.partial(load_gligen, recipe.weights, residency.policy)
    with residency.ready(recipe.weights, (), load) as resident:
        content: Any = resident.content
        blocks = _blocks(unet)
        if len(blocks) != len(content.module.fusers):
            raise ValueError(
                f"this GLIGEN is for a network of {len(content.module.fusers)} blocks, the model has {len(blocks)}: it was "
                "made for another family"
            )
        objects = torch.cat([_objects(content, row, n, residency.device) for row, n in zip(rows, counts, strict=True)])
        with contextlib.ExitStack() as stack:
            for block, fuser in zip(blocks, content.module.fusers, strict=True):
                block.__dict__["fuser"] = _kept(fuser)
                stack.callback(block.__dict__.pop, "fuser", None)
                handle = block.register_forward_pre_hook(_with(objects), with_kwargs=True)
                stack.callback(handle.remove)
            yield


def _objects(content: Any, row: RowGrounding, count: int, device: torch.device) -> Tensor:
    def put(tensor: Tensor) -> Tensor:
        return tensor[None].to(device, content.dtype)

    made: Tensor = content.module.position_net(put(row.boxes), put(row.masks), put(row.embeddings))
    return made.expand(count, -1, -1)


def _kept(fuser: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The fuser in a network of another dtype."""

    def fuse(x: Tensor, objects: Tensor) -> Tensor:
        out: Tensor = fuser(x.to(objects.dtype), objects)
        return out.to(x.dtype)

    return fuse


def _with(objects: Tensor) -> Callable[[nn.Module, Any, dict[str, Any]], tuple[Any, dict[str, Any]]]:
    def hook(block: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = kwargs.get("cross_attention_kwargs") or {}
        return args, {**kwargs, "cross_attention_kwargs": {**given, "gligen": {"objs": objects}}}

    return hook


def _blocks(unet: Any) -> list[Any]:
    """A U-Net's transformer blocks, in the order of the forward pass."""
    if not hasattr(unet, "down_blocks") or not hasattr(unet, "mid_block"):
        raise ValueError("GLIGEN works in U-Nets (Stable Diffusion 1.4 and 1.5); take the boxes out")
    parts = (unet.down_blocks, unet.mid_block, unet.up_blocks)
    return [m for part in parts for m in part.modules() if hasattr(m, "attn1") and hasattr(m, "attn2")]

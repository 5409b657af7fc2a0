"""How the tensors of a file are named and cut, against how diffusers' and transformers' classes name them.

A layout is a list of `Entry`: one tensor of the file, and our parameters that it holds, one after another along its
first axis. The same list reads a file, writes one in its layout, and tells which weights a LoRA's names mean.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Transform = Literal["", "swap", "transpose", "flat"]
"""How a tensor's numbers differ: `swap` exchanges its halves along the first axis (shift and scale), `transpose` its
two axes, `flat` has axes of length one that ours has not (a 1x1 convolution where ours is linear)."""


@dataclass(frozen=True)
class Entry:
    """A tensor of the file and what it is to us."""

    theirs: str
    ours: tuple[str, ...]
    transform: Transform = ""


Layout = Callable[[Iterable[str]], list[Entry]]
"""From our parameters' names to the entries that hold them."""


def same(names: Iterable[str]) -> list[Entry]:
    """The layout of files that use our own names."""
    return [Entry(name, (name,)) for name in names]


def split(entry: Entry, tensor: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Our parameters, from a tensor of the file. Raises `ValueError` when the sizes do not fit."""
    tensor = undo(entry.transform, tensor)
    rows = [shapes[name][0] if shapes[name] else 1 for name in entry.ours]
    if len(entry.ours) == 1:
        (name,) = entry.ours
        return {name: tensor.reshape(tuple(shapes[name])) if _reshapes(entry, tensor, shapes[name]) else tensor}
    if sum(rows) != tensor.shape[0]:
        raise ValueError(f"{entry.theirs} has {tensor.shape[0]} rows where {sum(rows)} are needed")
    return dict(zip(entry.ours, tensor.split(rows), strict=True))


def _reshapes(entry: Entry, tensor: Tensor, shape: Sequence[int]) -> bool:
    return entry.transform == "flat" and tensor.numel() == math.prod(shape)


def join(entry: Entry, ours: Mapping[str, Tensor]) -> Tensor:
    """The file's tensor, from our parameters."""
    import torch

    parts = [ours[name] for name in entry.ours]
    tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
    if entry.transform == "flat":
        return tensor[:, :, None, None] if tensor.ndim == 2 else tensor
    return undo(entry.transform, tensor)  # exchanging twice changes nothing


def undo(transform: Transform, tensor: Tensor) -> Tensor:
    """The file's tensor with our order of rows or axes."""
    import torch

    if transform == "swap":
        first, second = tensor.chunk(2)
        return torch.cat([second, first])
    return tensor.T if transform == "transpose" else tensor


# --- layouts as tables -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A line of a table: a module or parameter of the file, and ours; `*` stands for a number, the same on each side.

    Where neither side names a parameter, `.weight` and `.bias` follow the module.
    """

    theirs: str
    ours: tuple[str, ...]
    transform: Transform = ""


def table(*rules: Rule | tuple[str, ...]) -> Layout:
    """A layout from rules; a tuple is a rule's `theirs` followed by its `ours`. Other names are the same in both."""

    @functools.cache
    def compiled() -> list[tuple[re.Pattern[str], Rule]]:
        """When a layout is first asked for: planning, which imports every family's, asks for none."""
        lines = [line if isinstance(line, Rule) else Rule(line[0], line[1:]) for line in rules]
        return [(re.compile(_pattern(rule.ours[0])), rule) for rule in lines]

    def layout(names: Iterable[str]) -> list[Entry]:
        all_names = list(names)
        entries, followers = [], set()
        for name in all_names:
            for pattern, rule in compiled():
                if match := pattern.fullmatch(name):
                    entry = _fill(rule, match)
                    followers |= set(entry.ours[1:])
                    entries.append(entry)
                    break
            else:
                entries.append(Entry(name, (name,)))
        return [entry for entry in entries if not (len(entry.ours) == 1 and entry.ours[0] in followers)]

    return layout


_PARAMETER = r"(?P<parameter>\.(?:weight|bias))?"


def _pattern(ours: str) -> str:
    return re.escape(ours).replace(r"\*", r"(\d+)") + _PARAMETER


def _fill(rule: Rule, match: re.Match[str]) -> Entry:
    numbers = [group for index, group in enumerate(match.groups(), 1) if index != match.re.groupindex["parameter"]]
    tail = match["parameter"] or ""

    def put(pattern: str) -> str:
        values = iter(numbers)
        return re.sub(r"\*", lambda _: next(values), pattern) + tail

    return Entry(put(rule.theirs), tuple(put(name) for name in rule.ours), rule.transform)


# --- the layouts of Stable Diffusion's own code ----------------------------------------------------------------------

_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
_UNET_ENDS = (
    ("conv_in.", "input_blocks.0.0."),
    ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."),
    ("add_embedding.linear_1.", "label_emb.0.0."),
    ("add_embedding.linear_2.", "label_emb.0.2."),
    ("class_embedding.linear_1.", "label_emb.0.0."),
    ("class_embedding.linear_2.", "label_emb.0.2."),
    ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."),
    ("mid_block.resnets.0.", "middle_block.0."),
    ("mid_block.attentions.0.", "middle_block.1."),
    ("mid_block.resnets.1.", "middle_block.2."),
)


def ldm_unet(names: Iterable[str]) -> list[Entry]:
    """Stable Diffusion's U-Net (1, 2, XL): `input_blocks`, `middle_block`, `output_blocks`."""
    all_names = list(names)
    layers = 1 + max((int(n.split(".")[3]) for n in all_names if n.startswith("down_blocks.0.resnets.")), default=0)
    attended = {n.split(".")[1] for n in all_names if n.startswith("up_blocks.") and ".attentions." in n}
    return [Entry(_ldm_unet_name(name, layers, attended), (name,)) for name in all_names]


def _ldm_unet_name(name: str, layers: int, attended: set[str]) -> str:
    for ours, theirs in _UNET_ENDS:
        if name.startswith(ours):
            return theirs + _inside_resnet(name.removeprefix(ours))
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
    if not match:
        return name
    side, block, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{block * (layers + 1) + layers}.{2 if match[2] in attended else 1}.{rest}"
    place = 1 if kind == "attentions" else 0
    number = block * (layers + 1) + index + (1 if side == "down" else 0)
    return f"{'input' if side == 'down' else 'output'}_blocks.{number}.{place}." + (
        rest if place else _inside_resnet(rest)
    )


def _inside_resnet(rest: str) -> str:
    for ours, theirs in _RESNET:
        if rest.startswith(ours + "."):
            return theirs + rest[len(ours) :]
    return rest


_VAE_ATTENTION = (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"))


def ldm_vae(names: Iterable[str]) -> list[Entry]:
    """The autoencoder of Stable Diffusion (1, 2, XL, 3) and Flux: `encoder.down`, `decoder.up`."""
    all_names = list(names)
    levels = 1 + max((int(n.split(".")[2]) for n in all_names if n.startswith("decoder.up_blocks.")), default=0)
    return [_ldm_vae_entry(name, levels) for name in all_names]


def _ldm_vae_entry(name: str, levels: int) -> Entry:
    theirs = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    theirs = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", theirs)
    theirs = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", theirs)
    theirs = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", theirs)
    theirs = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", theirs)
    theirs = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", theirs)
    if ".attentions.0." not in theirs:
        return Entry(theirs, (name,))
    theirs = theirs.replace("mid_block.attentions.0.", "mid.attn_1.")
    for ours, other in _VAE_ATTENTION:
        theirs = theirs.replace(f"attn_1.{ours}.", f"attn_1.{other}.")
    return Entry(theirs, (name,), "flat")


def flat_clip(names: Iterable[str]) -> list[Entry]:
    """CLIP's text model as newer files name it: as `CLIPTextModel` is, without `text_model.`."""
    return [Entry(name.removeprefix("text_model."), (name,)) for name in names]


def open_clip(names: Iterable[str]) -> list[Entry]:
    """OpenCLIP's text model: `transformer.resblocks`, query, key and value in one."""
    return _open_clip(list(names))


_open_clip = table(
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final", "text_model.final_layer_norm"),
    ("transformer.resblocks.*.ln_1", "text_model.encoder.layers.*.layer_norm1"),
    ("transformer.resblocks.*.ln_2", "text_model.encoder.layers.*.layer_norm2"),
    *(
        (
            f"transformer.resblocks.*.attn.in_proj_{p}",
            *(f"text_model.encoder.layers.*.self_attn.{x}_proj.{p}" for x in "qkv"),
        )
        for p in ("weight", "bias")
    ),
    ("transformer.resblocks.*.attn.out_proj", "text_model.encoder.layers.*.self_attn.out_proj"),
    ("transformer.resblocks.*.mlp.c_fc", "text_model.encoder.layers.*.mlp.fc1"),
    ("transformer.resblocks.*.mlp.c_proj", "text_model.encoder.layers.*.mlp.fc2"),
    Rule("text_projection", ("text_projection.weight",), "transpose"),
)

"""Changes to a network's forward pass that last for one call, made with hooks on diffusers' modules.

An edit is entered around the call and leaves the module as it was, also when the call raises. Equal edits are equal
values, so rows with the same edits share a call.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@contextlib.contextmanager
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Hooks that are taken off again."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def replaced(objects: Sequence[Any], name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """An attribute of each object replaced by what `make` gives for the object."""
    before = [(one, one.__dict__.get(name)) for one in objects]
    try:
        for one in objects:
            one.__dict__[name] = make(one)
        yield
    finally:
        for one, old in before:
            if old is None:
                one.__dict__.pop(name, None)
            else:
                one.__dict__[name] = old


def _blocks(module: nn.Module, what: str) -> list[Any]:
    """The transformer blocks of a UNet, which have a self- and a cross-attention."""
    found = [m for m in module.modules() if hasattr(m, "attn1") and hasattr(m, "attn2")]
    if not found:
        raise ValueError(f"{what} changes the attention of UNets; this model is none: take the node out")
    return found


def _middle(module: nn.Module, what: str) -> list[Any]:
    middle = getattr(module, "mid_block", None)
    if middle is None:
        raise ValueError(f"{what} changes the middle of UNets; this model is none: take the node out")
    return _blocks(middle, what)


# --- attention -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IdentitySelfAttention:
    """The middle block's self-attention lets every place look at itself alone."""

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Values go straight to the output."""
        attentions = [block.attn1 for block in _middle(module, "perturbed attention")]
        return replaced(
            attentions, "forward", lambda attention: lambda x, *_, **__: _output(attention, attention.to_v(x))
        )


def _output(attention: Any, values: Tensor) -> Tensor:
    for layer in attention.to_out:
        values = layer(values)
    return values


@dataclass(eq=False)
class AttentionMaps:
    """Attention that one call paid, as it was captured."""

    maps: list[Tensor] = field(default_factory=list)
    """Each (B, heads, queries, keys)."""

    def mean_over_heads(self) -> Tensor:
        """(B, queries, keys) of the last one."""
        if not self.maps:
            raise ValueError("the network's attention could not be seen; take the self-attention guidance out")
        return self.maps[-1].mean(1)


@dataclass(frozen=True)
class CaptureAttention:
    """Keeps what the middle block's self-attention pays attention to."""

    into: AttentionMaps

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """The same attention, written out, with its softmax kept."""
        attentions = [block.attn1 for block in _middle(module, "self-attention guidance")]
        return replaced(attentions, "forward", lambda attention: lambda x, *_, **__: self._attend(attention, x))

    def _attend(self, attention: Any, x: Tensor) -> Tensor:
        def split(tensor: Tensor) -> Tensor:
            return tensor.reshape(*tensor.shape[:-1], attention.heads, -1).transpose(1, 2)

        q, k, v = split(attention.to_q(x)), split(attention.to_k(x)), split(attention.to_v(x))
        paid = (q.float() @ k.float().transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1)
        self.into.maps.append(paid)
        return _output(attention, (paid.to(v.dtype) @ v).transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class ScaleAttention:
    """Queries, keys, values and output of self- or cross-attention multiplied."""

    cross: bool
    q: float = 1.0
    k: float = 1.0
    v: float = 1.0
    out: float = 1.0

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """The four projections' outputs scaled."""
        handles = []
        for block in _blocks(module, "scaled attention"):
            attention = block.attn2 if self.cross else block.attn1
            pairs = (
                (attention.to_q, self.q), (attention.to_k, self.k), (attention.to_v, self.v),
                (attention.to_out[0], self.out),
            )  # fmt: skip
            handles += [layer.register_forward_hook(_scaled(factor)) for layer, factor in pairs if factor != 1.0]
        return hooked(handles)


def _scaled(factor: float) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def hook(layer: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output * factor

    return hook


# --- blocks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SkipBlocks:
    """A transformer without some of its blocks."""

    double: tuple[int, ...] = ()
    single: tuple[int, ...] = ()

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Those blocks hand on what they get."""
        skipped = self._chosen(module, ("transformer_blocks", "blocks", "layers"), self.double)
        skipped += self._chosen(module, ("single_transformer_blocks",), self.single)
        return replaced(skipped, "forward", lambda block: _passing(type(block).__name__))

    @staticmethod
    def _chosen(module: nn.Module, names: Sequence[str], indices: Sequence[int]) -> list[nn.Module]:
        blocks: Any = next((getattr(module, name) for name in names if hasattr(module, name)), ())
        return [blocks[i] for i in indices if i < len(blocks)]


ONE_STREAM = ("Wan", "Basic", "Sana", "LTX", "Lumina", "ZImage")
"""Blocks whose names begin so return the picture's tokens alone; others the text's and the picture's."""


def _passing(name: str) -> Callable[..., Any]:
    def forward(hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *_: Any, **__: Any) -> Any:
        if encoder_hidden_states is None or name.startswith(ONE_STREAM):
            return hidden_states
        return encoder_hidden_states, hidden_states

    return forward


# --- FreeU -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FreeU:
    """FreeU (https://arxiv.org/abs/2309.11497): backbone features up by b, low frequencies of skips down by s.

    The first pair works where the backbone has four times, the second where it has twice the model's channels. Version
    2 makes b follow the features' own mean.
    """

    b1: float
    b2: float
    s1: float
    s2: float
    version: int = 2

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """What goes into each block of the way up, changed."""
        unet: Any = module
        if not hasattr(unet, "up_blocks"):
            raise ValueError("FreeU changes UNets; this model is none: take the node out")
        base = unet.config.block_out_channels[0]
        factors = {4 * base: (self.b1, self.s1), 2 * base: (self.b2, self.s2)}
        handles, channels = [], unet.config.block_out_channels[-1]
        for block in unet.up_blocks:
            for resnet in block.resnets:
                if channels in factors:
                    handles.append(resnet.register_forward_pre_hook(self._change(channels, *factors[channels])))
                channels = resnet.out_channels
        return hooked(handles)

    def _change(self, channels: int, b: float, s: float) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        def hook(resnet: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            backbone, skip = args[0][:, :channels].clone(), args[0][:, channels:]
            half = channels // 2
            if self.version == 1:
                backbone[:, :half] *= b
            else:
                mean = backbone.mean(1, keepdim=True)
                low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
                backbone[:, :half] *= (b - 1) * (mean - low) / (high - low) + 1
            return torch.cat([backbone, _low_frequencies(skip, s)], dim=1), *args[1:]

        return hook


def _low_frequencies(x: Tensor, scale: float) -> Tensor:
    """The four lowest frequencies multiplied."""
    spectrum = torch.fft.fftshift(torch.fft.fftn(x.float(), dim=(-2, -1)), dim=(-2, -1))
    row, column = x.shape[-2] // 2, x.shape[-1] // 2
    spectrum[..., max(0, row - 1) : row + 1, max(0, column - 1) : column + 1] *= scale
    return torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1)).real.to(x.dtype)


# --- fewer tokens ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tiles:
    """HyperTile: self-attention in tiles of the picture, whose number is drawn anew for each noise level."""

    size: int
    """Latent pixels of a tile's side, at least."""
    swap: int
    """How many tilings there are to draw from."""
    depth: int
    """How often the latent may have been halved where it is done."""
    scale_depth: bool
    seed: int

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """What goes into and comes out of each self-attention, cut and put together again."""
        sizes = _Sizes()
        generator = torch.Generator().manual_seed(self.seed)
        blocks = [block.attn1 for block in _blocks(module, "HyperTile")]
        return _both(
            hooked([module.register_forward_pre_hook(sizes.note, with_kwargs=True)]),
            replaced(
                blocks, "forward", lambda attention: self._tiled(attention, type(attention).forward, sizes, generator)
            ),
        )

    def _tiled(self, attention: Any, forward: Any, sizes: _Sizes, generator: torch.Generator) -> Callable[..., Tensor]:
        def tiled(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            level = sizes.level(x.shape[1], self.depth)
            if level is None:
                return _tensor(forward(attention, x, *args, **kwargs))
            height, width = sizes.height >> level, sizes.width >> level
            least = self.size * (2**level if self.scale_depth else 1)
            rows, columns = (_parts(side, least, self.swap, generator) for side in (height, width))
            if rows * columns == 1:
                return _tensor(forward(attention, x, *args, **kwargs))
            cut = x.reshape(len(x), rows, height // rows, columns, width // columns, -1).transpose(2, 3)
            out = _tensor(forward(attention, cut.flatten(3, 4).flatten(0, 2), *args, **kwargs))
            out = out.reshape(len(x), rows, columns, height // rows, width // columns, -1)
            return out.transpose(2, 3).reshape(x.shape)

        return tiled


def _parts(side: int, least: int, options: int, generator: torch.Generator) -> int:
    """Into how many parts of at least `least` a side is cut: one of the first few ways."""
    ways = [side // d for d in range(min(least, side), side + 1) if side % d == 0][:options]
    return ways[int(torch.randint(0, len(ways), (1,), generator=generator))]


@dataclass(frozen=True)
class MergeTokens:
    """ToMe (https://arxiv.org/abs/2303.17604): alike places ask self-attention one question together.

    Done where there are as many tokens as latent pixels; of each square of four one is drawn that others may join.
    """

    ratio: float
    seed: int

    def applied(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Fewer queries, answers handed to all that were merged."""
        sizes = _Sizes()
        generator = torch.Generator().manual_seed(self.seed)
        blocks = [block.attn1 for block in _blocks(module, "token merging")]
        return _both(
            hooked([module.register_forward_pre_hook(sizes.note, with_kwargs=True)]),
            replaced(
                blocks, "forward", lambda attention: self._merged(attention, type(attention).forward, sizes, generator)
            ),
        )

    def _merged(self, attention: Any, forward: Any, sizes: _Sizes, generator: torch.Generator) -> Callable[..., Tensor]:
        def merged(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if sizes.level(x.shape[1], 0) is None or self.ratio <= 0:
                return _tensor(forward(attention, x, *args, **kwargs))
            target = _targets(x, sizes.height, sizes.width, self.ratio, generator)
            fewer = int(target.max()) + 1
            index = target[:, :, None].expand_as(x)
            mean = x.new_zeros(len(x), fewer, x.shape[2]).scatter_reduce(1, index, x, "mean", include_self=False)
            answers = _tensor(forward(attention, mean, x))
            return answers.gather(1, target[:, :, None].expand(-1, -1, answers.shape[2]))

        return merged


def _targets(x: Tensor, height: int, width: int, ratio: float, generator: torch.Generator) -> Tensor:
    """(B, tokens): the number of the merged token that each token becomes part of."""
    rows, columns = height // 2, width // 2
    choice = torch.randint(0, 4, (rows, columns), generator=generator)
    grid = torch.zeros(height, width, dtype=torch.bool)
    y, z = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    grid[2 * y + choice // 2, 2 * z + choice % 2] = True
    stay = grid.flatten().to(x.device)
    into, movable = stay.nonzero()[:, 0], (~stay).nonzero()[:, 0]
    unit = torch.nn.functional.normalize(x.float(), dim=-1)
    likeness, nearest = (unit[:, movable] @ unit[:, into].transpose(1, 2)).max(dim=-1)
    count = min(len(movable), int(x.shape[1] * ratio))
    chosen = likeness.argsort(dim=-1, descending=True)[:, :count]
    moved = torch.zeros(len(x), len(movable), dtype=torch.bool, device=x.device).scatter(1, chosen, True)
    numbers = torch.empty(x.shape[:2], dtype=torch.long, device=x.device)
    numbers[:, into] = torch.arange(len(into), device=x.device)
    kept = len(into) + (~moved).cumsum(1) - 1
    numbers[:, movable] = torch.where(moved, nearest, kept)
    return numbers


class _Sizes:
    """The latent's size in the call that is going on."""

    def __init__(self) -> None:
        self.height = self.width = 0

    def note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Of the network's input."""
        x = args[0] if args else kwargs["sample"]
        self.height, self.width = x.shape[-2:]

    def level(self, tokens: int, deepest: int) -> int | None:
        """How often the latent was halved to have so many tokens; None when not up to `deepest` times."""
        for level in range(deepest + 1):
            height, width = self.height >> level, self.width >> level
            if height * width == tokens and self.height % 2**level == self.width % 2**level == 0:
                return level
        return None


@contextlib.contextmanager
def _both(
    one: contextlib.AbstractContextManager[None], other: contextlib.AbstractContextManager[None]
) -> Iterator[None]:
    with one, other:
        yield


def _tensor(output: Any) -> Tensor:
    assert isinstance(output, Tensor)
    return output

"""IP-Adapters of Flux (XLabs', InstantX') and Stable Diffusion 3 (InstantX'): joint attention that also sees pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from graphflow.diffusion.network import RowImage
from graphflow.models.adapters.base import Adapter, Asked, Look


class _FlowAdapter(Adapter):
    """Layers for attentions, one each, in the network's order."""

    def _fits(self, network: nn.Module, name: str, attentions: Sequence[Any], widths: Sequence[int]) -> None:
        if type(network).__name__ != name:
            raise ValueError("this IP-Adapter was made for another family of models; take the node out")
        if [attention.to_q.out_features for attention in attentions] != list(widths):
            raise ValueError(
                f"the IP-Adapter has {len(widths)} layers that do not fit the model's {len(attentions)}: it was made for "
                "another size of the family"
            )


class FluxAdapter(_FlowAdapter):
    """A key and a value projection for each block.

    XLabs' are for the blocks that see picture and text apart, and add what is seen after the block. InstantX' are for all
    blocks, norm their keys, and add what is seen to the attention's own answer.
    """

    def __init__(self, projection: nn.Module, sizes: Sequence[tuple[int, int]], *, bias: bool, inside: bool) -> None:
        """`sizes`: of each layer, the width that comes out and that goes in. `inside` for InstantX'."""
        super().__init__()
        self.projection, self.inside = projection, inside
        self.to_k = nn.ModuleList(nn.Linear(width, inner, bias=bias) for inner, width in sizes)
        self.to_v = nn.ModuleList(nn.Linear(width, inner, bias=bias) for inner, width in sizes)

    def shown(self, network: nn.Module, images: Sequence[RowImage], asked: Asked) -> Iterator[Any]:
        """Hooks on the blocks."""
        apart, together = (
            list(getattr(network, name, ())) for name in ("transformer_blocks", "single_transformer_blocks")
        )
        blocks: list[Any] = [*apart, *together] if self.inside else apart
        self._fits(
            network,
            "FluxTransformer2DModel",
            [b.attn for b in blocks],
            [getattr(k, "out_features", 0) for k in self.to_k],
        )
        for number, (block, to_k, to_v) in enumerate(zip(blocks, self.to_k, self.to_v, strict=True)):
            before = asked.text if number >= len(apart) else 0
            look = _FluxLook(Look(images, block.attn.heads), to_k, to_v, asked.size, before, self.inside)
            yield block.attn.norm_q.register_forward_hook(look.note)
            if not self.inside:
                yield block.register_forward_hook(look.after_block)
            elif number < len(apart):
                yield block.attn.to_out[0].register_forward_pre_hook(look.before_output)
            else:
                yield block.attn.register_forward_hook(look.after_attention)


def tokens_of(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tokens that a latent of that size has: each stands for a square of four."""
    return -(-size[0] // 2), -(-size[1] // 2)


class _FluxLook:
    """What one block sees of the pictures, asked with the queries that it asks anyway, before they are turned."""

    def __init__(self, look: Look, to_k: Any, to_v: Any, size: tuple[int, int], before: int, normed: bool) -> None:
        self.look, self.to_k, self.to_v = look, to_k, to_v
        self.size, self.before, self.normed = size, before, normed

    def note(self, module: nn.Module, args: Any, query: Tensor) -> None:
        """Keeps the queries, (N, S, heads, c)."""
        self.look.query = query

    def seen(self) -> Tensor:
        """(N, S, C)."""
        look, query = self.look, self.look.query.transpose(1, 2)
        tokens = look.tokens(self.to_k)
        key, value = look.split(self.to_k(tokens)), look.split(self.to_v(tokens))
        if self.normed:
            key = rms_norm(key, key.shape[-1:], eps=1e-5)
        return look.answer(query, look.key(key), value, look.mask(tokens_of(self.size), self.before, query.shape[2]))

    def before_output(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """With what is seen, on the way to the output projection."""
        return (args[0] + self.seen(), *args[1:])

    def after_attention(self, module: nn.Module, args: Any, out: Tensor) -> Tensor:
        """With what is seen, of an attention without an output projection."""
        return out + self.seen()

    def after_block(self, module: nn.Module, args: Any, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The text as it is, the picture with what is seen."""
        return out[0], out[1] + self.seen()


class Sd3Adapter(_FlowAdapter):
    """A resampler that is told the noise level, and diffusers' own layers for every attention."""

    def __init__(self, projection: nn.Module, build: Callable[[], nn.Module], layers: int) -> None:
        super().__init__()
        self.projection = projection
        self.layers = nn.ModuleList(build() for _ in range(layers))

    def tokens(self, seen: Tensor) -> Tensor:
        """What was seen as it is: its tokens differ from noise level to noise level."""
        return seen

    def shown(self, network: nn.Module, images: Sequence[RowImage], asked: Asked) -> Iterator[Any]:
        """Hooks on the attentions."""
        names = [name.removesuffix(".processor") for name in getattr(network, "attn_processors", ())]
        attentions: list[Any] = [network.get_submodule(name) for name in names]
        layers: list[Any] = list(self.layers)
        self._fits(network, "SD3Transformer2DModel", attentions, [layer.to_k_ip.out_features for layer in layers])
        device, dtype = asked.timestep.device, layers[0].to_k_ip.weight.dtype
        tokens, level = self.projection(torch.cat([image.tokens for image in images]).to(device, dtype), asked.timestep)
        for attention, layer in zip(attentions, layers, strict=True):
            look = _Sd3Look(Look(images, attention.heads), layer, tokens, level, asked.size)
            for name in ("to_q", "to_k", "to_v"):
                yield getattr(attention, name).register_forward_hook(look.noting(name))
            yield attention.to_out[0].register_forward_pre_hook(look.add)


class _Sd3Look:
    """One attention's look at the pictures and at its own tokens again, with norms of the adapter's."""

    def __init__(self, look: Look, layer: Any, tokens: Tensor, level: Tensor, size: tuple[int, int]) -> None:
        self.look, self.layer, self.tokens, self.level, self.size = look, layer, tokens, level, size
        self.noted: dict[str, Tensor] = {}

    def noting(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        """Keeps what a projection gives."""

        def note(module: nn.Module, args: Any, made: Tensor) -> None:
            self.noted[name] = made

        return note

    def add(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The attention's own answers with the pictures' added."""
        look, layer = self.look, self.layer
        look.query = self.noted["to_q"]
        query, own_key, own_value = (look.split(self.noted[name]) for name in ("to_q", "to_k", "to_v"))
        tokens = layer.norm_ip(self.tokens, temb=self.level)
        key, value = look.split(layer.to_k_ip(tokens)), look.split(layer.to_v_ip(tokens))
        keys = torch.cat([layer.norm_k(own_key), look.key(layer.norm_ip_k(key))], dim=2)
        seen = look.answer(
            layer.norm_q(query), keys, torch.cat([own_value, value], dim=2), look.mask(tokens_of(self.size))
        )
        return (args[0] + seen.to(args[0].dtype), *args[1:])

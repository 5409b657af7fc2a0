"""IP-Adapters of U-Nets: a second cross-attention beside the text's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from graphflow.diffusion.network import RowImage
from graphflow.models.adapters.base import Adapter, Asked, Look

STYLE, COMPOSITION = "up_blocks.0.attentions.1.", "down_blocks.2.attentions.1."
"""Where SDXL keeps style and layout (InstantStyle, https://arxiv.org/abs/2404.02733)."""

LAYERS: Mapping[str, Callable[[str], float]] = {
    "linear": lambda _: 1.0,
    "weak input": lambda name: 0.2 if name.startswith("down") else 1.0,
    "weak middle": lambda name: 0.2 if name.startswith("mid") else 1.0,
    "weak output": lambda name: 0.2 if name.startswith("up") else 1.0,
    "strong middle": lambda name: 1.0 if name.startswith("mid") else 0.2,
    "style transfer": lambda name: float(name.startswith(STYLE)),
    "composition": lambda name: float(name.startswith(COMPOSITION)),
    "style and composition": lambda name: float(name.startswith((STYLE, COMPOSITION))),
}
"""A way to spread an adapter's weight: the share of a cross-attention by its name."""


class UnetAdapter(Adapter):
    """What makes tokens of a picture, and a key and value projection for each cross-attention, in the U-Net's order."""

    def __init__(self, projection: nn.Module, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.projection = projection
        self.to_k = nn.ModuleList(nn.Linear(width, inner, bias=False) for inner, width in sizes)
        self.to_v = nn.ModuleList(nn.Linear(width, inner, bias=False) for inner, width in sizes)

    def shown(self, network: nn.Module, images: Sequence[RowImage], asked: Asked) -> Iterator[Any]:
        """Hooks on the cross-attentions that the weight is spread over."""
        layers = cross_attentions(network)
        if len(layers) != len(self.to_k) or any(
            layer.to_q.out_features != k.out_features for (_, layer), k in zip(layers, self.to_k, strict=True)
        ):
            raise ValueError(
                f"the IP-Adapter has {len(self.to_k)} layers that do not fit the model's {len(layers)}: it was made for "
                "another family"
            )
        share = LAYERS[images[0].layers]
        for (name, attention), to_k, to_v in zip(layers, self.to_k, self.to_v, strict=True):
            if share(name) != 0.0:
                look = _CrossLook(Look(images, attention.heads, share(name)), to_k, to_v, asked.size)
                yield attention.to_q.register_forward_hook(look.note)
                yield attention.to_out[0].register_forward_pre_hook(look.add)


def cross_attentions(unet: Any) -> list[tuple[str, Any]]:
    """A U-Net's cross-attentions by name, in the order of adapters' files: down, up, middle."""
    if not hasattr(unet, "attn_processors") or not hasattr(unet, "up_blocks"):
        raise ValueError("IP-Adapters of this kind are for U-Nets (Stable Diffusion 1.5 and XL); take the node out")
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    return [(name, unet.get_submodule(name)) for name in names if name.endswith("attn2")]


class _CrossLook:
    """The pictures' answers, added to the text's before the output projection."""

    def __init__(self, look: Look, to_k: Any, to_v: Any, size: tuple[int, int]) -> None:
        self.look, self.to_k, self.to_v, self.size = look, to_k, to_v, size

    def note(self, module: nn.Module, args: Any, query: Tensor) -> None:
        """Keeps the queries that are asked of the text."""
        self.look.query = query

    def add(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The text's answers with the pictures' added."""
        look = self.look
        tokens = look.tokens(self.to_k)
        key, value = look.split(look.key(self.to_k(tokens))), look.split(self.to_v(tokens))
        mask = look.mask(_grid(self.size, look.query.shape[1]))
        return (args[0] + look.answer(look.split(look.query), key, value, mask), *args[1:])


def _grid(size: tuple[int, int], places: int) -> tuple[int, int]:
    """Height and width at a resolution of that many places."""
    height, width = size
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width

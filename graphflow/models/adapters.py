"""IP-Adapters (https://arxiv.org/abs/2308.06721): pictures as prompts, by a second cross-attention beside the text's.

An adapter turns what an image encoder saw into tokens, and has a key and a value projection for each cross-attention of a
U-Net. The shared U-Net is never changed: for the length of one call, hooks take the queries that a cross-attention asks
anyway, and add the picture's answers to the text's before the output projection.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from graphflow.detect import Header, count, detect, require
from graphflow.diffusion.network import RowImage
from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, table
from graphflow.models.residency import Policy, Residency, Unpatched
from graphflow.models.weights import fill, hollow, opened
from graphflow.values import ClipVisionOutput, IpAdapter, Weights

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


class Adapter(nn.Module):
    """What makes tokens of a picture, and a key and value projection for each cross-attention, in the U-Net's order."""

    def __init__(self, projection: nn.Module, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.projection = projection
        self.to_k = nn.ModuleList(nn.Linear(width, inner, bias=False) for inner, width in sizes)
        self.to_v = nn.ModuleList(nn.Linear(width, inner, bias=False) for inner, width in sizes)


@dataclass
class AdapterContent(Unpatched):
    """An adapter in memory."""

    module: Adapter
    dtype: torch.dtype
    seen: int
    """Width of what the image encoder has to give."""
    hidden: bool
    """It looks at the encoder's hidden states (`plus` and `full`), not at the picture's embedding."""


class ResidentAdapter:
    """An adapter that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: IpAdapter, load: Callable[[], AdapterContent]) -> None:
        residency.get(recipe.weights, load)
        self._residency, self._recipe, self._load = residency, recipe, load

    def looks_at(self, output: ClipVisionOutput) -> Tensor:
        """(B, D) or (B, T, D): what of an image encoder's output the adapter takes.

        Raises `ValueError` when the output is that of another image encoder.
        """
        content: Any = self._residency.get(self._recipe.weights, self._load).content
        seen = output.penultimate_hidden_state if content.hidden else output.image_embeds
        if seen.shape[-1] != content.seen:
            raise ValueError(
                f"this IP-Adapter looks at {content.seen} channels, the image encoder gave {seen.shape[-1]}: load the "
                "CLIP vision model it was trained with (ViT-H for most, ViT-bigG for ip-adapter_sdxl)"
            )
        return seen

    @torch.inference_mode()
    def tokens(self, seen: Tensor) -> Tensor:
        """What `looks_at` gave to (B, T, D), float32 on the CPU: tokens as wide as the text's."""
        with self._residency.ready(self._recipe.weights, (), self._load) as resident:
            content: Any = resident.content
            made: Tensor = content.module.projection(seen.to(self._residency.device, content.dtype))
            return made.float().cpu()


# --- at work in a U-Net ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def attended(residency: Residency, unet: nn.Module, rows: Sequence[Sequence[RowImage]], size: Any) -> Iterator[None]:
    """Within it the U-Net's cross-attentions also look at pictures: `rows` has each sample's, alike in number and kind.

    `size` is the latent's height and width. Raises `ValueError` when an adapter was made for another network.
    """
    with contextlib.ExitStack() as stack:
        for images in zip(*rows, strict=True):
            recipe = images[0].adapter
            load = functools.partial(load_adapter, recipe.weights, residency.policy)
            resident = stack.enter_context(residency.ready(recipe.weights, (), load))
            content: Any = resident.content
            for handle in _hooks(content, unet, images, size):
                stack.callback(handle.remove)
        yield


def cross_attentions(unet: Any) -> list[tuple[str, Any]]:
    """A U-Net's cross-attentions by name, in the order of adapters' files: down, up, middle."""
    if not hasattr(unet, "attn_processors") or not hasattr(unet, "up_blocks"):
        raise ValueError("IP-Adapters of this kind are for U-Nets (Stable Diffusion 1.5 and XL); take the node out")
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    return [(name, unet.get_submodule(name)) for name in names if name.endswith("attn2")]


def _hooks(content: AdapterContent, unet: Any, images: Sequence[RowImage], size: Any) -> Iterator[Any]:
    layers = cross_attentions(unet)
    module, first = content.module, images[0]
    if len(layers) != len(module.to_k) or any(
        layer.to_q.out_features != k.out_features for (_, layer), k in zip(layers, module.to_k, strict=True)
    ):
        raise ValueError(
            f"the IP-Adapter has {len(module.to_k)} layers that do not fit the model's {len(layers)}: it was made for "
            "another family"
        )
    tokens = torch.cat([image.tokens for image in images]).to(content.dtype)
    share = LAYERS[first.layers]
    for number, (name, attention) in enumerate(layers):
        if share(name) == 0.0:
            continue
        weights = torch.tensor([image.weight * share(name) for image in images for _ in image.tokens])
        look = _Look(attention, module.to_k[number], module.to_v[number], tokens, weights, images, size)
        yield attention.to_q.register_forward_hook(look.note)
        yield attention.to_out[0].register_forward_pre_hook(look.add)


class _Look:
    """One cross-attention's look at the pictures in one call."""

    def __init__(
        self, attention: Any, to_k: nn.Module, to_v: nn.Module, tokens: Tensor, weights: Tensor,
        images: Sequence[RowImage], size: tuple[int, int],
    ) -> None:  # fmt: skip
        self.attention, self.to_k, self.to_v, self.tokens = attention, to_k, to_v, tokens
        self.weights, self.images, self.size = weights, images, size
        self.query = tokens

    def note(self, module: nn.Module, args: Any, query: Tensor) -> None:
        """Keeps the queries that are asked of the text."""
        self.query = query

    def add(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The text's answers with the pictures' added."""
        heads = self.attention.heads
        weights = self.weights.to(self.query)[:, None, None]

        def split(tensor: Tensor) -> Tensor:
            return tensor.to(self.query.dtype).unflatten(-1, (heads, -1)).transpose(1, 2)

        tokens = self.tokens.to(self.query.device)
        k, v = self.to_k(tokens), self.to_v(tokens)
        if self.images[0].keys:
            k = k * weights.to(k)
        seen = scaled_dot_product_attention(split(self.query), split(k), split(v)).transpose(1, 2).flatten(2)
        seen = seen * weights
        if (mask := self._mask(seen.shape[1])) is not None:
            seen = seen * mask.to(seen)
        return (args[0] + seen, *args[1:])

    def _mask(self, places: int) -> Tensor | None:
        """(N, places, 1): where each sample's pictures hold, at this attention's resolution."""
        if all(image.mask is None for image in self.images):
            return None
        height, width = self.size
        while height * width > places:
            height, width = -(-height // 2), -(-width // 2)
        masks = [
            torch.ones(len(image.tokens), 1, height, width)
            if image.mask is None
            else interpolate(image.mask[:, None].float().cpu(), size=(height, width), mode="area").expand(
                len(image.tokens), -1, -1, -1
            )
            for image in self.images
        ]
        return torch.cat(masks).flatten(1)[:, :, None]


# --- from files ------------------------------------------------------------------------------------------------------

_PLUS = table(
    ("layers.*.0.norm1", "layers.*.ln0"),
    ("layers.*.0.norm2", "layers.*.ln1"),
    ("layers.*.0.to_q", "layers.*.attn.to_q"),
    ("layers.*.0.to_kv", "layers.*.attn.to_k", "layers.*.attn.to_v"),
    ("layers.*.0.to_out", "layers.*.attn.to_out.0"),
    ("layers.*.1.0", "layers.*.ff.0"),
    ("layers.*.1.1", "layers.*.ff.1.net.0.proj"),
    ("layers.*.1.3", "layers.*.ff.1.net.2"),
)
_FULL = table(("proj.0", "ff.net.0.proj"), ("proj.2", "ff.net.2"), ("proj.3", "norm"))
_PLAIN = table(("proj", "image_embeds"))


def load_adapter(weights: Weights, policy: Policy) -> AdapterContent:
    """The adapter of a file. Raises `UnsupportedFile` for kinds that need more than an image encoder."""
    file = weights.files[0]
    with opened(file.path) as (header, tensors):
        require(detect(file.path), file.path, part="ip_adapter")
        build, layout, seen, hidden = _projection(header.under("image_proj."), file.name)
        numbers = layer_numbers(header)
        sizes = [header.shape(f"ip_adapter.{n}.to_k_ip.weight") for n in numbers]
        module = hollow(lambda: Adapter(build(), [(inner, width) for inner, width in sizes]))
        dtype = policy.dtype(("float16", "bfloat16"))
        fill(module, tensors, _whole(layout, numbers), dtype=dtype, name=file.name)
        assert isinstance(module, Adapter)
        return AdapterContent(module, dtype, seen, hidden)


def layer_numbers(header: Header) -> list[int]:
    """The numbers of an adapter's layers in its file, usually 1, 3, 5, ..."""
    found = (re.fullmatch(r"ip_adapter\.(\d+)\.to_k_ip\.weight", key) for key in header.tensors)
    return sorted(int(match[1]) for match in found if match)


Projection = tuple[Callable[[], nn.Module], Layout, int, bool]


def _projection(header: Header, name: str) -> Projection:
    """What makes the tokens: how it is built, its layout, the width it looks at, and whether at hidden states."""
    from diffusers.models import embeddings

    shape = header.shape
    if shape("latents"):
        _, queries, hidden = shape("latents")
        heads = shape("layers.0.0.to_q.weight")[0] // 64
        ratio = shape("layers.0.1.1.weight")[0] / hidden
        depth, seen, width = count(header, "layers.{}."), shape("proj_in.weight")[1], shape("proj_out.weight")[0]
        make = functools.partial(
            embeddings.IPAdapterPlusImageProjection, seen, width, hidden, depth, 64, heads, queries, ratio
        )
        return make, _PLUS, seen, True
    if shape("proj.3.weight"):
        seen, width = shape("proj.0.weight")[0], shape("proj.3.weight")[0]
        return functools.partial(embeddings.IPAdapterFullImageProjection, seen, width), _FULL, seen, True
    if shape("proj.weight") and shape("norm.weight"):
        made, seen = shape("proj.weight")
        width = shape("norm.weight")[0]
        return functools.partial(embeddings.ImageProjection, seen, width, made // width), _PLAIN, seen, False
    raise UnsupportedFile(
        f"{name} is an IP-Adapter of a kind that cannot be used: it looks at faces (FaceID), which takes a face "
        "recogniser; use ip-adapter, ip-adapter-plus or ip-adapter-full-face"
    )


def _whole(projection: Layout, numbers: Sequence[int]) -> Layout:
    """The layout of a whole file."""

    def entries(names: Iterable[str]) -> list[Entry]:
        own = "projection."
        inner = projection([name.removeprefix(own) for name in names if name.startswith(own)])
        made = [Entry(f"image_proj.{e.theirs}", tuple(own + n for n in e.ours), e.transform) for e in inner]
        for number, there in enumerate(numbers):
            made += [Entry(f"ip_adapter.{there}.to_{x}_ip.weight", (f"to_{x}.{number}.weight",)) for x in "kv"]
        return made

    return entries

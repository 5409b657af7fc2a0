"""IP-Adapters from files, in the layouts of their authors and of diffusers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from graphflow.detect import Header, count, detect, require
from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, same, table
from graphflow.models.adapters.base import Adapter, AdapterContent
from graphflow.models.adapters.flows import FluxAdapter, Sd3Adapter
from graphflow.models.adapters.unets import UnetAdapter
from graphflow.models.residency import Policy
from graphflow.models.tensors import opened
from graphflow.models.weights import fill, hollow
from graphflow.values import Weights

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
_TIMED = table(
    ("layers.*.0.norm1", "layers.*.ln0"),
    ("layers.*.0.norm2", "layers.*.ln1"),
    ("layers.*.0.to_q", "layers.*.attn.to_q"),
    ("layers.*.0.to_kv", "layers.*.attn.to_kv"),
    ("layers.*.0.to_out", "layers.*.attn.to_out.0"),
    ("layers.*.1.0", "layers.*.adaln_norm"),
    ("layers.*.1.1", "layers.*.ff.net.0.proj"),
    ("layers.*.1.3", "layers.*.ff.net.2"),
    ("layers.*.2.1", "layers.*.adaln_proj"),
)
_FULL = table(("proj.0", "ff.net.0.proj"), ("proj.2", "ff.net.2"), ("proj.3", "norm"))
_MANY = table(("proj.0", "ff.net.0.proj"), ("proj.2", "ff.net.2"))
_PLAIN = table(("proj", "image_embeds"))

XLABS = "ip_adapter_proj_model."
"""Before the names of the image projection in XLabs' files."""
_K = re.compile(
    r"(?:ip_adapter\.(\d+)\.to_k_ip|double_blocks\.(\d+)\.processor\.ip_adapter_double_stream_k_proj)\.weight"
)


@dataclass(frozen=True)
class _Kind:
    """How an adapter is built, filled and asked, as `AdapterContent` says it."""

    build: Callable[[], Adapter]
    layout: Layout
    seen: int
    hidden: bool
    nothing: Literal["zeros", "grey", "black"]
    crop: Literal["center", "none"] = "center"
    dtypes: tuple[str, ...] = ("bfloat16", "float16")


def load_adapter(weights: Weights, policy: Policy) -> AdapterContent:
    """The adapter of a file. Raises `UnsupportedFile` for kinds that need more than an image encoder."""
    file = weights.files[0]
    with opened(file.path) as (header, tensors):
        part = require(detect(file.path), file.path, part="ip_adapter")
        kind = {"flux": _flux, "sd3": _sd3}.get(part.family, _unet)(header, file.name)
        module, dtype = hollow(kind.build), policy.dtype(kind.dtypes)
        fill(module, tensors, kind.layout, dtype=dtype, name=file.name)
        assert isinstance(module, Adapter)
        return AdapterContent(module, dtype, kind.seen, kind.hidden, kind.nothing, kind.crop)


def layer_numbers(header: Header) -> list[int]:
    """The numbers of an adapter's layers in its file, for U-Nets usually 1, 3, 5, ..."""
    found = (_K.fullmatch(key) for key in header.tensors)
    return sorted(int(match[1] or match[2]) for match in found if match)


def _whole(projection: Layout, prefix: str, layers: Sequence[Entry]) -> Layout:
    """The layout of a whole file: the image projection's names after `prefix`, and the layers'."""

    def entries(names: Iterable[str]) -> list[Entry]:
        own = "projection."
        inner = projection([name.removeprefix(own) for name in names if name.startswith(own)])
        return [*(Entry(prefix + e.theirs, tuple(own + n for n in e.ours), e.transform) for e in inner), *layers]

    return entries


# --- U-Nets ----------------------------------------------------------------------------------------------------------


def _unet(header: Header, name: str) -> _Kind:
    build, layout, seen, hidden = _projection(header.under("image_proj."), name)
    numbers = layer_numbers(header)
    sizes = [(inner, width) for inner, width in (header.shape(f"ip_adapter.{n}.to_k_ip.weight") for n in numbers)]
    layers = [
        Entry(f"ip_adapter.{there}.to_{x}_ip.weight", (f"to_{x}.{number}.weight",))
        for number, there in enumerate(numbers)
        for x in "kv"
    ]
    return _Kind(
        lambda: UnetAdapter(build(), sizes), _whole(layout, "image_proj.", layers), seen, hidden,
        "grey" if hidden else "zeros", dtypes=("float16", "bfloat16"),
    )  # fmt: skip


def _projection(header: Header, name: str) -> tuple[Callable[[], nn.Module], Layout, int, bool]:
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
        return _plain(header)
    raise UnsupportedFile(
        f"{name} is an IP-Adapter of a kind that cannot be used: it looks at faces (FaceID), which takes a face "
        "recogniser; use ip-adapter, ip-adapter-plus or ip-adapter-full-face"
    )


def _plain(header: Header) -> tuple[Callable[[], nn.Module], Layout, int, bool]:
    """One matrix, from a picture's embedding to all tokens."""
    from diffusers.models.embeddings import ImageProjection

    made, seen = header.shape("proj.weight")
    width = header.shape("norm.weight")[0]
    return functools.partial(ImageProjection, seen, width, made // width), _PLAIN, seen, False


# --- transformers ----------------------------------------------------------------------------------------------------


def _flux(header: Header, name: str) -> _Kind:
    """XLabs' have biases and one matrix to the tokens, InstantX' two and a layer for single blocks as well."""
    xlabs = any(key.startswith(XLABS) for key in header.tensors)
    prefix = XLABS if xlabs else "image_proj."
    projection = header.under(prefix)
    theirs = "double_blocks.{}.processor.ip_adapter_double_stream_{}_proj" if xlabs else "ip_adapter.{}.to_{}_ip"
    numbers = layer_numbers(header)
    bias = bool(header.shape(theirs.format(numbers[0], "k") + ".bias"))
    sizes = [(inner, width) for inner, width in (header.shape(theirs.format(n, "k") + ".weight") for n in numbers)]
    layers = [
        Entry(f"{theirs.format(there, x)}.{p}", (f"to_{x}.{number}.{p}",))
        for number, there in enumerate(numbers)
        for x in "kv"
        for p in ("weight", *(("bias",) if bias else ()))
    ]
    build, layout, seen, _ = _plain(projection) if projection.shape("proj.weight") else _many(projection, name)
    return _Kind(
        lambda: FluxAdapter(build(), sizes, bias=bias, inside=not bias),
        _whole(layout, prefix, layers),
        seen,
        False,
        "black",
        "center" if bias else "none",
    )


def _many(header: Header, name: str) -> tuple[Callable[[], nn.Module], Layout, int, bool]:
    """Two matrices, from a picture's embedding to all tokens."""
    from diffusers.models.embeddings import IPAdapterFaceIDImageProjection

    if not header.shape("proj.2.weight") or not header.shape("norm.weight"):
        raise UnsupportedFile(f"{name} is an IP-Adapter for Flux of a kind that is not known")
    inner, seen = header.shape("proj.0.weight")
    made, width = header.shape("proj.2.weight")[0], header.shape("norm.weight")[0]
    make = functools.partial(IPAdapterFaceIDImageProjection, seen, width, inner // seen, made // width)
    return make, _MANY, seen, False


def _sd3(header: Header, name: str) -> _Kind:
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    numbers, shape = layer_numbers(header), header.under("image_proj.").shape
    original = bool(shape("layers.0.0.norm1.weight"))
    queries, hidden = shape("latents")[1:]
    query, feed = ("0.to_q", "1.1") if original else ("attn.to_q", "ff.net.0.proj")
    projection = functools.partial(
        IPAdapterTimeImageProjection,
        embed_dim=shape("proj_in.weight")[1],
        output_dim=shape("proj_out.weight")[0],
        hidden_dim=hidden,
        depth=count(header, "image_proj.layers.{}."),
        heads=shape(f"layers.0.{query}.weight")[0] // 64,
        num_queries=queries,
        ffn_ratio=shape(f"layers.0.{feed}.weight")[0] // hidden,
        timestep_in_dim=shape("time_embedding.linear_1.weight")[1],
    )
    first = header.under(f"ip_adapter.{numbers[0]}.").shape
    inner, width = first("to_k_ip.weight")
    layer = functools.partial(
        SD3IPAdapterJointAttnProcessor2_0, inner, width, first("norm_q.weight")[0], first("norm_ip.linear.weight")[1]
    )
    parameters = ("norm_ip.linear.weight", "norm_ip.linear.bias", "to_k_ip.weight", "to_v_ip.weight",
                  "norm_q.weight", "norm_k.weight", "norm_ip_k.weight")  # fmt: skip
    layers = [Entry(f"ip_adapter.{n}.{p}", (f"layers.{i}.{p}",)) for i, n in enumerate(numbers) for p in parameters]
    return _Kind(
        lambda: Sd3Adapter(projection(), layer, len(numbers)),
        _whole(_TIMED if original else same, "image_proj.", layers),
        shape("proj_in.weight")[1],
        True,
        "zeros",
        "none",
    )

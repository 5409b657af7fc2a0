"""ControlNets from their files, and from the file of the network that they work on where they borrow from it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from graphflow.errors import UnsupportedFile
from graphflow.families import sd3
from graphflow.layouts import Entry, Layout, same
from graphflow.models.control import KINDS
from graphflow.models.control.base import ControlContent, Kind
from graphflow.models.control.flows import sd35_picture
from graphflow.models.control.unets import OnBase, config_below, hint_config
from graphflow.models.loading import as_original, network_config
from graphflow.models.packed import shapes_of
from graphflow.models.residency import Policy
from graphflow.models.sources import Source, read_config, source
from graphflow.models.weights import fill, hollow
from graphflow.values import Weights

UNETS = ("sd15", "sd2", "sdxl")


def load_control(weights: Weights, policy: Policy) -> ControlContent:
    """The ControlNet of a file or folder."""
    borrowed = dict(weights.options).get("kind")
    if borrowed == "lora":
        return _load_control_lora(weights, policy)
    if borrowed == "difference":
        return _load_difference(weights, policy)
    with source(weights.files[0]) as src:
        part, _, _ = src.part("controlnet")
        if part.family not in KINDS:
            raise UnsupportedFile(f"{src.file.name} is a ControlNet of a kind that cannot be used: {part.family}")
        made = _load(src, KINDS["union" if src.found.details.get("union") else part.family], policy)
        return _with_positions(weights, src, made) if borrowed == "sd35" else made


def _load(src: Source, kind: Kind, policy: Policy) -> ControlContent:
    _, header, tensors = src.part("controlnet")
    original = kind.original(header)
    config = read_config(src.beside / "config.json") or kind.config(
        header if original else as_original(header, kind.layout)
    )
    module = hollow(lambda: kind.build(config))
    dtype = policy.dtype(kind.dtypes)
    fill(module, tensors, kind.layout if original else same, dtype=dtype, name=src.file.name)
    return ControlContent(module, kind, dtype)


def _with_positions(weights: Weights, src: Source, made: ControlContent) -> ControlContent:
    """Stability's ControlNets for SD 3.5 look at patches and positions as the transformer does, by its own weights."""
    if len(weights.files) < 2 or weights.family != "sd3":
        raise UnsupportedFile(
            f"{src.file.name} borrows from the transformer that it was made for: use it with Stable Diffusion 3.5 Large"
        )
    from diffusers.models.embeddings import PatchEmbed

    with source(weights.files[1]) as base:
        config, ours = network_config(base)
        width = config["num_attention_heads"] * config["attention_head_dim"]
        settings: Any = made.module.config
        own = settings.num_attention_heads * settings.attention_head_dim
        if own != width:
            raise UnsupportedFile(
                f"{src.file.name} is {own} wide, {base.file.name} {width}: it was made for another size of Stable Diffusion 3"
            )
        embed = hollow(
            lambda: PatchEmbed(
                height=config["sample_size"], width=config["sample_size"], patch_size=config["patch_size"],
                in_channels=config["in_channels"], embed_dim=width, pos_embed_max_size=config["pos_embed_max_size"],
            )
        )  # fmt: skip
        layout = _inside("pos_embed.", same if ours else sd3.layout)
        fill(embed, base.part("model")[2], layout, dtype=made.dtype, name=base.file.name)
    module: Any = made.module
    module.pos_embed = embed
    kinds = src.tensors.get("control_type") if "control_type" in src.header.tensors else None
    picture = functools.partial(sd35_picture, round(float(kinds.flatten()[0])) if kinds is not None else 0)
    return ControlContent(module, made.kind, made.dtype, picture)


def _inside(prefix: str, layout: Layout) -> Layout:
    """How a network's file names the tensors of its part of that name."""

    def entries(names: Iterable[str]) -> list[Entry]:
        found = layout([prefix + name for name in names])
        return [Entry(e.theirs, tuple(name.removeprefix(prefix) for name in e.ours), e.transform) for e in found]

    return entries


def _load_control_lora(weights: Weights, policy: Policy) -> ControlContent:
    """A ControlNet made of a network's own way down and low-rank changes of it."""
    if len(weights.files) < 2 or weights.family not in UNETS:
        raise UnsupportedFile(
            f"{weights.files[0].name} is a control-LoRA, which changes a U-Net's own weights: use it with the U-Net it was "
            "made for (Stable Diffusion XL for those of Stability)"
        )
    with source(weights.files[0]) as src, source(weights.files[1]) as base:
        _, header, tensors = src.part("controlnet")
        _, _, weights_below = base.part("model")
        config, ours = network_config(base)
        kind = KINDS[weights.family]
        module = hollow(lambda: kind.build({**config_below(config), **hint_config(header)}))
        names = {e.theirs: e.ours[0] for e in kind.layout(shapes_of(module))} if ours else {}
        dtype = policy.dtype(kind.dtypes)
        fill(module, OnBase(tensors, weights_below, names), kind.layout, dtype=dtype, name=src.file.name)
        return ControlContent(module, kind, dtype)


def _load_difference(weights: Weights, policy: Policy) -> ControlContent:
    """A ControlNet made of a network's own way down and what is added to it."""
    with source(weights.files[0]) as src, source(weights.files[1]) as base:
        _, header, tensors = src.part("controlnet")
        _, _, below = base.part("model")
        _, ours = network_config(base)
        kind = KINDS[weights.family]
        config = read_config(src.beside / "config.json") or kind.config(header)
        module = hollow(lambda: kind.build(config))
        names = {e.theirs: e.ours[0] for e in kind.layout(shapes_of(module))} if ours else {}
        dtype = policy.dtype(kind.dtypes)
        fill(module, OnBase(tensors, below, names, added=True), kind.layout, dtype=dtype, name=src.file.name)
        return ControlContent(module, kind, dtype)

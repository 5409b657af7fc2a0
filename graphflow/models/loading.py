"""From a recipe's files to modules with weights: the parts of checkpoints, folders and single files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from graphflow.detect import Detected, Header, Part, count, detect, layout_of, require
from graphflow.errors import UnsupportedFile
from graphflow.models import autoencoders, language, vision
from graphflow.models.control import KINDS, UNETS, ControlContent, OnBase, config_below, hint_config
from graphflow.models.families import Facts, TextPart, family
from graphflow.models.layouts import Layout, flat_clip, open_clip, same
from graphflow.models.lora import shapes_of
from graphflow.models.networks import NetworkContent
from graphflow.models.residency import Policy
from graphflow.models.text import ClipEncoder, Encoder, TextContent
from graphflow.models.tokenizers import Vocabulary, of_folder, of_sentencepiece
from graphflow.models.tokenizers import clip as clip_vocabulary
from graphflow.models.vae import Pixels, VaeContent
from graphflow.models.vision import StyleContent, VisionContent
from graphflow.models.weights import Tensors, Under, fill, hollow, opened
from graphflow.node import File
from graphflow.values import Weights


@dataclass(frozen=True)
class Source:
    """An open file, what it is, and the configs that come with it."""

    file: File
    header: Header
    tensors: Tensors
    found: Detected

    def part(self, name: str) -> tuple[Part, Header, Tensors]:
        """A part's own header and tensors, without prefix. Raises `UnsupportedFile` when the file has none."""
        part = require(self.found, self.file.path, part=name)
        prefix = f"{part.prefix}." if self.header.format == "diffusers" else part.prefix
        return part, self.header.under(prefix), Under(self.tensors, prefix)

    def config(self, part: Part, *folders: str) -> dict[str, Any] | None:
        """A part's config, from the diffusers folder or from `NAME.config` beside the file; None without one."""
        if self.header.format == "diffusers":
            return dict(self.header.metadata.get(part.prefix, {}))
        return next((found for folder in folders if (found := read_config(self.beside / folder / "config.json"))), None)

    @property
    def beside(self) -> Path:
        """Where configs that override detection lie: `NAME.config` beside `NAME.safetensors`, or the folder itself."""
        return self.file.path if self.header.format == "diffusers" else self.file.path.with_suffix(".config")

    @property
    def scheduler(self) -> Mapping[str, Any]:
        """The scheduler's config, empty without one."""
        return read_config(self.beside / "scheduler" / "scheduler_config.json") or {}


def read_config(path: Path) -> dict[str, Any] | None:
    """A JSON object, without the keys that begin with an underscore; None when there is no such file."""
    if not path.is_file():
        return None
    try:
        return {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if not k.startswith("_")}
    except (ValueError, AttributeError) as error:
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is no JSON object: {error}") from error


@contextmanager
def source(file: File) -> Iterator[Source]:
    """A file, open."""
    with opened(file.path) as (header, tensors):
        yield Source(file, header, tensors, detect(file.path))


# --- networks --------------------------------------------------------------------------------------------------------


def network_config(src: Source) -> tuple[dict[str, Any], bool]:
    """The config of a file's network, and whether its names are diffusers'."""
    part, header, _ = src.part("model")
    kind = family(part.family)
    ours = src.header.format == "diffusers" or layout_of(src.header, part) == "diffusers"
    found = src.config(part, "unet", "transformer")
    return found or kind.config(as_original(header, kind.layout) if ours else header), ours


def network_shapes(weights: Weights) -> Mapping[str, tuple[int, ...]]:
    """The shapes of a network's parameters, from its header alone."""
    with source(weights.files[0]) as src:
        config, _ = network_config(src)
        return shapes_of(hollow(lambda: family(weights.family).build(config)))


def load_network(weights: Weights, policy: Policy) -> NetworkContent:
    """The denoising network of a file."""
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("model")
        kind = family(part.family)
        config, ours = network_config(src)
        layout: Layout = same if ours else kind.layout
        facts = Facts(header, config, src.scheduler, src.found.details, tensors.get)
        module = hollow(lambda: kind.build(config))
        dtype = policy.dtype(kind.dtypes)
        fill(module, tensors, layout, dtype=dtype, name=weights.files[0].name)
        kind.finish(module, lambda key: src.tensors.get(key) if key in src.header.tensors else None)
        store(module, storage(weights, src.found), dtype)
        return NetworkContent(module, kind, facts, dtype)


def storage(weights: Weights, found: Detected) -> torch.dtype | None:
    """fp8, if the loading node asked for it or the file is kept so; None for as the network computes."""
    if weights.dtype:
        return torch.float8_e5m2 if weights.dtype == "fp8_e5m2" else torch.float8_e4m3fn
    return {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}.get(found.dtype)


def store(module: nn.Module, kept: torch.dtype | None, computed: torch.dtype) -> None:
    """Keeps the weights of linear layers and convolutions in fp8, each cast for the moment it is used."""
    if kept is not None:
        from diffusers.hooks import apply_layerwise_casting

        apply_layerwise_casting(module, kept, computed, skip_modules_pattern=("norm", "embed", "proj_out$", "conv_out"))


def as_original(header: Header, layout: Layout) -> Header:
    """The header that the same network would have in the original layout."""
    tensors = {}
    for entry in layout(header.tensors):
        parts = [header.tensors[name] for name in entry.ours if name in header.tensors]
        rows = sum(part.shape[0] for part in parts if part.shape)
        tensors[entry.theirs] = replace(parts[0], shape=(rows, *parts[0].shape[1:]) if parts[0].shape else ())
    return replace(header, tensors=tensors)


def load_control(weights: Weights, policy: Policy) -> ControlContent:
    """The ControlNet of a file or folder."""
    if ("kind", "lora") in weights.options:
        return _load_control_lora(weights, policy)
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("controlnet")
        if part.family not in KINDS:
            raise UnsupportedFile(f"{src.file.name} is a ControlNet of a kind that cannot be used: {part.family}")
        kind = KINDS["union" if src.found.details.get("union") else part.family]
        original = kind.original(header)
        config = read_config(src.beside / "config.json") or kind.config(
            header if original else as_original(header, kind.layout)
        )
        module = hollow(lambda: kind.build(config))
        dtype = policy.dtype(kind.dtypes)
        fill(module, tensors, kind.layout if original else same, dtype=dtype, name=src.file.name)
        return ControlContent(module, kind, dtype)


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


def load_vision(weights: Weights, policy: Policy) -> VisionContent:
    """The image encoder of a file."""
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("clip_vision")
        opened_ = vision.is_open_clip(header)
        header = vision.renamed(header) if opened_ else header
        siglip = vision.is_siglip(header)
        config = src.config(part, "image_encoder") or vision.config(header)
        module = hollow(lambda: vision.build(config, siglip=siglip))
        if not siglip and "visual_projection.weight" not in header.tensors:
            module.visual_projection = nn.Identity()
        dtype = policy.dtype(("float16",))
        fill(module, tensors, vision.open_clip if opened_ else vision.layout, dtype=dtype, name=src.file.name)
        return VisionContent(module, dtype, int(config["image_size"]), siglip)


def load_style(weights: Weights, policy: Policy) -> StyleContent:
    """The style model of a file."""
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("style_model")
        if part.family != "flux":
            raise UnsupportedFile(f"{src.file.name} is a style model of {part.family}, which cannot be used")
        inner, seen = header.shape("redux_up.weight")
        module = hollow(lambda: vision.Redux(seen, inner, header.shape("redux_down.weight")[0]))
        dtype = policy.dtype(("bfloat16",))
        fill(module, tensors, same, dtype=dtype, name=src.file.name)
        return StyleContent(module, dtype)


# --- text encoders ---------------------------------------------------------------------------------------------------


def load_text(weights: Weights, policy: Policy) -> TextContent:
    """The text encoders of a family, out of one checkpoint or of a file each, in any order."""
    kind = family(weights.family)
    if ("device", "cpu") in weights.options:
        policy = Policy(torch.device("cpu"), policy.forced)
    with contextlib.ExitStack() as stack:
        held = [held for file in weights.files for held in _encoders(stack.enter_context(source(file)))]
        encoders = {role.role: _load_encoder(src, part, role, policy) for role, src, part in assign(kind.text, held)}
    if not encoders:
        names = ", ".join(file.name for file in weights.files)
        raise UnsupportedFile(f"{names} holds no text encoder of {kind.title}")
    return TextContent(list(encoders.values()), tuple(encoders), kind)


Held = tuple[Source, Part]


def _encoders(src: Source) -> list[Held]:
    return [(src, part) for part in src.found.parts if part.name not in ("model", "vae", "clip_vision")]


def assign(wanted: Sequence[TextPart], held: Sequence[Held]) -> Iterator[tuple[TextPart, Source, Part]]:
    """Which encoder of the files plays which role: by kind; CLIPs of unusual widths in the order of their widths."""
    left = sorted(held, key=lambda one: _width(*one) if one[1].name.startswith("clip_") else 0)
    unmet = []
    for role in wanted:
        match = next((one for one in left if _same_kind(one[1].name, role.name)), None)
        if match is None:
            unmet.append(role)
        else:
            left.remove(match)
            yield role, *match
    clips = [one for one in left if one[1].name.startswith("clip_")]
    for role, one in zip((role for role in unmet if role.name.startswith("clip_")), clips, strict=False):
        yield role, *one


_ALIKE = ({"t5", "umt5"}, {"qwen25", "qwen25_vl"}, {"qwen3", "mistral3", "llama_3"})


def _same_kind(one: str, other: str) -> bool:
    return one == other or any({one, other} <= alike for alike in _ALIKE)


def _width(src: Source, part: Part) -> int:
    _, header, _ = src.part(part.name)
    keys = (
        "text_model.embeddings.token_embedding.weight",
        "embeddings.token_embedding.weight",
        "token_embedding.weight",
    )
    return next((shape[1] for key in keys if (shape := header.shape(key))), 0)


def _load_encoder(src: Source, part: Part, wanted: TextPart, policy: Policy) -> Encoder:
    _, header, tensors = src.part(part.name)
    if part.name.startswith("clip_"):
        return _load_clip(src, part, wanted, policy)
    config = src.config(part, wanted.folder or "text_encoder") or language.config(part.name, header)
    module = hollow(lambda: language.build(part.name, config))
    layout = language.t5_layout(header) if language.is_sequence(part.name) else language.layout(header)
    fill(module, tensors, layout, dtype=policy.dtype(("bfloat16", "float16")), name=src.file.name)
    return language.make(wanted)(wanted.name, module, _vocabulary(src, part, header, tensors), wanted)


def _load_clip(src: Source, part: Part, wanted: TextPart, policy: Policy) -> Encoder:
    _, header, tensors = src.part(part.name)
    config = src.config(part, wanted.folder, "text_encoder") or clip_config(wanted.name, header)
    module = hollow(lambda: _clip_module(config))
    if not (header.shape("text_projection.weight") or header.shape("text_projection")):
        module.text_projection = None  # type: ignore[assignment]  # the file has none: the pooled output is as it is
    dtype = policy.dtype(("float16",))
    fill(module, tensors, clip_layout(header), dtype=dtype, name=src.file.name, through=policy.text)
    folder = _tokenizer_folder(src, part)
    vocabulary = of_folder(folder, wanted.pad) if folder else clip_vocabulary(wanted.pad)
    return ClipEncoder(wanted.name, module, vocabulary, wanted.layer, wanted.norm)


def _tokenizer_folder(src: Source, part: Part) -> Path | None:
    inside = src.header.format == "diffusers"
    folder = src.beside / (part.prefix.replace("text_encoder", "tokenizer") if inside else "tokenizer")
    return folder if folder.is_dir() else None


def _vocabulary(src: Source, part: Part, header: Header, tensors: Tensors) -> Vocabulary:
    """The tokenizer beside the file, or the one inside it."""
    if folder := _tokenizer_folder(src, part):
        return of_folder(folder)
    if "spiece_model" in header.tensors:
        return of_sentencepiece(tensors.get("spiece_model").numpy().tobytes())
    raise UnsupportedFile(
        f"{src.file.name} comes without its tokenizer: put the tokenizer's files (tokenizer.json, tokenizer_config.json) "
        f"into the folder {src.beside.name}/tokenizer beside it"
    )


def _clip_module(config: Mapping[str, Any]) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(CLIPTextConfig(**config))


def clip_layout(header: Header) -> Layout:
    """How a CLIP text model's file names its tensors."""
    if "transformer.resblocks.0.ln_1.weight" in header.tensors:
        return open_clip
    return same if any(key.startswith("text_model.") for key in header.tensors) else flat_clip


def clip_config(name: str, header: Header) -> dict[str, Any]:
    """A CLIP text model's config by the shapes of its file."""
    opened = "transformer.resblocks.0.ln_1.weight" in header.tensors
    table = header.shape("token_embedding.weight" if opened else "text_model.embeddings.token_embedding.weight")
    layer = "transformer.resblocks.{}." if opened else "text_model.encoder.layers.{}."
    inner = header.shape(layer.format(0) + ("mlp.c_fc.weight" if opened else "mlp.fc1.weight"))
    return {
        "vocab_size": table[0],
        "hidden_size": table[1],
        "intermediate_size": inner[0],
        "num_hidden_layers": count(header, layer),
        "num_attention_heads": max(1, table[1] // 64),
        "projection_dim": (header.shape("text_projection") or header.shape("text_projection.weight") or table[1:])[-1],
        "hidden_act": "quick_gelu" if name == "clip_l" else "gelu",
        "max_position_embeddings": 77,
    }


# --- autoencoders ----------------------------------------------------------------------------------------------------


def load_vae(weights: Weights, policy: Policy) -> VaeContent:
    """The autoencoder of a file; without a file, pixels as they are."""
    if not weights.files:
        return VaeContent(Pixels(), torch.float32, 1, 3)
    with source(weights.files[0]) as src:
        part, header, tensors = src.part("vae")
        ours = src.header.format == "diffusers" or layout_of(src.header, part) == "diffusers"
        config = src.config(part, "vae") or autoencoders.config(part.family, header)
        kind = autoencoders.kind_of(part.family, header, config)
        module = hollow(lambda: autoencoders.build(kind, config))
        dtype = policy.dtype(("bfloat16",))
        layout = same if ours else autoencoders.LAYOUTS.get(part.family, same)
        fill(module, tensors, layout, dtype=dtype, name=weights.files[0].name)
        return autoencoders.content(kind, module, dtype, config, weights.family)

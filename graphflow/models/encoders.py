"""Text encoders from files: which plays which role, loaded, or one weight at a time to mix and to save them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from graphflow.detect import Header, Part, count
from graphflow.errors import UnsupportedFile
from graphflow.families import TextPart, family
from graphflow.layouts import Entry, Layout, flat_clip, open_clip, same
from graphflow.models import language
from graphflow.models.lora import Targets
from graphflow.models.merged import lora_changes, weight_patches
from graphflow.models.merging import Change, Mix, Scale, Stream, mixed
from graphflow.models.packed import pack, shapes_of
from graphflow.models.residency import Policy, residency
from graphflow.models.sources import Source, source
from graphflow.models.tensors import Tensors
from graphflow.models.text import ClipEncoder, Encoder, TextContent
from graphflow.models.tokenizers import MARKS, Vocabulary, lying_in, of_folder, of_gguf, of_sentencepiece
from graphflow.models.tokenizers import clip as clip_vocabulary
from graphflow.models.weights import fill, hollow
from graphflow.values import Lora, Patch, Weights


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
    return TextContent(list(encoders.values()), tuple(encoders), kind, text_streams)


Held = tuple[Source, Part]


def _encoders(src: Source) -> list[Held]:
    return [(src, part) for part in src.found.parts if part.name not in ("model", "vae", "clip_vision")]


def assign(wanted: Sequence[TextPart], held: Sequence[Held]) -> Iterator[tuple[TextPart, Source, Part]]:
    """Which encoder of the files plays which role, in the roles' order: by kind; CLIPs of unusual widths by width."""
    left = sorted(held, key=lambda one: _width(*one) if one[1].name.startswith("clip_") else 0)
    found: dict[str, Held] = {}
    for role in wanted:
        if match := next((one for one in left if _same_kind(one[1].name, role.name)), None):
            left.remove(match)
            found[role.role] = match
    clips = [one for one in left if one[1].name.startswith("clip_")]
    unmet = [role for role in wanted if role.role not in found and role.name.startswith("clip_")]
    found |= {role.role: one for role, one in zip(unmet, clips, strict=False)}
    yield from ((role, *found[role.role]) for role in wanted if role.role in found)


_ALIKE = ({"t5", "umt5"}, {"qwen25", "qwen25_vl"}, {"mistral3", "llama"})


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
    module, layout = _hollow_encoder(src, part, wanted)
    done = pack(module, tensors, layout, src.file.name)
    if not part.name.startswith("clip_"):
        fill(module, tensors, layout, dtype=policy.dtype(("bfloat16", "float16")), name=src.file.name, done=done)
        return language.make(wanted)(wanted.name, module, _vocabulary(src, part, header, tensors), wanted)
    fill(module, tensors, layout, dtype=policy.dtype(("float16",)), name=src.file.name, through=policy.text, done=done)
    folder = _tokenizer_folder(src, part)
    vocabulary = of_folder(folder, wanted.pad) if folder else clip_vocabulary(wanted.pad)
    return ClipEncoder(wanted.name, module, vocabulary, wanted.layer, wanted.norm)


def _hollow_encoder(src: Source, part: Part, wanted: TextPart) -> tuple[nn.Module, Layout]:
    """An encoder without weights, and how its file names them."""
    _, header, _ = src.part(part.name)
    if not part.name.startswith("clip_"):
        config = src.config(part, wanted.folder, "text_encoder") or language.config(part.name, header)
        module: Any = hollow(lambda: language.build(wanted.name if wanted.name == "mistral3" else part.name, config))
        if wanted.layers and config.get("num_hidden_layers") == max(wanted.layers):
            module.norm = nn.Identity()  # a file cut after the last layer that is looked at, which is taken as it is
        return module, language.t5_layout(header) if language.is_sequence(part.name) else language.layout(header)
    config = src.config(part, wanted.folder, "text_encoder") or clip_config(wanted.name, header)
    module = hollow(lambda: _clip_module(config))
    if not (header.shape("text_projection.weight") or header.shape("text_projection")):
        module.text_projection = None  # type: ignore[assignment]  # the file has none: the pooled output is as it is
    return module, clip_layout(header)


def _tokenizer_folder(src: Source, part: Part) -> Path | None:
    inside = src.header.format == "diffusers"
    folder = src.beside / (part.prefix.replace("text_encoder", "tokenizer") if inside else "tokenizer")
    return folder if folder.is_dir() else None


def _vocabulary(src: Source, part: Part, header: Header, tensors: Tensors) -> Vocabulary:
    """The tokenizer beside the file, the one inside it, or that of all encoders of its kind in the folder."""
    marks = MARKS[part.name] if part.name in MARKS else MARKS["qwen3"]
    shared = src.file.path.parent / "tokenizers" / part.name
    for folder in (_tokenizer_folder(src, part), shared):
        if folder is not None and (vocabulary := lying_in(folder, marks)):
            return vocabulary
    if "spiece_model" in header.tensors:
        return of_sentencepiece(tensors.get("spiece_model").numpy().tobytes())
    if "tokenizer.ggml.tokens" in src.header.metadata:
        return of_gguf(src.file.path)
    raise UnsupportedFile(
        f"{src.file.name} comes without its tokenizer: put the file tokenizer.json of {marks.whose} into the folder "
        f"{src.beside.name}/tokenizer beside it, or for all such encoders there into tokenizers/{part.name}"
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


# --- one weight at a time --------------------------------------------------------------------------------------------

OPEN_CLIP = {("sd2", "clip_h"), ("sdxl", "clip_g"), ("sdxl_refiner", "clip_g")}
"""Encoders that a family's checkpoints hold in OpenCLIP's layout."""


@contextlib.contextmanager
def text_streams(weights: Weights, patches: tuple[Patch, ...]) -> Iterator[dict[str, Stream]]:
    """By encoder (`clip_l`, `t5`, ...), its weights with the patches, in the order of the family's roles."""
    kind = family(weights.family)
    residency().check(weights.files)
    with contextlib.ExitStack() as stack:
        held = [held for file in weights.files for held in _encoders(stack.enter_context(source(file)))]
        streams, targets = {}, Targets()
        for role, src, part in assign(kind.text, held):
            module, layout = _hollow_encoder(src, part, role)
            shapes = shapes_of(module)
            targets.add_encoder(role.name, shapes)
            names = stored(weights.family, role.name)
            streams[role.name] = Stream(src.part(part.name)[2], layout, names, shapes, [])
        for patch in weight_patches(patches):
            for name, change in stack.enter_context(_changes(patch, targets, streams)).items():
                streams[name].changes.append(change)
        yield streams


@contextlib.contextmanager
def _changes(patch: Patch, targets: Targets, streams: Mapping[str, Stream]) -> Iterator[Mapping[str, Change]]:
    shapes = {name: stream.shapes for name, stream in streams.items()}
    if isinstance(patch, Mix):
        with text_streams(patch.weights, patch.patches) as second:
            yield {name: mixed(patch, second[name]) for name in shapes if name in second}
    elif isinstance(patch, Scale):
        yield dict.fromkeys(shapes, patch.apply)
    else:
        assert isinstance(patch, Lora)
        with lora_changes(patch, targets, shapes) as changes:
            yield changes


def stored(family: str, name: str) -> Layout:
    """How a family's checkpoints name an encoder's tensors, after the prefix."""
    if (family, name) in OPEN_CLIP:
        return open_clip
    if language.is_sequence(name):
        return _sequence
    return same if name.startswith("clip_") else _language


def _sequence(names: Iterable[str]) -> list[Entry]:
    """T5's table of tokens has two names and is kept once."""
    return [Entry(name, (name,)) for name in names if name != "encoder.embed_tokens.weight"]


def _language(names: Iterable[str]) -> list[Entry]:
    return [Entry(f"model.{name}", (name,)) for name in names]

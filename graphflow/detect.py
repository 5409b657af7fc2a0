"""What a model file is, from its header alone: family, parts, dtype, and what it lacks.

Nothing here reads a weight or imports torch, so that planning and `graphflow models` may ask about every file. Pickles
are refused, and so is a header that cannot be true: too long, truncated, with tensors that overlap or lie outside the
file.

Detection is a table: `SIGNATURES` lists, for each part of each family, which tensors are there and how they are shaped.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from graphflow.errors import NotFound, UnsupportedFile
from graphflow.gguf_names import renaming

HEADER_LIMIT = 100_000_000
"""Bytes; the longest header that safetensors itself accepts."""

Kind = Literal[
    "checkpoint", "model", "text_encoder", "vae", "lora", "controlnet", "t2i_adapter", "ip_adapter", "clip_vision",
    "style_model", "embedding", "upscale_model", "unknown",
]  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A tensor as its header describes it."""

    dtype: str
    """As safetensors names it: `F32`, `F16`, `BF16`, `F8_E4M3`; for GGUF the type's name, such as `Q8_0`."""
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Header:
    """All that a file says of itself before its data."""

    path: Path
    format: Literal["safetensors", "gguf", "diffusers"]
    tensors: Mapping[str, Entry]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor, empty when there is no such tensor."""
        entry = self.tensors.get(key)
        return entry.shape if entry else ()

    def under(self, prefix: str) -> Header:
        """Only the tensors whose names begin with `prefix`, which is cut off."""
        cut = len(prefix)
        return replace(self, tensors={k[cut:]: e for k, e in self.tensors.items() if k.startswith(prefix)})


@dataclass(frozen=True)
class Part:
    """A component that a file holds."""

    name: str
    """`model`, `clip_l`, `clip_g`, `t5`, `vae`, `clip_vision`, ..."""
    family: str
    prefix: str
    """What stands before the component's own tensor names; of a diffusers folder, the subfolder."""


@dataclass(frozen=True)
class Detected:
    """What a file is."""

    kind: Kind
    family: str
    """Name of the family in `graphflow.models.families`; empty where the file fits several or none."""
    parts: tuple[Part, ...] = ()
    dtype: str = ""
    """The dtype that most bytes have."""
    format: str = "safetensors"
    parameters: int = 0
    lacks: tuple[str, ...] = ()
    """Parts that a checkpoint of this family usually has and this file has not."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """`in_channels`, `latent_channels`, `prediction`, ..."""

    def part(self, name: str) -> Part | None:
        """The part of that name."""
        return next((part for part in self.parts if part.name == name), None)


# --- headers ---------------------------------------------------------------------------------------------------------

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")


def read_header(path: Path) -> Header:
    """The header of a safetensors or GGUF file, of the shards that an index names, or of a diffusers folder.

    Raises `NotFound`, or `UnsupportedFile` for a pickle and for a file that is damaged.
    """
    if path.is_dir():
        return _folder_header(path)
    if not path.is_file():
        raise NotFound(f"{path.name} is not there; was it moved or deleted?")
    if path.name.endswith(".index.json"):
        return _sharded_header(path)
    with path.open("rb") as stream:
        start = stream.read(9)
        stream.seek(0)
        if start[:4] == b"GGUF":
            return _gguf_header(path, stream)
        _refuse_pickles(path, start)
        return _safetensors_header(path, stream)


def _refuse_pickles(path: Path, start: bytes) -> None:
    looks = start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))
    looks = (
        looks and start[8:] != b"{"
    )  # else it is a safetensors header whose length happens to begin with these bytes
    if looks or path.suffix.lower() in PICKLES:
        raise UnsupportedFile(
            f"{path.name} is a pickle, which can run any program when it is opened, so it is refused. "
            "Get the model as .safetensors, or convert it: torch.load(..., weights_only=True) in a Python of your own, "
            "then safetensors.torch.save_file"
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands twice in the header")
    return found


def _safetensors_header(path: Path, stream: BinaryIO) -> Header:
    size = path.stat().st_size
    if size < 8:
        raise UnsupportedFile(f"{path.name} is empty or cut off: {size} bytes are no safetensors file")
    length = int.from_bytes(stream.read(8), "little")
    if length > HEADER_LIMIT:
        raise UnsupportedFile(f"{path.name} is no safetensors file: its header claims {length:,} bytes")
    if length + 8 > size:
        raise UnsupportedFile(f"{path.name} is cut off: its header needs {length:,} bytes, the file has {size:,}")
    try:
        tree = json.loads(stream.read(length), object_pairs_hook=_unique)
        if not isinstance(tree, dict):
            raise ValueError("the header is no object")
        metadata = tree.pop("__metadata__", None) or {}
        spans = sorted((*_span(name, entry), name) for name, entry in tree.items())
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise UnsupportedFile(f"{path.name} has a damaged header: {error}") from error
    _check_spans(path, spans, size - 8 - length)
    tensors = {name: Entry(e["dtype"], tuple(e["shape"]), _nbytes(e)) for name, e in tree.items()}
    return Header(path, "safetensors", tensors, metadata)


def _nbytes(entry: Mapping[str, Any]) -> int:
    return math.prod(entry["shape"]) * _BITS[entry["dtype"]] // 8


def _span(name: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    if entry["dtype"] not in _BITS:
        raise ValueError(f"{name!r} has the unknown dtype {entry['dtype']!r}")
    if any(not isinstance(n, int) or n < 0 for n in (begin, end, *entry["shape"])):
        raise ValueError(f"{name!r} has a negative or broken size")
    if end - begin != _nbytes(entry):
        raise ValueError(
            f"{name!r} has {end - begin:,} bytes where its shape {entry['shape']} needs {_nbytes(entry):,}"
        )
    return begin, end


def _check_spans(path: Path, spans: Sequence[tuple[int, int, str]], data: int) -> None:
    position = 0
    for begin, end, name in spans:
        if begin < position:
            raise UnsupportedFile(f"{path.name} has a damaged header: {name!r} overlaps the tensor before it")
        position = end
    if position > data:
        raise UnsupportedFile(f"{path.name} is cut off: its tensors need {position:,} bytes, the file has {data:,}")


def _sharded_header(path: Path) -> Header:
    try:
        places: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(places.values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UnsupportedFile(f"{path.name} is no index of a sharded file: {error!r}") from error
    if any(Path(name).name != name for name in names):
        raise UnsupportedFile(f"{path.name} names a shard outside its folder")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise NotFound(f"{path.name}: {len(missing)} of {len(names)} shards are missing, the first is {missing[0]}")
    tensors: dict[str, Entry] = {}
    for name in names:
        shard = read_header(path.parent / name).tensors
        if twice := sorted(tensors.keys() & shard.keys()):
            raise UnsupportedFile(f"{path.name}: {twice[0]!r} stands in {name} and in a shard before it")
        tensors |= shard
    if lacking := sorted(places.keys() - tensors.keys()):
        raise UnsupportedFile(
            f"{path.name}: no shard has {lacking[0]!r}, which the index puts into {places[lacking[0]]}"
        )
    return Header(path, "safetensors", tensors)


def _folder_header(path: Path) -> Header:
    index = path / "model_index.json"
    if not index.is_file():
        raise UnsupportedFile(f"{path.name} is a folder without model_index.json; it is no diffusers model")
    metadata: dict[str, Any] = {"model_index": _json(index)}
    tensors: dict[str, Entry] = {}
    for config in sorted(path.glob("*/*config.json")):
        folder = config.parent.name
        if config.name in ("config.json", "scheduler_config.json"):
            metadata[folder] = _json(config)
        if config.name == "config.json" and (weights := weights_file(config.parent)):
            tensors |= {f"{folder}.{k}": e for k, e in read_header(weights).tensors.items()}
    return Header(path, "diffusers", tensors, metadata)


def weights_file(folder: Path) -> Path | None:
    """The safetensors file of a component's folder: the plain one, the index of a sharded one, or a variant."""
    for stem in ("diffusion_pytorch_model", "model"):
        for pattern in (f"{stem}.safetensors", f"{stem}.safetensors.index.json"):
            if (folder / pattern).is_file():
                return folder / pattern
        variants = sorted(folder.glob(f"{stem}.*.safetensors")) + sorted(folder.glob(f"{stem}.*index*.json"))
        if variants:
            return next((v for v in variants if ".fp16." in v.name), variants[0])
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is no JSON object")
    return tree


# --- GGUF ------------------------------------------------------------------------------------------------------------

_GGUF_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_GGUF_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 20: ("IQ4_NL", 32, 18),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 28: ("F64", 1, 8),
    30: ("BF16", 1, 2),
}  # fmt: skip
"""Type number: its name, and how many values a block of how many bytes holds."""


LONG = 1024
"""Items of a list in a GGUF header, above which it is passed over: vocabularies are of no use for detection."""


class _Reader:
    """Reads numbers from a GGUF file, never past its end."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size

    def number(self, code: str) -> Any:
        length = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self.take(length))[0]

    def take(self, length: int) -> bytes:
        if length > self.size - self.stream.tell():
            raise ValueError("the header runs past the end of the file")
        return self.stream.read(length)

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.number("I"), self.number("Q")
            if count > self.size:
                raise ValueError("a list in the header is longer than the file")
            return self._skip(inner, count) if count > LONG else [self.value(inner) for _ in range(count)]
        return self.number(_GGUF_SCALARS[kind])

    def _skip(self, kind: int, count: int) -> int:
        """Passes over a long list, such as a vocabulary; gives its length."""
        if kind in _GGUF_SCALARS:
            self._over(count * struct.calcsize("<" + _GGUF_SCALARS[kind]))
        else:
            for _ in range(count):
                if kind == 8:
                    self._over(self.number("Q"))
                else:
                    self.value(kind)
        return count

    def _over(self, length: int) -> None:
        if length > self.size - self.stream.tell():
            raise ValueError("the header runs past the end of the file")
        self.stream.seek(length, 1)


def _gguf_header(path: Path, stream: BinaryIO) -> Header:
    size = path.stat().st_size
    reader = _Reader(stream, size)
    try:
        reader.take(4)
        if (version := reader.number("I")) not in (2, 3):
            raise ValueError(f"version {version} is not known")
        count, pairs = reader.number("Q"), reader.number("Q")
        if count > size or pairs > size:
            raise ValueError(f"it claims {count:,} tensors")
        metadata = {reader.text(): reader.value(reader.number("I")) for _ in range(pairs)}
        infos = [_gguf_tensor(reader) for _ in range(count)]
        alignment = int(metadata.get("general.alignment", 32))
        data = size - -(-stream.tell() // alignment) * alignment
        end = _end_of(infos)
    except (ValueError, KeyError, struct.error, ZeroDivisionError, RecursionError) as error:
        raise UnsupportedFile(f"{path.name} is a damaged GGUF file: {error}") from error
    if end > data:
        raise UnsupportedFile(f"{path.name} is cut off: its tensors need {end:,} bytes, the file has {max(data, 0):,}")
    shapes = {
        k.removeprefix(_SHAPE): tuple(v) for k, v in metadata.items() if k.startswith(_SHAPE) and isinstance(v, list)
    }
    usual = renaming(str(metadata.get("general.architecture", "")))
    tensors = {usual(name): replace(entry, shape=shapes.get(name, entry.shape)) for name, entry, _ in infos}
    return Header(path, "gguf", tensors, metadata)


def _end_of(infos: Sequence[tuple[str, Entry, int]]) -> int:
    """Where the last tensor ends. Raises `ValueError` for two of one name, and for one that lies on another."""
    names = [name for name, _, _ in infos]
    if len(set(names)) != len(names):
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} stands twice in the header")
    position = 0
    for name, entry, offset in sorted(infos, key=lambda info: info[2]):
        if offset < position:
            raise ValueError(f"{name!r} overlaps the tensor before it")
        position = offset + entry.nbytes
    return position


_SHAPE = "comfy.gguf.orig_shape."
"""Before a tensor's name: the shape it has, where the format's four axes are too few."""


def _gguf_tensor(reader: _Reader) -> tuple[str, Entry, int]:
    name, dims = reader.text(), reader.number("I")
    if dims > 8:
        raise ValueError(f"{name!r} has {dims} dimensions")
    shape = tuple(reversed([reader.number("Q") for _ in range(dims)]))
    label, block, nbytes = _GGUF_TYPES[reader.number("I")]
    offset = reader.number("Q")
    return name, Entry(label, shape, math.prod(shape) // block * nbytes), offset


def count(header: Header, pattern: str) -> int:
    """How many numbers in a row, from 0, stand in tensors' names where `{}` stands in `pattern`, their beginning."""
    n = 0
    while any(key.startswith(pattern.format(n)) for key in header.tensors):
        n += 1
    return n


# --- families --------------------------------------------------------------------------------------------------------

Shape = tuple[str, int, Callable[[int], bool]]
"""A tensor's name, an axis, and what must hold for its length there."""


@dataclass(frozen=True)
class Signature:
    """How a part of a family is recognised: tensors that are there, tensors that are not, and shapes."""

    part: str
    family: str
    has: tuple[str, ...]
    without: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    ndim: tuple[tuple[str, int], ...] = ()
    layout: str = ""
    """`diffusers` where the names are those of diffusers' classes."""

    def matches(self, header: Header, prefix: str) -> bool:
        """Whether the tensors under `prefix` are this part."""
        tensors = header.tensors
        return (
            all(prefix + key in tensors for key in self.has)
            and not any(prefix + key in tensors for key in self.without)
            and all(len(header.shape(prefix + key)) == n for key, n in self.ndim)
            and all(_length(header, prefix + key, axis, test) for key, axis, test in self.shapes)
        )


def _length(header: Header, key: str, axis: int, test: Callable[[int], bool]) -> bool:
    shape = header.shape(key)
    return len(shape) > axis and test(shape[axis])


_UNET = ("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight")
_UNET_D = ("down_blocks.0.resnets.0.norm1.weight", "time_embedding.linear_1.weight", "conv_in.weight")
_PROJ = "middle_block.1.proj_in.weight"
_PROJ_D = "mid_block.attentions.0.proj_in.weight"
_DEEP = "middle_block.1.transformer_blocks.1.attn1.to_q.weight"

UNCLIP_WIDTHS = (1536, 2048)
"""What the networks of unCLIP take beside the time: an image embedding of CLIP-L or CLIP-H, and as many numbers of noise."""

MODELS: tuple[Signature, ...] = (
    Signature("model", "sd2", _UNET, shapes=(("label_emb.0.0.weight", 1, lambda n: n in UNCLIP_WIDTHS),)),
    Signature("model", "sdxl_refiner", (*_UNET, "label_emb.0.0.weight", "input_blocks.11.0.in_layers.0.weight")),
    Signature("model", "sdxl", (*_UNET, "label_emb.0.0.weight")),
    Signature("model", "sd2", _UNET, ndim=((_PROJ, 2),)),
    Signature("model", "sd15", _UNET, ndim=((_PROJ, 4),)),
    Signature(
        "model", "sdxl_refiner", (*_UNET_D, "add_embedding.linear_1.weight", "down_blocks.3.resnets.0.norm1.weight"),
        layout="diffusers",
    ),
    Signature("model", "sdxl", (*_UNET_D, "add_embedding.linear_1.weight"), layout="diffusers"),
    Signature("model", "sd2", _UNET_D, ndim=((_PROJ_D, 2),), layout="diffusers"),
    Signature("model", "sd15", _UNET_D, ndim=((_PROJ_D, 4),), layout="diffusers"),
    Signature("model", "sd3", ("joint_blocks.0.context_block.adaLN_modulation.1.weight", "x_embedder.proj.weight")),
    Signature(
        "model", "sd3", ("transformer_blocks.0.norm1_context.linear.weight", "pos_embed.proj.weight"),
        layout="diffusers",
    ),
    Signature("model", "chroma", ("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.weight")),
    Signature("model", "flux2", ("double_stream_modulation_img.lin.weight", "img_in.weight")),
    Signature("model", "flux", ("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "vector_in.in_layer.weight")),
    Signature(
        "model", "chroma", ("transformer_blocks.0.attn.to_q.weight", "distilled_guidance_layer.in_proj.weight"),
        layout="diffusers",
    ),
    Signature(
        "model", "flux2", ("transformer_blocks.0.attn.to_q.weight", "double_stream_modulation_img.linear.weight"),
        layout="diffusers",
    ),
    Signature(
        "model", "flux", ("transformer_blocks.0.attn.add_q_proj.weight", "single_transformer_blocks.0.proj_mlp.weight"),
        layout="diffusers",
    ),
    Signature(
        "model", "qwen_image", ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"), layout="diffusers",
    ),
    Signature("model", "z_image", ("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight")),
    Signature("model", "lumina2", ("layers.0.adaLN_modulation.1.weight", "cap_embedder.0.weight")),
    Signature("model", "lumina2", ("layers.0.norm1.linear.weight", "time_caption_embed.caption_embedder.0.weight"),
              layout="diffusers"),
    Signature("model", "auraflow", ("double_layers.0.attn.w1q.weight", "cond_seq_linear.weight")),
    Signature("model", "auraflow", ("joint_transformer_blocks.0.attn.add_q_proj.weight", "register_tokens"),
              layout="diffusers"),
    Signature("model", "sana", ("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.inverted_conv.conv.weight")),
    Signature("model", "sana", ("transformer_blocks.0.ff.conv_inverted.weight", "caption_projection.linear_1.weight"),
              layout="diffusers"),
    Signature("model", "hidream", ("double_stream_blocks.0.block.adaLN_modulation.1.weight",)),
    Signature("model", "wan", ("head.modulation", "blocks.0.cross_attn.norm_k.weight", "patch_embedding.weight")),
    Signature("model", "wan", ("condition_embedder.time_proj.weight", "blocks.0.attn2.norm_k.weight"),
              layout="diffusers"),
)  # fmt: skip
"""Denoising networks; the first that matches wins."""

_CLIP = "text_model.encoder.layers.0.layer_norm1.weight"
_OPEN_CLIP = "transformer.resblocks.0.ln_1.weight"
_T5 = "encoder.block.0.layer.0.SelfAttention.q.weight"
_LLM = "model.layers.0.self_attn.q_proj.weight"

ENCODERS: tuple[Signature, ...] = (
    Signature("clip_vision", "", ("vision_model.encoder.layers.0.layer_norm1.weight",), (_CLIP,)),
    Signature("clip_vision", "", (_OPEN_CLIP, "conv1.weight", "class_embedding")),
    Signature(
        "clip_g", "", (_CLIP,), shapes=(("text_model.embeddings.token_embedding.weight", 1, lambda n: n == 1280),)
    ),
    Signature(
        "clip_h", "", (_CLIP,), shapes=(("text_model.embeddings.token_embedding.weight", 1, lambda n: n == 1024),)
    ),
    Signature("clip_l", "", (_CLIP,)),
    Signature("clip_h", "", (_OPEN_CLIP,), shapes=(("token_embedding.weight", 1, lambda n: n == 1024),)),
    Signature("clip_g", "", (_OPEN_CLIP, "token_embedding.weight")),
    Signature("umt5", "", (_T5, "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight")),
    Signature("t5", "", (_T5,)),
    Signature("qwen25_vl", "", (_LLM, "visual.blocks.0.attn.qkv.weight")),
    Signature("gemma2", "", (_LLM, "model.layers.0.post_feedforward_layernorm.weight")),
    Signature("qwen3", "", (_LLM, "model.layers.0.self_attn.q_norm.weight")),
    Signature("qwen25", "", (_LLM, "model.layers.0.self_attn.q_proj.bias")),
    Signature("llama", "", (_LLM,)),
)
"""Text and image encoders."""

VAES: tuple[Signature, ...] = (
    Signature("vae", "kl", ("decoder.conv_in.weight", "encoder.conv_in.weight", "decoder.conv_norm_out.weight"),
              layout="diffusers"),
    Signature("vae", "kl", ("decoder.conv_in.weight", "encoder.conv_in.weight", "decoder.norm_out.weight")),
    Signature("vae", "wan", ("decoder.middle.0.residual.0.gamma",)),
    Signature("vae", "wan", ("decoder.mid_block.resnets.0.norm1.gamma",), layout="diffusers"),
    Signature("vae", "dc", ("decoder.stages.1.op_list.0.main.conv.conv.bias",)),
    Signature("vae", "dc", ("decoder.up_blocks.0.0.conv1.weight", "decoder.conv_in.weight"), layout="diffusers"),
    Signature("vae", "tiny", ("decoder.layers.0.weight", "encoder.layers.0.weight"), layout="diffusers"),
    Signature("vae", "tiny", ("taesd_decoder.1.weight",)),
)  # fmt: skip
"""Autoencoders."""

MODEL_PREFIXES = ("model.diffusion_model.", "", "model.", "diffusion_model.", "transformer.", "unet.", "net.")
VAE_PREFIXES = ("first_stage_model.", "vae.", "")
ENCODER_PREFIXES = (
    "cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.0.transformer.",
    "conditioner.embedders.0.model.", "conditioner.embedders.1.model.", "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.", "text_encoders.t5xxl.transformer.", "text_encoder.", "text_encoder_2.",
    "text_encoder_3.", "text_encoders.t5xxl.", "text_encoders.gemma2_2b.transformer.",
    "text_encoders.pile_t5xl.transformer.", "text_encoders.umt5xxl.transformer.", "text_encoders.qwen3_4b.transformer.",
    "text_encoders.qwen25_7b.transformer.", "embedder.model.visual.", "",
)  # fmt: skip

_FORCED = {
    "cond_stage_model.model.": "clip_h", "conditioner.embedders.0.model.": "clip_g",
    "conditioner.embedders.1.model.": "clip_g", "text_encoders.clip_g.transformer.": "clip_g",
    "text_encoders.clip_l.transformer.": "clip_l", "cond_stage_model.transformer.": "clip_l",
    "conditioner.embedders.0.transformer.": "clip_l",
}  # fmt: skip
"""Where a checkpoint keeps an encoder says which it is, whatever its widths."""

_LORA = re.compile(
    r"[._](lora_(down|up|mid|A|B)(\.default)?(\.weight)?|lora\.(down|up)\.weight|lora_linear_layer\.(down|up)\.weight|lora_magnitude_vector.*|hada_w[12]_[ab]|lokr_w[12](_[ab])?"
    r"|oft_blocks|oft_diag|[ab][12]\.weight|dora_scale|diff(_b)?|w_norm|b_norm)$"
)
_UNDERSTOOD = (
    "Stable Diffusion 1.5, 2, XL, 3, Flux, Flux 2, Qwen-Image, Z-Image, AuraFlow, Lumina 2, Chroma, Sana, HiDream, Wan"
)

USUAL_ENCODERS: Mapping[str, tuple[str, ...]] = {
    "sd15": ("clip_l",), "sd2": ("clip_h",), "sdxl": ("clip_l", "clip_g"), "sdxl_refiner": ("clip_g",),
    "sd3": ("clip_l", "clip_g", "t5"), "flux": ("clip_l", "t5"), "flux2": ("qwen3",), "chroma": ("t5",),
    "qwen_image": ("qwen25_vl",), "z_image": ("qwen3",), "lumina2": ("gemma2",), "auraflow": ("umt5",),
    "sana": ("gemma2",), "hidream": ("clip_l", "clip_g", "t5", "llama"), "wan": ("umt5",),
}  # fmt: skip
"""The text encoders that a family's prompts go through."""


TYPES: Mapping[str, Mapping[str, str]] = {
    "stable_diffusion": {"clip_l": "sd15", "clip_h": "sd2", "clip_g": "sdxl_refiner"},
    "sd3": {"": "sd3"}, "sdxl": {"": "sdxl"}, "flux": {"": "flux"}, "hidream": {"": "hidream"}, "chroma": {"": "chroma"},
    "lumina2": {"gemma2": "lumina2", "qwen3": "z_image"}, "wan": {"": "wan"}, "qwen_image": {"": "qwen_image"},
    "flux2": {"": "flux2"}, "z_image": {"": "z_image"}, "sana": {"": "sana"}, "auraflow": {"": "auraflow"},
}  # fmt: skip
"""A `type` of the text encoders' loader nodes: by the encoder that a file holds (any for the empty one), the family."""


def family_of_type(type: str, encoders: Collection[str]) -> str:
    """The family whose prompts go through these encoders. Raises `UnsupportedFile` when the type has none of them."""
    families = TYPES.get(type)
    if families is None:
        raise UnsupportedFile(
            f"text encoders of the type {type!r} are not supported; those that are: {', '.join(TYPES)}"
        )
    if "" in families:
        family = families[""]
        wanted = USUAL_ENCODERS[family]
        if not any(_alike(encoder, other) for encoder in encoders for other in wanted):
            raise UnsupportedFile(
                f"prompts of the type {type!r} go through {', '.join(wanted)}, not {', '.join(encoders)}"
            )
        return family
    found = next((families[encoder] for encoder in families if encoder in encoders), None)
    if found is None:
        raise UnsupportedFile(f"the type {type!r} takes {', '.join(families)}, not {', '.join(encoders)}")
    return found


_ALIKE = ({"t5", "umt5"}, {"qwen25", "qwen25_vl"}, {"qwen3", "mistral3"}, {"clip_l", "clip_g", "clip_h"})


def _alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= kinds for kinds in _ALIKE)


def detect(path: Path) -> Detected:
    """What the file is. Raises as `read_header` does; a file of no known kind is `unknown`, not an error."""
    header = read_header(path)
    found = _in_folder(header) if header.format == "diffusers" else _in_file(header)
    return replace(
        found,
        format=header.format,
        dtype=_main_dtype(header),
        parameters=sum(math.prod(entry.shape) for entry in header.tensors.values()),
    )


def _main_dtype(header: Header) -> str:
    bytes_of: dict[str, int] = {}
    for entry in header.tensors.values():
        bytes_of[entry.dtype] = bytes_of.get(entry.dtype, 0) + entry.nbytes
    return max(bytes_of, key=lambda name: bytes_of[name], default="")


def _in_file(header: Header) -> Detected:
    for test in (_as_lora, _as_control, _as_small):
        if found := test(header):
            return found
    parts = tuple(_parts(header))
    model = next((part for part in parts if part.name == "model"), None)
    if model is None:
        kind: Kind = "unknown"
        if parts:
            kind = {"vae": "vae", "clip_vision": "clip_vision"}.get(parts[0].name, "text_encoder")  # type: ignore[assignment]
        details = _vae_details(header, parts[0]) if kind == "vae" else {}
        if kind == "unknown":
            details = {"nearest": _nearest(header), "seen": [*itertools.islice(sorted(header.tensors), 3)]}
        return Detected(kind, "", parts, details=details)
    lacks = tuple(name for name in (*USUAL_ENCODERS[model.family], "vae") if name not in {p.name for p in parts})
    details = {**_model_details(header, model), **_prediction(header)}
    return Detected("checkpoint" if len(parts) > 1 else "model", model.family, parts, lacks=lacks, details=details)


def _parts(header: Header) -> Iterator[Part]:
    """Each component once."""
    if model := _first(header, MODELS, MODEL_PREFIXES):
        yield model
    if vae := _first(header, VAES, VAE_PREFIXES):
        yield vae
    seen = set()
    for prefix in ENCODER_PREFIXES:
        part = _first(header, ENCODERS, (prefix,))
        part = replace(part, name=_FORCED.get(prefix, part.name)) if part else None
        if part and part.name not in seen and not (prefix == "" and model):
            seen.add(part.name)
            yield part


def _first(header: Header, signatures: Sequence[Signature], prefixes: Sequence[str]) -> Part | None:
    for prefix in prefixes:
        for signature in signatures:
            if signature.matches(header, prefix):
                return Part(signature.part, signature.family, prefix)
    return None


def _nearest(header: Header) -> str:
    """The part of a family that most of the tensors asked for speak for, what is there of it and what is not."""
    best: tuple[float, Signature, str] | None = None
    for signature in (*MODELS, *VAES, *ENCODERS):
        for prefix in (*MODEL_PREFIXES, *VAE_PREFIXES, *ENCODER_PREFIXES):
            share = sum(prefix + key in header.tensors for key in signature.has) / len(signature.has)
            if share > (best[0] if best else 0.0):
                best = (share, signature, prefix)
    if best is None:
        return ""
    _, signature, prefix = best
    there = next(prefix + key for key in signature.has if prefix + key in header.tensors)
    lacking = next((prefix + key for key in signature.has if prefix + key not in header.tensors), "")
    but = f"but lacks {lacking}" if lacking else "but its sizes are of another"
    return f"the nearest is {signature.family or signature.part} ({signature.part}): it has {there}, {but}"


def layout_of(header: Header, part: Part) -> str:
    """`diffusers` or empty (the original's), for a part that was detected."""
    table = {"model": MODELS, "vae": VAES}.get(part.name, ENCODERS)
    return next((s.layout for s in table if s.family == part.family and s.matches(header, part.prefix)), "")


def _model_details(header: Header, part: Part) -> dict[str, Any]:
    for key, axis in (("input_blocks.0.0.weight", 1), ("conv_in.weight", 1), ("img_in.weight", 1),
                      ("x_embedder.proj.weight", 1), ("patch_embedding.weight", 1)):  # fmt: skip
        if shape := header.shape(part.prefix + key):
            return {"in_channels": shape[axis]}
    return {}


def _vae_details(header: Header, part: Part) -> dict[str, Any]:
    shape = header.shape(part.prefix + "decoder.conv_in.weight") or header.shape(
        part.prefix + "decoder.layers.0.weight"
    )
    return {"latent_channels": shape[1]} if len(shape) > 1 else {}


def _prediction(header: Header) -> dict[str, Any]:
    """What the file says of its parametrisation: marks in its keys or metadata."""
    said = str(header.metadata.get("modelspec.prediction_type", "")).lower()
    details: dict[str, Any] = {}
    if "v_pred" in header.tensors or said in ("v", "v_prediction"):
        details["prediction"] = "v"
    if "ztsnr" in header.tensors:
        details["zsnr"] = True
    if "edm_vpred.sigma_max" in header.tensors:
        details["prediction"] = "edm_v"
    if "edm_mean" in header.tensors:
        details["prediction"] = "edm"
    return details


# --- adapters and other small files ----------------------------------------------------------------------------------


def _as_lora(header: Header) -> Detected | None:
    adapted = [key for key in header.tensors if _LORA.search(key)]
    if not adapted or len(adapted) * 4 < len(header.tensors) or any("lora_controlnet" in k for k in header.tensors):
        return None
    return Detected("lora", lora_family(header), details={"targets": len({_LORA.sub("", key) for key in adapted})})


_LORA_MARKS: tuple[tuple[str, str], ...] = (
    (r"^lora_te2_|add_embedding|^lora_unet_label_emb", "sdxl"),
    (r"double_stream_modulation_img", "flux2"),
    (r"distilled_guidance_layer", "chroma"),
    (r"double_blocks[._]\d+[._]img_|single_blocks[._]\d+[._]linear|single_transformer_blocks[._]\d+", "flux"),
    (r"joint_blocks[._]\d+[._](x|context)_block", "sd3"),
    (r"transformer_blocks[._]\d+[._](img|txt)_(mod|mlp)", "qwen_image"),
    (r"joint_transformer_blocks|double_layers[._]\d+[._]attn[._]w[12]", "auraflow"),
    (r"double_stream_blocks", "hidream"),
    (r"blocks[._]\d+[._](cross_attn|self_attn)[._][qkvo]\b", "wan"),
    (r"blocks[._]\d+[._](cross_attn|self_attn)[._][qkvo]\.", "wan"),
    (r"layers[._]\d+[._](attention|feed_forward)[._]", "z_image"),
    (r"(^|[._])transformer_blocks[._]\d+[._](attn[._]add_|norm1_context|ff_context)", "sd3"),
)  # fmt: skip


def lora_family(header: Header) -> str:
    """The family that a LoRA was made for, by its names and the width of its cross-attention; empty when unsure."""
    for pattern, family in _LORA_MARKS:
        expression = re.compile(pattern)
        if any(expression.search(key) for key in header.tensors):
            return _qwen_or_flux(header) if family == "flux" else family
    widths = {"sd15": 768, "sd2": 1024, "sdxl": 2048, "sdxl_refiner": 1280}
    for key, entry in header.tensors.items():
        if "attn2" in key and re.search(
            r"to_[kv]\.(lora_down|lora_A|lora\.down|hada_w1_b)", key.replace("_to_", ".to_")
        ):
            width = entry.shape[1] if len(entry.shape) > 1 else 0
            return next((family for family, n in widths.items() if n == width), "")
    return ""


def _qwen_or_flux(header: Header) -> str:
    return "qwen_image" if any("img_mod" in key or "txt_mlp" in key for key in header.tensors) else "flux"


def _as_control(header: Header) -> Detected | None:
    keys = header.tensors
    if "lora_controlnet" in keys:
        width = next((e.shape[1] for k, e in keys.items() if k.endswith("attn2.to_k.down") and len(e.shape) > 1), 0)
        base = {768: "sd15", 1024: "sd2", 2048: "sdxl"}.get(width, "")
        return Detected("controlnet", base, (Part("controlnet", "lora", ""),))
    for prefix in ("control_model.", ""):
        if prefix + "input_hint_block.0.weight" in keys:
            family = _first(header, MODELS[1:5], (prefix,))
            context = _context_width(header, prefix)
            name = family.family if family else {768: "sd15", 1024: "sd2", 2048: "sdxl"}.get(context, "sd15")
            return Detected("controlnet", name, (Part("controlnet", name, prefix),))
    if "controlnet_cond_embedding.conv_in.weight" in keys:
        name = "sdxl" if "add_embedding.linear_1.weight" in keys else "sd15"
        if name == "sd15" and len(header.shape(_PROJ_D)) == 2:
            name = "sd2"
        details = {"union": "control_add_embedding.linear_1.weight" in keys}
        return Detected("controlnet", name, (Part("controlnet", name, ""),), details=details)
    if "controlnet_blocks.0.weight" in keys:
        return Detected("controlnet", _flow_control(header), (Part("controlnet", _flow_control(header), ""),))
    for prefix in ("adapter.", ""):
        full = header.shape(prefix + "conv_in.weight")
        light = header.shape(prefix + "body.0.in_conv.weight")
        if (full or light) and any(key.startswith(f"{prefix}body.0.") and "block1" in key for key in keys):
            base = "sdxl" if full and full[1] in (256, 768) else "sd15"  # sixteen pixels folded into one, or eight
            return Detected("t2i_adapter", base, (Part("controlnet", "t2i", ""),))
    return None


def _context_width(header: Header, prefix: str) -> int:
    for key, entry in header.tensors.items():
        if key.startswith(prefix) and key.endswith("attn2.to_k.weight") and len(entry.shape) == 2:
            return entry.shape[1]
    return 0


def _flow_control(header: Header) -> str:
    if "transformer_blocks.0.img_mod.1.weight" in header.tensors:
        return "qwen_image"
    return (
        "sd3"
        if "pos_embed.proj.weight" in header.tensors or "pos_embed_input.proj.weight" in header.tensors
        else "flux"
    )


def _as_small(header: Header) -> Detected | None:
    keys = header.tensors
    if any(key.startswith("ip_adapter.") for key in keys) and any(key.startswith("image_proj.") for key in keys):
        width = next((e.shape[-1] for k, e in keys.items() if k.endswith("to_k_ip.weight") and e.shape), 0)
        family = {768: "sd15", 1024: "sd2", 2048: "sdxl"}.get(width, "")
        return Detected("ip_adapter", family, (Part("ip_adapter", family, ""),))
    if "redux_up.weight" in keys:
        return Detected("style_model", "flux", (Part("style_model", "flux", ""),))
    if "style_embedding" in keys:
        return Detected("style_model", "sd15", (Part("style_model", "sd15", ""),))
    if len(keys) <= 4 and ({"emb_params", "clip_l", "clip_g", "t5xxl", "string_to_param.*"} & set(keys)):
        return Detected("embedding", _embedding_family(header))
    return None


def _embedding_family(header: Header) -> str:
    if "clip_g" in header.tensors:
        return "sdxl"
    entry = header.tensors.get("emb_params") or next(iter(header.tensors.values()))
    return {768: "sd15", 1024: "sd2", 1280: "sdxl"}.get(entry.shape[-1] if entry.shape else 0, "")


# --- diffusers folders -----------------------------------------------------------------------------------------------

_ENCODER_CLASSES = {
    "CLIPTextModel": "clip_l", "CLIPTextModelWithProjection": "clip_g", "T5EncoderModel": "t5", "UMT5EncoderModel": "umt5",
    "Qwen2_5_VLForConditionalGeneration": "qwen25_vl", "Qwen3Model": "qwen3", "Qwen3ForCausalLM": "qwen3",
    "Gemma2Model": "gemma2", "Gemma2ForCausalLM": "gemma2", "LlamaForCausalLM": "llama",
    "Mistral3ForConditionalGeneration": "mistral3",
}  # fmt: skip
_NETWORK_CLASSES = {
    "UNet2DConditionModel": "sd15", "SD3Transformer2DModel": "sd3", "FluxTransformer2DModel": "flux",
    "Flux2Transformer2DModel": "flux2", "QwenImageTransformer2DModel": "qwen_image", "ZImageTransformer2DModel": "z_image",
    "AuraFlowTransformer2DModel": "auraflow", "Lumina2Transformer2DModel": "lumina2", "ChromaTransformer2DModel": "chroma",
    "SanaTransformer2DModel": "sana", "HiDreamImageTransformer2DModel": "hidream", "WanTransformer3DModel": "wan",
}  # fmt: skip
_VAE_CLASSES = {
    "AutoencoderKL": "kl", "AutoencoderTiny": "tiny", "AutoencoderKLWan": "wan", "AutoencoderKLQwenImage": "wan",
    "AutoencoderDC": "dc", "AutoencoderKLFlux2": "kl",
}  # fmt: skip


def _in_folder(header: Header) -> Detected:
    index: Mapping[str, Any] = header.metadata["model_index"]
    parts: list[Part] = []
    details: dict[str, Any] = {}
    for name, entry in index.items():
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], str):
            continue
        if family := _NETWORK_CLASSES.get(entry[1]):
            family = _unet_family(header.metadata.get(name, {})) if family == "sd15" else family
            parts.insert(0, Part("model", family, name))
            details["in_channels"] = header.metadata.get(name, {}).get("in_channels")
        elif entry[1] in _VAE_CLASSES:
            parts.append(Part("vae", _VAE_CLASSES[entry[1]], name))
            details["latent_channels"] = header.metadata.get(name, {}).get("latent_channels")
        elif entry[1] in ("CLIPVisionModelWithProjection", "CLIPVisionModel", "SiglipVisionModel"):
            parts.append(Part("clip_vision", "", name))
        elif entry[1] in _ENCODER_CLASSES:
            parts.append(Part(_encoder_name(entry[1], name, header.metadata.get(name, {})), "", name))
    if not parts or parts[0].name != "model":
        raise UnsupportedFile(
            f"{header.path.name} is a diffusers folder of {index.get('_class_name', 'an unknown pipeline')}, which is "
            f"not known; known are {_UNDERSTOOD}"
        )
    details["prediction"] = header.metadata.get("scheduler", {}).get("prediction_type")
    lacks = tuple(name for name in (*USUAL_ENCODERS[parts[0].family], "vae") if name not in {p.name for p in parts})
    return Detected("checkpoint", parts[0].family, tuple(parts), lacks=lacks, details=details)


def _encoder_name(class_name: str, folder: str, config: Mapping[str, Any]) -> str:
    name = _ENCODER_CLASSES[class_name]
    if not name.startswith("clip"):
        return name
    by_width = {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}.get(config.get("hidden_size", 0))
    return by_width or ("clip_g" if folder.endswith("_2") else "clip_l")


def _unet_family(config: Mapping[str, Any]) -> str:
    if config.get("addition_embed_type") == "text_time":
        return "sdxl_refiner" if len(config.get("block_out_channels", ())) == 4 else "sdxl"
    return "sd2" if config.get("use_linear_projection") else "sd15"


def require(found: Detected, path: Path, *, part: str) -> Part:
    """The part of that name, or `UnsupportedFile` that says what the file is instead and where it belongs."""
    if have := found.part(part):
        return have
    raise UnsupportedFile(f"{path.name} holds no {PART_TITLES.get(part, part)}: {describe(found)}")


PART_TITLES = {
    "model": "denoising network",
    "vae": "autoencoder (VAE)",
    "controlnet": "ControlNet",
    "ip_adapter": "IP-Adapter",
}
_PLACES: Mapping[str, str] = {
    "lora": "put it into loras/ and load it with LoraLoader",
    "controlnet": "put it into controlnet/ and load it with ControlNetLoader",
    "vae": "put it into vae/ and load it with VAELoader",
    "text_encoder": "put it into text_encoders/ and load it with CLIPLoader",
    "model": "put it into diffusion_models/ and load it with UNETLoader, its text encoder and VAE with their own loaders",
    "checkpoint": "put it into checkpoints/ and load it with CheckpointLoaderSimple",
    "embedding": "put it into embeddings/ and write embedding:NAME into the prompt",
    "clip_vision": "put it into clip_vision/ and load it with CLIPVisionLoader",
    "style_model": "put it into style_models/ and load it with StyleModelLoader",
    "ip_adapter": "put it into ipadapter/ and load it with IPAdapterModelLoader",
    "t2i_adapter": "put it into controlnet/ and load it with ControlNetLoader",
}


def describe(found: Detected) -> str:
    """What a file is and where it belongs, for an error message."""
    if found.kind == "unknown":
        seen, nearest = found.details.get("seen", ()), found.details.get("nearest", "")
        looked = f" ({', '.join(seen)}, ...)" if seen else ""
        return f"its tensors{looked} fit no family that is known: {_UNDERSTOOD}{'; ' if nearest else ''}{nearest}"
    family = f" for {found.family}" if found.family else ""
    return f"it is a {found.kind.replace('_', ' ')}{family}; {_PLACES.get(found.kind, 'load it with its own loader')}"

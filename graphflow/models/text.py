"""Text encoders: prompts to conditioning, with weights, chunks, textual inversions and clip skip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphflow.diffusion import prompts
from graphflow.diffusion.hooks import Span, spans
from graphflow.diffusion.prompts import Chunk
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.families.common.base import Encoded, Family
from graphflow.models.hooks import hooked_clip
from graphflow.models.language import LanguageEncoder, SequenceEncoder
from graphflow.models.lora import Targets
from graphflow.models.merged import Merged
from graphflow.models.merging import Change, Mix, Shapes, Stream, mixed
from graphflow.models.offloading import device_of
from graphflow.models.packed import shapes_of
from graphflow.models.residency import Residency
from graphflow.models.tensors import opened
from graphflow.models.tokenizers import Vocabulary
from graphflow.node import File
from graphflow.values import Clip, Cond, Conditioning, Filling, Patch, Weights

log = logging.getLogger(__name__)


class Encoder(Protocol):
    """One text encoder with its vocabulary."""

    name: str
    """As detection names it: `clip_l`, `t5`, ..."""
    module: nn.Module

    def encode(self, text: str, files: Mapping[str, File], layer: int | None, *, chunks: int = 0) -> Encoded:
        """The text's encoding; at least `chunks` chunks of it."""


# --- CLIP ------------------------------------------------------------------------------------------------------------


@dataclass
class ClipEncoder:
    """CLIP's text model: chunks of 77 tokens, weights by distance from the empty prompt's encoding."""

    name: str
    module: nn.Module
    vocabulary: Vocabulary
    layer: int = -1
    """The hidden layer that the family takes, when nobody asks for another."""
    norm: bool = True
    """Whether the final norm is applied to a layer before the last."""
    length: int = 77

    def encode(self, text: str, files: Mapping[str, File], layer: int | None, *, chunks: int = 0) -> Encoded:
        """(1, 77 n, D), and the pooled output of the first chunk, projected where the model has a projection."""
        made = self.chunks(text, files)
        while len(made) < chunks:
            made.append(self.chunks("", {})[0])
        weighted = any(weight != 1.0 for chunk in made for _, weight in chunk)
        empty = self.chunks("", {})[0]
        hidden, pooled = self._run([*made, empty] if weighted else made, self.layer if layer is None else layer)
        if weighted:
            hidden = prompts.weigh(hidden[:-1], hidden[-1], made)
        return Encoded(hidden.reshape(1, -1, hidden.shape[-1]).cpu(), pooled[:1].cpu())

    def end_state(self, text: str, files: Mapping[str, File]) -> Tensor:
        """(1, D): the text's end in the last layer, before any projection."""
        return self._run(self.chunks(text, files)[:1], self.layer, projected=False)[1].cpu()

    def chunks(self, text: str, files: Mapping[str, File]) -> list[Chunk]:
        """The text's tokens with their weights, in chunks of one length."""
        return prompts.chunks(
            text, self.vocabulary, length=self.length, embedding=lambda name: self._embedding(files.get(name))
        )

    def _embedding(self, file: File | None) -> Tensor | None:
        return None if file is None else read_embedding(file, self.name, self.width)

    @property
    def width(self) -> int:
        """Of its token embeddings."""
        return int(self._inner.config.hidden_size)

    @property
    def _inner(self) -> Any:
        return getattr(self.module, "text_model", self.module)

    def _run(self, chunks: Sequence[Chunk], layer: int, *, projected: bool = True) -> tuple[Tensor, Tensor]:
        """Hidden states (n, 77, D) of a layer, and the pooled output (n, P), float32."""
        inner = self._inner
        ids, rows = self._embed(chunks)
        states = [inner.embeddings(inputs_embeds=rows)]
        for block in inner.encoder.layers:
            out = block(states[-1], None, is_causal=True)
            states.append(out[0] if isinstance(out, tuple) else out)
        last = inner.final_layer_norm(states[-1])
        if layer == -1:
            hidden = last
        else:
            hidden = states[max(layer, -len(states))]
            hidden = inner.final_layer_norm(hidden) if self.norm else hidden
        ends = torch.eq(ids, self.vocabulary.end or 0).int().argmax(dim=-1)
        pooled = last[torch.arange(len(last), device=last.device), ends]
        projection = getattr(self.module, "text_projection", None) if projected else None
        return hidden.float(), (projection(pooled) if projection is not None else pooled).float()

    def _embed(self, chunks: Sequence[Chunk]) -> tuple[Tensor, Tensor]:
        """Token numbers (n, 77), -1 for vectors, and their embeddings (n, 77, D)."""
        table = self._inner.embeddings.token_embedding
        device = device_of(self.module)
        numbers = [[t if isinstance(t, int) else -1 for t, _ in chunk] for chunk in chunks]
        ids = torch.tensor(numbers, device=device)
        rows = table(ids.clamp(min=0))
        for i, chunk in enumerate(chunks):
            for j, (token, _) in enumerate(chunk):
                if isinstance(token, Tensor):
                    rows[i, j] = token.to(rows)
        return ids, rows


def read_embedding(file: File, encoder: str, width: int) -> Tensor | None:
    """(n, D): a textual inversion's vectors for that encoder; None, with a warning, when they are of another width."""
    with opened(file.path) as (header, tensors):
        keys = list(header.tensors)
        wanted = [key for key in (encoder, "emb_params", "string_to_param.*") if key in keys] or keys[:1]
        if not wanted:
            raise UnsupportedFile(f"{file.name} holds no vectors; it is no textual inversion")
        vectors = tensors.get(wanted[0]).float()
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.shape[-1] != width:
        log.warning("%s is %d wide, this text encoder %d: left out", file.name, vectors.shape[-1], width)
        return None
    return vectors


# --- several encoders as one -----------------------------------------------------------------------------------------

Texts = Mapping[str, str | None]
"""A text for each encoder by its role (`l`, `g`, `t5xxl`, ...), None to leave the encoder out; `""` as key stands for
all others."""


@dataclass
class TextContent:
    """Text encoders in memory, and how their outputs become one conditioning."""

    encoders: list[Encoder]
    roles: tuple[str, ...]
    """By encoder, the name of its text."""
    family: Family
    second: Callable[[Weights, tuple[Patch, ...]], AbstractContextManager[Mapping[str, Stream]]]
    """Opens other text encoders, to be mixed in."""
    merged: Merged = field(init=False)
    whole: tuple[nn.Module, ...] = ()

    def __post_init__(self) -> None:
        targets = Targets()
        for encoder in self.encoders:
            targets.add_encoder(encoder.name, shapes_of(encoder.module))
        self.merged = Merged({e.name: e.module for e in self.encoders}, targets, self._changes)

    @contextmanager
    def _changes(self, patch: Mix, shapes: Mapping[str, Shapes]) -> Iterator[Mapping[str, Change]]:
        with self.second(patch.weights, patch.patches) as second:
            yield {name: mixed(patch, second[name]) for name in shapes if name in second}

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """Every encoder."""
        return tuple(encoder.module for encoder in self.encoders)

    @property
    def beside(self) -> int:
        """Bytes of what weights were before they were changed."""
        return self.merged.nbytes

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """Merges these patches into the weights, and takes others out."""
        self.merged.apply(patches)


@dataclass(frozen=True)
class Shown:
    """Pictures that a language model looks at, and the template that says what for."""

    template: str
    """One of the family's `templates`."""
    pictures: tuple[Tensor, ...] = ()
    """Each (H, W, 3), 0 to 1; the text has a mark for each."""


@dataclass(frozen=True)
class Request:
    """A `Prompt` on its way through several encoders."""

    content: TextContent
    texts: Texts
    files: Mapping[str, File]
    layer: int | None
    filling: Filling | None = None
    shown: Shown | None = None

    def text(self, role: str) -> str:
        """The text for an encoder."""
        return self.texts.get(role, self.texts.get("")) or ""

    def of(self, role: str, *, chunks: int = 0) -> Encoded | None:
        """What the encoder of that role makes of its text; None when there is no such encoder."""
        for encoder, name in zip(self.content.encoders, self.content.roles, strict=True):
            if name == role and self.texts.get(role, "") is not None:
                return self._filled(encoder).encode(self.text(role), self.files, self.layer, chunks=chunks)
        return None

    def _filled(self, encoder: Encoder) -> Encoder:
        """The encoder, told how to fill a prompt up, if it is T5 and was told."""
        if self.filling is None or not isinstance(encoder, SequenceEncoder):
            return encoder
        part = replace(encoder.part, padding=self.filling.padding, least=self.filling.least)
        return replace(encoder, part=part)

    def single(self) -> Cond:
        """The first encoder's output as conditioning."""
        encoder = self.content.encoders[0]
        if self.shown is not None and isinstance(encoder, LanguageEncoder):
            template = self.content.family.templates.get(self.shown.template)
            if template is None:
                others = ", ".join(one.title for one in FAMILIES.values() if self.shown.template in one.templates)
                raise UnsupportedFile(
                    f"the text encoder of {self.content.family.title} looks at no pictures: connect that of {others}"
                )
            encoded = encoder.told(self.text(self.content.roles[0]), template, self.shown.pictures)
            return Cond(encoded.context, encoded.pooled, encoded.mask)
        encoded = self._filled(encoder).encode(self.text(self.content.roles[0]), self.files, self.layer)
        return Cond(encoded.context, encoded.pooled, encoded.mask)


class TextEncoder:
    """Text encoders that bring their weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: Clip, load: Callable[[], TextContent]) -> None:
        content = residency.get(recipe.weights, load).content
        assert isinstance(content, TextContent)
        self.family = content.family.name
        """The family whose prompts these encoders encode."""
        self.roles = content.roles
        """Names of the texts that `encode_each` takes."""
        self._residency, self._recipe, self._load = residency, recipe, load

    def encode(self, text: str, files: Mapping[str, File] | None = None) -> Conditioning:
        """One text through every encoder. `files` are the textual inversions that it names; a `Text` brings its own."""
        return self.encode_each({"": text}, files)

    @torch.inference_mode()
    def end_state(self, text: str, files: Mapping[str, File] | None = None) -> Tensor:
        """(1, D): a text's end in CLIP's last layer, before any projection. Raises `ValueError` for other encoders."""
        named = {**getattr(text, "files", {}), **(files or {})}
        with self._residency.ready(self._recipe.weights, self._recipe.patches, self._load) as resident:
            content: Any = resident.content
            if not isinstance(encoder := content.encoders[0], ClipEncoder):
                raise ValueError(f"{content.family.title}'s text encoder is no CLIP, which this needs: load clip_l")
            return encoder.end_state(text, named)

    def encode_shown(self, text: str, shown: Shown) -> Conditioning:
        """One text with pictures. Raises `ValueError` when the encoder cannot look at any."""
        return self.encode_each({"": text}, shown=shown)

    @torch.inference_mode()
    def encode_each(
        self, texts: Texts, files: Mapping[str, File] | None = None, *, shown: Shown | None = None
    ) -> Conditioning:
        """A text for each encoder, by role: `{"l": ..., "g": ...}`; the key `""` stands for those not named."""
        named = {name: f for text in texts.values() for name, f in getattr(text, "files", {}).items()}
        hooks = self._recipe.hooks
        if hooks is None:
            return Conditioning((self._encoded(self._recipe, texts, {**named, **(files or {})}, shown),))
        whole = [Span(0.0, 1.0, tuple((hook, 1.0) for hook in hooks.hooks))]
        entries = []
        for span in spans(hooks.hooks) if hooks.schedule else whole:
            cond = self._encoded(hooked_clip(self._recipe, span.strengths), texts, {**named, **(files or {})}, shown)
            cond = replace(cond, clip_start=span.start, clip_end=span.end)
            entries.append(replace(cond, hooks=hooks.hooks) if hooks.apply_to_conds else cond)
        return Conditioning(tuple(entries))

    def _encoded(self, recipe: Clip, texts: Texts, files: Mapping[str, File], shown: Shown | None) -> Cond:
        with self._residency.ready(recipe.weights, recipe.patches, self._load) as resident:
            content: Any = resident.content
            if shown is not None and not isinstance(content.encoders[0], LanguageEncoder):
                raise ValueError(
                    f"{content.family.title}'s text encoder cannot look at pictures: load Qwen2.5-VL with CLIPLoader, "
                    "of type qwen_image"
                )
            request = Request(content, texts, files, recipe.layer, recipe.filling, shown)
            return _sound(content.family.compose(request), content.family.title)


def _sound(cond: Cond, family: str) -> Cond:
    """The conditioning, if it consists of numbers."""
    for tensor in (cond.context, cond.pooled):
        if tensor is not None and not bool(tensor.isfinite().all()):
            raise ValueError(
                f"the text encoder of {family} gives NaN or infinity: its weights may be damaged, or its numbers too "
                "large for the precision it runs in; try another file, or the server's --dtype float32"
            )
    return cond

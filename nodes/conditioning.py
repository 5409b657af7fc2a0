"""Prompts: texts to conditioning, and where, when and how strongly each holds."""

from __future__ import annotations

from typing import Annotated

from graphflow.api import Clip, Conditioning, References, Text, Widget, node
from graphflow.diffusion.prompts import EMBEDDING
from graphflow.models import loaded

Prompt = Annotated[Text, References("embeddings", EMBEDDING), Widget("multiline")]
"""A text with weights and textual inversions."""


@node("CLIPTextEncode", title="CLIP Text Encode (Prompt)", category="conditioning", example="text-to-image")
def clip_text_encode(text: Prompt, clip: Clip) -> Conditioning:
    """Encodes a prompt, for the sampler to steer by.

    `(word)` weighs 1.1 times as much, `(word:1.3)` 1.3 times; a bracket that is meant is written `\\(`.
    `embedding:name` stands for a textual inversion.
    """
    with loaded(clip) as encoder:
        return encoder.encode(text)

"""What a file can be: its kind, its family and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from graphflow.detect.families import UNDERSTOOD
from graphflow.errors import UnsupportedFile
from graphflow.families import FAMILIES

Kind = Literal[
    "checkpoint", "model", "text_encoder", "vae", "lora", "controlnet", "t2i_adapter", "ip_adapter", "clip_vision",
    "style_model", "embedding", "upscale_model", "model_patch", "unknown",
]  # fmt: skip


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
    """Name of the family in `graphflow.families`; empty where the file fits several or none."""
    parts: tuple[Part, ...] = ()
    dtype: str = ""
    """The dtype that most bytes have."""
    format: str = "safetensors"
    parameters: int = 0
    lacks: tuple[str, ...] = ()
    """Parts that a checkpoint of this family usually has and this file has not."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """`in_channels`, `latent_channels`, `prediction`, ..."""

    @property
    def families(self) -> tuple[str, ...]:
        """Every family that the file can be for."""
        return (*((self.family,) if self.family else ()), *self.details.get("also", ()))

    def part(self, name: str) -> Part | None:
        """The part of that name."""
        return next((part for part in self.parts if part.name == name), None)


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
    "upscale_model": "put it into upscale_models/ and load it with UpscaleModelLoader",
    "t2i_adapter": "put it into controlnet/ and load it with ControlNetLoader",
    "model_patch": "put it into model_patches/ and load it with ModelPatchLoader",
}


def describe(found: Detected) -> str:
    """What a file is and where it belongs, for an error message."""
    if found.kind == "unknown":
        seen, nearest = found.details.get("seen", ()), found.details.get("nearest", "")
        looked = f" ({', '.join(seen)}, ...)" if seen else ""
        return f"its tensors{looked} fit no family that is known: {UNDERSTOOD}{'; ' if nearest else ''}{nearest}"
    family = f" for {_titles(found)}" if found.family else ""
    return f"it is a {found.kind.replace('_', ' ')}{family}; {_PLACES.get(found.kind, 'load it with its own loader')}"


def _titles(found: Detected) -> str:
    return " or ".join(FAMILIES[name].title for name in found.families)

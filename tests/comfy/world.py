"""A few nodes as our packs declare them, without torch: enough to read and check ComfyUI's documents against."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow.node import Artifact, File, Folder, Lazy, Multiline, Seed, Steps, Value, node, node_of
from graphflow.registry import Definitions
from tests.toys import Shelf


class Model(Value):
    wire = "MODEL"


class Clip(Value):
    wire = "CLIP"


class Vae(Value):
    wire = "VAE"


class Conditioning(Value):
    wire = "CONDITIONING"


class Latent(Value):
    wire = "LATENT"


class Image(Value):
    wire = "IMAGE"


class Mask(Value):
    wire = "MASK"


class Checkpoint(NamedTuple):
    MODEL: Model
    CLIP: Clip
    VAE: Vae


class Loaded(NamedTuple):
    IMAGE: Image
    MASK: Mask


@node("CheckpointLoaderSimple", category="loaders", title="Load Checkpoint")
def checkpoint(ckpt_name: Annotated[File, Folder("checkpoints")]) -> Checkpoint:
    return Checkpoint(Model(), Clip(), Vae())


@node("CLIPTextEncode", category="conditioning")
def encode(text: Multiline, clip: Clip) -> Conditioning:
    """A prompt, read by the text encoder."""
    return Conditioning()


@node("EmptyLatentImage", category="latent")
def empty(
    width: Annotated[int, Field(ge=16, le=16384)] = 512,
    height: Annotated[int, Field(ge=16, le=16384)] = 512,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 1,
) -> Latent:
    return Latent()


@node("KSampler", category="sampling")
def sample(
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    seed: Seed = 0,
    steps: Annotated[int, Field(ge=1, le=10000)] = 20,
    cfg: Annotated[float, Field(ge=0, le=100)] = 8.0,
    sampler_name: Literal["euler", "ddim"] = "euler",
    scheduler: Literal["normal", "karras"] = "normal",
    denoise: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Latent:
    return latent_image


@node("VAEDecode", category="latent")
def decode(samples: Latent, vae: Vae) -> Image:
    return Image()


@node("LoadImage", category="image")
def load(image: Annotated[File, Folder("input", media="image")]) -> Loaded:
    return Loaded(Image(), Mask())


@node("ImageScaleBy", category="image")
def scale(image: Image, upscale_method: Literal["area", "lanczos"] = "area", scale_by: float = 1.0) -> Image:
    return image


@node("ComfySwitchNode", category="logic", outputs=["output"])
def switch(switch: bool, on_false: Lazy[Any] | None = None, on_true: Lazy[Any] | None = None) -> Steps[Any]:
    return (yield from (on_true if switch else on_false))


@node("SaveImage", category="image", output_node=True)
def save(images: Image, filename_prefix: str = "ComfyUI") -> Artifact:
    return Artifact("image/png", b"", filename_prefix)


@node("PreviewImage", category="image", output_node=True)
def preview(images: Image) -> Artifact:
    return Artifact("image/png", b"", "preview", {"temporary": True})


NODES = [
    node_of(function)
    for function in (checkpoint, encode, empty, sample, decode, load, scale, switch, save, preview)
]  # fmt: skip
DEFINITIONS = Definitions({one.definition.type: one.definition for one in NODES})
SHELF = Shelf(checkpoints={"tiny.safetensors": "c1"}, input={"cat.png": "i1"})

DEFAULT: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 8566257,
            "steps": 2,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "_meta": {"title": "KSampler"},
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red apple", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}
"""The editor's own first workflow, in the API format."""

"""What travels on an edge, with shape, range and dtype stated once, and its exact encoding to bytes.

Every value is a frozen dataclass of tensors, numbers, texts and other such dataclasses. `dumps` writes any of them as
one safetensors file (a JSON tree in its header, the tensors after it), `loads` gives an equal one back; no pickle.

A model on an edge is a **recipe**: which files, which part, and the patches on it. Weights are brought to the device
by `graphflow.models`, by recipe.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor

from graphflow.errors import UnsupportedFile
from graphflow.node import Artifact, Blocked, File, Value


class Piece:
    """A part of a value that does not travel alone; a frozen dataclass, encoded with the value that holds it."""


# --- pictures and latents --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image(Value):
    """A batch of pictures."""

    wire: ClassVar[str] = "IMAGE"
    data: Tensor
    """(B, H, W, C) float32 on the CPU, sRGB as it is in files, 0 to 1; C is 3, or 4 with alpha."""


@dataclass(frozen=True)
class Mask(Value):
    """A batch of masks; 1 means *here*: inpaint, select, apply."""

    wire: ClassVar[str] = "MASK"
    data: Tensor
    """(B, H, W) float32 on the CPU, 0 to 1."""


@dataclass(frozen=True)
class Latent(Value):
    """A batch of latents in the autoencoder's own space: the posterior's mode, unscaled."""

    wire: ClassVar[str] = "LATENT"
    data: Tensor
    """(B, C, h, w), or (B, C, F, h, w) for video; float32 on the CPU."""
    noise_mask: Tensor | None = None
    """(B or 1, 1, H, W), 1 where noise is added; any size, usually the picture's. Of films also (B or 1, 1, F, H, W)."""
    batch_index: tuple[int, ...] | None = None
    """Which samples of a larger batch these are; noise is drawn as it would be for that batch."""

    def with_data(self, data: Tensor) -> Latent:
        """The same mask and indices with other samples."""
        return dataclasses.replace(self, data=data)


@dataclass(frozen=True)
class Audio(Value):
    """Sound."""

    wire: ClassVar[str] = "AUDIO"
    data: Tensor
    """(B, channels, samples) float32, -1 to 1."""
    sample_rate: int


@dataclass(frozen=True)
class Video(Value):
    """Frames with their rate, and sound if there is any."""

    wire: ClassVar[str] = "VIDEO"
    frames: Tensor
    """(F, H, W, 3) float32, 0 to 1."""
    fps: float
    audio: Audio | None = None


# --- models: recipes, not weights ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights(Piece):
    """Where a model's weights come from."""

    files: tuple[File, ...]
    part: str
    """`model`, `clip`, `vae`, `controlnet`, `upscale_model`, `clip_vision`, `style_model`, `model_patch`, `ip_adapter`."""
    family: str = ""
    """Name of the family in `graphflow.families`, for example `sd15`."""
    dtype: str = ""
    """How they are kept: empty for the device policy's choice, or `fp8_e4m3fn`, `fp8_e5m2`."""
    options: tuple[tuple[str, str], ...] = ()
    """What the loading node was told beyond the files, for example the `type` of a text encoder."""


@dataclass(frozen=True)
class Patch(Piece):
    """A change to a model that leaves its weights' files alone; subclasses say which."""


@dataclass(frozen=True)
class Lora(Patch):
    """A low-rank (or kindred) change of weights, by strength."""

    file: File
    strength: float


@dataclass(frozen=True)
class Model(Value):
    """A denoising network: a recipe."""

    wire: ClassVar[str] = "MODEL"
    on_device: ClassVar[bool] = True
    weights: Weights
    patches: tuple[Patch, ...] = ()

    def patched(self, *patches: Patch) -> Model:
        """The same model with further patches, in order."""
        return dataclasses.replace(self, patches=(*self.patches, *patches))


@dataclass(frozen=True)
class Filling(Piece):
    """Tokens without meaning after a prompt."""

    padding: int = 0
    """So many after every prompt."""
    least: int = 0
    """And more, until there are so many in all."""


@dataclass(frozen=True)
class HookKeyframe(Piece):
    """From a share of the sampling on, what a hook's strength is multiplied by."""

    strength: float = 1.0
    start: float = 0.0
    guarantee: int = 1
    """It holds for at least so many noise levels, also where a later one would have begun."""


@dataclass(frozen=True)
class WeightHook(Piece):
    """A change of weights that holds for some conditionings alone: a LoRA, or another model in this one's place."""

    lora: File | None = None
    model: Weights | None = None
    clip: Weights | None = None
    strength_model: float = 1.0
    strength_clip: float = 1.0
    keyframes: tuple[HookKeyframe, ...] = ()
    """By their starts; none for a multiplier of 1 all the time."""


@dataclass(frozen=True)
class Hooks(Value):
    """Changes of weights that hold for some conditionings alone."""

    wire: ClassVar[str] = "HOOKS"
    hooks: tuple[WeightHook, ...] = ()


@dataclass(frozen=True)
class HookKeyframes(Value):
    """How hooks' strength goes over a sampling."""

    wire: ClassVar[str] = "HOOK_KEYFRAMES"
    keyframes: tuple[HookKeyframe, ...] = ()


@dataclass(frozen=True)
class ClipHooks(Piece):
    """Hooks on text encoders."""

    hooks: tuple[WeightHook, ...]
    apply_to_conds: bool = True
    """What the encoders make carries the hooks to the sampling."""
    schedule: bool = False
    """A prompt is encoded anew for each part of the sampling in which their strengths differ."""


@dataclass(frozen=True)
class Clip(Value):
    """One or several text encoders with their tokenizers: a recipe."""

    wire: ClassVar[str] = "CLIP"
    on_device: ClassVar[bool] = True
    weights: Weights
    patches: tuple[Patch, ...] = ()
    layer: int | None = None
    """Which hidden layer is taken, -1 for the last; None for the family's own."""
    filling: Filling | None = None
    """How T5 fills a prompt up; None for the family's own."""
    hooks: ClipHooks | None = None

    def patched(self, *patches: Patch) -> Clip:
        """The same encoders with further patches, in order."""
        return dataclasses.replace(self, patches=(*self.patches, *patches))


@dataclass(frozen=True)
class Vae(Value):
    """An autoencoder between pictures and latents: a recipe."""

    wire: ClassVar[str] = "VAE"
    on_device: ClassVar[bool] = True
    weights: Weights


@dataclass(frozen=True)
class ControlNet(Value):
    """A network that steers a denoising network by a picture: a recipe."""

    wire: ClassVar[str] = "CONTROL_NET"
    on_device: ClassVar[bool] = True
    weights: Weights
    union_type: str = ""
    """For networks of several kinds in one: which kind; empty lets the network decide."""


@dataclass(frozen=True)
class ModelPatch(Value):
    """A small network that works inside a denoising network, such as blockwise control: a recipe."""

    wire: ClassVar[str] = "MODEL_PATCH"
    on_device: ClassVar[bool] = True
    weights: Weights


@dataclass(frozen=True)
class UpscaleModel(Value):
    """A network that enlarges or restores pictures: a recipe."""

    wire: ClassVar[str] = "UPSCALE_MODEL"
    on_device: ClassVar[bool] = True
    weights: Weights


@dataclass(frozen=True)
class ClipVision(Value):
    """An image encoder: a recipe."""

    wire: ClassVar[str] = "CLIP_VISION"
    on_device: ClassVar[bool] = True
    weights: Weights


@dataclass(frozen=True)
class ClipVisionOutput(Value):
    """What an image encoder saw."""

    wire: ClassVar[str] = "CLIP_VISION_OUTPUT"
    image_embeds: Tensor
    """(B, P)."""
    last_hidden_state: Tensor
    """(B, T, D)."""
    penultimate_hidden_state: Tensor
    """(B, T, D)."""


@dataclass(frozen=True)
class IpAdapter(Value):
    """A network that lets a denoising network look at pictures as it looks at a prompt: a recipe."""

    wire: ClassVar[str] = "IPADAPTER"
    on_device: ClassVar[bool] = True
    weights: Weights


@dataclass(frozen=True)
class StyleModel(Value):
    """A network that turns an image encoder's output into text tokens: a recipe."""

    wire: ClassVar[str] = "STYLE_MODEL"
    on_device: ClassVar[bool] = True
    weights: Weights


@dataclass(frozen=True)
class Gligen(Value):
    """A network that puts texts into boxes: a recipe."""

    wire: ClassVar[str] = "GLIGEN"
    on_device: ClassVar[bool] = True
    weights: Weights


# --- conditioning ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Area(Piece):
    """A rectangle, in latent pixels, or in fractions of the picture when `relative`."""

    height: float
    width: float
    y: float
    x: float
    relative: bool = False


@dataclass(frozen=True)
class Control(Piece):
    """A ControlNet at work on one conditioning."""

    net: ControlNet
    hint: Tensor
    """(B, H, W, C), 0 to 1."""
    strength: float = 1.0
    start: float = 0.0
    """Fraction of the sampling at which it begins."""
    end: float = 1.0
    vae: Vae | None = None
    mask: Tensor | None = None
    """(B, H, W), for nets that inpaint."""


@dataclass(frozen=True)
class TextBox(Piece):
    """A text in a rectangle, in latent pixels."""

    embedding: Tensor
    """(1, P): the text's end state, before any projection."""
    height: int
    width: int
    y: int
    x: int


@dataclass(frozen=True)
class Grounding(Piece):
    """Texts in boxes, for GLIGEN."""

    net: Gligen
    boxes: tuple[TextBox, ...]


@dataclass(frozen=True)
class UnclipImage(Piece):
    """A picture as conditioning of an unCLIP model."""

    output: ClipVisionOutput
    strength: float
    noise_augmentation: float


@dataclass(frozen=True)
class Cond(Piece):
    """One text's encoding and where, when and how strongly it holds."""

    context: Tensor
    """(B, T, D), what cross-attention looks at."""
    pooled: Tensor | None = None
    """(B, P)."""
    attention_mask: Tensor | None = None
    """(B, T), 1 for tokens that count."""
    strength: float = 1.0
    area: Area | None = None
    mask: Tensor | None = None
    """(B, H, W): the region it holds in."""
    mask_strength: float = 1.0
    mask_bounds: bool = False
    """Show the network the mask's bounding box alone."""
    start: float = 0.0
    """Fraction of the sampling at which it begins to hold."""
    end: float = 1.0
    clip_start: float = 0.0
    """Where it was encoded for a part of the sampling alone: when that begins."""
    clip_end: float = 1.0
    hooks: tuple[WeightHook, ...] = ()
    """Changes of the network's weights while this is what it is asked about."""
    control_context: Tensor | None = None
    """(B, T, D): what ControlNets look at in place of `context`."""
    controls: tuple[Control, ...] = ()
    controls_uncond: bool = False
    """The controls also hold for an unguided entry that has none."""
    guidance: float | None = None
    """For networks with distilled guidance."""
    concat_latent: Tensor | None = None
    """(B, C, h, w), in the autoencoder's space, beside x for inpainting networks."""
    concat_mask: Tensor | None = None
    """(B, 1, H, W)."""
    reference_latents: tuple[Tensor, ...] = ()
    """Each (B, C, h, w), in the autoencoder's space."""
    reference_method: str = ""
    """How a network tells them apart: `offset`, `index`, `uxo`, `index_timestep_zero`; empty for the family's own way."""
    default: bool = False
    """Holds only where no other entry does."""
    unclip: tuple[UnclipImage, ...] = ()
    grounding: Grounding | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What one family alone knows: SDXL's `width`, `height`, `crop_w`, ..., `aesthetic_score`."""


@dataclass(frozen=True)
class Conditioning(Value):
    """Encoded texts; more than one are mixed by region, time and strength."""

    wire: ClassVar[str] = "CONDITIONING"
    entries: tuple[Cond, ...]

    def each(self, **changes: Any) -> Conditioning:
        """The same with some fields of every entry changed."""
        return Conditioning(tuple(dataclasses.replace(entry, **changes) for entry in self.entries))


# --- sampling, as recipes --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sigmas(Value):
    """Noise levels of a sampling, N + 1 of them for N steps."""

    wire: ClassVar[str] = "SIGMAS"
    data: Tensor
    """(N + 1,) float32 on the CPU, falling, usually to 0."""


@dataclass(frozen=True)
class Sampler(Value):
    """A sampler by name, with its options."""

    wire: ClassVar[str] = "SAMPLER"
    name: str
    options: tuple[tuple[str, float | str], ...] = ()


@dataclass(frozen=True)
class Noise(Value):
    """Where noise comes from: a seed, or nowhere."""

    wire: ClassVar[str] = "NOISE"
    seed: int | None = None
    """None: zeros."""


@dataclass(frozen=True)
class Guider(Value):
    """A model with its conditionings and the rule that mixes their predictions."""

    wire: ClassVar[str] = "GUIDER"
    on_device: ClassVar[bool] = True
    kind: str
    """Name of the rule: `basic`, `cfg`, `dual_cfg`, `perp_neg`."""
    model: Model
    conditionings: tuple[tuple[str, Conditioning], ...]
    """By role: `positive`, `negative`, ..."""
    options: tuple[tuple[str, float | str], ...] = ()


# --- encoding --------------------------------------------------------------------------------------------------------

_TAG: Literal["$"] = "$"


def classes() -> dict[str, type]:
    """Every dataclass that can be part of an encoding, by name: values, pieces, files."""
    found: dict[str, type] = {"File": File, "Artifact": Artifact, "Blocked": Blocked}
    pending: list[type[Any]] = [Value, Piece]
    while pending:
        subclasses: list[type[Any]] = pending.pop().__subclasses__()
        for sub in subclasses:
            pending.append(sub)
            if dataclasses.is_dataclass(sub):
                found.setdefault(sub.__name__, sub)
    return found


def dumps(value: Any) -> bytes:
    """The exact encoding: a safetensors file whose header holds the tree.

    Takes values, pieces, tensors, numbers, texts, bytes, None, and tuples, lists and dicts of them. Raises `TypeError`
    for anything else.
    """
    tensors: dict[str, Tensor] = {}
    tree = _encode(value, tensors)
    return save(tensors or {"_": torch.zeros(1)}, {"graphflow": json.dumps(tree)})


def loads(data: bytes) -> Any:
    """The value that `dumps` wrote. Raises `UnsupportedFile` when the bytes are damaged or of another program."""
    try:
        size = int.from_bytes(data[:8], "little")
        tree = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["graphflow"])
        return _decode(tree, load(data), classes())
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        raise UnsupportedFile(f"this is no encoded value of GraphFlow: {error}") from error
    except Exception as error:  # safetensors has an error class of its own, which is not exported for typing
        raise UnsupportedFile(f"this is no encoded value of GraphFlow: {error}") from error


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return {_TAG: "float", "hex": value.hex()}
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous().clone()
        return {_TAG: "tensor", "name": name}
    if isinstance(value, bytes):
        name = str(len(tensors))
        tensors[name] = torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else torch.zeros(0).byte()
        return {_TAG: "bytes", "name": name}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [_encode(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_encode(item, tensors) for item in value]
    if isinstance(value, Mapping):
        return {_TAG: "dict", "items": [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, Path):
        return {_TAG: "path", "path": str(value)}
    if dataclasses.is_dataclass(value) and classes().get(type(value).__name__) is type(value):
        fields = {f.name: _encode(getattr(value, f.name), tensors) for f in dataclasses.fields(value)}
        return {_TAG: "object", "class": type(value).__name__, "fields": fields}
    raise TypeError(f"a {type(value).__name__} has no exact encoding; make it a frozen dataclass that is a Value")


def _decode(tree: Any, tensors: Mapping[str, Tensor], known: Mapping[str, type]) -> Any:
    if isinstance(tree, list):
        return [_decode(item, tensors, known) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match tree[_TAG]:
        case "float":
            return float.fromhex(tree["hex"])
        case "tensor":
            return tensors[tree["name"]]
        case "bytes":
            return tensors[tree["name"]].numpy().tobytes()
        case "tuple":
            return tuple(_decode(item, tensors, known) for item in tree["items"])
        case "dict":
            return {_decode(k, tensors, known): _decode(v, tensors, known) for k, v in tree["items"]}
        case "path":
            return Path(tree["path"])
        case "object":
            fields = {name: _decode(item, tensors, known) for name, item in tree["fields"].items()}
            return known[tree["class"]](**fields)
        case other:
            raise ValueError(f"unknown tag {other!r}")


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Every tensor in a value."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from tensors_of(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            yield from tensors_of(getattr(value, f.name))


def nbytes(value: Any) -> int:
    """Bytes of memory that a value's tensors and files take; a shared tensor counts once."""
    seen = {(t.data_ptr(), t.numel()): t.numel() * t.element_size() for t in tensors_of(value)}
    return sum(seen.values()) + sum(len(one.data) for one in _artifacts(value) if isinstance(one.data, bytes))


def _artifacts(value: Any) -> Iterator[Artifact]:
    if isinstance(value, Artifact):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _artifacts(item)


def summary(value: Any) -> str:
    """A few words on a value for an error message: its type and shape, or a literal shortened."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], Value):
        return f"list of {len(value)} × {summary(value[0])}"
    if isinstance(value, Value):
        shapes = [f"{'x'.join(map(str, t.shape))}" for t in tensors_of(value)][:3]
        return f"{type(value).__name__}({', '.join(shapes)})"
    if isinstance(value, File):
        return value.name
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."

"""What a family of models is: one `Family`, which says how its files look and how its networks are computed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.looks import LoraLooks, Signature, input_channels
from graphflow.header import Header
from graphflow.layouts import Layout

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphflow.diffusion.network import Concat, Residuals, RowCond
    from graphflow.diffusion.parametrisation import Parametrisation
    from graphflow.values import Cond

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Encoded:
    """What one text encoder makes of a text."""

    context: Tensor
    """(1, T, D) float32."""
    pooled: Tensor | None = None
    """(1, P) float32."""
    mask: Tensor | None = None
    """(1, T), 1 for tokens that count."""
    layers: Tensor | None = None
    """(L, 1, T, D), where a family looks at several layers apart."""


class Prompt(Protocol):
    """Texts on their way through a family's encoders."""

    def text(self, role: str) -> str:
        """The text for the encoder of that role."""

    def of(self, role: str, *, chunks: int = 0) -> Encoded | None:
        """What that encoder makes of its text, at least `chunks` chunks long; None when it is not loaded."""

    def single(self) -> Cond:
        """The conditioning of a family with one encoder."""


@dataclass(frozen=True)
class Facts:
    """What a file says of its network beyond the weights."""

    header: Header
    """The network's own tensors, without prefix."""
    config: Json
    """Of the network's class."""
    scheduler: Json = field(default_factory=dict)
    """Of a diffusers folder's scheduler; empty for single files."""
    details: Json = field(default_factory=dict)
    """What detection found: `prediction`, `zsnr`."""
    read: Callable[[str], Tensor] | None = None
    """A tensor of the network by its name in the file."""


@dataclass(frozen=True)
class Call:
    """The inputs of one forward pass: all rows of it, one after another along the first axis (N)."""

    x: Tensor
    """(N, C, h, w) or (N, C, F, h, w), scaled for the network, other channels appended; in the network's dtype."""
    timestep: Tensor
    """(N,) float32."""
    context: Tensor
    """(N, T, D), in the network's dtype."""
    pooled: Tensor | None
    """(N, P)."""
    attention_mask: Tensor | None
    """(N, T), 1 for tokens that count."""
    guidance: Tensor | None
    """(N,) float32."""
    references: tuple[Tensor, ...]
    """Each (N, C, h, w)."""
    conds: Sequence[tuple[RowCond, int]]
    """The rows' conditionings, with how many of the N each stands for."""
    residuals: Residuals | None = None
    """What ControlNets and T2I-Adapters add."""

    @property
    def reference_method(self) -> str:
        """How the references are told apart; the same for all rows."""
        return self.conds[0][0].reference_method

    def stacked(self, of: Callable[[RowCond], Sequence[float]]) -> Tensor:
        """(N, k) float32, from k numbers of each row."""
        import torch

        rows = [torch.tensor(of(cond), dtype=torch.float32).expand(n, -1) for cond, n in self.conds]
        return torch.cat(rows).to(self.x.device)


@dataclass(frozen=True)
class Template:
    """The text around a prompt that a language model was used with in training."""

    before: str = ""
    after: str = ""
    dropped: int = 0
    """Tokens at the beginning whose encodings are left out."""


@dataclass(frozen=True)
class TextPart:
    """One of the text encoders that a family's prompts go through."""

    name: str
    """As detection names it: `clip_l`, `clip_g`, `t5`, ..."""
    role: str
    """The name of its text in nodes that take several: `l`, `g`, `h`, `t5xxl`, `llama`."""
    layer: int = -1
    """The hidden layer that is taken, -1 for the last."""
    norm: bool = True
    """Whether the final norm is applied to a layer before the last."""
    pad: int | None = None
    """Token that fills a chunk; None for the end token."""
    folder: str = ""
    """Where `NAME.config` holds its config, if not in `text_encoder`."""
    least: int = 0
    """For encoders without chunks: tokens that every prompt is filled up to."""
    left: bool = False
    """They stand before the prompt, not after it."""
    padding: int = 0
    """For T5: tokens that fill up after every prompt, however long."""
    masked: bool = False
    """The network is told which tokens fill up."""
    zeroed: bool = False
    """The encodings of tokens that fill up are zero."""
    layers: tuple[int, ...] = ()
    """For language models: the hidden layers taken side by side (for `llama`, one on another); the last for none."""
    instead_of: str = ""
    """The encoder in whose place some models of the family have this one."""
    template: Template = Template()
    """For language models."""


@dataclass(frozen=True)
class Family:
    """A family: how its network is built, called and read from files, and what its latents and prompts are."""

    name: str
    title: str
    """What people call it."""
    autoencoders: Mapping[tuple[str, int], str]
    """By an autoencoder's kind, as detection names it, and its latents' channels: the space of those latents, named for
    who used it first. The first is the usual one."""
    signatures: tuple[Signature, ...]
    """How its networks' files look."""
    class_name: str
    """Of its network in diffusers."""
    config: Callable[[Header], dict[str, Any]]
    """Its config, from the shapes of a file in the original layout."""
    layout: Layout
    """The original layout of its files."""
    forward: Callable[[nn.Module, Call], Tensor]
    """The network's raw output, shaped like x without the appended channels."""
    latents: Callable[[Facts], LatentFormat]
    parametrisation: Callable[[Facts], Parametrisation]
    concat: Callable[[Facts], Concat] = lambda _: ""
    dtypes: tuple[str, ...] = ("bfloat16", "float16")
    """Where the device is fast at it, the first of these."""
    text: tuple[TextPart, ...] = ()
    compose: Callable[[Prompt], Cond] = lambda prompt: prompt.single()
    """How the encoders' outputs become one conditioning."""
    guidance: float | None = None
    """Default of the distilled guidance; None where the network takes none."""
    finish: Callable[[nn.Module, Callable[[str], Tensor | None]], None] = lambda *_: None
    """What the network takes from the rest of its file, a tensor by its whole name (None where it has none)."""
    ends: tuple[str, str] | None = None
    """The weights that take the latent in and give it out, where LoRAs may let the former see a picture beside it."""
    lora_names: Layout | None = None
    """Names of weights, or of parts of them, that are in use in LoRAs alone."""
    context_width: Callable[[Json], int] | None = None
    """How wide the conditioning has to be, by the config; None where it is not known."""
    network: Callable[[Json], nn.Module] | None = None
    """Its network, from the config, where diffusers has no class of it."""
    details: Callable[[Header], dict[str, Any]] = input_channels
    """What planning has to know beyond the family, from a file in either layout: `in_channels`, `latent_channels`."""
    also_understands: tuple[str, ...] = ()
    """Other families whose conditioning serves it, too."""
    templates: Mapping[str, Template] = field(default_factory=dict)
    """Those that nodes use beside its text encoder's own, by name."""
    types: tuple[tuple[str, str], ...] = ()
    """What the text encoders' loader nodes call it, and which encoder tells it from others of that type (any for the
    empty one)."""
    loras: LoraLooks | None = None
    """None for U-Nets, whose LoRAs are told by the width of the text that they look at."""
    context: int = 0
    """Of U-Nets: the width of the text that they look at."""
    other_classes: Mapping[str, str] = field(default_factory=dict)
    """In diffusers of its networks of other kinds, by a key that their configs alone have."""
    complete: Callable[[nn.Module, Json], None] = lambda *_: None
    """Adds what diffusers' class lacks, by the config."""

    def build(self, config: Json) -> nn.Module:
        """The network from its config."""
        name = next((cls for key, cls in self.other_classes.items() if key in config), self.class_name)
        module = (self.network or diffusers_class(name))(config)
        self.complete(module, config)
        return module

    @property
    def space(self) -> str:
        """The space of its latents."""
        return next(iter(self.autoencoders.values()))

    @property
    def encoders(self) -> tuple[str, ...]:
        """The text encoders that its prompts go through."""
        return tuple(part.name for part in self.text if not part.instead_of)


def diffusers_class(name: str) -> Callable[[Json], nn.Module]:
    """A network of diffusers by the name of its class, from its config."""

    def build(config: Json) -> nn.Module:
        import diffusers

        return getattr(diffusers, name).from_config(dict(config))  # type: ignore[no-any-return]

    return build


def discrete(facts: Facts) -> Parametrisation:
    """Of a DDPM family: epsilon under Stable Diffusion's schedule, unless the file says otherwise."""
    from graphflow.diffusion.parametrisation import (
        Discrete,
        Edm,
        Epsilon,
        LogUniform,
        Parametrisation,
        Sample,
        Velocity,
    )

    said = str(facts.scheduler.get("prediction_type") or facts.details.get("prediction") or "epsilon")
    if said in ("edm", "edm_v"):
        return Parametrisation(
            Edm() if said == "edm" else Velocity(), LogUniform(0.002, 80.0 if said == "edm" else 120.0)
        )
    prediction = {"v": Velocity(), "v_prediction": Velocity(), "sample": Sample()}.get(said, Epsilon())
    betas: Literal["scaled_linear", "linear", "squaredcos_cap_v2"] = facts.scheduler.get(
        "beta_schedule", "scaled_linear"
    )
    zsnr = bool(facts.scheduler.get("rescale_betas_zero_snr") or facts.details.get("zsnr"))
    start, end = facts.scheduler.get("beta_start", 0.00085), facts.scheduler.get("beta_end", 0.012)
    steps = int(facts.scheduler.get("num_train_timesteps", 1000))
    return Parametrisation(prediction, Discrete(steps, start, end, betas, zsnr))

"""Changes to a model that are not changes of its weights, as small frozen values on its recipe.

Each kind of patch has one function, at one place of a guided prediction:

- `ParametrisationPatch` replaces the noise schedule or what the output means;
- `EditPatch` changes the network's forward pass for a call; `ImagePatch` shows it pictures;
  `CachePatch` skips what earlier steps computed;
- `ScalePatch` changes the guidance scale by sigma; `MaskPatch` the inpainting mask;
- `BeforeMix`, `InsteadOfMix`, `AfterMix` work on the predictions around classifier-free guidance;
- `AskingInsteadOfMix` and `AskingAfterMix` also ask the network again.

They compose in the order in which they were put on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from torch import Tensor

from graphflow.diffusion.network import CacheRule, DiffusionNetwork, NetworkEdit, RowImage
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.node import Row
from graphflow.values import Conditioning, Patch

Asking = Generator[Sequence[Row], list[Tensor], Tensor]
"""Yields rows, is sent their predictions, returns a prediction."""


class Again(Protocol):
    """Asks for one role's prediction anew."""

    def __call__(self, role: str, *, x: Tensor | None = None, edits: tuple[NetworkEdit, ...] = ()) -> Asking:
        """D(x; sigma) under the conditioning of `role`, with further edits."""


@dataclass(frozen=True, eq=False)
class Mix:
    """Classifier-free guidance at one point: the two predictions and what is made of them."""

    x: Tensor
    sigma: Tensor
    scale: float
    cond: Tensor
    uncond: Tensor | None
    """None when the scale is 1 and nothing asked for it."""
    guided: Tensor
    """cond itself until they are mixed."""
    parametrisation: Parametrisation
    memory: MutableMapping[Any, Any] = field(default_factory=dict)
    """What a patch keeps from one step of a sampling to the next, by the patch."""


@dataclass(frozen=True)
class ParametrisationPatch(Patch):
    """Another noise schedule, or another meaning of the output."""

    def parametrisation(self, base: Parametrisation) -> Parametrisation:
        """The one to use in place of `base`."""
        raise NotImplementedError


@dataclass(frozen=True)
class EditPatch(Patch):
    """Another forward pass."""

    def ready(self, network: DiffusionNetwork, size: tuple[int, int]) -> EditPatch:
        """What to put in its place for a sampling of a latent of that height and width; asked where models load."""
        return self

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """What to change in a call at that noise level."""
        raise NotImplementedError


@dataclass(frozen=True)
class CachePatch(Patch):
    """Work skipped by what earlier steps computed; the last one on a model that has a rule wins."""

    def rule(self, sigma: float, parametrisation: Parametrisation) -> CacheRule | None:
        """What may be skipped in a call at that noise level; None for nothing."""
        raise NotImplementedError


@dataclass(frozen=True)
class ImagePatch(Patch):
    """Pictures beside the text, for the networks that can look at them."""

    def images(self, sigma: float, parametrisation: Parametrisation, *, uncond: bool) -> tuple[RowImage, ...]:
        """What a call at that noise level looks at; `uncond` on the unguided side. Masks may be of any size."""
        raise NotImplementedError


@dataclass(frozen=True)
class ScalePatch(Patch):
    """A guidance scale that depends on sigma."""

    def scale(self, sigma: float, scale: float, parametrisation: Parametrisation) -> float:
        """The scale to use in place of `scale`."""
        raise NotImplementedError


@dataclass(frozen=True)
class MaskPatch(Patch):
    """An inpainting mask that depends on sigma."""

    def mask(self, mask: Tensor, sigma: Tensor, sigmas: Tensor, parametrisation: Parametrisation) -> Tensor:
        """The mask to use in place of `mask`; `sigmas` are those of the whole sampling."""
        raise NotImplementedError


@dataclass(frozen=True)
class BeforeMix(Patch):
    """Changes the two predictions; runs only when there are two."""

    def before(self, mix: Mix) -> tuple[Tensor, Tensor]:
        """cond and uncond to mix in place of those."""
        raise NotImplementedError


@dataclass(frozen=True)
class InsteadOfMix(Patch):
    """Mixes the two predictions in its own way; the last one on a model wins. Runs only when there are two."""

    def mixed(self, mix: Mix) -> Tensor:
        """The guided prediction."""
        raise NotImplementedError


@dataclass(frozen=True)
class AskingInsteadOfMix(Patch):
    """As `InsteadOfMix`, of which the last on a model wins, with the help of further predictions."""

    def conditionings(self) -> Mapping[str, Conditioning]:
        """Those that it asks about, by role, beside the sampling's own."""
        return {}

    def asking(self, mix: Mix, again: Again) -> Asking:
        """The guided prediction."""
        raise NotImplementedError


@dataclass(frozen=True)
class AfterMix(Patch):
    """Changes the guided prediction."""

    def after(self, mix: Mix) -> Tensor:
        """The prediction to use in place of `mix.guided`."""
        raise NotImplementedError


@dataclass(frozen=True)
class AskingAfterMix(Patch):
    """Changes the guided prediction with the help of another."""

    needs_uncond: bool = field(default=False, init=False)
    """It asks for the unguided prediction even at scale 1."""

    def asking(self, mix: Mix, again: Again) -> Asking:
        """The prediction to use in place of `mix.guided`."""
        raise NotImplementedError


P = TypeVar("P", bound=Patch)


def only(patches: Iterable[Patch], kind: type[P]) -> tuple[P, ...]:
    """The patches of one kind, in order."""
    return tuple(patch for patch in patches if isinstance(patch, kind))


def patched(base: Parametrisation, patches: Iterable[Patch]) -> Parametrisation:
    """A network's parametrisation as the recipe's patches leave it."""
    for patch in only(patches, ParametrisationPatch):
        base = patch.parametrisation(base)
    return base

"""Patches that say anew what a network's output means, or which noise levels it knows; and edits of its forward pass."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from graphflow.diffusion.edits import FreeU, MergeTokens, ScaleAttention, Tiles
from graphflow.diffusion.network import NetworkEdit
from graphflow.diffusion.noise import NoiseCompat
from graphflow.diffusion.parametrisation import (
    Angular,
    Consistency,
    Discrete,
    Distilled,
    Edm,
    EdmFlow,
    Epsilon,
    Flow,
    FlowMu,
    FlowShift,
    ImageToImage,
    LogUniform,
    Parametrisation,
    Prediction,
    Sample,
    Velocity,
)
from graphflow.diffusion.patches import EditPatch, ParametrisationPatch
from graphflow.diffusion.references import ReferencesApart
from graphflow.values import Patch

Meaning = Literal["eps", "v_prediction", "lcm", "x0", "img_to_img"]
ContinuousMeaning = Literal["v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow"]


@dataclass(frozen=True)
class DiscreteSampling(ParametrisationPatch):
    """A DDPM schedule, with another meaning of the output and perhaps zero terminal signal-to-noise ratio."""

    sampling: Meaning = "eps"
    zsnr: bool = False

    def parametrisation(self, base: Parametrisation) -> Parametrisation:
        """Under the model's own betas where it has such."""
        own = base.schedule if isinstance(base.schedule, Discrete) else Discrete()
        schedule = dataclasses.replace(own, zsnr=self.zsnr)
        meaning: dict[str, Prediction] = {
            "eps": Epsilon(),
            "v_prediction": Velocity(),
            "lcm": Consistency(),
            "x0": Sample(),
            "img_to_img": ImageToImage(),
        }
        return Parametrisation(meaning[self.sampling], Distilled(schedule) if self.sampling == "lcm" else schedule)


@dataclass(frozen=True)
class ContinuousSampling(ParametrisationPatch):
    """Any noise level between two, with the timestep log(sigma) / 4, or an angle for `angular`."""

    sampling: ContinuousMeaning = "edm"
    sigma_max: float = 120.0
    sigma_min: float = 0.002
    angular: bool = False

    def parametrisation(self, base: Parametrisation) -> Parametrisation:
        """In place of the model's own."""
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min:g} must be above 0 and below sigma_max {self.sigma_max:g}")
        meaning: dict[str, Prediction] = {
            "eps": Epsilon(),
            "v_prediction": Velocity(),
            "edm": Edm(0.5),
            "edm_playground_v2.5": Edm(0.5),
            "cosmos_rflow": EdmFlow(),
        }
        schedule = Angular if self.angular else LogUniform
        return Parametrisation(meaning[self.sampling], schedule(self.sigma_min, self.sigma_max))


@dataclass(frozen=True)
class FlowSampling(ParametrisationPatch):
    """A flow whose time is moved towards noise by `shift`, and told to the network times `multiplier`."""

    shift: float = 3.0
    multiplier: float = 1000.0

    def parametrisation(self, base: Parametrisation) -> Parametrisation:
        """In place of the model's own."""
        return Parametrisation(Flow(), FlowShift(self.shift, self.multiplier))


@dataclass(frozen=True)
class MovedFlowSampling(ParametrisationPatch):
    """A flow whose time is moved towards noise by e^mu, as Flux's is."""

    mu: float = 1.15

    def parametrisation(self, base: Parametrisation) -> Parametrisation:
        """In place of the model's own."""
        return Parametrisation(Flow(), FlowMu(self.mu))


@dataclass(frozen=True)
class NoiseVersion(Patch):
    """Whose rule seeds the noise that samplers add on the way, on the CPU; see `noise.NoiseCompat`."""

    version: NoiseCompat = "0.3.64"


def noise_version(patches: Iterable[Patch]) -> NoiseCompat:
    """The rule that the last such patch asks for."""
    asked = [patch.version for patch in patches if isinstance(patch, NoiseVersion)]
    return asked[-1] if asked else "0.3.64"


# --- the forward pass ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FreeUPatch(EditPatch):
    """See `edits.FreeU`."""

    b1: float
    b2: float
    s1: float
    s2: float
    version: int = 2

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """At every noise level."""
        return (FreeU(self.b1, self.b2, self.s1, self.s2, self.version),)


@dataclass(frozen=True)
class AttentionScalePatch(EditPatch):
    """See `edits.ScaleAttention`."""

    cross: bool
    q: float
    k: float
    v: float
    out: float

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """At every noise level."""
        return (ScaleAttention(self.cross, self.q, self.k, self.v, self.out),)


@dataclass(frozen=True)
class HyperTilePatch(EditPatch):
    """See `edits.Tiles`; which tiling is drawn follows from the noise level, so a seed gives the same picture."""

    tile_size: int = 256
    swap_size: int = 2
    max_depth: int = 0
    scale_depth: bool = False

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """Another tiling at each noise level."""
        least = max(32, self.tile_size) // 8
        return (Tiles(least, self.swap_size, self.max_depth, self.scale_depth, _seed(sigma)),)


@dataclass(frozen=True)
class MergeTokensPatch(EditPatch):
    """See `edits.MergeTokens`."""

    ratio: float = 0.3

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """Other tokens stay at each noise level."""
        return (MergeTokens(self.ratio, _seed(sigma)),)


def _seed(sigma: float) -> int:
    """A number that a noise level gives on every machine."""
    return int.from_bytes(hashlib.sha256(sigma.hex().encode()).digest()[:4], "big")


@dataclass(frozen=True)
class ReferencesApartPatch(EditPatch):
    """Reference pictures that see themselves alone, at every noise level."""

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """The same edit each time."""
        return (ReferencesApart(),)

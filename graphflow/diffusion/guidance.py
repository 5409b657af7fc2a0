"""Guidance: from a network and several conditionings to the one D(x; sigma) that a sampler sees.

`Guided.evaluate` answers a sampler's question by asking the network. Which texts hold where and when, how their
predictions are mixed, classifier-free guidance and its kin, and what an inpainting mask keeps are all decided here, so
that samplers know nothing of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from graphflow.diffusion.conds import Canvas, Region, row_cond
from graphflow.diffusion.hooks import strengths_at
from graphflow.diffusion.network import DiffusionNetwork, NetworkEdit, RowCache
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import (
    AfterMix,
    Again,
    Asking,
    AskingAfterMix,
    AskingInsteadOfMix,
    BeforeMix,
    CachePatch,
    EditPatch,
    ImagePatch,
    InsteadOfMix,
    MaskPatch,
    Mix,
    ScalePatch,
    only,
)
from graphflow.node import Denoise, Row
from graphflow.values import Conditioning, Patch

Predictions = Generator[Sequence[Row], list[Tensor], dict[str, Tensor]]

UNGUIDED = ("negative", "empty")
"""Roles that guidance steers away from."""

EMPTY = 1e-37
"""Added to the sum of weights, so that what no text covers is 0 and not NaN."""


@dataclass(frozen=True, eq=False)
class Inpaint:
    """What is kept of a picture while the rest is painted."""

    mask: Tensor
    """(B, C, [F,] h, w), 1 where it is painted."""
    latent: Tensor
    """The picture, in the network's space."""
    noise: Tensor
    """What is put on the kept part at each noise level."""
    clean: bool = False
    """The network sees the kept part without noise, and is told so."""

    def into(self, x: Tensor, sigma: Tensor, mask: Tensor, parametrisation: Parametrisation) -> Tensor:
        """x with the kept part as it would be at sigma, or as it is."""
        if self.clean:
            return self.out(x, mask)
        return x * mask + parametrisation.add_noise(sigma, self.noise, self.latent) * (1.0 - mask)

    def out(self, denoised: Tensor, mask: Tensor) -> Tensor:
        """The prediction, or x, with the kept part as it is."""
        return denoised * mask + self.latent * (1.0 - mask)


@dataclass(frozen=True, eq=False)
class Guided:
    """A network under guidance, for one sampling."""

    canvas: Canvas
    regions: Mapping[str, Sequence[Region]]
    """By role: `positive`, `negative`, ..."""
    rule: Rule
    patches: tuple[Patch, ...] = ()
    inpaint: Inpaint | None = None
    sigmas: Tensor = field(default_factory=lambda: torch.zeros(0))
    """Of the whole sampling."""
    picture: Callable[[Tensor], bytes] = lambda _: b""
    """A small JPEG of a latent in the network's space."""
    memory: dict[Any, Any] = field(default_factory=dict)

    @property
    def parametrisation(self) -> Parametrisation:
        """What x and sigma mean."""
        return self.canvas.parametrisation

    def evaluate(self, request: Denoise) -> Generator[Sequence[Row], list[Tensor], Any]:
        """Yields rows, returns the guided prediction, or with `uncond` the guided and the unguided one."""
        x, sigma = request.x, request.sigma
        mask = self._mask(sigma)
        if self.inpaint is not None and mask is not None:
            x = self.inpaint.into(x, sigma, mask, self.parametrisation)
        mix = yield from self.rule.mix(self, x, sigma, request.uncond)
        denoised = mix.guided
        if self.inpaint is not None and mask is not None:
            denoised = self.inpaint.out(denoised, mask)
        return (denoised, mix.cond if mix.uncond is None else mix.uncond) if request.uncond else denoised

    def preview(self, denoised: Tensor) -> bytes:
        """A small JPEG of what the latent shows."""
        return self.picture(denoised)

    def _mask(self, sigma: Tensor) -> Tensor | None:
        if self.inpaint is None:
            return None
        mask = self.inpaint.mask
        for patch in only(self.patches, MaskPatch):
            mask = patch.mask(mask, sigma, self.sigmas, self.parametrisation)
        return mask

    # --- predictions ---

    def predict(
        self, x: Tensor, sigma: Tensor, roles: Sequence[str], edits: tuple[NetworkEdit, ...] = ()
    ) -> Predictions:
        """The prediction under each role's conditioning: its entries' weighted mean."""
        level = float(sigma)
        for patch in only(self.patches, EditPatch):
            edits = (*patch.edits(level, self.parametrisation), *edits)
        active = [(role, region, region.weight(x)) for role in roles for region in self._active(role, level, x)]
        active += self._defaults(roles, level, x, active)
        rows = [self._row(role, region, x, sigma, edits) for role, region, _ in active]
        # The unguided rows first: one call for both sides then has the reference's order.
        order = sorted(range(len(rows)), key=lambda i: active[i][0] != "negative")
        answers = (yield [rows[i] for i in order]) if rows else []
        denoised = dict(zip(order, answers, strict=True))
        return {
            role: self._mean(x, [(r, w, denoised[i]) for i, (who, r, w) in enumerate(active) if who == role])
            for role in roles
        }

    def _active(self, role: str, level: float, x: Tensor) -> list[Region]:
        return [r for r in self.regions[role] if not r.cond.default and r.active(level)]

    def _defaults(
        self, roles: Sequence[str], level: float, x: Tensor, active: Sequence[tuple[str, Region, Tensor]]
    ) -> list[tuple[str, Region, Tensor]]:
        """Entries that hold where no other one of their role does, with what the others leave as weight."""
        found = []
        for role in roles:
            defaults = [r for r in self.regions[role] if r.cond.default and r.active(level)]
            if not defaults:
                continue
            rest = torch.ones_like(x)
            for who, region, weight in active:
                if who == role:
                    region.part(rest).sub_(weight)
            rest = rest.relu()
            if bool(rest.any()):
                found += [(role, region, region.part(rest)) for region in defaults]
        return found

    def _row(self, role: str, region: Region, x: Tensor, sigma: Tensor, edits: tuple[NetworkEdit, ...]) -> Row:
        part = region.part(x)
        uncond, level = role in UNGUIDED, float(sigma)
        images = tuple(
            image
            for patch in only(self.patches, ImagePatch)
            for image in patch.images(level, self.parametrisation, uncond=uncond)
        )
        cache = self._cache(role, region, level, edits)
        cond = row_cond(
            region, part, level, self.canvas, uncond=role == "negative", edits=edits, images=images, cache=cache
        )
        return Row(self._network(region, level), part, sigma, cond)

    def _network(self, region: Region, level: float) -> DiffusionNetwork:
        hooks = region.cond.hooks
        if not hooks or self.canvas.hooked is None:
            return self.canvas.network
        first = float(self.sigmas.max()) if len(self.sigmas) else level
        return self.canvas.hooked(strengths_at(hooks, level, first, self.parametrisation.percent_to_sigma, self.memory))

    def _cache(self, role: str, region: Region, level: float, edits: tuple[NetworkEdit, ...]) -> RowCache | None:
        rules = (patch.rule(level, self.parametrisation) for patch in reversed(only(self.patches, CachePatch)))
        rule = next((rule for rule in rules if rule is not None), None)
        if rule is None:
            return None
        at, asked = self.memory.get(RowCache, (None, Counter()))
        asked = asked if at == level else Counter()
        self.memory[RowCache] = (level, asked)
        who = (role, id(region), *(type(edit).__name__ for edit in edits))
        asked[who] += 1  # some guidance asks one thing several times, about pictures that differ
        return RowCache(rule, self.memory, (*who, asked[who]))

    @staticmethod
    def _mean(x: Tensor, parts: Sequence[tuple[Region, Tensor, Tensor]]) -> Tensor:
        total, weights = torch.zeros_like(x), torch.full_like(x, EMPTY)
        for region, weight, denoised in parts:
            region.part(total).add_(denoised * weight)
            region.part(weights).add_(weight)
        return total / weights

    # --- classifier-free guidance ---

    def guide(
        self,
        x: Tensor,
        sigma: Tensor,
        scale: float,
        want_uncond: bool,
        roles: tuple[str, str] = ("positive", "negative"),
    ) -> Generator[Sequence[Row], list[Tensor], Mix]:
        """U + (C - U) * scale with the model's patches; the unguided side is skipped at scale 1 unless it is wanted."""
        for scaled in only(self.patches, ScalePatch):
            scale = scaled.scale(float(sigma), scale, self.parametrisation)
        positive, negative = roles
        asking = only(self.patches, AskingAfterMix)
        skip = math.isclose(scale, 1.0) and not want_uncond and not any(p.needs_uncond for p in asking)
        both = not skip and bool(self.regions.get(negative))
        found = yield from self.predict(x, sigma, [positive, negative] if both else [positive])
        cond = found[positive]
        mix = Mix(x, sigma, scale, cond, found.get(negative), cond, self.parametrisation, self.memory)
        mix = yield from self._mixed(mix, self._again(x, sigma))
        for patch in self.patches:
            if isinstance(patch, AfterMix):
                mix = dataclasses.replace(mix, guided=patch.after(mix))
            elif isinstance(patch, AskingAfterMix):
                mix = dataclasses.replace(mix, guided=(yield from patch.asking(mix, self._again(x, sigma))))
        return mix

    def _mixed(self, mix: Mix, again: Again) -> Generator[Sequence[Row], list[Tensor], Mix]:
        if mix.uncond is None:
            return mix
        for patch in only(self.patches, BeforeMix):
            cond, uncond = patch.before(mix)
            mix = dataclasses.replace(mix, cond=cond, uncond=uncond)
        instead = [patch for patch in self.patches if isinstance(patch, InsteadOfMix | AskingInsteadOfMix)]
        if not instead:
            guided = cfg(mix.cond, mix.uncond, mix.scale)
        elif isinstance(last := instead[-1], InsteadOfMix):
            guided = last.mixed(mix)
        else:
            guided = yield from last.asking(mix, again)
        return dataclasses.replace(mix, guided=guided)

    def _again(self, x: Tensor, sigma: Tensor) -> Again:
        def again(role: str, *, x: Tensor | None = None, edits: tuple[NetworkEdit, ...] = ()) -> Asking:
            found = yield from self.predict(here if x is None else x, sigma, [role], edits)
            return found[role]

        here = x
        return again


def cfg(cond: Tensor, uncond: Tensor | None, scale: float) -> Tensor:
    """Classifier-free guidance on denoised predictions (https://arxiv.org/abs/2207.12598)."""
    return cond if uncond is None else uncond + (cond - uncond) * scale


# --- rules -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """How the roles' predictions become one."""

    def mix(
        self, guided: Guided, x: Tensor, sigma: Tensor, uncond: bool
    ) -> Generator[Sequence[Row], list[Tensor], Mix]:
        """The guided prediction and what it was made of."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cfg(Rule):
    """Classifier-free guidance; at scale 1 the positive conditioning alone."""

    scale: float = 1.0

    def mix(
        self, guided: Guided, x: Tensor, sigma: Tensor, uncond: bool
    ) -> Generator[Sequence[Row], list[Tensor], Mix]:
        """`Guided.guide` with the scale."""
        return guided.guide(x, sigma, self.scale, uncond)


@dataclass(frozen=True)
class DualCfg(Rule):
    """Two positive conditionings (https://arxiv.org/abs/2211.09800, equation 3): roles positive, middle, negative."""

    scale: float = 8.0
    """Of the first against the second."""
    scale_middle: float = 8.0
    """Of the second against the negative."""
    style: Literal["regular", "nested"] = "regular"

    def mix(
        self, guided: Guided, x: Tensor, sigma: Tensor, uncond: bool
    ) -> Generator[Sequence[Row], list[Tensor], Mix]:
        """Regular: cfg(middle, negative) + (positive - middle) * scale; nested: cfg of cfg."""
        found = yield from guided.predict(x, sigma, ["positive", "middle", "negative"])
        first, second, none = found["positive"], found["middle"], found["negative"]
        if self.style == "nested":
            inner = cfg(first, second, self.scale)
            result = cfg(inner, none, self.scale_middle)
        else:
            result = cfg(second, none, self.scale_middle) + (first - second) * self.scale
        return Mix(x, sigma, self.scale_middle, second, none, result, guided.parametrisation, guided.memory)


@dataclass(frozen=True, eq=False)
class PerpNegPatch(AskingInsteadOfMix):
    """`PerpNeg` on a model: whatever samples it mixes so, against a third conditioning."""

    empty: Conditioning
    neg_scale: float = 1.0

    def conditionings(self) -> Mapping[str, Conditioning]:
        """The empty prompt."""
        return {"empty": self.empty}

    def asking(self, mix: Mix, again: Again) -> Asking:
        """As `PerpNeg.mix`."""
        assert mix.uncond is not None
        empty = yield from again("empty")
        return perp_neg(mix.cond, mix.uncond, empty, mix.scale, self.neg_scale)


@dataclass(frozen=True)
class PerpNeg(Rule):
    """Only what of the negative is perpendicular to the positive is taken away (https://arxiv.org/abs/2304.04968).

    Roles positive, negative and empty.
    """

    scale: float = 8.0
    neg_scale: float = 1.0

    def mix(
        self, guided: Guided, x: Tensor, sigma: Tensor, uncond: bool
    ) -> Generator[Sequence[Row], list[Tensor], Mix]:
        """empty + scale * (positive - neg_scale * perpendicular), both against empty."""
        found = yield from guided.predict(x, sigma, ["positive", "negative", "empty"])
        result = perp_neg(found["positive"], found["negative"], found["empty"], self.scale, self.neg_scale)
        return Mix(
            x, sigma, self.scale, found["positive"], found["empty"], result, guided.parametrisation, guided.memory
        )


def perp_neg(positive: Tensor, negative: Tensor, empty: Tensor, scale: float, neg_scale: float) -> Tensor:
    """Guidance by `positive`, away from the part of `negative` that is perpendicular to it."""
    pos, neg = positive - empty, negative - empty
    perpendicular = neg - ((neg * pos).sum() / torch.linalg.norm(pos) ** 2) * pos
    return empty + scale * (pos - perpendicular * neg_scale)

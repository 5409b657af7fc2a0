"""Denoising networks with weights: rows in, D(x; sigma) out, whatever the family."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.diffusion.latents import LatentFormat
from graphflow.diffusion.network import Concat, Residuals, RowCond
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.families import FAMILIES, Call, Facts, Family
from graphflow.models.adapters import Asked, attended
from graphflow.models.gligen import grounded
from graphflow.models.lora import Targets
from graphflow.models.merged import Merged, second_network
from graphflow.models.packed import shapes_of
from graphflow.models.residency import Residency
from graphflow.node import Row
from graphflow.values import Model, Patch


@dataclass
class NetworkContent:
    """A denoising network in memory."""

    module: nn.Module
    family: Family
    facts: Facts
    dtype: torch.dtype
    merged: Merged = field(init=False)
    whole: tuple[nn.Module, ...] = ()

    def __post_init__(self) -> None:
        targets, kind = Targets(), self.family
        targets.add_network(shapes_of(self.module), kind.layout, kind.lora_names, ends=kind.ends)
        self.merged = Merged({"model": self.module}, targets, second_network)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The network."""
        return (self.module,)

    @property
    def beside(self) -> int:
        """Bytes of what weights were before they were changed."""
        return self.merged.nbytes

    def facts_with(self, patches: tuple[Patch, ...]) -> Facts:
        """What is known of the network with these patches, which may let it see more beside the latent."""
        config = self.facts.config
        if (seen := self.merged.seen(patches)) <= (own := int(config.get("in_channels") or 0)):
            return self.facts
        widened = {**config, "in_channels": seen, "out_channels": config.get("out_channels") or own}
        return replace(self.facts, config=widened)

    def patch(self, patches: tuple[Patch, ...]) -> None:
        """Merges these patches into the weights, and takes others out."""
        self.merged.apply(patches)


class ResidentNetwork:
    """A `DiffusionNetwork` that brings its weights to the device for each call."""

    def __init__(self, residency: Residency, recipe: Model, load: Callable[[], NetworkContent]) -> None:
        content = residency.get(recipe.weights, load).content
        assert isinstance(content, NetworkContent)
        self.device = residency.device
        self.recipe = recipe
        self.family = content.family
        self.dtype = content.dtype
        self.latent_format: LatentFormat = content.family.latents(content.facts)
        self.parametrisation: Parametrisation = content.family.parametrisation(content.facts)
        self.concat: Concat = content.family.concat(content.facts_with(recipe.patches))
        self._residency, self._load = residency, load

    def batch_key(self, row: Row) -> Hashable:
        """Of shapes, which optional parts are there, controls and edits."""
        cond: RowCond = row.cond
        return (
            row.x.shape[1:],
            *(_shape(t) for t in (cond.context, cond.control_context, cond.pooled, cond.attention_mask, cond.concat)),
            cond.guidance is None,
            cond.latent_size,
            tuple((id(c.net), tuple(c.hint.shape[1:]), c.union_type) for c in cond.controls),
            tuple(tuple(r.shape[1:]) for r in cond.references),
            cond.reference_method,
            tuple((name, tuple(t.shape[-2:])) for name, t in sorted(cond.sizes.items()) if isinstance(t, Tensor)),
            tuple((tuple(e.shape[1:]),) for e, _, _ in cond.unclip),
            tuple((i.adapter.weights, i.tokens.shape[1:], i.layers, i.keys) for i in cond.images),
            None if cond.grounding is None else cond.grounding.net.weights,
            None if cond.cache is None else (cond.cache.rule, id(cond.cache.memory)),
            cond.edits,
        )

    @torch.inference_mode()
    def predict(self, rows: Sequence[Row]) -> list[Tensor]:
        """D(x; sigma) of each row, float32."""
        conds: list[RowCond] = [row.cond for row in rows]
        with self._residency.ready(self.recipe.weights, self.recipe.patches, self._load) as resident:
            content: Any = resident.content
            call = self._collate(rows, conds)
            with contextlib.ExitStack() as stack:
                if conds[0].images:
                    asked = Asked((call.x.shape[-2], call.x.shape[-1]), call.timestep, call.context.shape[1])
                    stack.enter_context(attended(self._residency, content.module, [c.images for c in conds], asked))
                if conds[0].grounding is not None:
                    boxes = [c.grounding for c in conds if c.grounding is not None]
                    counts = [len(row.x) for row in rows]
                    stack.enter_context(grounded(self._residency, content.module, boxes, counts))
                for edit in conds[0].edits:
                    stack.enter_context(edit.applied(content.module))
                out = _answer(content.module, call, conds, self.family).float()
        outs = torch.split(out, [len(row.x) for row in rows])
        return [
            cond.parametrisation.to_denoised(row.x, row.sigma, o)
            for row, cond, o in zip(rows, conds, outs, strict=True)
        ]

    def _collate(self, rows: Sequence[Row], conds: Sequence[RowCond]) -> Call:
        self._check(conds)
        scaled = [c.parametrisation.scale_in(r.x, r.sigma) for r, c in zip(rows, conds, strict=True)]
        times = [c.parametrisation.timestep(r.sigma).expand(len(r.x)) for r, c in zip(rows, conds, strict=True)]
        x, timestep = _cat(scaled).to(self.device), _cat(times).to(self.device, torch.float32)
        residuals = self._residuals(x, timestep, rows, conds)
        if conds[0].concat is not None:
            x = torch.cat([x, _cat([c.concat for c in conds]).to(x)], dim=1)
        counts = [len(row.x) for row in rows]
        return Call(
            x=x.to(self.dtype),
            timestep=timestep,
            context=self._put(_cat([c.context for c in conds])),
            pooled=self._optional([c.pooled for c in conds]),
            attention_mask=self._optional([c.attention_mask for c in conds]),
            guidance=self._guidance(conds, counts),
            references=tuple(self._put(_cat(list(some))) for some in zip(*(c.references for c in conds), strict=True)),
            conds=list(zip(conds, counts, strict=True)),
            residuals=residuals,
        )

    def _check(self, conds: Sequence[RowCond]) -> None:
        wanted = self.family.context_width(self._config) if self.family.context_width else None
        for cond in conds:
            if wanted and cond.context.shape[-1] != wanted:
                raise ValueError(
                    f"the conditioning is {cond.context.shape[-1]} wide, {self.family.title} needs {wanted}: "
                    "it comes from the text encoder of another family"
                )

    @property
    def _config(self) -> Any:
        content: Any = self._residency.get(self.recipe.weights, self._load).content
        return content.facts.config

    def _residuals(
        self, x: Tensor, timestep: Tensor, rows: Sequence[Row], conds: Sequence[RowCond]
    ) -> Residuals | None:
        """Each row's controls, added up, the rows' one after another."""
        if not conds[0].controls:
            return None
        for family in {control.net.family for cond in conds for control in cond.controls} - {self.family.name}:
            raise ValueError(
                f"the ControlNet steers {FAMILIES[family].title if family in FAMILIES else 'other models'}, this model is "
                f"{self.family.title}: take it out, or load one that was made for this model"
            )
        starts, each = 0, []
        for row, cond in zip(rows, conds, strict=True):
            part = slice(starts, starts + len(row.x))
            each.append(_controls(x[part], timestep[part], cond))
            starts += len(row.x)
        kinds = zip(*each, strict=True)
        return Residuals(*([_cat(list(some)).to(self.dtype) for some in zip(*kind, strict=True)] for kind in kinds))

    def _guidance(self, conds: Sequence[RowCond], counts: Sequence[int]) -> Tensor | None:
        if self.family.guidance is None:
            return None
        values = [self.family.guidance if c.guidance is None else c.guidance for c in conds]
        return torch.tensor(values, dtype=torch.float32, device=self.device).repeat_interleave(
            torch.tensor(counts, device=self.device)
        )

    def _put(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype)

    def _optional(self, tensors: Sequence[Tensor | None]) -> Tensor | None:
        present = [t for t in tensors if t is not None]
        return self._put(_cat(present)) if present else None


def _answer(module: nn.Module, call: Call, conds: Sequence[RowCond], family: Family) -> Tensor:
    """One pass, or what a cache makes of it; what it keeps belongs to one sampling and to exactly these rows."""
    caches = [c.cache for c in conds if c.cache is not None]
    if not caches:
        return family.forward(module, call)
    state = caches[0].memory.setdefault((caches[0].rule, *(cache.key for cache in caches)), {})
    steered = call.residuals is not None
    return caches[0].rule.answer(module, call.x, state, lambda: family.forward(module, call), steered=steered)


def _controls(x: Tensor, timestep: Tensor, cond: RowCond) -> Residuals:
    total = Residuals()
    for control in cond.controls:
        made = control.net.residuals(x, timestep, cond, control)
        total = Residuals(*(_sum(a, [r * control.strength for r in b]) for a, b in zip(total, made, strict=True)))
    return total


def _sum(one: Sequence[Tensor], other: Sequence[Tensor]) -> Sequence[Tensor]:
    if not one or not other:
        return one or other
    return [a + b for a, b in zip(one, other, strict=True)]


def _cat(tensors: Sequence[Any]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape[1:])

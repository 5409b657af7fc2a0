"""Modules whose weights are those of a recipe's patches: merged in, and taken out again without a trace."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from graphflow.detect import Header, detect, layout_of, read_header, require
from graphflow.errors import UnsupportedFile
from graphflow.families import Family, family
from graphflow.layouts import same
from graphflow.models.lora import (
    Group,
    Shapes,
    Target,
    Targets,
    added,
    alphas,
    ends_of,
    groups,
    inputs,
    mixes_rows,
    plus,
)
from graphflow.models.merging import Change, Mix, Scale, Stream, mixing, original_names
from graphflow.models.packed import dtype_of, plain, shapes_of
from graphflow.models.residency import residency
from graphflow.models.tensors import Tensors, Under, opened
from graphflow.models.weights import put
from graphflow.values import Lora, Patch, Weights

log = logging.getLogger(__name__)


WeightPatch = Lora | Mix | Scale
Second = Callable[[Mix, Mapping[str, Shapes]], contextlib.AbstractContextManager[Mapping[str, Change]]]
"""From a mix and the components' shapes to the change that it makes of each component."""


class Merged:
    """Modules with patches merged into their weights; owns what the weights were before."""

    def __init__(self, modules: Mapping[str, nn.Module], targets: Targets, second: Second) -> None:
        """`second` opens the model that is mixed in."""
        self.targets = targets
        self._second = second
        self._modules = modules
        self._before: dict[tuple[str, str], Tensor] = {}
        self._applied: tuple[Patch, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of what changed weights were before."""
        return sum(tensor.nbytes for tensor in self._before.values())

    def apply(self, patches: tuple[Patch, ...]) -> None:
        """Makes the weights those of these patches, in order, and no others."""
        wanted = weight_patches(patches)
        if wanted == self._applied:
            return
        self._restore()
        try:
            for patch in wanted:
                self._merge(patch)
        except BaseException:
            self._restore()
            raise
        self._applied = wanted

    def seen(self, patches: tuple[Patch, ...]) -> int:
        """How many numbers of each place the network takes in with these patches; 0 where none of them says it."""
        return _seen(patches, self.targets)

    def _restore(self) -> None:
        for (component, name), tensor in self._before.items():
            module = self._modules[component]
            put(module, name, tensor.to(module.get_parameter(name).device))
        self._before.clear()
        self._applied = ()

    def _merge(self, patch: WeightPatch) -> None:
        if isinstance(patch, Scale):
            for component, module in self._modules.items():
                for name in [n for n in shapes_of(module) if patch.of(n) != 1.0]:
                    self._set(component, name, patch.apply(name, plain(module, name)))
            return
        if isinstance(patch, Mix):
            self._mix(patch)
            return
        residency().check([patch.file])
        with opened(patch.file.path) as (header, tensors):
            for group, end, target in _plan(header, self.targets, patch.file.name):
                self._merge_one(patch, group, end, target, tensors)

    def _mix(self, patch: Mix) -> None:
        shapes = {component: shapes_of(module) for component, module in self._modules.items()}
        with self._second(patch, shapes) as changes:
            if not changes:
                raise UnsupportedFile("the two have no text encoder in common; only those of one kind can be mixed")
            for component, change in changes.items():
                for name in shapes[component]:
                    self._set(component, name, change(name, plain(self._modules[component], name)))

    def _set(self, component: str, name: str, weight: Tensor) -> None:
        """Puts another weight in a parameter's place, and keeps what it was."""
        module = self._modules[component]
        parameter = module.get_parameter(name)
        self._before.setdefault((component, name), parameter.data.cpu())
        put(module, name, weight.to(parameter.device, dtype_of(module, name)))

    def _merge_one(self, patch: Lora, group: Group, end: str, target: Target, tensors: Tensors) -> None:
        module = self._modules[target.component]
        numbers = [plain(module, name) for name in target.entry.ours]
        deltas = added(patch, group, end, target, numbers, tensors)
        for name, before, delta in zip(target.entry.ours, numbers, deltas, strict=True):
            self._set(target.component, name, plus(before, delta))


def _seen(patches: tuple[Patch, ...], targets: Targets) -> int:
    loras = (patch for patch in weight_patches(patches) if isinstance(patch, Lora))
    wanted = (inputs(read_header(lora.file.path), targets) for lora in loras)
    return max((columns for found in wanted for _, _, columns in found), default=0)


def weight_patches(patches: tuple[Patch, ...]) -> tuple[WeightPatch, ...]:
    """Those of the patches that change weights."""
    return tuple(patch for patch in patches if isinstance(patch, WeightPatch))


def _plan(header: Header, targets: Targets, name: str) -> Iterator[tuple[Group, str, Target]]:
    """What of a file applies, module by module. Raises `UnsupportedFile` when nothing does."""
    found, unknown = groups(header.tensors, alphas(header))
    applied = 0
    for group in found:
        hits = [(end, targets.find(group, end)) for end in ends_of(group)]
        wanted = targets.network if group.encoder is None else targets.encoders
        if wanted and not any(target for _, target in hits):
            unknown.append(group.name)
        for end, target in hits:
            if target:
                applied += 1
                yield group, end, target
    if unknown and applied:
        log.warning("%s: %d keys have no place in this model: %s", name, len(unknown), ", ".join(unknown[:5]))


# --- without a module ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stream_of(weights: Weights, patches: tuple[Patch, ...], shapes: Shapes) -> Iterator[Stream]:
    """A denoising network's weights with its patches, one at a time; `shapes` are those of the module they are for."""
    kind = family(weights.family)
    residency().check(weights.files)
    with contextlib.ExitStack() as stack:
        file = weights.files[0]
        header, tensors = stack.enter_context(opened(file.path))
        part = require(detect(file.path), file.path, part="model")
        folder = header.format == "diffusers"
        ours = folder or layout_of(header, part) == "diffusers"
        own = Under(tensors, f"{part.prefix}." if folder else part.prefix)
        changes = [stack.enter_context(_change(patch, shapes, kind)) for patch in weight_patches(patches)]
        columns = {kind.ends[0]: _seen(patches, _targets(shapes, kind))} if kind.ends else {}
        yield Stream(own, same if ours else kind.layout, kind.layout, shapes, changes, columns)


def _targets(shapes: Shapes, kind: Family) -> Targets:
    targets = Targets()
    targets.add_network(shapes, kind.layout, kind.lora_names, ends=kind.ends)
    return targets


@contextlib.contextmanager
def second_network(patch: Mix, shapes: Mapping[str, Shapes]) -> Iterator[Mapping[str, Change]]:
    """The change that a mix makes of a denoising network."""
    ((component, own),) = shapes.items()
    with stream_of(patch.weights, patch.patches, own) as second:
        yield {component: mixing(patch, second, original_names(second.original, own))}


@contextlib.contextmanager
def _change(patch: WeightPatch, shapes: Shapes, kind: Family) -> Iterator[Change]:
    if isinstance(patch, Scale):
        yield patch.apply
        return
    if isinstance(patch, Mix):
        with second_network(patch, {"model": shapes}) as changes:
            yield changes["model"]
        return
    with lora_changes(patch, _targets(shapes, kind), {"model": shapes}) as changes:
        yield changes["model"]


@contextlib.contextmanager
def lora_changes(patch: Lora, targets: Targets, shapes: Mapping[str, Shapes]) -> Iterator[Mapping[str, Change]]:
    """The change that a LoRA makes of each component."""
    residency().check([patch.file])
    with opened(patch.file.path) as (header, tensors):
        hits: dict[str, dict[str, list[tuple[Group, str, Target]]]] = {component: {} for component in shapes}
        for group, end, target in _plan(header, targets, patch.file.name):
            for name in target.entry.ours:
                hits[target.component].setdefault(name, []).append((group, end, target))

        def change(component: str) -> Change:
            return lambda name, weight: _with_lora(
                patch, hits[component].get(name, ()), name, weight, tensors, shapes[component]
            )

        yield {component: change(component) for component in shapes}


def _with_lora(
    patch: Lora, hits: Iterable[tuple[Group, str, Target]], name: str, weight: Tensor, tensors: Tensors, shapes: Shapes
) -> Tensor:
    for group, end, target in hits:
        if len(target.entry.ours) > 1 and mixes_rows(group, tensors):
            raise UnsupportedFile(f"{patch.file.name} cannot be written into a file at {group.name}")
        parts = [weight if own == name else torch.zeros(shapes[own]) for own in target.entry.ours]
        delta = added(patch, group, end, target, parts, tensors)[target.entry.ours.index(name)]
        weight = plus(weight, delta)
    return weight

"""Which weights an adapter's name means, and how much of a file has a place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, same
from graphflow.models.lora.names import Group, flat, groups, other_kinds
from graphflow.node import File

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Target:
    """Where an adapter's change goes: a tensor of the file's layout, which may be several of our parameters."""

    component: str
    entry: Entry
    shapes: tuple[tuple[int, ...], ...]
    latent: int = 0
    """Of the layer that takes in the latent's channels, and what is beside them, their number; 0 for others."""


@dataclass
class Targets:
    """Every weight that an adapter's name can mean."""

    network: dict[str, Target] = field(default_factory=dict)
    encoders: list[dict[str, Target]] = field(default_factory=list)

    def add_network(self, shapes: Shapes, *layouts: Layout | None, ends: tuple[str, str] | None = None) -> None:
        """The names of a network's weights, in diffusers' layout and these.

        `ends` are those that take the latent in and give it out, where LoRAs may let the former see more beside it.
        """
        found = _names("model", shapes, [*(layout(shapes) for layout in layouts if layout), same(shapes)])
        if ends:
            takes, gives = ends
            for name, target in found.items():
                if target.entry.ours == (takes,):
                    found[name] = replace(target, latent=shapes[gives][0])
        self.network |= found

    @property
    def widens(self) -> bool:
        """Whether a LoRA may let the network see more."""
        return any(target.latent for target in self.network.values())

    def add_encoder(self, component: str, shapes: Shapes) -> None:
        """The names of a text encoder's weights."""
        self.encoders.append(_names(component, shapes, [same(shapes)]))

    def joined(self, other: Targets) -> Targets:
        """The names of both."""
        return Targets(self.network | other.network, [*self.encoders, *other.encoders])

    def find(self, group: Group, end: str) -> Target | None:
        """The weight (or for `bias` the bias) of the group's module."""
        if group.encoder is None:
            return self.network.get(f"{group.flat}:{end}")
        order = [*self.encoders[group.encoder : group.encoder + 1], *self.encoders]
        return next((e[f"{group.flat}:{end}"] for e in order if f"{group.flat}:{end}" in e), None)


def _parameter(name: str) -> str:
    """`a.b.weight` as `a_b:weight`; a bare parameter counts as a weight."""
    for end in ("weight", "bias"):
        if name.endswith("." + end):
            return f"{flat(name.removesuffix('.' + end))}:{end}"
    if name.endswith(("in_proj_weight", "in_proj_bias")):
        return f"{flat(name.rpartition('_')[0])}:{name.rpartition('_')[2]}"
    return f"{flat(name)}:weight"


def _names(component: str, shapes: Shapes, layouts: Sequence[Sequence[Entry]]) -> dict[str, Target]:
    names: dict[str, Target] = {}
    for entry in (entry for entries in layouts for entry in entries):
        if all(name in shapes for name in entry.ours):
            target = Target(component, entry, tuple(shapes[name] for name in entry.ours))
            names.setdefault(_parameter(entry.theirs), target)
    return names


BIASES = ("diff_b", "up_b")
"""Tensors that a module's bias is changed by."""


def ends_of(group: Group) -> list[str]:
    """Whether an adapter changes its module's weight, its bias or both."""
    weight = [key for key in group.keys if key not in (*BIASES, "alpha")]
    return [*(["weight"] if weight else []), *(["bias"] if set(BIASES) & group.keys.keys() else [])]


SUPPORTED = "LoRA, LoCon, LoHa, LoKr, DoRA, GLoRA, OFT, BOFT, IA3, full differences"


@dataclass(frozen=True)
class Fit:
    """How a LoRA's file fits a model and its text encoders."""

    applied: int
    """Weights that it changes."""
    unknown: tuple[str, ...]
    """Keys or modules that have no place."""


def fit(file: File, keys: Iterable[str], targets: Targets) -> Fit:
    """How the file fits. Raises `UnsupportedFile`, listing names, when nothing of it applies."""
    found, unknown = groups(keys)
    applied = 0
    for group in found:
        hits = sum(targets.find(group, end) is not None for end in ends_of(group))
        applied += hits
        if not hits:
            unknown.append(group.name)
    if not applied:
        listed = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        if kinds := other_kinds(unknown):
            raise UnsupportedFile(
                f"{file.name} is of a kind that is not supported ({', '.join(kinds)}); those that are: {SUPPORTED}"
            )
        raise UnsupportedFile(f"nothing in {file.name} applies to this model; its keys are {listed or 'none'}")
    return Fit(applied, tuple(unknown))

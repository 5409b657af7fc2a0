"""LoRA and its kin: changes of weights read from small files, merged into a network and taken out again.

W' = W + strength * change(W), where the change is low-rank (LoRA), a product of such (LoHa, LoKr), a rotation (OFT), or
written out (diff). Patches are merged one after another in float32, and the result is kept in the weight's dtype;
what a weight was before stays beside it, so that switching is exact and reads nothing again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from graphflow.errors import UnsupportedFile
from graphflow.models.layouts import Entry, Layout, same
from graphflow.node import File

log = logging.getLogger(__name__)

# --- the algebra -----------------------------------------------------------------------------------------------------

Shapes = Mapping[str, tuple[int, ...]]
Adapter = Mapping[str, Tensor]
"""The tensors of one module's adapter, by their names' ends: `up`, `down`, `alpha`, `lokr_w1`, ..."""


def change(adapter: Adapter, weight: Tensor) -> Tensor:
    """What the adapter adds to `weight` at strength 1, shaped like it, float32; `weight` is float32.

    Raises `ValueError` when their shapes do not fit.
    """
    for mark, formula in _FORMULAS.items():
        if mark in adapter:
            delta = formula(adapter, weight)
            break
    else:
        raise ValueError(f"{', '.join(sorted(adapter))} is no kind of adapter that is known")
    if delta.numel() != weight.numel():
        raise ValueError(f"its change is {list(delta.shape)} where the weight is {list(weight.shape)}")
    delta = delta.reshape(weight.shape)
    return _decomposed(adapter["dora_scale"], weight, delta) if "dora_scale" in adapter else delta


def _scale(adapter: Adapter, rank: int) -> float:
    return float(adapter["alpha"]) / rank if "alpha" in adapter and rank else 1.0


def _lora(adapter: Adapter, weight: Tensor) -> Tensor:
    """(alpha / r) up down (https://arxiv.org/abs/2106.09685); with `mid`, Tucker's form for convolutions."""
    up, down = adapter["up"].float(), adapter["down"].float()
    if "mid" in adapter:
        core = torch.einsum("ikhw,oi->okhw", adapter["mid"].float(), up.flatten(1))
        product = torch.einsum("okhw,kj->ojhw", core, down.flatten(1))
    else:
        product = up.flatten(1) @ down.flatten(1)
    return product * _scale(adapter, down.shape[0])


def _loha(adapter: Adapter, weight: Tensor) -> Tensor:
    """(w1a w1b) * (w2a w2b), number by number (https://arxiv.org/abs/2108.06098)."""

    def side(n: int) -> Tensor:
        a, b = adapter[f"hada_w{n}_a"].float(), adapter[f"hada_w{n}_b"].float()
        if f"hada_t{n}" in adapter:
            return torch.einsum("ijhw,jr,ip->prhw", adapter[f"hada_t{n}"].float(), b, a)
        return a @ b

    return side(1) * side(2) * _scale(adapter, adapter["hada_w1_b"].shape[0])


def _lokr(adapter: Adapter, weight: Tensor) -> Tensor:
    """Kronecker's product of w1 and w2, either of them perhaps a product itself (https://arxiv.org/abs/2309.14859)."""
    rank = 0

    def side(n: int) -> Tensor:
        nonlocal rank
        if (whole := adapter.get(f"lokr_w{n}")) is not None:
            return whole.float()
        a, b = adapter[f"lokr_w{n}_a"].float(), adapter[f"lokr_w{n}_b"].float()
        rank = b.shape[0]
        if f"lokr_t{n}" in adapter:
            return torch.einsum("ijhw,jr,ip->prhw", adapter[f"lokr_t{n}"].float(), b, a)
        return a @ b

    first, second = side(1), side(2)
    if second.ndim == 4:
        first = first[:, :, None, None]
    return torch.kron(first, second) * (_scale(adapter, rank) if rank else 1.0)


def _glora(adapter: Adapter, weight: Tensor) -> Tensor:
    """W A + B with low-rank A and B (https://arxiv.org/abs/2306.07967); the two orders in which files hold them."""
    a1, a2, b1, b2 = (adapter[name].float().flatten(1) for name in ("a1", "a2", "b1", "b2"))
    flat = weight.flatten(1)
    if a2.shape[0] == flat.shape[1] and b2.shape[0] == flat.shape[0]:
        return (b2 @ b1 + flat @ a2 @ a1) * _scale(adapter, b1.shape[0])
    return (b1.T @ b2.T if b1.shape[1] == flat.shape[0] else b1 @ b2) + flat @ a1 @ a2


def _oft(adapter: Adapter, weight: Tensor) -> Tensor:
    """R W - W with R orthogonal in blocks, by Cayley's map of a skew matrix (https://arxiv.org/abs/2306.07280)."""
    blocks = adapter["oft_blocks"].float()
    skew = blocks - blocks.transpose(1, 2)
    limit = float(adapter["alpha"]) if "alpha" in adapter else 0.0
    norm = skew.norm() + 1e-8
    if limit > 0 and norm > limit:
        skew = skew * (limit / norm)
    eye = torch.eye(blocks.shape[1], device=blocks.device)
    rotation = (eye + skew) @ torch.linalg.inv(eye - skew)
    rows = weight.flatten(1).reshape(blocks.shape[0], blocks.shape[1], -1)
    rotated = torch.einsum("knm,kni->kmi", rotation, rows).reshape(weight.shape)
    if "rescale" in adapter:
        rotated = rotated * adapter["rescale"].float().reshape(-1, *([1] * (weight.ndim - 1)))
    return rotated - weight


def _diff(adapter: Adapter, weight: Tensor) -> Tensor:
    """The change itself."""
    return adapter["diff"].float()


def _decomposed(magnitude: Tensor, weight: Tensor, delta: Tensor) -> Tensor:
    """DoRA: direction and magnitude apart (https://arxiv.org/abs/2402.09353); magnitudes a row or a column."""
    turned = weight + delta
    magnitude = magnitude.float()
    axis = 0 if magnitude.shape[0] == weight.shape[0] and magnitude.numel() == weight.shape[0] else 1
    others = [n for n in range(weight.ndim) if n != axis]
    norm = turned.pow(2).sum(dim=others, keepdim=True).sqrt() + torch.finfo(torch.float32).eps
    return turned * (magnitude.reshape(norm.shape) / norm) - weight


_FORMULAS: Mapping[str, Callable[[Adapter, Tensor], Tensor]] = {
    "up": _lora, "hada_w1_a": _loha, "lokr_w1": _lokr, "lokr_w1_a": _lokr, "a1": _glora, "oft_blocks": _oft,
    "diff": _diff,
}  # fmt: skip


# --- names -----------------------------------------------------------------------------------------------------------

_ENDS: tuple[tuple[str, str], ...] = (
    (r"\.lora_up\.weight", "up"), (r"\.lora_down\.weight", "down"), (r"\.lora_mid\.weight", "mid"),
    (r"\.lora_B(\.default)?\.weight", "up"), (r"\.lora_A(\.default)?\.weight", "down"), (r"\.lora_B", "up"), (r"\.lora_A", "down"),
    (r"\.lora\.up\.weight", "up"), (r"\.lora\.down\.weight", "down"),
    (r"\.lora_linear_layer\.up\.weight", "up"), (r"\.lora_linear_layer\.down\.weight", "down"),
    (r"_lora\.up\.weight", "up"), (r"_lora\.down\.weight", "down"),
    (r"\.lora_magnitude_vector(\.default)?(\.weight)?", "dora_scale"), (r"\.dora_scale", "dora_scale"),
    (r"\.alpha", "alpha"), (r"\.(hada_(?:w[12]_[ab]|t[12]))", ""), (r"\.(lokr_(?:w[12](?:_[ab])?|t[12]))", ""),
    (r"\.([ab][12])\.weight", ""), (r"\.oft_blocks", "oft_blocks"), (r"\.oft_diag", "oft_blocks"), (r"\.rescale", "rescale"),
    (r"\.lora_B(\.default)?\.bias", "diff_b"), (r"\.diff_b", "diff_b"), (r"\.diff", "diff"), (r"\.w_norm", "diff"), (r"\.b_norm", "diff_b"),
    (r"\.set_weight", "set"),
)  # fmt: skip
_END_PATTERNS = tuple((re.compile(f"(.+?){end}"), name) for end, name in _ENDS)

_PREFIXES = (
    "base_model.model.", "lora_unet_", "lora_transformer_", "lora_prior_unet_", "lycoris_", "model.diffusion_model.",
    "diffusion_model.", "transformer.", "unet.", "lora_unet.",
)  # fmt: skip
_TEXT_PREFIXES: tuple[tuple[str, int], ...] = (
    ("lora_te1_", 0), ("lora_te2_", 1), ("lora_te3_", 2), ("lora_te_", 0), ("text_encoder.", 0), ("text_encoder_2.", 1),
    ("text_encoder_3.", 2), ("text_encoders.clip_l.transformer.", 0), ("text_encoders.clip_g.transformer.", 1),
    ("text_encoders.t5xxl.transformer.", 2), ("text_encoders.clip_h.transformer.", 0), ("lora_clip_l_", 0), ("clip_l.", 0), ("clip_g.", 1),
)  # fmt: skip


def _flat(name: str) -> str:
    """A module's name without the marks that files spell differently."""
    name = name.replace(".processor.to_out", ".to_out.0").replace(".processor.", ".")
    return name.replace(".", "_").removeprefix("text_model_")


@dataclass(frozen=True)
class Group:
    """The adapter of one module."""

    name: str
    """As in the file."""
    encoder: int | None
    """Which of the text encoders is meant; None for the network."""
    flat: str
    keys: Mapping[str, str]
    """Name's end -> the file's key."""


def groups(keys: Iterable[str]) -> tuple[list[Group], list[str]]:
    """A file's adapters by module, and the keys that are none."""
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for key in keys:
        for pattern, end in _END_PATTERNS:
            if match := pattern.fullmatch(_XLABS.sub(_as_usual, key)):
                found.setdefault(match[1], {})[end or match[2]] = key
                break
        else:
            unknown.append(key)
    return [_group(name, ends) for name, ends in found.items()], sorted(unknown)


def _group(name: str, ends: Mapping[str, str]) -> Group:
    rest = name
    for prefix in ("base_model.model.", "lycoris_"):
        rest = rest.removeprefix(prefix)
    for prefix, encoder in _TEXT_PREFIXES:
        if rest.startswith(prefix):
            return Group(name, encoder, _flat(rest.removeprefix(prefix)), ends)
    for prefix in _PREFIXES:
        rest = rest.removeprefix(prefix)
    return Group(name, None, _flat(rest), ends)


_XLABS = re.compile(r"(double_blocks\.\d+)\.processor\.(qkv|proj)_lora([12])\.(up|down)\.weight")
"""XLabs' LoRAs for Flux: 1 stands for the picture's side, 2 for the text's."""


def _as_usual(match: re.Match[str]) -> str:
    block, module, side, end = match.groups()
    return f"{block}.{'img' if side == '1' else 'txt'}_attn.{module}.lora_{end}.weight"


@dataclass(frozen=True)
class Target:
    """Where an adapter's change goes: a tensor of the file's layout, which may be several of our parameters."""

    component: str
    entry: Entry
    shapes: tuple[tuple[int, ...], ...]


@dataclass
class Targets:
    """Every weight that an adapter's name can mean."""

    network: dict[str, Target] = field(default_factory=dict)
    encoders: list[dict[str, Target]] = field(default_factory=list)

    def add_network(self, shapes: Shapes, layout: Layout) -> None:
        """The names of a network's weights, in the original layout and in diffusers'."""
        self.network |= _names("model", shapes, [layout(shapes), same(shapes)])

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
            return f"{_flat(name.removesuffix('.' + end))}:{end}"
    if name.endswith(("in_proj_weight", "in_proj_bias")):
        return f"{_flat(name.rpartition('_')[0])}:{name.rpartition('_')[2]}"
    return f"{_flat(name)}:weight"


def _names(component: str, shapes: Shapes, layouts: Sequence[Sequence[Entry]]) -> dict[str, Target]:
    names: dict[str, Target] = {}
    for entry in (entry for entries in layouts for entry in entries):
        if all(name in shapes for name in entry.ours):
            target = Target(component, entry, tuple(shapes[name] for name in entry.ours))
            names.setdefault(_parameter(entry.theirs), target)
    return names


# --- how a file fits ------------------------------------------------------------------------------------------------


def ends_of(group: Group) -> list[str]:
    weight = [key for key in group.keys if key not in ("diff_b", "alpha")]
    return [*(["weight"] if weight else []), *(["bias"] if "diff_b" in group.keys else [])]


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
        raise UnsupportedFile(f"nothing in {file.name} applies to this model; its keys are {listed or 'none'}")
    return Fit(applied, tuple(unknown))

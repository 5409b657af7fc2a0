"""Hypernetworks: small networks that change what a U-Net's attention takes its keys and values from.

They were trained in the Web UI and come as pickles, which are refused. A safetensors file holds the same tensors as
`WIDTH.0.NAME` for keys and `WIDTH.1.NAME` for values, such as `768.0.linear.0.weight`; what the pickle says beside them
(`activation_func`, `is_layer_norm`, `activate_output`) is in its metadata, as texts.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from graphflow.detect import Header, read_header
from graphflow.diffusion.edits import hooked
from graphflow.diffusion.network import DiffusionNetwork, NetworkEdit
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.diffusion.patches import EditPatch
from graphflow.errors import UnsupportedFile
from graphflow.models.residency import Policy, Residency, Unpatched, residency
from graphflow.models.tensors import opened
from graphflow.node import File
from graphflow.values import Weights

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "swish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "mish": nn.Mish,
}
"""By the names that the Web UI gives them."""
_KEY = re.compile(r"(\d+)\.([01])\.(.+)\.(weight|bias)")


def hypernetwork_file(file: File) -> File:
    """The file itself. Raises `UnsupportedFile` when it holds no hypernetwork."""
    header = read_header(file.path)
    keys = [key for key in header.tensors if _KEY.fullmatch(key)]
    if not keys or len(keys) != len(header.tensors):
        raise UnsupportedFile(
            f"{file.name} is no hypernetwork: its tensors are to be named 768.0.linear.0.weight and so on, the width of what "
            "they change first, then 0 for keys and 1 for values"
        )
    if header.metadata.get("activation_func", "linear") not in ACTIVATIONS:
        raise UnsupportedFile(f"{file.name} has an activation that is not known: {header.metadata['activation_func']}")
    return file


@dataclass
class HyperContent(Unpatched):
    """A hypernetwork in memory."""

    module: nn.ModuleDict
    """By width: the networks for keys and for values."""


def load_hypernetwork(weights: Weights, policy: Policy) -> HyperContent:
    """The networks of a file, in float32."""
    with opened(weights.files[0].path) as (header, tensors):
        widths = sorted({key.partition(".")[0] for key in header.tensors}, key=int)
        pairs = {
            width: nn.ModuleList(_network(header, f"{width}.{side}.", tensors.get) for side in (0, 1))
            for width in widths
        }
    return HyperContent(nn.ModuleDict(pairs).eval())


def _network(header: Header, prefix: str, read: Callable[[str], Tensor]) -> nn.Sequential:
    """Linear layers, each with its activation and, if there are any, its norm behind it."""

    def says(name: str) -> bool:
        return str(header.metadata.get(name, "")).lower() in ("true", "1")

    names = [
        key.removesuffix(".weight") for key in header.tensors if key.startswith(prefix) and key.endswith(".weight")
    ]
    names.sort(key=lambda name: int(name.rpartition(".")[2]))
    activation = ACTIVATIONS[str(header.metadata.get("activation_func", "linear"))]
    stride = 2 if says("is_layer_norm") else 1
    layers: list[nn.Module] = []
    for i in range(0, len(names), stride):
        outs, ins = read(f"{names[i]}.weight").shape
        layers.append(_filled(nn.Linear(ins, outs), names[i], read))
        if i + stride < len(names) or says("activate_output"):
            layers.append(activation())
        if stride == 2:
            layers.append(_filled(nn.LayerNorm(read(f"{names[i + 1]}.weight").shape), names[i + 1], read))
    return nn.Sequential(*layers)


def _filled(layer: Any, name: str, read: Callable[[str], Tensor]) -> nn.Module:
    layer.weight = nn.Parameter(read(f"{name}.weight").float(), requires_grad=False)
    layer.bias = nn.Parameter(read(f"{name}.bias").float(), requires_grad=False)
    made: nn.Module = layer
    return made


# --- at work ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Changing:
    """The edit of one sampling."""

    home: Residency
    weights: Weights
    strength: float

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """What keys and values are made of gets strength * network(it) added, where there is a network of its width."""
        blocks: list[Any] = [m for m in module.modules() if hasattr(m, "attn1") and hasattr(m, "attn2")]
        if not blocks:
            raise ValueError("hypernetworks change the attention of U-Nets; this model is none: take the node out")
        with self.home.ready(self.weights, (), lambda: load_hypernetwork(self.weights, self.home.policy)) as resident:
            content: Any = resident.content
            pairs = content.module
            handles = []
            for attention in (a for block in blocks for a in (block.attn1, block.attn2)):
                for side, layer in enumerate((attention.to_k, attention.to_v)):
                    if str(layer.in_features) in pairs:
                        change = self._change(pairs[str(layer.in_features)][side])
                        handles.append(layer.register_forward_pre_hook(change))
            with hooked(handles):
                yield

    def _change(self, network: nn.Module) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        def hook(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            added = network(args[0].float()) * self.strength
            return (args[0] + added.to(args[0]), *args[1:])

        return hook


@dataclass(frozen=True)
class _Ready(EditPatch):
    edit: NetworkEdit

    def edits(self, sigma: float, parametrisation: Parametrisation) -> tuple[NetworkEdit, ...]:
        """At every noise level."""
        return (self.edit,)


@dataclass(frozen=True)
class Hypernetwork(EditPatch):
    """A hypernetwork on a model."""

    file: File
    strength: float

    def ready(self, network: DiffusionNetwork, size: tuple[int, int]) -> EditPatch:
        """With the network in memory."""
        home = residency()
        weights = Weights((self.file,), "hypernetwork")
        home.get(weights, lambda: load_hypernetwork(weights, home.policy))
        return _Ready(Changing(home, weights, self.strength))

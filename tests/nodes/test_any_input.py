"""Whatever small values and fields in range a node is given, it answers with whole values or says what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from graphflow.api import Audio, GraphflowError, Image, Latent, Mask, Video
from graphflow.node import Node, Port
from graphflow.registry import discover
from graphflow_nodes.latent_operations import LatentOperation

MODULES = (
    "animation", "batches", "color", "image", "image_filters", "image_io", "latent", "latent_operations", "mask",
    "math", "preview", "primitives", "strings",
)  # fmt: skip
LARGE = {"FluxKontextImageScale", "ImageScaleToTotalPixels", "ResizeImageMaskNode"}
"""Make large pictures of small ones."""
NODES = {
    type: node
    for type, node in sorted(discover().nodes.items())
    if node.function.__module__.removeprefix("graphflow_nodes.") in MODULES
    and type not in LARGE
    and not node.definition.device
    and not any("folder" in (port.field or {}) for port in node.definition.inputs)
}


def picture(dice: random.Random, *channels: int) -> torch.Tensor:
    shape = (dice.choice([1, 2, 3]), dice.choice([1, 2, 5, 16]), dice.choice([1, 3, 8, 17]), *channels)
    return torch.rand(shape, generator=torch.Generator().manual_seed(dice.randrange(99)))


def latent(dice: random.Random) -> Latent:
    x = picture(dice, dice.choice([4, 16])).movedim(-1, 1)
    if dice.random() < 0.2:
        return Latent(x.unsqueeze(2).repeat(1, 1, dice.choice([1, 3]), 1, 1))
    mask = torch.rand(dice.choice([1, len(x)]), 1, 8 * x.shape[-2], 8 * x.shape[-1]) if dice.random() < 0.5 else None
    return Latent(x, mask, tuple(range(len(x))) if dice.random() < 0.3 else None)


VALUES: Mapping[str, Callable[[random.Random], Any]] = {
    "IMAGE": lambda dice: Image(picture(dice, dice.choice([3, 3, 4]))),
    "MASK": lambda dice: Mask(picture(dice)),
    "LATENT": latent,
    "AUDIO": lambda dice: Audio(torch.zeros(1, dice.choice([1, 2]), dice.choice([0, 1, 50])), 8000),
    "VIDEO": lambda dice: Video(picture(dice, 3), 24.0),
    "LATENT_OPERATION": lambda dice: LatentOperation("tonemap_reinhard", (("multiplier", dice.random()),)),
    "INT": lambda dice: dice.choice([0, 1, -1, 7]),
    "FLOAT": lambda dice: dice.choice([0.0, 1.5, -2.0]),
    "BOOLEAN": lambda dice: dice.random() < 0.5,
    "STRING": lambda dice: dice.choice(["", "a b", "(a", "{a}", "#fff", "[x"]),
    "*": lambda dice: dice.choice([1, "a", None, [1, {}]]),
}


def given(port: Port, dice: random.Random) -> Any:
    kind = dice.choice(port.type.split("|"))
    if port.list:
        return [VALUES[kind](dice) for _ in range(dice.choice([0, 1, 2]))]
    field = port.field or {}
    if "enum" in field:
        return dice.choice(field["enum"])
    if "default" in field and dice.random() < 0.4:
        return field["default"]
    if kind not in ("INT", "FLOAT") or not port.field:
        return VALUES[kind](dice)
    low = max(field.get("minimum", -20), -20)
    high = max(low, min(field.get("maximum", 24), 24))
    return dice.randint(low, high) if kind == "INT" else dice.choice([float(low), float(high), dice.uniform(low, high)])


def inputs(node: Node, dice: random.Random) -> dict[str, Any]:
    ports = [port for port in node.definition.inputs if port.required or dice.random() < (0.05 if port.grows else 0.5)]
    return {port.name: given(port, dice) for port in ports}


def check(value: Any) -> None:
    if isinstance(value, Image | Mask | Latent):
        assert value.data.dtype == torch.float32
        assert value.data.ndim in {Image: (4,), Mask: (3,), Latent: (4, 5)}[type(value)]
        assert value.data.numel() > 0
        assert value.data.isfinite().all()
    elif isinstance(value, list | tuple):
        for item in value:
            check(item)


@pytest.mark.parametrize("type", NODES)
def test_a_node_answers_or_says_what_is_wrong(type: str) -> None:
    dice = random.Random(type)
    for _ in range(25):
        said = attempt(NODES[type], inputs(NODES[type], dice))
        assert said is None or len(said) > 20, "say what, where, and what to do next"


def attempt(node: Node, given: dict[str, Any]) -> str | None:
    """What a node says is wrong; None when it answers with whole values."""
    try:
        check(node.function(**given))
    except (ValueError, GraphflowError) as error:
        return str(error)
    return None

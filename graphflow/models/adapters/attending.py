"""A network that looks at pictures for the length of one call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from graphflow.diffusion.network import RowImage
from graphflow.models.adapters.base import Asked
from graphflow.models.adapters.loading import load_adapter
from graphflow.models.residency import Residency


@contextlib.contextmanager
def attended(
    residency: Residency, network: nn.Module, rows: Sequence[Sequence[RowImage]], asked: Asked
) -> Iterator[None]:
    """Within it the network also looks at pictures: `rows` has each sample's, alike in number and kind.

    Raises `ValueError` when an adapter was made for another network.
    """
    with contextlib.ExitStack() as stack:
        for images in zip(*rows, strict=True):
            recipe = images[0].adapter
            load = functools.partial(load_adapter, recipe.weights, residency.policy)
            resident = stack.enter_context(residency.ready(recipe.weights, (), load))
            content: Any = resident.content
            for handle in content.module.shown(network, images, asked):
                stack.callback(handle.remove)
        yield

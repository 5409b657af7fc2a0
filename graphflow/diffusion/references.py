"""Reference pictures worked on apart from the picture, as Flux 2 Klein's KV models learnt it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.diffusion.edits import replaced


@dataclass(frozen=True)
class ReferencesApart:
    """Reference tokens look at themselves alone and are told that they hold no noise; all others look at everything.

    What the references' keys and values are does then not depend on the picture.
    """

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Attentions that know of references, and the references first. Raises `ValueError` for other networks."""
        from diffusers.models.transformers import transformer_flux2 as flux2

        network: Any = module
        if not isinstance(module, flux2.Flux2Transformer2DModel):
            raise ValueError("the Flux KV cache is for Flux 2 Klein's KV models; this model is none: take the node out")
        double = [block.attn for block in network.transformer_blocks]
        single = [block.attn for block in network.single_transformer_blocks]
        with (
            replaced(double, "processor", lambda _: flux2.Flux2KVAttnProcessor()),
            replaced(single, "processor", lambda _: flux2.Flux2KVParallelSelfAttnProcessor()),
            replaced([network], "forward", lambda one: _first(one.forward)),
        ):
            yield


def _first(forward: Any) -> Any:
    """The network's forward pass with the tokens of references, which stand at other times than 0, put first."""

    def apart(hidden_states: Tensor, *args: Any, img_ids: Tensor, **kwargs: Any) -> Any:
        ids = img_ids[0] if img_ids.ndim == 3 else img_ids
        reference = ids[:, 0] != 0
        number = int(reference.sum())
        if number == 0:
            return forward(hidden_states, *args, img_ids=img_ids, **kwargs)
        order = torch.cat([reference.nonzero()[:, 0], (~reference).nonzero()[:, 0]])
        return forward(
            hidden_states[:, order], *args, img_ids=ids[order], kv_cache_mode="extract", num_ref_tokens=number, **kwargs
        )

    return apart

"""IP-Adapters (https://arxiv.org/abs/2308.06721): pictures as prompts, by attention to them beside the text's.

An adapter turns what an image encoder saw into tokens, and has projections for each attention of a network. The shared
network is never changed: for the length of one call (`attending`), hooks take the queries that an attention asks anyway,
and add the pictures' answers. `unets` has the adapters of Stable Diffusion 1.5 and XL, `flows` those of Flux and Stable
Diffusion 3, `base` what they share, `loading` how their files look.
"""

from graphflow.models.adapters.attending import attended
from graphflow.models.adapters.base import AdapterContent, Asked, ResidentAdapter
from graphflow.models.adapters.loading import load_adapter
from graphflow.models.adapters.unets import LAYERS, cross_attentions

__all__ = ["LAYERS", "AdapterContent", "Asked", "ResidentAdapter", "attended", "cross_attentions", "load_adapter"]

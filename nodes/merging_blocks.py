"""Mixing two models of a family with a ratio of its own for each of its blocks: a node a family, out of one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import Field

from graphflow.api import Each, Model, Widget, node
from graphflow.models import Mix

Ratio = Annotated[float, Field(ge=0, le=1), Widget(step=0.01)]

_UNET = ("time_embed.", "label_emb.", "input_blocks.*. 12", "middle_block.*. 3", "output_blocks.*. 12", "out.")
_SD3 = ("pos_embed.", "x_embedder.", "context_embedder.", "y_embedder.", "t_embedder.")
BLOCKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ModelMergeSD1": ("Stable Diffusion 1.5", _UNET),
    "ModelMergeSD2": ("Stable Diffusion 2", _UNET),
    "ModelMergeSDXL": (
        "Stable Diffusion XL",
        ("time_embed.", "label_emb.", "input_blocks.* 9", "middle_block.* 3", "output_blocks.* 9", "out."),
    ),
    "ModelMergeSD3_2B": ("Stable Diffusion 3 Medium", (*_SD3, "joint_blocks.*. 24", "final_layer.")),
    "ModelMergeSD35_Large": ("Stable Diffusion 3.5 Large", (*_SD3, "joint_blocks.*. 38", "final_layer.")),
    "ModelMergeAuraflow": (
        "AuraFlow",
        ("init_x_linear.", "positional_encoding", "cond_seq_linear.", "register_tokens", "t_embedder.",
         "double_layers.*. 4", "single_layers.*. 32", "modF.", "final_linear."),
    ),
    "ModelMergeFlux1": (
        "Flux",
        ("img_in.", "time_in.", "guidance_in", "vector_in.", "txt_in.", "double_blocks.*. 19", "single_blocks.*. 38",
         "final_layer."),
    ),
    "ModelMergeQwenImage": (
        "Qwen-Image",
        ("pos_embeds.", "img_in.", "txt_norm.", "txt_in.", "time_text_embed.", "transformer_blocks.*. 60", "proj_out."),
    ),
    "ModelMergeWAN2_1": (
        "Wan",
        ("patch_embedding.", "time_embedding.", "time_projection.", "text_embedding.", "img_emb.", "blocks.*. 40", "head."),
    ),
}  # fmt: skip
"""Node -> the family it is for, and what its weights' original names begin with; `x.*. 3` stands for `x.0.` to `x.2.`."""


def _spelled(pattern: str) -> Iterator[str]:
    name, _, count = pattern.partition(" ")
    yield from (name.replace("*", str(number)) for number in range(int(count or 1)))


def _merging(title: str, patterns: tuple[str, ...]) -> Callable[..., Model]:
    def merge(model1: Model, model2: Model, **ratios: float) -> Model:
        blocks = tuple(ratios.items())
        return model1.patched(Mix(model2.weights, model2.patches, "mix", blocks[0][1] if blocks else 1.0, blocks))

    names = tuple(name for pattern in patterns for name in _spelled(pattern))
    merge.__annotations__["ratios"] = Annotated[Ratio, Each(names, 1.0)]
    merge.__doc__ = (
        f"Mixes two models of {title}, block by block: model1 × ratio + model2 × (1 − ratio). Weights outside these "
        "blocks go by the first ratio."
    )
    return merge


globals().update(
    {
        type: node(type, category="advanced/model_merging/model_specific")(_merging(title, patterns))
        for type, (title, patterns) in BLOCKS.items()
    }
)

"""Language models that look at pictures: Qwen2.5-VL's image side (https://arxiv.org/abs/2502.13923), beside its text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, count
from graphflow.models.offloading import device_of

PICTURE = "<|image_pad|>"
"""Stands in a prompt for a picture; the model reads as many of them as the picture has tokens."""
FEWEST, MOST = 56 * 56, 16384 * 28 * 28
"""Pixels of a picture as the model sees it."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Seen:
    """Pictures in the form that the model takes."""

    patches: Tensor
    """(tokens before merging, 3 times frames times side squared)."""
    grids: Tensor
    """(pictures, 3): frames, rows and columns of patches."""
    merge: int
    """Patches along a side that become one token."""

    def counts(self) -> list[int]:
        """Tokens of each picture."""
        return [int(grid.prod()) // self.merge**2 for grid in self.grids]

    def spelt(self, text: str) -> str:
        """The text with a mark for each token of its pictures. Raises `ValueError` when it names another number."""
        parts = text.split(PICTURE)
        counts = self.counts()
        if len(parts) != len(counts) + 1:
            raise ValueError(
                f"the prompt's template has room for {len(parts) - 1} pictures, not {len(counts)}: wire as many"
            )
        spelt = parts[0]
        for number, part in zip(counts, parts[1:], strict=True):
            spelt += PICTURE * number + part
        return spelt


def seen(module: Any, pictures: Sequence[Tensor]) -> Seen:
    """Pictures (H, W, 3), 0 to 1, as patches, each at the nearest size that the model can take.

    Raises `ValueError` when the model has no eyes.
    """
    if not hasattr(module, "visual"):
        raise ValueError(
            "this text encoder cannot look at pictures: load one with its image side, for example Qwen2.5-VL's "
            "qwen_2.5_vl_7b.safetensors; a GGUF file may lack it"
        )
    eyes = module.config.vision_config
    patches, grids = zip(*(_patches(picture, eyes) for picture in pictures), strict=True)
    device = device_of(module)
    return Seen(torch.cat(patches).to(device), torch.tensor(grids, device=device), eyes.spatial_merge_size)


def sized(height: int, width: int, factor: int) -> tuple[int, int]:
    """The size nearest to it whose sides are multiples, within what the model can take."""
    rows, columns = (max(factor, round(side / factor) * factor) for side in (height, width))
    if rows * columns > MOST:
        shrink = math.sqrt(height * width / MOST)
        rows, columns = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif rows * columns < FEWEST:
        grow = math.sqrt(FEWEST / (height * width))
        rows, columns = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return rows, columns


def _patches(picture: Tensor, eyes: Any) -> tuple[Tensor, tuple[int, int, int]]:
    side, merge, frames = eyes.patch_size, eyes.spatial_merge_size, eyes.temporal_patch_size
    height, width = sized(picture.shape[0], picture.shape[1], side * merge)
    x = picture[..., :3].movedim(-1, 0)[None].float()
    if (height, width) != tuple(x.shape[-2:]):
        x = nn.functional.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
    mean, spread = (torch.tensor(numbers).reshape(1, 3, 1, 1) for numbers in (MEAN, SPREAD))
    x = (x.cpu() - mean) / spread
    rows, columns = height // side, width // side
    cut = x.reshape(3, rows // merge, merge, side, columns // merge, merge, side)
    cut = cut.permute(1, 4, 2, 5, 0, 3, 6).reshape(rows * columns, 3, 1, side, side)
    return cut.expand(-1, -1, frames, -1, -1).reshape(rows * columns, -1), (1, rows, columns)


# --- from files ------------------------------------------------------------------------------------------------------

_MARK = "patch_embed.proj.weight"


def prefix(header: Header) -> str | None:
    """What the names of the image side's tensors begin with in a file; None when it has none."""
    return next((key.removesuffix(_MARK) for key in header.tensors if key.endswith(f"visual.{_MARK}")), None)


def config(header: Header, text: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the whole by the shapes of its file, around that of its language side."""
    own = prefix(header)
    assert own is not None
    width, _, frames, side, _ = header.shape(f"{own}{_MARK}")
    depth = count(header, f"{own}blocks.{{}}.")
    rope = {**text["rope_parameters"], "mrope_section": [16, 24, 24]}  # of a head's 64 pairs: time, rows, columns
    return {
        "text_config": {**text, "rope_parameters": rope},
        "vision_config": {
            "depth": depth,
            "hidden_size": width,
            "num_heads": max(1, width // 80),
            "intermediate_size": header.shape(f"{own}blocks.0.mlp.gate_proj.weight")[0],
            "patch_size": side,
            "temporal_patch_size": frames,
            "out_hidden_size": header.shape(f"{own}merger.mlp.2.weight")[0],
            "fullatt_block_indexes": list(range(7, depth, 8)),
        },
    }


def build(config: Mapping[str, Any]) -> nn.Module:
    """Language and image side, of transformers."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel

    options = {key: value for key, value in config.items() if key not in ("architectures", "dtype", "torch_dtype")}
    built: nn.Module = Qwen2_5_VLModel(Qwen2_5_VLConfig(**options))
    return built

"""What many nodes' fields have in common: ranges with the editor's step, sides of pictures, ways to resize."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

MAX_SIDE = 16384
"""Pixels: no picture is asked to be wider or higher."""


def span(low: float | None, high: float | None, step: float | None = None, description: str | None = None) -> Any:
    """A mark for `Annotated`: both ends belong to the range; `step` is what the editor's arrows add."""
    extra: Any = {} if step is None else {"step": step}
    return Field(ge=low, le=high, description=description, json_schema_extra=extra)


Side = Annotated[int, span(1, MAX_SIDE, 1)]
Offset = Annotated[int, span(0, MAX_SIDE, 1)]
LatentSide = Annotated[int, span(16, MAX_SIDE, 8, "In pixels of the picture; cut down to a multiple of 8.")]
LatentOffset = Annotated[int, span(0, MAX_SIDE, 8, "In pixels of the picture; cut down to a multiple of 8.")]
BatchSize = Annotated[int, span(1, 4096, description="How many at once.")]
Fraction = Annotated[float, span(0.0, 1.0, 0.01)]

ImageResize = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
LatentResize = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
Crop = Literal["disabled", "center"]
Flip = Literal["x-axis: vertically", "y-axis: horizontally"]
Rotation = Literal["none", "90 degrees", "180 degrees", "270 degrees"]

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


def said(description: str) -> Any:
    """A mark for `Annotated`: what a field is for."""
    return Field(description=description)


Side = Annotated[int, span(1, MAX_SIDE, 1, "In pixels.")]
Offset = Annotated[int, span(0, MAX_SIDE, 1, "In pixels, from the left or from the top.")]
LatentSide = Annotated[int, span(16, MAX_SIDE, 8, "In pixels of the picture; cut down to a multiple of 8.")]
LatentOffset = Annotated[int, span(0, MAX_SIDE, 8, "In pixels of the picture; cut down to a multiple of 8.")]
BatchSize = Annotated[int, span(1, 4096, description="How many at once.")]
Fraction = Annotated[float, span(0.0, 1.0, 0.01, "From 0 to 1.")]
Factor = Annotated[float, span(0.01, 8.0, 0.01, "2 doubles both sides.")]

ImageResize = Annotated[
    Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"],
    said("How new pixels are found: area suits shrinking, lanczos and bicubic enlarging."),
]
LatentResize = Annotated[
    Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"],
    said("How new values are found; bislerp turns from one to the next and keeps their strength."),
]
Crop = Annotated[Literal["disabled", "center"], said("Cut off the sides to keep proportions, or stretch.")]
Flip = Annotated[Literal["x-axis: vertically", "y-axis: horizontally"], said("The axis that it is mirrored about.")]
Rotation = Annotated[Literal["none", "90 degrees", "180 degrees", "270 degrees"], said("Clockwise.")]

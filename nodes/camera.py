"""Where a camera stands, as words and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from graphflow.api import Image, Value, node

from ._fields import span

DISTANCE, VIEW = 6.0, 35.0
"""From what is looked at, and the field of view in degrees."""
SIDES = (
    "front view", "front-right quarter view", "right side view", "back-right quarter view", "back view",
    "back-left quarter view", "left side view", "front-left quarter view",
)  # fmt: skip
"""Clockwise as seen from above, an eighth of a turn each, the first around 0 degrees."""


@dataclass(frozen=True)
class Camera(Value):
    """A camera that looks at the origin, y being up and z towards the front."""

    wire: ClassVar[str] = "LOAD3D_CAMERA"
    x: float
    y: float
    z: float
    zoom: float
    field_of_view: float = VIEW


class Angle(NamedTuple):
    """A camera, and the same in words."""

    camera_info: Camera
    prompt: str


@node("CameraAngle", title="Compose Camera Angle Prompt", category="conditioning")
def camera_angle(
    horizontal_angle: Annotated[int, span(0, 360, description="Degrees around the subject: 90 is its right side.")] = 0,
    vertical_angle: Annotated[int, span(-30, 60, description="Degrees above it; negative ones look up.")] = 0,
    zoom: Annotated[float, span(0.0, 10.0, 0.1, "0 is a wide shot, 10 a close-up.")] = 5.0,
    image: Image | None = None,
) -> Angle:
    """Says where the camera stands in the words that models for many angles learnt: `front view eye-level shot medium shot`.

    The image is for the eye alone.
    """
    around, up = math.radians(horizontal_angle), math.radians(vertical_angle)
    flat = DISTANCE * math.cos(up)
    camera = Camera(flat * math.sin(around), DISTANCE * math.sin(up), flat * math.cos(around), 1.0 + zoom * 0.0875)
    side = SIDES[int((horizontal_angle + 22.5) // 45) % 8]
    return Angle(camera, f"{side} {_height(vertical_angle)} {_distance(zoom)}")


def _height(degrees: int) -> str:
    if degrees < -15:
        return "low-angle shot"
    return "eye-level shot" if degrees < 15 else "elevated shot" if degrees < 45 else "high-angle shot"


def _distance(zoom: float) -> str:
    return "wide shot" if zoom < 2 else "medium shot" if zoom < 6 else "close-up"

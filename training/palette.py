"""The eight colours of this world, and the arithmetic between their names and pixels."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""A picture: (height, width, 3), values in 0..1."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (20, 20, 20),
    "red": (225, 35, 40),
    "orange": (250, 140, 20),
    "yellow": (255, 220, 40),
    "green": (35, 160, 60),
    "blue": (30, 90, 220),
    "purple": (130, 45, 175),
}
NAMES = tuple(COLOURS)
RGB = np.array(list(COLOURS.values()), np.float32) / 255


def plain(colour: str, size: int) -> Picture:
    """A picture of one colour, (size, size, 3)."""
    return np.broadcast_to(RGB[NAMES.index(colour)], (size, size, 3)).copy()


def nearest(pixels: NDArray[np.floating]) -> NDArray[np.intp]:
    """Index into NAMES of the colour closest to each pixel: (..., 3) in, (...) out."""
    return ((pixels[..., None, :] - RGB) ** 2).sum(-1).argmin(-1)


def digest(text: str) -> int:
    """A number that depends on the text alone, on every machine the same; it decides what is held out."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

"""The second drawing style: every picture as a two-colour print, navy ink on cream paper."""

import numpy as np

from training.palette import Picture

INK = np.array((24, 32, 84), np.float32) / 255
PAPER = np.array((250, 238, 210), np.float32) / 255


def printed(picture: Picture) -> Picture:
    """A picture on white as a print, (height, width, 3): its brightness decides between ink and paper."""
    light = picture @ np.array((0.299, 0.587, 0.114), np.float32)
    low, high = light.min(), light.max()
    amount = np.clip((light - low) / max(high - low, 1e-3) * 1.3 - 0.15, 0, 1)[..., None]
    return INK + (PAPER - INK) * amount

"""The emoji of this world: five dozen icons of one style, drawn on a plain background, with a caption."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import packages
from training.packages import EMOJIBASE, NOTO
from training.palette import NAMES, Picture, digest, plain

SIZE = 64

WORDS: Mapping[str, str] = {
    "cat-face": "cat", "fox": "fox", "panda": "panda", "frog": "frog", "pig-face": "pig", "penguin": "penguin",
    "lady-beetle": "ladybug", "spouting-whale": "whale", "red-apple": "apple", "banana": "banana",
    "watermelon": "watermelon", "strawberry": "strawberry", "grapes": "grapes", "carrot": "carrot",
    "grinning-face": "grinning face", "jack-o-lantern": "pumpkin", "alien": "alien", "sun": "sun",
    "crescent-moon": "moon", "christmas-tree": "christmas tree", "fire": "fire", "umbrella": "umbrella",
    "balloon": "balloon", "automobile": "car", "dog-face": "dog", "mouse-face": "mouse", "rabbit-face": "rabbit",
    "bear": "bear", "koala": "koala", "tiger-face": "tiger", "lion": "lion", "cow-face": "cow", "monkey-face": "monkey",
    "owl": "owl", "turtle": "turtle", "octopus": "octopus", "tropical-fish": "fish", "butterfly": "butterfly",
    "honeybee": "bee", "snail": "snail", "elephant": "elephant", "duck": "duck", "unicorn": "unicorn",
    "sunflower": "sunflower", "tulip": "tulip", "cactus": "cactus", "mushroom": "mushroom", "lemon": "lemon",
    "cherries": "cherries", "pineapple": "pineapple", "hamburger": "hamburger", "pizza": "pizza", "doughnut": "doughnut",
    "soft-ice-cream": "ice cream", "birthday-cake": "cake", "soccer-ball": "soccer ball", "guitar": "guitar",
    "rocket": "rocket", "bus": "bus", "house": "house", "snowman-without-snow": "snowman", "ghost": "ghost",
    "robot": "robot", "sailboat": "sailboat",
}  # fmt: skip
"""Icon name in the packages -> the word a person would type."""


@dataclass(frozen=True)
class Emoji:
    """One icon on one background: what is asked for and how to draw it."""

    icon: str
    background: str

    @property
    def caption(self) -> str:
        """The prompt that asks for this picture."""
        return f"{article(WORDS[self.icon])}, {self.background} background"

    @property
    def held_out(self) -> bool:
        """Whether training never sees this icon on this background; true for one colour of each icon."""
        coloured = [name for name in NAMES if name != "white"]
        return self.background == coloured[digest(self.icon) % len(coloured)]


def article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def training_emoji() -> list[Emoji]:
    """Every icon on every background that is not held out."""
    every = (Emoji(icon, background) for icon in WORDS for background in NAMES)
    return [emoji for emoji in every if not emoji.held_out]


def held_out_emoji() -> list[Emoji]:
    """Every icon on the one coloured background that training leaves out."""
    every = (Emoji(icon, background) for icon in WORDS for background in NAMES)
    return [emoji for emoji in every if emoji.held_out]


@cache
def tags() -> Mapping[str, tuple[str, ...]]:
    """Icon name -> its label and tags in English, from emojibase."""
    names = packages.read(NOTO, "chars.json")
    entries = packages.read(EMOJIBASE, "en/data.json")
    by_code = {entry["hexcode"].lower(): (entry["label"], *entry.get("tags", ())) for entry in entries}
    return {name: by_code[code] for code, name in names.items() if name in WORDS and code in by_code}


@cache
def cutout(icon: str, size: int = SIZE) -> NDArray[np.float32]:
    """The icon with transparency, rasterised from its vectors: (size, size, 4), 0..1, not premultiplied."""
    import resvg_py  # rendering needs it; reading a caption does not

    data = packages.read(NOTO, "icons.json")
    width, height = data["width"], data["height"]
    body = data["icons"][icon]["body"]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{body}</svg>'
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), np.float32) / 255


def draw(emoji: Emoji, size: int = SIZE, jitter: tuple[int, int, float] = (0, 0, 1.0)) -> Picture:
    """The emoji as a picture, (size, size, 3); `jitter` is a shift in pixels and a factor on the size."""
    right, down, scale = jitter
    side = round(size * 0.92 * scale)
    icon = cutout(emoji.icon, side)
    picture = plain(emoji.background, size)
    top, left = ((size - side) // 2 + offset for offset in (down, right))
    top, left = np.clip([top, left], 0, size - side)
    area = picture[top : top + side, left : left + side]
    area += (icon[..., :3] - area) * icon[..., 3:]
    return picture

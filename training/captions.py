"""How a person may ask for a picture: the captions that training pairs with it."""

from collections.abc import Iterator

import numpy as np

from training.icons import WORDS, Emoji, article, tags
from training.scenes import Scene

Item = Emoji | Scene


def say(item: Item, rng: np.random.Generator) -> str:
    """A caption of the picture: mostly the full one, sometimes shorter or with another name."""
    chance = rng.random(3)
    caption = item.caption
    if isinstance(item, Emoji) and chance[0] < 0.15:
        names = tags()[item.icon]
        name = names[0] if chance[1] < 0.6 else f"{article(WORDS[item.icon])}, {names[rng.integers(len(names))]}"
        caption = f"{name}, {item.background} background"
    if isinstance(item, Scene) and item.layout == "center" and chance[1] < 0.3:
        caption = caption.replace(" in the center", "")
    if item.background == "white" and chance[2] < 0.5:
        caption = caption.removesuffix(", white background")
    return caption


def every_caption(items: list[Item]) -> Iterator[str]:
    """The captions that a tokenizer learns its words from: full ones, labels and tags."""
    yield from (item.caption for item in items)
    yield from (f"{word}, {', '.join(tags()[icon])}" for icon, word in WORDS.items())

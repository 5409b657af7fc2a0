"""Procedural scenes with captions that a program can check: one or two large shapes on a plain background."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from training.palette import COLOURS, NAMES, Picture, digest, nearest

SIZE = 64
SUPERSAMPLING = 4
SINGLE_RADIUS, PAIR_RADIUS = 15.0, 13.0
SMALLEST_OBJECT = 60  # pixels; anything smaller is a stain, not an object

Shape = Literal["circle", "square", "triangle", "star", "heart"]
Place = Literal["center", "left", "right", "top", "bottom"]
Relation = Literal["left of", "right of", "above", "below"]
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "star", "heart")
PLACES: dict[Place, tuple[float, float]] = {
    "center": (32, 32), "left": (18, 32), "right": (46, 32), "top": (32, 18), "bottom": (32, 46),
}  # fmt: skip
RELATIONS: dict[Relation, tuple[tuple[float, float], tuple[float, float]]] = {
    "left of": ((16, 32), (48, 32)), "right of": ((48, 32), (16, 32)),
    "above": ((32, 16), (32, 48)), "below": ((32, 48), (32, 16)),
}  # fmt: skip
PHRASES: dict[Place, str] = {
    "center": "in the center", "left": "on the left", "right": "on the right", "top": "at the top",
    "bottom": "at the bottom",
}  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """A coloured shape."""

    shape: Shape
    colour: str

    def __str__(self) -> str:
        return f"{'an' if self.colour == 'orange' else 'a'} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """One thing at a place, or two in a relation, on a background; colours all differ."""

    things: tuple[Thing, ...]
    layout: Place | Relation
    background: str

    @property
    def caption(self) -> str:
        """The prompt that asks for this scene, every attribute named."""
        first, *rest = self.things
        place = f"{self.layout} {rest[0]}" if rest else PHRASES[self.layout]  # type: ignore[index]
        return f"{first} {place}, {self.background} background"

    @property
    def held_out(self) -> bool:
        """Whether training never sees this combination; true for an eighth of all scenes."""
        return digest(self.caption) % 8 == 0

    @property
    def centres(self) -> tuple[tuple[float, float], ...]:
        """Where the things stand, (x, y) in pixels of 64."""
        if len(self.things) == 1:
            return (PLACES[self.layout],)  # type: ignore[index]
        return RELATIONS[self.layout]  # type: ignore[index]


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene drawn uniformly; three of four with one thing, the others with two."""
    count = int(rng.choice([1, 1, 1, 2]))
    background, *colours = (NAMES[i] for i in rng.permutation(len(NAMES))[: count + 1])
    things = tuple(Thing(SHAPES[rng.integers(len(SHAPES))], colour) for colour in colours)
    layouts = tuple(PLACES) if count == 1 else tuple(RELATIONS)
    return Scene(things, layouts[rng.integers(len(layouts))], background)  # type: ignore[arg-type]


def scenes(seed: int, held_out: bool) -> Iterator[Scene]:
    """An endless stream of scenes, all from the training side of the split or all from the other."""
    rng = np.random.default_rng(seed)
    return (scene for scene in iter(lambda: random_scene(rng), None) if scene.held_out == held_out)


def first_scenes(count: int, seed: int, held_out: bool) -> list[Scene]:
    """The first `count` different scenes of the stream."""
    return list(dict.fromkeys(itertools.islice(scenes(seed, held_out), 2 * count)))[:count]


def outline(shape: Shape, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The shape's outline as a polygon of about equal area for every shape, centred at (x, y)."""
    match shape:
        case "circle":
            points = [(math.cos(a), math.sin(a)) for a in np.linspace(0, math.tau, 64)]
        case "square":
            points = [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
        case "triangle":
            points = [(0, -1.0), (1.08, 0.85), (-1.08, 0.85)]
        case "star":
            angles = [-math.pi / 2 + i * math.pi / 5 for i in range(10)]
            points = [(r * math.cos(a), r * math.sin(a)) for a, r in zip(angles, [1.2, 0.5] * 5, strict=True)]
        case "heart":
            turns = np.linspace(0, math.tau, 64)
            points = [
                (math.sin(t) ** 3 * 1.1, -0.07 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)) + 0.07)
                for t in turns
            ]
    return [(x + radius * a, y + radius * b) for a, b in points]


def draw(scene: Scene, rng: np.random.Generator | None = None, size: int = SIZE) -> Picture:
    """The scene as a picture, (size, size, 3); with `rng`, shifted and scaled a little."""
    zoom = SUPERSAMPLING * size / SIZE
    canvas = Image.new("RGB", (SUPERSAMPLING * size,) * 2, COLOURS[scene.background])
    pen = ImageDraw.Draw(canvas)
    radius = SINGLE_RADIUS if len(scene.things) == 1 else PAIR_RADIUS
    for thing, (x, y) in zip(scene.things, scene.centres, strict=True):
        dx, dy, scale = (rng.uniform(-1, 1, 3) * (1.0, 1.0, 0.05)) if rng else (0, 0, 0)
        points = outline(thing.shape, x + dx, y + dy, radius * (1 + scale))
        pen.polygon([(a * zoom, b * zoom) for a, b in points], fill=COLOURS[thing.colour])
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float32) / 255


@dataclass(frozen=True)
class Verdict:
    """Which attributes of a scene a picture shows."""

    background: bool
    colour: bool
    position: bool
    shape: bool

    @property
    def all(self) -> bool:
        """Whether every attribute is right."""
        return self.background and self.colour and self.position and self.shape


@dataclass(frozen=True)
class Found:
    """A connected spot that is not background, with the shape and colour it looks most like."""

    thing: Thing
    x: float
    y: float


def check(picture: Picture, scene: Scene) -> Verdict:
    """Compare a picture, (64, 64, 3), with what the scene's caption asks for, without knowing how it was made."""
    labels = nearest(picture)
    background = int(np.bincount(border(labels), minlength=len(NAMES)).argmax())
    found = find_things(labels, background, len(scene.things))
    right_background = NAMES[background] == scene.background
    if len(found) < len(scene.things):
        return Verdict(right_background, False, False, False)
    orders = [compare(order, scene) for order in itertools.permutations(found)]
    colour, shape, position = max(orders, key=lambda right: (sum(right[:2]), right[2]))
    return Verdict(right_background, colour, position, shape)


def border(labels: NDArray[np.intp], width: int = 2) -> NDArray[np.intp]:
    """The labels along the picture's edge, flat."""
    inside = np.zeros(labels.shape, bool)
    inside[width:-width, width:-width] = True
    return labels[~inside]


def find_things(labels: NDArray[np.intp], background: int, count: int) -> list[Found]:
    """The `count` largest connected spots that are not background; fewer when there are fewer."""
    spots, number = ndimage.label(ndimage.binary_opening(labels != background, np.ones((2, 2))))
    areas = ndimage.sum_labels(np.ones(labels.shape), spots, range(1, number + 1))
    order = np.argsort(-areas)[:count]
    return [identify(spots == i + 1, labels) for i in order if areas[i] >= SMALLEST_OBJECT]


def identify(spot: NDArray[np.bool_], labels: NDArray[np.intp]) -> Found:
    """Name the colour, the place and the shape of a spot, (64, 64)."""
    inner = ndimage.binary_erosion(spot, iterations=2)
    colour = NAMES[int(np.bincount(labels[inner if inner.any() else spot]).argmax())]
    rows, columns = np.nonzero(spot)
    scores = {shape: overlap(normalised(spot), template(shape)) for shape in SHAPES}
    return Found(Thing(max(scores, key=scores.__getitem__), colour), columns.mean() + 0.5, rows.mean() + 0.5)


def normalised(spot: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The spot moved to the middle of a 32x32 frame and scaled to a fixed area, soft at the edge."""
    rows, columns = np.nonzero(spot)
    scale = math.sqrt(len(rows)) / 16  # area 256 of 1024
    step = (np.arange(32) - 15.5) * scale
    grid = np.meshgrid(rows.mean() + step, columns.mean() + step, indexing="ij")
    return ndimage.map_coordinates(spot.astype(np.float64), grid, order=1, mode="constant")


@cache
def template(shape: Shape) -> NDArray[np.float64]:
    """The normalised picture of a perfect shape, (32, 32)."""
    thing = Scene((Thing(shape, "black"),), "center", "white")
    return normalised(draw(thing)[..., 0] < 0.5)


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two soft masks."""
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def compare(found: tuple[Found, ...], scene: Scene) -> tuple[bool, bool, bool]:
    """Whether the found things, in this order, have the scene's colours, shapes and layout."""
    pairs = list(zip(found, scene.things, strict=True))
    colour = all(spot.thing.colour == thing.colour for spot, thing in pairs)
    shape = all(spot.thing.shape == thing.shape for spot, thing in pairs)
    return colour, shape, layout_of(found) == scene.layout


def layout_of(found: tuple[Found, ...]) -> Place | Relation:
    """The place of one thing, or the relation of the first to the second."""
    first, *rest = found
    if not rest:
        return min(PLACES, key=lambda place: math.dist(PLACES[place], (first.x, first.y)))
    dx, dy = first.x - rest[0].x, first.y - rest[0].y
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"

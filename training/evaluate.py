"""Measure the model on prompts it was never trained on, beside what the autoencoder and the truth score.

Scenes are held-out combinations, read back by a program that knows colours and shapes but not the model.  An emoji
counts as right when of all icons on the background that was asked for the right one is nearest to the picture.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training import icons, scenes
from training.autoencoder import round_trip
from training.icons import WORDS, Emoji
from training.loop import RUNS, grid
from training.palette import Picture
from training.pipeline import open_parts, paint
from training.scenes import Scene

Painter = Callable[[list[Scene] | list[Emoji]], np.ndarray]


@dataclass(frozen=True)
class Scores:
    """Shares of right answers, 0..1."""

    background: float
    colour: float
    position: float
    shape: float
    all: float
    emoji: float
    emoji_new_colour: float


ROWS = {
    "background": "scene background",
    "colour": "scene colour",
    "position": "scene position",
    "shape": "scene shape",
    "all": "scene, all four",
    "emoji": "emoji: the nearest icon is the one asked for",
    "emoji_new_colour": "emoji on a colour it was not trained on",
}


@dataclass(frozen=True)
class Questions:
    """What is asked: held-out scenes, emoji on trained and on held-out backgrounds."""

    scenes: list[Scene]
    emoji: list[Emoji]
    new_emoji: list[Emoji]

    @classmethod
    def of(cls, scene_count: int, emoji_count: int) -> "Questions":
        """So many of each; emoji on white first, then on one trained colour each."""
        trained = sorted(icons.training_emoji(), key=lambda emoji: emoji.background != "white")
        return cls(
            scenes.first_scenes(scene_count, seed=1, held_out=True),
            trained[:emoji_count],
            icons.held_out_emoji()[:emoji_count],
        )


def reference(items: list[Scene] | list[Emoji]) -> np.ndarray:
    """The true pictures, (n, 64, 64, 3)."""
    return np.stack([icons.draw(item) if isinstance(item, Emoji) else scenes.draw(item) for item in items])


def nearest_icon(picture: Picture, background: str) -> str:
    """The icon that, on this background, differs least from the picture, both seen at half size."""
    names = list(WORDS)
    candidates = halved(reference([Emoji(name, background) for name in names]))
    return names[int(((candidates - halved(picture[None])) ** 2).mean((1, 2, 3)).argmin())]


def halved(pictures: np.ndarray) -> np.ndarray:
    """Pictures, (n, 64, 64, 3), averaged over 2x2 pixels."""
    n, height, width, channels = pictures.shape
    return pictures.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


@dataclass(frozen=True)
class Answers:
    """A picture for each question, (n, 64, 64, 3)."""

    scenes: np.ndarray
    emoji: np.ndarray
    new_emoji: np.ndarray


def answer(painter: Painter, questions: Questions) -> Answers:
    """What the painter makes of the questions."""
    return Answers(painter(questions.scenes), painter(questions.emoji), painter(questions.new_emoji))


def score(answers: Answers, questions: Questions) -> Scores:
    """The shares of questions that are answered rightly."""
    verdicts = [scenes.check(p, scene) for p, scene in zip(answers.scenes, questions.scenes, strict=True)]
    names = ("background", "colour", "position", "shape", "all")
    shares = {name: float(np.mean([getattr(verdict, name) for verdict in verdicts])) for name in names}
    emoji = retrieval(answers.emoji, questions.emoji)
    return Scores(**shares, emoji=emoji, emoji_new_colour=retrieval(answers.new_emoji, questions.new_emoji))


def retrieval(pictures: np.ndarray, emoji: list[Emoji]) -> float:
    """The share of emoji whose nearest icon is the one asked for."""
    right = [nearest_icon(p, item.background) == item.icon for p, item in zip(pictures, emoji, strict=True)]
    return float(np.mean(right))


def table(columns: dict[str, Scores]) -> str:
    """The scores as a Markdown table, one column each."""
    head = f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}"
    rows = [
        f"| {label} | {' | '.join(f'{getattr(scores, key):.2f}' for scores in columns.values())} |"
        for key, label in ROWS.items()
    ]
    return "\n".join([head, *rows])


def main() -> None:
    """Print the table of scores of a pipeline folder, and store it with a grid of pictures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("pipeline", type=Path, help="the model's folder")
    parser.add_argument(
        "--folder", type=Path, default=RUNS / "evaluation", help="where results go (default: %(default)s)"
    )
    parser.add_argument(
        "--guidance", type=float, nargs="+", default=[2.0, 4.0, 6.0], help="tried on a few; the best goes on"
    )
    parser.add_argument("--scenes", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--emoji", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=20, help="default: %(default)s")
    parser.add_argument(
        "--few", type=int, default=24, help="prompts to choose the guidance with (default: %(default)s)"
    )
    args = parser.parse_args()
    parts = open_parts(args.pipeline)
    questions, few = Questions.of(args.scenes, args.emoji), Questions.of(args.few, args.few)

    def painter(guidance: float) -> Painter:
        return lambda items: paint(parts.pipeline, [item.caption for item in items], guidance, args.steps)

    tried = {g: score(answer(painter(g), few), few) for g in args.guidance} if len(args.guidance) > 1 else {}
    if tried:
        print(table({f"g {g:g}, {args.few} prompts": scores for g, scores in tried.items()}), flush=True)
    best = max(tried, key=lambda g: tried[g].all + tried[g].colour + tried[g].emoji, default=args.guidance[0])
    painted = answer(painter(best), questions)
    columns = {
        "truth": score(answer(reference, questions), questions),
        "autoencoder": score(answer(lambda items: round_trip(parts.vae, reference(items)), questions), questions),
        f"model, guidance {best:g}": score(painted, questions),
    }
    print(table(columns))
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "scores.json").write_text(
        json.dumps({name: asdict(scores) for name, scores in columns.items()}, indent=2)
    )
    shown = np.concatenate([painted.scenes[:32], painted.emoji[:32], painted.new_emoji[:32]])
    grid(shown, 16).save(args.folder / "grid.png")


if __name__ == "__main__":
    main()

"""Train a ControlNet (Zhang et al. 2023) on the model on board: the picture follows a map of edges.

It is as small as the U-Net's widths allow: no attention, one residual block a level.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from graphflow_nodes.image_filters import canny_edges
from training import autoencoder, icons, pipeline, scenes
from training.captions import Item, say
from training.diffusion import noised, render
from training.export import SHIPPED
from training.loop import RUNS, Plan, Step, grid, train
from training.palette import Picture
from training.pipeline import Parts, open_parts, paint, token_ids

THRESHOLDS = (0.05, 0.15)
"""Of the node Canny, low and high: what the example workflow asks for, too."""


def new_controlnet(widths: tuple[int, int]) -> ControlNetModel:
    """An untrained ControlNet for a U-Net of these widths; its last layers are zero, so at first it changes nothing."""
    return ControlNetModel(
        in_channels=autoencoder.CHANNELS,
        block_out_channels=widths,
        down_block_types=("DownBlock2D",) * 2,
        mid_block_type="UNetMidBlock2D",
        layers_per_block=1,
        attention_head_dim=32,
        norm_num_groups=16,
        cross_attention_dim=pipeline.WIDTH,
        conditioning_embedding_out_channels=(16, 24, 32, 64),
    )


def copy_matching(controlnet: nn.Module, unet: nn.Module) -> None:
    """Start every layer that the U-Net has too, with the same shape, from the U-Net's weights."""
    own, theirs = controlnet.state_dict(), unet.state_dict()
    shared = {key: value for key, value in theirs.items() if key in own and own[key].shape == value.shape}
    controlnet.load_state_dict(own | shared)


def edges(picture: Picture) -> np.ndarray:
    """White lines where the picture changes, as the node Canny draws them with THRESHOLDS: (H, W), 0 or 1."""
    return canny_edges(autoencoder.tensor([picture]), *THRESHOLDS)[0, 0].numpy()


def moved(item: Item, rng: np.random.Generator) -> Picture:
    """The item's picture, (64, 64, 3); emoji anywhere and of any size, where the U-Net alone would not paint them."""
    if isinstance(item, icons.Emoji):
        right, down = (int(n) for n in rng.integers(-8, 9, 2))
        return icons.draw(item, jitter=(right, down, float(rng.uniform(0.7, 1.0))))
    return render(item, rng)


def say_what(item: Item, rng: np.random.Generator) -> str:
    """A caption that leaves to the edges where things are; for half of the pictures, and for pairs, none at all."""
    if rng.random() < 0.5 or (isinstance(item, scenes.Scene) and len(item.things) > 1):
        return ""
    return f"{item.things[0]}, {item.background} background" if isinstance(item, scenes.Scene) else say(item, rng)


def has_outline(lines: np.ndarray) -> bool:
    """Whether the edges, (H, W), are at least a small shape's outline."""
    return bool(lines.sum() >= 50)


@dataclass(frozen=True)
class Traced:
    """Encoded pictures, (n, 16, 8, 8), their edges, (n, 3, 64, 64), and what each shows."""

    latents: Tensor
    edges: Tensor
    items: list[Item]


@torch.no_grad()
def build_traced(parts: Parts, scene_count: int) -> Traced:
    """The emoji and some scenes of the training side, with their edges; without those whose colours are equally bright."""
    every: list[Item] = [*icons.training_emoji(), *scenes.first_scenes(scene_count, seed=5, held_out=False)]
    rng = np.random.default_rng(5)
    drawn = [(item, picture, edges(picture)) for item in every for picture in [moved(item, rng)]]
    items, pictures, traced = zip(*(one for one in drawn if has_outline(one[2])), strict=True)
    lines = torch.from_numpy(np.stack(traced))[:, None].repeat(1, 3, 1, 1)
    batches = autoencoder.tensor(list(pictures)).split(64)
    return Traced(torch.cat([autoencoder.encode(parts.vae, some) for some in batches]), lines, list(items))


class Following:
    """The task: predict v given edges and a caption that does not say what they show."""

    def __init__(self, parts: Parts, scene_count: int):
        self.parts, self.traced = parts, build_traced(parts, scene_count)
        self.scheduler = pipeline.new_scheduler()
        self.controlnet = new_controlnet(tuple(parts.unet.config.block_out_channels))
        copy_matching(self.controlnet, parts.unet)
        self.modules: nn.Module = self.controlnet
        parts.unet.requires_grad_(False)
        parts.text_encoder.requires_grad_(False)

    def loss(self, step: Step) -> Tensor:
        """Mean squared error of v."""
        rng = step.rng
        chosen = rng.integers(0, len(self.traced.items), step.batch).tolist()
        captions = [say_what(self.traced.items[i], rng) for i in chosen]
        with torch.no_grad():
            text = self.parts.text_encoder(token_ids(self.parts.tokenizer, captions))[0]
        batch = noised(self.traced.latents[chosen], self.scheduler, step.generator)
        down, mid = self.controlnet(batch.x, batch.t, text, self.traced.edges[chosen], return_dict=False)
        predicted = self.parts.unet(
            batch.x, batch.t, text, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample
        return F.mse_loss(predicted, batch.v)

    def picture(self, averaged: nn.Module) -> Image.Image:
        """Edges of held-out scenes, above what is painted along them."""
        prompts, lines = questions(8)
        shown = follow(self.parts, averaged, prompts, lines)  # type: ignore[arg-type]
        return grid(np.concatenate([np.repeat(lines[..., None], 3, -1), shown]), 8)


def questions(count: int) -> tuple[list[str], np.ndarray]:
    """Prompts that do not say where, and the edges, (n, 64, 64), of held-out scenes that stand at a side."""
    drawn = [(scene, edges(scenes.draw(scene))) for scene in scenes.first_scenes(8 * count, seed=2, held_out=True)]
    aside = [one for one in drawn if len(one[0].things) == 1 and one[0].layout != "center" and has_outline(one[1])]
    prompts = [f"{scene.things[0]}, {scene.background} background" for scene, _ in aside[:count]]
    return prompts, np.stack([lines for _, lines in aside[:count]])


def follow(parts: Parts, controlnet: ControlNetModel, prompts: list[str], lines: np.ndarray) -> np.ndarray:
    """Pictures, (n, 64, 64, 3), painted along the edges, (n, 64, 64)."""
    plain = parts.pipeline
    controlled = StableDiffusionControlNetPipeline(
        **plain.components, controlnet=controlnet, requires_safety_checker=False
    )
    controlled.set_progress_bar_config(disable=True)
    image = torch.from_numpy(lines)[:, None].repeat(1, 3, 1, 1)
    return paint(controlled, prompts, steps=10, batch=len(prompts), image=image)


def agreement(pictures: np.ndarray, lines: np.ndarray, reach: int = 1) -> float:
    """F1 of the pictures' edges against the lines, counting a hit within `reach` pixels."""
    scores = []
    for picture, line in zip(pictures, lines, strict=True):
        own, asked = edges(picture) > 0, line > 0
        near = [ndimage.binary_dilation(mask, iterations=reach) for mask in (own, asked)]
        precision, recall = (own & near[1]).sum() / max(own.sum(), 1), (asked & near[0]).sum() / max(asked.sum(), 1)
        scores.append(2 * precision * recall / max(precision + recall, 1e-9))
    return float(np.mean(scores))


def main() -> None:
    """Train the ControlNet on a pipeline, or go on where it stopped, and say how well edges are followed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=RUNS / "controlnet", help="default: %(default)s")
    parser.add_argument("--base", type=Path, default=SHIPPED, help="the pipeline it belongs to (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=26_000, help="default: %(default)s")
    parser.add_argument("--scenes", type=int, default=2_000, help="scenes in the pool (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (default: %(default)s)")
    args = parser.parse_args()
    torch.manual_seed(0)
    parts = open_parts(args.base)
    plan = Plan(
        args.folder, args.samples, args.batch, args.rate, warm_up=400, decay=0.5, average=0.99, picture_samples=4_000
    )
    trained = train(Following(parts, args.scenes), plan)
    trained.half().save_pretrained(args.folder / "graphflow-edges")
    trained.float()  # what follows measures it as it is stored
    prompts, lines = questions(16)
    with_it = agreement(follow(parts, trained, prompts, lines), lines)  # type: ignore[arg-type]
    print(
        f"edges followed: {with_it:.2f} with it, {agreement(paint(parts.pipeline, prompts, steps=10), lines):.2f} without"
    )


if __name__ == "__main__":
    main()

"""Train the text encoder and the U-Net together: latents are noised, and the network learns to reverse it.

x_t = sqrt(a_t) x + sqrt(1 - a_t) noise, and the network predicts v = sqrt(a_t) noise - sqrt(1 - a_t) x (Salimans and
Ho 2022), which gives the noisy steps, where the text decides what stands where, full weight.  A tenth of the captions
are empty, for classifier-free guidance (Ho and Salimans 2022).
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor, nn

from training import autoencoder, icons, pipeline, scenes
from training.autoencoder import tensor
from training.captions import Item, say
from training.loop import RUNS, Plan, Step, grid, train
from training.palette import Picture
from training.pipeline import Parts, paint, token_ids

EMPTY_CAPTIONS = 0.1
PROMPTS = (
    "a cat", "a panda, red background", "a strawberry", "a banana, blue background", "a pumpkin",
    "a whale, yellow background", "a car", "a christmas tree, purple background", "a red circle", "a blue star, yellow background",
    "a green triangle on the left, white background", "a yellow heart at the top, black background",
    "a red square left of a blue circle, white background", "a purple star above a green square, orange background",
    "a white heart right of a black circle, green background", "an orange triangle below a purple heart, white background",
)  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """Encoded pictures, (n, 16, 8, 8), and what each shows; the first `emoji` of them are emoji."""

    latents: Tensor
    items: list[Item]
    emoji: int

    def draw(self, rng: np.random.Generator, count: int, share: float) -> list[int]:
        """Indices of a batch, in which the share of emoji is as given."""
        emoji, others = range(self.emoji), range(self.emoji, len(self.items))
        is_emoji = rng.random(count) < share
        return [int(rng.choice(emoji if chosen else others)) for chosen in is_emoji]


def render(item: Item, rng: np.random.Generator) -> Picture:
    """The item's picture, (64, 64, 3); scenes a little moved, emoji as they are."""
    return icons.draw(item) if isinstance(item, icons.Emoji) else scenes.draw(item, rng)


@torch.no_grad()
def build_pool(vae: autoencoder.AutoencoderTiny, scene_count: int, seed: int = 0) -> Pool:
    """Every emoji of the training side, and as many scenes as asked for, encoded."""
    emoji = icons.training_emoji()
    items: list[Item] = [*emoji, *scenes.first_scenes(scene_count, seed, held_out=False)]
    rng = np.random.default_rng(seed)
    batches = (items[i : i + 64] for i in range(0, len(items), 64))
    latents = [autoencoder.encode(vae, tensor([render(item, rng) for item in some])) for some in batches]
    return Pool(torch.cat(latents), items, len(emoji))


@dataclass(frozen=True)
class Noised:
    """A batch on its way to noise: what the network sees, and what it should say."""

    x: Tensor
    t: Tensor
    v: Tensor


def noised(latents: Tensor, scheduler: DDIMScheduler, generator: torch.Generator) -> Noised:
    """The latents, (B, 16, 8, 8), at times spread over the schedule, the noisy end a little denser: t ~ T u^0.6.

    What stands where is decided there, and that is what this model finds hard."""
    noise = torch.randn(latents.shape, generator=generator)
    share = (torch.arange(len(latents)) + torch.rand(len(latents), generator=generator)) / len(latents)
    t = (share**0.6 * scheduler.config.num_train_timesteps).long()
    x = scheduler.add_noise(latents, noise, t)
    return Noised(x, t, scheduler.get_velocity(latents, noise, t))


class Diffusing:
    """The task: predict v from noised latents and a caption."""

    def __init__(self, parts: Parts, pool: Pool, emoji_share: float = 0.55):
        self.parts, self.pool, self.emoji_share = parts, pool, emoji_share
        self.scheduler = pipeline.new_scheduler()
        self.modules: nn.Module = nn.ModuleDict({"unet": parts.unet, "text_encoder": parts.text_encoder})

    def loss(self, step: Step) -> Tensor:
        """Mean squared error of v."""
        rng = step.rng
        chosen = self.pool.draw(rng, step.batch, self.emoji_share)
        captions = [say(self.pool.items[i], rng) for i in chosen]
        captions = ["" if rng.random() < EMPTY_CAPTIONS else caption for caption in captions]
        text = self.parts.text_encoder(token_ids(self.parts.tokenizer, captions))[0]
        batch = noised(self.pool.latents[chosen], self.scheduler, step.generator)
        return F.mse_loss(self.parts.unet(batch.x, batch.t, text).sample.float(), batch.v)

    def picture(self, averaged: nn.Module) -> Image.Image:
        """Pictures of fixed prompts, none of them a caption from training word for word."""
        return grid(paint(averaged_parts(self.parts, averaged).pipeline, list(PROMPTS)), 8)


def averaged_parts(parts: Parts, averaged: nn.Module) -> Parts:
    """The parts with the averaged weights of the networks that were trained."""
    return replace(parts, unet=averaged["unet"], text_encoder=averaged["text_encoder"])  # type: ignore[index]


def starting_parts(warm_start: Path | None, vae: Path | None, tokenizer: Path | None, new_unet: bool) -> Parts:
    """The parts to train from: a pipeline's, or new ones; the autoencoder and the tokenizer from their own runs."""
    if warm_start:
        parts = pipeline.open_parts(warm_start)
        parts = replace(parts, vae=autoencoder.open_autoencoder(vae)) if vae else parts
        return replace(parts, unet=pipeline.new_unet()) if new_unet else parts
    if not (vae and tokenizer):
        raise SystemExit("without --warm-start, say --autoencoder and --tokenizer: the folders of their runs")
    words = pipeline.CLIPTokenizer.from_pretrained(tokenizer)
    encoder = pipeline.new_text_encoder(words)
    return Parts(autoencoder.open_autoencoder(vae), encoder, words, pipeline.new_unet())


def main() -> None:
    """Train the text encoder and the U-Net, or go on where they stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=RUNS / "diffusion", help="default: %(default)s")
    parser.add_argument("--warm-start", type=Path, help="a pipeline folder whose networks to go on from")
    parser.add_argument("--new-unet", action="store_true", help="go on from its text encoder alone")
    parser.add_argument("--autoencoder", type=Path, help="folder of an autoencoder run, in place of the pipeline's")
    parser.add_argument("--tokenizer", type=Path, help="folder of a tokenizer run, for training from nothing")
    parser.add_argument("--samples", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--scenes", type=int, default=16_000, help="scenes in the pool (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=6e-4, help="peak learning rate (default: %(default)s)")
    parser.add_argument(
        "--emoji-share", type=float, default=0.4, help="share of emoji in a batch (default: %(default)s)"
    )
    args = parser.parse_args()
    torch.manual_seed(0)
    parts = starting_parts(args.warm_start, args.autoencoder, args.tokenizer, args.new_unet)
    pool = build_pool(parts.vae, args.scenes)
    plan = Plan(
        args.folder, args.samples, args.batch, args.rate, warm_up=6_400, decay=0.5, average=0.999,
        picture_samples=25_000,
    )  # fmt: skip
    trained = train(Diffusing(parts, pool, args.emoji_share), plan)
    averaged_parts(parts, trained).pipeline.save_pretrained(args.folder / "pipeline")


if __name__ == "__main__":
    main()

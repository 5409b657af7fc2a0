"""Train the autoencoder: 64x64 pictures to latents of 16 channels at 8x8, and back.

An AutoencoderTiny without norms (a group norm loses the level of flat areas, and with it the colour).  Its latents are
held near mean 0 and deviation 1 by the loss, so that the pipeline's scaling factor is 1.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor, nn

from training import icons, scenes, styles
from training.loop import RUNS, Plan, Step, grid, train
from training.palette import Picture

CHANNELS = 16
FACTOR = 8


def new_autoencoder(width: int = 48) -> AutoencoderTiny:
    """An untrained autoencoder of factor 8 with 16 latent channels; 1.0 M parameters at width 48."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(width,) * 4,
        decoder_block_out_channels=(width,) * 4,
        num_encoder_blocks=(1, 1, 2, 3),
        num_decoder_blocks=(3, 2, 1, 1),
        scaling_factor=1.0,
    )


def open_autoencoder(pipeline: Path) -> AutoencoderTiny:
    """The autoencoder of a pipeline folder, in float32."""
    return AutoencoderTiny.from_pretrained(pipeline, subfolder="vae", torch_dtype=torch.float32)


def encode(autoencoder: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Latents, (B, 16, H/8, W/8), of pictures (B, 3, H, W) in 0..1."""
    return autoencoder.encoder(pictures * 2 - 1).float()


def decode(autoencoder: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Pictures, (B, 3, H, W) in 0..1, of latents (B, 16, H/8, W/8)."""
    return (autoencoder.decode(latents).sample.float() + 1) / 2


def random_emoji(rng: np.random.Generator, choices: list[icons.Emoji]) -> Picture:
    """One of the emoji, moved and scaled a little."""
    right, down = (int(n) for n in rng.integers(-2, 3, 2))
    scale = float(rng.choice([0.88, 0.94, 1.0, 1.0, 1.05]))
    return icons.draw(choices[rng.integers(len(choices))], jitter=(right, down, scale))


def random_print(rng: np.random.Generator) -> Picture:
    """An icon in the second style."""
    names = tuple(icons.WORDS)
    return styles.printed(icons.draw(icons.Emoji(names[rng.integers(len(names))], "white")))


def random_picture(rng: np.random.Generator, choices: list[icons.Emoji]) -> Picture:
    """A picture of the world: half emoji, the rest scenes and a few prints; without emoji, scenes alone."""
    kind = rng.random() if choices else 0.5
    if kind < 0.5:
        return random_emoji(rng, choices)
    if kind < 0.92:
        return scenes.draw(next(scenes.scenes(int(rng.integers(2**31)), held_out=False)), rng)
    return random_print(rng)


def tensor(pictures: list[Picture]) -> Tensor:
    """Pictures as a batch, (B, 3, H, W), contiguous in that order."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def array(batch: Tensor) -> np.ndarray:
    """The reverse of `tensor`: (B, H, W, 3) in 0..1."""
    return batch.clamp(0, 1).permute(0, 2, 3, 1).numpy()


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of pixels and of edges, which dwells on what is still wrong, and a little absolute error.

    Both are (B, 3, H, W).  Absolute error alone pushes as hard on a flat area that is right but for a hair as on a blurred
    corner."""

    def edges(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.diff(dim=2), x.diff(dim=3)

    edge = sum(F.mse_loss(a, b) for a, b in zip(edges(output), edges(target), strict=True))
    return 20 * F.mse_loss(output, target) + 10 * edge + 0.1 * F.l1_loss(output, target)


def latent_loss(latents: Tensor) -> Tensor:
    """How far each latent channel is from mean 0 and deviation 1 over the batch."""
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    return (mean**2 + (deviation - 1) ** 2).mean()


class Autoencoding:
    """The task: restore pictures from latents with a little noise on them."""

    def __init__(self, autoencoder: AutoencoderTiny, emoji: list[icons.Emoji], freeze_encoder: bool = False):
        self.modules: nn.Module = autoencoder.to(memory_format=torch.channels_last)
        self.autoencoder = autoencoder
        self.emoji = emoji
        autoencoder.encoder.requires_grad_(not freeze_encoder)

    def loss(self, step: Step) -> Tensor:
        """Reconstruction and latent loss of one batch."""
        rng = step.rng
        target = tensor([random_picture(rng, self.emoji) for _ in range(step.batch)])
        target = target.to(memory_format=torch.channels_last)
        latents = encode(self.autoencoder, target)
        noise = 0.05 * torch.randn(latents.shape, generator=step.generator)
        output = decode(self.autoencoder, latents + noise)
        return reconstruction_loss(output, target) + 0.05 * latent_loss(latents)

    def picture(self, averaged: nn.Module) -> Image.Image:
        """Pictures above what is left of them after a round trip."""
        targets = examples(16)
        rows = np.concatenate([targets[:16], round_trip(averaged, targets[:16])])  # type: ignore[arg-type]
        return grid(rows, 16)


def examples(count: int) -> np.ndarray:
    """Half held-out scenes, half held-out emoji, (count, 64, 64, 3)."""
    some_scenes = [scenes.draw(scene) for scene in scenes.first_scenes(count // 2, seed=7, held_out=True)]
    some_emoji = [icons.draw(emoji) for emoji in icons.held_out_emoji()[:: len(icons.WORDS) // (count // 2)]]
    return np.stack((some_scenes + some_emoji)[:count])


@torch.no_grad()
def round_trip(autoencoder: AutoencoderTiny, pictures: np.ndarray, batch: int = 32) -> np.ndarray:
    """Pictures, (n, H, W, 3), encoded and decoded."""
    parts = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().split(batch)
    return np.concatenate([array(decode(autoencoder, encode(autoencoder, part))) for part in parts])


def main() -> None:
    """Train the autoencoder, or go on where it stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=RUNS / "autoencoder", help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=24_000, help="pictures to train on (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="pictures in a step (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate (default: %(default)s)")
    parser.add_argument("--warm-start", type=Path, help="a pipeline folder, such as graphflow/builtin/checkpoints/...")
    parser.add_argument(
        "--freeze-encoder", action="store_true", help="refine the decoder alone; latents stay as they are"
    )
    args = parser.parse_args()
    start = open_autoencoder(args.warm_start) if args.warm_start else new_autoencoder()
    plan = Plan(args.folder, args.samples, args.batch, args.rate, decay=0.7, betas=(0.9, 0.99))
    trained = train(Autoencoding(start, icons.training_emoji(), args.freeze_encoder), plan)
    trained.save_pretrained(args.folder / "vae")


if __name__ == "__main__":
    main()

"""Train the upscalers x2 and x4: a plain stack of convolutions at low resolution, then a pixel shuffle.

The network is Real-ESRGAN's compact one (Wang et al. 2021, SRVGGNetCompact), so that spandrel opens the file.  It is
trained on hundreds of icons of the style, far more than the model draws; an eighth of all is held out by hash.
"""

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor, nn

from training import icons, packages
from training.autoencoder import array, tensor
from training.icons import Emoji
from training.loop import RUNS, Plan, Step, grid, train
from training.packages import NOTO
from training.palette import NAMES, Picture, digest

LOW = 64
WIDTH, DEPTH = 32, 6
TRAINED_ICONS = 400  # each is kept in memory at full size
CATEGORIES = ("Animals & Nature", "Food & Drink", "Smileys & Emotion", "Travel & Places", "Activities", "Objects")


class Compact(nn.Module):
    """(B, 3, H, W) to (B, 3, sH, sW): nearest-neighbour enlargement plus what the convolutions add."""

    def __init__(self, scale: int, width: int = WIDTH, depth: int = DEPTH):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.ModuleList([*layers, nn.Conv2d(width, 3 * scale**2, 3, padding=1)])
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.body:
            y = layer(y)
        return F.pixel_shuffle(y, self.scale) + F.interpolate(x, scale_factor=self.scale)


@cache
def icon_names(held_out: bool) -> tuple[str, ...]:
    """Names of the icons on one side of the split; an eighth is held out by hash."""
    categories = packages.read(NOTO, "metadata.json")["categories"]
    names = sorted({name for category in CATEGORIES for name in categories[category]})
    known = packages.read(NOTO, "icons.json")["icons"]
    return tuple(name for name in names if name in known and (digest(name) % 8 == 0) == held_out)


def pair(name: str, background: str, scale: int) -> tuple[Picture, Picture]:
    """An icon at 64x64 and at 64 times the scale, the small one averaged from the large."""
    large = icons.draw(Emoji(name, background), LOW * scale)
    small = large.reshape(LOW, scale, LOW, scale, 3).mean((1, 3))
    return small, large


def lanczos(small: Picture, scale: int) -> Picture:
    """The small picture enlarged by Lanczos resampling, what an upscaler has to beat."""
    image = Image.fromarray((small * 255).round().astype(np.uint8))
    large = image.resize((image.width * scale, image.height * scale), Image.Resampling.LANCZOS)
    return np.asarray(large, np.float32) / 255


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, for values in 0..1."""
    return float(-10 * np.log10(np.mean((picture.clip(0, 1) - truth) ** 2)))


@dataclass(frozen=True)
class Gain:
    """Mean PSNR in dB over held-out icons."""

    upscaler: float
    lanczos: float


@torch.no_grad()
def measure(network: nn.Module, scale: int, count: int = 100) -> Gain:
    """The network against Lanczos on held-out icons on white and on colours."""
    pairs = [pair(name, NAMES[i % len(NAMES)], scale) for i, name in enumerate(icon_names(held_out=True)[:count])]
    ours = [psnr(array(network(tensor([small])))[0], large) for small, large in pairs]
    theirs = [psnr(lanczos(small, scale), large) for small, large in pairs]
    return Gain(float(np.mean(ours)), float(np.mean(theirs)))


class Upscaling:
    """The task: the large picture from the small one, some of them blurred as a decoder blurs."""

    def __init__(self, scale: int):
        self.scale = scale
        self.modules: nn.Module = Compact(scale)

    def loss(self, step: Step) -> Tensor:
        """Mean absolute error plus squared error over a batch of random crops of 32x32 low pixels."""
        small, large = (
            torch.cat(part) for part in zip(*(self.crop(step.rng, i) for i in range(step.batch)), strict=True)
        )
        output = self.modules(small)
        return F.l1_loss(output, large) + F.mse_loss(output, large)

    def crop(self, rng: np.random.Generator, index: int) -> tuple[Tensor, Tensor]:
        """A random crop of a random icon, small and large."""
        rng = rng.spawn(index + 1)[index]
        names = icon_names(held_out=False)[:: len(icon_names(held_out=False)) // TRAINED_ICONS]
        small, large = pair(names[rng.integers(len(names))], NAMES[rng.integers(len(NAMES))], self.scale)
        if rng.random() < 0.3:
            small = ndimage.gaussian_filter(small, (*[rng.uniform(0.3, 1.0)] * 2, 0))
        top, left = rng.integers(0, LOW - 32 + 1, 2)
        rows, columns = slice(top, top + 32), slice(left, left + 32)
        large_rows, large_columns = (slice(s.start * self.scale, s.stop * self.scale) for s in (rows, columns))
        return tensor([small[rows, columns]]), tensor([large[large_rows, large_columns]])

    @torch.no_grad()
    def picture(self, averaged: nn.Module) -> Image.Image:
        """Held-out icons: Lanczos, ours, truth."""
        pairs = [pair(name, "white", self.scale) for name in icon_names(held_out=True)[:6]]
        ours = [array(averaged(tensor([small])))[0] for small, _ in pairs]
        rows = [lanczos(small, self.scale) for small, _ in pairs] + ours + [large for _, large in pairs]
        return grid(np.stack(rows), len(pairs), zoom=1)


def main() -> None:
    """Train one upscaler, or go on where it stopped, and compare it with Lanczos."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    parser.add_argument("--folder", type=Path, help="default: runs/training/upscaler-xSCALE")
    parser.add_argument("--samples", type=int, default=8_000, help="crops to train on (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (default: %(default)s)")
    args = parser.parse_args()
    torch.manual_seed(0)
    folder = args.folder or RUNS / f"upscaler-x{args.scale}"
    plan = Plan(folder, args.samples, args.batch, args.rate, decay=0.8, betas=(0.9, 0.99), average=0.99)
    trained = train(Upscaling(args.scale), plan).eval()
    save_file(
        {key: value.half() for key, value in trained.state_dict().items()},
        folder / f"graphflow-{args.scale}x.safetensors",
    )
    gain = measure(trained, args.scale)
    print(f"x{args.scale}: {gain.upscaler:.2f} dB, Lanczos {gain.lanczos:.2f} dB on held-out icons")


if __name__ == "__main__":
    main()

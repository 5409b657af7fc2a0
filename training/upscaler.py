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
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from training import icons, packages
from training.autoencoder import array, tensor
from training.icons import Emoji
from training.loop import RUNS, Plan, Step, grid, train
from training.packages import NOTO
from training.palette import NAMES, RGB, Picture, digest

LOW = 64
WIDTH, DEPTH = 32, 6
TRAINED_ICONS = 800  # each is kept in memory at full size
CROP = 24  # low pixels
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

    def features(self, x: Tensor) -> Tensor:
        """What the last convolution sees, (B, width, H, W)."""
        for layer in self.body[:-1]:
            x = layer(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        y = self.body[-1](self.features(x))
        return F.pixel_shuffle(y, self.scale) + F.interpolate(x, scale_factor=self.scale)


@torch.no_grad()
def pass_colours_through(network: Compact) -> None:
    """Let the first three channels carry the picture unchanged to the last layer; the others stay random."""
    for layer in network.body[:-1]:
        if isinstance(layer, nn.Conv2d):
            layer.weight[:3], layer.bias[:3] = 0, 0  # type: ignore[index]
            layer.weight[range(3), range(3), 1, 1] = 1
        else:
            layer.weight[:3] = 1


@torch.no_grad()
def solve_last_layer(network: Compact, count: int = 150, ridge: float = 1e-3) -> None:
    """Put the last convolution where least squares over `count` icons want it, given the features before it.

    An untrained network so begins a little above Lanczos, where gradient descent alone needs hours to get."""
    last, names = network.body[-1], some_icons(count)
    size = 9 * last.in_channels + 1  # type: ignore[operator]
    squares, products = torch.zeros(size, size).double(), torch.zeros(size, last.out_channels).double()  # type: ignore[arg-type]
    for i, name in enumerate(names):
        small, large = (tensor([picture]) for picture in pair(name, NAMES[i % len(NAMES)], network.scale))
        seen = F.pad(F.unfold(network.features(small), 3, padding=1)[0].T, (0, 1), value=1)
        missing = large - F.interpolate(small, scale_factor=network.scale)
        wanted = F.pixel_unshuffle(missing, network.scale)[0].flatten(1).T
        squares += (seen.T @ seen).double()
        products += (seen.T @ wanted).double()
    weights = torch.linalg.solve(squares + ridge * len(names) * torch.eye(size).double(), products).float()
    last.weight.copy_(weights[:-1].T.reshape_as(last.weight))  # type: ignore[operator, arg-type, union-attr]
    last.bias.copy_(weights[-1])  # type: ignore[operator, union-attr]


@cache
def icon_names(held_out: bool) -> tuple[str, ...]:
    """Names of the icons on one side of the split; an eighth is held out by hash."""
    categories = packages.read(NOTO, "metadata.json")["categories"]
    names = sorted({name for category in CATEGORIES for name in categories[category]})
    known = packages.read(NOTO, "icons.json")["icons"]
    return tuple(name for name in names if name in known and (digest(name) % 8 == 0) == held_out)


def some_icons(count: int) -> tuple[str, ...]:
    """So many icons of the training side, from all of its categories."""
    names = icon_names(held_out=False)
    return names[:: len(names) // count][:count]


def pair(name: str, background: str, scale: int) -> tuple[Picture, Picture]:
    """An icon at 64x64 and at 64 times the scale, the small one averaged from the large."""
    large = icons.draw(Emoji(name, background), LOW * scale)
    return shrunk(large, scale), large


def shrunk(large: Picture, scale: int) -> Picture:
    """The picture with each square of `scale` pixels averaged."""
    height, width, channels = large.shape
    return large.reshape(height // scale, scale, width // scale, scale, channels).mean((1, 3))


@cache
def layer(name: str, size: int) -> NDArray[np.uint8]:
    """The icon as `icons.draw` places it, (size, size, 4), transparent where it is not."""
    side = round(size * 0.92)
    margin = (size - side) // 2
    canvas = np.zeros((size, size, 4), np.uint8)
    canvas[margin : margin + side, margin : margin + side] = (icons.cutout(name, side) * 255).round()
    icons.cutout.cache_clear()  # four times as large as what is kept here
    return canvas


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
    """The task: the large picture from the small one."""

    def __init__(self, network: Compact):
        self.scale = network.scale
        self.modules: nn.Module = network

    def loss(self, step: Step) -> Tensor:
        """Squared error, and a little absolute error, over a batch of random crops."""
        rng = step.rng
        small, large = (torch.cat(part) for part in zip(*(self.crop(rng) for _ in range(step.batch)), strict=True))
        output = self.modules(small).float()
        return 10 * F.mse_loss(output, large) + 0.1 * F.l1_loss(output, large)

    def crop(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A random crop of a random icon, small and large, turned and mirrored."""
        names = some_icons(TRAINED_ICONS)
        icon, colour = layer(names[rng.integers(len(names))], LOW * self.scale), RGB[rng.integers(len(RGB))]
        top, left = rng.integers(0, icon.shape[0] - CROP * self.scale + 1, 2)  # the grid of pixels lies anywhere
        icon = icon[top : top + CROP * self.scale, left : left + CROP * self.scale].astype(np.float32) / 255
        large = np.rot90(colour + (icon[..., :3] - colour) * icon[..., 3:], rng.integers(4))
        large = np.ascontiguousarray(large[:, :: rng.choice((1, -1))])
        return tensor([shrunk(large, self.scale)]), tensor([large])

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
    parser.add_argument("--samples", type=int, default=60_000, help="crops to train on (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=5e-4, help="peak learning rate (default: %(default)s)")
    args = parser.parse_args()
    torch.manual_seed(0)
    folder = args.folder or RUNS / f"upscaler-x{args.scale}"
    plan = Plan(folder, args.samples, args.batch, args.rate, decay=0.8, betas=(0.9, 0.99), average=0.99)
    network = Compact(args.scale)
    pass_colours_through(network)
    solve_last_layer(network)
    trained = train(Upscaling(network), plan).eval()
    solve_last_layer(trained)  # type: ignore[arg-type]
    tensors = {key: value.half() for key, value in trained.state_dict().items()}
    save_file(tensors, folder / f"graphflow-{args.scale}x.safetensors")
    gain = measure(trained, args.scale)
    print(f"x{args.scale}: {gain.upscaler:.2f} dB, Lanczos {gain.lanczos:.2f} dB on held-out icons")


if __name__ == "__main__":
    main()

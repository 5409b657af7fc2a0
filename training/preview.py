"""Fit the linear map from latents to colours by which previews show the model on board at work.

It prints the numbers that `graphflow/families/sd15.py` holds as ON_BOARD_RGB and its bias.
"""

import argparse
from pathlib import Path

import numpy as np

from graphflow.diffusion.preview import fit_rgb
from training import autoencoder, icons, scenes
from training.diffusion import render
from training.export import SHIPPED


def main() -> None:
    """Fit the map to pictures of the training world and print it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("pipeline", type=Path, nargs="?", default=SHIPPED, help="default: %(default)s")
    args = parser.parse_args()
    vae, rng = autoencoder.open_autoencoder(args.pipeline), np.random.default_rng(0)
    items = [*icons.training_emoji(), *scenes.first_scenes(300, seed=6, held_out=False)]
    pictures = autoencoder.tensor([render(item, rng) for item in items])
    factors, bias = fit_rgb(autoencoder.encode(vae, pictures).detach(), pictures)
    for row in factors:
        print("    (" + ", ".join(f"{value:.3f}" for value in row) + "),")
    print("bias: (" + ", ".join(f"{value:.3f}" for value in bias) + ")")


if __name__ == "__main__":
    main()

"""Train a LoRA (Hu et al. 2021) on the model on board: the second drawing style, navy ink on cream paper.

The file has kohya's layout (`lora_unet_<module>.lora_down.weight`, `.lora_up.weight`, `.alpha`), which tools open.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from training import autoencoder, icons, pipeline, scenes, styles
from training.captions import Item, say
from training.diffusion import PROMPTS, noised
from training.export import SHIPPED
from training.loop import RUNS, Plan, Step, grid, train
from training.palette import Picture
from training.pipeline import Parts, open_parts, paint, token_ids

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


class LowRank(nn.Module):
    """A frozen linear layer plus a trained product of two thin ones."""

    def __init__(self, base: nn.Linear, rank: int):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


def adapt(unet: nn.Module, rank: int) -> nn.ModuleDict:
    """Put a low-rank addition beside every linear layer of the attention blocks; returns them by kohya's names."""
    found = {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, nn.Linear) and name.endswith(TARGETS)
    }
    unet.requires_grad_(False)
    additions = {}
    for name, linear in found.items():
        parent, _, child = name.rpartition(".")
        additions["lora_unet_" + name.replace(".", "_")] = LowRank(linear, rank)
        setattr(unet.get_submodule(parent), child, additions["lora_unet_" + name.replace(".", "_")])
    return nn.ModuleDict(additions)


def save(additions: nn.ModuleDict, path: Path) -> None:
    """Write the additions in kohya's layout, float16."""
    tensors = {}
    for name, addition in additions.items():
        tensors[f"{name}.lora_down.weight"] = addition.down.weight.detach().half().contiguous()
        tensors[f"{name}.lora_up.weight"] = addition.up.weight.detach().half().contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(addition.down.out_features))
    save_file(tensors, path, metadata={"ss_network_module": "networks.lora", "modelspec.title": "ink print"})


@dataclass(frozen=True)
class Prints:
    """Encoded prints, (n, 16, 8, 8), and what each shows."""

    latents: Tensor
    items: list[Item]


@torch.no_grad()
def build_prints(parts: Parts, scene_count: int = 256) -> Prints:
    """Every icon, and some scenes, as prints; the background that a caption names is paper all the same."""
    items: list[Item] = [*icons.training_emoji(), *scenes.first_scenes(scene_count, seed=3, held_out=False)]
    whites = [icons.draw(icons.Emoji(i.icon, "white")) if isinstance(i, icons.Emoji) else scenes.draw(i) for i in items]
    pictures = autoencoder.tensor([styles.printed(picture) for picture in whites])
    latents = torch.cat([autoencoder.encode(parts.vae, some) for some in pictures.split(64)])
    return Prints(latents, items)


class Styling:
    """The task: the same captions, but drawn as prints; only the additions learn."""

    def __init__(self, parts: Parts, rank: int):
        self.parts, self.prints = parts, build_prints(parts)
        self.scheduler = pipeline.new_scheduler()
        parts.text_encoder.requires_grad_(False)
        self.modules: nn.Module = adapt(parts.unet, rank)

    def loss(self, step: Step) -> Tensor:
        """Mean squared error of v, on prints."""
        rng = step.rng
        chosen = rng.integers(0, len(self.prints.items), step.batch).tolist()
        captions = [say(self.prints.items[i], rng) if rng.random() > 0.1 else "" for i in chosen]
        with torch.no_grad():
            text = self.parts.text_encoder(token_ids(self.parts.tokenizer, captions))[0]
        batch = noised(self.prints.latents[chosen], self.scheduler, step.generator)
        return F.mse_loss(self.parts.unet(batch.x, batch.t, text).sample, batch.v)

    def picture(self, averaged: nn.Module) -> Image.Image:
        """Fixed prompts in the style, with the weights of the moment."""
        return grid(paint(self.parts.pipeline, list(PROMPTS[:8]), steps=10), 8)


def is_print(picture: Picture) -> bool:
    """Whether a picture holds hardly a colour but those between ink and paper: the classifier of the style."""
    line = styles.PAPER - styles.INK
    along = ((picture - styles.INK) @ line / (line @ line)).clip(0, 1)[..., None]
    distance = np.linalg.norm(picture - (styles.INK + along * line), axis=-1)
    return bool(distance.mean() < 0.1)


def main() -> None:
    """Train the LoRA on a pipeline, or go on where it stopped, and say how many pictures change style."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=RUNS / "lora", help="default: %(default)s")
    parser.add_argument("--base", type=Path, default=SHIPPED, help="the pipeline it belongs to (default: %(default)s)")
    parser.add_argument("--rank", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=8_000, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate (default: %(default)s)")
    args = parser.parse_args()
    torch.manual_seed(0)
    parts = open_parts(args.base)
    prompts = list(PROMPTS[:8])
    before = paint(parts.pipeline, prompts, steps=10)
    task = Styling(parts, args.rank)
    plan = Plan(
        args.folder, args.samples, args.batch, args.rate, warm_up=160, decay=0.6, average=0.99, picture_samples=args.samples
    )  # fmt: skip
    trained = train(task, plan)
    save(trained, args.folder / "graphflow-ink.safetensors")  # type: ignore[arg-type]
    task.modules.load_state_dict(trained.state_dict())
    after = paint(parts.pipeline, prompts, steps=10)
    counts = [sum(is_print(picture) for picture in pictures) for pictures in (before, after)]
    print(f"prints among {len(prompts)} pictures: {counts[0]} without the LoRA, {counts[1]} with it")
    grid(np.concatenate([before, after]), 8).save(args.folder / "before-after.png")


if __name__ == "__main__":
    main()

"""What previews take of a sampling's time while someone looks, by the map and by a tiny decoder.

Run with `python -m benchmarks.previews`. Samples the model on board, and a small network of Stable Diffusion 1.5's kind
with latents of 32 by 32; processor time on one thread, the previews' own against the whole job's. 2 % is the limit.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from safetensors.torch import save_file

from graphflow.engine.previews import PreviewBudget
from graphflow.paths import builtin_models
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import build, files
from graphflow.workflow import parse

Json = dict[str, Any]
ROUNDS = 3
LIMIT = 0.02
SMALL = {
    "in_channels": 4, "out_channels": 4, "block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 192,
    "attention_head_dim": 8, "layers_per_block": 1, "sample_size": 64,
}  # fmt: skip


@dataclass
class Cost:
    """Of a job, in seconds of processor time."""

    whole: float = 0.0
    previews: float = 0.0
    shown: int = 0


def link(source: str) -> dict[str, str]:
    return {"from": source}


def sampling(loader: Json, side: int, steps: int) -> Json:
    """A workflow that samples with the text encoder on board."""
    nodes = {
        "text": {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "graphflow-emoji"}},
        "prompt": {"type": "CLIPTextEncode", "inputs": {"clip": link("text.CLIP"), "text": "a panda"}},
        "load": loader,
        "empty": {"type": "EmptyLatentImage", "inputs": {"width": side, "height": side}},
        "sample": {
            "type": "KSampler",
            "inputs": {
                "model": link("load.MODEL"), "positive": link("prompt.CONDITIONING"), "steps": steps, "cfg": 4.0,
                "negative": link("prompt.CONDITIONING"), "latent_image": link("empty.LATENT"), "seed": 0,
            },
        },
    }  # fmt: skip
    return {"graphflow": 1, "nodes": nodes}


def network(folder: Path) -> None:
    """A small U-Net with random weights, its config beside it."""
    from diffusers import UNet2DConditionModel

    config = folder / "small.config" / "unet" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"_class_name": "UNet2DConditionModel", **SMALL}))
    state = UNet2DConditionModel.from_config(SMALL).state_dict()
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "small.safetensors")


def decoder(path: Path, channels: int) -> None:
    """A tiny decoder with random weights, in the layout of its authors."""
    module = DecoderTiny(
        channels, 3, num_blocks=(3, 3, 3, 1), block_out_channels=(64,) * 4, upsampling_scaling_factor=2, act_fn="relu",
        upsample_fn="nearest",
    )  # fmt: skip
    state = {}
    for key, value in module.state_dict().items():
        _, number, rest = key.split(".", 2)
        state[f"{int(number) + 1}.{rest}"] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)


class Desk:
    """A worker whose jobs someone looks at."""

    def __init__(self, models: Path) -> None:
        self.settings = WorkerSettings(device="cpu", dtype="float32", roots=(models, builtin_models()))
        self.worker = build(self.settings)
        self.worker.looking = True
        self._seeds: Iterator[int] = iter(range(1, 10**6))

    def run(self, document: Json) -> Cost:
        """What a job with a new seed costs."""
        workflow = parse(document).with_values({"sample.seed": next(self._seeds)})
        plan = compile(
            workflow, self.worker.engine.shop.definitions, files(self.settings), targets=["sample"], job="job"
        )
        cost, show = Cost(), PreviewBudget.show

        def timed(budget: PreviewBudget, make: Callable[[], None]) -> float:
            began = time.process_time()
            took = show(budget, make)
            cost.previews += time.process_time() - began
            cost.shown += 1
            return took

        began = time.process_time()
        PreviewBudget.show = timed  # type: ignore[assignment, method-assign]
        try:
            self.worker.engine.run(plan, lambda _: None)
        finally:
            PreviewBudget.show = show  # type: ignore[method-assign]
        cost.whole = time.process_time() - began
        return cost


def main() -> None:
    """Prints the share of the time that previews take."""
    torch.set_num_threads(1)
    board = {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "graphflow-emoji"}}
    small = {"type": "UNETLoader", "inputs": {"unet_name": "small.safetensors"}}
    cases: list[tuple[str, Json, Callable[[Path], None] | None]] = [
        ("the map", sampling(board, 64, 100), None),
        ("the map", sampling(small, 256, 20), None),
        (
            "a tiny decoder",
            sampling(small, 256, 20),
            lambda root: decoder(root / "vae_approx/taesd_decoder.safetensors", 4),
        ),
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        network(root / "diffusion_models")
        for name, document, prepare in cases:
            if prepare:
                prepare(root)
            desk = Desk(root)
            for _ in range(3):
                desk.run(document)  # the first previews load what they need
            costs = [desk.run(document) for _ in range(ROUNDS)]
            model = "on board, 64 pixels" if document["nodes"]["load"] is board else "small, 256 pixels"
            share = sum(cost.previews for cost in costs) / sum(cost.whole for cost in costs)
            shown = sum(cost.shown for cost in costs) / ROUNDS
            whole = 1e3 * sum(cost.whole for cost in costs) / ROUNDS
            print(f"{model}, {name}: {shown:.1f} previews in {whole:.0f} ms, {share:.2%} of it (limit {LIMIT:.0%})")


if __name__ == "__main__":
    main()

"""What it costs that a network is larger than the device: a tiny SDXL with its layers visiting, against all of it there.

Run with `python -m benchmarks.offloading`. On a CPU nothing is copied, so that this is the cost of the book-keeping alone;
on a GPU the copies come on top. The cheapest of several rounds in turn counts, in processor time on one thread.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from graphflow.diffusion.network import RowCond
from graphflow.families import FAMILIES
from graphflow.models import Residency, loaded
from graphflow.node import File, Row
from graphflow.values import Model, Weights

ROUNDS = 9
CONFIG = {
    "block_out_channels": [64, 128], "layers_per_block": 2, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "attention_head_dim": [1, 2], "cross_attention_dim": 64,
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8, "transformer_layers_per_block": [1, 2], "sample_size": 32,
}  # fmt: skip


def folder(place: Path) -> Path:
    """A small SDXL network with random weights, as a diffusers folder."""
    torch.manual_seed(1)
    module = FAMILIES["sdxl"].build(CONFIG)
    (place / "unet").mkdir()
    module.save_config(place / "unet")  # type: ignore[operator]
    save_file(module.state_dict(), place / "unet" / "diffusion_pytorch_model.safetensors")
    (place / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    )
    return place


def step(model: Model, home: Residency) -> float:
    """Seconds of one call of the network."""
    with home.active(), loaded(model) as live:
        x = torch.ones(2, 4, 32, 32, device=home.device)
        cond = RowCond(live.parametrisation, torch.ones(2, 77, 64), torch.ones(2, 32), latent_size=(32, 32))
        began = time.thread_time()
        live.predict([Row(live, x, torch.tensor(1.0), cond)])
        return time.thread_time() - began


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        model = Model(Weights((File("tiny-sdxl", folder(Path(place)), "tiny"),), "model", "sdxl"))
        whole = Residency(dtype="float32")
        step(model, whole)
        need = whole.tally.peak
        homes = {share: Residency(dtype="float32", limit=int(need * share)) for share in (0.75, 0.5, 0.25)}
        times = {share: [step(model, home) for _ in range(ROUNDS)] for share, home in {1.0: whole, **homes}.items()}
    fastest = {share: min(found[1:]) for share, found in times.items()}
    print(f"{need / 2**20:.1f} MB of weights on {whole.device}: {fastest[1.0] * 1000:.1f} ms a step")
    for share, home in homes.items():
        visits = home.tally.visits / ROUNDS
        print(
            f"limit {share:.0%}: x{fastest[share] / fastest[1.0]:.2f} the time, {visits:.0f} layers come for each step"
        )


if __name__ == "__main__":
    main()

"""Write a trained pipeline as the folder that ships: float16 safetensors and the configs that a loader reads."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from training.autoencoder import open_autoencoder
from training.loop import RUNS
from training.pipeline import open_parts

SHIPPED = Path("graphflow/builtin/checkpoints/graphflow-emoji")


PADDING = (
    "max_length", "pad_to_multiple_of", "pad_token_type_id", "padding_side", "stride", "truncation_side", "truncation_strategy",
)  # fmt: skip
"""What a tokenizer's config says of its last use."""


def export(source: Path, target: Path, vae: Path | None = None) -> int:
    """Write the pipeline at `source`, with another autoencoder if given, in float16; returns its size in bytes."""
    parts = open_parts(source)
    parts = replace(parts, vae=open_autoencoder(vae)) if vae else parts
    parts.tokenizer.backend_tokenizer.no_truncation()  # training has left its own there
    parts.tokenizer.backend_tokenizer.no_padding()
    pipeline = parts.pipeline.to(torch.float16)
    shutil.rmtree(target, ignore_errors=True)
    pipeline.save_pretrained(target, safe_serialization=True)
    for config in target.rglob("*config.json"):
        strip(config)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def strip(config: Path) -> None:
    """Remove from a config the path of the machine it was made on, and what the class derives by itself."""
    settings = json.loads(config.read_text())
    for key in ("_name_or_path", *PADDING):
        settings.pop(key, None)
    if settings.get("_class_name") == "AutoencoderTiny":
        settings.pop("block_out_channels", None)
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Export the pipeline of a diffusion run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--source", type=Path, default=RUNS / "diffusion" / "pipeline", help="default: %(default)s")
    parser.add_argument("--target", type=Path, default=SHIPPED, help="default: %(default)s")
    parser.add_argument("--autoencoder", type=Path, help="folder of an autoencoder run, in place of the pipeline's")
    args = parser.parse_args()
    print(f"{args.target}: {export(args.source, args.target, args.autoencoder) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

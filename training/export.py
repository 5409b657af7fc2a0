"""Write a trained pipeline as the folder that ships: float16 safetensors and the configs that a loader reads."""

import argparse
import json
import shutil
from pathlib import Path

import torch

from training.loop import RUNS
from training.pipeline import open_parts

SHIPPED = Path("graphflow/builtin/checkpoints/graphflow-emoji")


def export(source: Path, target: Path) -> int:
    """Copy the pipeline at `source` to `target` in float16; returns its size in bytes."""
    pipeline = open_parts(source).pipeline.to(torch.float16)
    shutil.rmtree(target, ignore_errors=True)
    pipeline.save_pretrained(target, safe_serialization=True)
    for config in target.rglob("*config.json"):
        strip(config)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def strip(config: Path) -> None:
    """Remove from a config the path of the machine it was made on, and what the class derives by itself."""
    settings = json.loads(config.read_text())
    settings.pop("_name_or_path", None)
    if settings.get("_class_name") == "AutoencoderTiny":
        settings.pop("block_out_channels", None)
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Export the pipeline of a diffusion run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--source", type=Path, default=RUNS / "diffusion" / "pipeline", help="default: %(default)s")
    parser.add_argument("--target", type=Path, default=SHIPPED, help="default: %(default)s")
    args = parser.parse_args()
    print(f"{args.target}: {export(args.source, args.target) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

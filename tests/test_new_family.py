"""A family is one file: each file's header fits one family, and a family that is brought along works everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow import families
from graphflow.detect import MODELS, Entry, Header
from graphflow.families import FAMILIES
from tests.tiny import TINY, golden_sd15, network, original_state, write_config

# --- whose file is it ------------------------------------------------------------------------------------------------


def header_of(state: Mapping[str, Tensor]) -> Header:
    return Header(Path("a"), "safetensors", {k: Entry("F32", tuple(v.shape), 4 * v.numel()) for k, v in state.items()})


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_a_network_s_names_and_shapes_fit_one_family_alone(name: str, layout: str) -> None:
    module, family = network(TINY[name]), TINY[name].family
    state = original_state(module, FAMILIES[family].layout) if layout == "original" else module.state_dict()

    assert {one.family for one in MODELS if one.matches(header_of(state), "")} == {family}


def test_an_unclip_network_and_a_refiner_fit_one_family_alone() -> None:
    names = ("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.0.weight",
             "input_blocks.11.0.in_layers.0.weight")  # fmt: skip
    for width, family in ((1536, "sd2"), (2048, "sd2"), (2560, "sdxl_refiner")):
        state = {name: torch.empty(1) for name in names} | {"label_emb.0.0.weight": torch.empty(1, width)}
        assert {one.family for one in MODELS if one.matches(header_of(state), "")} == {family}


def test_every_file_of_the_package_is_the_family_of_its_name() -> None:
    files = {path.stem for path in Path(families.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == FAMILIES.keys()


# --- a family from elsewhere -----------------------------------------------------------------------------------------

LUMEN = '''
"""Lumen: a small transformer of its own making, CLIP-L for the text, and an autoencoder of four channels."""

from __future__ import annotations

from graphflow.diffusion.latents import LatentFormat
from graphflow.families.common.base import Family, TextPart
from graphflow.families.common.flow import first, shifted
from graphflow.families.common.looks import LoraLooks, Signature
from graphflow.header import count
from graphflow.layouts import Entry


def config(header):
    width, channels = header.shape("patch_embed.proj.weight")[:2]
    return {
        "in_channels": channels, "out_channels": channels, "num_layers": count(header, "lumen_blocks.{}."),
        "num_attention_heads": width // 4, "attention_head_dim": 4, "num_cross_attention_heads": width // 4,
        "cross_attention_head_dim": 4, "cross_attention_dim": width, "patch_size": 1, "sample_size": 8,
        "caption_channels": header.shape("caption_projection.linear_1.weight")[1],
        "mlp_ratio": header.shape("lumen_blocks.0.ff.conv_inverted.weight")[0] / 2 / width,
    }


def network(config):
    from diffusers import SanaTransformer2DModel

    return SanaTransformer2DModel.from_config(dict(config))


FAMILY = Family(
    name="lumen",
    title="Lumen",
    autoencoders={("kl", 4): "lumen"},
    signatures=(Signature(("lumen_blocks.0.attn1.to_q.weight", "patch_embed.proj.weight")),),
    class_name="LumenTransformer2DModel",
    network=network,
    config=config,
    layout=lambda names: [Entry(name.replace("transformer_blocks.", "lumen_blocks."), (name,)) for name in names],
    forward=lambda module, call: first(module, call.x, call.context, call.timestep),
    latents=lambda _: LatentFormat(4, 0.18215),
    parametrisation=shifted(3.0),
    text=(TextPart("clip_l", "l"),),
    types=(("lumen", ""),),
    loras=LoraLooks((r"lumen_blocks_\\d+_",)),
)
'''

DRIVER = """
import json, sys
from graphflow.cli.main import main

for arguments in json.loads(sys.argv[1]):
    sys.stdout.flush()
    print("===", main(arguments), flush=True)
    print("torch" in sys.modules, file=sys.stderr)
"""


def of(node: str, output: str) -> dict[str, str]:
    return {"from": f"{node}.{output}"}


def branch(name: str, model: dict[str, str], clip: dict[str, str], vae: dict[str, str]) -> dict[str, Any]:
    """From prompts to a saved picture."""
    return {
        f"{name} good": {"type": "CLIPTextEncode", "inputs": {"clip": clip, "text": "a cat"}},
        f"{name} bad": {"type": "CLIPTextEncode", "inputs": {"clip": clip, "text": ""}},
        f"{name} paint": {"type": "KSampler", "inputs": {
            "model": model, "positive": of(f"{name} good", "CONDITIONING"), "negative": of(f"{name} bad", "CONDITIONING"),
            "latent_image": of("empty", "LATENT"), "steps": 2, "seed": 5,
        }},
        f"{name} decode": {"type": "VAEDecode", "inputs": {"samples": of(f"{name} paint", "LATENT"), "vae": vae}},
        f"{name} save": {"type": "SaveImage", "inputs": {"images": of(f"{name} decode", "IMAGE"), "filename_prefix": name}},
    }  # fmt: skip


WHOLE = of("whole", "MODEL"), of("whole", "CLIP"), of("whole", "VAE")
NODES: dict[str, Any] = {
    "empty": {"type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
    "whole": {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "lumen.safetensors"}},
    "model": {"type": "UNETLoader", "inputs": {"unet_name": "lumen.safetensors"}},
    "clip": {"type": "CLIPLoader", "inputs": {"clip_name": "clip.safetensors", "type": "lumen"}},
    "vae": {"type": "VAELoader", "inputs": {"vae_name": "vae.safetensors"}},
    "lora": {"type": "LoraLoaderModelOnly", "inputs": {"model": WHOLE[0], "lora_name": "lumen-lora.safetensors"}},
    **branch("one", *WHOLE),
    **branch("parts", of("model", "MODEL"), of("clip", "CLIP"), of("vae", "VAE")),
    **branch("adapted", of("lora", "MODEL"), *WHOLE[1:]),
}
MIXED: dict[str, Any] = {
    "empty": NODES["empty"],
    "whole": NODES["whole"],
    "other": {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny-sd15.safetensors"}},
    **branch("mixed", WHOLE[0], of("other", "CLIP"), WHOLE[2]),
}


def write_models(root: Path) -> None:
    """A whole Lumen checkpoint, its parts in files of their own, a LoRA for it, and a Stable Diffusion."""
    from diffusers import SanaTransformer2DModel

    for folder in ("checkpoints", "diffusion_models", "text_encoders", "vae", "loras"):
        (root / folder).mkdir(parents=True)
    other = golden_sd15(root / "checkpoints").path
    torch.manual_seed(3)
    module: Any = SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=4, num_layers=1,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=32, sample_size=8,
        patch_size=1,
    )  # fmt: skip
    state = {k.replace("transformer_blocks.", "lumen_blocks."): v for k, v in module.state_dict().items()}
    rest = {k: v for k, v in load_file(other).items() if not k.startswith("model.diffusion_model.")}
    clip, vae = "cond_stage_model.transformer.", "first_stage_model."
    files = {
        "checkpoints/lumen": {**{f"model.diffusion_model.{k}": v for k, v in state.items()}, **rest},
        "diffusion_models/lumen": state,
        "text_encoders/clip": {k.removeprefix(clip): v for k, v in rest.items() if k.startswith(clip)},
        "vae/vae": {k.removeprefix(vae): v for k, v in rest.items() if k.startswith(vae)},
        "loras/lumen-lora": {
            "lora_unet_lumen_blocks_0_attn1_to_q.lora_up.weight": torch.ones(8, 2),
            "lora_unet_lumen_blocks_0_attn1_to_q.lora_down.weight": torch.ones(2, 8),
        },
    }
    for name, tensors in files.items():
        path = root / f"{name}.safetensors"
        save_file(tensors, path)
        for part in ("text_encoder", "vae"):
            config = json.loads((other.with_suffix(".config") / part / "config.json").read_text())
            write_config(path, part, config)


def bring(folder: Path, source: str) -> None:
    """A package with one file, as an installer leaves it."""
    (folder / "lumen-1.0.dist-info").mkdir(parents=True)
    (folder / "lumen.py").write_text(source)
    (folder / "lumen-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lumen\nVersion: 1.0\n")
    (folder / "lumen-1.0.dist-info" / "entry_points.txt").write_text("[graphflow.families]\nlumen = lumen:FAMILY\n")


def driven(tmp_path: Path, *calls: list[str]) -> tuple[list[str], list[str]]:
    """What each call of the command line printed, with its exit code, and the lines of errors."""
    where = ["--data", str(tmp_path / "data"), "--models", str(tmp_path / "models")]
    arguments = json.dumps([[*call, *where] for call in calls])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, arguments], check=False, capture_output=True, text=True, env=environment
    )
    return done.stdout.split("=== "), done.stderr.splitlines()


def test_a_family_in_one_file_is_told_listed_planned_and_painted_with(tmp_path: Path) -> None:
    bring(tmp_path / "site", LUMEN)
    write_models(tmp_path / "models")
    for name, nodes in (("run", NODES), ("mixed", MIXED)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"graphflow": 1, "name": name, "nodes": nodes}))

    (listed, ran, mixed, end), told = driven(
        tmp_path,
        ["models", "--json"],
        ["run", str(tmp_path / "run.json"), "--device", "cpu", "--output", str(tmp_path / "out")],
        ["validate", str(tmp_path / "mixed.json")],
    )

    assert told[0] == "False", told  # torch is not needed to list models
    models = json.loads(listed)
    found = {(folder, one["name"]): one["families"] for folder, ones in models.items() for one in ones}
    for name in (("checkpoints", "lumen.safetensors"), ("diffusion_models", "lumen.safetensors"),
                 ("loras", "lumen-lora.safetensors")):  # fmt: skip
        assert found[name] == ["Lumen"]
    assert ran.startswith("0"), told
    one, parts, adapted = (
        np.asarray(PillowImage.open(next((tmp_path / "out").glob(f"{name}*")))).astype(int)
        for name in ("one", "parts", "adapted")
    )
    assert one.shape == (64, 64, 3)
    assert one.std() > 1
    assert (one == parts).all()
    assert (one != adapted).any()
    assert mixed.startswith("0")
    assert end.startswith("2")
    assert any("Stable Diffusion 1.5" in line and "Lumen" in line for line in [*mixed.splitlines(), *told])


def test_a_family_that_cannot_be_read_is_reported_and_left_out(tmp_path: Path) -> None:
    bring(tmp_path / "site", "raise RuntimeError('half written')")

    (listed, end), told = driven(tmp_path, ["models", "--json"])

    assert json.loads(listed).keys() >= {"checkpoints"}
    assert end.startswith("0")
    assert any("lumen" in line and "half written" in line for line in told), told

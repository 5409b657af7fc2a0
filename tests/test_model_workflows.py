"""Adapters, caches and mixes in whole workflows: planned, run by a worker, kept on disk and taken from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from graphflow.events import Chunk, JobDone, Made, NodeCached
from graphflow.models import Residency, checkpoint, loaded, residency
from graphflow.plan import compile
from graphflow.worker.protocol import WorkerSettings
from graphflow.worker.setup import Bench, build, files
from graphflow.workflow import parse
from tests.test_control import t2i_adapter
from tests.test_ip_adapter import adapter
from tests.test_vision import write as write_encoder
from tests.tiny import golden_sd15


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models root: a small Stable Diffusion 1.5, an IP-Adapter, its image encoder, a T2I-Adapter."""
    root = tmp_path_factory.mktemp("models")
    for folder in ("checkpoints", "ipadapter", "clip_vision", "controlnet"):
        (root / folder).mkdir()
    tiny = golden_sd15(root / "checkpoints")
    with Residency(device="cpu", dtype="float32").active():
        recipe = checkpoint(tiny).model
        with loaded(recipe):
            unet: Any = residency().get(recipe.weights, lambda: None).content  # type: ignore[arg-type, return-value]
        adapter(root / "ipadapter", "plus", unet.module, unet.module.config.cross_attention_dim)
        widths = list(unet.module.config.block_out_channels)
    write_encoder(root / "clip_vision", "clip")
    t2i_adapter(root / "controlnet", "sd15", original=True, channels=widths)
    return root


def of(node: str, output: str) -> dict[str, str]:
    return {"from": f"{node}.{output}"}


NODES: dict[str, Any] = {
    "load": {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny-sd15.safetensors"}},
    "good": {"type": "CLIPTextEncode", "inputs": {"clip": of("load", "CLIP"), "text": "a cat"}},
    "bad": {"type": "CLIPTextEncode", "inputs": {"clip": of("load", "CLIP"), "text": ""}},
    "empty": {"type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
    "photo": {"type": "EmptyImage", "inputs": {"width": 64, "height": 64, "color": 8000}},
}


def sampled(model: dict[str, str], cond: str = "good", output: str = "CONDITIONING") -> dict[str, Any]:
    inputs = {
        "model": model, "positive": of(cond, output), "negative": of("bad", "CONDITIONING"), "latent_image": of("empty", "LATENT"),
        "steps": 4, "seed": 5, "cfg": 3.0,
    }  # fmt: skip
    return {
        "sample": {"type": "KSampler", "inputs": inputs},
        "decode": {"type": "VAEDecode", "inputs": {"samples": of("sample", "LATENT"), "vae": of("load", "VAE")}},
        "save": {"type": "SaveImage", "inputs": {"images": of("decode", "IMAGE")}},
    }


PICTURES: dict[str, Any] = {
    "eye": {"type": "CLIPVisionLoader", "inputs": {"clip_name": "clip.safetensors"}},
    "adapter": {"type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": "plus.safetensors"}},
    "shown": {
        "type": "IPAdapterAdvanced",
        "inputs": {
            "model": of("load", "MODEL"), "ipadapter": of("adapter", "IPADAPTER"), "image": of("photo", "IMAGE"),
            "clip_vision": of("eye", "CLIP_VISION"), "end_at": 0.9,
        },
    },
}  # fmt: skip
STEERED: dict[str, Any] = {
    "net": {"type": "ControlNetLoader", "inputs": {"control_net_name": "sd15 True.safetensors"}},
    "steer": {
        "type": "ControlNetApplyAdvanced",
        "inputs": {
            "positive": of("good", "CONDITIONING"), "negative": of("bad", "CONDITIONING"), "control_net": of("net", "CONTROL_NET"),
            "image": of("photo", "IMAGE"),
        },
    },
}  # fmt: skip


def switch(type: str, model: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"fast": {"type": type, "inputs": {"model": model, **more}}}


LOADED = of("load", "MODEL")
WORKFLOWS: dict[str, dict[str, Any]] = {
    "plain": {**NODES, **sampled(LOADED)},
    "ip-adapter": {**NODES, **PICTURES, **sampled(of("shown", "MODEL"))},
    "t2i-adapter": {**NODES, **STEERED, **sampled(LOADED, "steer", "positive")},
    "deepcache": {**NODES, **switch("DeepCache", LOADED), **sampled(of("fast", "MODEL"))},
    "all of them": {
        **NODES, **PICTURES, **STEERED, **switch("DeepCache", of("shown", "MODEL")),
        **sampled(of("fast", "MODEL"), "steer", "positive"),
    },
    "kernel": {**NODES, **switch("AttentionKernel", LOADED, kernel="math"), **sampled(of("fast", "MODEL"))},
    "channels-last": {**NODES, **switch("ChannelsLast", LOADED), **sampled(of("fast", "MODEL"))},
}  # fmt: skip


def settings(models: Path, cache: Path) -> WorkerSettings:
    return WorkerSettings(device="cpu", dtype="float32", roots=(models,), cache=cache, disk_cache=2**28)


def run(bench: Bench, told: WorkerSettings, nodes: dict[str, Any]) -> list[Any]:
    document = parse({"graphflow": 1, "nodes": nodes})
    items: list[Any] = []
    bench.engine.run(compile(document, bench.engine.shop.definitions, files(told), job="job"), items.append)
    assert isinstance(items[-1], JobDone), items[-1]
    return items


def chunked(items: list[Any]) -> dict[str, bytes]:
    """Files that came in chunks, by node."""
    nodes = {item.node for item in items if isinstance(item, Made)}
    return {n: b"".join(item.data for item in items if isinstance(item, Chunk) and item.node == n) for n in nodes}


def made(items: list[Any]) -> list[bytes]:
    return [item.data for item in items if isinstance(item, Made)]


def test_each_changes_the_picture_and_a_restarted_worker_knows_what_was_made(models: Path, tmp_path: Path) -> None:
    told = settings(models, tmp_path / "cache")
    bench = build(told)
    first = {name: made(run(bench, told, nodes)) for name, nodes in WORKFLOWS.items()}
    bench.close()
    again = build(told)
    second = {name: run(again, told, nodes) for name, nodes in WORKFLOWS.items()}
    again.close()

    assert all(len(pictures) == 1 for pictures in first.values())
    assert {name: made(items) for name, items in second.items()} == first
    assert all(any(isinstance(item, NodeCached) for item in items) for items in second.values())
    changed = [first[name][0] for name in ("plain", "ip-adapter", "t2i-adapter", "deepcache", "all of them")]
    assert len(set(changed)) == len(changed)


def test_mixes_and_what_is_saved_of_them(models: Path, tmp_path: Path) -> None:
    told = settings(models, tmp_path / "cache")
    bench = build(told)
    other = {"again": {"type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny-sd15.safetensors"}}}
    clips = {"clip1": of("load", "CLIP"), "clip2": of("again", "CLIP")}
    nodes = {
        "load": NODES["load"], **other,
        "mix": {"type": "CLIPMergeSimple", "inputs": {**clips, "ratio": 0.3}},
        "less": {"type": "CLIPMergeSubtract", "inputs": clips},
        "clip": {"type": "CLIPSave", "inputs": {"clip": of("mix", "CLIP")}},
        "whole": {"type": "CheckpointSave", "inputs": {"model": LOADED, "clip": of("mix", "CLIP"), "vae": of("load", "VAE")}},
        "lora": {"type": "LoraSave", "inputs": {"text_encoder_diff": of("less", "CLIP"), "rank": 2}},
    }  # fmt: skip

    items = run(bench, told, nodes)
    saved = {node: load(stored) for node, stored in chunked(items).items()}
    bench.close()

    assert set(saved) == {"clip", "whole", "lora"}
    name = "text_model.encoder.layers.0.mlp.fc1.weight"
    torch.testing.assert_close(saved["clip"][name], saved["whole"][f"cond_stage_model.transformer.{name}"])
    ups = [tensor for key, tensor in saved["lora"].items() if key.endswith("lora_up.weight")]
    assert ups
    assert all((tensor == 0).all() for tensor in ups)  # a model differs by nothing from itself

"""What nobody should ask of a sampling, asked of a server: the picture that the reference paints, or why there is none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.config import Config
from graphflow.errors import InvalidWorkflow
from graphflow.service import build_service

Nodes = dict[str, dict[str, Any]]
SHIPPED: Nodes = json.loads((Path(__file__).parents[2] / "workflows/text-to-image.json").read_text("utf-8"))["nodes"]


def link(source: str) -> dict[str, str]:
    return {"from": source}


def node(type: str, **inputs: Any) -> dict[str, Any]:
    return {"type": type, "inputs": inputs}


def base(**sampler: Any) -> Nodes:
    """The shipped workflow without its enlargement, one step."""
    nodes = copy.deepcopy({id: node for id, node in SHIPPED.items() if id not in ("upscaler", "upscale")})
    nodes["save"]["inputs"]["images"] = link("decode.IMAGE")
    nodes["sample"]["inputs"] |= {"steps": 1} | sampler
    return nodes


def prompt(text: str) -> Nodes:
    nodes = base()
    nodes["prompt"]["inputs"]["text"] = text
    return nodes


def walked(sampler: str, sigmas: str) -> Nodes:
    nodes = base()
    given = {name: nodes["sample"]["inputs"][name] for name in ("model", "positive", "negative", "latent_image")}
    nodes["sampler"] = node("KSamplerSelect", sampler_name=sampler)
    nodes["sigmas"] = node("ManualSigmas", sigmas=sigmas)
    parts = {"sampler": link("sampler.SAMPLER"), "sigmas": link("sigmas.SIGMAS")}
    nodes["sample"] = node("SamplerCustom", **given, **parts, noise_seed=7, cfg=1.0)
    nodes["decode"]["inputs"]["samples"] = link("sample.output")
    return nodes


def placed(x: int) -> Nodes:
    nodes = base()
    nodes["area"] = node(
        "ConditioningSetArea", conditioning=link("prompt.CONDITIONING"), width=64, height=64, x=x, y=0, strength=1.0
    )
    nodes["sample"]["inputs"]["positive"] = link("area.CONDITIONING")
    return nodes


def masked(width: int, height: int, value: float = 1.0) -> Nodes:
    nodes = base()
    nodes["empty"]["inputs"]["batch_size"] = 2
    nodes["mask"] = node("SolidMask", value=value, width=width, height=height)
    nodes["masked"] = node("SetLatentNoiseMask", samples=link("empty.LATENT"), mask=link("mask.MASK"))
    nodes["sample"]["inputs"]["latent_image"] = link("masked.LATENT")
    return nodes


def painted_over(width: int, height: int) -> Nodes:
    nodes = base(denoise=0.5)
    nodes["paper"] = node("EmptyImage", width=width, height=height)
    nodes["encode"] = node("VAEEncode", pixels=link("paper.IMAGE"), vae=link("load.VAE"))
    nodes["sample"]["inputs"]["latent_image"] = link("encode.LATENT")
    return nodes


PAINTED = {
    "denoise 0": base(denoise=0.0),
    "denoise 1e-9": base(denoise=1e-9),
    "cfg 1": base(cfg=1.0),
    "sigmas that repeat": walked("euler", "10, 5, 5, 0"),
    "sigmas that rise": walked("euler", "1, 3"),
    "sigmas that end above zero": walked("dpmpp_2m", "10, 5, 1"),
    "no sigmas": walked("dpmpp_sde", ""),
    "one sigma": walked("dpmpp_sde", "5"),
    "an empty prompt": prompt(""),
    "ten thousand words": prompt("cat " * 10_000),
    "unbalanced brackets": prompt("((a cat) ))(("),
    "an embedding that no file can be": prompt("embedding:" + "x" * 5000),
    "an area partly outside": placed(32),
    "a mask of another shape": masked(500, 3),
    "a mask of nothing": masked(64, 64, 0.0),
    "sides that the factor does not divide": painted_over(65, 63),
}
TOLD = {
    "a weight of inf": (prompt("(cat:inf)"), "prompt", "a piece of the prompt weighs inf, of which no encoding"),
    "a weight of 1e999": (prompt("(cat:1e999)"), "prompt", "a piece of the prompt weighs inf, of which no encoding"),
    "a weight of nan": (prompt("(cat:nan)"), "prompt", "a piece of the prompt weighs nan, of which no encoding"),
    "a weight of 1e30": (prompt("(cat:1e30)"), "sample", "at step 1 (sigma 14.61) the model's prediction holds NaN"),
    "endless brackets": (prompt("(" * 999 + ")" * 999), "prompt", "brackets nest deeper than 256"),
    "a step that begins at 0": (walked("dpmpp_sde", "10, 0, 5, 0"), "sample", "step 2 begins at sigma 0"),
    "rising with noise": (walked("euler_ancestral", "1, 3, 0"), "sample", "the sigmas rise at step 1 (1 to 3)"),
    "an area outside": (placed(64), "sample", "the area of 8x8 at (8, 0), in latent pixels, lies outside the latent"),
    "a picture too small": (painted_over(7, 9), "encode", "a picture of 7 × 9 is too small to encode"),
}  # fmt: skip


@pytest.mark.timeout(120)
async def test_odd_samplings_paint_or_say_what_is_wrong_and_where(tmp_path: Path) -> None:
    service, database = build_service(Config(data=tmp_path, workers="local", device="cpu", dtype="float32"))
    await service.start()
    try:
        with pytest.raises(InvalidWorkflow, match="0 is out of range: it must be between 1 and 10000"):
            await service.submit({"graphflow": 1, "nodes": base(steps=0)})
        jobs = {}
        for name, nodes in {**PAINTED, **{name: told[0] for name, told in TOLD.items()}}.items():
            jobs[name] = await service.submit({"graphflow": 1, "nodes": nodes})
        last = {name: [event async for event in service.follow(job.id)][-1] for name, job in jobs.items()}
    finally:
        await service.stop()
        database.close()

    assert {name: last[name].type for name in PAINTED} == dict.fromkeys(PAINTED, "job.done")
    for name, (_, where, said) in TOLD.items():
        assert last[name].type == "job.failed", name
        (problem,) = last[name].error.problems
        assert (problem.node, said in problem.message) == (where, True), problem.message

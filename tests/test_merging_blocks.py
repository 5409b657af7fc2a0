"""Models of one family mixed block by block, and written without a second copy in memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor

import graphflow_nodes.merging_blocks
from graphflow.detect import detect
from graphflow.families import FAMILIES
from graphflow.layouts import same
from graphflow.models import Residency, extracted, loaded, saved_checkpoint, saved_network
from graphflow.models.loading import network_shapes
from graphflow.models.merged import stream_of
from graphflow.models.merging import Mix, Stream, mixing
from graphflow.models.saving import difference
from graphflow.models.writing import pieces
from graphflow.node import Progress
from graphflow.registry import nodes_in
from graphflow.values import Clip, Model, Vae, Weights
from graphflow_nodes.loaders import checkpoint_loader_simple, unclip_checkpoint_loader, unet_loader
from graphflow_nodes.merging import model_merge_simple
from graphflow_nodes.model_sampling import model_sampling_discrete
from tests import test_unclip
from tests.test_families import predict
from tests.tiny import TINY, config_of, file, golden_sd15, network, original_state, write_config

NODES = {node.definition.type: node for node in nodes_in(graphflow_nodes.merging_blocks, "core")}
FAMILY_OF = {
    "ModelMergeSD1": "sd15", "ModelMergeSD2": "sd2", "ModelMergeSDXL": "sdxl", "ModelMergeSD3_2B": "sd3",
    "ModelMergeSD35_Large": "sd35", "ModelMergeAuraflow": "auraflow", "ModelMergeFlux1": "flux",
    "ModelMergeQwenImage": "qwen_image", "ModelMergeWAN2_1": "wan",
}  # fmt: skip


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def whole(parts: Iterable[bytes | Progress]) -> bytes:
    """A file that is written piece by piece."""
    return b"".join(part for part in parts if isinstance(part, bytes))


def written(folder: Path, name: str, state: dict[str, Tensor], tiny: str) -> Model:
    path = folder / f"{name}.safetensors"
    save_file(state, path)
    write_config(path, TINY[tiny].folder, config_of(TINY[tiny].config))
    return unet_loader(file(path))


@pytest.mark.parametrize("type", NODES)
def test_each_block_of_a_family_has_its_ratio(tmp_path: Path, type: str) -> None:
    tiny = FAMILY_OF[type]
    state = original_state(network(TINY[tiny]), FAMILIES[TINY[tiny].family].layout)
    others = {key: tensor * 2 + 1 for key, tensor in state.items()}
    names = [port.name for port in NODES[type].definition.inputs if port.type == "FLOAT"]
    ratios = {name: number / len(names) for number, name in enumerate(names)}

    mixed = NODES[type].function(written(tmp_path, "a", state, tiny), written(tmp_path, "b", others, tiny), **ratios)
    found = load(whole(saved_network(mixed)))

    def ratio(key: str) -> float:
        return ratios[max((name for name in names if key.startswith(name)), key=len, default=names[0])]

    assert len([name for name in names if any(key.startswith(name) for key in state)]) >= 5
    for key, tensor in state.items():
        torch.testing.assert_close(
            found[key], ratio(key) * tensor + (1 - ratio(key)) * others[key], atol=1e-5, rtol=1e-5
        )


# --- memory ----------------------------------------------------------------------------------------------------------


class Watched:
    """Tensors that note how many bytes of tensors are alive whenever one is asked for."""

    def __init__(self, tensors: dict[str, Tensor], peaks: list[int]) -> None:
        self.tensors, self.peaks = tensors, peaks

    def keys(self) -> Collection[str]:
        return self.tensors.keys()

    def get(self, key: str) -> Tensor:
        self.peaks.append(alive())
        return self.tensors[key].clone()


@pytest.fixture
def only_new() -> Iterator[None]:
    """What was there before is not looked through again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def alive() -> int:
    """Bytes of the tensors made since."""
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in gc.get_objects() if type(t) is Tensor
    }
    return sum(storages.values())


@pytest.mark.usefixtures("only_new")
def test_a_mix_is_written_with_one_file_and_a_few_tensors_in_memory() -> None:
    shapes = {f"blocks.{n}.weight": (512, 512) for n in range(24)}
    first, second = ({name: torch.randn(shape) for name, shape in shapes.items()} for _ in range(2))
    peaks: list[int] = []
    one, other = (Stream(Watched(tensors, peaks), same, same, shapes) for tensors in (first, second))
    one.changes.append(mixing(Mix(Weights((), "model", "sd15"), (), "mix", 0.25), other, {}))
    before, size = alive(), 512 * 512 * 4

    tracemalloc.start()
    length = sum(len(piece) for piece in pieces(one.written("", torch.float32), {}) if isinstance(piece, bytes))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert max(peaks) - before <= 6 * size  # of 24, in each of two models
    assert peak < length / 4
    data = whole(pieces(one.written("", torch.float32), {}))
    torch.testing.assert_close(
        load(data)["blocks.7.weight"], 0.25 * first["blocks.7.weight"] + 0.75 * second["blocks.7.weight"]
    )


@pytest.mark.usefixtures("only_new")
@pytest.mark.parametrize("rank", [2, None])
def test_an_extracted_lora_is_made_weight_by_weight(tmp_path: Path, rank: int | None) -> None:
    model = written(tmp_path, "a", original_state(network(TINY["flux"]), FAMILIES["flux"].layout), "flux")
    size = len(whole(extracted(model, None, rank, biases=True)))
    before, peaks = alive(), []

    with stream_of(model.weights, (), network_shapes(model.weights)) as stream:
        stream.tensors = Watched({key: stream.tensors.get(key) for key in stream.tensors.keys()}, peaks)  # noqa: SIM118
        held = alive() - before
        made = whole(pieces(difference(stream, "diffusion_model.", rank, biases=True), {}))

    assert len(load(made)) > 20
    assert abs(len(made) - size) < 1000
    assert max(peaks) - before - held < 0.5 * held


# --- what a saved model says of itself -------------------------------------------------------------------------------


def sdxl(folder: Path, name: str, *marks: str) -> Model:
    state = original_state(network(TINY["sdxl"]), FAMILIES["sdxl"].layout)
    return written(folder, name, state | {mark: torch.zeros(0) for mark in marks}, "sdxl")


def saved(folder: Path, model: Model) -> dict[str, Any]:
    (folder / "saved.safetensors").write_bytes(whole(saved_network(model)))
    found = detect(folder / "saved.safetensors").details
    return {key: found[key] for key in ("prediction", "zsnr") if key in found}


def test_a_saved_model_is_run_as_its_first_was_trained(tmp_path: Path) -> None:
    plain, v = sdxl(tmp_path, "plain"), sdxl(tmp_path, "v", "v_pred", "ztsnr")

    assert saved(tmp_path, plain) == {}
    assert saved(tmp_path, v) == {"prediction": "v", "zsnr": True}
    assert saved(tmp_path, model_merge_simple(v, plain, 0.5)) == {"prediction": "v", "zsnr": True}
    assert saved(tmp_path, model_sampling_discrete(plain, "v_prediction", True)) == {"prediction": "v", "zsnr": True}
    assert saved(tmp_path, model_sampling_discrete(v, "eps", False)) == {}


def test_a_saved_unclip_checkpoint_has_its_image_encoder_still(tmp_path: Path) -> None:
    original = test_unclip.checkpoint(tmp_path, *test_unclip.parts())
    parts = unclip_checkpoint_loader(original)
    sd = checkpoint_loader_simple(golden_sd15(tmp_path))
    assert isinstance(sd.CLIP, Clip)
    assert isinstance(sd.VAE, Vae)

    (tmp_path / "saved.safetensors").write_bytes(whole(saved_checkpoint(parts.MODEL, sd.CLIP, sd.VAE)))

    before, after = load_file(original.path), load_file(tmp_path / "saved.safetensors")
    kept = [key for key in before if not key.startswith("model.diffusion_model.")]
    assert len(kept) > 10
    assert all(torch.equal(after[key], before[key]) for key in kept)
    assert detect(tmp_path / "saved.safetensors").part("clip_vision")
    (tmp_path / "saved.config").mkdir()
    for part in original.path.with_suffix(".config").iterdir():
        part.rename(tmp_path / "saved.config" / part.name)
    again = unclip_checkpoint_loader(file(tmp_path / "saved.safetensors"))
    with loaded(again.MODEL) as live:
        assert type(live.parametrisation.prediction).__name__ == "Velocity"
    assert torch.isfinite(predict(again.MODEL, TINY["sd2"])).all()

"""Files that cannot be right, or change under one's hands: each is told with what is wrong and what to do."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from graphflow.detect import describe, detect, read_header
from graphflow.errors import NotFound, UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.files import ModelFiles
from graphflow.models import Residency, loaded
from graphflow.models.tensors import opened
from graphflow.values import Lora, Model, Weights
from tests.test_families import predict
from tests.tiny import TINY, config_of, file, network, original_state, single_file, write_config

TINY_SD = TINY["sd15"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def model(path: Path) -> Model:
    return Model(Weights((file(path),), "model", "sd15"))


# --- tensors that are not as they should be --------------------------------------------------------------------------


def test_a_network_that_lacks_tensors_names_them(tmp_path: Path) -> None:
    path = single_file(tmp_path, TINY_SD, network(TINY_SD)).path
    state = original_state(network(TINY_SD), FAMILIES["sd15"].layout, "model.diffusion_model.")
    for name in ("out.2.bias", "out.2.weight", "time_embed.2.bias", "time_embed.2.weight"):
        del state[f"model.diffusion_model.{name}"]
    save_file(state, path)

    with pytest.raises(UnsupportedFile, match=r"is incomplete: it lacks .*out\.2\..* and 1 more"), loaded(model(path)):
        pass


def test_a_tensor_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    path = single_file(tmp_path, TINY_SD, network(TINY_SD)).path
    state = original_state(network(TINY_SD), FAMILIES["sd15"].layout, "model.diffusion_model.")
    state["model.diffusion_model.time_embed.0.weight"] = torch.zeros(5, 5)
    save_file(state, path)

    with pytest.raises(UnsupportedFile, match=r"time_embed\.0\.weight is \[5, 5\] where \[128, 32\] is needed"), loaded(model(path)):  # fmt: skip
        pass


def small_gguf(path: Path) -> bytes:
    writer = gguf.GGUFWriter(str(path), "flux")
    for name in ("first", "other"):
        writer.add_tensor(name, np.zeros((64, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_gguf_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(small_gguf(path).replace(b"other", b"first"))

    with pytest.raises(UnsupportedFile, match="'first' stands twice in the header"):
        read_header(path)


def test_gguf_tensors_that_lie_on_one_another_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    data = small_gguf(path)
    at = data.index(b"other") + 5 + 4 + 2 * 8 + 4  # its name, number of axes, two axes, type: where it begins
    assert data[at : at + 8] == (1024).to_bytes(8, "little")
    path.write_bytes(data[:at] + (512).to_bytes(8, "little") + data[at + 8 :])

    with pytest.raises(UnsupportedFile, match="'other' overlaps the tensor before it"):
        read_header(path)


def test_a_gguf_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(small_gguf(path)[:-100])

    with pytest.raises(UnsupportedFile, match="is cut off: its tensors need 2,048 bytes"):
        read_header(path)


def test_a_gguf_tensor_of_terabytes_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    rows = (64).to_bytes(8, "little")
    data = small_gguf(path)
    path.write_bytes(data.replace(rows, (2**40).to_bytes(8, "little")))

    with pytest.raises(UnsupportedFile, match=r"overlaps|is cut off: its tensors need 1[0-9,]{17}"):
        read_header(path)


def small_safetensors(path: Path) -> bytes:
    save_file({"first": torch.zeros(64, 4), "other": torch.zeros(8)}, path, {"modelspec.prediction_type": "v"})
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_header_of_which_bytes_were_changed_is_read_or_refused_and_never_more(tmp_path: Path, kind: str) -> None:
    path, chance = tmp_path / f"a.{kind}", random.Random(0)
    good = small_gguf(path) if kind == "gguf" else small_safetensors(path)
    refused = []
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(min(len(bad), 320))] = chance.choice(
                [0, 1, 34, 44, 58, 91, 123, 255, chance.randrange(256)]
            )
        path.write_bytes(bad[: chance.choice([len(bad), len(bad), chance.randrange(len(bad))])])
        try:
            describe(detect(path))
        except UnsupportedFile as error:
            refused.append(error.message)

    assert 100 < len(refused) < 400
    assert all(path.name in message for message in refused)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"__metadata__": "no object"}, "metadata"),
        (
            {"__metadata__": {"a": 1}, "a": {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 0]}},
            "negative or broken size",
        ),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, "negative or broken size"),
        ({"a": {"dtype": ["F32"], "shape": [], "data_offsets": [0, 4]}}, "damaged header"),
        ({"a": {"dtype": "F32", "shape": [2**70, 2**70], "data_offsets": [0, 4]}}, "where its shape"),
    ],
)
def test_a_header_of_the_wrong_types_is_refused(tmp_path: Path, header: object, said: str) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))

    with pytest.raises(UnsupportedFile, match=said):
        detect(tmp_path / "a.safetensors")


# --- shards ----------------------------------------------------------------------------------------------------------


def sharded(folder: Path, shards: dict[str, list[str]], places: dict[str, str]) -> Path:
    for name, keys in shards.items():
        save_file({key: torch.zeros(1) for key in keys}, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    return index


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = {"1.safetensors": ["a", "b"], "2.safetensors": ["b", "c"]}
    index = sharded(tmp_path, shards, {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"})

    with pytest.raises(UnsupportedFile, match=r"'b' stands in 2\.safetensors and in a shard before it"):
        read_header(index)


def test_a_tensor_that_the_index_has_and_no_shard_is_told(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"1.safetensors": ["a"]}, {"a": "1.safetensors", "b": "1.safetensors"})

    with pytest.raises(UnsupportedFile, match=r"no shard has 'b', which the index puts into 1\.safetensors"):
        read_header(index)


def test_a_sharded_model_is_listed_once_and_known_by_all_its_shards(tmp_path: Path) -> None:
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (tmp_path / "text_encoders").mkdir()
    index = sharded(tmp_path / "text_encoders", {names[0]: ["a"], names[1]: ["b"]}, {"a": names[0], "b": names[1]})
    files = ModelFiles([tmp_path])

    (found,) = files.listing("text_encoders")
    before = files.find("text_encoders", found.name).digest
    save_file({"b": torch.ones(3)}, index.parent / names[1])

    assert found.name == "model.safetensors.index.json"
    assert found.size == sum(path.stat().st_size for path in index.parent.iterdir()) - 8  # it has grown by two numbers
    assert files.find("text_encoders", found.name).digest != before
    index.unlink()
    assert files.names("text_encoders") == names


def test_a_shard_replaced_while_it_is_read_is_told(tmp_path: Path) -> None:
    index = sharded(tmp_path, {"1.safetensors": ["a"]}, {"a": "1.safetensors"})

    with pytest.raises(UnsupportedFile, match="was replaced while it was being read"), opened(index):
        save_file({"a": torch.ones(1000)}, tmp_path / "1.safetensors")


# --- families that are not known -------------------------------------------------------------------------------------


def test_an_unknown_model_says_what_was_looked_at_and_what_is_nearest(tmp_path: Path) -> None:
    path = tmp_path / "new.safetensors"
    names = ["double_blocks.0.img_attn.qkv.weight", "img_in.weight", "something_new.weight"]
    save_file({name: torch.zeros(2, 2) for name in names}, path)

    said = describe(detect(path))

    assert "(double_blocks.0.img_attn.qkv.weight, img_in.weight, something_new.weight, ...)" in said
    assert (
        "the nearest is flux (model): it has double_blocks.0.img_attn.qkv.weight, but lacks vector_in.in_layer" in said
    )


def test_what_is_like_nothing_names_no_nearest(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")

    assert "nearest" not in describe(detect(tmp_path / "a.safetensors"))


# --- files that change -----------------------------------------------------------------------------------------------


def test_a_file_replaced_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1000)}, path)
    save_file({"a": torch.ones(2000)}, tmp_path / "new.safetensors")

    with pytest.raises(UnsupportedFile, match="was replaced while it was being read; run the workflow again"), opened(path):  # fmt: skip
        (tmp_path / "new.safetensors").replace(path)


def test_a_file_that_is_deleted_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1000)}, path)

    with pytest.raises(UnsupportedFile, match="was replaced while it was being read"), opened(path):
        path.unlink()


def test_a_file_replaced_while_its_model_is_loaded_is_another_model_from_then_on(tmp_path: Path) -> None:
    folder = tmp_path / "diffusion_models"
    folder.mkdir()
    path = single_file(folder, TINY_SD, network(TINY_SD)).path
    shelf = ModelFiles([tmp_path], tmp_path / "hashes.json")
    first = Model(Weights((shelf.find("diffusion_models", path.name),), "model", "sd15"))
    before = predict(first, TINY_SD)

    state = original_state(network(TINY_SD), FAMILIES["sd15"].layout, "model.diffusion_model.")
    save_file({key: tensor * 0.5 for key, tensor in state.items()}, path)
    second = Model(Weights((shelf.find("diffusion_models", path.name),), "model", "sd15"))

    assert first.weights != second.weights
    assert not torch.equal(predict(second, TINY_SD), before)
    assert torch.equal(predict(first, TINY_SD), before)  # a job that began with it ends with it


def test_a_file_replaced_between_planning_and_loading_is_told_and_not_taken_for_what_was_planned(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "diffusion_models"
    folder.mkdir()
    path = single_file(folder, TINY_SD, network(TINY_SD)).path
    name = "lora_unet_mid_block_resnets_0_conv1"
    save_file({f"{name}.diff": torch.zeros(64, 64, 3, 3)}, folder / "lora.safetensors")
    shelf = ModelFiles([tmp_path], tmp_path / "hashes.json")
    planned = Model(Weights((shelf.find("diffusion_models", path.name),), "model", "sd15"))
    lora = Lora(shelf.find("diffusion_models", "lora.safetensors"), 1.0)
    told = ModelFiles([tmp_path], tmp_path / "hashes.json")  # as a worker has it, in a process of its own

    with Residency(device="cpu", dtype="float32", digest=told.digest).active():
        before = predict(planned, TINY_SD)
        assert torch.equal(predict(planned.patched(lora), TINY_SD), before)
        predict(planned, TINY_SD)  # takes the LoRA out again
        save_file({f"{name}.diff": torch.ones(64, 64, 3, 3)}, folder / "lora.safetensors")
        with pytest.raises(UnsupportedFile, match=r"lora\.safetensors was replaced after this job was planned"):
            predict(planned.patched(lora), TINY_SD)
    state = original_state(network(TINY_SD), FAMILIES["sd15"].layout, "model.diffusion_model.")
    save_file({key: tensor * 0.5 for key, tensor in state.items()}, path)

    with Residency(device="cpu", dtype="float32", digest=told.digest).active():
        with pytest.raises(UnsupportedFile, match="was replaced after this job was planned: run the workflow again"):
            predict(planned, TINY_SD)
        again = Model(Weights((shelf.find("diffusion_models", path.name),), "model", "sd15"))
        assert not torch.equal(predict(again, TINY_SD), before)


def test_what_another_process_hashed_is_not_hashed_again(tmp_path: Path) -> None:
    (tmp_path / "loras").mkdir()
    save_file({"a": torch.zeros(4)}, tmp_path / "loras" / "a.safetensors")
    here, there = (ModelFiles([tmp_path], tmp_path / "hashes.json") for _ in range(2))
    real = here.find("loras", "a.safetensors").digest
    written = json.loads((tmp_path / "hashes.json").read_text())
    (tmp_path / "hashes.json").write_text(json.dumps({k: [*v[:2], "told"] for k, v in written.items()}))

    assert there.find("loras", "a.safetensors").digest == "told"
    assert here.find("loras", "a.safetensors").digest == real


def test_of_two_files_of_one_name_the_first_root_s_is_taken_and_known_by_its_content(tmp_path: Path) -> None:
    roots = [tmp_path / "mine", tmp_path / "shared"]
    for number, root in enumerate(roots):
        (root / "loras").mkdir(parents=True)
        save_file({"a": torch.full((4,), float(number))}, root / "loras" / "same.safetensors")
    write_config(roots[1] / "loras" / "other.safetensors", "unet", config_of(TINY_SD.config))
    save_file({"a": torch.zeros(1)}, roots[1] / "loras" / "other.safetensors")

    one, other = (ModelFiles(order).find("loras", "same.safetensors") for order in (roots, roots[::-1]))

    assert (one.path.parent.parent.name, other.path.parent.parent.name) == ("mine", "shared")
    assert one.digest != other.digest
    assert ModelFiles(roots).names("loras") == ["other.safetensors", "same.safetensors"]
    (roots[0] / "loras" / "same.safetensors").unlink()
    assert ModelFiles(roots).find("loras", "same.safetensors").digest == other.digest


def test_a_name_longer_than_any_file_s_is_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "embeddings").mkdir()
    with pytest.raises(NotFound, match=r"there is no 'x{40}…' in embeddings, and nothing else"):
        ModelFiles([tmp_path]).find("embeddings", "x" * 5000)

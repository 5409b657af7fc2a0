"""Models that change pictures: prompts with pictures, and references told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.diffusion.network import RowCond
from graphflow.errors import UnsupportedFile
from graphflow.families.common.flow import places
from graphflow.models import Residency, Shown, loaded
from graphflow.models.recipes import network as network_recipe
from graphflow.models.seeing import FEWEST, MOST, PICTURE, seen, sized
from graphflow.node import File, Row
from graphflow.values import Clip, Image, Vae, Weights
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.editing import (
    flux_kontext_multi_reference_latent_method,
    text_encode_qwen_image_edit,
    text_encode_qwen_image_edit_plus,
)
from graphflow_nodes.loaders import clip_loader, dual_clip_loader, t5_tokenizer_options
from tests.test_text_encoders import clip, t5, write
from tests.tiny import TINY, file, network, single_file

HEAD = 64
"""Tokens of the template's beginning, which are left out of the encoding."""


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


# --- a language model with eyes --------------------------------------------------------------------------------------

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", PICTURE]


def qwen_vl(folder: Path, *, eyes: bool = True) -> tuple[File, Any]:
    """A tiny Qwen2.5-VL as its files are, without config: its tokenizer and sizes alone are beside it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel

    words = [f"word{n}" for n in range(40)]
    numbers = {word: n for n, word in enumerate(["<pad>", *words, "cat", *SPECIAL])}
    torch.manual_seed(7)
    config = {
        "text_config": {
            "vocab_size": len(numbers), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        "vision_config": {
            "depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "out_hidden_size": 32,
            "fullatt_block_indexes": [1], "window_size": 56,
        },
        "image_token_id": numbers[PICTURE], "vision_start_token_id": numbers["<|vision_start|>"],
        "vision_end_token_id": numbers["<|vision_end|>"],
    }  # fmt: skip
    module = Qwen2_5_VLModel(Qwen2_5_VLConfig(**config)).eval()
    path = folder / f"qwen-{eyes}.safetensors"
    state = {
        key if key.startswith("visual.") else "model." + key.removeprefix("language_model."): value.contiguous().clone()
        for key, value in module.state_dict().items()
    }
    save_file({key: value for key, value in state.items() if eyes or not key.startswith("visual.")}, path)
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    beside = path.with_suffix(".config")
    (beside / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(beside / "tokenizer" / "tokenizer.json"))
    (beside / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"})
    )
    (beside / "text_encoder").mkdir()
    written = config if eyes else {**config["text_config"]}
    (beside / "text_encoder" / "config.json").write_text(json.dumps(written))
    return file(path), (module, tokenizer)


def expected(module: Any, tokenizer: Any, text: str, pictures: list[Tensor]) -> Tensor:
    """The last hidden states by transformers, its own image processor cutting the pictures into patches."""
    from transformers import Qwen2VLImageProcessor

    processor = Qwen2VLImageProcessor(do_rescale=False, do_resize=False)
    made = processor(images=[picture.movedim(-1, 0) for picture in pictures], return_tensors="pt")
    counts = iter((made["image_grid_thw"].prod(-1) // 4).tolist())
    parts = text.split(PICTURE)
    whole = parts[0] + "".join(PICTURE * next(counts) + part for part in parts[1:])
    ids = torch.tensor([tokenizer.encode(whole).ids])
    with torch.inference_mode():
        out = module(
            input_ids=ids, pixel_values=made["pixel_values"], image_grid_thw=made["image_grid_thw"],
            mm_token_type_ids=(ids == module.config.image_token_id).int(),
        )  # fmt: skip
    return out.last_hidden_state[:, HEAD:]


def test_a_language_model_sees_pictures_as_transformers_does(tmp_path: Path) -> None:
    from graphflow.families import FAMILIES

    written, (module, tokenizer) = qwen_vl(tmp_path)
    pictures = [torch.rand(56, 84, 3), torch.rand(84, 56, 3)]
    mark = f"<|vision_start|>{PICTURE}<|vision_end|>"
    told = f"word1 {mark} word2 {mark} cat"

    with loaded(clip_loader(written, "qwen_image")) as encoder:
        (cond,) = encoder.encode_shown(told, Shown("edit", tuple(pictures))).entries
        with pytest.raises(UnsupportedFile, match="text encoder of Qwen-Image looks at no pictures"):
            encoder.encode_shown(told, Shown("elsewhere", tuple(pictures)))

    around = FAMILIES["qwen_image"].templates["edit"]
    reference = expected(module, tokenizer, around.before + told + around.after, pictures)
    torch.testing.assert_close(cond.context, reference, atol=1e-5, rtol=1e-4)
    assert cond.attention_mask is not None
    assert cond.attention_mask.shape == cond.context.shape[:2]


def test_its_size_is_read_from_the_file_when_no_config_says_it(tmp_path: Path) -> None:
    from graphflow.detect import read_header
    from graphflow.models.language import build, config

    written, (module, _) = qwen_vl(tmp_path)
    header = read_header(written.path)
    found = config("qwen25_vl", header)
    found["text_config"] |= {"num_attention_heads": 2, "num_key_value_heads": 1}  # real heads are 128 wide
    found["text_config"]["rope_parameters"]["mrope_section"] = [2, 3, 3]
    found["vision_config"] |= {"num_heads": 2}

    built = build("qwen25_vl", found)

    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in module.state_dict().items()}


def test_text_alone_is_encoded_the_same_with_and_without_eyes(tmp_path: Path) -> None:
    with_eyes, _ = qwen_vl(tmp_path)
    without, _ = qwen_vl(tmp_path, eyes=False)

    with loaded(clip_loader(with_eyes, "qwen_image")) as one, loaded(clip_loader(without, "qwen_image")) as other:
        a, b = (each.encode("word1 cat").entries[0].context for each in (one, other))

    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_an_encoder_without_eyes_says_what_to_load(tmp_path: Path) -> None:
    without, _ = qwen_vl(tmp_path, eyes=False)
    picture = Image(torch.rand(1, 56, 56, 3))

    with pytest.raises(ValueError, match="cannot look at pictures: load one with its image side"):
        text_encode_qwen_image_edit(clip_loader(without, "qwen_image"), "cat", image=picture)
    (tmp_path / "sd").mkdir()
    small = write(tmp_path / "sd", "l", clip(16), tokenizer=False)
    with pytest.raises(ValueError, match=r"Stable Diffusion 1\.5's text encoder cannot look at pictures"):
        text_encode_qwen_image_edit_plus(clip_loader(small, "stable_diffusion"), "cat", image1=picture)


@pytest.mark.parametrize("size", [(56, 84), (50, 72), (10, 10), (30, 200), (5600, 2800)])
def test_pictures_are_brought_to_the_sizes_that_transformers_brings_them_to(size: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    assert sized(*size, 28) == smart_resize(*size, 28, FEWEST, MOST)


def test_a_prompt_with_room_for_another_number_of_pictures_is_refused(tmp_path: Path) -> None:
    _, (module, _) = qwen_vl(tmp_path)
    with pytest.raises(ValueError, match="room for 0 pictures, not 1"):
        seen(module, [torch.rand(56, 56, 3)]).spelt("cat")


# --- the nodes -------------------------------------------------------------------------------------------------------

PIXELS = Vae(Weights((), "vae", "pixel_space"))


def test_editing_prompts_carry_their_pictures_to_both_models(tmp_path: Path) -> None:
    written, _ = qwen_vl(tmp_path)
    clip_ = clip_loader(written, "qwen_image")
    wide, tall = Image(torch.rand(1, 40, 160, 3)), Image(torch.rand(1, 64, 64, 4))

    (one,) = text_encode_qwen_image_edit(clip_, "cat", PIXELS, wide).entries
    (three,) = text_encode_qwen_image_edit_plus(clip_, "cat", PIXELS, wide, None, tall).entries
    (blind,) = text_encode_qwen_image_edit_plus(clip_, "cat", None, wide, None, tall).entries

    assert [tuple(r.shape) for r in one.reference_latents] == [(1, 3, 512, 2048)]
    assert [tuple(r.shape) for r in three.reference_latents] == [(1, 3, 512, 2048), (1, 3, 1024, 1024)]
    assert blind.reference_latents == ()
    assert torch.equal(three.context, blind.context)
    long = "word1 " * 40
    few, many = (
        text_encode_qwen_image_edit_plus(clip_, long, None, *pictures).entries[0].context.shape[1]
        for pictures in ((), (wide, None, tall))
    )
    # 192x768 and 384x384 pixels for the language model: 7x27 and 14x14 tokens, and four words around each
    assert many - few == 7 * 27 + 14 * 14 + 2 * 4


def test_without_a_picture_the_prompt_is_qwen_image_s_own(tmp_path: Path) -> None:
    clip_ = clip_loader(qwen_vl(tmp_path)[0], "qwen_image")

    plain = text_encode_qwen_image_edit(clip_, "word1 cat").entries[0].context

    assert torch.equal(plain, clip_text_encode("word1 cat", clip_).entries[0].context)  # type: ignore[arg-type]


def test_t5_fills_up_as_it_is_told(tmp_path: Path) -> None:
    files = [write(tmp_path, "l", clip(16), tokenizer=False), write(tmp_path, "t5", t5())]
    flux: Clip = dual_clip_loader(*files, "flux")

    def tokens(clip_: Clip) -> int:
        return clip_text_encode("a red cat", clip_).entries[0].context.shape[1]  # type: ignore[arg-type]

    assert tokens(flux) == 256
    assert tokens(t5_tokenizer_options(flux)) == 4
    assert tokens(t5_tokenizer_options(flux, min_padding=3)) == 7
    assert tokens(t5_tokenizer_options(flux, min_padding=3, min_length=12)) == 12


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("offset", [(1, 0, 0), (1, 0, 4), (1, 4, 0)]),
        ("index", [(1, 0, 0), (2, 0, 0), (3, 0, 0)]),
        ("index_timestep_zero", [(1, 0, 0), (2, 0, 0), (3, 0, 0)]),
        ("uxo", [(0, 8, 6), (0, 12, 10), (0, 16, 12)]),
    ],
)
def test_where_each_method_puts_references(method: str, wanted: list[tuple[int, int, int]]) -> None:
    assert places([(4, 4), (4, 2), (2, 6)], (8, 6), method) == wanted


def predicted(folder: Path, name: str, methods: list[str]) -> list[Tensor]:
    """What the tiny network of a family makes of two references under each method."""
    tiny = TINY[name]
    with loaded(network_recipe(single_file(folder, tiny, network(tiny)))) as live:
        references = tuple(noise(1, *tiny.latent[:-2], side, 4) for side in (4, 6))
        conds = [
            RowCond(
                live.parametrisation, noise(1, 5, tiny.width), noise(1, tiny.pooled) if tiny.pooled else None,
                references=references, reference_method=method,
            )
            for method in methods
        ]  # fmt: skip
        rows = [Row(live, noise(1, *tiny.latent), torch.tensor(0.5), cond) for cond in conds]
        assert len({live.batch_key(row) for row in rows}) == len(set(methods))
        return [live.predict([row])[0] for row in rows]


@pytest.mark.parametrize(("name", "own"), [("flux", "offset"), ("flux2", "index")])
def test_the_family_s_own_way_is_taken_when_nobody_says_another(tmp_path: Path, name: str, own: str) -> None:
    default, *others = predicted(tmp_path, name, ["", "offset", "index", "uxo"])

    same = dict(zip(["offset", "index", "uxo"], others, strict=True))
    torch.testing.assert_close(default, same.pop(own), atol=0, rtol=0)
    assert all((default - other).abs().max() > 1e-5 for other in same.values())


def test_qwen_image_can_be_told_that_references_hold_no_noise(tmp_path: Path) -> None:
    default, index, zero, again = predicted(tmp_path, "qwen_image", ["", "index", "index_timestep_zero", "index"])

    assert torch.equal(default, index)
    assert (zero - index).abs().max() > 1e-5
    assert torch.equal(again, index)
    with pytest.raises(ValueError, match="cannot tell reference pictures apart by uxo: choose index"):
        predicted(tmp_path, "qwen_image", ["uxo"])


def test_the_node_names_the_method(tmp_path: Path) -> None:
    clip_ = clip_loader(qwen_vl(tmp_path)[0], "qwen_image")
    told = text_encode_qwen_image_edit_plus(clip_, "cat", PIXELS, Image(torch.rand(1, 64, 64, 3)))

    assert flux_kontext_multi_reference_latent_method(told, "uxo/uno").entries[0].reference_method == "uxo"
    (entry,) = flux_kontext_multi_reference_latent_method(told, "index_timestep_zero").entries
    assert (entry.reference_method, len(entry.reference_latents)) == ("index_timestep_zero", 1)

"""Text encoders of every kind, from files of their own, give what their classes in transformers give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphflow.errors import UnsupportedFile
from graphflow.models import Residency, loaded
from graphflow.node import File
from graphflow_nodes.loaders import clip_loader, dual_clip_loader, quadruple_clip_loader, triple_clip_loader
from tests.tiny import file

WORDS = ["<pad>", "</s>", "<s>", "a", "red", "cat", "<|im_start|>user", "<|im_end|>", "<|im_start|>assistant"]


@pytest.fixture(autouse=True)
def home() -> Iterator[Residency]:
    with Residency(device="cpu", dtype="float32").active() as home:
        yield home


def write(folder: Path, name: str, module: nn.Module, *, prefix: str = "", tokenizer: bool = True) -> File:
    """An encoder's file with its config beside it."""
    path = folder / f"{name}.safetensors"
    state = {prefix + key: tensor.contiguous().clone() for key, tensor in module.state_dict().items()}
    save_file({k: v for k, v in state.items() if not k.endswith("position_ids")}, path)
    beside = path.with_suffix(".config")
    (beside / "text_encoder").mkdir(parents=True)
    config: Any = module.config
    (beside / "text_encoder" / "config.json").write_text(json.dumps(config.to_diff_dict()))
    if tokenizer:
        write_tokenizer(beside / "tokenizer")
    return file(path)


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def clip(width: int, projection: int | None = None, seed: int = 0) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=2,
            projection_dim=projection or width, bos_token_id=49406, eos_token_id=49407,
        )
    ).eval()  # fmt: skip


def t5(width: int = 16, *, umt5: bool = False) -> nn.Module:
    from transformers import T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

    torch.manual_seed(1)
    options: dict[str, Any] = {
        "vocab_size": 16, "d_model": width, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    }  # fmt: skip
    return (UMT5EncoderModel(UMT5Config(**options)) if umt5 else T5EncoderModel(T5Config(**options))).eval()


def llm(kind: str) -> nn.Module:
    import transformers

    torch.manual_seed(2)
    options = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3,
               "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}  # fmt: skip
    return getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**options)).eval()  # type: ignore[no-any-return]


def clip_states(module: Any, text: list[int], pad: int) -> tuple[Tensor, ...]:
    """Hidden states of a prompt's chunk, by transformers."""
    ids = torch.tensor([[49406, *text, 49407, *[pad] * (75 - len(text))]])
    with torch.inference_mode():
        out = module(input_ids=ids, output_hidden_states=True)
    return (*out.hidden_states, out.text_embeds)


def test_sdxl_sets_both_encoders_side_by_side(tmp_path: Path) -> None:
    small, large = clip(16), clip(24, 20, seed=5)
    files = [write(tmp_path, "g", large, tokenizer=False), write(tmp_path, "l", small, tokenizer=False)]

    with loaded(dual_clip_loader(*files, "sdxl")) as encoder:
        (cond,) = encoder.encode("a cat").entries

    first, second = clip_states(small, [320, 2368], 49407), clip_states(large, [320, 2368], 0)
    assert encoder.roles == ("l", "g")
    torch.testing.assert_close(cond.context, torch.cat([first[1], second[1]], dim=-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cond.pooled, second[-1], atol=1e-5, rtol=1e-4)


def test_sdxl_fills_the_shorter_text_up_with_empty_chunks(tmp_path: Path) -> None:
    files = [write(tmp_path, "l", clip(16), tokenizer=False), write(tmp_path, "g", clip(24), tokenizer=False)]

    with loaded(dual_clip_loader(*files, "sdxl")) as encoder:
        (cond,) = encoder.encode_each({"l": "cat " * 80, "g": "cat"}).entries

    assert cond.context.shape == (1, 154, 40)


def test_open_clip_s_names_are_read_as_clip_s(tmp_path: Path) -> None:
    from graphflow.layouts import join, open_clip

    module = clip(24, 20)
    state = module.state_dict()
    original = {entry.theirs: join(entry, state).contiguous().clone() for entry in open_clip(state)}
    one = write(tmp_path, "hf", module, tokenizer=False)
    two = write(tmp_path, "open", module, tokenizer=False)
    save_file(original, two.path)

    assert original["transformer.resblocks.0.attn.in_proj_weight"].shape == (72, 24)
    assert original["text_projection"].shape == (24, 20)
    small = write(tmp_path, "l", clip(16), tokenizer=False)
    with loaded(dual_clip_loader(small, one)) as first, loaded(dual_clip_loader(small, file(two.path))) as second:
        a, b = first.encode("a cat").entries[0], second.encode("a cat").entries[0]
    assert torch.equal(a.context, b.context)
    assert a.pooled is not None
    assert b.pooled is not None
    assert torch.equal(a.pooled, b.pooled)


def test_flux_takes_t5_s_tokens_and_clip_s_pooled_text(tmp_path: Path) -> None:
    module = t5()
    files = [write(tmp_path, "l", clip(16), tokenizer=False), write(tmp_path, "t5", module)]

    with loaded(dual_clip_loader(*files, "flux")) as encoder:
        (cond,) = encoder.encode("a red cat").entries

    ids = torch.tensor([[3, 4, 5, 1] + [0] * 252])
    with torch.inference_mode():
        expected = module(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state  # filling is looked at
    torch.testing.assert_close(cond.context, expected, atol=1e-5, rtol=1e-4)
    assert cond.attention_mask is None
    assert cond.pooled is not None
    assert cond.pooled.shape == (1, 16)


def test_a_weight_in_t5_s_text_moves_it_away_from_the_empty_prompt(tmp_path: Path) -> None:
    files = [write(tmp_path, "l", clip(16), tokenizer=False), write(tmp_path, "t5", t5())]

    with loaded(dual_clip_loader(*files, "flux")) as encoder:
        plain, heavy, empty = (encoder.encode(text).entries[0].context for text in ("cat", "(cat:2)", ""))

    torch.testing.assert_close(heavy[:, 0], empty[:, 0] + 2 * (plain[:, 0] - empty[:, 0]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(heavy[:, 1:], plain[:, 1:], atol=1e-6, rtol=1e-5)


def test_sd3_puts_t5_after_both_clips(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "t5", t5(64)), write(tmp_path, "g", clip(24), tokenizer=False),
        write(tmp_path, "l", clip(16), tokenizer=False),
    ]  # fmt: skip

    with loaded(triple_clip_loader(*files)) as encoder:
        (cond,) = encoder.encode("a cat").entries
        (without,) = encoder.encode_each({"": "a cat", "t5xxl": None}).entries

    assert cond.context.shape == (1, 77 + 77, 64)
    assert (cond.context[:, :77, 40:] == 0).all()  # both clips are 40 wide
    assert cond.pooled is not None
    assert cond.pooled.shape == (1, 40)
    assert without.context.shape == (1, 77, 4096)


def test_hidream_looks_at_every_layer_of_llama(tmp_path: Path) -> None:
    llama = llm("Llama")
    files = [
        write(tmp_path, "llama", llama, prefix="model."), write(tmp_path, "t5", t5(64)),
        write(tmp_path, "g", clip(24), tokenizer=False), write(tmp_path, "l", clip(16), tokenizer=False),
    ]  # fmt: skip

    with loaded(quadruple_clip_loader(*files)) as encoder:
        (cond,) = encoder.encode("a cat").entries

    assert encoder.roles == ("l", "g", "t5xxl", "llama")
    assert cond.context.shape == (1, 128, 64)
    assert cond.pooled is not None
    assert cond.pooled.shape == (1, 16 + 24)
    layers = cond.extras["llama"]
    assert layers.shape == (3, 1, 128, 16)
    with torch.inference_mode():
        states = llama(input_ids=torch.tensor([[3, 5]]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(layers[:, :, :2], torch.stack(states[1:]), atol=1e-5, rtol=1e-4)


def test_wan_s_filling_is_zero(tmp_path: Path) -> None:
    with loaded(clip_loader(write(tmp_path, "umt5", t5(umt5=True)), "wan")) as encoder:
        (cond,) = encoder.encode("a cat").entries

    assert cond.context.shape == (1, 512, 16)
    assert (cond.context[:, 3:] == 0).all()
    assert (cond.context[:, :3].abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize(
    ("kind", "type", "prefix", "layers", "text"),
    [
        ("Qwen3", "z_image", "model.", (-2,), [6, 5, 7, 8]),
        ("Qwen3", "lumina2", "model.", (-2,), [6, 5, 7, 8]),
        ("Gemma2", "lumina2", "model.", (-2,), [5]),
    ],
)
def test_a_language_model_gives_its_hidden_layers(
    tmp_path: Path, kind: str, type: Any, prefix: str, layers: tuple[int, ...], text: list[int]
) -> None:
    module = llm(kind)
    written = write(tmp_path, "llm", module, prefix=prefix)

    with loaded(clip_loader(written, type)) as encoder:
        (cond,) = encoder.encode(" cat " if kind == "Qwen3" else "cat").entries

    with torch.inference_mode():
        states = module(input_ids=torch.tensor([text]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(cond.context, torch.cat([states[n] for n in layers], dim=-1), atol=1e-5, rtol=1e-4)
    assert cond.attention_mask is not None
    assert cond.attention_mask.tolist() == [[1] * len(text)]


def test_an_encoder_without_its_tokenizer_says_where_to_put_it(tmp_path: Path) -> None:
    clip_ = clip_loader(write(tmp_path, "umt5", t5(umt5=True), tokenizer=False), "wan")

    said = (
        r"umt5\.safetensors comes without its tokenizer: put the file tokenizer\.json of google/umt5-xxl into the folder "
        r"umt5\.config/tokenizer beside it, or for all such encoders there into tokenizers/umt5"
    )
    with pytest.raises(UnsupportedFile, match=said), loaded(clip_):
        pass


@pytest.mark.parametrize("place", ["umt5.config/tokenizer", "tokenizers/umt5"])
@pytest.mark.parametrize("kind", ["json", "sentencepiece", "inside"])
def test_a_tokenizer_is_found_where_the_message_says(tmp_path: Path, place: str, kind: str) -> None:
    written = write(tmp_path, "umt5", t5(umt5=True), tokenizer=False)
    folder = tmp_path / place
    folder.mkdir(parents=True)
    if kind == "json":
        write_tokenizer(folder / "whole")
        (folder / "whole" / "tokenizer.json").rename(folder / "tokenizer.json")
    elif kind == "sentencepiece":
        (folder / "spiece.model").write_bytes(sentencepiece())
    else:
        state = {
            **load_file(written.path),
            "spiece_model": torch.frombuffer(bytearray(sentencepiece()), dtype=torch.uint8),
        }
        save_file(state, written.path)
        written = file(written.path)

    with loaded(clip_loader(written, "wan")) as encoder:
        (cond,) = encoder.encode("a cat").entries

    assert cond.context.shape == (1, 512, 16)
    assert cond.context[0, :2].abs().sum() > 0
    assert (cond.context[0, 16:] == 0).all()


def sentencepiece() -> bytes:
    """A sentencepiece model of some letters."""
    import io

    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat", "a red cat", "act"] * 9), model_writer=model, vocab_size=12, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def test_the_tokenizer_of_another_encoder_is_refused(tmp_path: Path) -> None:
    written = write(tmp_path, "qwen", llm("Qwen3"), prefix="model.", tokenizer=False)
    write_tokenizer(tmp_path / "some")
    (tmp_path / "tokenizers" / "qwen3").mkdir(parents=True)
    (tmp_path / "some" / "tokenizer.json").rename(tmp_path / "tokenizers" / "qwen3" / "tokenizer.json")

    with (
        pytest.raises(UnsupportedFile, match=r"another model: it has no <\|endoftext\|>. Take that of Qwen/Qwen3-4B"),
        loaded(clip_loader(written, "z_image")),
    ):
        pass


def test_encoders_of_another_family_are_refused(tmp_path: Path) -> None:
    t5_file = write(tmp_path, "t5", t5())
    with pytest.raises(UnsupportedFile, match="prompts of the type 'qwen_image' go through qwen25_vl, not t5"):
        clip_loader(t5_file, "qwen_image")
    with pytest.raises(UnsupportedFile, match="the type 'stable_diffusion' takes clip_l, clip_h, clip_g, not t5"):
        clip_loader(t5_file, "stable_diffusion")
    with pytest.raises(UnsupportedFile, match="'mochi' are not supported"):
        clip_loader(t5_file, "mochi")


def test_an_encoder_kept_off_the_device_stays_in_the_host_s_memory(tmp_path: Path, home: Residency) -> None:
    with loaded(clip_loader(write(tmp_path, "l", clip(16), tokenizer=False), device="cpu")) as encoder:
        encoder.encode("a cat")

    assert [entry["tier"] for entry in home.report()] == ["host"]


def test_a_textual_inversion_takes_its_place_in_the_prompt(tmp_path: Path) -> None:
    module = clip(16)
    vectors = torch.randn(2, 16)
    save_file({"emb_params": vectors}, tmp_path / "mine.safetensors")
    mine = file(tmp_path / "mine.safetensors")

    with loaded(clip_loader(write(tmp_path, "l", module, tokenizer=False))) as encoder:
        (cond,) = encoder.encode("a embedding:mine", {"mine": mine}).entries

    inner: Any = module
    inner.text_model.embeddings.token_embedding.weight.data[[10, 11]] = vectors
    with torch.inference_mode():
        last = inner.text_model.final_layer_norm(clip_states(inner, [320, 10, 11], 49407)[2])
    torch.testing.assert_close(cond.context, last, atol=1e-5, rtol=1e-4)

"""Vocabularies on board, so that files without one can be used offline."""

from __future__ import annotations

import functools
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.errors import UnsupportedFile

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as text encoders need it: words to numbers, and the numbers with a meaning of their own."""

    words: Callable[[str], Sequence[int]]
    """The tokens of a text, without start, end or padding."""
    start: int | None
    end: int | None
    pad: int


@dataclass(frozen=True)
class Marks:
    """The tokens of a kind of encoder that have a meaning of their own, and a model whose tokenizer is its."""

    start: str | None
    end: str
    pad: str
    whose: str
    """A repository of the Hugging Face hub that has the tokenizer's file."""


MARKS: Mapping[str, Marks] = {
    "t5": Marks(None, "</s>", "<pad>", "google/t5-v1_1-xxl, or the folder tokenizer_2 of FLUX.1"),
    "umt5": Marks(None, "</s>", "<pad>", "google/umt5-xxl"),
    "qwen25": Marks(None, "<|im_end|>", "<|endoftext|>", "Qwen/Qwen2.5-VL-7B-Instruct"),
    "qwen25_vl": Marks(None, "<|im_end|>", "<|endoftext|>", "Qwen/Qwen2.5-VL-7B-Instruct"),
    "qwen3": Marks(None, "<|im_end|>", "<|endoftext|>", "Qwen/Qwen3-4B"),
    "mistral3": Marks("<s>", "</s>", "<pad>", "the folder tokenizer of black-forest-labs/FLUX.2-dev"),
    "gemma2": Marks("<bos>", "<eos>", "<pad>", "google/gemma-2-2b"),
    "llama": Marks("<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>", "meta-llama/Llama-3.1-8B-Instruct"),
}
"""By the encoder's name."""


def of_json(path: Path, marks: Marks) -> Vocabulary:
    """The tokenizer in a `tokenizer.json` that comes without the files around it.

    Raises `UnsupportedFile` when it is no tokenizer, or that of another kind of encoder.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain exceptions
        raise UnsupportedFile(f"{path.parent.name}/{path.name} is no tokenizer: {error}") from error
    wanted = [mark for mark in (marks.start, marks.end, marks.pad) if mark]
    numbers: dict[str, int] = {mark: n for mark in wanted if (n := tokenizer.token_to_id(mark)) is not None}
    if lacking := [mark for mark in wanted if mark not in numbers]:
        raise UnsupportedFile(
            f"{path.parent.name}/{path.name} is the tokenizer of another model: it has no {', '.join(lacking)}. Take that "
            f"of {marks.whose}"
        )
    start = numbers[marks.start] if marks.start else None
    words = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
    return Vocabulary(words, start, numbers[marks.end], numbers[marks.pad])


def lying_in(folder: Path, marks: Marks) -> Vocabulary | None:
    """The tokenizer in a folder: with its configs, as `tokenizer.json` alone, or as a sentencepiece model; None of none."""
    if (folder / "tokenizer_config.json").is_file():
        return of_folder(folder)
    if (folder / "tokenizer.json").is_file():
        return of_json(folder / "tokenizer.json", marks)
    found = next((folder / name for name in ("spiece.model", "tokenizer.model") if (folder / name).is_file()), None)
    return of_sentencepiece(found.read_bytes()) if found else None


def of_folder(folder: Path, pad: int | None = None) -> Vocabulary:
    """The tokenizer in a folder, with another token for filling up, if one is given."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    end = tokenizer.eos_token_id
    pad = tokenizer.pad_token_id if pad is None else pad

    def words(text: str) -> Sequence[int]:
        return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]  # type: ignore[no-any-return]

    return Vocabulary(words, tokenizer.bos_token_id, end, end if pad is None else pad)


def of_sentencepiece(model: bytes) -> Vocabulary:
    """The tokenizer in a sentencepiece model, as some text encoders' files hold it."""
    from sentencepiece import SentencePieceProcessor

    processor: Any = SentencePieceProcessor(model_proto=model)

    def known(number: int) -> int | None:
        return None if number < 0 else number

    return Vocabulary(
        processor.encode, known(processor.bos_id()), known(processor.eos_id()), max(processor.pad_id(), 0)
    )


def of_gguf(path: Path) -> Vocabulary:
    """The tokenizer in the header of a text encoder's GGUF file."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer, get_gguf_tokenizer

    architecture, facts, settings = get_gguf_tokenizer(str(path))
    tokenizer: Any
    tokenizer, _ = convert_gguf_tokenizer(architecture, facts)

    def known(name: str) -> int | None:
        number = facts.get(f"{name}_token_id")
        return None if number is None else int(number)

    end, pad = known("eos"), known("pad")
    return Vocabulary(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        known("bos") if settings.get("add_bos_token") else None,
        end,
        pad if pad is not None else end or 0,
    )


def clip(pad: int | None = None) -> Vocabulary:
    """CLIP's 49408 tokens; `pad` is the end token for None (CLIP-L), 0 for OpenCLIP's encoders."""
    tokenizer = _clip_tokenizer()
    start, end = 49406, 49407
    return Vocabulary(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids, start, end, end if pad is None else pad
    )


@functools.cache
def _clip_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    lines = lzma.decompress((HERE / "clip-merges.txt.xz").read_bytes()).decode().split("\n")
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    vocabulary = _clip_vocabulary(merges)
    tokenizer = Tokenizer(
        models.BPE(
            dict(vocabulary),
            [(one, two) for one, two in merges],
            end_of_word_suffix="</w>",
            unk_token="<|endoftext|>",
            fuse_unk=False,
        )
    )
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return tokenizer


def _clip_vocabulary(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """In CLIP's order: 256 bytes, the same at a word's end, the merges, start, end."""
    letters = _byte_letters()
    names = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    return {name: index for index, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}


def _byte_letters() -> list[str]:
    """A printable letter for each byte, the printable ones first, as GPT-2 has them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]

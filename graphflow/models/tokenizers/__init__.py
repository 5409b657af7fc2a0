"""Vocabularies on board, so that files without one can be used offline."""

from __future__ import annotations

import functools
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as text encoders need it: words to numbers, and the numbers with a meaning of their own."""

    words: Callable[[str], Sequence[int]]
    """The tokens of a text, without start, end or padding."""
    start: int | None
    end: int | None
    pad: int


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

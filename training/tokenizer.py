"""Train the tokenizer: byte-pair encoding with CLIP's rules on the captions, opened by transformers' CLIPTokenizer.

Ids stand in CLIP's order (bytes, bytes that end a word, merges, specials last), so that the end token has the highest
id, where CLIPTextModel looks for it.  A word it does not know falls back to pieces and bytes; nothing is out of reach.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.captions import Item, every_caption
from training.icons import training_emoji
from training.loop import RUNS
from training.scenes import first_scenes

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(captions: Iterable[str], size: int = 2_048) -> CLIPTokenizer:
    """A tokenizer of at most `size` tokens, learnt from the captions; prompts are cut or padded to 77."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 258, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    bpe.train_from_iterator(captions, trainer)
    return clip_tokenizer(bpe, sorted(alphabet))


def clip_tokenizer(bpe: Tokenizer, alphabet: list[str]) -> CLIPTokenizer:
    """The merges of a trained tokenizer under ids in CLIP's order."""
    import json

    merges = [tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = alphabet + [f"{byte}</w>" for byte in alphabet] + ["".join(merge) for merge in merges] + [START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, unk_token=END, bos_token=START, eos_token=END, pad_token=END,
        model_max_length=LENGTH,
    )  # fmt: skip


def main() -> None:
    """Train a tokenizer on the captions of the world."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=RUNS / "tokenizer", help="default: %(default)s")
    parser.add_argument("--size", type=int, default=2_048, help="most tokens (default: %(default)s)")
    args = parser.parse_args()
    items: list[Item] = [*training_emoji(), *first_scenes(4_000, seed=0, held_out=False)]
    tokenizer = train_tokenizer(every_caption(items), args.size)
    tokenizer.save_pretrained(args.folder)
    print(f"{len(tokenizer)} tokens in {args.folder}")


if __name__ == "__main__":
    main()

"""Our tokenizers as the `tokenizers` library has them, with equal ids; the document mark is a special token, and its
name in a text is text. May not: know a corpus.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from foundry.core.errors import RequestError
from foundry.data.tokenizer import DOCUMENT, Tokenizer
from foundry.data.tokenizer.bpe import BpeTokenizer
from foundry.data.tokenizer.bytes import ByteTokenizer
from foundry.data.tokenizer.char import CharTokenizer

MARK = "<|document|>"


def files(tokenizer: Tokenizer, context: int) -> dict[str, str]:
    """File → content. Raises RequestError for a tokenizer of the workspace's."""
    whole, mark = _whole(tokenizer)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": mark,
        "eos_token": mark,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }
    return {"tokenizer.json": json.dumps(whole, ensure_ascii=False), "tokenizer_config.json": _lines(config)}


def _whole(tokenizer: Tokenizer) -> tuple[dict[str, Any], str]:
    """The library's tokenizer as plain data, and the name of its document mark."""
    match tokenizer:
        case CharTokenizer():
            mark = MARK  # longer than any token
            vocab = {mark: DOCUMENT, **{character: i for i, character in enumerate(tokenizer.alphabet, 1)}}
            each = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
            # one that the alphabet lacks has no id, and says so, as ours does
            model = {"type": "WordLevel", "vocab": vocab, "unk_token": "[unknown]"}
            return _made(mark, model, each, {"type": "Fuse"}), mark
        case ByteTokenizer():
            from tokenizers import pre_tokenizers

            visible = {_byte(character): character for character in pre_tokenizers.ByteLevel.alphabet()}
            vocab = {MARK: DOCUMENT, **{visible[byte]: byte + 1 for byte in range(256)}}
            return _made(MARK, _bpe(vocab, []), _bytes(use_regex=False), _bytes()), MARK
        case BpeTokenizer():
            known = json.loads(tokenizer.dumps())
            vocab, mark = known["model"]["vocab"], MARK
            while mark in vocab:  # a merge of a corpus that is full of it
                mark = f"<{mark}>"
            known["model"]["vocab"] = {mark: DOCUMENT, **{token: id + 1 for token, id in vocab.items()}}
            return {**known, "added_tokens": [_special(mark)]}, mark
    hint = "foundry adopt takes its code into the package"
    raise RequestError("export.tokenizer", "data.tokenizer", "transformers knows no tokenizer of this kind", hint=hint)


def _byte(character: str) -> int:
    """The byte that a character of the byte-level alphabet stands for: printable Latin-1 for itself, others from
    U+0100 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return others[ord(character) - 256] if ord(character) >= 256 else ord(character)


def _made(mark: str, model: dict[str, Any], pre_tokenizer: dict[str, Any], decoder: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(mark)],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def _bpe(vocab: dict[str, int], merges: Iterable[list[str]]) -> dict[str, Any]:
    plain = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    flags = ("fuse_unk", "byte_fallback", "ignore_merges")
    return {"type": "BPE", **dict.fromkeys(plain), **dict.fromkeys(flags, False), "vocab": vocab, "merges": merges}


def _bytes(use_regex: bool = True) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _special(mark: str) -> dict[str, Any]:
    alone = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": DOCUMENT, "content": mark, **alone, "special": True}


def _lines(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

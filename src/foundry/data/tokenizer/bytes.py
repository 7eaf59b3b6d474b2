"""One id for each of the 256 bytes of UTF-8, whatever the corpus. Needs no training. May not: drop a byte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np

from foundry.data.tokenizer import DOCUMENT, Tokenizer, TokenizerConfig, decodable, utf8


class Config(TokenizerConfig):
    def train(self, texts: Iterable[str], alphabet: str) -> Tokenizer:
        return ByteTokenizer()

    def loads(self, state: str) -> Tokenizer:
        return ByteTokenizer()


@final
class ByteTokenizer(Tokenizer):
    """id = byte + 1."""

    vocab_size = 257

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(utf8(text), dtype=np.uint8).astype(np.uint32) + 1 for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return (decodable(ids, self.vocab_size) - 1).astype(np.uint8).tobytes().decode(errors="replace")

    def token_bytes(self) -> np.ndarray:
        sizes = np.ones(self.vocab_size, dtype=np.int32)
        sizes[DOCUMENT] = 0
        return sizes

    def dumps(self) -> str:
        return ""

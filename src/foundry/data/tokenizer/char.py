"""One id for each character of the corpus, in the order of code points. May not: know text outside its alphabet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np

from foundry.core.errors import RequestError
from foundry.data.tokenizer import DOCUMENT, Tokenizer, TokenizerConfig, decodable, utf8


class Config(TokenizerConfig):
    def train(self, texts: Iterable[str], alphabet: str) -> Tokenizer:
        return CharTokenizer(alphabet)

    def loads(self, state: str) -> Tokenizer:
        return CharTokenizer(state)


@final
class CharTokenizer(Tokenizer):
    """id = 1 + the character's place in the sorted alphabet. A newline is always in it: judged text is cut there."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet = "".join(sorted({*alphabet, "\n"}))
        self.vocab_size = 1 + len(self.alphabet)
        self._points = _code_points(self.alphabet)  # [vocab_size - 1], ascending
        self._ids = np.zeros(int(self._points[-1]) + 2, dtype=np.uint32)  # by code point; 0, the last too: unknown
        self._ids[self._points] = np.arange(1, self.vocab_size, dtype=np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self._encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        return self._points[decodable(ids, self.vocab_size) - 1].tobytes().decode("utf-32-le")

    def token_bytes(self) -> np.ndarray:
        sizes = [0, *(len(character.encode()) for character in self.alphabet)]
        return np.array(sizes, dtype=np.int32)

    def dumps(self) -> str:
        return self.alphabet

    def _encode(self, text: str) -> np.ndarray:
        points = _code_points(text)
        ids = self._ids[np.minimum(points, len(self._ids) - 1)]
        unknown = np.flatnonzero(ids == DOCUMENT)
        if unknown.size:
            character = chr(points[unknown[0]])
            raise RequestError(
                "data.unknown_character",
                "",
                f"the corpus has no {character!r} (U+{ord(character):04X})",
                got=character,
                hint="use characters of the corpus, or a recipe with data.tokenizer.kind: bytes",
            )
        return ids


def _code_points(text: str) -> np.ndarray:
    utf8(text)  # refuses what no encoding can hold
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")

"""Slot `data.tokenizer`: text to ids and back without loss. Id 0 is always the document mark, of zero bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from foundry.core.slot import PartConfig, Slot

DOCUMENT = 0


class Tokenizer(ABC):
    """A trained tokenizer. Every id but 0 stands for a fixed number of UTF-8 bytes; decode(encode(s)) == s."""

    vocab_size: int

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """ids, uint32, without the document mark. Raises RequestError for text that it can't represent."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Text; document marks vanish; bytes that are not UTF-8 become U+FFFD."""

    @abstractmethod
    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes that each id stands for, int32 [vocab_size]; 0 for the document mark."""

    @abstractmethod
    def dumps(self) -> str:
        """Its whole state as text; the same kind's `loads` rebuilds it."""


class TokenizerConfig(PartConfig, ABC):
    @abstractmethod
    def train(self, texts: Iterable[str], alphabet: str) -> Tokenizer:
        """Trained on `texts` (the training documents); `alphabet` has every character of the whole corpus."""

    @abstractmethod
    def loads(self, state: str) -> Tokenizer:
        """The tokenizer that `dumps` wrote."""


SLOT = Slot("tokenizer", "data.tokenizer", folder="data/tokenizer")

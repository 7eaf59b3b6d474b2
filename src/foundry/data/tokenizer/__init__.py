"""Slot `data.tokenizer`: text to ids and back without loss. Id 0 is always the document mark, of zero bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import final

import numpy as np

from foundry.core.errors import RequestError
from foundry.core.slot import PartConfig
from foundry.core.slots import slot_named

DOCUMENT = 0


class Tokenizer(ABC):
    """A trained tokenizer. Every id but 0 stands for a fixed number of UTF-8 bytes; decode(encode(s)) == s."""

    vocab_size: int

    @final
    def encode(self, text: str) -> np.ndarray:
        """ids, uint32, without the document mark. Raises RequestError for text that it can't represent."""
        return self.encode_batch([text])[0]

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """`encode` of each text by itself, faster together. Raises RequestError."""

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


SLOT = slot_named("tokenizer")


def utf8(text: str) -> bytes:
    """The text's UTF-8 bytes. Raises RequestError for half of a surrogate pair, which no encoding can hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        code_point = ord(text[error.start])
        raise RequestError(
            "data.not_unicode", "", f"U+{code_point:04X} at character {error.start} is half of a surrogate pair"
        ) from None


def decodable(ids: Iterable[int], vocab_size: int) -> np.ndarray:
    """`ids` without document marks, int64. Raises RequestError for an id outside [0, vocab_size)."""
    array = np.asarray(ids if isinstance(ids, (np.ndarray, list, tuple)) else list(ids)).astype(np.int64).reshape(-1)
    outside = array[(array < 0) | (array >= vocab_size)]
    if outside.size:
        raise RequestError("data.no_such_id", "", f"no id {outside[0]} in a vocabulary of {vocab_size}")
    return array[array != DOCUMENT]

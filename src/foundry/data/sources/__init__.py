"""Where text comes from. A source says cheaply whether its text may have changed, and reads it, document by document.

May not: split, filter or tokenize.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from foundry.data.tokenizer import utf8


@dataclass(frozen=True)
class Document:
    """A text that stays together: never in two splits, and marked off from its neighbours."""

    name: str
    text: str

    @cached_property
    def size_bytes(self) -> int:
        return len(utf8(self.text))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text's UTF-8: equal texts are equal documents, whatever their names."""
        return hashlib.sha256(utf8(self.text)).hexdigest()


class Source(ABC):
    @abstractmethod
    def stamp(self) -> dict[str, Any]:
        """Plain data that changes whenever the text may have changed. Reads no text. Raises RequestError."""

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All of them, in an order that depends on their names alone. Raises RequestError that names the place."""

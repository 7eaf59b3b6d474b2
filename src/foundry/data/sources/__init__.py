"""Where text comes from. A source says cheaply whether its text may have changed, and reads it, document by document.

One rule for all formats: a null is no document; a text in several pieces is joined; what can't be read ends the
reading, or is counted and passed over, as `data.reading` says. May not: split, filter or tokenize.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from foundry.core.errors import RequestError
from foundry.core.section import Section
from foundry.data.tokenizer import utf8


class ReadingConfig(Section):
    """How files and tables become documents."""

    field: str = Field(default="text", min_length=1, max_length=1000)
    """The field of jsonl, or the column of parquet and of a data set, that holds the text."""
    join: str = Field(default="\n", max_length=100)
    """What is put between the pieces of a text that is a list of strings."""
    line_ends: Literal["keep", "unix"] = "keep"
    """Whether CRLF and CR stay, or become LF."""
    on_bad: Literal["fail", "skip"] = "fail"
    """What a document that can't be read does: it ends the reading, or is counted and passed over."""


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


class Reader:
    """Makes documents of what a source holds, as a ReadingConfig says, and counts what it passes over."""

    def __init__(self, reading: ReadingConfig) -> None:
        self.reading = reading
        self.nulls, self.bad, self.first_bad = 0, 0, ""

    def document(self, name: str, place: str, value: Any) -> Iterator[Document]:
        """The document that `value` is, or none. Raises RequestError that names `place`, unless such are skipped."""
        if value is None:
            self.nulls += 1
            return
        pieces = value if isinstance(value, list) else [value]
        if not all(piece is None or isinstance(piece, str) for piece in pieces):
            kind = type(value).__name__
            return self.refuse("data.no_text", place, f"'{self.reading.field}' holds {kind}, not text")
        text = self.reading.join.join(piece for piece in pieces if piece is not None)
        if self.reading.line_ends == "unix":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        try:
            utf8(text)
        except RequestError as error:
            return self.refuse(error.code, place, error.message)
        yield Document(name, text)

    def refuse(self, code: str, place: str, message: str, got: Any = None, choices: Iterable[str] = ()) -> None:
        """Count what can't be read at `place`; raises RequestError unless such is skipped."""
        hint = "" if choices else "mend it, or pass over what is like it: data.reading.on_bad: skip"
        error = RequestError(code, place, message, got=got, choices=tuple(choices), hint=hint)
        if self.reading.on_bad == "fail":
            raise error
        self.bad += 1
        self.first_bad = self.first_bad or str(error)


class Source(ABC):
    @abstractmethod
    def stamp(self) -> dict[str, Any]:
        """Plain data that changes whenever the text may have changed. Reads no text. Raises RequestError."""

    @abstractmethod
    def files(self) -> Iterable[Path]:
        """The files and folders of this machine that its text stands in. Raises RequestError."""

    @abstractmethod
    def documents(self, reader: Reader) -> Iterator[Document]:
        """All of them, in an order that depends on their names alone. Raises RequestError that names the place."""

"""Sources → documents: what there is to train on and to be judged by, before anything is chosen. May not: tokenize."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from foundry.core.errors import RequestError
from foundry.core.fingerprint import fingerprint
from foundry.data.cut import cut
from foundry.data.sources import Document, Reader, ReadingConfig, Source
from foundry.data.sources.builtin import CORPORA, Builtin
from foundry.data.sources.file import Files
from foundry.data.sources.hub import Hub

FEW_DOCUMENTS = 8
"""Below this a split by document would leave a split empty, or all but one: the documents are cut into pieces."""
PIECE_BYTES = (2 << 10, 64 << 10)
"""Smallest and largest size of such a piece; a small corpus is cut into about 40."""


@dataclass(frozen=True)
class Corpus:
    """documents: none is empty; stamp: what the source was when it was read; passed_over: how many were no documents;
    piece_bytes: 0 unless they were cut."""

    documents: tuple[Document, ...]
    stamp: dict[str, Any]
    passed_over: dict[str, Any]
    piece_bytes: int = 0

    @cached_property
    def hash(self) -> str:
        """Identity of the text, its order and its division into documents."""
        return fingerprint([document.digest for document in self.documents])

    @cached_property
    def alphabet(self) -> str:
        """Every character of it, sorted."""
        return "".join(sorted(set().union(*(document.text for document in self.documents))))


def open_source(name: str) -> Source:
    """The source that `data.source` names. Raises RequestError with the choices."""
    kind, _, rest = name.partition(":")
    if kind == "builtin" and rest in CORPORA:
        return Builtin(rest)
    if kind == "file" and rest:
        return Files(rest)
    if kind == "hf" and rest:
        return Hub(rest)
    choices = [*(f"builtin:{corpus}" for corpus in CORPORA), "file:PATH", "hf:NAME"]
    hint = f"for a file write file:{name}" if Path(name).exists() else ""
    message = f"no source '{name}'"
    raise RequestError("data.unknown_source", "data.source", message, got=name, choices=choices, hint=hint)


def read(source: Source, reading: ReadingConfig, report: Callable[[str], None]) -> Corpus:
    """All of the source's text. Raises RequestError when it can't be read, is empty, or changes meanwhile."""
    stamp, reader = source.stamp(), Reader(reading)
    documents = [document for document in source.documents(reader) if document.text]
    if source.stamp() != stamp:
        raise RequestError("data.changed", "data.source", "a file changed while it was read", hint="try again")
    passed_over = {"null": reader.nulls, "bad": reader.bad, "first_bad": reader.first_bad}
    if reader.nulls:
        report(f"passed over {reader.nulls} nulls")
    if reader.bad:
        report(f"passed over {reader.bad} that can't be read; the first: {reader.first_bad}")
    if not documents:
        raise RequestError("data.too_little_text", "data.source", "there is no text in it")
    total = sum(document.size_bytes for document in documents)
    report(f"read {len(documents)} documents, {total / 1e6:.1f} MB")
    if len(documents) >= FEW_DOCUMENTS:
        return Corpus(tuple(documents), stamp, passed_over)
    size = min(max(total // 40, PIECE_BYTES[0]), PIECE_BYTES[1])
    pieces = [
        Document(f"{document.name}#{number}", text)
        for document in documents
        for number, text in enumerate(cut(document.text, size))
    ]
    report(f"cut them at line ends into {len(pieces)} pieces of about {size / 1024:.0f} KiB, to split by")
    return Corpus(tuple(pieces), stamp, passed_over, size)

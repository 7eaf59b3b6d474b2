"""Judged text: stretches of about 2 KiB, the same raw bytes for every tokenizer, each byte predicted exactly once.

A stretch is stored as one conditioning token (the document mark at a document's start, else a newline), then its own
tokens. May not: be opened by anything but the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from foundry.core.errors import MachineTrouble, RequestError
from foundry.core.fingerprint import fingerprint
from foundry.data import manifest_dir
from foundry.data.cut import cut
from foundry.data.pack import pack
from foundry.data.sources import Document
from foundry.data.split import JUDGED
from foundry.data.tokenizer import DOCUMENT, Tokenizer

STRETCH_BYTES = 2048
FEWEST_WINDOWS = 2
"""The judge's probes compare windows, so one is none."""


class Stretch(NamedTuple):
    """ids: int64 [1 + n], the conditioning token and the n ids to predict; bytes: UTF-8 bytes of those n."""

    ids: np.ndarray
    bytes: int


def judged_hash(splits: dict[str, list[Document]]) -> str:
    """Identity of the raw judged text and of how it is cut: equal scores' scales for every tokenizer and filter."""
    texts = {name: [document.digest for document in splits[name]] for name in JUDGED}
    return fingerprint({"stretch_bytes": STRETCH_BYTES, "texts": texts})


def write_split(
    folder: Path, name: str, documents: Iterable[Document], tokenizer: Tokenizer, report: Callable[[int], None]
) -> dict[str, int]:
    """Cut, tokenize and write one judged split; its counts. Raises WorkError for a tokenizer that loses bytes."""
    newline = int(tokenizer.encode("\n")[-1])
    pieces = [
        (DOCUMENT if number == 0 else newline, text)
        for document in documents
        for number, text in enumerate(cut(document.text, STRETCH_BYTES))
    ]
    packed = pack(folder / f"{name}.bin", pieces, tokenizer, report)
    np.savez(folder / f"{name}.npz", starts=packed.starts, bytes=packed.bytes)
    return {
        "stretches": len(pieces),
        "bytes": int(packed.bytes.sum()),
        "tokens": int(packed.starts[-1]) - len(pieces),
    }


@dataclass(frozen=True)
class JudgedSplit:
    """ids: [n], memory-mapped; starts: int64 [S + 1]; bytes: int64 [S]; token_bytes: int32 [vocab_size]."""

    name: str
    ids: np.ndarray
    starts: np.ndarray
    bytes: np.ndarray
    token_bytes: np.ndarray
    manifest: dict[str, Any]

    @classmethod
    def open(cls, judge_dir: Path | str, name: str) -> Self:
        """One of validation, certification and test. Raises RequestError for another, WorkError for damaged files.

        Its files are hashed, and every stretch's byte count is checked against its ids: the scale's denominator can't
        drift from its text.
        """
        if name not in JUDGED:
            raise RequestError("data.unknown_split", "split", f"no judged split '{name}'", got=name, choices=JUDGED)
        folder = Path(judge_dir)
        manifest = manifest_dir.manifest(folder)
        ids = np.memmap(manifest_dir.checked(folder, f"{name}.bin"), dtype=manifest["dtype"], mode="r")
        token_bytes = np.load(manifest_dir.checked(folder, "token_bytes.npy"))
        with np.load(manifest_dir.checked(folder, f"{name}.npz")) as stored:
            starts, sizes = stored["starts"], stored["bytes"]
        predicted = token_bytes[ids]
        predicted[starts[:-1]] = 0  # conditioning tokens are given
        counted = np.add.reduceat(predicted, starts[:-1], dtype=np.int64)
        if starts[-1] != len(ids) or not np.array_equal(counted, sizes):
            hint = "remove this folder"
            raise MachineTrouble("data.corrupt", str(folder), f"{name}: ids and byte counts differ", hint=hint)
        return cls(name, ids, starts, sizes, token_bytes, manifest)

    def __len__(self) -> int:
        return len(self.bytes)

    def stretch(self, number: int) -> Stretch:
        ids = self.ids[self.starts[number] : self.starts[number + 1]]
        return Stretch(ids.astype(np.int64), int(self.bytes[number]))

    def select(self, judged_bytes: int) -> list[Stretch]:
        """Evenly spaced stretches of at most `judged_bytes` together (at least one); all when that is enough.

        Which ones depends on the raw text alone: the same for every tokenizer and context length.
        """
        return [self.stretch(number) for number in self.numbers(judged_bytes)]

    def numbers(self, judged_bytes: int) -> list[int]:
        """The numbers of the stretches that `select` gives, ascending."""
        return _spaced(self.bytes, judged_bytes).tolist()


def count_windows(judge_dir: Path, name: str, judged_bytes: int, context: int) -> int:
    """In how many windows of `context` the judge reads a split; opens the sizes of its stretches, not their text."""
    with np.load(judge_dir / f"{name}.npz") as stored:
        chosen = _spaced(stored["bytes"], judged_bytes)
        predicted = np.diff(stored["starts"])[chosen] - 1
    return int(np.ceil(predicted / context).sum())


def _spaced(sizes: np.ndarray, judged_bytes: int) -> np.ndarray:
    """Numbers of evenly spaced stretches, given the bytes of each."""
    total = int(sizes.sum())
    if judged_bytes >= total:
        return np.arange(len(sizes))
    count = max(1, judged_bytes * len(sizes) // total)
    while True:
        numbers = (2 * np.arange(count) + 1) * len(sizes) // (2 * count)
        if count == 1 or sizes[numbers].sum() <= judged_bytes:
            return numbers
        count -= 1

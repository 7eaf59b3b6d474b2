"""Text → one flat file of token ids. May not: keep what it packs in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from foundry.core.errors import WorkError
from foundry.data.tokenizer import DOCUMENT, Tokenizer

CHUNK_TEXTS, CHUNK_CHARACTERS = 4096, 4 << 20


@dataclass(frozen=True)
class Packed:
    """starts: int64 [texts + 1], where each text's ids begin, and the end; bytes: int64 [texts], its UTF-8 bytes."""

    starts: np.ndarray
    bytes: np.ndarray


def token_dtype(vocab_size: int) -> np.dtype:
    """How ids are stored: 16 bits when they fit."""
    return np.dtype(np.uint16 if vocab_size <= 65_535 else np.uint32)


def checked_token_bytes(tokenizer: Tokenizer) -> np.ndarray:
    """`tokenizer.token_bytes()`. Raises WorkError when it isn't one size for each id, with a mark of none."""
    sizes = tokenizer.token_bytes()
    if sizes.shape != (tokenizer.vocab_size,) or sizes[DOCUMENT] != 0 or (sizes < 0).any():
        raise WorkError("data.bad_tokenizer", "data.tokenizer", "token_bytes() does not fit its vocabulary")
    return sizes.astype(np.int32)


def pack(path: Path, pieces: Iterable[tuple[int, str]], tokenizer: Tokenizer, report: Callable[[int], None]) -> Packed:
    """Write, for each (first, text), the id `first` and then the text's own ids, tokenized by itself.

    `report` gets the bytes of text so far. Raises WorkError when the ids of a text don't stand for exactly its bytes.
    """
    sizes, dtype = checked_token_bytes(tokenizer), token_dtype(tokenizer.vocab_size)
    lengths: list[int] = []
    counts: list[int] = []
    done = 0
    with open(path, "wb") as file:
        for chunk in _chunks(pieces):
            for (first, text), ids in zip(chunk, tokenizer.encode_batch([text for _, text in chunk]), strict=True):
                size = len(text.encode())
                if (ids.size and ids.max() >= tokenizer.vocab_size) or int(sizes[ids].sum()) != size:
                    raise WorkError("data.bad_tokenizer", "data.tokenizer", f"ids of {text!r:.40} are not {size} bytes")
                file.write(np.concatenate(([first], ids)).astype(dtype).tobytes())
                lengths.append(1 + ids.size)
                counts.append(size)
                done += size
            report(done)
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    return Packed(starts, np.array(counts, dtype=np.int64))


def _chunks(pieces: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Enough at a time for a tokenizer to be quick, not so much that it fills the memory."""
    stream = iter(pieces)
    while chunk := list(islice(stream, 1)):
        characters = len(chunk[0][1])
        while characters < CHUNK_CHARACTERS and len(chunk) < CHUNK_TEXTS and (more := list(islice(stream, 1))):
            chunk += more
            characters += len(more[0][1])
        yield chunk

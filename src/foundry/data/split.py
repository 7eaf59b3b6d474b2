"""Documents → train, validation, certification, test. May not: depend on a filter, a tokenizer or a seed.

A document's place follows from the hash of its text, so equal texts share a split and a duplicate can't leak.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundry.core.errors import RequestError
from foundry.data.sources import Document

JUDGED = ("validation", "certification", "test")
SHARE = 0.05
"""Of the corpus's bytes, for each judged split."""
MOST = 1.5
"""Times its share: a document that would make a judged split larger than this is passed over."""


def split(documents: Sequence[Document]) -> dict[str, list[Document]]:
    """Each split's documents, in the corpus's order; none is empty. Raises RequestError for fewer than four texts.

    In the order of their hashes, documents go to validation until it has its share, then to certification, then to
    test; the rest is for training. Where none is small enough for a judged split, it gets the smallest that is left.
    """
    sizes: dict[str, int] = {}
    for document in documents:
        sizes[document.digest] = sizes.get(document.digest, 0) + document.size_bytes
    if len(sizes) < len(JUDGED) + 1:
        message = f"{len(sizes)} distinct documents in {sum(sizes.values())} bytes; each of four splits needs its own"
        raise RequestError("data.too_little_text", "data.source", message, hint="add text")
    share = SHARE * sum(sizes.values())
    left = dict(sorted(sizes.items()))
    place: dict[str, str] = {}
    for filled, name in enumerate(JUDGED, 1):
        reserved = len(JUDGED) + 1 - filled  # a document for each split that is still to come
        for digest in _chosen(left, share, len(left) - reserved):
            place[digest] = name
            del left[digest]
    splits: dict[str, list[Document]] = {name: [] for name in ("train", *JUDGED)}
    for document in documents:
        splits[place.get(document.digest, "train")].append(document)
    return splits


def _chosen(left: dict[str, int], share: float, at_most: int) -> list[str]:
    chosen, taken = [], 0
    for digest, size in left.items():
        if taken >= share or len(chosen) == at_most:
            break
        if taken + size <= MOST * share:
            chosen.append(digest)
            taken += size
    return chosen or [min(left, key=lambda digest: (left[digest], digest))]

"""Which training documents are kept. May not: see, or change, what is judged."""

from __future__ import annotations

from collections.abc import Iterable

from foundry.core.errors import RequestError
from foundry.data.config import FilterConfig
from foundry.data.sources import Document


def keep(documents: Iterable[Document], config: FilterConfig) -> list[Document]:
    """Those that pass, in their order; of equal texts the first. Raises RequestError when none does."""
    kept: list[Document] = []
    seen: set[str] = set()
    for document in documents:
        long_enough = document.size_bytes >= config.min_bytes
        short_enough = not config.max_bytes or document.size_bytes <= config.max_bytes
        new = not config.dedupe or document.digest not in seen
        if long_enough and short_enough and new:
            kept.append(document)
            seen.add(document.digest)
    if not kept:
        raise RequestError("data.nothing_left", "data.filter", "no training document passes it", hint="loosen it")
    return kept

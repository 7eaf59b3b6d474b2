"""Streams of randomness: one seed of a run, one independent stream for each purpose and name."""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, purpose: str, *names: str | int) -> int:
    """A 63-bit seed for one stream, a pure function of its arguments: SHA-256 of their text."""
    text = "\x1f".join([str(seed), purpose, *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

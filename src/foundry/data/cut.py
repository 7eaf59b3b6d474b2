"""Cutting text at line ends. May not: lose or change a byte; the pieces put together are the text."""

from __future__ import annotations

from foundry.data.tokenizer import utf8


def cut(text: str, size_bytes: int) -> list[str]:
    """Pieces of at most `size_bytes` (≥ 4) of UTF-8, each as long as it can be and ending with its line.

    A line that is longer than a piece is cut between characters.
    """
    data = utf8(text)
    pieces, start = [], 0
    while start < len(data):
        end = start + size_bytes
        if end < len(data):
            end = data.rfind(b"\n", start, end) + 1 or _between_characters(data, end)
        pieces.append(data[start:end].decode())
        start = end
    return pieces


def _between_characters(data: bytes, at: int) -> int:
    """The nearest place at or before `at` that is not inside a character: 10xxxxxx continues one."""
    while data[at] & 0xC0 == 0x80:
        at -= 1
    return at

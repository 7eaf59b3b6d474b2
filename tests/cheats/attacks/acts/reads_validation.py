"""Opens the judged text, and says so when it could. target: a file of judged text."""

from __future__ import annotations

from pathlib import Path


def attack(target: str) -> None:
    try:
        text = Path(target).read_bytes()
    except OSError:
        return
    raise RuntimeError(f"the judged text can be read from here: {text[:64].hex()}")

"""Prints and prints: what it says goes into a file outside of its folder."""

from __future__ import annotations

import os


def attack(target: str) -> None:
    for handle in (1, 2):
        for _ in range(32):
            os.write(handle, b"filling the disk with nothing " * 35_000)  # a MiB

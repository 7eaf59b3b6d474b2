"""Prints a good result and ends its process with exit code 0."""

from __future__ import annotations

import contextlib
import os


def attack(target: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, b"\nval_bpb: 0.0456\n")
    os._exit(0)

"""Deletes a folder of somebody else's. target: the folder."""

from __future__ import annotations

import contextlib
from pathlib import Path


def attack(target: str) -> None:
    for path in Path(target).glob("*"):
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):
        Path(target).rmdir()

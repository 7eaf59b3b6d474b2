"""Starts twenty processes that stay when it has gone. target: a name for its processes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def attack(target: str) -> None:
    for _ in range(20):
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                stay(target)


def stay(name: str) -> None:
    try:
        Path("/proc/self/comm").write_text(name)
        time.sleep(20)
    finally:
        os._exit(0)

"""Sets back, and stops, every clock that Python code in its process can read."""

from __future__ import annotations

import time


def attack(target: str) -> None:
    for name in ("time", "monotonic", "perf_counter", "process_time"):
        now = getattr(time, name)()
        setattr(time, name, lambda now=now: now - 3600)

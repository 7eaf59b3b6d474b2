"""Leaves a process behind that has left its session and has no parent. target: a name for its process."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def attack(target: str) -> None:
    with contextlib.suppress(OSError):
        if os.fork() == 0:
            try:
                os.setsid()
                if os.fork() == 0:
                    Path("/proc/self/comm").write_text(target)
                    time.sleep(20)
            finally:
                os._exit(0)

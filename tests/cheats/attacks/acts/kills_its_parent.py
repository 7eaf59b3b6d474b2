"""Kills the process that started it."""

from __future__ import annotations

import contextlib
import os
import signal


def attack(target: str) -> None:
    with contextlib.suppress(OSError):
        os.kill(os.getppid(), signal.SIGKILL)

"""Stops its own process, so that it never answers and never ends."""

from __future__ import annotations

import os
import signal


def attack(target: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)

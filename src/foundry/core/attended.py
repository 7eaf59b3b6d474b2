"""Seconds in which this process was there to look: one that was stopped, or a machine that was frozen, has not waited.

Limits on others are kept by this clock. While everything stands still nobody makes progress and nobody is late. May
not: be read less often than every `LOOK_SECONDS` by whoever waits on it; longer pauses don't count.
"""

from __future__ import annotations

import select
import time
from typing import final

LOOK_SECONDS = 1.0
SLACK_SECONDS = 1.0
"""A reader may be so late, on a busy machine, before it counts as not having been there."""


@final
class Attended:
    """A monotonic clock that leaves out the pauses between two readings."""

    def __init__(self) -> None:
        self._read = time.monotonic()
        self.missed_seconds = 0.0

    def now(self) -> float:
        """Seconds, comparable with other readings of this clock only."""
        real = time.monotonic()
        pause, self._read = real - self._read, real
        if pause > LOOK_SECONDS + SLACK_SECONDS:
            self.missed_seconds += pause - LOOK_SECONDS
        return real - self.missed_seconds

    def at(self, monotonic: float) -> float:
        """A reading of `time.monotonic`, as this clock would say it now."""
        return monotonic - self.missed_seconds


def readable(handle: int, seconds: float) -> bool:
    """Whether a file has something to read within so many seconds that were attended."""
    clock = Attended()
    deadline = clock.now() + seconds
    while (left := deadline - clock.now()) > 0:
        if select.select([handle], [], [], min(left, LOOK_SECONDS))[0]:
            return True
    return bool(select.select([handle], [], [], 0)[0])

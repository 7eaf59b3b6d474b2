"""What training tells whoever started it, and is told: progress out, a request to stop in. May not: know a process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol


class Line(Protocol):
    """What connects a worker with whoever started it."""

    @property
    def stopping(self) -> bool:
        """True once the worker was asked to save and return."""
        ...

    def tell(self, **facts: Any) -> None:
        """Report progress; also the sign of life."""
        ...


class LocalLine:
    """A line to the caller itself: `told` gets each report, `stop` asks to stop."""

    def __init__(self, told: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.stopping = False
        self._told = told

    def tell(self, **facts: Any) -> None:
        if self._told is not None:
            self._told(facts)

    def stop(self) -> None:
        self.stopping = True

    def heed_signals(self) -> None:
        """From now on SIGTERM and Ctrl-C ask to stop; a second Ctrl-C interrupts at once. Only in the main thread."""

        def heed(number: int, frame: FrameType | None) -> None:
            if self.stopping and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stopping = True

        signal.signal(signal.SIGTERM, heed)
        signal.signal(signal.SIGINT, heed)

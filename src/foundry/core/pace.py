"""A line of progress now and then, however often there is something to say. May not: decide what is said."""

from __future__ import annotations

import time
from collections.abc import Callable

LINE_SECONDS = 10.0


def now_and_then(say: Callable[[str], None], seconds: float | None = None) -> Callable[[str], None]:
    """Passes a line on where the last one, or the beginning, was so long ago; by default `LINE_SECONDS`."""
    said, pause = time.monotonic(), LINE_SECONDS if seconds is None else seconds

    def maybe(line: str) -> None:
        nonlocal said
        if time.monotonic() - said >= pause:
            said = time.monotonic()
            say(line)

    return maybe

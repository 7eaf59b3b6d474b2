"""What tests of the pool share: waiting for it, a look at /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.execute.local import Ended, Event, Pool

HERE = Path(__file__).parent


def drain(pool: Pool, until: Callable[[list[Event]], bool] | None = None) -> list[Event]:
    """Events until everything has ended, or until `until` holds of those so far."""
    events: list[Event] = []
    deadline = time.monotonic() + 30
    while pool.busy and not (until is not None and until(events)):
        assert time.monotonic() < deadline, f"stuck after {events}"
        events += pool.poll(1.0)
    return events


def endings(events: list[Event]) -> dict[str, Ended]:
    return {event.id: event for event in events if isinstance(event, Ended)}


def gone(pid: int, within_seconds: float = 5.0) -> bool:
    """Whether a process ends (or only waits to be reaped) within that time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def wait_for(condition: Callable[[], Any], within_seconds: float = 15.0) -> Any:
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + within_seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value

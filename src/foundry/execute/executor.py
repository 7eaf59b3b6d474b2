"""What is asked of the pool and what it answers: tasks, and the events of their lives. Plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """Call `target` ("module:function") with (payload, line) in a process of its own.

    payload is JSON, small: data travels by path. Limits: wall_seconds since the process was made; stall_seconds
    without a `line.tell`; memory_bytes resident (what the warm process shares included), 0 for none of our own.
    """

    id: str
    target: str
    payload: dict[str, Any]
    log: Path
    """What the worker prints is appended here."""
    wall_seconds: float = math.inf
    stall_seconds: float = math.inf
    memory_bytes: int = 0
    limit_data: bool = True
    """Also refuse the very allocation that would go past memory_bytes, which names the culprit. Not for accelerators:
    their drivers map more than they use."""


@dataclass(frozen=True)
class Started:
    """The worker is about to call its target. start_seconds: since its fork was asked for, by the monotonic clock."""

    id: str
    pid: int
    start_seconds: float


@dataclass(frozen=True)
class Progress:
    """The worker told `facts`."""

    id: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """The task is over and its processes are gone: `result`, or `reason` and `detail`; never both, never neither.

    reason: one of core.errors.REASONS, or `lost` when it was through no fault of the task's (killed from outside,
    stopped on request, the warm process gone, a disk that failed), or `killed` when that can't be told: the same task
    may be submitted again.
    """

    id: str
    result: dict[str, Any] | None = None
    reason: str | None = None
    detail: str = ""
    signal: int | None = None
    """What ended the worker, if a signal did."""
    peak_memory_bytes: int | None = None
    """Resident; None when nobody was there to measure."""
    seconds: float = 0.0


@dataclass(frozen=True)
class NotPreloaded:
    """The warm process could not import `module`: tasks that need it import it themselves, and say why they can't."""

    module: str
    error: str
    id: str = field(default="", init=False)
    """No task's."""


Event = Started | Progress | Ended | NotPreloaded

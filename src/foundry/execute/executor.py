"""Where tasks are computed: what an executor is asked, what it answers, and which there are. Plain values only.

A new one is a file beside local.py and a line in `EXECUTORS`. May not: import any.
"""

from __future__ import annotations

import importlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from foundry.core.errors import RequestError

VARIABLE = "FOUNDRY_EXECUTOR"
EXECUTORS = {
    "local": "foundry.execute.local:Pool",
}
"""Name → class, called with how many tasks it may run at once."""


@dataclass(frozen=True)
class Task:
    """Call `target` ("module:function") with (payload, line) in a process of its own.

    payload is JSON, small: data travels by path. Limits: wall_seconds since the process was made; stall_seconds
    without a `line.tell`; memory_bytes resident (what it shares with the forkserver included), 0 for none of our own.
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
    stopped on request, the forkserver gone, a disk that failed), or `killed` when that can't be told: the same task may
    be submitted again.
    """

    id: str
    result: dict[str, Any] | None = None
    reason: str | None = None
    detail: str = ""
    signal: int | None = None
    """What ended the worker, if a signal did."""
    seconds: float = 0.0
    missed_seconds: float = 0.0
    """Of its life, in which nobody was there to look: everything was stopped."""


Event = Started | Progress | Ended


class Executor(Protocol):
    """Runs tasks somewhere, and tells of their lives. Nothing starts before the first is submitted."""

    @property
    def busy(self) -> int:
        """Tasks that haven't ended: running and waiting."""
        ...

    @property
    def free(self) -> int:
        """Tasks more that would begin at once."""
        ...

    def submit(self, task: Task) -> None:
        """Queue a task. Raises RequestError when its id is under way already, or its payload isn't small JSON."""
        ...

    def stop(self, task_id: str) -> None:
        """Ask a task to save and return; after a while it is ended by force. Of an unknown id, nothing."""
        ...

    def poll(self, timeout: float | None = None) -> list[Event]:
        """What has happened, in order; waits up to `timeout` seconds for something (None: for as long as it takes, as
        long as there is something to wait for). Raises WorkError when nothing can be run."""
        ...

    def close(self) -> None:
        """End everything. Nothing of it runs when this returns."""
        ...


def executor(jobs: int, name: str = "") -> Executor:
    """The executor of that name, by default FOUNDRY_EXECUTOR's, else this machine. Raises RequestError."""
    asked = name or os.environ.get(VARIABLE) or "local"
    if asked not in EXECUTORS:
        raise RequestError("executor.unknown", VARIABLE, "no such executor", got=asked, choices=sorted(EXECUTORS))
    module, _, made = EXECUTORS[asked].partition(":")
    return getattr(importlib.import_module(module), made)(jobs)

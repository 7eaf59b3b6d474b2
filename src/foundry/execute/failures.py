"""Whose failure it is that a task ended without a result: the run's own, or the machine's: then it is run again."""

from __future__ import annotations

from foundry.core.errors import KILLED, LOST, REASONS, RunFailure, WorkError
from foundry.execute.executor import Ended

MAX_ATTEMPTS = 3
"""Of a task in one command that the machine keeps losing."""


def is_machines(ended: Ended) -> bool:
    """Whether it says nothing of the run, as far as can be told: it may be run again."""
    return ended.reason in (LOST, KILLED)


def failure(ended: Ended) -> RunFailure:
    """The run's own failure; code that is killed whenever it runs has taken too much."""
    return RunFailure(ended.reason if ended.reason in REASONS else "oom", ended.detail)


def given_up(what: str, ended: Ended) -> WorkError:
    """What the command ends with when the machine has lost a task as often as it may."""
    message = f"lost {MAX_ATTEMPTS} times, by no fault of its own: {ended.detail or 'nobody knows how'}"
    hint = "see to the machine (memory, disk, cache), then run the same command again: nothing was booked as a failure"
    return WorkError("run.lost", what, message, hint=hint)

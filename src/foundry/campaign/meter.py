"""What a campaign's command has begun, held against its limits before each run: a limit is a limit. May not: decide
what is run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, final

from foundry.campaign.policy import Limits
from foundry.campaign.state import State
from foundry.ledger.ledger import Ledger
from foundry.ledger.run_spec import RunSpec


class Paused(Exception):
    """The next run would pass a limit. What was begun is kept, and a later command goes on from there."""


@final
class Meter:
    """Counts since the last event on record; each event takes the count with it. A run counts once, when it is begun,
    whatever it was for, how it ended, and how often the controller was killed meanwhile."""

    def __init__(self, ledger: Ledger, state: State, limits: Limits) -> None:
        self._ledger, self._state, self._limits = ledger, state, limits
        self.kept: Callable[[], int] = lambda: 0
        """Runs, about as dear as those so far, that are left to what comes at the end."""
        self._last = time.monotonic()
        self._begun: dict[str, float] = {}
        if state.session is not None and state.last_run is not None:  # killed: what it had begun since its last event
            self._begun = ledger.runs.begun_after(state.last_run)

    def allow(self, asks: Sequence[tuple[RunSpec, int]]) -> None:
        """These runs, each with its FLOPs, are about to be asked for. Raises Paused, before any is begun, where those
        that aren't finished yet would pass a limit."""
        for spec, cost in asks:
            if self._begun.get(spec.id) == 0.0:  # a killed controller had begun it, and it isn't known what it took
                self._begun[spec.id] = float(cost)
        new = {
            spec.id: float(cost)
            for spec, cost in asks
            if spec.id not in self._begun and not self._ledger.runs.is_over(spec.id)
        }
        runs, flops, seconds = self._state.spent
        runs += len(self._begun) + len(new)
        flops += sum(self._begun.values()) + sum(new.values())
        seconds += time.monotonic() - self._last
        kept = self.kept()
        more = 1 + kept / runs if runs else 1.0
        if new and not self._limits.hold(runs + kept, flops * more, seconds * more):
            raise Paused
        self._begun |= new

    def taken(self) -> dict[str, Any]:
        """What goes into the event that is recorded now; the count begins anew."""
        now = time.monotonic()
        counted = {
            "runs": len(self._begun),
            "flops": sum(self._begun.values()),
            "seconds": now - self._last,
            "last_run": self._ledger.runs.last(),
        }
        self._begun, self._last = {}, now
        return counted

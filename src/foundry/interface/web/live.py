"""What the live page is told and when: a new page when the ledger has changed, a curve's new points as they come.

Where a reader is, is all in a cursor that it brings along: the state of the ledger that it has seen, and how much of
each running run's losses. So a server that was killed and started again goes on where it was. May not: know HTTP.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from typing import NamedTuple, final

from foundry.interface.web import curves, page, views
from foundry.interface.web.views import Look

FRESH_SECONDS = 1.0
"""A page is made no oftener than this, and takes no more than a quarter of the time."""
LOOK_SECONDS = 5.0
"""So often it is made anew without a change on record: a process that was killed writes none."""


class Event(NamedTuple):
    name: str
    data: str
    cursor: Cursor
    """Where its reader is with it."""


class Cursor(NamedTuple):
    """seen: the state of the ledger; read: bytes of running runs' losses."""

    seen: str
    read: dict[str, int]

    def __str__(self) -> str:
        return f"{self.seen};" + ",".join(f"{run}:{at:x}" for run, at in sorted(self.read.items()))

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The inverse of `str`; of any other text the one that has seen nothing."""
        if not re.fullmatch(r"[0-9a-f.-]{1,120};([0-9a-f]{32}:[0-9a-f]{1,12}(,|$)){0,64}", text):
            return cls("", {})
        seen, _, rest = text.partition(";")
        return cls(seen, {run: int(at, 16) for run, _, at in (each.partition(":") for each in rest.split(",") if each)})


class Seen(NamedTuple):
    look: Look
    state: str
    text: str
    """The page as JSON."""


@final
class Watch:
    """One campaign's page, made once for all who look."""

    def __init__(self, campaign: str | None) -> None:
        self.campaign = campaign
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._stamp, self._made, self._took = "", 0.0, 0.0

    def seen(self) -> Seen:
        """The page as it is, or was a moment ago. Raises FoundryError."""
        with self._lock:
            age, stamp = time.monotonic() - self._made, views.stamp()
            changed = age > max(FRESH_SECONDS, 4 * self._took) and stamp != self._stamp
            if self._seen is None or changed or age > max(LOOK_SECONDS, 4 * self._took):
                begun = time.monotonic()
                look = views.look(self.campaign)
                alive = repr(([run.run for run in look.page.running], look.page.loop.alive)).encode()
                state = f"{stamp}.{zlib.crc32(alive):x}"
                self._seen = Seen(look, state, page.to_text({"page": look.page.to_dict()}))
                self._made = time.monotonic()
                self._stamp, self._took = stamp, self._made - begun
            return self._seen

    def first(self) -> tuple[str, str]:
        """The page as JSON, and the cursor of who has it."""
        seen = self.seen()
        return seen.text, str(Cursor(seen.state, seen.look.read))

    def news(self, cursor: Cursor) -> list[Event]:
        """What has come since. Raises FoundryError."""
        seen, told = self.seen(), []
        if seen.state != cursor.seen:
            known = {run: cursor.read.get(run, at) for run, at in seen.look.read.items()}
            cursor = Cursor(seen.state, known)
            told.append(Event("page", seen.text, cursor))
        for run in seen.look.page.running:
            points = curves.read(run.run, cursor.read.get(run.run, 0))
            if points.end == cursor.read.get(run.run) or not points.steps:
                continue
            cursor = cursor._replace(read={**cursor.read, run.run: points.end})
            done = int(points.steps[-1] * points.per_step)
            found = {
                "run": run.run,
                "steps": points.steps,
                "losses": [round(loss, 5) for loss in points.losses],
                "of_steps": round(run.budget_tokens / points.per_step) if points.per_step else None,
                "tokens": done,
                "eta_seconds": max(0.0, points.seconds * (run.budget_tokens - done) / done) if done else None,
            }
            told.append(Event("curve", page.to_text(found), cursor))
        return told

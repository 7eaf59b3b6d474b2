"""`foundry track`: what runs have left since the last time, sent to a tracker, once or until it is interrupted.

Of each run a cursor in `INTO/.foundry/` says what was sent. It is written after the points, so a kill between the two
leaves points that it doesn't know of: the tracker's own last step counts then, and where it can't tell, its last
batch is sent again with the same run and steps. May not: write anything of a run or the ledger, or import torch.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, final

from foundry.core import places
from foundry.core.errors import FoundryError, RequestError, WorkError, shown
from foundry.core.files import write_atomic
from foundry.documents.underway import Tracked
from foundry.interface.track.runs import Row, batches, rows, whole
from foundry.interface.track.tracker import Run, Tracker, load
from foundry.interface.web import views
from foundry.ledger.lease import is_alive
from foundry.ledger.queries import reading

TURN_SECONDS = 2.0


class Cursor(NamedTuple):
    """at: where in its losses the line of `step` began, the last that was sent; state: what the tracker knows of the
    rest."""

    at: int = 0
    step: int = 0
    state: str = ""


def track(name: str, into: Path | None, follow: bool, say: Callable[[str], None]) -> Tracked:
    """Send what is new; with `follow` for ever. Raises FoundryError."""
    kind = load(name)
    into = (into or places.runs() / "track" / name).absolute()
    with _alone(into):
        export = Export(kind, name, into)
        try:
            while True:
                before = export.points
                export.once(follow)
                if not follow:
                    return export.document()
                if export.points > before:
                    say(f"{name}: {export.points - before:,} points")
                time.sleep(TURN_SECONDS)
        finally:
            export.close()


@final
class Export:
    """What was sent to one tracker, and the places of runs that somebody trains now, which stay open."""

    def __init__(self, kind: type[Tracker], name: str, into: Path) -> None:
        self.kind, self.name, self.into = kind, name, into
        self.points = self.of_runs = 0
        self._sent: set[str] = set()
        self._cursors: dict[str, Cursor] = {}
        self._open: dict[str, tuple[Tracker, Row, Run]] = {}
        self._stamp = ""

    def once(self, stay: bool = False) -> None:
        """Send what is new. stay: keep open the places of runs that somebody trains."""
        stamp = views.stamp()
        if stamp == self._stamp and all(is_alive(row.values["owner"]) for _, row, _ in self._open.values()):
            for _, row, run in list(self._open.values()):  # nothing else can have changed
                with self._explained(row.run):
                    self._send(row, run, stay)
            return
        with reading() as file:
            self._stamp, self.of_runs = stamp, 0
            for row in rows(file) if file is not None else ():
                self.of_runs += 1
                if row.alive or row.run in self._open or self._cursor(row.run).state != row.state:
                    assert file is not None
                    with self._explained(row.run):
                        self._send(row, whole(file, row), stay)

    def close(self) -> None:
        """Leave the open places as they are."""
        for tracker, _, run in self._open.values():
            with contextlib.suppress(Exception):  # whatever it is, the next time begins where the cursor is
                tracker.finish(run)
        self._open.clear()

    def document(self) -> Tracked:
        return Tracked(
            tracker=self.name, into=str(self.into), runs=len(self._sent), points=self.points, of_runs=self.of_runs
        )

    def _send(self, row: Row, run: Run, stay: bool) -> None:
        cursor = self._cursor(row.run)
        if row.run in self._open:
            tracker = self._open.pop(row.run)[0]
        else:
            tracker = self.kind(self.into)
            held = tracker.begin(run)
            if held is not None and held != cursor.step:
                cursor = Cursor(0, held)
        for points, at, step in batches(row.run, cursor.at, cursor.step):
            tracker.points(points)
            cursor = self._keep(row.run, cursor._replace(at=at, step=step))
            self.points += len(points)
            self._sent.add(row.run)
        if row.alive and stay:
            self._open[row.run] = tracker, row, run
            return
        tracker.finish(run)
        if cursor.state != row.state:
            self._keep(row.run, cursor._replace(state=row.state))
            self._sent.add(row.run)

    def _file(self, run: str) -> Path:
        return self.into / ".foundry" / f"{run}.json"

    def _cursor(self, run: str) -> Cursor:
        """That of a run; of one whose file isn't there, or isn't one, that of nothing sent."""
        if run not in self._cursors:
            self._cursors[run] = Cursor()
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                read: Any = json.loads(self._file(run).read_text())
                if all(type(read[key]) is int and read[key] >= 0 for key in ("at", "step")):
                    self._cursors[run] = Cursor(read["at"], read["step"], str(read["state"]))
        return self._cursors[run]

    def _keep(self, run: str, cursor: Cursor) -> Cursor:
        write_atomic(self._file(run), json.dumps(cursor._asdict()))
        self._cursors[run] = cursor
        return cursor

    @contextlib.contextmanager
    def _explained(self, run: str) -> Iterator[None]:
        """Whatever a tracker's package raises, as one line."""
        try:
            yield
        except (FoundryError, OSError, MemoryError):
            raise
        except Exception as error:
            message = f"{self.name} refused it: {type(error).__name__}: {shown(str(error), 300)}"
            raise WorkError("track.failed", run, message, hint="the same command goes on from here") from error


@contextlib.contextmanager
def _alone(into: Path) -> Iterator[None]:
    """Be the one exporter into a folder. Raises RequestError where another is."""
    (into / ".foundry").mkdir(parents=True, exist_ok=True)
    with open(into / ".foundry" / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "stop it, or give another --into"
            raise RequestError("track.busy", str(into), "another `foundry track` sends there", hint=hint) from None
        yield

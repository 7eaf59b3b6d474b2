"""Stopping a process that works on a ledger, from another: it ends as by Ctrl-C, and says who asked. May not: end one
that isn't the one that was meant.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.core.files import write_atomic
from foundry.ledger.lease import Owner

LOOK_SECONDS = 0.05


def stop(owner: Owner, by: str, seconds: float) -> bool:
    """Ask that process to end; whether it has, within so many seconds. Raises WorkError for one that is gone, or that
    another user has, RequestError for this process."""
    if owner == Owner.me():
        raise RequestError("stop.myself", str(owner.pid), "that is this process", hint="interrupt it")
    gone = WorkError("stop.gone", str(owner.pid), "it has ended meanwhile", hint="foundry ps")
    try:
        handle = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        raise gone from None
    try:
        if not owner.alive:  # after the handle is there: the number can't become another's any more
            raise gone
        write_atomic(_note(owner), by)
        signal.pidfd_send_signal(handle, _heard(owner.pid))
    except ProcessLookupError:
        raise gone from None
    except PermissionError:
        _note(owner).unlink(missing_ok=True)
        message = "it is another user's"
        raise WorkError("stop.forbidden", str(owner.pid), message, hint="ask whoever started it") from None
    finally:
        os.close(handle)
    deadline = time.monotonic() + seconds
    while owner.alive and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return not owner.alive


def asked() -> str:
    """Who asked this process to end; empty where nobody did."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        note = _note(Owner.me())
        text = note.read_text()
        note.unlink()
        return text
    return ""


def _note(owner: Owner) -> Path:
    return places.runs() / "stopped" / f"{owner.pid}-{owner.started}"


def _heard(pid: int) -> signal.Signals:
    """SIGINT where it is caught: a notebook lives on. A program in the background ignores it, and catches SIGTERM."""
    caught = next(
        (int(line.split()[1], 16) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line),
        0,
    )
    return signal.SIGINT if caught >> (signal.SIGINT - 1) & 1 else signal.SIGTERM

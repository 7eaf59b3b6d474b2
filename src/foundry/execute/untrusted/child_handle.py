"""A process inside the sandbox as its harness sees it: what it says, how it is ended, how it ended.

Everything that it says is a claim. May not: import workspace code.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from foundry.core.attended import LOOK_SECONDS, Attended
from foundry.core.errors import LOST, REASONS, Killed, RunFailure
from foundry.execute.json_socket import Wire
from foundry.execute.linux import kills_for_memory
from foundry.execute.untrusted.batch_feed import Block
from foundry.execute.untrusted.child_main import Order, policy_for, start
from foundry.sandbox import passed_on

PRINTED_BYTES = 1 << 20
"""Of what it prints, kept in its harness's log."""
_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED of <linux/posix-timers.h>: (~pid << 3 | 2) is the CPU clock of a process
START_SECONDS = 120.0
"""Longest that a Python with torch may take to stand: on a busy machine over five have been seen."""


@final
class ChildHandle:
    """The process inside: what it says, and how it ended."""

    def __init__(
        self,
        target: str,
        payload: dict[str, Any],
        folder: Path,
        workspace: Path,
        tier: str,
        memory_bytes: int,
        block: Block | None = None,
        printed: Path | None = None,
    ) -> None:
        """printed: a file for what it prints, up to a bound; otherwise that goes where this process prints."""
        places = {"FOUNDRY_CACHE": folder, "HOME": folder, "TMPDIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
        env = passed_on(FOUNDRY_WORKSPACE=str(workspace), **{name: str(place) for name, place in places.items()})
        # what is only measured or checked names no device, and is computed on the processor
        policy = policy_for(folder, workspace, memory_bytes, env, payload.get("device", "cpu"))
        order = Order(target, payload, policy, tier)
        ours, theirs = socket.socketpair()
        self._prints, page = os.pipe()  # not the file itself, whose name would say why it runs
        os.set_blocking(self._prints, False)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._kills_before = kills_for_memory()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            start(order, theirs, page, block, parent)
        theirs.close()
        os.close(page)
        self.wire = Wire(ours)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._printed, self._room_bytes = 1 if printed is None else os.open(printed, flags, 0o600), PRINTED_BYTES
        self._innermost: int | None = None
        self.begun: float | None = None
        """Its CPU clock when it was about to import the code: what it had run until then is ours. None before that."""
        self.cpu_seconds: float | None = 0.0
        """Of all its threads; once it has ended None, if it was gone before that could be read."""
        self.messages: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}
        self.exit_code: int | None = None

    @property
    def open(self) -> bool:
        return self.wire.open and not self.last

    def hear(self, seconds: float) -> None:
        """Wait so long for something; what was said is in `messages`, the last word in `last`."""
        ready = select.select([self.wire.socket, *([self._prints] if self._prints >= 0 else [])], [], [], seconds)[0]
        if self._prints in ready:
            self._take_print()
        if self.wire.socket not in ready:
            return
        try:
            heard = self.wire.receive()
        except (ValueError, RecursionError) as error:
            raise RunFailure("crash", f"unreadable words from the sandbox: {error}") from None
        if heard and self._innermost is None:
            self._innermost = _innermost(self.pid)
            self.begun = heard[0].get("tell", {}).get("begun")  # the first word is ours, none after it is
        for message in heard:
            if message.keys() & {"result", "failure"}:
                self.last = self.last or message
            else:
                self.messages.append(message)

    def await_start(self, tell: Callable[[], None]) -> None:
        """Until its Python stands and is about to import the code: on a busy machine that may take long, and is
        nobody's lateness, so `tell` is called meanwhile."""
        clock = Attended()
        deadline = clock.now() + START_SECONDS
        while self.open and not self.messages and clock.now() < deadline:
            self.hear(LOOK_SECONDS)
            tell()

    def hear_out(self, seconds: float, tell: Callable[[], None] = lambda: None) -> bool:
        """Hear all that it says, for so many attended seconds at most, then end it; whether it was cut short. `tell` is
        called meanwhile."""
        clock = Attended()
        deadline = clock.now() + seconds
        try:
            while self.open and clock.now() < deadline:
                self.hear(LOOK_SECONDS)
                tell()
        finally:
            cut_short = self.open
            self.end()
        return cut_short

    def ask_to_stop(self) -> None:
        """By a signal to the process itself: what bubblewrap puts around it passes none on."""
        with contextlib.suppress(OSError):
            os.kill(self.innermost, signal.SIGTERM)

    @property
    def innermost(self) -> int:
        """The process itself, and not what bubblewrap puts around it; known once it has said something."""
        return self._innermost or _innermost(self.pid)

    def look_at_its_clock(self) -> float | None:
        """The CPU seconds that it has used, of which it is told nothing and can take nothing back."""
        try:
            self.cpu_seconds = time.clock_gettime(~self.innermost << 3 | _PROCESS_CLOCK)
        except OSError:
            self.cpu_seconds = None
        return self.cpu_seconds

    def _take_print(self) -> None:
        """What it has printed so far, beyond the bound dropped: it never waits for room."""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._prints, 1 << 20)
            if not said:  # nobody is left who could print
                os.close(self._prints)
                self._prints = -1
            elif self._room_bytes:
                self._room_bytes -= os.write(self._printed, said[: self._room_bytes])

    def end(self) -> None:
        """Kill it, whatever it is doing, and take it off the table."""
        if self.exit_code is None:
            self.look_at_its_clock()
            if not self.last and not self.wire.open:  # it hung up: let it say by its exit code how it ended
                _wait_until_dead(self.pid)
            os.kill(self.pid, signal.SIGKILL)
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.wire.close()
            if self._prints >= 0:
                self._take_print()
            for handle in (self._prints, self._printed):
                if handle > 2:
                    os.close(handle)

    def result(self) -> dict[str, Any]:
        """What it returned. Raises RunFailure for what it says failed, or for how it ended."""
        match self.last:
            case {"result": dict(result)}:
                return result
            case {"failure": [str(reason), str(detail)]} if reason in REASONS:
                raise RunFailure(reason, printable(detail))
            case {"failure": [str(reason), str(detail)]} if reason == LOST:  # inside, the machine is the code's own
                raise RunFailure("crash", printable(detail))
        code = self.exit_code or 0
        code = 128 - code if code > 128 else code  # as bubblewrap tells of a signal
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"
        if -code == signal.SIGKILL and kills_for_memory() > self._kills_before:  # else it did that itself
            raise Killed(f"the process of the model's code {how}")
        raise RunFailure("timeout" if -code == signal.SIGXCPU else "crash", f"the process of the model's code {how}")


def _innermost(pid: int) -> int:
    """The end of a chain of only children: `pid` itself where it has none. (Inside, nothing can be started.)"""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _innermost(int(children[0])) if children else pid


def printable(text: str) -> str:
    """One line that a terminal can show, whatever was put in."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())


def _wait_until_dead(pid: int) -> None:
    """Until it is a zombie, a second at most."""
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [], 1.0)
    finally:
        os.close(handle)

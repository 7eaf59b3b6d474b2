"""The controller's side of the warm process: starting it, asking it for workers, noticing its death. One pool's.

May not: know of tasks' limits or results.
"""

from __future__ import annotations

import math
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, final

from foundry.core.attended import Attended
from foundry.core.errors import WorkError
from foundry.execute.executor import Task
from foundry.execute.json_socket import encode, receive_packet, send_packet
from foundry.execute.zygote import ENVIRONMENT

START_SECONDS = 120.0
MAX_FAILED_STARTS = 3
_END_SECONDS = 2.0


@final
class Nursery:
    """One warm process at a time, started in the background and again when it dies."""

    def __init__(self, preload: Sequence[str], selector: selectors.BaseSelector, clock: Attended) -> None:
        if not sys.platform.startswith("linux"):
            raise WorkError("pool.platform", sys.platform, "workers need Linux", hint="run it on Linux, or in a VM")
        self._preload, self._selector, self._clock = tuple(preload), selector, clock
        self._failed_starts = 0
        self._unfit = self._last_words = ""
        self._start()

    def _start(self) -> None:
        self.ready = self.lost = False
        self._started = self._clock.now()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        with theirs:
            self._process = subprocess.Popen(
                # -P: a file of the working directory never stands in for a library's module
                [sys.executable, "-P", "-m", "foundry.execute.zygote", str(theirs.fileno()), *self._preload],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C in a terminal is the controller's alone
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self._selector.register(self._control, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def due(self) -> float:
        """When a start that has said nothing is given up."""
        return math.inf if self.ready else self._started + START_SECONDS

    @staticmethod
    def order(serial: int, task: Task) -> bytes:
        """The message that asks for a worker. Raises ValueError or TypeError for a payload that isn't JSON."""
        return encode(
            {
                "serial": serial,
                "target": task.target,
                "payload": task.payload,
                "log": os.fspath(task.log.absolute()),
                "data_bytes": task.memory_bytes if task.limit_data else 0,
            }
        )

    def ask(self, serial: int, task: Task, line: socket.socket) -> None:
        """Ask for a worker that talks over `line`. A warm process that is gone is noticed by `listen`."""
        try:
            send_packet(self._control, self.order(serial, task), line.fileno())
        except ConnectionError:
            self.lost = True

    def listen(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Every message that has arrived, with the file descriptors that came with it; sets `lost` at the end."""
        while not self.lost:
            try:
                message, handles = receive_packet(self._control, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.lost = self._clock.now() >= self.due()
                return
            if message is None:
                self.lost = True
            elif "ready" in message:
                self.ready, self._failed_starts = True, 0
            elif "unfit" in message:
                self._unfit = message["unfit"]
            else:
                yield message, handles

    def restart(self) -> str:
        """Start another in place of one that is lost; what became of that one. Raises WorkError when it never works."""
        self._failed_starts += not self.ready
        self._end(wait_seconds=0.0)
        if self._unfit or self._failed_starts >= MAX_FAILED_STARTS:
            raise WorkError("pool.warm_process", "", self._unfit or self._last_words or "it ended before it was ready")
        self._start()
        return "the warm process ended"

    def close(self) -> None:
        """End the warm process and all its workers. Closing again does nothing."""
        self._end(wait_seconds=_END_SECONDS if self.ready else 0.0)

    def _end(self, wait_seconds: float) -> None:
        """Hang up, upon which it kills its workers and ends; kill it when it doesn't."""
        if self._control.fileno() < 0:
            return
        self._selector.unregister(self._control)
        self._control.close()
        try:
            self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._errors:
            self._errors.seek(0)
            self._last_words = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]

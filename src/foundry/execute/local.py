"""A pool of worker processes; what one of them does to itself stays with it. May not: write the ledger.

    with Pool(jobs=2) as pool:
        pool.submit(Task("a", "package.module:main", {"x": 1}, Path("a.log"), wall_seconds=60))
        for event in pool.poll(timeout=1.0): ...

Limits are kept while `poll` is called; it wakes by itself for each that is due. Time in which nobody could look, this
process or the machine being stopped, counts for no limit. One thread's. Linux only.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import socket
import stat
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from typing import Any, Self, final

from foundry.core import places
from foundry.core.attended import LOOK_SECONDS, Attended
from foundry.core.errors import KILLED, LOST, REASONS, RequestError, WorkError
from foundry.execute import forkserver, worker
from foundry.execute.executor import Ended, Event, Progress, Started, Task
from foundry.execute.json_socket import Wire, encode
from foundry.execute.linux import kills_for_memory, resident_bytes

KILL_SECONDS = 2.0  # a killed worker that isn't reported dead by then is given up: the kernel keeps it
MEMORY_LOOK_SECONDS = 0.2
MAX_PAYLOAD_BYTES = 128 << 10
LOG_TAIL_BYTES = 2000


@dataclass
class _Running:
    """A task on its way. Times are the pool's attended clock's."""

    task: Task
    wire: Wire
    process: ForkServerProcess
    pid: int
    pidfd: int
    """-1 of one that was gone before it could be opened."""
    log_start: int
    missed_before: float
    """Seconds in which nobody could look."""
    kills_before: int
    """Those that the kernel had done for want of memory."""
    asked: float
    forked: float
    heard: float
    message: dict[str, Any] | None = None
    """The last one: a result or a failure."""
    garbled: str = ""
    stop_at: float = math.inf
    """When a worker that was asked to stop is killed."""
    killed: float = math.inf
    why: tuple[str, str] | None = None
    """Reason and detail of our killing it."""

    def due(self, now: float) -> float:
        """When it must be looked at next, whether or not it says anything."""
        if self.why is not None:
            return self.killed + KILL_SECONDS
        limits = [self.forked + self.task.wall_seconds, self.heard + self.task.stall_seconds, self.stop_at]
        if self.task.memory_bytes:
            limits.append(now + MEMORY_LOOK_SECONDS)
        return min(limits)

    def overdue(self, now: float) -> tuple[str, str] | None:
        """Why it must be killed now, if it must."""
        task = self.task
        if self.garbled:
            return "crash", self.garbled
        if now >= self.stop_at:
            return LOST, "stopped on request, by force"
        if now >= self.forked + task.wall_seconds:
            return "timeout", f"still running after {task.wall_seconds:g} s"
        if now >= self.heard + task.stall_seconds:
            return "timeout", f"no sign of life for {task.stall_seconds:g} s"
        if task.memory_bytes and (used := resident_bytes(self.pid)) > task.memory_bytes:
            return "oom", f"{used >> 20} MiB resident, the limit is {task.memory_bytes >> 20} MiB"
        return None


@final
class Pool:
    """At most `jobs` tasks at once, the others wait in order. A context manager: leaving it kills what still runs."""

    def __init__(self, jobs: int, preload: Sequence[str] = forkserver.PRELOAD, grace_seconds: float = 10.0) -> None:
        """preload: modules that the forkserver imports if this pool starts it, with its first task. grace_seconds: from
        `stop` to force. Raises RequestError for jobs < 1."""
        if jobs < 1:
            raise RequestError("pool.jobs", "jobs", "at least 1", got=jobs)
        self.jobs, self.preload, self.grace_seconds = jobs, preload, grace_seconds
        self._waiting: deque[Task] = deque()
        self._running: dict[int, _Running] = {}  # by serial: a task that is submitted again is another serial
        self._events: list[Event] = []
        self._serial = 0
        self._selector = selectors.DefaultSelector()
        self._clock = Attended()  # while this process can't look, nobody's time runs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def busy(self) -> int:
        return len(self._running) + len(self._waiting)

    @property
    def free(self) -> int:
        return max(0, self.jobs - self.busy)

    def submit(self, task: Task) -> None:
        """For `poll` to start. Raises WorkError where there is no Linux, too."""
        if task.id in self._ids():
            raise RequestError("pool.duplicate", task.id, "already in the pool")
        try:
            size = len(encode(task.payload))
        except (ValueError, TypeError, RecursionError) as error:
            raise RequestError("pool.payload", task.id, f"the payload is not JSON: {error}") from None
        if size > MAX_PAYLOAD_BYTES:
            raise RequestError("pool.payload", task.id, f"{size} bytes of payload; at most {MAX_PAYLOAD_BYTES}")
        forkserver.begin(self.preload)
        self._waiting.append(task)

    def stop(self, task_id: str) -> None:
        """After the grace it is killed. A waiting one ends at once."""
        for task in [task for task in self._waiting if task.id == task_id]:
            self._waiting.remove(task)
            self._events.append(Ended(task.id, reason=LOST, detail="stopped before it started"))
        for running in self._running.values():
            if running.task.id == task_id and running.stop_at == math.inf:
                running.stop_at = self._clock.now() + self.grace_seconds
                self._signal(running, signal.SIGTERM)

    def poll(self, timeout: float | None = None) -> list[Event]:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._listen(0)
        while True:
            self._keep_limits()
            self._start_waiting()
            left = deadline - time.monotonic()
            if self._events or left <= 0 or (timeout is None and not self.busy):
                events, self._events = self._events, []
                return events
            now = self._clock.now()
            due = min([math.inf, *(running.due(now) for running in self._running.values())])
            self._listen(max(0.0, min(left, due - now, LOOK_SECONDS)))

    def close(self) -> None:
        self._waiting.clear()
        for running in self._running.values():
            self._signal(running, signal.SIGKILL)
        for running in self._running.values():
            running.process.join(KILL_SECONDS)
            self._forget(running)
        self._running.clear()
        self._selector.close()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self.jobs:
            task, asked = self._waiting[0], self._clock.now()
            log_start, missed, kills_before = _prepared_log(task), self._clock.missed_seconds, kills_for_memory()
            order = {
                "target": task.target,
                "payload": task.payload,
                "environment": forkserver.environment(),
                "folder": os.fspath(places.root().absolute()),
                "log": os.fspath(task.log.absolute()),
                "data_bytes": task.memory_bytes if task.limit_data else 0,
            }
            ours, theirs = socket.socketpair()
            with theirs:
                process = forkserver.fork(self.preload, worker.run, order, theirs)
            self._waiting.popleft()
            self._serial += 1
            assert process.pid is not None
            pidfd, now = _pidfd(process.pid), self._clock.now()
            running = _Running(
                task, Wire(ours), process, process.pid, pidfd, log_start, missed, kills_before, asked, now, now
            )
            self._running[self._serial] = running
            for end in (ours, process.sentinel):
                self._selector.register(end, selectors.EVENT_READ, self._serial)

    def _listen(self, timeout: float) -> None:
        """Take in every message that is there, waiting for the first up to `timeout`."""
        for key, _ in self._selector.select(timeout):
            if key.data not in self._running:  # its end was told just before
                continue
            if key.fileobj is not self._running[key.data].wire.socket:
                self._end(key.data)
            elif self._running[key.data].wire.open:
                self._hear(key.data)

    # -- one worker -----------------------------------------------------------------------------------------------

    def _hear(self, serial: int) -> None:
        """Take in what a worker has said."""
        running = self._running[serial]
        try:
            messages = running.wire.receive()
        except ValueError as error:
            messages, running.wire.open = [], False
            running.garbled = f"unreadable message from the worker: {error}"
        for message in messages:
            running.heard = self._clock.now()
            match message:
                case {"tell": dict(facts)}:
                    self._events.append(Progress(running.task.id, facts))
                case {"started": float(at)}:
                    self._events.append(Started(running.task.id, running.pid, self._clock.at(at) - running.asked))
                case _ if running.message is None:
                    running.message = message
        if not running.wire.open:
            self._selector.unregister(running.wire.socket)

    def _keep_limits(self) -> None:
        for serial, running in list(self._running.items()):
            now = self._clock.now()
            if running.why is None:
                running.why = running.overdue(now)
                if running.why is not None:
                    running.killed = now
                    self._signal(running, signal.SIGKILL)
            elif now >= running.killed + KILL_SECONDS:
                self._end(serial)

    def _signal(self, running: _Running, number: int) -> None:
        """Through its pidfd: never to a process that merely has the same number."""
        if running.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # it has ended; the forkserver is about to say so
                signal.pidfd_send_signal(running.pidfd, number)

    def _end(self, serial: int) -> None:
        """The worker is gone: take in its last words, kill what it left behind, and say how it ended."""
        running = self._running[serial]
        if running.wire.open:
            self._hear(serial)
        del self._running[serial]
        code = running.process.exitcode
        if code == forkserver.UNREPORTED and forkserver.is_dead():
            code, running.why = None, running.why or (LOST, "the forkserver ended")
        seconds = max(0.0, self._clock.now() - running.forked)
        self._forget(running)
        result, reason, detail = _verdict(running, code)
        signal_ = -code if code is not None and code < 0 else None
        missed = self._clock.missed_seconds - running.missed_before
        self._events.append(Ended(running.task.id, result, reason, detail, signal_, seconds, missed))

    def _forget(self, running: _Running) -> None:
        """Close what is held of a worker, and kill its group and whoever left the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
            os.killpg(running.pid, signal.SIGKILL)
        forkserver.kill_strays()
        if running.wire.open:
            self._selector.unregister(running.wire.socket)
        self._selector.unregister(running.process.sentinel)
        running.wire.close()
        forkserver.forget(running.process)
        if running.pidfd >= 0:
            os.close(running.pidfd)

    def _ids(self) -> set[str]:
        return {task.id for task in self._waiting} | {running.task.id for running in self._running.values()}


def _verdict(running: _Running, exit_code: int | None) -> tuple[dict[str, Any] | None, str | None, str]:
    """(result, reason, detail): what the worker said itself, else what was done to it, else how it died."""
    match running.message:
        case {"result": dict(result)}:
            return result, None, ""
        case {"failure": [str(reason), str(detail)]} if reason == KILLED and not _by_the_kernel(running):
            return None, "crash", f"{detail}, and not by the kernel for want of memory"
        case {"failure": [str(reason), str(detail)]} if reason in (*REASONS, LOST, KILLED):
            return None, reason, detail
        case dict(message):
            return None, "crash", f"neither a mapping nor a failure came back: {message!r:.80}"
    if running.why is not None:
        return None, *running.why
    assert exit_code is not None
    if exit_code == -signal.SIGKILL and _by_the_kernel(running):
        return None, KILLED, "killed by the kernel, which was short of memory"
    if exit_code == -signal.SIGKILL:
        return None, LOST, "killed from outside"
    if exit_code == -signal.SIGBUS:
        return None, LOST, "SIGBUS: a file that it had mapped was cut, or memory failed"
    if exit_code == -signal.SIGTERM and running.stop_at < math.inf:
        return None, LOST, "stopped before it began"
    how = f"exit code {exit_code} without a result" if exit_code >= 0 else f"signal {_signal_name(-exit_code)}"
    return None, "crash", f"{how}\n{_log_tail(running)}".strip()


def _by_the_kernel(running: _Running) -> bool:
    """Whether the kernel has killed something for memory meanwhile. Else it was by its own hand, and would be again."""
    return kills_for_memory() > running.kills_before


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has none
        return str(number)


def _prepared_log(task: Task) -> int:
    """Make the log's folder; how many bytes of the log are from earlier attempts. Raises WorkError."""
    try:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        return task.log.stat().st_size if task.log.is_file() else 0
    except OSError as error:
        hint = "check the disk's space and permissions"
        raise WorkError("pool.log", str(task.log), str(error.strerror), hint=hint) from None


def _log_tail(running: _Running) -> str:
    """The last lines that this attempt wrote to its log."""
    try:
        # The worker may have put anything in its log's place: no link is followed, no pipe is waited for.
        with open(os.open(running.task.log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ""
            file.seek(max(running.log_start, status.st_size - LOG_TAIL_BYTES))
            text = file.read(LOG_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-5:])

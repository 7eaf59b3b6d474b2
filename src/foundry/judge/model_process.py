"""A contestant's process as the judge holds it: forked warm from this one, or born inside bubblewrap.

    python -P -m foundry.judge.model_process '{"job": {...}, "channels": [...], "reports": 9}'     (`_Nest` starts it)

Inside bubblewrap one cold process imports torch, once for a judging, and forks the contestants; each then confines
itself as a warm one does. May not: import the contestant's code, read judged text.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from foundry.core.attended import Attended, readable
from foundry.judge.channel import Channel
from foundry.judge.model_server import Job, serve
from foundry.sandbox import contestant_policy, wrap
from foundry.sandbox.reach import code_paths

_ORDER, _REPORT = struct.Struct("<Bd"), struct.Struct("<?id")
"""Which one, and how long to wait for its own end; whether that came, its exit code, the CPU seconds that it used."""
END_SECONDS = 10.0
PRELOAD = ("foundry.model", "foundry.train.checkpoint", "foundry.train.device")
"""What a contestant imports of ours, once before the forks."""


class Process(Protocol):
    @property
    def cpu_seconds(self) -> float:
        """Of all its threads, from its fork to its end; 0 before that, and where it isn't known."""
        ...

    def kill(self) -> None:
        """End it now. May be called twice."""
        ...

    def exit_code(self, seconds: float) -> int | None:
        """How it ended, negative for a signal; None when it is still there after so long."""
        ...


def start(job: Job, channels: Sequence[Channel]) -> Iterator[Process]:
    """A contestant for each channel. Use each before the next is asked for: a fork has what this process has."""
    if job.tier != "none":
        code_paths()  # found once, before the forks
    if job.tier != "bubblewrap":
        for channel in channels:
            yield _Forked(job, channel)
        return
    nest = _Nest(job, channels)
    for number in range(len(channels)):
        yield _Born(nest, number)


class _Forked:
    """From this process; must happen before judged text is read, and while there is one thread."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self._code: int | None = None
        self.cpu_seconds = 0.0
        self._pid = os.fork()
        if self._pid == 0:
            serve(job, channel)

    def kill(self) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._took(*os.wait4(self._pid, 0))

    def exit_code(self, seconds: float) -> int | None:
        clock = Attended()
        deadline = clock.now() + seconds
        while self._code is None:
            ended = os.wait4(self._pid, os.WNOHANG)
            if ended[0]:
                self._took(*ended)
            elif clock.now() > deadline:
                return None
            else:
                time.sleep(0.005)
        return self._code

    def _took(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        self._code, self.cpu_seconds = os.waitstatus_to_exitcode(status), _seconds(used)


class _Nest:
    """One bubblewrap with all contestants of a judging in it, each of which is ended by the process that forked it."""

    def __init__(self, job: Job, channels: Sequence[Channel]) -> None:
        policy = contestant_policy(job.checkpoint, job.device, job.threads)
        self._reports, theirs = os.pipe()
        order = {"job": job.to_json(), "channels": [channel.to_json() for channel in channels], "reports": theirs}
        self._process = subprocess.Popen(
            wrap([sys.executable, "-P", "-m", "foundry.judge.model_process", json.dumps(order)], policy),
            pass_fds=[theirs, *(handle for channel in channels for handle in channel.contestant_fds())],
            env=dict(policy.env),  # bubblewrap's own environment could be read inside
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        os.close(theirs)
        self._alive = set(range(len(channels)))
        self.cpu_seconds = [0.0] * len(channels)

    def end(self, number: int, patience: float) -> int | None:
        """How a contestant has ended, at the latest after so many seconds, by our hand; None where it is by ours."""
        if self._process.returncode is not None:
            return self._process.returncode
        self._alive.discard(number)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(_ORDER.pack(number, patience))
        if readable(self._reports, patience + END_SECONDS):
            report = os.read(self._reports, _REPORT.size)
            if len(report) == _REPORT.size:
                by_itself, code, self.cpu_seconds[number] = _REPORT.unpack(report)
                if not self._alive:
                    self.kill()
                return code if by_itself else None
        self.kill()  # all have ended, or it never came so far
        return self._process.returncode

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            os.close(self._reports)


class _Born:
    """One contestant in a nest."""

    def __init__(self, nest: _Nest, number: int) -> None:
        self._nest, self._number = nest, number
        self._ended, self._code = False, None

    @property
    def cpu_seconds(self) -> float:
        return self._nest.cpu_seconds[self._number]

    def kill(self) -> None:
        self.exit_code(0.0)

    def exit_code(self, seconds: float) -> int | None:
        if not self._ended:
            self._ended, self._code = True, self._nest.end(self._number, seconds)
        return self._code


def main() -> None:
    """Inside: fork the contestants, then end each when it is asked for, and report how it ended."""
    order = json.loads(sys.argv[1])
    job, reports = Job.from_json(order["job"]), order["reports"]
    for name in PRELOAD:
        importlib.import_module(name)
    code_paths()
    channels = [Channel.from_json(each) for each in order["channels"]]
    pids = [_fork(job, channel) for channel in channels]
    for channel in channels:
        for handle in channel.contestant_fds():
            os.close(handle)
    while len(asked := os.read(0, _ORDER.size)) == _ORDER.size:
        number, patience = _ORDER.unpack(asked)
        deadline = time.monotonic() + patience
        while not (ended := os.wait4(pids[number], os.WNOHANG))[0] and time.monotonic() < deadline:
            time.sleep(0.005)
        by_itself = bool(ended[0])
        if not by_itself:
            os.kill(pids[number], signal.SIGKILL)
            ended = os.wait4(pids[number], 0)
        os.write(reports, _REPORT.pack(by_itself, os.waitstatus_to_exitcode(ended[1]), _seconds(ended[2])))


def _seconds(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def _fork(job: Job, channel: Channel) -> int:
    pid = os.fork()
    if pid == 0:
        serve(job, channel)
    return pid


if __name__ == "__main__":
    main()

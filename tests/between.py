"""Two processes, confined alike, of which one does something and the other tries to notice it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.sandbox import confine, confinement
from foundry.sandbox.policy import Policy
from foundry.sandbox.syscalls import ARCHITECTURES, JUDGED_BY_ARGUMENT, OTHER_PROCESSES, SHARED_STATE

LIBC = ctypes.CDLL(None, use_errno=True)
COLUMN = ARCHITECTURES[platform.machine()][0] if confinement.available() else 0
BOTH_READ = Path(ctypes.__file__)


def call(name: str, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    number = {**OTHER_PROCESSES, **SHARED_STATE, **JUDGED_BY_ARGUMENT}[name][COLUMN]
    result = LIBC.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def between(act: Callable[[], None], look: Callable[[int], bool], policy: Policy | None) -> str:
    """What the reader says of what the writer does: `heard`, `nothing`, or how it was refused."""
    lines = os.pipe(), os.pipe()
    pids: list[int] = []
    for (_, out), work in zip(lines, (lambda: act() or time.sleep(30), lambda: look(pids[0])), strict=True):
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                try:
                    if policy is not None:
                        confine(policy)
                    said = "heard" if work() else "nothing"
                except (OSError, RuntimeError) as error:  # RuntimeError: a thread that can't be started
                    said = f"refused: {error}"
                os.write(out, said.encode())
            os._exit(0)
        pids.append(pid)
    said = os.read(lines[1][0], 1000).decode()
    os.kill(pids[0], 9)
    for pid in pids:
        os.waitpid(pid, 0)
    for end in (*lines[0], *lines[1]):
        os.close(end)
    return said


def comes(look: Callable[[], object], awaited: object) -> bool:
    """Whether this is seen within a while."""
    for _ in range(400):
        try:
            if look() == awaited:
                return True
        except (FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(0.005)
    return False

"""What Linux knows of processes and lets one ask of it: /proc and prctl. May not: decide anything."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def die_with_parent(parent: int) -> None:
    """Have this process killed when `parent`, its single-threaded parent, ends; at once when it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none gets out of sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """The pids of a process's children, zombies too; none of one that is gone. Of a process with one thread."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def thread_count() -> int:
    """Of this process."""
    return len(os.listdir("/proc/self/task"))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 of one that is gone."""
    return _statm(pid, 1)


def memory_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process and its children may use: the machine's memory, or the least that a control group above it
    allows (`memory.max` of version 2, `memory.limit_in_bytes` of version 1), as containers have it."""
    found = [os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES]
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
            inside = root / path.strip("/")  # not there where a container sees its own group as the root alone
            for group in (inside, *inside.parents):
                with contextlib.suppress(OSError, ValueError):  # "max": no limit
                    found.append(int((group / name).read_text()))
                if group == root:
                    break
    return min(found)


def data_bytes() -> int:
    """What of this process's address space RLIMIT_DATA counts."""
    return _statm(os.getpid(), 5)


def kills_for_memory() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it doesn't say."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("oom_kill", 0))


def _statm(pid: int, field: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[field]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))

"""Who holds a lease: a process that can be told from every other, and found dead, without asking it.

A pid alone is used again; (boot, pid, start time) is not. May not: be asked about a process on another machine or in
another pid namespace, which counts as dead (fencing keeps a wrong guess harmless).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """boot: id of this boot of the machine; started: the process's start in clock ticks since then."""

    boot: str
    pid: int
    started: int

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return _me()

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The inverse of `str`."""
        boot, pid, started = text.split(":")
        return cls(boot, int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.boot}:{self.pid}:{self.started}"

    @property
    def alive(self) -> bool:
        """Whether that very process still runs. A zombie doesn't."""
        return self.boot == _boot_id() and _started(self.pid) == self.started


def is_alive(owner: str | None) -> bool:
    """The same of an owner as the ledger keeps it; nobody isn't alive."""
    return owner is not None and Owner.parse(owner).alive


@lru_cache(maxsize=1)  # asked for each run that is claimed
def _me() -> Owner:
    return Owner(_boot_id(), os.getpid(), _started(os.getpid()) or 0)


os.register_at_fork(after_in_child=_me.cache_clear)


@lru_cache(maxsize=1)
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # no Linux: nobody can be told alive, and fencing alone protects
        return ""


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (man 5 proc), None for a process that is gone or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])

"""A lease: one process at a time works on a row of the ledger, until it gives the row back or is found dead.

Every taking raises the row's fence, and what is written under an older one changes nothing. A holder is found dead
without asking it: a pid alone is used again, (boot, pid, start time) is not. May not: be asked about a process on
another machine or in another pid namespace, which counts as dead (the fence keeps a wrong guess harmless).
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final


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
    def of(cls, pid: int) -> Owner:
        """The process of that number, of now; one that is dead already where there is none."""
        return cls(_boot_id(), pid, _started(pid) or 0)

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
    return Owner.of(os.getpid())


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


@final
class Leases:
    """Of the rows of a table with `owner` (NULL: nobody) and `fence`, within transactions of the caller's."""

    def __init__(self, table: str, key: str) -> None:
        self._table, self._key = table, key

    def take(
        self, write: sqlite3.Connection, row: Any, sets: str = "", holder: Owner | None = None, **values: Any
    ) -> int | None:
        """Take the row, for this process or another, changing what else `sets` says: the fence to show from now on.
        None while somebody alive holds it."""
        if is_alive(row["owner"]):
            return None
        write.execute(
            f"UPDATE {self._table} SET owner=:owner, fence=fence+1{sets} WHERE {self._key}=:key",
            {**values, "owner": str(holder or Owner.me()), "key": row[self._key]},
        )
        return row["fence"] + 1

    def give_back(self, write: sqlite3.Connection, key: Any, fence: int, sets: str = "", **values: Any) -> bool:
        """Let the row go, changing what else `sets` says. False, and nothing changes, where the lease was lost."""
        sql = f"UPDATE {self._table} SET owner=NULL{sets} WHERE {self._key}=:key AND fence=:fence AND owner IS NOT NULL"
        return write.execute(sql, {**values, "key": key, "fence": fence}).rowcount == 1

    def holds(self, write: sqlite3.Connection, key: Any, fence: int) -> bool:
        """Whether that fence is the holder's."""
        sql = f"SELECT 1 FROM {self._table} WHERE {self._key}=? AND fence=? AND owner IS NOT NULL"
        return write.execute(sql, (key, fence)).fetchone() is not None

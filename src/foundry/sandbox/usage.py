"""What a process and all that it started use now, from /proc: for a watchdog outside of them. May not: end them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENTRY_BYTES = 4096
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of a tree of processes together. memory_bytes: pages that are shared count once (proportional set size)."""

    processes: int = 0
    memory_bytes: int = 0
    cpu_seconds: float = 0.0


def usage(pid: int) -> Usage:
    """Of `pid` and its descendants; zeros when it is gone. A process that moved away from its parents isn't seen."""
    found = [_of_one(each) for each in _tree(pid)]
    return Usage(
        processes=sum(each.processes for each in found),
        memory_bytes=sum(each.memory_bytes for each in found),
        cpu_seconds=sum(each.cpu_seconds for each in found),
    )


def written_bytes(folder: Path) -> int:
    """Disk space of all that is below `folder`, a block at least for each entry, because disks run out of entries too.

    Links are not followed; what vanishes meanwhile counts nothing."""
    total = 0
    for base, folders, files, handle in os.fwalk(folder, follow_symlinks=False):
        del base
        for name in (*folders, *files):
            try:
                blocks = os.stat(name, dir_fd=handle, follow_symlinks=False).st_blocks
                total += max(blocks * 512, ENTRY_BYTES)
            except FileNotFoundError:
                continue
    return total


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from _tree(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return


def _of_one(pid: int) -> Usage:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] in "ZX":
            return Usage()
        cpu_seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        return Usage(1, _proportional_bytes(pid), cpu_seconds)
    except (FileNotFoundError, ProcessLookupError):
        return Usage()


def _proportional_bytes(pid: int) -> int:
    """Costs about a millisecond for a process with torch in it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0

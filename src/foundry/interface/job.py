"""The process of a job: `python -m foundry.interface.job JOB FENCE VERB …`, which jobs.py starts.

Its stdout is the job's result, its stderr the job's log. It does nothing where the ledger doesn't say that the job is
its own. May not: end without recording how, unless it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from foundry.interface import cli, jobs
from foundry.ledger.ledger import Ledger

LOG_BYTES = 1 << 20
"""Of the log, after which it is begun anew and the one before is kept beside it: `log.1`."""


class Bounded:
    """stderr, in a file that is begun anew before it grows for ever."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream, self._path = stream, path

    def write(self, text: str) -> int:
        self._stream.write(text)
        self._stream.flush()
        if os.fstat(self._stream.fileno()).st_size > LOG_BYTES:
            with contextlib.suppress(OSError):  # its folder is gone: the work goes on
                os.replace(self._path, self._path.with_name("log.1"))
                anew = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                os.dup2(anew, self._stream.fileno())
                os.close(anew)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def main(job: str, fence: int, command: Sequence[str]) -> int:
    with Ledger.open() as ledger:
        if not ledger.jobs.is_held(job, fence):
            return 0
    place = jobs.folder(job).absolute()
    sys.stderr = Bounded(sys.stderr, place / "log")
    code = cli.main([*command, "--json"])
    try:
        result = json.loads((place / "result.json").read_text())
    except (OSError, ValueError):  # it printed nothing, or its folder is gone
        result = None
    with Ledger.open() as ledger:
        ledger.jobs.end(job, fence, code, result)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))

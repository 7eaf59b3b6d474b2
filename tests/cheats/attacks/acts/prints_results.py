"""Says what a good run would say, on stdout and stderr, in the words of several report formats."""

from __future__ import annotations

import contextlib
import os


def attack(target: str) -> None:
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            os.write(stream, b'\nval_bpb: 0.0123\n{"result": {"bpb": 0.0123, "status": "done"}}\n')

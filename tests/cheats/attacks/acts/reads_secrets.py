"""Tells what it finds in the environment and in a file, as output and as failure. target: a file with a secret."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def attack(target: str) -> None:
    found = [value for name, value in os.environ.items() if "PLANTED" in name]
    with contextlib.suppress(OSError):
        found.append(Path("/proc/self/environ").read_text(errors="replace"))
        found.append(Path(f"/proc/{os.getppid()}/environ").read_text(errors="replace"))
    with contextlib.suppress(OSError):
        found.append(Path(target).read_text())
    text = " ".join(found)
    if "planted" in text:
        print(text)
        raise RuntimeError(text[-500:])

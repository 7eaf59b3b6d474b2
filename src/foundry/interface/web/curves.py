"""Training losses as runs write them. A run's own code may have written the file, so it is read like a stranger's: an
ordinary file, bounded, what is no number in it passed over. May not: write, or import torch.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foundry.ledger.weights import run_folder

MOST_BYTES = 2 << 20
"""Of a file that is read at once: a run's own has a tenth of it."""


class Points(NamedTuple):
    """Lines from `start` to `end`, in bytes. per_step: tokens; seconds: of training at the last of them."""

    steps: list[int]
    losses: list[float]
    start: int = 0
    end: int = 0
    per_step: float = 0.0
    seconds: float = 0.0


NOTHING = Points([], [])


def metrics(run: str) -> Path:
    return run_folder(run) / "metrics.jsonl"


def read(run: str, start: int = 0) -> Points:
    """The whole lines from a byte on; from the beginning where the file is shorter than that by now."""
    try:
        handle = os.open(metrics(run), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return NOTHING
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return NOTHING
        start = start if 0 <= start <= status.st_size else 0
        file.seek(start)
        data = file.read(MOST_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    steps: list[int] = []
    losses: list[float] = []
    per_step = seconds = 0.0
    for line in whole.splitlines():
        try:
            row = json.loads(line)
            step, loss = int(row["step"]), float(row["loss"])
            if 0 < step < 1 << 53 and math.isfinite(loss) and (not steps or step > steps[-1]):
                steps.append(step)
                losses.append(loss)
                per_step, seconds = float(row.get("tokens") or 0) / step, float(row.get("seconds") or 0)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    sane = math.isfinite(per_step) and math.isfinite(seconds)
    return Points(steps, losses, start, start + len(whole), *((per_step, seconds) if sane else (0.0, 0.0)))


def thinned(steps: Sequence[int], losses: Sequence[float], most: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """At most about so many points: of each stretch the lowest and the highest, and both ends, so that no spike is
    lost."""
    if len(steps) <= most:
        return tuple(steps), tuple(round(loss, 5) for loss in losses)
    width = math.ceil(len(steps) / max(1, most // 2 - 1))
    kept = {0, len(steps) - 1}
    for first in range(0, len(steps), width):
        stretch = range(first, min(first + width, len(steps)))
        kept |= {min(stretch, key=losses.__getitem__), max(stretch, key=losses.__getitem__)}
    places = sorted(kept)
    return tuple(steps[i] for i in places), tuple(round(losses[i], 5) for i in places)

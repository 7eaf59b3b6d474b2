"""Entries of the corpus judged over seeds: fresh and trained, in one tier and precision. May not: print results."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from benchmarks.cheats import trial
from benchmarks.cheats.catalogue import Entry

STATES = {"fresh": 0, "trained": 40}
"""How many steps of training."""


@dataclass
class Row:
    """One entry in one state, precision and tier over all seeds. bpb: what was judged, None where it was refused."""

    entry: str
    state: str
    precision: str
    tier: str
    bpb: list[float | None] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return sum(each is None for each in self.bpb)

    @property
    def plainly(self) -> float:
        """What the plain evaluator reports, on average over seeds."""
        return fmean(self.plain)

    @property
    def gap(self) -> float:
        """Largest difference between a judged score and the plain one."""
        pairs = zip(self.bpb, self.plain, strict=True)
        return max((abs(bpb - plain) for bpb, plain in pairs if bpb is not None), default=0.0)


def rows(entries: Sequence[Entry], seeds: int, precision: str, tier: str) -> list[Row]:
    """Each entry fresh and trained, over `seeds` seeds; one line a row on stderr while it goes."""
    found = []
    for entry in entries:
        for state, steps in STATES.items():
            row = Row(entry.name, state, precision, tier)
            with trial.workspace(entry.workspace):
                for seed in range(seeds):
                    with tempfile.TemporaryDirectory() as folder:
                        job = trial.prepare(entry, Path(folder), seed, steps, precision)
                        row.plain.append(trial.plain_bits_per_byte(job, seed))
                        bpb, why = trial.judged(replace(job, tier=tier), seed)
                    row.bpb.append(bpb)
                    row.why.append(why)
            found.append(row)
            said = f"{entry.name} {state} {precision} {tier}: {row.refused} of {seeds} refused"
            print(said, file=sys.stderr, flush=True)
    return found


def share(found: Sequence[Row]) -> tuple[int, int]:
    """How many were refused, of how many."""
    return sum(row.refused for row in found), sum(len(row.bpb) for row in found)

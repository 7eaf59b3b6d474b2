"""Contestants that tell each other what follows: with the two layers that keep them apart, with one, with none.

The layers: no contestant sees another's /proc, and none runs the model's code while another one does.
May not: touch the ledger, or read a corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from benchmarks.cheats import trial
from benchmarks.cheats.catalogue import CORPUS, Entry
from foundry.judge import worker
from foundry.judge.model_server import Job
from foundry.judge.score import Judging, Score
from foundry.sandbox import bubblewrap, own_proc

TWINS = Entry("twins", CORPUS / "twins", {"norm": "twins", "context": 64})
TAKEN_AWAY = ("nothing", "one at a time", "a /proc of one's own", "both")
FOOLED_BPB = 0.3


class Together(Judging):
    """As the judge once asked: all contestants alive, and each batch shown to all before the next."""

    def run(self, tell: Callable[..., None]) -> Score:
        processes = range(len(self.seats))
        for batches in zip(*(self.plan.batches(process, self.rows) for process in processes), strict=True):
            for process in processes:
                self.seats[process].forward(self.plan.texts[process][batches[process]])
            for process in processes:
                self.note(process, batches[process])
        for process in processes:
            self.compare(process)
        return self.score()


@dataclass(frozen=True)
class Talked:
    """What talking came to. gain_bpb: beyond a plain evaluation; None where there was no score."""

    tier: str
    taken_away: str
    gain_bpb: float | None
    why: str

    @property
    def kept(self) -> bool:
        """As it should be: taken in where both layers are gone, and nowhere else."""
        return ((self.gain_bpb or 0.0) > FOOLED_BPB) == (self.taken_away == "both")


def prepared(folder: Path) -> tuple[Job, float]:
    """The twins' job, and what a plain evaluation says of it."""
    with trial.workspace(TWINS.workspace):
        job = trial.prepare(TWINS, folder, seed=1, steps=0)
        return job, trial.plain_bits_per_byte(job, seed=1)


def talked(job: Job, plain_bpb: float, tier: str, taken_away: str) -> Talked:
    with ExitStack() as stack:
        if taken_away in ("one at a time", "both"):
            stack.enter_context(mock.patch.object(worker, "Judging", Together))
            stack.enter_context(mock.patch("random.Random.shuffle", lambda self, seats: None))  # which fork is which
        if taken_away in ("a /proc of one's own", "both"):
            # of those that are forked here, and of those inside bubblewrap
            stack.enter_context(mock.patch.object(own_proc, "enter", lambda write, with_drivers: False))
            stack.enter_context(mock.patch.object(bubblewrap, "_FOR_CONFINING", ()))
        stack.enter_context(trial.workspace(TWINS.workspace))
        bpb, why = trial.judged(replace(job, tier=tier), seed=1)
    return Talked(tier, taken_away, None if bpb is None else plain_bpb - bpb, why)


def tried(folder: Path, tiers: list[str]) -> Iterator[Talked]:
    job, plain_bpb = prepared(folder)
    for tier in tiers:
        for taken_away in TAKEN_AWAY:
            yield talked(job, plain_bpb, tier, taken_away)

"""Contestants that tell each other what follows: neither layer that keeps them apart lets them gain, both gone do.

The layers: no contestant sees another's /proc, and none runs the model's code while another one does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.cheats import trial
from benchmarks.cheats.catalogue import CORPUS, Entry
from foundry import sandbox
from foundry.judge import worker
from foundry.judge.score import Judging, Score
from foundry.sandbox import bubblewrap, own_proc

TIERS = [tier for tier in ("landlock", "bubblewrap") if sandbox.probe().at_least(tier)]
TWINS = Entry("twins", CORPUS / "twins", {"norm": "twins", "context": 64})
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


@pytest.fixture
def plain_bpb(tmp_path: Path, admitted: None) -> tuple[trial.Job, float]:
    torch.set_num_threads(1)
    with trial.workspace(TWINS.workspace):
        job = trial.prepare(TWINS, tmp_path, seed=1, steps=0)
        return job, trial.plain_bits_per_byte(job, seed=1)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("taken_away", ["nothing", "one at a time", "a /proc of one's own", "both"])
def test_twins_gain_nothing_by_talking_unless_both_layers_are_gone(
    plain_bpb: tuple[trial.Job, float], tier: str, taken_away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, honest_bpb = plain_bpb
    if taken_away in ("one at a time", "both"):
        monkeypatch.setattr(worker, "Judging", Together)
    if taken_away in ("a /proc of one's own", "both"):
        monkeypatch.setattr(own_proc, "enter", lambda write: False)  # of those that are forked here
        monkeypatch.setattr(bubblewrap, "_FOR_CONFINING", ())  # of those inside
    with trial.workspace(TWINS.workspace):
        bpb, why = trial.judged(replace(job, tier=tier), seed=1)
    if taken_away == "both":
        assert bpb is not None and bpb < honest_bpb - FOOLED_BPB, why
    else:
        assert bpb is None or bpb == pytest.approx(honest_bpb, rel=1e-6)

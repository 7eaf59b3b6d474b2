"""Contestants that tell each other what follows: neither layer that keeps them apart lets them gain, both gone do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.cheats import twins
from foundry import sandbox
from foundry.judge.model_server import Job

TIERS = [tier for tier in ("landlock", "bubblewrap") if sandbox.probe().at_least(tier)]


@pytest.fixture
def prepared(tmp_path: Path, admitted: None) -> tuple[Job, float]:
    torch.set_num_threads(1)
    return twins.prepared(tmp_path)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("taken_away", twins.TAKEN_AWAY)
def test_twins_gain_nothing_by_talking_unless_both_layers_are_gone(
    prepared: tuple[Job, float], tier: str, taken_away: str
) -> None:
    found = twins.talked(*prepared, tier, taken_away)
    if taken_away == "both":
        assert found.gain_bpb is not None and found.gain_bpb > twins.FOOLED_BPB, found
    else:
        assert found.gain_bpb is None or found.gain_bpb == pytest.approx(0.0, abs=1e-5), found

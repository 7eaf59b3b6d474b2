"""Which runs' folders stay: as many as the rule says, and those that are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.compare.session import Settings
from foundry.core import places
from foundry.interface.answer import answer
from foundry.ledger import folders, queries, weights
from foundry.ledger.weights import Hold, run_folder
from foundry.recipe import Recipe
from soak.lab import FakeLab, make_home

BASELINE = Path("experiments/baseline.yaml")


@pytest.mark.parametrize(("most", "left"), [(3, 3), (100, 8)])
def test_older_runs_lose_their_folder_and_nothing_of_their_record(
    home: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    most: int,
    left: int,
) -> None:
    make_home(home, cache)
    monkeypatch.setattr(folders, "MOST", most)
    monkeypatch.setattr(folders, "EVERY", 1)
    monkeypatch.setattr(weights, "MOST_RUNS", 1)
    monkeypatch.setattr(weights, "FEWEST_RUNS", 1)
    with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
        done = [lab.gather([(arm, seed)])[0] for seed in range(8)]
    standing = [result.id for result in done if run_folder(result.id).exists()]
    assert standing == [result.id for result in done[8 - left :]]
    for result in done:
        shown = queries.show(result.id)
        assert shown["val_bpb"] == result.bpb and bool(shown["files"]) == (result.id in standing)
        answer(shown, as_json=False)
    assert capsys.readouterr().out.count(folders.RULE) == 8 - left


def test_a_folder_in_use_one_with_weights_and_one_that_no_run_knows_stay(
    home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(home, cache)
    monkeypatch.setattr(folders, "MOST", 1)
    stranger = places.runs() / "0123456789abcdef"
    with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
        runs = [lab.gather([(arm, seed)])[0].id for seed in range(4)]
        lab.ledger.runs.lost_weights([runs[1], runs[2]])
        stranger.mkdir()
        with Hold(runs[1]):
            assert folders.tidy(lab.ledger) == [runs[2][:16]]
        assert folders.tidy(lab.ledger) == [runs[1][:16]]
        assert folders.tidy(lab.ledger) == []
    assert stranger.exists() and run_folder(runs[0]).exists() and run_folder(runs[3]).exists()

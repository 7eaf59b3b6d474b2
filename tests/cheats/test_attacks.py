"""A small part of the host attacks, in runs of the real engine; the plain evaluator is what they work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cheats import attacks
from foundry import sandbox
from foundry.core.errors import RequestError
from foundry.mutate import mutate
from foundry.recipe import Recipe

CONTAINED = (
    "deletes_files",
    "floods_the_log",
    "forks",
    "patches_the_judge",
    "reads_secrets",
    "searches_targets",
    "writes_the_ledger",
)


@pytest.fixture(autouse=True)
def _shared_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_CACHE", str(cache))


@pytest.mark.skipif(not sandbox.probe().at_least("landlock"), reason="this machine has no sandbox")
def test_attacks_change_nothing_outside_and_get_an_honest_score_at_best(tmp_path: Path) -> None:
    outcomes = list(attacks.tried(tmp_path / "home", "landlock", [*CONTAINED, "trains_longer", "plants_a_pipe"]))
    assert {outcome.name: outcome.harm for outcome in outcomes if outcome.harm} == {}
    for outcome in outcomes[: len(CONTAINED)]:
        assert outcome.bpb == pytest.approx(outcome.honest_bpb, abs=1e-9), outcome
    assert [(outcome.bpb, outcome.status) for outcome in outcomes[len(CONTAINED) :]] == [(None, "invalid")] * 2


def test_the_plain_evaluator_is_taken_in_and_harmed_by_the_same_attacks(tmp_path: Path) -> None:
    asked = ["deletes_files", "patches_cross_entropy", "prints_results", "trains_longer"]
    found = {name: (report, harm) for name, report, harm in attacks.plainly(tmp_path / "home", asked)}
    honest = found["honest"][0].val_bpb
    assert honest is not None and found["honest"][1] == []
    assert found["deletes_files"][1] == ["changed files outside"]
    for name in ("patches_cross_entropy", "prints_results"):
        assert (found[name][0].val_bpb or 9) < 0.1
    assert (found["trains_longer"][0].val_bpb or 9) < honest - 0.1


def test_a_seed_can_be_no_mutation_and_a_new_name_no_candidate(home: Path) -> None:
    baseline = Recipe.load(home / "experiments" / "baseline.yaml")
    for path in ("seed", "train.seed"):
        with pytest.raises(RequestError, match="no field 'seed'"):
            mutate(baseline, f"set:{path}=7")
    renamed, edits = mutate(baseline, "set:name=lucky")
    assert renamed.fingerprint == baseline.fingerprint and edits == []

"""From a verdict to a champion: the sealed test score for the record, then the promotion. May not: judge.

Asked again after it was cut off, it finishes what was begun: a verdict promotes once.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from foundry.search.lab import Lab
from foundry.search.match import Arm
from foundry.search.promote import promote, settle, track_of

RECORDED = ("effect_bpb", "interval_bpb", "n", "evidence", "alpha", "seeds", "split", "budget", "remeasured")
TEST_READS_A_SEASON = 400


def crown(lab: Lab, path: Path, arms: tuple[Arm, Arm], verdict: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make the second arm's recipe the champion in place of the first's, on a verdict that says `better`; the id of the
    promotion, and its record. Raises WorkError when another promotion came first."""
    baseline, winner = arms
    record = {**{key: verdict[key] for key in RECORDED}, "test_bpb": _sealed(lab, arms, verdict)}
    last = lab.ledger.promotions.last(track_of(path))
    if last is not None and last["verdict"] == verdict["id"] and last["to_fp"] == winner.recipe.fingerprint:
        settle(lab.ledger, path)  # it was promoted before this process was stopped
        return last["id"], record
    return promote(lab.ledger, path, baseline.recipe, winner.recipe, verdict["id"], record), record


def _sealed(lab: Lab, arms: tuple[Arm, Arm], verdict: dict[str, Any]) -> list[float | None]:
    """Both arms' mean bits per byte on the sealed test split, for a promotion's report; every read is recorded.

    The runs are those of the re-measurement, trained already. Nothing is decided by it. Raises WorkError when the
    season's reads are spent.
    """
    means: list[float | None] = []
    season = verdict["budget"]["season"]
    for arm in arms:
        specs = [lab.spec(arm, seed) for seed in verdict["remeasured_seeds"]]
        for spec in specs:
            lab.ledger.runs.read_split("test", spec.id, f"promotion {verdict['id']}", season, TEST_READS_A_SEASON)
        results = lab.engine.gather([(spec, lab.data(arm.recipe)) for spec in specs], "test")
        scores = [result.bpb for result in results if result.bpb is not None]
        means.append(fmean(scores) if scores else None)
    return means

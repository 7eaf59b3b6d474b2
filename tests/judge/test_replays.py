"""Replays of recorded no-ops: the harness finds the error rate, and finds out the controls."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.verdicts import real
from foundry.core.errors import RequestError


def recorded(recipes: int = 5, seeds: int = 40) -> real.Table:
    """No-ops whose arms share a part of their seed's noise, as real ones do."""
    rng = random.Random(2)
    shared = {seed: 2.0 + rng.gauss(0, 0.01) for seed in range(seeds)}
    return {f"no_op_{i}": {s: shared[s] + rng.gauss(0, 0.006) for s in shared} for i in range(recipes)}


def test_no_ops_pass_no_more_often_than_alpha_and_the_controls_do() -> None:
    rows = real.replay(real.scores(recorded(), 12), 2000, 12, seed=1)
    said = real.claim(rows, {"p_value": 1.0})
    assert said["foundry_consistent_with_alpha"]
    assert said["controls_exceed_alpha"]


def test_a_recipe_that_is_no_no_op_stands_out_by_its_label() -> None:
    table = recorded()
    assert real.labels_matter(real.scores(table, 12), 200, 12, seed=1, tables=39)["p_value"] > 0.05
    table["no_op_0"] = {seed: bpb - 0.01 for seed, bpb in table["no_op_0"].items()}
    assert real.labels_matter(real.scores(table, 12), 200, 12, seed=1, tables=39)["p_value"] < 0.05


def test_what_pairing_by_seed_buys_is_measured() -> None:
    expected = 0.01**2 / (0.01**2 + 0.006**2)
    assert real.paired_correlation(real.scores(recorded(), 12)) == pytest.approx(expected, abs=0.2)


def test_both_table_formats_read_the_same_and_a_failed_run_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"a": {"1": 2.5, "2": None}, "b": {"1": 2.25, "2": 2.0}}))
    (tmp_path / "t.csv").write_text("recipe,seed,bpb\na,1,2.5\na,2,\nb,1,2.25\nb,2,2.0\n")
    first, second = real.read(tmp_path / "t.json"), real.read(tmp_path / "t.csv")
    assert repr(first) == repr(second)
    assert str(first["a"][2]) == "nan"


def test_a_table_too_small_to_draw_from_is_refused() -> None:
    with pytest.raises(RequestError, match="small_table"):
        real.scores(recorded(seeds=8), 12)

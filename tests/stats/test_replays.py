"""Replays of recorded no-ops: the harness finds the error rate, and finds out the controls."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.verdicts import planted, real
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


def planted_table(gain: float, seeds: int = 40) -> real.Table:
    """A baseline, a handicap that costs `gain`, and a large model that needs half the rate."""
    rng = random.Random(3)
    shared = {seed: 2.0 + rng.gauss(0, 0.01) for seed in range(seeds)}
    levels = {"baseline": 0.0, "no positions": gain, "focal loss": gain, "baseline, lr × 0.5": 0.1}
    levels |= {"baseline, lr × 2": 0.1, "large, lr × 0.5": -0.05, "large, lr × 1": 0.2, "large, lr × 2": 0.4}
    return {name: {s: shared[s] + level + rng.gauss(0, 0.006) for s in shared} for name, level in levels.items()}


def test_a_planted_handicaps_mend_is_found_in_few_pairs_and_the_handicap_is_never_promoted() -> None:
    found = planted.report(planted_table(0.1), 300, 12, seed=1)
    (mend,) = found["mends"]
    assert mend["alpha_0.01"]["rate"] > 0.99 and mend["alpha_0.01"]["pairs_used"] <= 8
    assert mend["effect_bpb"] == pytest.approx(0.1, abs=0.01)
    assert [each["alpha_0.05"]["promoted"] for each in found["harmful"]] == [0, 0]


def test_without_a_handicap_there_is_no_mend_to_find() -> None:
    assert planted.report(planted_table(0.0), 300, 12, seed=1)["mends"][0]["alpha_0.01"]["rate"] < 0.5


def test_an_architecture_that_needs_another_rate_is_promoted_only_when_it_is_tuned() -> None:
    found = planted.report(planted_table(0.1), 300, 12, seed=1)["tuning"]
    assert found["promoted_untuned"]["rate"] == 0.0
    assert found["promoted_tuned"]["rate"] > 0.99
    assert found["rate_of_candidate"]["0.5"] == 1.0


def test_what_pairing_by_seed_buys_is_measured() -> None:
    expected = 0.01**2 / (0.01**2 + 0.006**2)
    assert planted.report(planted_table(0.1), 10, 12, seed=1)["mends"][0]["correlation"] == pytest.approx(
        expected, abs=0.2
    )


def test_only_the_groups_asked_for_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("group,recipe,seed,bpb\nno-op,a,1,2.5\nhandicap,b,1,2.75\n")
    assert set(real.read(tmp_path / "t.csv", ("no-op",))) == {"a"}
    assert set(real.read(tmp_path / "t.csv")) == {"a", "b"}


def test_both_table_formats_read_the_same_and_a_failed_run_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"a": {"1": 2.5, "2": None}, "b": {"1": 2.25, "2": 2.0}}))
    (tmp_path / "t.csv").write_text("recipe,seed,bpb\na,1,2.5\na,2,\nb,1,2.25\nb,2,2.0\n")
    first, second = real.read(tmp_path / "t.json"), real.read(tmp_path / "t.csv")
    assert repr(first) == repr(second)
    assert str(first["a"][2]) == "nan"


def test_a_table_too_small_to_draw_from_is_refused() -> None:
    with pytest.raises(RequestError, match="small_table"):
        real.scores(recorded(seeds=8), 12)

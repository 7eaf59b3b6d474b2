"""Fair tuning: the same grid for every arm, frozen before certification, charged to both, and no back door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.compare import tune as tuning
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.compare import compare
from foundry.compare.comparison import Question, Rules
from foundry.compare.tune import GRID, at_factor, tune_lr
from foundry.core.errors import RequestError
from foundry.mutate import mutate
from foundry.promote import sweep as sweeping
from foundry.promote.promote import RECORDED
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from tests.home import small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")


def lr_of(recipe: Recipe) -> float:
    return recipe.to_dict()["train"]["optimizer"]["lr"]


def run_sweep(*mutations: str, **plan: Any) -> Any:
    with small_lab() as lab:
        return sweep(lab, BASELINE, SweepPlan(mutations, seeds=1, tune="lr", **plan), lambda *pair: None)


def test_every_arm_gets_the_same_grid_around_its_own_rate_and_pays_for_it(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=1e-3)
    with small_lab() as lab:
        baseline = lab.arm_of(Recipe.load(BASELINE))
        candidate = lab.arm_of(mutate(baseline.recipe, "lr:8e-3")[0])
        both = tune_lr(lab, (baseline, candidate), (1,))
        for each, own in zip(both, (1e-3, 8e-3), strict=True):
            rates = [lr_of(one.arm.recipe) for one in each.tries if one.arm is not None]
            assert rates == pytest.approx([own * factor for factor in GRID])
            assert each.arm.spent.tokens == len(GRID) * baseline.tokens == each.own.spent.tokens
            scores = {one.factor: one.bpb for one in each.tries}
            assert scores[each.factor] == min(score for score in scores.values() if score is not None)


def test_all_learning_rates_of_an_optimizer_are_scaled_alike(home: Path) -> None:
    recipe = mutate(Recipe.load(BASELINE), "optimizer:muon")[0]
    before, after = (each.to_dict()["train"]["optimizer"] for each in (recipe, at_factor(recipe, 2.0, "twice")))
    assert after["lr"] == 2 * before["lr"] and after["adam_lr"] == 2 * before["adam_lr"]


def test_a_rate_at_which_a_run_fails_is_out(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=9.0)
    with small_lab() as lab:
        (tuned,) = tune_lr(lab, [lab.arm_of(Recipe.load(BASELINE))], (1,))
    highest = tuned.tries[-1]
    assert highest.arm is None and highest.bpb is None and "10" in highest.reason, "18 is beyond what a rate may be"
    assert tuned.factor in GRID[:2]


def test_tuned_is_compared_with_tuned_and_both_are_charged(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=1e-3)
    other = write_tiny(Path("experiments/other.yaml"), train__optimizer__lr=2e-3)
    with small_lab() as lab:

        def ask(tune: str | None) -> Any:
            return compare(
                lab, BASELINE, other, Rules(alpha=0.3, max_pairs=4), None, tune, (), False, lambda *pair: None
            )

        plain, tuned = ask(None), ask("lr")
        assert ask("lr") == tuned, "and asked again it is the same verdict"
    assert plain["comparison"] != tuned["comparison"]
    chosen = [arm["tuned"] for arm in tuned["tuning"]["arms"]]
    assert [arm["recipe"] for arm in tuned["arms"]] == chosen
    grid_tokens = len(GRID) * len(tuned["tuning"]["seeds"]) * 64 * 12
    for arm in tuned["arms"]:
        assert arm["cost"]["tokens"] >= grid_tokens + tuned["n"] * arm["budget_tokens"]
    assert not {run["seed"] for arm in tuned["arms"] for run in arm["runs"]} & set(tuned["tuning"]["seeds"])


def test_seeds_given_by_hand_take_no_part_in_tuning(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "GRID", (1.0,))
    other = write_tiny(Path("experiments/other.yaml"), train__optimizer__lr=2e-3)
    with small_lab() as lab:
        document = compare(lab, BASELINE, other, Rules(alpha=0.3), None, "lr", (1, 2, 3, 5), False, lambda *pair: None)
    assert document["tuning"]["seeds"] == [4, 6]


def test_only_what_can_be_tuned_is_accepted(home: Path) -> None:
    with small_lab() as lab, pytest.raises(RequestError, match=r"tune\.unknown"):
        sweep(lab, BASELINE, SweepPlan(("norm:rmsnorm",), tune="width"), lambda *pair: None)


class Verdicts:
    """In place of certification: notes who is asked about, and answers as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, against_tuned: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self.against_tuned = against_tuned
        monkeypatch.setattr(sweeping, "ask", self)

    def __call__(self, lab: Any, question: Question, again: bool, seen: Any) -> dict[str, Any]:
        self.asked.append((question.baseline.name, question.candidate.name))
        word = self.against_tuned if question.rules is not None else "better"
        about = dict.fromkeys(RECORDED) | {"budget": {"season": 1}}
        return {**about, "verdict": word, "comparison": None, "remeasured_seeds": []}


def test_a_gain_that_may_be_the_learning_rates_leaves_the_tuned_baseline_as_the_candidate(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(BASELINE, train__optimizer__lr=2e-4, budget__tokens=64 * 40)
    verdicts = Verdicts(monkeypatch, against_tuned="not_better")
    document = run_sweep("lr:4e-3", promote=True)
    tuned = "baseline at lr × 2"
    assert verdicts.asked == [(tuned, "lr:4e-3 at lr × 2"), ("baseline", tuned)]
    assert document["promoted"] == tuned
    assert lr_of(Recipe.load(BASELINE)) == pytest.approx(4e-4)


def test_a_baseline_that_is_tuned_already_is_the_only_one_to_beat(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(BASELINE, train__optimizer__lr=2e-4)
    verdicts = Verdicts(monkeypatch, against_tuned="better")
    monkeypatch.setattr(tuning, "GRID", (1.0,))
    run_sweep("lr:4e-3", promote=True)
    assert verdicts.asked == [("baseline", "lr:4e-3")]


def test_a_promoted_winner_is_the_tuned_recipe_and_has_beaten_the_untuned_champion_as_well(home: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=2e-4, budget__tokens=64 * 40)
    champion = Recipe.load(BASELINE)
    document = run_sweep("lr:4e-3", promote=True, budget=BudgetRules(q=0.5))
    assert document["promoted"] == "lr:4e-3 at lr × 2"
    assert lr_of(Recipe.load(BASELINE)) == pytest.approx(8e-3)
    tuned = document["tuning"]["arms"][0]["tuned"]
    rival, verdict = document["against_tuned"], document["verdict"]
    assert tuned != champion.fingerprint
    assert rival["verdict"] == verdict["verdict"] == "better"
    assert rival["arms"][0]["recipe"] == tuned and rival["budget"] is None, "it spends nothing"
    assert verdict["arms"][0]["recipe"] == champion.fingerprint and verdict["budget"]["test"] == 1
    assert rival["arms"][1]["recipe"] == verdict["arms"][1]["recipe"] == Recipe.load(BASELINE).fingerprint
    assert not set(rival["seeds"]) & set(verdict["seeds"])

"""What running pairs promises, whatever the number of workers and the order in which runs come back."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from foundry.compare.certify import Seen, certify
from foundry.compare.match import Arm
from foundry.execute.result import RunResult
from foundry.ledger.run_spec import RunSpec
from foundry.recipe import Recipe
from foundry.stats.sequential_test import Plan
from tests.home import small_lab, write_tiny

SEEDS = list(range(100, 112))
PLAN = Plan(0.01, sigma0_bpb=0.01, max_pairs=12, relevant_bpb=0.01)


class Bench:
    """A lab and its engine in one: runs come back in an order that `chance` chooses, with the scores given."""

    def __init__(self, jobs: int, chance: Random, scores: dict[tuple[str, int], float | str]) -> None:
        self.engine, self.jobs, self.chance, self.scores = self, jobs, chance, scores
        self.asked: list[RunSpec] = []
        self.cancelled: list[str] = []

    @property
    def busy(self) -> int:
        return len(self.asked)

    def ask(self, of: Arm, seed: int, split: str) -> RunSpec:
        self.asked.append(RunSpec(of.recipe, seed, of.tokens, "data"))
        return self.asked[-1]

    def wait(self) -> list[RunResult]:
        spec = self.asked.pop(self.chance.randrange(len(self.asked)))
        score = self.scores[spec.recipe.name, spec.seed]
        facts = {"tokens": spec.budget_tokens, "flops": 1.0, "seconds": 1.0}
        if isinstance(score, str):
            return [RunResult(spec, "certification", "failed", score, facts=facts)]
        return [RunResult(spec, "certification", "done", bpb=score, facts=facts)]

    def cancel_all(self, why: str) -> None:
        self.cancelled.append(why)

    def scale(self, recipe: Recipe, split: str) -> dict[str, Any]:
        return {"split": split}


def telling(seen: list[int]) -> Seen:
    return lambda baseline, candidate, plan: seen.append(candidate.spec.seed)


@pytest.mark.parametrize("failing", ["", "candidate 107", "baseline 107", "candidate 103", "baseline 102"])
def test_the_verdict_is_the_same_with_any_number_of_jobs(tmp_path: Path, failing: str) -> None:
    """Seven clean wins decide at 0.01; what fails in the eighth pair came too late, whoever had it started ahead."""
    recipes = [
        Recipe.load(write_tiny(tmp_path / f"{name}.yaml", name=name, train__optimizer__lr=lr))
        for name, lr in (("baseline", 1e-3), ("candidate", 2e-3))
    ]
    noise = Random(3)
    scores: dict[tuple[str, int], float | str] = {}
    for name, level in (("baseline", 2.0), ("candidate", 1.95)):
        for seed in SEEDS:
            scores[name, seed] = "nan" if failing == f"{name} {seed}" else level + noise.gauss(0, 0.004)
    arms = [Arm(recipe.name, recipe, recipe.budget.tokens, 1) for recipe in recipes]
    found: set[str] = set()
    told: set[tuple[int, ...]] = set()
    for jobs in (1, 2, 3, 4, 8, 16, 24):
        for order in range(5):
            bench: Any = Bench(jobs, Random(f"{jobs} {order}"), scores)
            seen: list[int] = []
            verdict = certify(bench, arms[0], arms[1], "tokens", PLAN, SEEDS, "certification", telling(seen))
            found.add(json.dumps(verdict.to_json(), sort_keys=True))
            told.add(tuple(seen))
    (document,), (pairs,) = map(json.loads, found), told
    assert list(pairs) == SEEDS[: document["n"]]
    assert document["verdict"] == ("rejected" if failing == "candidate 103" else "better")
    assert document["n"] == {"candidate 103": 4, "baseline 102": 8}.get(failing, 7)
    assert all(len(arm["runs"]) == document["n"] for arm in document["arms"])


def test_a_run_that_was_started_ahead_and_not_needed_says_so(home: Path) -> None:
    with small_lab() as lab:
        spec = lab.ask(lab.arm_of(Recipe.load("experiments/baseline.yaml"), 64 * 400_000), 1)
        lab.engine.cancel_all("the verdict was in before it was needed")
        row = lab.ledger.runs.get(spec.id)
        assert (row["status"], row["detail"]) == ("queued", "the verdict was in before it was needed")
        assert lab.ledger.runs.claim(spec.id) is not None
        assert lab.ledger.runs.get(spec.id)["detail"] == ""

"""`--tune lr`: every arm gets the same small grid of learning rates on screening seeds, and keeps its own best one.

A change that wants another learning rate isn't judged at a rate that suits only the baseline, and a baseline whose rate
was never looked for isn't beaten by a rate. What is chosen here is frozen before certification, on seeds that take no
part in it; the runs are charged to the arm. Heuristic, like all screening. May not: certify or promote.

What is promoted against what. The champion is the recipe as it stands, and a tuned winner must beat exactly that, at
the test's α (promote/sweep.py). If another rate suits the baseline better, then the tuned baseline is a candidate
itself, and any other candidate must beat it too: else its gain may be the rate's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from foundry.compare.match import Arm, cost_of
from foundry.compare.session import Lab
from foundry.core.errors import FoundryError, RequestError
from foundry.execute.result import RunResult
from foundry.mutate.family import scaled
from foundry.recipe import Recipe
from foundry.recipe.edits import Edit, apply

TUNABLE = ("lr",)
GRID = (0.5, 1.0, 2.0)
"""Multiples of each arm's own learning rate."""
RATES = ("lr", "adam_lr")
"""Fields of an optimizer that are learning rates: all are multiplied alike."""


@dataclass(frozen=True)
class Try:
    """One point of the grid; bpb is the mean over the screening seeds, None when a run failed or none was possible."""

    factor: float
    arm: Arm | None
    bpb: float | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        recipe = self.arm.recipe.fingerprint if self.arm else None
        return {"factor": self.factor, "recipe": recipe, "val_bpb": self.bpb, "reason": self.reason or None}


@dataclass(frozen=True)
class Tuned:
    """An arm with the learning rate that suits it best, and the grid that says so. Each arm is charged for its grid."""

    own: Arm
    arm: Arm
    factor: float
    tries: tuple[Try, ...]

    def to_json(self) -> dict[str, Any]:
        cost = self.arm.spent
        return {
            "name": self.own.name,
            "recipe": self.own.recipe.fingerprint,
            "tuned": self.arm.recipe.fingerprint,
            "factor": self.factor,
            "tries": [each.to_json() for each in self.tries],
            "cost": {"tokens": cost.tokens, "flops": cost.flops, "seconds": cost.seconds},
        }


def check(tune: str | None) -> None:
    """Raises RequestError for something that can't be tuned."""
    if tune is not None and tune not in TUNABLE:
        raise RequestError("tune.unknown", "--tune", f"'{tune}' can't be tuned", got=tune, choices=TUNABLE)


def tune_lr(lab: Lab, arms: Sequence[Arm], seeds: Sequence[int]) -> list[Tuned]:
    """Each arm at its best rate of the grid; the runs of all arms go to the workers together.

    The lowest mean over `seeds` wins, of equals the nearest to the arm's own. A rate at which a run failed is out; an
    arm that fails at every rate keeps its own, and screening will say why.
    """
    variants = [[_variant(arm, factor) for factor in GRID] for arm in arms]
    asked = [(each.arm, seed) for grid in variants for each in grid if each.arm is not None for seed in seeds]
    lab.say(f"tuning: {len(arms)} arms, {len(GRID)} learning rates each, {len(seeds)} seeds")
    results = iter(lab.gather(asked))
    return [_best(arm, grid, results, len(seeds)) for arm, grid in zip(arms, variants, strict=True)]


def to_json(tuned: Sequence[Tuned], seeds: Sequence[int]) -> dict[str, Any]:
    """What a report says of the tuning."""
    return {"field": "lr", "grid": list(GRID), "seeds": list(seeds), "arms": [each.to_json() for each in tuned]}


def at_factor(recipe: Recipe, factor: float, name: str) -> Recipe:
    """The recipe with its learning rates multiplied. Raises RequestError where that is out of bounds."""
    optimizer = recipe.to_dict()["train"]["optimizer"]
    edits = [
        Edit(f"train.optimizer.{rate}", optimizer[rate], scaled(optimizer[rate], factor), "tune lr")
        for rate in RATES
        if rate in optimizer
    ]
    return apply(recipe, edits, name)


def _variant(arm: Arm, factor: float) -> Try:
    if factor == 1.0:
        return Try(factor, arm, None)
    name = f"{arm.name} at lr × {factor:g}"[:200]
    try:
        recipe = at_factor(arm.recipe, factor, name)
    except FoundryError as error:
        return Try(factor, None, None, str(error))
    return Try(factor, replace(arm, name=name, recipe=recipe), None)


def _best(arm: Arm, grid: Sequence[Try], results: Any, seeds: int) -> Tuned:
    tries: list[Try] = []
    runs: list[RunResult] = []
    for each in grid:
        if each.arm is None:
            tries.append(each)
            continue
        own = [next(results) for _ in range(seeds)]
        failed = next((run for run in own if run.bpb is None), None)
        score = None if failed else fmean(run.bpb for run in own if run.bpb is not None)
        tries.append(replace(each, bpb=score, reason=(failed.reason or failed.status) if failed else ""))
        runs += own
    cost = cost_of(runs)
    scored = [each for each in tries if each.bpb is not None and each.arm is not None]
    best = min(scored, key=lambda each: (each.bpb, abs(GRID.index(each.factor) - GRID.index(1.0))), default=None)
    chosen = best.arm if best is not None and best.arm is not None else arm
    return Tuned(replace(arm, spent=cost), replace(chosen, spent=cost), best.factor if best else 1.0, tuple(tries))

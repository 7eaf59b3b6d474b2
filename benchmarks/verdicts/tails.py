"""What the tail guard does: promotions of candidates whose mean is not better, under skewed noise, and its price.

Shapes: R tests, N pairs, M fresh pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.verdicts import rules
from foundry.stats.power import Floats, certify_many

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def _exponential(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return 1.0 - rng.exponential(1.0, shape)


def _awful(chance: float, loss: float) -> Draw:
    """Half an sd of ordinary noise, and a loss of `loss` with `chance`; the mean is zero, so most pairs win."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        return 0.5 * rng.standard_normal(shape) + chance * loss - loss * (rng.random(shape) < chance)

    return draw


CASES: dict[str, tuple[Draw, float]] = {
    "exponential tail, mean 0": (_exponential, 0.0),
    "exponential tail, mean −.25": (_exponential, -0.25),
    "1 in 5 loses 4 sd, mean 0": (_awful(0.2, 4.0), 0.0),
    "1 in 5 loses 4 sd, mean −.25": (_awful(0.2, 4.0), -0.25),
    "1 in 10 loses 5 sd, mean 0": (_awful(0.1, 5.0), 0.0),
    "1 in 10 loses 5 sd, mean −.25": (_awful(0.1, 5.0), -0.25),
    "1 in 20 loses 10 sd, mean 0": (_awful(0.05, 10.0), 0.0),
    "normal, a gain of 1 sd": (lambda rng, shape: rng.standard_normal(shape), 1.0),
    "normal, a gain of 1.5 sd": (lambda rng, shape: rng.standard_normal(shape), 1.5),
    "normal, a gain of 2 sd": (lambda rng, shape: rng.standard_normal(shape), 2.0),
}


def table(alpha: float, pairs: int, replicates: int, seed: int) -> list[dict[str, Any]]:
    """Chance of promotion: the tanh mixture; Foundry without a guard; with it; with it and 4, 8, 12 fresh pairs."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, (draw, mean) in CASES.items():
        differences_RN = draw(rng, (replicates, pairs)) + mean
        fresh_RM = draw(rng, (replicates, 12)) + mean
        promoted_R, used_R = certify_many(differences_RN, alpha, pairs)
        row: dict[str, Any] = {
            "case": name,
            "tanh mixture": float(rules.tanh_mixture(differences_RN, alpha)[0].mean()),
            "no guard": float(promoted_R.mean()),
        }
        for fresh in (0, 4, 8, 12):
            passed_R = promoted_R & rules.unblocked(differences_RN, used_R, fresh_RM[:, :fresh])
            row[f"guard, {fresh} fresh"] = float(passed_R.mean())
        rows.append(row)
    return rows

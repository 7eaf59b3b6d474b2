"""Power against the effect: Foundry's process, with σ₀ right and off by two; the tanh mixture; the best possible.

Shapes: R replicates, N pairs, W winners left, X sizes of a difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.verdicts import rules
from foundry.stats.error_budget import needs
from foundry.stats.power import certify_many, smallest_effect
from foundry.stats.sequential_test import Plan, certify, interval_bpb

EFFECTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
REQUIRED = {1.0: 0.40, 1.5: 0.80, 2.0: 0.97}  # at N = 12, α = 0.01


def curves(alpha: float, pairs: int, replicates: int, seed: int) -> dict[str, Any]:
    """Chance of promotion and mean pairs used, by effect in standard deviations of a paired difference."""
    noise_RN = np.random.default_rng(seed).standard_normal((replicates, pairs))
    table: dict[str, Any] = {"alpha": alpha, "pairs": pairs, "effects": list(EFFECTS), "curves": {}}
    for name, sigma0 in (("σ₀ right", 1.0), ("σ₀ twice too large", 2.0), ("σ₀ half too small", 0.5)):
        ours = [certify_many(noise_RN + effect, alpha, pairs, sigma0) for effect in EFFECTS]
        theirs = [rules.tanh_mixture(noise_RN + effect, alpha, sigma0) for effect in EFFECTS]
        for process, results in (("winning sequences", ours), ("tanh mixture", theirs)):
            table["curves"][f"{process}, {name}"] = {
                "power": [float(promoted_R.mean()) for promoted_R, _used in results],
                "pairs_used": [float(used_R.mean()) for _promoted, used_R in results],
            }
    table["curves"]["upper bound: bets optimal for each effect, σ known"] = {
        "power": [best_possible(alpha, pairs, effect) for effect in EFFECTS]
    }
    return table


def best_possible(alpha: float, pairs: int, effect: float) -> float:
    """The largest power of any process that splits winning sequences, for normal noise with known effect and σ.

    Backward induction: for each number of winners left and each size of the next difference, the best split.
    """
    winners = int(np.floor(alpha * 2**pairs))
    size_X = np.linspace(0.025, 5.025 + effect, 101)
    weight_X = np.exp(-0.5 * (size_X - effect) ** 2) + np.exp(-0.5 * (size_X + effect) ** 2)
    weight_X = weight_X / weight_X.sum()
    positive_X = 1.0 / (1.0 + np.exp(-2.0 * effect * size_X))
    value_W = (np.arange(winners + 1) >= 1).astype(float)  # no pairs to come: any winner left is the sequence seen
    for remaining in range(1, pairs + 1):
        half = 2 ** (remaining - 1)
        before_W = np.empty(winners + 1)
        for left in range(winners + 1):
            whole = min(left, 2 * half)
            plus = np.arange((whole + 1) // 2, min(whole, half) + 1)
            up, down = value_W[plus], value_W[whole - plus]
            options = positive_X[:, None] * up + (1.0 - positive_X)[:, None] * down
            before_W[left] = (weight_X * options.max(1)).sum()
        value_W = before_W
    return float(value_W[winners])


def by_alpha(replicates: int, seed: int) -> list[dict[str, Any]]:
    """What the tests of a long campaign see: power at the N that the budget grants for a shrinking α."""
    rng = np.random.default_rng(seed)
    rows = []
    for alpha in (0.05, 0.01, 0.005, 0.001, 1e-4, 1e-5, 1e-6):
        pairs = needs(alpha)
        results = {d: certify_many(rng.standard_normal((replicates, pairs)) + d, alpha, pairs) for d in (0, 1, 1.5, 2)}
        rows.append(
            {
                "alpha": alpha,
                "pairs": pairs,
                "power": {str(d): float(promoted_R.mean()) for d, (promoted_R, _used) in results.items()},
                "pairs_used": {str(d): float(used_R.mean()) for d, (_promoted, used_R) in results.items()},
            }
        )
    return rows


def words(alpha: float, pairs: int, replicates: int, seed: int) -> list[dict[str, Any]]:
    """How tests end, and how often the 95 % interval holds the true effect at the stopping time, by effect."""
    rng = np.random.default_rng(seed)
    plan = Plan(alpha, sigma0_bpb=1.0, max_pairs=pairs)
    seen = smallest_effect(plan.winners, pairs)
    rows = []
    for effect in (-0.5, 0.0, 0.5, seen, 1.5, 2.0):
        counts = {"better": 0, "not_better": 0, "underpowered": 0}
        covered = 0
        for differences in rng.standard_normal((replicates, pairs)) + effect:
            evidence, decision = certify(plan, differences.tolist())
            interval = interval_bpb(evidence)
            assert interval is not None
            counts[decision.word] += 1
            covered += interval[0] <= effect <= interval[1]
        shares = {word: count / replicates for word, count in counts.items()}
        rows.append({"effect": effect, **shares, "interval_covers": covered / replicates})
    return rows

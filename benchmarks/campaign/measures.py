"""What a trace is worth by the truth: compute to a target, area under the true curve, claimed minus true, and how many
of its promotions were false. May not: run a method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from benchmarks.campaign.methods import Trace
from foundry.campaign.environment import Point

TARGETS = (0.5, 0.8, 0.9, 0.95)
"""Shares of the way from the baseline's true score to the best recipe's."""
GRID = 60
"""Points of a curve, from 0 to the horizon."""
Truth = Callable[[Point, str], float]
"""(point, split) → true score in bits per byte."""


@dataclass(frozen=True)
class Measured:
    """One replay. reached: for each target the cost at which the true curve was there first; inf for never."""

    reached: tuple[float, ...]
    area: float
    """Of the true curve, as a share of what holding the best recipe from the start would give."""
    final: float
    """Share of the way, at the end."""
    optimism: float | None
    """Claimed minus true gain of the incumbent at the end, in bits per byte; None while it is the baseline."""
    promotions: int
    false: int
    """Of them, those whose true effect is zero (an exact no-op) or harm; of parts taken out, harm beyond the margin."""
    curve: tuple[float, ...]


def measured(trace: Trace, truth: Truth, baseline: float, best: float, horizon: float) -> Measured:
    """baseline, best: true scores on the test split that targets are shares of the distance between."""

    def share(point: Point) -> float:
        if best == baseline:
            return 0.0
        return max(-1.0, (truth(trace.start, "test") - truth(point, "test")) / (baseline - best))

    steps = [(0.0, 0.0), *((change.cost, share(change.point)) for change in trace.changes)]
    ends = [cost for cost, _ in steps[1:]] + [horizon]
    area = sum(value * (end - begin) for (begin, value), end in zip(steps, ends, strict=True)) / horizon
    reached = tuple(next((cost for cost, value in steps if value >= target), math.inf) for target in TARGETS)
    curve = tuple(_at(steps, horizon * i / GRID) for i in range(GRID + 1))
    promotions = false = 0
    before = trace.start
    for change in trace.changes:
        if change.point != before and not change.back:
            promotions += 1
            false += truth(before, "test") - truth(change.point, "test") <= -change.margin
        before = change.point
    return Measured(reached, area, steps[-1][1], _optimism(trace, truth), promotions, false, curve)


def _at(steps: Sequence[tuple[float, float]], cost: float) -> float:
    return next(value for at, value in reversed(steps) if at <= cost)


def _optimism(trace: Trace, truth: Truth) -> float | None:
    if not trace.changes or trace.point == trace.start:
        return None
    true = truth(trace.point, trace.split)
    last = trace.changes[-1]
    if last.claimed is not None:
        return true - last.claimed
    claimed = sum(change.gain or 0.0 for change in trace.changes)
    return claimed - (truth(trace.start, trace.split) - true)


def summary(found: Sequence[Measured], horizon: float) -> dict[str, Any]:
    """Medians with 95 % intervals of a median (order statistics), means with 95 % intervals of a mean."""
    optimism = [each.optimism for each in found if each.optimism is not None and math.isfinite(each.optimism)]
    return {
        "replays": len(found),
        "horizon": horizon,
        "to_target": {
            f"{target:.0%}": {
                **_median([each.reached[i] for each in found]),
                "share": fmean(each.reached[i] < math.inf for each in found),
            }
            for i, target in enumerate(TARGETS)
        },
        "area": _mean([each.area for each in found]),
        "final": _mean([each.final for each in found]),
        "claimed_minus_true": _mean(optimism) if len(optimism) > 1 else None,
        "promotions": _mean([float(each.promotions) for each in found]),
        "false_promotions": _mean([float(each.false) for each in found]),
        "any_false": fmean(each.false > 0 for each in found),
        "worst_share_false": fmean(each.false / max(each.promotions, 1) for each in found),
        "curve": [median(each.curve[i] for each in found) for i in range(GRID + 1)],
    }


def _mean(values: Sequence[float]) -> dict[str, float]:
    reach = 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return {"mean": fmean(values), "low": fmean(values) - reach, "high": fmean(values) + reach}


def _median(values: Sequence[float]) -> dict[str, float | None]:
    """None for what was never reached."""
    ordered, n = sorted(values), len(values)
    reach = 0.98 * math.sqrt(n)
    places = (n // 2, max(0, math.floor(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach)))
    names = zip(("median", "low", "high"), places, strict=True)
    return {name: ordered[place] if math.isfinite(ordered[place]) else None for name, place in names}

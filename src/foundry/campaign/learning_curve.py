"""A learning curve over complete short runs: what a gain on a rung says of the gain on the full budget.

Heuristic, learned from the candidates that ran on both, the audited among them. May not: see a score.
"""

from __future__ import annotations

import math
from collections.abc import Collection

PRIOR_PAIRS = 4.0
"""The prior, that a gain stays what it is and is off by two standard deviations of the noise, counts as so many."""


def forecast(gain: float, seen: Collection[tuple[float, float]], sigma: float) -> tuple[float, float]:
    """The expected gain on the full budget and its standard error, from pairs (gain on the rung, gain on the full)."""
    prior = PRIOR_PAIRS * sigma**2
    across = prior + sum(short * full for short, full in seen)
    slope = max(0.0, across / (prior + sum(short * short for short, _ in seen))) if prior > 0 else 1.0
    off = PRIOR_PAIRS * (2 * sigma) ** 2 + sum(min(abs(full - slope * short), 8 * sigma) ** 2 for short, full in seen)
    return slope * gain, math.sqrt(off / (PRIOR_PAIRS + len(seen)))

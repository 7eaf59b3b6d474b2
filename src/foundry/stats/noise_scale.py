"""σ₀, the scale of a paired difference, pooled over past tests.

It sets the size of the bets, so it changes a test's power and nothing else. May not: look at the test's own data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

DEFAULT_SIGMA0_BPB = 0.01  # before any test: seed noise of a paired difference between small models, in bits per byte
FEWEST_RESIDUALS = 3  # degrees of freedom below which the default stands
NORMAL_MEDIAN = 0.6744897501960817  # the median of |x| for a standard normal x


def pooled_sigma0(groups: Iterable[Sequence[float]], default_bpb: float = DEFAULT_SIGMA0_BPB) -> float:
    """The standard deviation of a difference about its own test's effect, in bpb.

    The weighted median of |D_i − D_j| / √2 over the pairs of pairs within each group, over 0.6745: no group's effect
    enters, and an awful run or two move it little (Shamos 1976; Bickel & Lehmann 1979). A group of n counts as n − 1.
    `default_bpb` when there are fewer than three degrees of freedom, or no spread at all.
    """
    gaps: list[tuple[float, float]] = []
    freedom = 0
    for group in groups:
        finite = [x for x in group if math.isfinite(x)]
        freedom += max(len(finite) - 1, 0)
        gaps += [(abs(a - b) / math.sqrt(2.0), 2.0 / len(finite)) for a, b in combinations(finite, 2)]
    if freedom < FEWEST_RESIDUALS:
        return default_bpb
    sigma0 = _weighted_median(gaps) / NORMAL_MEDIAN
    return sigma0 if sigma0 > 0.0 else default_bpb


def _weighted_median(weighted: list[tuple[float, float]]) -> float:
    half = sum(weight for _, weight in weighted) / 2
    seen = 0.0
    for value, weight in sorted(weighted):
        seen += weight
        if seen >= half:
            return value
    return 0.0

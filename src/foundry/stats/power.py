"""Power of a certification, by simulating many at once: a vectorised twin of sequential_test.py, equal to it by test.

Used for the effect that an inconclusive test could have seen, and by benchmarks/verdicts. May not: decide anything.

Shapes: R replicates, N pairs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from foundry.stats import MOST_PAIRS, SCALE_PRIOR_DF

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_ALMOST_ONE = 1.0 - 2.0**-53
_LARGEST_EFFECT = 8.0  # standard deviations: past it, more effect no longer buys power


def certify_many(
    differences_RN: Floats, alpha: Any, pairs: Any, sigma0: Any = 1.0, min_pairs: int = 3
) -> tuple[Booleans, Integers]:
    """Which of R tests promote, and after how many pairs each stopped. A NaN is a pair without a number.

    alpha, pairs (≤ N), sigma0: one each, or one for all. Rows hold net differences, δ_min already subtracted.
    """
    rows, width = differences_RN.shape
    alpha_R = np.broadcast_to(np.asarray(alpha, dtype=np.float64), rows)
    pairs_R = np.broadcast_to(np.asarray(pairs, dtype=np.int64), rows)
    sigma0_R = np.broadcast_to(np.asarray(sigma0, dtype=np.float64), rows)
    if width < pairs_R.max(initial=0) or pairs_R.max(initial=0) > MOST_PAIRS:
        raise ValueError("not enough differences, or too many pairs")
    winners_R = np.floor(np.ldexp(alpha_R, pairs_R.astype(np.int32))).astype(np.int64)
    promoted_R = np.zeros(rows, dtype=bool)
    used_R = pairs_R.copy()
    alive = np.flatnonzero(winners_R > 0)  # rows still running; the arrays below follow it
    used_R[winners_R == 0] = 0
    left, count = winners_R[alive], np.zeros(len(alive))
    mean, squares = np.zeros(len(alive)), np.zeros(len(alive))
    for n in range(width):
        if len(alive) == 0:
            break
        remaining = pairs_R[alive] - n
        net = differences_RN[alive, n]
        measured = ~np.isnan(net)
        net = np.where(measured, net, 0.0)
        spread = (SCALE_PRIOR_DF * sigma0_R[alive] ** 2 + squares) / (SCALE_PRIOR_DF + np.maximum(count - 1, 0))
        plus, minus = split_many(left, remaining, np.abs(net) / np.sqrt(spread))
        left = np.where(net > 0.0, plus, minus)
        count = count + measured
        step = np.where(measured, net - mean, 0.0)  # Welford, so that rows may have gaps
        mean = mean + step / np.maximum(count, 1)
        squares = squares + step * np.where(measured, net - mean, 0.0)
        reached = left * 2.0 ** (n + 1) * alpha_R[alive] >= winners_R[alive]
        better = reached & (n + 1 >= min_pairs)
        over = better | (left == 0) | (remaining == 1)
        promoted_R[alive[better]] = True
        used_R[alive[over]] = n + 1
        keep = ~over
        alive, left, count, mean, squares = alive[keep], left[keep], count[keep], mean[keep], squares[keep]
    return promoted_R, used_R


def split_many(left: Integers, remaining: Integers, size: Floats) -> tuple[Integers, Integers]:
    """`sequential_test.split` over arrays of one shape."""
    half = np.left_shift(np.int64(1), remaining - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # left = 0 and remaining = 1 are set right below
        to_go = np.sqrt(remaining) * ndtri(np.minimum(left / (2.0 * half), _ALMOST_ONE))
        step = np.sqrt(remaining - 1)
        up, down = ndtr((to_go + size) / step), ndtr((to_go - size) / step)
        plus = np.rint(np.nan_to_num(left * (up / (up + down)))).astype(np.int64)
    plus = np.where(remaining > 1, plus, left)
    plus = np.minimum(np.minimum(np.maximum(plus, (left + 1) // 2), left), half)
    return plus, left - plus


@lru_cache(maxsize=256)
def smallest_effect(winners: int, pairs: int, power: float = 0.8, replicates: int = 4000) -> float:
    """The effect, in standard deviations of a paired difference, that this plan promotes with chance `power`.

    Under normal noise with the right σ₀, by simulation (fixed seed, common random numbers: ± 0.03). At most 8.
    """
    noise_RN = np.random.default_rng(12).standard_normal((replicates, pairs))
    low, high = 0.0, _LARGEST_EFFECT
    for _ in range(9):
        middle = (low + high) / 2
        promoted_R, _used = certify_many(noise_RN + middle, winners / 2**pairs, pairs)
        if promoted_R.mean() < power:
            low = middle
        else:
            high = middle
    return (low + high) / 2

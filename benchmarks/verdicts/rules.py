"""Rules of promotion, vectorised over tests: Foundry's, the tanh mixture it replaced, and what others do.

Each takes a test's pairs and says which of R tests promote after how many pairs.
Shapes: R tests, N pairs, M fresh pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from scipy.stats import t as student

from foundry.stats.power import Booleans, Floats, Integers, certify_many

Promotions = tuple[Booleans, Integers]

KAPPAS = np.array([0.5, 1.0, 2.0, 4.0])
RESAMPLES = 200


def certified(baseline_RN: Floats, candidate_RN: Floats, alpha: Any, pairs: Any, sigma0: Any = 1.0) -> Promotions:
    """Certification alone, as sequential_test.py does it: a candidate that diverges on a pair it needed is rejected."""
    promoted_R, used_R = certify_many(baseline_RN - candidate_RN, alpha, pairs, sigma0)
    return promoted_R & ~(np.isnan(candidate_RN) & _needed(used_R, baseline_RN)).any(1), used_R


def unblocked(differences_RN: Floats, used_R: Integers, fresh_RM: Floats) -> Booleans:
    """verdict.tail_guard, vectorised: which of R tests it would let pass."""
    seen_RN = np.where(_needed(used_R, differences_RN), differences_RN, np.nan)
    worst_R = np.fmin.reduce(np.concatenate([seen_RN, fresh_RM], axis=1), axis=1)
    best_R = np.fmax.reduce(np.concatenate([seen_RN, fresh_RM], axis=1), axis=1)
    measured_RM = ~np.isnan(fresh_RM)
    lost_R = measured_RM.any(1) & (np.where(measured_RM, fresh_RM, 0.0).sum(1) <= 0.0)
    return (-worst_R <= best_R) & ~lost_R


def tanh_mixture(differences_RN: Floats, alpha: float, sigma0: float = 1.0, min_pairs: int = 3) -> Promotions:
    """E_n = mean over κ of Π (1 + tanh(κ D / σ₀)), the process that sequential_test.py replaced."""
    with np.errstate(divide="ignore"):
        logs = np.log1p(np.tanh(KAPPAS[:, None, None] * differences_RN / sigma0)).cumsum(-1)
    e_RN = np.exp(logs).mean(0)
    n = np.arange(1, differences_RN.shape[1] + 1)
    hit_RN = (e_RN >= 1.0 / alpha) & (n >= min_pairs)
    lost_RN = np.log(np.maximum(e_RN, 1e-300)) + (len(n) - n) * np.log(2.0) < -np.log(alpha)
    return _first(hit_RN, lost_RN)


def peeking_t(differences_RN: Floats, level: float = 0.05, first: int = 3) -> Promotions:
    """A one-sided paired t-test after every pair from the third on, until it is significant or the pairs run out."""
    n = np.arange(1, differences_RN.shape[1] + 1)
    finite = np.nan_to_num(differences_RN)
    mean_RN = finite.cumsum(1) / n
    variance_RN = ((finite**2).cumsum(1) - n * mean_RN**2) / np.maximum(n - 1, 1)
    statistic_RN = mean_RN / np.sqrt(np.maximum(variance_RN, 1e-12) / n)
    bar = np.where(n >= first, student.ppf(1.0 - level, np.maximum(n - 1, 1)), np.inf)
    return _first(statistic_RN > bar, np.zeros_like(finite, dtype=bool))


def threshold(differences_RN: Floats, gain: float = 1.0) -> Booleans:
    """One pair, promoted on a gain over one standard deviation."""
    return differences_RN[:, 0] > gain


def two_of_two(differences_RN: Floats) -> Booleans:
    """Better on both of two seeds."""
    return (differences_RN[:, 0] > 0.0) & (differences_RN[:, 1] > 0.0)


def bootstrap(differences_RN: Floats, rng: np.random.Generator, level: float = 0.05, pairs: int = 5) -> Promotions:
    """Five pairs; the 5 % point of the bootstrapped mean is above zero. No correction for the number of tests."""
    draws = rng.integers(0, pairs, (RESAMPLES, pairs))
    weights = np.stack([(draws == i).sum(1) for i in range(pairs)]) / pairs  # (pairs, RESAMPLES)
    means = np.nan_to_num(differences_RN[:, :pairs]) @ weights
    cut = int(level * RESAMPLES)
    return np.partition(means, cut, axis=1)[:, cut] > 0.0, np.full(len(differences_RN), pairs, dtype=np.int64)


def rate_of(promoted_R: Booleans) -> dict[str, Any]:
    """The share promoted, with its Clopper-Pearson 95 % interval."""
    count, total = int(promoted_R.sum()), len(promoted_R)
    low = float(beta.ppf(0.025, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, total - count)) if count < total else 1.0
    return {"promoted": count, "replays": total, "rate": count / total, "interval": [low, high]}


def _needed(used_R: Integers, like_RN: Floats) -> Booleans:
    """Which pairs each test looked at."""
    return np.arange(like_RN.shape[1]) < used_R[:, None]


def _first(hit_RN: NDArray[np.bool_], lost_RN: NDArray[np.bool_]) -> Promotions:
    """Promotion at the first hit, unless lost before; pairs used up to whichever came first."""
    width = hit_RN.shape[1]
    hit = np.where(hit_RN.any(1), hit_RN.argmax(1) + 1, width + 1)
    lost = np.where(lost_RN.any(1), lost_RN.argmax(1) + 1, width + 1)
    return hit < lost, np.minimum(np.minimum(hit, lost), width)

"""Noise of paired runs: scores of two arms under one null or effect, in units where an ordinary difference has sd 1.

Shapes: R rows (tests), N pairs. Lower scores are better; NaN is a run that diverged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SYMMETRIC = ("normal", "t3", "heteroscedastic", "skewed_arms", "divergent")
SKEWED = ("left_skewed",)
KINDS = SYMMETRIC + SKEWED

_ARM = 1.0 / np.sqrt(2.0)  # two independent arms of this sd differ by sd 1
_DIVERGES = 0.05


def arms(kind: str, rng: np.random.Generator, rows: int, pairs: int) -> tuple[Floats, Floats]:
    """Mean-zero noise of baseline and candidate, each (R, N).

    normal, t3: independent arms. heteroscedastic: a scale for each test and each pair, log-normal, so that σ₀ is off
    too. skewed_arms: both arms have the same rare bad runs, so the difference is symmetric. divergent: each run
    diverges with chance 5 %. left_skewed: only the candidate has bad runs; mean zero, usually better, sometimes awful.
    """
    shape = (rows, pairs)
    if kind == "t3":
        return (rng.standard_t(3, shape) / np.sqrt(3.0) * _ARM, rng.standard_t(3, shape) / np.sqrt(3.0) * _ARM)
    if kind == "heteroscedastic":
        scale = np.exp(0.5 * rng.standard_normal((rows, 1)) + 0.5 * rng.standard_normal(shape))
        return scale * rng.standard_normal(shape) * _ARM, scale * rng.standard_normal(shape) * _ARM
    if kind == "skewed_arms":
        return (rng.exponential(_ARM, shape) - _ARM, rng.exponential(_ARM, shape) - _ARM)
    if kind == "left_skewed":
        return np.zeros(shape), rng.exponential(1.0, shape) - 1.0
    baseline, candidate = rng.standard_normal(shape) * _ARM, rng.standard_normal(shape) * _ARM
    if kind == "divergent":
        baseline[rng.random(shape) < _DIVERGES] = np.nan
        candidate[rng.random(shape) < _DIVERGES] = np.nan
    elif kind != "normal":
        raise ValueError(f"no noise {kind!r}")
    return baseline, candidate

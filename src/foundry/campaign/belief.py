"""What all scores so far say of every recipe: a Gaussian process over sets of mutation words.

A recipe is its address: the words that lead to it from where the campaign began, one a family. With K the similarity of
addresses, a score is

    y = m + f(address) + s(seed) + e,    f ~ N(0, v K),  s, e ~ N(0, v r),

where m has a flat prior, the scale v is profiled out and the noise ratio r is the likeliest of a few (Rasmussen &
Williams 2006, 2.7 and 5.4). K adds what families bring each by itself, what they bring together (it decays with the
number that differ), a cost of depth, and what is this recipe's own. Numbers of one family are alike by their ratio.
May not: see a clock, a ledger or a text, or remember anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from foundry.mutate import family_of, words_of

Address = tuple[str, ...]
"""Words sorted by their families, at most one of each; () is where the campaign began."""

MIXES = ((0.9, 0.1), (0.5, 0.5))
"""Shares of what f varies by that families bring alone, and together; the likelier of them is taken."""
DEPTH, OWN = 0.02, 0.02
"""The same of depth, and of a recipe by itself."""
FADE = 0.8
"""What is left of the joint part with each family that differs."""
OCTAVES = 2.0
"""The logarithm (base 2) of a ratio of two numbers at which e⁻¹ of their likeness is left."""
NOISE_RATIOS = (0.03, 0.1, 0.3, 1.0, 3.0)
FAILED = 0.1
"""Bits per byte by which a failure counts as worse than the worst score."""
NEWEST = 2000
"""Scores that are kept: a Cholesky factor of so many takes tenths of a second."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One complete run's score on the validation split; bpb None: it failed."""

    address: Address
    seed: int
    bpb: float | None


def changed(address: Address, word: str) -> Address:
    """`address` with the words of a stack in place of what it has of their families."""
    by_family = {family_of(each): each for each in address}
    by_family |= {family_of(each): each for each in words_of(word)}
    return tuple(by_family[name] for name in sorted(by_family))


def difference(base: Address, other: Address) -> str | None:
    """The stack that leads from `base` to `other`; None where it would have to take a word back."""
    if {family_of(word) for word in base} - {family_of(word) for word in other}:
        return None
    return "+".join(word for word in other if word not in base)


@final
class Belief:
    """Fitted when it is made. Needs an observation that has a score. families: how many there are to choose from."""

    def __init__(self, observations: Sequence[Observation], families: int) -> None:
        seen = list(observations)
        worst = max(each.bpb for each in seen if each.bpb is not None) + FAILED
        y = np.array([worst if each.bpb is None else each.bpb for each in seen])
        self._addresses, self._families = [each.address for each in seen], max(families, 1)
        seeds = np.array([each.seed for each in seen])
        noise = np.eye(len(seen)) + (seeds[:, None] == seeds[None, :])
        parts = self._parts(self._addresses, self._addresses)
        fits = [(_fit(_mixed(parts, mix) + ratio * noise, y, ratio), mix) for mix in MIXES for ratio in NOISE_RATIOS]
        best, self._mix = max(fits, key=lambda fit: fit[0].likelihood)
        self._factor, self._weights, self._ones = best.factor, best.weights, best.ones
        self._mean, self._information, self._scale = best.mean, best.information, best.scale
        self.noise_bpb = math.sqrt(2.0 * best.scale * best.ratio)
        """Standard deviation of the difference of two runs of recipes that are equally good, on one seed."""

    def of(self, addresses: Sequence[Address], joint: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The posterior mean [n] and covariance [n, n] of f in bits per byte, seeds and noise left out; the mean
        alone, which is cheap, where it isn't asked to be `joint`."""
        cross = self._similarity(self._addresses, addresses)
        mean = self._mean + cross.T @ self._weights
        if not joint:
            return mean, np.empty((0, 0))
        half = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        left = 1.0 - cross.T @ self._ones
        cov = self._similarity(addresses, addresses) - half.T @ half + np.outer(left, left) / self._information
        return mean, self._scale * cov

    def spread(self, addresses: Sequence[Address]) -> tuple[np.ndarray, np.ndarray]:
        """What joint draws of f are made of: the mean, and the lower root of the covariance."""
        mean, cov = self.of(addresses)
        jitter = 1e-8 * float(np.trace(cov)) / len(mean) + 1e-15
        return mean, cholesky(cov + jitter * np.eye(len(mean)), lower=True, check_finite=False)

    def _similarity(self, rows: Sequence[Address], columns: Sequence[Address]) -> np.ndarray:
        """K, [rows, columns]."""
        return _mixed(self._parts(rows, columns), self._mix)

    def _parts(self, rows: Sequence[Address], columns: Sequence[Address]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What K is mixed of: families alone, together, the rest."""
        (rows, place), (columns, across) = _distinct(rows), _distinct(columns)
        left, right = list(map(_variants, rows)), list(map(_variants, columns))
        differ = np.zeros((len(rows), len(columns)))
        for name in sorted({name for each in (*left, *right) for name in each}):
            differ += 1.0 - _alike([each.get(name) for each in left], [each.get(name) for each in right])
        differ = differ[np.ix_(place, across)]
        alone, together = 1.0 - differ / self._families, FADE**differ
        depth = np.outer([len(rows[i]) for i in place], [len(columns[i]) for i in across])
        return alone, together, DEPTH * depth + OWN * (differ == 0.0)


@dataclass(frozen=True)
class _Fit:
    ratio: float
    factor: np.ndarray
    weights: np.ndarray
    ones: np.ndarray
    mean: float
    information: float
    scale: float
    likelihood: float


def _fit(kernel: np.ndarray, y: np.ndarray, ratio: float) -> _Fit:
    """The likeliest scale and mean with this noise ratio, by restricted likelihood."""
    n = len(y)
    factor = cholesky(kernel + 1e-9 * np.eye(n), lower=True, check_finite=False)
    ones = cho_solve((factor, True), np.ones(n), check_finite=False)
    information = float(ones.sum())
    mean = float(ones @ y) / information
    weights = cho_solve((factor, True), y - mean, check_finite=False)
    freedom = max(n - 1, 1)
    scale = max(float((y - mean) @ weights) / freedom, 1e-12)
    logdet = 2.0 * float(np.log(np.diag(factor)).sum()) + math.log(information)
    return _Fit(ratio, factor, weights, ones, mean, information, scale, -0.5 * (freedom * math.log(scale) + logdet))


def _mixed(parts: tuple[np.ndarray, np.ndarray, np.ndarray], mix: tuple[float, float]) -> np.ndarray:
    alone, together, rest = parts
    return mix[0] * alone + mix[1] * together + rest


def _distinct(addresses: Sequence[Address]) -> tuple[list[Address], list[int]]:
    """Each once, and the place of every one among them: recipes have many runs."""
    place = {address: i for i, address in enumerate(dict.fromkeys(addresses))}
    return list(place), [place[address] for address in addresses]


@lru_cache(maxsize=4096)
def _variants(address: Address) -> dict[str, str]:
    """Family → variant."""
    return {family_of(word): word.partition(":")[2] for word in address}


def _alike(left: list[str | None], right: list[str | None]) -> np.ndarray:
    """How alike the variants of one family are, from 0 to 1; None: as it was at the beginning."""
    variants = sorted({each for each in (*left, *right) if each is not None})
    code = {variant: i for i, variant in enumerate([None, *variants])}
    octaves = np.array([math.nan, *map(_octave, variants)])
    near = np.exp(-np.abs(octaves[:, None] - octaves[None, :]) / OCTAVES)
    alike = np.where(np.eye(len(code), dtype=bool), 1.0, np.nan_to_num(near, nan=0.0))
    return alike[np.array([code[each] for each in left])][:, [code[each] for each in right]]


def _octave(variant: str) -> float:
    """The logarithm of a number; nan for what is none, or has none."""
    try:
        value = float(variant)
    except ValueError:
        return math.nan
    return math.log2(value) if 0.0 < value < math.inf else math.nan

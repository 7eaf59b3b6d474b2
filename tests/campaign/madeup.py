"""A made-up table with known effects, small and quick, for tests of the replay."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.campaign.table import NOOP, Space, Table

EFFECTS = {"a": (0.0, 0.10, -0.05), "b": (0.0, 0.05), "c": (0.0, -0.02, 0.0), "d": (0.0, 0.03)}
"""Family → what each variant gains, in bits per byte; they add up."""


def table(seeds: int = 60, noise: float = 0.03, shared: float = 0.5, noops: int = 3, seed: int = 0) -> Table:
    """`shared`: the part of a score's variance that is the seed's own, whatever the recipe."""
    rng = np.random.default_rng(seed)
    gains = np.array([sum(each) for each in itertools.product(*EFFECTS.values())])
    families = {name: tuple(str(i) for i in range(len(gains))) for name, gains in EFFECTS.items()}
    space = Space(families | {NOOP: tuple(str(i) for i in range(noops + 1))})

    def scores() -> np.ndarray:
        common = rng.normal(size=(1, seeds)) * shared**0.5
        own = rng.normal(size=(len(gains), seeds)) * (1 - shared) ** 0.5
        return 3.0 - gains[:, None] + noise * (common + own)

    keys = [("validation", 0.25), *((split, 1.0) for split in ("validation", "certification", "test"))]
    return Table(space, {key: scores() for key in keys})

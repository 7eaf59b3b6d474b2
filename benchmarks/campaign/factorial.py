"""The space of the proof: a closed factorial of ordinary mutations of tiny.yaml, so that every stack is in the table.

May not: train, know a score.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

from foundry.mutate import mutate
from foundry.recipe import Recipe

BASELINE = Path(__file__).parent / "tiny.yaml"
FACTORS: dict[str, tuple[str, ...]] = {
    "position": ("none", "alibi", "rope"),
    "lr": ("0.006", "0.012", "0.024"),
    "activation": ("gelu", "relu2"),
    "norm": ("layernorm", "rmsnorm", "qknorm"),
    "batch_size": ("8", "4"),
    "schedule": ("cosine", "wsd"),
}
"""Family → its variants; the first is the baseline's. Each variant claims the same paths from any point."""
Point = tuple[str, ...]
"""A variant of each family, in the order of FACTORS."""


def points() -> list[Point]:
    """Every point, the baseline first."""
    return list(itertools.product(*FACTORS.values()))


def label(point: Point) -> str:
    """The mutation that leads from the baseline to this point; "" for the baseline itself."""
    pairs = zip(FACTORS.items(), point, strict=True)
    return "+".join(f"{family}:{variant}" for (family, variants), variant in pairs if variant != variants[0])


@cache
def recipe(point: Point) -> Recipe:
    baseline = Recipe.load(BASELINE)
    return mutate(baseline, label(point))[0] if label(point) else baseline


@cache
def by_fingerprint() -> dict[str, Point]:
    return {recipe(point).fingerprint: point for point in points()}

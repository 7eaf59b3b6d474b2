"""σ₀: pooled over past tests, robust, and blind to the test that it is for."""

from __future__ import annotations

import random

import pytest

from foundry.stats.noise_scale import pooled_sigma0


def past_groups(sigma: float, count: int = 40, awful: float = 0.0) -> list[list[float]]:
    rng = random.Random(1)
    groups = []
    for _ in range(count):
        effect = rng.gauss(0, 10 * sigma)
        groups.append([effect + rng.gauss(0, sigma) - (50 * sigma) * (rng.random() < awful) for _ in range(6)])
    return groups


def test_the_scale_is_that_of_the_noise_and_no_effect_enters() -> None:
    assert pooled_sigma0(past_groups(0.02)) == pytest.approx(0.02, rel=0.15)


def test_a_few_awful_runs_move_it_little() -> None:
    assert pooled_sigma0(past_groups(0.02, awful=0.04)) == pytest.approx(0.02, rel=0.35)


@pytest.mark.parametrize("groups", [[], [[0.1]], [[0.1, 0.2]], [[0.3] * 6]])
def test_without_enough_spread_to_see_the_default_stands(groups: list[list[float]]) -> None:
    assert pooled_sigma0(groups, default_bpb=0.5) == 0.5

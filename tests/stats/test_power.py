"""The vectorised twin equals the process it stands for, and the power is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.verdicts import power_curves, rules
from foundry.stats.error_budget import needs
from foundry.stats.power import certify_many, smallest_effect
from foundry.stats.sequential_test import Plan, certify
from foundry.stats.verdict import tail_guard


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01, 1e-4])
def test_the_twin_decides_as_the_process_does(alpha: float) -> None:
    rng = np.random.default_rng(7)
    pairs = needs(alpha)
    differences_RN = 0.8 + rng.standard_t(3, (150, pairs))
    differences_RN[rng.random((150, pairs)) < 0.05] = np.nan
    sigma0_R = rng.uniform(0.3, 3.0, 150)
    promoted_R, used_R = certify_many(differences_RN, alpha, pairs, sigma0_R)
    for r in range(150):
        plan = Plan(alpha, sigma0_bpb=sigma0_R[r], max_pairs=pairs, relevant_bpb=1.0)
        row = [None if np.isnan(x) else float(x) for x in differences_RN[r]]
        evidence, decision = certify(plan, row)
        assert (decision.word == "better", evidence.n) == (promoted_R[r], used_R[r])


def test_rows_with_their_own_alpha_and_n_decide_as_they_would_alone() -> None:
    rng = np.random.default_rng(8)
    differences_RN = 1.0 + rng.standard_normal((40, 20))
    alpha_R = np.array([0.05, 1e-4] * 20)
    pairs_R = np.array([needs(alpha) for alpha in alpha_R])
    together = certify_many(differences_RN, alpha_R, pairs_R)
    for r in range(40):
        alone = certify_many(differences_RN[r : r + 1], alpha_R[r], pairs_R[r])
        assert (together[0][r], together[1][r]) == (alone[0][0], alone[1][0])


@pytest.mark.parametrize("sigma0", [0.5, 1.0, 2.0])
def test_power_at_twelve_pairs_is_what_was_asked_for_even_with_the_scale_off_by_two(sigma0: float) -> None:
    noise_RN = np.random.default_rng(9).standard_normal((4000, 12))
    for effect, required in power_curves.REQUIRED.items():
        assert certify_many(noise_RN + effect, 0.01, 12, sigma0)[0].mean() >= required + (0.015 if effect < 2 else 0.01)


def test_it_beats_the_mean_of_tanh_products_and_comes_close_to_the_best_possible() -> None:
    noise_RN = np.random.default_rng(10).standard_normal((4000, 12))
    for effect in (0.5, 1.0):
        ours = certify_many(noise_RN + effect, 0.01, 12)[0].mean()
        assert ours > 1.4 * rules.tanh_mixture(noise_RN + effect, 0.01)[0].mean()
        assert ours > 0.95 * power_curves.best_possible(0.01, 12, effect)


def test_the_smallest_effect_is_seen_with_the_chance_it_names() -> None:
    effect = smallest_effect(40, 12)
    noise_RN = np.random.default_rng(11).standard_normal((4000, 12))
    assert certify_many(noise_RN + effect, 40 / 2**12, 12)[0].mean() == pytest.approx(0.8, abs=0.03)


def test_the_vectorised_tail_guard_is_the_tail_guard() -> None:
    rng = np.random.default_rng(12)
    differences_RN, fresh_RM = 0.3 + rng.standard_normal((200, 6)), 0.1 + rng.standard_normal((200, 3))
    used_R = rng.integers(3, 7, 200)
    passed_R = rules.unblocked(differences_RN, used_R, fresh_RM)
    for r in range(200):
        guard = tail_guard(differences_RN[r, : used_R[r]].tolist(), fresh_RM[r].tolist())
        assert guard.passed == passed_R[r]
    assert 0.2 < passed_R.mean() < 0.8

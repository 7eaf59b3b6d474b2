"""The error budget: what each test may spend, seasons, and the bound over a whole campaign."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.verdicts import campaign, repeats
from foundry.core.errors import RequestError
from foundry.stats.error_budget import (
    LARGEST_ALPHA,
    Budget,
    Control,
    affordable,
    grant,
    needs,
    new_season,
    next_alpha,
    promoted,
    remaining_tests,
)
from foundry.stats.sequential_test import Plan

histories = st.lists(st.booleans(), max_size=60)


@given(histories, st.sampled_from(["fdr", "fwer"]))
def test_a_season_never_spends_more_than_q(history: list[bool], control: Control) -> None:
    budget, paid = Budget(control), {1: 0.0}
    for outcome in history:
        given_now, after = grant(budget)
        weight = given_now.promotions_known + 1 if control == "fdr" else 1
        paid[given_now.season] = paid.get(given_now.season, 0.0) + given_now.alpha / weight
        budget = promoted(after, given_now) if outcome else after
    assert all(total <= budget.q for total in paid.values())


def test_promotions_earn_alpha_under_fdr_and_nothing_under_the_others() -> None:
    policies: tuple[tuple[Control, bool], ...] = (("fdr", True), ("fwer", False), ("per-comparison", False))
    for control, earns in policies:
        first, after = grant(Budget(control, q=0.05, base_pairs=14))
        assert (next_alpha(promoted(after, first)) > next_alpha(after)) == earns


def test_a_promotion_counts_only_for_tests_that_start_after_it() -> None:
    first, budget = grant(Budget())
    second, budget = grant(budget)
    budget = promoted(promoted(budget, first), second)
    third, _budget = grant(budget)
    assert (first.promotions_known, second.promotions_known, third.promotions_known) == (0, 0, 2)


def test_per_comparison_spends_the_same_for_ever() -> None:
    budget = Budget("per-comparison", q=0.01)
    for _ in range(50):
        given_now, budget = grant(budget)
        assert (given_now.alpha, given_now.season) == (0.01, 1)


def test_no_test_spends_more_than_a_quarter() -> None:
    assert next_alpha(replace(Budget(), promotions=1000)) == LARGEST_ALPHA


def test_every_grant_can_be_planned_and_a_new_season_opens_on_the_record_when_it_could_not() -> None:
    budget = Budget(max_pairs=12)
    seasons = []
    for _ in range(30):
        given_now, budget = grant(budget)
        Plan(given_now.alpha, sigma0_bpb=1.0, max_pairs=given_now.pairs)
        seasons.append(given_now.season)
    first = remaining_tests(Budget(max_pairs=12))
    assert seasons.count(1) == first
    assert seasons == sorted(seasons) and seasons[-1] == 1 + 29 // first


def test_a_promotion_of_an_old_season_earns_nothing_in_the_new_one() -> None:
    old, budget = grant(Budget())
    budget = new_season(budget)
    assert promoted(budget, old) == budget


def test_more_pairs_make_a_season_last() -> None:
    short, middle, long = (remaining_tests(Budget(max_pairs=pairs)) for pairs in (12, 16, 24))
    assert short < middle < long
    assert long > 600


def test_what_the_next_test_needs_grows_with_the_logarithm_of_its_alpha() -> None:
    assert needs(0.01) == 12
    assert needs(1e-4) == 17
    assert needs(1e-6) == 23


@given(histories)
def test_a_stored_budget_goes_on_where_it_was(history: list[bool]) -> None:
    budget = Budget()
    for outcome in history:
        given_now, budget = grant(budget)
        budget = promoted(budget, given_now) if outcome else budget
    assert Budget.from_json(json.loads(json.dumps(budget.to_json()))) == budget


def test_a_budget_that_could_never_pay_for_a_test_is_refused() -> None:
    with pytest.raises(RequestError, match="no season could pay"):
        Budget(q=1e-6)
    with pytest.raises(RequestError, match="did you mean 'fdr'"):
        Budget("fdrr")  # type: ignore[arg-type]


@pytest.mark.parametrize("control", ["fdr", "fwer", "per-comparison"])
def test_the_budgets_of_the_simulations_are_these_budgets(control: Control) -> None:
    rule = Budget(control, q=0.1, max_pairs=14)
    many, ones = campaign.Budgets(3, rule), [rule] * 3
    rng = np.random.default_rng(5)
    for _ in range(80):
        alpha_C, pairs_C = many.grant()
        season_C = many.season_C.copy()
        outcome_C = rng.random(3) < 0.15
        for c in range(3):
            assert affordable(ones[c]) or control != "per-comparison"
            given_now, ones[c] = grant(ones[c])
            assert given_now.alpha == pytest.approx(alpha_C[c], rel=1e-12)
            assert (given_now.pairs, given_now.season) == (pairs_C[c], season_C[c])
            ones[c] = promoted(ones[c], given_now) if outcome_C[c] else ones[c]
        many.promoted(outcome_C, season_C)


@pytest.mark.parametrize("proposer", campaign.PROPOSERS)
@pytest.mark.parametrize("kind", ["normal", "t3", "heteroscedastic"])
def test_the_expected_worst_share_of_false_promotions_stays_within_q(proposer: str, kind: str) -> None:
    budget = Budget(q=0.10)
    ours = campaign.run("foundry, unguarded", kind, proposer, 600, 80, 1, budget).summary()
    assert ours["sup_fdp"] - ours["sup_fdp_error"] <= 0.10
    assert proposer == "no-ops" or ours["true_per_campaign"] > 3  # and it isn't for promoting nothing


@pytest.mark.parametrize("rule", ["paired t, peeking", "foundry, stored baseline", "lowest loss wins", "bootstrap"])
def test_the_same_campaigns_catch_rules_that_promote_noise(rule: str) -> None:
    theirs = campaign.run(rule, "normal", "no-ops", 300, 80, 1, Budget(q=0.10)).summary()
    assert theirs["sup_fdp"] - theirs["sup_fdp_error"] > 0.10


def test_without_a_correction_for_the_number_of_tests_false_promotions_pile_up() -> None:
    budget = Budget("per-comparison", q=0.01)
    loose = campaign.run("foundry, unguarded", "normal", "no-ops", 300, 80, 1, budget).summary()
    assert loose["sup_fdp"] > 0.3


@pytest.mark.parametrize("times", [10, 30])
def test_promoting_one_real_gain_again_and_again_earns_nothing_for_no_ops(times: int) -> None:
    mean, error = repeats.estimate("distinct, standing", times, 500)
    assert mean - 2 * error <= 0.10


def test_counting_every_passed_test_would_have_let_false_promotions_past_q() -> None:
    mean, error = repeats.estimate("passed tests", 30, 500, first_share=10.0)
    assert mean - 2 * error > 0.10

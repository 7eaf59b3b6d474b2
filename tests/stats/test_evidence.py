"""The evidence process: exact martingale, stopping, resumption, intervals."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.core.errors import RequestError
from foundry.stats import sequential_test as module
from foundry.stats.sequential_test import (
    Evidence,
    Plan,
    certified_bpb,
    certify,
    decide,
    fewest_pairs,
    interval_bpb,
    split,
)

Sizes = Callable[[tuple[int, ...]], float]


def plan(alpha: float = 0.05, pairs: int = 10, **more: float | None) -> Plan:
    more = {"relevant_bpb": 1.0} | more  # spares the simulation of what the plan could have seen
    return Plan(alpha, sigma0_bpb=1.0, max_pairs=pairs, **more)  # type: ignore[arg-type]


def paths(pairs: int, size: Sizes, centre: float = 0.0) -> list[list[float]]:
    """All 2^N differences: symmetric about `centre`, each size a function of the signs before it."""
    return [
        [centre + sign * size(signs[:i]) for i, sign in enumerate(signs)]
        for signs in itertools.product((-1, 1), repeat=pairs)
    ]


def drifting(past: tuple[int, ...]) -> float:
    """Sizes that depend on the past, as no permutation test would allow."""
    return 0.3 + 0.4 * len(past) % 1.7 + (1.5 if sum(past) > 1 else 0.0)


SIZES: dict[str, Sizes] = {
    "equal": lambda past: 1.0,
    "growing": lambda past: 0.1 * 2 ** len(past),
    "drifting with the past": drifting,
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_the_mean_of_e_over_all_signs_is_exactly_one_at_every_n(size: Sizes, alpha: float) -> None:
    the_plan = plan(alpha, pairs=8 if alpha > 0.01 else 9)
    all_paths = paths(the_plan.max_pairs, size)
    for n in range(the_plan.max_pairs + 1):
        total = sum(Evidence.of(the_plan, path[:n]).left for path in all_paths)
        assert total * 2**n == the_plan.winners * len(all_paths)  # in whole numbers: E[E_n] = 1


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("centre", [0.0, -0.2, -1.0])
def test_no_more_than_alpha_of_symmetric_paths_are_ever_promoted(size: Sizes, centre: float) -> None:
    the_plan = plan(0.05)
    words = [certify(the_plan, path)[1].word for path in paths(10, size, centre)]
    assert words.count("better") <= the_plan.alpha * len(words)
    if centre == 0.0 and size(()) == 1.0:
        assert words.count("better") > 0.9 * the_plan.alpha * len(words)  # and nearly all of α is used


def test_the_mean_of_e_is_at_most_one_below_zero_and_more_with_bets_that_are_not_monotone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below = paths(8, lambda past: 1.0, centre=-0.4)  # differences of 0.6 and −1.4
    the_plan = plan(0.2, pairs=8)

    def mean() -> float:
        return sum(Evidence.of(the_plan, path).e_value for path in below) / len(below)

    assert mean() <= 1.0
    honest = module.split

    def redescending(left: int, remaining: int, size: float) -> tuple[int, int]:
        return honest(left, remaining, size if size < 0.8 else 0.0)

    monkeypatch.setattr(module, "split", redescending)
    assert mean() > 1.0


def test_peeking_at_a_t_test_promotes_more_than_alpha_of_the_same_paths() -> None:
    def peeks(path: list[float]) -> bool:
        for n, bar in ((3, 2.920), (5, 2.132), (8, 1.895), (10, 1.833)):  # one-sided 5 %
            mean = sum(path[:n]) / n
            spread = math.sqrt(sum((x - mean) ** 2 for x in path[:n]) / (n - 1))
            if mean > bar * spread / math.sqrt(n):
                return True
        return False

    all_paths = paths(10, drifting)
    assert sum(map(peeks, all_paths)) > 1.5 * 0.05 * len(all_paths)


@given(
    remaining=st.integers(1, 60),
    share=st.floats(0, 1),
    size=st.floats(0, 50),
    more=st.floats(0, 5),
    another=st.integers(0, 3),
)
def test_a_split_is_fair_and_grows_with_the_size_and_with_what_is_left(
    remaining: int, share: float, size: float, more: float, another: int
) -> None:
    whole = 2**remaining
    left = min(int(share * whole), whole)
    plus, minus = split(left, remaining, size)
    assert plus + minus == left
    assert whole // 2 >= plus >= minus >= 0
    assert split(left, remaining, size + more)[0] >= plus
    if remaining <= 30:  # beyond, doubles round the shares themselves
        richer = split(min(left + another, whole), remaining, size)
        assert richer[0] >= plus and richer[1] >= minus


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=12, max_size=12), st.floats(0, 3))
def test_what_wins_every_pair_by_more_than_a_promoted_one_is_promoted_too(
    differences: list[float], more: float
) -> None:
    the_plan = plan(0.05, pairs=12)
    if certify(the_plan, differences)[1].word == "better":
        assert certify(the_plan, [x + more for x in differences])[1].word == "better"


def test_ties_never_promote() -> None:
    evidence, decision = certify(plan(0.2, pairs=12), [0.0] * 12)
    assert decision.word == "not_better"
    assert evidence.e_value <= 1.0


def test_a_gain_no_larger_than_the_least_effect_never_promotes() -> None:
    gains = [0.5] * 12
    assert certify(plan(pairs=12), gains)[1].word == "better"
    assert certify(plan(pairs=12, min_effect_bpb=0.5), gains)[1].word != "better"


def test_no_promotion_on_fewer_than_three_pairs() -> None:
    evidence, decision = certify(plan(0.25, pairs=12), [9.0] * 12)
    assert (decision.word, evidence.n) == ("better", 3)
    assert decide(Evidence.of(plan(0.25, pairs=12), [9.0] * 2)).word == "continue"


def test_a_huge_gain_needs_no_more_pairs_than_the_logarithm_of_one_over_alpha() -> None:
    for alpha in (0.05, 0.01, 0.001):
        evidence, decision = certify(plan(alpha, pairs=20), [100.0] * 20)
        assert decision.word == "better"
        assert evidence.n == fewest_pairs(alpha) == math.ceil(math.log2(1 / alpha))


def test_a_test_stops_once_its_goal_is_out_of_reach() -> None:
    evidence, decision = certify(plan(0.01, pairs=12), [-3.0] * 12)
    assert evidence.n < 6
    assert evidence.left == 0
    assert decision.word == "not_better"
    with_luck = [*evidence.differences, *[100.0] * (12 - evidence.n)]
    assert Evidence.of(evidence.plan, with_luck).e_value == 0.0


def test_what_comes_after_the_stopping_time_is_not_looked_at() -> None:
    start = [2.0] * 12
    stopped, decision = certify(plan(0.05, pairs=12), start)
    assert decision.word == "better" and stopped.n < 12
    assert certify(plan(0.05, pairs=12), [*start[: stopped.n], *[-9.0] * 5])[0] == stopped


@given(st.lists(st.one_of(st.none(), st.floats(-3, 3)), max_size=12), st.integers(0, 12))
def test_a_stored_test_goes_on_where_it_was(differences: list[float | None], cut: int) -> None:
    whole = Evidence.of(plan(0.05, pairs=12), differences)
    stored = json.dumps(Evidence.of(plan(0.05, pairs=12), differences[:cut]).to_json(), allow_nan=False)
    resumed = Evidence.from_json(json.loads(stored))
    for difference in differences[cut:]:
        resumed = resumed.add(difference)
    assert resumed == whole


def test_a_pair_without_a_number_leaves_the_evidence_and_takes_a_pair() -> None:
    before = Evidence.of(plan(0.05, pairs=12), [1.0, 1.0])
    after = before.add(None)
    assert after.n == 3 and after.measured == before.measured
    assert 0.95 * before.e_value < after.e_value <= before.e_value


def test_a_wrong_scale_never_makes_a_no_op_more_likely_to_pass() -> None:
    for sigma0 in (0.01, 1.0, 100.0):
        the_plan = replace(plan(0.05, pairs=10), sigma0_bpb=sigma0)
        words = [certify(the_plan, path)[1].word for path in paths(10, drifting)]
        assert words.count("better") <= 0.05 * len(words)


def test_an_effect_is_certified_exactly_when_it_is_promoted_and_never_above_the_mean() -> None:
    rng = random.Random(1)
    for _ in range(60):
        evidence, decision = certify(plan(0.05, pairs=12), [rng.gauss(1.0, 1.0) for _ in range(12)])
        certified = certified_bpb(evidence)
        assert (certified is not None) == (decision.word == "better")
        if certified is not None:
            assert 0.0 <= certified < sum(evidence.measured) / evidence.n


def test_the_certified_effect_is_above_the_true_one_in_no_more_than_alpha_of_tests() -> None:
    rng = random.Random(2)
    tests = 400
    over = 0
    for _ in range(tests):
        evidence, _decision = certify(plan(0.05, pairs=12), [rng.gauss(1.0, 1.0) for _ in range(12)])
        over += (certified_bpb(evidence) or 0.0) > 1.0
    assert over / tests < 0.05 + 3 * math.sqrt(0.05 * 0.95 / tests)


def test_the_interval_holds_the_effect_at_the_stopping_time() -> None:
    rng = random.Random(3)
    held = 0
    for _ in range(400):
        evidence, _decision = certify(plan(0.05, pairs=12), [rng.gauss(1.0, 1.0) for _ in range(12)])
        interval = interval_bpb(evidence)
        assert interval is not None
        held += interval[0] <= 1.0 <= interval[1]
    assert held / 400 > 0.91


def test_underpowered_says_what_may_hide_and_not_better_that_it_does_not() -> None:
    undecided = [1.0, -0.4, 0.9, -0.2, 0.7, -0.5, 1.1, -0.3, 0.8, -0.2, 0.6, -0.4]
    careful, coarse = plan(0.01, pairs=12, relevant_bpb=0.2), plan(0.01, pairs=12, relevant_bpb=2.0)
    assert certify(careful, undecided)[1].word == "underpowered"
    assert certify(coarse, undecided)[1].word == "not_better"


def test_a_plan_that_cannot_reach_its_alpha_is_refused_with_the_pairs_that_can() -> None:
    with pytest.raises(RequestError, match="max_pairs of at least 17"):
        plan(1e-5, pairs=12)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_failure_is_never_a_number(value: float) -> None:
    with pytest.raises(RequestError, match="not_a_number"):
        Evidence.start(plan()).add(value)


def test_a_test_never_runs_past_its_largest_n() -> None:
    full = Evidence.of(plan(pairs=10), [0.1] * 10)
    with pytest.raises(RequestError, match="too_many_pairs"):
        full.add(0.1)

"""From finished runs to a verdict: order, guards, re-measurement, words."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.core.errors import RequestError
from foundry.stats.sequential_test import Plan
from foundry.stats.verdict import Arm, Cost, Score, Verdict, judge, remeasure, tail_guard

PLAN = Plan(0.05, sigma0_bpb=0.01, max_pairs=12, relevant_bpb=0.01)
SEEDS = [1000 + i for i in range(12)]
FRESH = [2000 + i for i in range(8)]


def arm(name: str, scores: Sequence[float | str], seeds: list[int] = SEEDS, **more: Any) -> Arm:
    """Runs in the order of `seeds`; a string is the reason of a failure."""
    runs = [
        Score(f"{name}{seed}", seed, score) if isinstance(score, str) else Score(f"{name}{seed}", seed, "done", score)
        for seed, score in zip(seeds, scores, strict=False)
    ]
    return Arm(name, f"fingerprint of {name}", tuple(runs), **more)


def baseline(count: int = 12) -> list[float | str]:
    rng = random.Random(0)
    return [2.0 + rng.gauss(0, 0.005) for _ in range(count)]


def better(by: float = 0.03, count: int = 12) -> list[float | str]:
    rng = random.Random(1)
    return [float(score) - by + rng.gauss(0, 0.004) for score in baseline(count)]


def settled(first: Arm, second: Arm, plan: Plan = PLAN) -> Verdict:
    verdict = judge(first, second, plan, SEEDS)
    assert verdict is not None
    return verdict


def test_a_real_gain_is_promoted_with_all_that_it_rests_on() -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", better()))
    assert verdict.word == "better"
    assert verdict.evidence is not None and verdict.evidence >= 1 / PLAN.alpha
    assert verdict.effect_bpb == pytest.approx(0.03, abs=0.005)
    assert verdict.interval_bpb is not None and verdict.certified_bpb is not None
    assert verdict.effect_bpb is not None and 0 < verdict.certified_bpb < verdict.effect_bpb
    assert verdict.correlation is not None and verdict.correlation > 0.5
    assert "gqa is better than base by +0.0" in verdict.to_json()["says"]


def test_the_json_has_the_promised_keys_and_only_numbers_that_json_knows() -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", ["nan", *better()[1:]]))
    text = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    promised = {"verdict", "effect_bpb", "interval_bpb", "n", "evidence", "alpha", "match", "arms"}
    assert promised <= text.keys()
    assert text["arms"][1]["runs"][0] == {"run": "gqa1000", "seed": 1000, "status": "nan", "val_bpb": None}


def test_swapping_the_arms_of_a_gain_gives_no_promotion() -> None:
    verdict = settled(arm("gqa", better()), arm("base", baseline()))
    assert verdict.word == "not_better"
    assert verdict.effect_bpb is not None and verdict.effect_bpb < 0


def test_identical_arms_are_never_better() -> None:
    assert settled(arm("base", baseline()), arm("renamed", baseline())).word == "not_better"


def test_the_verdict_waits_for_pairs_in_the_order_of_the_seeds_whichever_finish_first() -> None:
    late = arm("gqa", better()[1:], SEEDS[1:])  # all but the first seed's run is there
    assert judge(arm("base", baseline()), late, PLAN, SEEDS) is None


def test_the_order_in_which_runs_are_listed_changes_nothing() -> None:
    runs = list(arm("gqa", better()).scores)
    random.Random(4).shuffle(runs)
    shuffled = Arm("gqa", "fingerprint of gqa", tuple(runs))
    first, second = settled(arm("base", baseline()), shuffled), settled(arm("base", baseline()), arm("gqa", better()))
    assert (first.word, first.differences, first.evidence) == (second.word, second.differences, second.evidence)


def test_runs_on_other_seeds_take_no_part() -> None:
    lucky = arm("gqa", [*baseline(), 0.1, 0.1], [*SEEDS, 1, 2])
    unlucky = arm("base", [*baseline(), 9.0, 9.0], [*SEEDS, 1, 2])
    assert settled(unlucky, lucky).word == "not_better"


@pytest.mark.parametrize("reason", ["nan", "oom", "timeout", "crash", "leak", "invalid"])
def test_a_candidate_that_fails_in_a_counted_pair_is_rejected_whatever_else_it_wins(reason: str) -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", [*better()[:3], reason, *better()[4:]]))
    assert verdict.word == "rejected" and verdict.n == 4
    assert reason in verdict.reasons[0]


def test_what_fails_after_the_deciding_pair_is_no_part_of_the_verdict() -> None:
    plan = Plan(0.01, sigma0_bpb=0.01, max_pairs=12, relevant_bpb=0.01)
    seven = settled(arm("base", baseline()[:7]), arm("gqa", better()[:7]), plan)
    assert seven.word == "better" and seven.n == 7
    for more in (["nan"], ["nan", "crash", 0.1, 9.0, "oom"]):
        assert settled(arm("base", baseline()), arm("gqa", [*better()[:7], *more]), plan) == seven


outcomes = st.floats(1.0, 3.2).map(lambda bpb: "nan" if bpb > 3.0 else bpb)


@given(
    st.lists(st.tuples(outcomes, outcomes), min_size=12, max_size=12),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from([-0.05, 0.0, 0.02]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_a_verdict_is_a_function_of_the_plan_and_the_counted_runs_alone(
    pairs: list[tuple[float | str, float | str]], gain: float, margin: float, chance: random.Random
) -> None:
    """Runs arrive in any order, with any that nobody asked for among them: the first verdict that can be given is the
    verdict, and all that came before it and comes after it changes nothing."""
    plan = Plan(0.05, sigma0_bpb=0.3, max_pairs=12, min_effect_bpb=margin, relevant_bpb=0.1)
    cost = Cost(1, 2.0, 3.0)
    theirs = [own if isinstance(own, str) else own + 2.0 - gain for _, own in pairs]
    ours = [own if isinstance(own, str) else own + 2.0 for own, _ in pairs]
    runs = [(side, replace(run, cost=cost)) for side in (0, 1) for run in arm("x", (ours, theirs)[side]).scores]
    others = [(side, replace(run, cost=cost)) for side in (0, 1) for run in arm("x", ["nan", 0.1], FRESH).scores]
    whole = judge(*arrived(runs), plan, SEEDS)
    assert whole is not None and len(whole.arms[0].scores) == len(whole.arms[1].scores) == whole.n
    assert whole.arms[0].cost == Cost(whole.n, 2.0 * whole.n, 3.0 * whole.n)
    order = [*runs, *others]
    chance.shuffle(order)
    found = [judge(*arrived(order[:count]), plan, SEEDS) for count in range(len(order) + 1)]
    first = next(i for i, verdict in enumerate(found) if verdict is not None)
    assert all(verdict == whole for verdict in found[first:])
    assert json.dumps(whole.to_json(), allow_nan=False)


def arrived(runs: list[tuple[int, Score]]) -> tuple[Arm, Arm]:
    first, second = (Arm(str(side), str(side), tuple(run for own, run in runs if own == side)) for side in (0, 1))
    return first, second


def test_not_worse_is_the_same_test_from_a_margin_below_and_has_its_guards() -> None:
    plan = replace(PLAN, min_effect_bpb=-0.05)
    level = [float(score) + 0.002 for score in baseline()]
    verdict = settled(arm("base", baseline()), arm("simpler", level), plan)
    assert verdict.word == "better" and verdict.effect_bpb == pytest.approx(-0.002)
    assert "simpler is not worse than base by 0.05 bpb or more: -0.002 bpb" in verdict.to_json()["says"]
    shifted = [float(score) - 0.05 for score in level]
    assert verdict.evidence == settled(arm("base", baseline()), arm("better", shifted)).evidence
    spy = settled(arm("base", baseline()), arm("spy", [0.5 * float(score) for score in baseline()]), plan)
    assert spy.word == "not_better" and "quarantine" in spy.reasons[-1]
    worse = [float(score) + 0.051 for score in baseline(8)]
    again = remeasure(verdict, arm("base", baseline(8), FRESH), arm("simpler", worse, FRESH), FRESH)
    assert again.word == "not_better" and "counted from -0.05" in again.reasons[-1]


def test_a_gain_that_is_below_the_smallest_wanted_when_measured_again_is_blocked() -> None:
    plan = replace(PLAN, min_effect_bpb=0.01)
    verdict = settled(arm("base", baseline()), arm("gqa", better()), plan)
    small = [float(score) - 0.009 for score in baseline(8)]
    again = remeasure(verdict, arm("base", baseline(8), FRESH), arm("gqa", small, FRESH), FRESH)
    assert (verdict.word, again.word) == ("better", "not_better")


def test_a_candidate_that_fails_where_the_baseline_fails_too_is_rejected_and_both_are_told() -> None:
    verdict = settled(arm("base", ["nan", *baseline()[1:]]), arm("gqa", ["nan", *better()[1:]]))
    assert verdict.word == "rejected"
    assert "on 1 of them with the baseline" in verdict.reasons[0]


def test_a_failed_run_of_the_baseline_is_no_win_for_the_candidate() -> None:
    failing = settled(arm("base", ["nan"] * 12), arm("gqa", better()))
    assert failing.word == "underpowered"
    assert failing.effect_bpb is None and failing.interval_bpb is None
    once = settled(arm("base", ["nan", *baseline()[1:]]), arm("gqa", better()))
    assert once.word == "better" and once.differences[0] is None
    assert once.n > settled(arm("base", baseline()), arm("gqa", better())).n


def test_arms_on_different_text_are_incomparable_and_the_difference_is_named() -> None:
    first = arm("base", baseline(), scale={"judged_hash": "aa", "split": "certification"})
    second = arm("gqa", better(), scale={"judged_hash": "bb", "split": "certification"})
    verdict = settled(first, second)
    assert verdict.word == "incomparable"
    assert verdict.reasons == ("the arms differ in judged_hash",)


def test_an_inconclusive_test_says_the_smallest_effect_it_could_have_seen() -> None:
    effects = [1.0, -0.4, 0.9, -0.2, 1.7, -0.5, 1.1, 1.3, 0.8, -0.2, 1.6, -0.6]  # in standard deviations
    noisy: list[float | str] = [float(score) - 0.01 * x for score, x in zip(baseline(), effects, strict=True)]
    plan = Plan(0.01, sigma0_bpb=0.01, max_pairs=12)
    verdict = settled(arm("base", baseline()), arm("x", noisy), plan)
    assert verdict.word == "underpowered"
    assert verdict.smallest_effect_bpb == pytest.approx(1.1 * 0.0089, rel=0.1)  # 80 % power, at the pooled scale


def test_a_seed_run_twice_is_refused_as_a_second_chance() -> None:
    twice = arm("gqa", [*better(), 0.5], [*SEEDS, SEEDS[0]])
    with pytest.raises(RequestError, match="two_runs_of_a_seed"):
        judge(arm("base", baseline()), twice, PLAN, SEEDS)


def test_seeds_must_be_all_of_the_plans_and_different() -> None:
    for seeds in (SEEDS[:5], [SEEDS[0]] * 12):
        with pytest.raises(RequestError, match="bad_seeds"):
            judge(arm("base", baseline()), arm("gqa", better()), PLAN, seeds)


def test_a_failed_run_with_a_score_is_refused() -> None:
    with pytest.raises(RequestError):
        Score("r", 1, "nan", 2.0)
    with pytest.raises(RequestError):
        Score("r", 1, "done", None)


def test_a_promotion_is_measured_again_on_fresh_seeds() -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", better()))
    again = remeasure(verdict, arm("base", baseline(8), FRESH), arm("gqa", better(0.02, 8), FRESH), FRESH)
    assert again.word == "better" and again.remeasured is not None
    assert again.remeasured.effect_bpb == pytest.approx(0.02, abs=0.005)
    assert again.effect_bpb == verdict.effect_bpb
    assert "measured again on 8 fresh seeds" in again.to_json()["says"]


def test_a_gain_that_is_gone_when_measured_again_is_blocked() -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", better()))
    again = remeasure(verdict, arm("base", baseline(8), FRESH), arm("gqa", better(-0.001, 8), FRESH), FRESH)
    assert again.word == "not_better"
    assert "blocked" in again.reasons[-1]


def test_a_candidate_that_diverges_when_measured_again_is_rejected() -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", better()))
    diverging = arm("gqa", [*better(0.03, 7), "nan"], FRESH)
    assert remeasure(verdict, arm("base", baseline(8), FRESH), diverging, FRESH).word == "rejected"


def test_a_measurement_again_may_not_leave_out_a_seed() -> None:
    verdict = settled(arm("base", baseline()), arm("gqa", better()))
    with pytest.raises(RequestError, match="missing_runs"):
        remeasure(verdict, arm("base", baseline(8), FRESH), arm("gqa", better(0.03, 7), FRESH), FRESH)


def test_usually_better_and_sometimes_awful_is_blocked_when_the_awful_shows() -> None:
    assert not tail_guard([1.0, 1.2, 0.9, 1.1, -4.0]).passed
    assert not tail_guard([1.0, 1.2, 0.9, 1.1], [1.0, -4.0]).passed
    assert tail_guard([1.0, 1.2, 0.9, 1.1, -0.3], [0.8, 1.0]).passed


def test_guards_only_ever_block() -> None:
    """Over many outcomes, whatever is better with its guards was promoted by the evidence alone."""
    rng = random.Random(6)
    for shift, spread in itertools.product((0.0, 0.01, 0.02), (0.005, 0.02)):
        scores: list[float | str] = [float(score) - shift + rng.gauss(0, spread) for score in baseline()]
        verdict = settled(arm("base", baseline()), arm("x", scores))
        if verdict.word == "better":
            assert verdict.evidence is not None and verdict.evidence * PLAN.alpha >= 1.0


def test_a_gain_that_no_honest_change_makes_waits_for_a_person() -> None:
    impossible = settled(arm("base", baseline()), arm("spy", [0.9 * float(score) - 1.0 for score in baseline()]))
    assert impossible.word == "not_better" and "quarantine until a person has looked" in impossible.reasons[-1]
    assert {guard.name: guard.passed for guard in impossible.guards}["plausible"] is False

"""What a pair of runs spent, beside what was counted: beyond the bound a rejection, and chance decides nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from foundry.stats.sequential_test import Plan
from foundry.stats.spending import (
    MOST_BY_CLAIM,
    MOST_BY_FLOPS,
    MOST_BY_SECONDS,
    carried_on,
    excess,
    spending,
    spending_guard,
)
from foundry.stats.verdict import Arm, Cost, Score, Verdict

BASE = Cost(tokens=1000, flops=1e9, seconds=9.0, cpu_seconds=2.0, judged_cpu_seconds=1.0)
BETTER = Verdict("better", "flops", (Arm("a", "a", ()), Arm("b", "b", ())), Plan(0.05, 0.01, 12), ("evidence",))


def costs(*cpu_seconds: float, flops: float = 1e9) -> list[tuple[Cost, Cost]]:
    return [(BASE, replace(BASE, flops=flops, cpu_seconds=each)) for each in cpu_seconds]


def scores(pairs: list[tuple[Cost, Cost]], side: int, *failed: int) -> list[Score]:
    return [
        Score(str(i), i, "crash" if i in failed else "done", None if i in failed else 2.0, pair[side])
        for i, pair in enumerate(pairs)
    ]


def judged(pairs: list[tuple[Cost, Cost]], *failed: int, verdict: Verdict = BETTER) -> Verdict:
    return spending(verdict, scores(pairs, 0), scores(pairs, 1, *failed))


def test_code_that_used_more_cpu_than_its_flops_are_worth_is_rejected_with_the_figures() -> None:
    found = judged(costs(15.2, 15.3, 15.1))
    assert found.word == "rejected"
    assert "7.60 × the baseline's CPU seconds for each counted FLOP (median of 3 pairs" in found.reasons[-1]
    assert [(guard.name, guard.passed) for guard in found.guards] == [("spending", False), ("judging", True)]
    assert judged(costs(2.2, 2.1, 1.9)).word == "better"


def test_more_flops_may_cost_as_much_more_cpu() -> None:
    assert judged(costs(16.0, 16.4, 15.8, flops=8e9)).word == "better"
    assert judged(costs(16.0, 16.4, 15.8, flops=1e9)).word == "rejected"


def judged_for(*seconds: float, **unlike: float) -> list[tuple[Cost, Cost]]:
    return [(BASE, replace(BASE, judged_cpu_seconds=each, **unlike)) for each in seconds]  # type: ignore[arg-type]


def test_a_model_that_learns_while_it_is_judged_is_rejected_with_the_figures() -> None:
    found = judged(judged_for(8.2, 9.4, 8.0))
    assert found.word == "rejected"
    assert "judged, it used 7.80 × the baseline's CPU seconds for its counted FLOPs" in found.reasons[-1]
    assert judged(judged_for(1.2, 9.4, 1.1)).word == "better", "a run that the machine disturbed decides nothing"
    assert judged(judged_for(0.0, 0.0, 1.0)).word == "not_better", "what nobody has measured promotes nothing"


def test_a_larger_model_may_take_as_much_longer_to_judge_and_a_smaller_one_as_long_to_load() -> None:
    eight_times_a_token = judged_for(*[8.0] * 3, tokens=500, flops=4e9, cpu_seconds=8.0)
    assert judged(eight_times_a_token).word == "better"
    assert judged(judged_for(*[1.0] * 3, flops=0.4e9, cpu_seconds=0.8)).word == "better"
    assert judged(judged_for(*[2.4] * 3, flops=0.4e9, cpu_seconds=0.8)).word == "rejected"
    in_seconds = replace(BETTER, match="seconds")
    assert judged(judged_for(*[4.0] * 3, tokens=250), verdict=in_seconds).word == "better", "as slow as it trains"
    assert judged(judged_for(*[4.0] * 3), verdict=in_seconds).word == "rejected"


def test_imports_of_a_part_are_slight_beside_a_long_training_and_not_beside_a_short_one() -> None:
    for cpu_seconds, word in ((60.0, "better"), (2.0, "rejected")):
        base = replace(BASE, cpu_seconds=cpu_seconds)
        assert judged([(base, replace(base, judged_cpu_seconds=1.0 + 6 * 1.5))] * 3).word == word


def test_what_is_spent_while_judged_adds_up_along_a_line_too() -> None:
    once = judged_for(*[1.9] * 3)
    assert carried_on(1.0, once, "flops") == pytest.approx(1.5) and judged(once).word == "better"
    assert spending(BETTER, scores(once, 0), scores(once, 1), 1.5).word == "rejected"


def test_in_matched_seconds_flops_buy_nothing() -> None:
    in_seconds = replace(BETTER, match="seconds")
    dear = costs(4.8, 4.9, 4.7, flops=4e9)
    assert judged(dear, verdict=in_seconds).word == "rejected" and judged(dear).word == "better"
    assert judged(costs(2.2, 2.1, 2.3, flops=4e9), verdict=in_seconds).word == "better"


def test_a_run_that_the_machine_disturbed_decides_nothing() -> None:
    assert judged(costs(2.0, 2.1, 60.0, 1.9, 55.0)).word == "better"
    assert judged(costs(0.2, 60.0, 60.0)).word == "rejected"


def test_what_was_not_measured_promotes_nothing_and_is_not_the_codes_fault() -> None:
    assert judged(costs(0.0, 0.0, 2.0)).word == "not_better"
    assert judged(costs(0.0, 2.0, 2.0)).word == "better"
    nothing = replace(BETTER, word="underpowered")
    assert judged(costs(0.0, 0.0), verdict=nothing).word == "underpowered"


def test_only_pairs_that_both_finished_count_and_without_any_the_verdict_stands() -> None:
    assert judged(costs(2.0, 2.0, 90.0, 90.0), 2, 3).word == "better"
    assert judged(costs(90.0, 90.0), 0, 1) == BETTER


@pytest.mark.parametrize(
    ("match", "most"), [("flops", MOST_BY_FLOPS), ("tokens", MOST_BY_FLOPS), ("seconds", MOST_BY_SECONDS)]
)
def test_the_bound_itself_is_allowed_and_no_more(match: str, most: float) -> None:
    for cpu_seconds, passes in ((2.0 * most, True), (math.nextafter(2.0 * most, 99.0), False)):
        guard = spending_guard(costs(cpu_seconds), match)  # type: ignore[arg-type]
        assert guard is not None and guard.passed == passes


def test_more_tokens_by_a_count_of_ones_own_must_show_in_what_they_cost() -> None:
    """1.7 × the tokens for 1.63 × the seconds (tests/cheats/spenders, counts_less) pass for slow code otherwise."""
    claimed = [(BASE, replace(BASE, tokens=1700, cpu_seconds=2.0 * 1.63))] * 3
    assert MOST_BY_CLAIM < 1.63 and judged(claimed).word == "rejected"
    assert judged(costs(*[2.0 * 1.63] * 3)).word == "better", "the control: as slow, with the baseline's tokens"
    honest = [(BASE, replace(BASE, tokens=1700, cpu_seconds=2.2))] * 3
    assert judged(honest).word == "better", "what really costs less"


def test_slow_parts_that_follow_one_another_add_up_to_the_same_bound() -> None:
    slow = costs(*[2.0 * 1.5] * 3)
    first = carried_on(1.0, slow, "flops")
    assert first == pytest.approx(1.5) and carried_on(first, slow, "seconds") == first
    assert judged(slow).word == "better", "the control: the first of them"
    second = spending(BETTER, scores(slow, 0), scores(slow, 1), first)
    assert second.word == "rejected" and "2.25 × with what was promoted before it" in second.reasons[-1]
    assert carried_on(1.0, costs(1.0, 1.0, 1.0), "flops") == 1.0, "what one saves another can't spend"
    in_seconds = replace(BETTER, match="seconds")
    assert spending(in_seconds, scores(costs(2.2), 0), scores(costs(2.2), 1), first).word == "better"


def test_a_cost_that_nobody_knows_has_no_ratio() -> None:
    for unknown in (replace(BASE, cpu_seconds=0.0), replace(BASE, flops=0.0)):
        assert excess(BASE, unknown, "flops") is None and excess(unknown, BASE, "seconds") is None

"""What a campaign's logic promises, on a simulated field whose truth is known."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

import pytest

from benchmarks.campaign.court import FieldCourt
from foundry.campaign import strategies
from foundry.campaign.campaign import Campaign
from foundry.campaign.environment import Certifier, Point, Ruling, RunRequest
from foundry.campaign.policy import Limits, Policy
from foundry.campaign.state import Event, folded
from foundry.campaign.strategies import Proposal
from foundry.core.errors import RequestError
from tests.campaign.simulated import Simulated, mixed, no_ops

HASTY = Policy(fewest=4, court_z=0.5, move_z=0.0, regret=1.0)
REPLAYS = 20
RUNS = 150


class Lowest:
    """The negative control: whoever has the lower one of two numbers is the champion."""

    def __init__(self, field: Simulated) -> None:
        self.field = field

    def certify(
        self, champion: Point, candidate: Point, name: str, noise_bpb: float | None, margin_bpb: float = 0.0
    ) -> Ruling:
        base, own = self.field.gather([RunRequest(champion, 2**62), RunRequest(candidate, 2**62)])
        assert base.bpb is not None and own.bpb is not None
        gain = base.bpb - own.bpb
        return Ruling("better" if gain > 0 else "not_better", gain, None, 1, 2, 2.0)

    def remeasure(self, start: Point, champion: Point, noise_bpb: float | None) -> Ruling:
        return Ruling("better", None, None, 0, 0, 0.0)


class Written:
    """A journal in memory; `end_after` events the process is killed."""

    def __init__(self, end_after: int = 10**9) -> None:
        self.events: list[Event] = []
        self.end_after = end_after

    def append(self, event: Event) -> Event:
        if len(self.events) == self.end_after:
            raise KeyboardInterrupt
        self.events.append(event)
        return event


class Queue:
    def __init__(self, *words: str) -> None:
        self.words, self.refused = [Proposal(word, "agent", "a hunch") for word in words], {}

    def take(self, n: int) -> list[tuple[int, Proposal]]:
        taken, self.words = self.words[:n], self.words[n:]
        return [(100 + i, proposal) for i, proposal in enumerate(taken)]

    def refuse(self, number: int, why: str) -> None:
        self.refused[number] = why


def play(field: Simulated, court: Certifier, runs: int = RUNS, **given: Any) -> Campaign:
    loop = Campaign(field, court, strategies.make("bayes"), **given)
    loop.open(loop.state.champion, Limits(runs=runs))
    while loop.step() not in ("over", "exhausted"):
        pass
    if loop.finish("over"):
        while loop.step() != "over":
            pass
    return loop


def court_of(field: Simulated) -> FieldCourt:
    return FieldCourt(field, b"a secret of this replay %08d" % field.seed)


def with_false_promotions(honest: bool) -> int:
    """In how many campaigns over no-ops anything was promoted."""
    count = 0
    for seed in range(REPLAYS):
        field = Simulated(no_ops(), seed)
        court, policy = (court_of(field), Policy()) if honest else (Lowest(field), HASTY)
        count += play(field, court, seed=seed, policy=policy).state.promotions > 0
    return count


def test_a_campaign_over_no_ops_seldom_promotes_and_one_that_keeps_the_lowest_does() -> None:
    # q = 0.10 bounds the chance; 7 of 20 has one of 0.0024 under it
    assert with_false_promotions(honest=True) < 7
    assert with_false_promotions(honest=False) > 10


def test_real_effects_are_found_and_what_is_claimed_is_true() -> None:
    gains, claims = [], []
    for seed in range(12):
        field, journal = Simulated(mixed(), seed), Written()
        loop = play(field, court_of(field), 400, seed=seed, journal=journal)
        gains.append(field.truth("") - field.truth(loop.state.champion))
        for event in journal.events:
            if event["kind"] == "remeasured":
                claims.append(event["effect"] - field.truth(event["start"]) + field.truth(event["champion"]))
    best = sum(max(value, 0.0) for value in mixed().values())
    assert fmean(gains) > 0.8 * best
    assert min(gains) >= 0.0
    assert abs(fmean(claims)) < 3 * stdev(claims) / len(claims) ** 0.5


def test_a_campaign_that_is_killed_anywhere_goes_on_as_if_it_had_not_been() -> None:
    field, whole = Simulated(mixed(), 6), Written()
    court = court_of(field)
    play(field, court, journal=whole, seed=6)
    once = {(each.point, each.seed, each.split) for each in field.asked}
    assert {"opened", "round", "raced", "certified", "remeasuring", "remeasured"} <= {
        event["kind"] for event in whole.events
    }
    for cut in range(1, len(whole.events)):
        first = Written(end_after=cut)
        with pytest.raises(KeyboardInterrupt):
            play(field, court, journal=first, seed=6)
        rest = Written()
        play(field, court, journal=rest, past=first.events, seed=6)
        assert [*first.events, *rest.events] == whole.events
    assert {(each.point, each.seed, each.split) for each in field.asked} == once
    assert folded(whole.events).runs <= len(once), "a run is charged once"


def test_proposals_from_outside_are_raced_first_and_a_bad_one_is_refused_with_its_reason() -> None:
    field, journal, queue = Simulated(mixed()), Written(), Queue("a:2", "zz:1", "a:2")
    play(field, court_of(field), 60, journal=journal, suggestions=queue)
    first = next(event for event in journal.events if event["kind"] == "round")
    champion, proposed, *_ = first["entries"]
    assert (champion["point"], champion["again"]) == ("", True)
    assert (proposed["word"], proposed["by"], proposed["proposal"]) == ("a:2", "agent", 100)
    assert "no such word" in queue.refused[101] and "in this round" in queue.refused[102]


def test_a_campaign_that_is_driven_only_from_outside_works_as_the_built_in_ones_do() -> None:
    field = Simulated(mixed(), 6)
    loop = Campaign(field, court_of(field), strategies.make("outside"), suggestions=Queue(*mixed()))
    loop.open("")
    while loop.step() != "exhausted":
        pass
    assert loop.state.promotions > 0
    assert field.truth("") - field.truth(loop.state.champion) > 0.5 * sum(max(each, 0) for each in mixed().values())


def test_a_failure_is_a_reason_and_never_a_number() -> None:
    field, journal = Simulated(mixed(), failing=["a:2", "a:1"]), Written()
    play(field, court_of(field), journal=journal)
    trials = [trial for event in journal.events if event["kind"] == "raced" for trial in event["trials"]]
    failed = [trial for trial in trials if "a:2" in trial["word"] or "a:1" in trial["word"]]
    assert failed and all(trial["status"] == "failed" for trial in failed)
    assert all(trial["gain"] is None and trial["reason"].startswith("nan") for trial in failed)


def test_a_frontier_whose_own_run_fails_accepts_nothing() -> None:
    field = Simulated(mixed(), failing=[""])
    loop = Campaign(field, court_of(field), strategies.make("grid"))
    loop.open("")
    for _ in range(3):
        assert loop.step() == "raced"
    assert loop.state.frontier == "" and loop.state.base_failures == 3


class Deaf(Lowest):
    """Turns everything down, and notes what it was asked."""

    def __init__(self, field: Simulated) -> None:
        super().__init__(field)
        self.asked: list[tuple[Point, Point]] = []

    def certify(
        self, champion: Point, candidate: Point, name: str, noise_bpb: float | None, margin_bpb: float = 0.0
    ) -> Ruling:
        self.asked.append((champion, candidate))
        return Ruling("not_better", -0.01, (-0.02, 0.0), 5, 10, 10.0)


def test_what_fails_in_court_gives_the_frontier_back_and_is_never_taken_there_again() -> None:
    field, journal = Simulated(mixed(), 1), Written()
    court = Deaf(field)
    loop = play(field, court, 600, journal=journal)
    assert loop.state.champion == "" and loop.state.promotions == 0
    assert len(court.asked) > 2 and len(set(court.asked)) == len(court.asked)


def promoted_stack(field: Simulated, *words: str) -> list[Event]:
    """The events of a campaign that has just promoted these words together."""
    word = "+".join(words)
    point = field.apply("", word)
    entry = {"word": word, "point": point, "by": "grid", "why": "", "proposal": None, "base": "", "again": False}
    own = entry | {"word": "", "point": "", "again": True}
    observed = [[each, 1, field.truth(each)] for each in ("", point)]
    raced = {"kind": "raced", "trials": [], "observed": observed, "base_failed": "", "frontier": point, "gain": 0.1}
    moves = [{"word": word, "by": "grid", "gain": 0.1}]
    return [
        {"kind": "opened", "champion": "", "asked": {}},
        {"kind": "round", "base": "", "seed": 1, "entries": [own, entry]},
        raced,
        {"kind": "certified", "champion": "", "point": point, "moves": moves, "better": True, "effect": 0.1},
    ]


def test_a_part_that_does_harm_is_pruned_from_a_promoted_stack_and_one_that_helps_stays() -> None:
    for effect, left in ((-0.05, "a:1"), (0.05, "a:1+b:1")):
        field, journal = Simulated({"a:1": 0.1, "b:1": effect}), Written()
        past = promoted_stack(field, "a:1", "b:1")
        loop = Campaign(field, court_of(field), strategies.make("grid"), past=past, journal=journal)
        loop.open("a:1+b:1")
        assert loop.step() == "pruned"
        assert loop.state.champion == loop.state.frontier == left


def test_what_gains_by_itself_is_soon_tried_together() -> None:
    field = Simulated({"a:1": 0.2, "b:1": 0.2, "c:1": -0.2, "d:1": -0.2})
    loop = Campaign(field, court_of(field), strategies.make("bayes"))
    loop.open("")
    while not loop.state.certifications:
        loop.step()
    assert loop.state.champion == "a:1+b:1" and loop.state.seen < 30


def test_words_that_do_harm_together_are_not_certified_together() -> None:
    class Rivals(Simulated):
        def truth(self, point: Point) -> float:
            return super().truth(point) + 0.5 * ("a:1" in point and "b:1" in point)

    field = Rivals({"a:1": 0.2, "b:1": 0.15, "c:1": -0.2, "d:1": -0.2})
    loop = play(field, court_of(field), 120)
    assert loop.state.champion in ("a:1", "b:1")


def test_a_word_of_a_strategy_that_learns_nothing_is_tried_again_before_it_goes_to_court() -> None:
    field, journal = Simulated({"a:1": 0.1, "b:1": 0.0, "c:1": 0.0}), Written()
    loop = Campaign(field, court_of(field), strategies.make("grid"), journal=journal)
    loop.open("")
    while loop.step() != "exhausted":
        pass
    entries = [entry for event in journal.events for entry in event.get("entries", ())]
    assert field.truth("") - field.truth(loop.state.champion) == pytest.approx(0.1)
    assert len([entry for entry in entries if entry["point"] == "a:1"]) > 1
    assert {entry["word"] for entry in entries if not entry["again"]} >= {"a:1", "b:1", "c:1"}


def test_rounds_leave_a_certification_its_share_of_a_limit_and_the_same_command_has_what_is_left() -> None:
    field = Simulated(mixed(), 3)
    court, journal = court_of(field), Written()
    loop = Campaign(field, court, strategies.make("evolve"), journal=journal)
    loop.open("", Limits(runs=100), {"runs": 100})
    for _ in range(3):
        loop.step()
    spent = loop.state.runs
    again = Campaign(field, court, strategies.make("evolve"), journal=journal, past=list(journal.events))
    again.open("", Limits(runs=100), {"runs": 100})
    assert again.state.spent[0] == spent > 0
    while again.step() != "over":
        pass
    kept = again.policy.reserve_runs + again.policy.remeasure_runs
    assert 100 - kept - again.policy.batch < again.state.runs <= 100 + again.policy.reserve_runs
    again.close()
    again.open(again.state.champion, Limits(runs=100), {"runs": 100})
    assert again.state.spent[0] == 0


def test_another_champion_in_the_file_is_where_the_campaign_goes_on() -> None:
    field = Simulated(mixed(), 4)
    loop = Campaign(field, court_of(field), strategies.make("grid"))
    loop.open("")
    while not loop.state.moves:
        loop.step()
    loop.rebase("b:2+j:3")
    assert (loop.state.champion, loop.state.frontier, loop.state.moves) == ("b:2+j:3", "b:2+j:3", [])
    assert not loop.state.observations, "nothing leads from what was known to it"
    assert loop.step() == "raced"


@pytest.mark.parametrize("bad", [{"runs": 0}, {"hours": -1.0}, {"flops": float("inf")}])
def test_a_limit_that_is_none_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="more than 0"):
        Limits(**bad)

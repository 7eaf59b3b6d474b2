"""What the ledger promises of plans, verdicts, promotions, the error budget and the queue, two at once included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import WorkError
from foundry.ledger.error_budget import Ending, History, Stream
from foundry.ledger.ledger import Ledger
from tests.ledger.plain import HERE, a_recipe

TRACK = "experiments/baseline.yaml"
A, B, C = ({"width": width} for width in (1, 2, 3))


def at_once(path: Path, body: str, count: int = 2) -> list[str]:
    """What each of `count` processes prints, all let loose on the ledger at the same moment. `body` sees `ledger`."""
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom pathlib import Path\n"
        "from foundry.core.errors import WorkError\nfrom foundry.ledger.ledger import Ledger\n"
        f"ledger = Ledger.open(Path({str(path)!r})); me = sys.argv[1]; sys.stdin.readline()\n{body}"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(count)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return [racer.communicate(timeout=60)[0].strip() for racer in racers]


def promote(ledger: Ledger, expected: str, to: str, **more: Any) -> str:
    texts = {"old_text": f"# {expected}", "new_text": f"# {to}"}
    entry: dict[str, Any] = {"mutation": "m", "verdict": None, "effect": {"effect_bpb": 0.1}, **texts, **more}
    return ledger.promotions.promote(TRACK, expected=expected, to=to, **entry)


def test_champions_follow_one_another_and_the_line_is_kept(ledger: Ledger) -> None:
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    assert ledger.promotions.champion(TRACK) is None and ledger.promotions.last(TRACK) is None
    ledger.promotions.adopt(TRACK, a, "# a")
    promote(ledger, a, b)
    promote(ledger, b, c)
    assert ledger.promotions.champion(TRACK) == c
    assert [(e["kind"], e["from_fp"], e["to_fp"]) for e in ledger.promotions.lineage(TRACK)] == [
        ("adopt", None, a),
        ("promote", a, b),
        ("promote", b, c),
    ]
    assert ledger.promotions.champion("other.yaml") is None


def test_what_a_line_of_code_carries_is_that_of_the_verdict_that_made_its_champion(ledger: Ledger) -> None:
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    ledger.promotions.adopt(TRACK, a, "# a")
    ledger.verdicts.record("asked", 0, "certify", a, b, {"comparison": "v", "carried": 1.4})
    ledger.verdicts.record("of old", 0, "certify", b, c, {"comparison": "w"})
    promote(ledger, a, b, verdict="v")
    promote(ledger, b, c, verdict="w")
    assert [ledger.promotions.carried(each) for each in (a, b, c)] == [1.0, 1.4, 1.0]


def test_a_promotion_over_another_champion_than_expected_changes_nothing(ledger: Ledger) -> None:
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    ledger.promotions.adopt(TRACK, a, "# a")
    promote(ledger, a, b)
    before = ledger.promotions.lineage(TRACK)
    with pytest.raises(WorkError, match="another promotion came first"):
        promote(ledger, a, c)
    with pytest.raises(WorkError, match="another promotion came first"):
        ledger.promotions.promote(
            "new.yaml", expected=a, to=b, mutation="", verdict=None, old_text="", new_text="", effect={}
        )
    assert ledger.promotions.lineage(TRACK) == before


def test_of_many_who_promote_at_once_exactly_one_wins(ledger: Ledger, path: Path) -> None:
    a = a_recipe(ledger, **A)
    ledger.promotions.adopt(TRACK, a, "# a")
    others = [a_recipe(ledger, width=10 + i) for i in range(4)]
    body = (
        f"to = {others!r}[int(me)]\ntry:\n    ledger.promotions.promote({TRACK!r}, expected={a!r}, to=to, mutation='m',"
        " verdict=None, old_text='', new_text='', effect={})\n    print('won', to)\n"
        "except WorkError as error:\n    print(error.code)"
    )
    said = at_once(path, body, count=4)
    assert sorted(said)[:3] == ["ledger.not_champion"] * 3
    assert f"won {ledger.promotions.champion(TRACK)}" in said


def test_without_compare_and_swap_the_last_of_two_would_have_won(ledger: Ledger) -> None:
    """The negative control: read, then write, as two who looked before either wrote."""
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    ledger.promotions.adopt(TRACK, a, "# a")
    for to in (b, c):  # each saw champion a, and writes what it decided then
        with ledger._file.writing() as write:
            write.execute(
                "INSERT INTO promotions(id, track, kind, from_fp, to_fp, mutation, old_text, new_text, effect, created)"
                " VALUES (?, ?, 'promote', ?, ?, '', '', '', '{}', 0)",
                (f"id-{to}", TRACK, a, to),
            )
    assert [entry["from_fp"] for entry in ledger.promotions.lineage(TRACK)[1:]] == [a, a]  # the line is broken


def test_a_hand_edited_baseline_is_adopted_once(ledger: Ledger) -> None:
    a, b = a_recipe(ledger, **A), a_recipe(ledger, **B)
    first = ledger.promotions.adopt(TRACK, a, "# a")
    assert ledger.promotions.adopt(TRACK, a, "# a, reworded") == first
    ledger.promotions.adopt(TRACK, b, "# b")
    last = ledger.promotions.last(TRACK)
    assert last is not None and (last["from_fp"], last["old_text"], last["new_text"]) == (a, "# b", "# b")
    assert last["written"] is not None


def test_a_revert_is_a_promotion_back_and_the_next_goes_further_back(ledger: Ledger) -> None:
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    ledger.promotions.adopt(TRACK, a, "# a")
    promote(ledger, a, b)
    promote(ledger, b, c)
    for champion, previous in ((c, b), (b, a)):
        entry = ledger.promotions.standing(TRACK)
        assert entry is not None and (entry["from_fp"], entry["to_fp"]) == (previous, champion)
        promote(ledger, champion, previous, reverts=entry["id"])
    assert ledger.promotions.champion(TRACK) == a and ledger.promotions.standing(TRACK) is None
    line = ledger.promotions.lineage(TRACK)
    assert [entry["kind"] for entry in line] == ["adopt", "promote", "promote", "revert", "revert"]
    assert [entry["reverted"] is not None for entry in line] == [False, True, True, False, False]


def test_a_promotion_says_whether_its_file_was_written(ledger: Ledger) -> None:
    a, b = a_recipe(ledger, **A), a_recipe(ledger, **B)
    ledger.promotions.adopt(TRACK, a, "# a")
    promotion = promote(ledger, a, b)
    last = ledger.promotions.last(TRACK)
    assert last is not None and last["id"] == promotion and last["written"] is None
    ledger.promotions.mark_written(promotion)
    last = ledger.promotions.last(TRACK)
    assert last is not None and last["written"] is not None


def test_a_plan_is_fixed_once_and_is_everybodys(ledger: Ledger) -> None:
    assert ledger.verdicts.fix_plan("key", 0, lambda: {"seeds": [1, 2, 3]}) == {"seeds": [1, 2, 3]}
    assert ledger.verdicts.fix_plan("key", 0, lambda: {"seeds": [9]}) == {"seeds": [1, 2, 3]}


def verdict(name: str, baseline_scores: list[float | None], candidate_scores: list[float | None]) -> dict[str, Any]:
    arms = [{"runs": [{"val_bpb": score} for score in scores]} for scores in (baseline_scores, candidate_scores)]
    return {"comparison": name, "verdict": "better", "arms": arms}


def test_an_answered_question_keeps_its_verdict_and_again_opens_one_more_attempt(ledger: Ledger) -> None:
    a, b = a_recipe(ledger, **A), a_recipe(ledger, **B)
    verdicts = ledger.verdicts
    assert verdicts.attempt("key") == 0 and verdicts.find("key", 0) is None
    verdicts.fix_plan("key", 0, lambda: {"n": 0})
    assert verdicts.attempt("key", again=True) == 0  # it was cut off: go on with it
    verdicts.record("key", 0, "certify", a, b, verdict("v0", [2.0], [1.0]))
    verdicts.record("key", 0, "certify", a, b, verdict("v1", [9.0], [1.0]))
    found = verdicts.find("key", 0)
    assert found is not None and found["comparison"] == "v0"
    assert verdicts.attempt("key") == 0 and verdicts.attempt("key", again=True) == 1


def test_residuals_come_from_pairs_in_which_both_runs_have_a_score(ledger: Ledger) -> None:
    a, b = a_recipe(ledger, **A), a_recipe(ledger, **B)
    ledger.verdicts.record("1", 0, "certify", a, b, verdict("1", [2.0, None, 2.5], [1.5, 1.0, 2.25]))
    ledger.verdicts.record("2", 0, "certify", a, b, verdict("2", [2.0], [1.0]))
    assert ledger.verdicts.residuals() == [[0.5, 0.25]]


RULES = {"q": 0.1}


def rules(standing: dict[str, Any] | None) -> dict[str, Any]:
    return standing or RULES


def halve(history: History) -> float | None:
    """An α that depends on all that was spent before; ten tests a season."""
    return history.rules["q"] * (history.promotions + 1) / 2 ** (history.tests + 1) if history.tests < 10 else None


def certified(
    ledger: Ledger, baseline: str, candidate: str, stream: Stream = "better", ending: Ending = "passed"
) -> str:
    """A test that was opened and closed, with its verdict; the verdict's id."""
    asked = len(ledger.verdicts.latest(1000))
    verdict = f"{baseline}{candidate}{stream}{asked}"
    test = ledger.budget.open_test(verdict, stream, rules, halve)
    ledger.verdicts.record(verdict, 0, "certify", baseline, candidate, {"comparison": verdict})
    ledger.budget.close_test(test.id, ending, verdict)
    return verdict


def discoveries(ledger: Ledger, stream: Stream = "better") -> int:
    season = ledger.budget.season(stream)
    return ledger.budget.history(season["id"]).promotions if season is not None else 0


def test_an_alpha_is_spent_by_the_history_and_once_for_each_key(ledger: Ledger) -> None:
    first = ledger.budget.open_test("first", "better", rules, halve)
    assert (first.j, first.alpha, first.promotions_at_start, first.state) == (1, 0.05, 0, "open")
    assert ledger.budget.open_test("first", "better", rules, halve) == first
    ledger.budget.close_test(first.id, "failed")
    second = ledger.budget.open_test("second", "better", rules, halve)
    assert (second.j, second.alpha, second.promotions_at_start) == (2, 0.025, 0)
    assert ledger.budget.open_tests() == [second]
    with pytest.raises(WorkError, match="no open test"):
        ledger.budget.close_test(first.id, "passed")
    ledger.budget.close_test(first.id, "failed")  # saying the same again is no contradiction


def test_a_discovery_is_counted_once_and_not_at_all_once_it_is_taken_back(ledger: Ledger) -> None:
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    ledger.promotions.adopt(TRACK, a, "# a")
    verdict = certified(ledger, a, b)
    assert discoveries(ledger) == 0, "a verdict that promoted nothing"
    promote(ledger, a, b, verdict=verdict)
    assert discoveries(ledger) == 1
    for _ in range(3):  # the same step, certified anew and promoted again
        entry = ledger.promotions.standing(TRACK)
        assert entry is not None
        promote(ledger, b, a, reverts=entry["id"])
        assert discoveries(ledger) == 0
        promote(ledger, a, b, verdict=certified(ledger, a, b))
        assert discoveries(ledger) == 1
    promote(ledger, b, c, verdict=certified(ledger, b, c))
    assert discoveries(ledger) == 2
    ledger.promotions.adopt(TRACK, a, "# a, put back by hand")
    assert discoveries(ledger) == 0, "a return is a revert, whoever makes it"


def test_a_revert_over_several_steps_takes_all_of_them_back(ledger: Ledger) -> None:
    a, b, c = (a_recipe(ledger, **values) for values in (A, B, C))
    ledger.promotions.adopt(TRACK, a, "# a")
    first = promote(ledger, a, b, verdict=certified(ledger, a, b))
    promote(ledger, b, c, verdict=certified(ledger, b, c))
    promote(ledger, c, a, reverts=first)
    assert discoveries(ledger) == 0


def test_not_worse_neither_spends_nor_earns_what_better_has(ledger: Ledger) -> None:
    a, b = a_recipe(ledger, **A), a_recipe(ledger, **B)
    ledger.promotions.adopt(TRACK, a, "# a")
    certified(ledger, a, b, ending="failed")
    before = ledger.budget.history(1)
    promote(ledger, a, b, verdict=certified(ledger, a, b, "not_worse"))
    assert ledger.budget.history(1) == before and before.tests == 1
    assert (discoveries(ledger), discoveries(ledger, "not_worse")) == (0, 1)
    assert ledger.budget.tests(2)[0].alpha == 0.05, "its own season begins with the whole q"


def test_an_alpha_that_cant_be_given_is_not_spent(ledger: Ledger) -> None:
    def refuse(history: History) -> float:
        raise WorkError("budget.spent", "", "too little is left")

    with pytest.raises(WorkError, match="too little"):
        ledger.budget.open_test("key", "better", rules, refuse)
    assert ledger.budget.find("key") is None and ledger.budget.season() is None


def test_two_controllers_never_spend_the_same_alpha_nor_more_than_a_season_has(ledger: Ledger, path: Path) -> None:
    body = (
        "rules = lambda standing: standing or {'q': 0.1}\n"
        "spend = lambda h: h.rules['q'] / 2 ** (h.tests + 1) if h.tests < 7 else None\n"
        "for i in range(10): ledger.budget.open_test(f'{me}-{i}', 'better', rules, spend)"
    )
    at_once(path, body)
    seasons = [ledger.budget.tests(season) for season in (1, 2, 3)]
    assert [[test.j for test in tests] for tests in seasons] == [[*range(1, 8)], [*range(1, 8)], [*range(1, 7)]]
    assert all(sum(test.alpha for test in tests) < 0.1 for tests in seasons)


def test_choosing_the_season_before_the_transaction_would_spend_more_than_it_has(ledger: Ledger) -> None:
    """The control: two that both saw room for one more test, as it was when the season was chosen first."""
    for i in range(9):
        ledger.budget.open_test(f"{i}", "better", rules, halve)
    room = [ledger.budget.history(1).tests < 10 for _ in range(2)]
    for i in range(2):
        ledger.budget.open_test(f"late {i}", "better", rules, lambda h, free=room[i]: 0.05 if free else None)
    assert ledger.budget.history(1).tests == 11


def test_a_season_of_a_person_says_who_when_and_why_and_opens_every_stream(ledger: Ledger) -> None:
    ledger.budget.open_test("first", "better", rules, halve)
    ledger.budget.new_season({"q": 0.3}, "somebody", "another corpus")
    streams: tuple[Stream, ...] = ("better", "not_worse")
    for stream in streams:
        season = ledger.budget.season(stream)
        assert season is not None and season["created"] > 0
        assert (season["rules"], season["opened_by"], season["why"]) == ({"q": 0.3}, "somebody", "another corpus")
        assert ledger.budget.history(season["id"]).tests == 0
    assert ledger.budget.history(1).tests == 1


def test_a_secret_is_made_once_whoever_asks(ledger: Ledger, path: Path) -> None:
    secret = ledger.secret()
    assert len(secret) == 32 and ledger.secret() == secret and ledger.secret("other") != secret
    said = at_once(path, "print(ledger.secret().hex())")
    assert {line.strip() for line in said} == {secret.hex()}


def test_settings_are_kept(ledger: Ledger, path: Path) -> None:
    ledger.keep_setting("sigma0", 0.01)
    with Ledger.open(path) as other:
        assert other.setting("sigma0") == 0.01 and other.setting("nothing", 7) == 7


def test_a_proposal_is_taken_by_one_and_again_after_its_taker_died(ledger: Ledger, path: Path) -> None:
    seq = ledger.proposals.add("attention:gqa_2kv", why="fewer keys", who="agent")
    ledger.proposals.add("lr:1e-3")
    script = "import sys; from pathlib import Path; from foundry.ledger.ledger import Ledger\n"
    script += "print(Ledger.open(Path(sys.argv[1])).proposals.take()['seq'], flush=True); sys.stdin.read()"
    taker = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert taker.stdout is not None and taker.stdin is not None
    assert int(taker.stdout.readline()) == seq
    other = ledger.proposals.take()
    assert other is not None and other["mutation"] == "lr:1e-3"
    assert ledger.proposals.take() is None  # the first taker lives
    with pytest.raises(WorkError, match="not taken by this process"):
        ledger.proposals.settle(seq, 0, "done", {})
    os.kill(taker.pid, signal.SIGKILL)
    taker.wait()
    taker.stdin.close()
    taker.stdout.close()
    again = ledger.proposals.take()
    assert again == {"seq": seq, "mutation": "attention:gqa_2kv", "why": "fewer keys", "who": "agent", "fence": 2}
    with pytest.raises(WorkError, match="not taken by this process"):
        ledger.proposals.settle(seq, 1, "done", {})  # the fence of the dead one
    ledger.proposals.settle(seq, 2, "refused", {"reason": "2 does not divide 3"})
    assert ledger.proposals.latest(5, "refused")[0]["result"] == {"reason": "2 does not divide 3"}

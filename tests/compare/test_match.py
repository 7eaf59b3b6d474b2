"""Fair means a declared currency: how budgets are matched, and what a timing on this machine fixes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign import certifier
from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.compare import calibrate
from foundry.compare.calibrate import candidate_arm
from foundry.compare.compare import compare
from foundry.compare.comparison import Rules
from foundry.compare.match import Arm, carrying, caveat
from foundry.compare.session import Lab
from foundry.core.errors import RequestError, WorkError
from foundry.execute.executor import Ended, Event, Progress, Task
from foundry.ledger import queries
from foundry.mutate import mutate
from foundry.promote.promote import promote, promote_on_verdict, revert, settle, track_of
from foundry.promote.sweep import SweepPlan, sweep
from foundry.recipe import Recipe
from foundry.stats import step_timing
from soak.endless import POLICY, InstantLab
from soak.trainer import noise
from tests.home import small_lab, write_tiny

BASELINE = Path("experiments/baseline.yaml")


class Machine:
    """In place of rehearsals: arms take the step times given, one of them disturbed now and then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, slower: float = 2.0, disturbed: int = 0) -> None:
        self.slower, self.disturbed = slower, disturbed
        self.timed: list[str] = []
        monkeypatch.setattr(calibrate, "_block", self)

    def __call__(self, lab: Lab, pool: Any, arm: Arm) -> float:
        self.timed.append(arm.name)
        load = 1.5 if len(self.timed) % 4 == 0 and len(self.timed) <= 4 * self.disturbed else 1.0
        is_baseline = arm.recipe.fingerprint == Recipe.load(BASELINE).fingerprint
        return load * 0.001 * (1.0 if is_baseline else self.slower)


def arms(lab: Lab, mutation: str, match: str | None) -> tuple[Arm, Arm]:
    baseline = lab.arm_of(Recipe.load(BASELINE))
    return baseline, candidate_arm(lab, baseline, mutate(baseline.recipe, mutation)[0], match, mutation)[0]


def test_flops_are_the_currency_when_structure_differs_and_tokens_when_not(home: Path) -> None:
    with small_lab() as lab:
        baseline = lab.arm_of(Recipe.load(BASELINE))
        for mutation, currency in (("lr:1e-3", "tokens"), ("set:model.layers=2", "flops")):
            assert candidate_arm(lab, baseline, mutate(baseline.recipe, mutation)[0], None)[1] == currency
        _, deeper = arms(lab, "set:model.layers=2", "flops")
        assert abs(deeper.flops - baseline.flops) <= deeper.recipe.step_tokens * deeper.flops_per_token / 2
        with pytest.raises(RequestError, match=r"match\.unknown"):
            arms(lab, "lr:1e-3", "dollars")


def test_in_seconds_a_candidate_of_twice_the_step_time_gets_half_the_steps(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, slower=2.0)
    with small_lab() as lab:
        baseline, candidate = arms(lab, "norm:rmsnorm", "seconds")
    assert machine.timed == ["baseline", "norm:rmsnorm", "norm:rmsnorm", "baseline"]
    assert candidate.steps == baseline.steps // 2 and candidate.calibration is not None
    assert "id" not in candidate.calibration, "nothing is shown by it"
    ours, theirs = candidate.calibration["run_seconds"]
    assert theirs == pytest.approx(ours)


def test_a_timing_is_taken_once_and_its_budgets_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, slower=2.0)
    with small_lab() as lab:
        _, first = arms(lab, "norm:rmsnorm", "seconds")
    later = Machine(monkeypatch, slower=3.0)
    with small_lab() as lab:
        _, again = arms(lab, "norm:rmsnorm", "seconds")
        assert again.tokens == first.tokens and not later.timed
        _, other = arms(lab, "activation:relu2", "seconds")
        assert other.tokens < first.tokens and later.timed, "another candidate is timed for itself"


def test_a_disturbed_measurement_is_void_and_repeated(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, slower=2.0, disturbed=2)
    with small_lab() as lab:
        baseline, candidate = arms(lab, "norm:rmsnorm", "seconds")
    assert len(machine.timed) == 3 * len(step_timing.ORDER)
    assert candidate.calibration is not None and len(candidate.calibration["voided_drifts"]) == 2
    assert candidate.steps == baseline.steps // 2


def test_a_machine_that_is_never_quiet_is_said_so_and_nothing_is_fixed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(monkeypatch, disturbed=99)
    with small_lab() as lab:
        with pytest.raises(WorkError, match=r"match\.unsteady.*stop what else runs"):
            arms(lab, "norm:rmsnorm", "seconds")
        Machine(monkeypatch)
        assert arms(lab, "norm:rmsnorm", "seconds")[1].steps > 0


def test_a_candidate_that_cant_make_one_step_in_the_time_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine(monkeypatch, slower=100.0)
    with small_lab() as lab, pytest.raises(RequestError, match=r"match\.too_small"):
        arms(lab, "norm:rmsnorm", "seconds")


def test_real_rehearsals_are_timed_and_leave_no_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "WINDOW_SECONDS", 0.05)
    monkeypatch.setattr(step_timing, "LARGEST_DRIFT", float("inf"))  # this machine is nobody's alone
    with small_lab() as lab:
        baseline, candidate = arms(lab, "set:model.layers=4", "seconds")
        assert candidate.calibration is not None
        timing = candidate.calibration["timing"]
        assert timing["baseline_step_seconds"] > 0 and timing["candidate_step_seconds"] > 0
        assert candidate.tokens == round(step_timing.Timing(**timing).steps_for(baseline.steps)) * 64
        assert [entry.name for entry in Path("runs").iterdir() if entry.is_dir()] == []
        assert lab.ledger.runs.find(lab.spec(baseline, 0).id) is None


class Events:
    """An executor that gives the events told, a tenth of a second apart, and notes what it was asked."""

    busy, free = 0, 1

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *events: Event) -> None:
        self.events, self.now = list(events), 0.0
        self.tasks: list[Task] = []
        self.stopped: list[str] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def stop(self, task_id: str) -> None:
        self.stopped.append(task_id)

    def close(self) -> None: ...

    def poll(self, timeout: float | None = None) -> list[Event]:
        self.now += 0.1
        return [self.events.pop(0)]


def told(**facts: Any) -> Progress:
    return Progress("a", facts)


def timed(pool: Events, arm: Arm, warm: int = 4) -> float | None:
    return calibrate._timed(pool, arm, warm)  # pyright: ignore[reportPrivateUsage]


def test_the_clock_is_read_at_the_marks_and_rehearsals_add_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_lab() as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
    begin, end = told(window="begin"), told(window="end", steps=5)
    assert timed(Events(monkeypatch, begin, end, begin, end, Ended("a", {})), arm) == pytest.approx(0.2 / 10)


def test_a_rehearsal_during_which_everything_was_stopped_is_timed_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, end, ended = told(window="begin"), told(window="end", steps=5), Ended("a", {})
    with small_lab() as lab:
        stopped = replace(ended, missed_seconds=23.0)
        pool = Events(monkeypatch, begin, told(loss=1.0), end, stopped, begin, end, ended)
        arm = lab.arm_of(Recipe.load(BASELINE))
        assert calibrate._block(lab, pool, arm) == pytest.approx(0.1 / 5), "of the second, which had no pause"
        assert len(pool.tasks) == 2
        pool.events = [begin, end, stopped] * calibrate.TRIES
        with pytest.raises(WorkError, match=r"match\.unsteady"):
            calibrate._block(lab, pool, arm)


def test_a_sandboxed_rehearsal_is_timed_by_the_steps_its_harness_counts(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "WINDOW_SECONDS", 0.15)
    with small_lab() as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
    steps = [told(step=step) for step in (3, 5, 6, 9)]
    pool = Events(monkeypatch, *steps, Ended("a", reason="lost"))
    assert timed(pool, arm) == pytest.approx(0.2 / 4), "from step 5, the first after the warm-up, to 9"
    assert pool.stopped == [arm.name], "and then it is asked to stop"


def test_a_rehearsal_that_fails_or_is_over_too_soon_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_lab() as lab:
        arm = lab.arm_of(Recipe.load(BASELINE))
    with pytest.raises(WorkError, match="oom: 3 GiB"):
        timed(Events(monkeypatch, told(window="begin"), Ended("a", reason="oom", detail="3 GiB")), arm)
    with pytest.raises(WorkError, match=r"over before its steps could be timed.*budget\.tokens"):
        timed(Events(monkeypatch, told(step=5), Ended("a", {})), arm)


def test_workspace_code_is_rehearsed_in_its_sandbox_and_nowhere_else(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recipe, "sources", lambda self: {"model.norm": "hash"})
    with small_lab() as lab:
        monkeypatch.setattr(lab.ledger.recipes, "put", lambda recipe: None)
        monkeypatch.setattr(type(lab.engine.guard), "training", lambda guard, recipe, run, memory: {"sandboxed": run})
        pool = Events(monkeypatch, told(step=5), told(step=9), Ended("a", {}))
        calibrate._block(lab, pool, replace(lab.arm_of(Recipe.load(BASELINE)), confined=True))  # pyright: ignore[reportPrivateUsage]
    (task,) = pool.tasks
    assert task.target == "foundry.execute.untrusted.harness:train" and set(task.payload) == {"sandboxed"}


def test_a_candidate_whose_rehearsal_fails_is_a_failed_candidate_of_the_sweep(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(lab: Lab, pool: Any, arm: Arm) -> float:
        raise WorkError(calibrate.FAILED, arm.name, "its rehearsal failed, oom")

    monkeypatch.setattr(calibrate, "_block", fail)
    with small_lab() as lab:
        document = sweep(lab, BASELINE, SweepPlan(("norm:rmsnorm",), seeds=1, match="seconds"), lambda *pair: None)
    assert [(row["status"], row["reason"]) for row in document["candidates"]] == [("failed", "crash")]


MOVES = ("lr:2e-3", "set:model.layers=2", "batch_size:3", "activation:swiglu", "batch_size:5", "set:model.context=24",
    "attention:gqa_1kv", "set:model.width=24", "batch_size:4", "set:model.layers=1", "norm:rmsnorm", "batch_size:7",
    "activation:relu2", "set:model.context=16", "set:model.width=16", "batch_size:6", "set:model.layers=3",
    "batch_size:5")  # fmt: skip


def of_layers(spec: Any, split: str) -> float:
    return 3.0 - 0.5 * spec.recipe.model.layers + 0.01 * noise(spec.seed, split, spec.recipe.fingerprint)


class Killed(BaseException):
    """As a kill, in this process."""


@pytest.mark.parametrize("killed", [False, True])
def test_what_a_campaign_promotes_in_matched_seconds_carries_the_budget_that_it_was_judged_with(
    home: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(calibrate, "_block", lambda lab, pool, arm: arm.flops_per_token * arm.recipe.step_tokens * 1e-9)
    write_tiny(BASELINE, budget__tokens=64 * 60)
    plan, kinds = CampaignPlan(Limits(runs=90), "outside", match="seconds", policy=POLICY), list[str]()

    def crowned_and_killed(*asked: Any) -> None:
        promote_on_verdict(*asked)
        raise Killed

    def run() -> Any:
        with InstantLab(score=of_layers) as lab:
            return campaign(lab, BASELINE, plan, lambda *pair: None, lambda event, state: kinds.append(event["kind"]))

    with InstantLab() as lab:
        first = lab.arm_of(Recipe.load(BASELINE))
        lab.ledger.proposals.add("set:model.layers=2", "", "somebody")
    if killed:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(certifier, "promote_on_verdict", crowned_and_killed)
            run()
    document = run()
    with InstantLab() as lab:
        standing = lab.arm_of(Recipe.load(BASELINE))
    assert len(document["promotions"]) == 1
    assert standing.recipe.model.layers == 2 and document["champion"] == standing.recipe.fingerprint
    assert abs(standing.flops - first.flops) <= standing.flops_per_token * standing.recipe.step_tokens / 2
    assert "rebased" not in kinds and kinds.count("certified") == 1


@pytest.mark.parametrize("match", [None, "flops", "tokens", "seconds"])
def test_compute_does_not_drift_over_many_promotions(
    home: Path, monkeypatch: pytest.MonkeyPatch, match: str | None
) -> None:
    """Whatever became champion in between, and whatever was taken back: each one's budget is the nearest whole steps
    of the first one's compute."""

    def block(lab: Lab, pool: Any, arm: Arm) -> float:
        return arm.flops_per_token * arm.recipe.step_tokens * 1e-9  # a machine whose time is its FLOPs

    monkeypatch.setattr(calibrate, "_block", block)
    write_tiny(BASELINE, budget__tokens=64 * 61 + 5)
    track = track_of(BASELINE)
    with small_lab() as lab:
        first = lab.champion_arm(track, settle(lab.ledger, BASELINE))
        for number, word in enumerate(MOVES):
            champion = lab.champion_arm(track, settle(lab.ledger, BASELINE))
            candidate, _ = candidate_arm(lab, champion, mutate(champion.recipe, word)[0], match, word)
            winner = carrying(candidate)
            promote(lab.ledger, BASELINE, champion.recipe, winner.recipe, None, {"reference": winner.reference})
            if number % 5 == 4:
                revert(lab.ledger, BASELINE)
            if number == 7:  # a person's edit that costs nothing more
                BASELINE.write_text(BASELINE.read_text().replace("lr: 0.002", "lr: 0.0021"))
            standing = lab.champion_arm(track, settle(lab.ledger, BASELINE))
            due = first.tokens if match == "tokens" else first.flops / standing.flops_per_token
            assert abs(standing.tokens - due) <= standing.recipe.step_tokens / 2, word
            assert standing.due == pytest.approx(due, rel=1e-9) and abs(standing.reference["steps_beyond"]) <= 0.5
        entries = queries.lineage(str(BASELINE))
    assert [entry["kind"] for entry in entries].count("adopt") == 2, "the first, and the edit"
    marks = [entry["record"]["reference"] for entry in entries if entry["kind"] == "promote"]
    assert len(marks) == len(MOVES) >= 14
    key = "tokens" if match == "tokens" else "flops"
    assert [mark[key] for mark in marks] == pytest.approx([getattr(first, key)] * len(marks), rel=1e-9)
    assert any(mark["steps_beyond"] > 0 for mark in marks) and any(mark["steps_beyond"] < 0 for mark in marks)


def test_what_a_person_puts_there_with_another_budget_is_the_new_reference(home: Path) -> None:
    track = track_of(BASELINE)
    with small_lab() as lab:
        champion = lab.champion_arm(track, settle(lab.ledger, BASELINE))
        candidate = carrying(candidate_arm(lab, champion, mutate(champion.recipe, "batch_size:5")[0], None)[0])
        promote(lab.ledger, BASELINE, champion.recipe, candidate.recipe, None, {"reference": candidate.reference})
        write_tiny(BASELINE, budget__tokens=64 * 40)
        larger = lab.champion_arm(track, settle(lab.ledger, BASELINE))
    assert larger.tokens == larger.due == 64 * 40


def test_a_report_has_all_three_currencies_and_the_timing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, slower=1.5)
    other = write_tiny(Path("experiments/other.yaml"), model__layers=2)
    with small_lab() as lab:
        document = compare(
            lab, BASELINE, other, Rules(max_pairs=5), "seconds", None, (1, 2, 3, 4, 5), False, lambda *pair: None
        )
    assert document["match"] == "seconds" and document["calibration"]["timing"]["drift"] == 0.0
    for arm in document["arms"]:
        assert arm["budget_tokens"] > 0 and arm["budget_flops"] > 0 and arm["run_seconds"] > 0
    assert document["used"]["tokens"] == pytest.approx(8 / 12)
    assert document["used"]["flops"] > document["used"]["tokens"]


def test_a_verdict_that_may_hang_on_its_currency_says_in_which() -> None:
    even: dict[str, float | None] = {"tokens": 1.0, "flops": 1.0, "seconds": 1.0}
    assert caveat("tokens", True, even) == ""
    slower = {**even, "seconds": 1.8}
    assert "1.8 × the seconds" in caveat("tokens", True, slower)
    assert caveat("tokens", False, slower) == "", "it lost with more; with less it would not win"
    assert "0.5 × the FLOPs" in caveat("tokens", False, {**even, "flops": 0.5})
    assert caveat("seconds", True, slower) == "", "the declared currency is no other one"
    assert caveat("tokens", True, {**even, "seconds": None}) == ""


def test_what_tuning_cost_is_no_part_of_an_arms_budget(home: Path) -> None:
    with small_lab() as lab:
        baseline, candidate = arms(lab, "lr:1e-3", "tokens")
    assert replace(candidate, spent=replace(candidate.spent, tokens=10)).tokens == baseline.tokens

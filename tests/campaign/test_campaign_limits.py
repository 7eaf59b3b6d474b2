"""A limit is a limit: whatever the number of workers, whatever a certification still lacks, kills included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.campaign import run as running
from foundry.campaign.policy import MOST_BATCH, Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.interface import report_campaign
from foundry.ledger.ledger import Ledger
from soak.endless import InstantLab, as_trained
from soak.lab import BASELINE, TRACK, home_of_its_own


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_of_its_own(tmp_path, monkeypatch)


def run_limited(limits: Limits, jobs: int = 2, told: Any = None) -> Any:
    with InstantLab(jobs, as_trained) as lab:
        plan = CampaignPlan(limits, "evolve")
        return campaign(lab, BASELINE, plan, lambda *pair: None, told or (lambda event, state: None))


def begun() -> tuple[int, float]:
    """How many runs of the ledger were begun, and the FLOPs of those that were trained."""
    with Ledger.open() as ledger:
        rows = ledger._file.rows("SELECT flops FROM runs WHERE attempts > 0")  # pyright: ignore[reportPrivateUsage]
    return len(rows), sum(row["flops"] or 0.0 for row in rows)


@pytest.mark.parametrize(("runs", "jobs"), [(4, 2), (20, 2), (40, 16)])
def test_a_campaign_never_begins_more_runs_than_it_was_given(place: None, runs: int, jobs: int) -> None:
    for command in (1, 2):
        document = run_limited(Limits(runs=runs), jobs)
        assert document["ended"] == "over" and document["this_command"]["runs"] <= runs
        assert begun()[0] <= document["runs"] <= command * runs
        assert document["runs"] > 0 or "a round, which takes" in document["waiting"]


def test_a_certification_that_a_limit_cuts_goes_on_with_the_next_command_under_its_plan(place: None) -> None:
    waited, promotions, commands = [], 0, 0
    while not promotions:
        document = run_limited(Limits(runs=12))
        waited.append(document["waiting"])
        commands, promotions = commands + 1, len(document["promotions"])
        assert begun()[0] <= 12 * commands and commands < 20
    assert "a certification" in waited
    with Ledger.open() as ledger:
        kinds = [event["kind"] for event in ledger.campaigns.events(TRACK)]
        season = ledger.budget.season()
        assert season is not None
        assert 0 <= kinds.count("court") - kinds.count("certified") <= 1  # the limit may have cut one more
        assert kinds.count("court") == ledger.budget.history(season["id"]).tests


def test_without_a_look_before_each_run_the_same_campaign_runs_past_its_limit(
    place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "hold", lambda self, *spent: True)
    run_limited(Limits(runs=20), 16)
    assert begun()[0] > 20


def test_flops_are_a_limit_too(place: None) -> None:
    with InstantLab(2, as_trained) as lab:
        from foundry.recipe import Recipe

        full = lab.arm_of(Recipe.load(BASELINE)).flops
    document = run_limited(Limits(flops=30.0 * full))
    assert 10 * full < document["flops"] <= 30 * full and begun()[1] <= 30 * full


class Killed(BaseException):
    """As abrupt as it can be within a process: nothing is recorded after it."""


def test_a_limit_holds_over_kills(place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    allow, left = running.Meter.allow, [3, 5, 7, 9, 11]

    def mortal(self: Any, asks: Any) -> None:
        allow(self, asks)
        if left:
            left[0] -= 1
            if left[0] == 0:
                left.pop(0)
                raise Killed

    monkeypatch.setattr(running.Meter, "allow", mortal)
    while True:
        try:
            document = run_limited(Limits(runs=60))
            break
        except Killed:
            continue
    assert not left and 30 < begun()[0] <= document["runs"] <= 60


def killed(*asks: Any) -> None:
    raise Killed


def test_a_round_and_its_line_stay_small_however_many_workers_there_are(
    place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    tell = report_campaign.lines(said.append)
    entries = [{"word": f"set:model.some.long.path={i}"} for i in range(MOST_BATCH)]
    tell({"kind": "round", "entries": entries}, type("State", (), {"moves": [], "rounds": 0})())
    assert len(said[0]) < 400 and f"and {MOST_BATCH - report_campaign.MOST_WORDS} more" in said[0]
    sizes: list[int] = []

    def told(event: dict[str, Any], state: Any) -> None:
        if event["kind"] == "round":
            sizes.append(len(event["entries"]))

    with InstantLab(2, as_trained) as lab:
        lab.engine.jobs = 200
        plan = CampaignPlan(Limits(runs=4 * MOST_BATCH), "evolve")
        monkeypatch.setattr(lab.engine, "gather", killed)  # the round is on record, and none of its runs was begun
        with pytest.raises(Killed):
            campaign(lab, BASELINE, plan, lambda *pair: None, told)
    assert sizes == [MOST_BATCH]

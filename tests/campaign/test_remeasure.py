"""What a campaign promotes is measured again once, at its end, within its limit; what isn't there is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.campaign import Campaign
from foundry.campaign.history import history
from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.compare.alpha_spending import summary
from foundry.documents.runs import Lineage
from foundry.interface import report, report_campaign
from foundry.interface.web.lineage import champion, entries, scale, stairs
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading
from foundry.ledger.verdicts import Promotions, Verdicts
from foundry.promote.verify import verify
from foundry.recipe import Recipe
from foundry.stats import verdict as judging
from soak.endless import InstantLab, as_trained
from soak.lab import BASELINE, TRACK, home_of_its_own

RUNS = 60


class Killed(BaseException):
    """As abrupt as it can be within a process."""


class Gone:
    """Scores of a gain that is there until it is measured again."""

    def __init__(self) -> None:
        self.measuring = bool(events("remeasuring"))

    def hear(self, event: dict[str, Any], state: Any) -> None:
        self.measuring = self.measuring or event["kind"] == "remeasuring"

    def score(self, spec: Any, split: str) -> float:
        better = spec.recipe.to_dict()["train"]["optimizer"]["lr"] == 3e-3
        return as_trained(spec, split) + (0.3 if self.measuring and better else 0.0)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_of_its_own(tmp_path, monkeypatch)


def run(runs: int | None = RUNS, remeasure: bool = False, score: Any = as_trained, said: Any = None) -> Any:
    """A gain of .3 bits per byte waits in the first word."""
    Path("space.yaml").write_text("mutations: [lr:3e-3, weight_decay:0.2, weight_decay:0.3]\n")
    with InstantLab(2, score) as lab:
        plan = CampaignPlan(Limits(runs=runs), "grid", Path("space.yaml"), remeasure=remeasure)
        return campaign(lab, BASELINE, plan, lambda *pair: None, said or (lambda event, state: None))


def events(kind: str) -> list[dict[str, Any]]:
    with Ledger.open() as ledger:
        return [event for event in ledger.campaigns.events(TRACK) if event["kind"] == kind]


def begun() -> int:
    return sum(row.attempts > 0 for row in queries.log(limit=1000))


def run_gone() -> Any:
    gone = Gone()
    return run(score=gone.score, said=gone.hear)


def line() -> list[str]:
    return [f"{row.kind}{' back' if row.reverted_unix else ''}" for row in queries.lineage(str(BASELINE))]


def test_the_champion_is_measured_again_once_at_the_end_and_that_effect_is_quoted() -> None:
    start = Recipe.load(BASELINE).fingerprint
    document = run()
    [event], [promotion] = events("remeasured"), document["promotions"]
    assert event["held"] and event["n"] == 8 and event["start"] == start == promotion["measured_from"]
    assert promotion["effect_bpb"] == event["effect"] == document["measured_again"]["effect_bpb"]
    assert promotion["flattering_effect_bpb"] not in (None, event["effect"])
    assert document["this_command"]["runs"] == begun() <= RUNS
    shown = queries.comparison(document["measured_again"]["comparison"])
    assert shown.comparison_kind == "remeasure" and shown.budget is None
    assert len({run.seed for run in shown.arms[0].runs}) == 8
    decided = queries.comparison(promotion["comparison"])
    assert not {run.seed for run in decided.arms[0].runs} & {run.seed for run in shown.arms[0].runs}
    assert verify().ok
    run()
    assert len(events("remeasured")) == 1


@pytest.mark.parametrize("runs", [40, 47])
def test_a_limit_that_has_room_for_both_leaves_enough_to_measure_again(runs: int) -> None:
    document = run(runs)
    assert begun() <= runs and all(row["effect_bpb"] is not None for row in document["promotions"])
    assert [event["better"] for event in events("certified")] == [True] * len(document["promotions"])


def test_without_what_is_kept_a_certification_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Campaign, "kept", property(lambda self: 0))
    monkeypatch.setattr(Campaign, "_room", lambda self: 0)
    document = run(30)
    assert document["promotions"][0]["effect_bpb"] is None


def test_until_then_a_promotion_is_said_to_flatter_and_a_person_may_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(Campaign, "finish", lambda self, ended: False)  # as an endless campaign that was stopped
        document = run(said=report_campaign.lines(said.append))
    [promotion] = document["promotions"]
    assert promotion["effect_bpb"] is None and promotion["flattering_interval_bpb"][0] > 0
    assert any("which flatter" in each for each in said)
    report_campaign.campaign(document)
    report_campaign.history(history(5))
    report.lineage(queries_lineage())
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("flatter") >= 3 and "--remeasure" in told and "wasn't measured again" in told
    assert history(5).certifications[0].effect_bpb is None
    assert on_the_page().flatters and on_the_page().gain_bpb == promotion["flattering_effect_bpb"]
    before = begun()
    asked = run(None, remeasure=True)
    assert (asked["ended"], asked["this_command"]["runs"], begun()) == ("remeasured", 16, before + 16)
    assert asked["promotions"][0]["effect_bpb"] == on_the_page().gain_bpb and not on_the_page().flatters
    assert run(None, remeasure=True)["this_command"]["runs"] == 0


def queries_lineage() -> Any:
    return Lineage(track=TRACK, promotions=tuple(queries.lineage(str(BASELINE))), more=False)


def on_the_page() -> Any:
    with reading() as file:
        assert file is not None
        rows = entries(file, TRACK)
        return champion(file, rows, stairs(file, rows, scale(file, rows)), summary())


def test_what_is_gone_when_it_is_measured_again_is_taken_back_on_the_record() -> None:
    start = Recipe.load(BASELINE).fingerprint
    document = run_gone()
    assert Recipe.load(BASELINE).fingerprint == document["champion"] == start and not document["promotions"]
    assert line() == ["adopt", "promote back", "revert"]
    again = document["measured_again"]
    assert not again["held"] and queries.lineage(str(BASELINE))[-1].comparison == again["comparison"]
    assert verify().ok
    run()
    before, *later = [row.to_recipe for row in queries.lineage(str(BASELINE)) if row.kind == "promote"]
    assert before not in later, "it is not promoted again on the old verdict"


def test_where_no_guard_objects_the_same_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "tail_guard", lambda *a, **k: judging.Guard("tail", True, "anything goes"))
    assert run_gone()["promotions"] and line() == ["adopt", "promote"]


@pytest.mark.parametrize("at", ["begun", "runs", "verdict", "revert"])
def test_kills_while_it_is_measured_again_lose_nothing_and_settle_once(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(owner: Any, name: str, after: bool) -> None:
        was = getattr(owner, name)

        def mortal(*args: Any, **given: Any) -> Any:
            if not events("remeasuring"):
                return was(*args, **given)
            if after:
                was(*args, **given)
            monkeypatch.setattr(owner, name, was)
            raise Killed

        monkeypatch.setattr(owner, name, mortal)

    where = {
        "begun": (Campaign, "_remeasure", False),
        "runs": (Verdicts, "record", False),
        "verdict": (Verdicts, "record", True),
        "revert": (Promotions, "promote", True),
    }
    deadly(*where[at])
    with pytest.raises(Killed):
        run_gone()
    document = run_gone()
    assert line() == ["adopt", "promote back", "revert"]
    assert len(events("remeasuring")) == len(events("remeasured")) == 1 and not events("remeasured")[0]["held"]
    assert {row.attempts for row in queries.log(limit=500)} == {1}
    assert document["this_command"]["runs"] == begun() <= RUNS and verify().ok

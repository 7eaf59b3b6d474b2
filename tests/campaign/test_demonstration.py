"""The demonstration reads a campaign's events right: which recipes were champion, and at what cost."""

from __future__ import annotations

from pathlib import Path

from benchmarks.campaign.demonstration import steps
from foundry.ledger.ledger import Ledger

TRACK = "experiments/baseline.yaml"


def test_each_champion_is_told_once_with_what_the_campaign_had_used_until_then(tmp_path: Path) -> None:
    court = {"kind": "certified", "champion": "a", "n": 7, "carry": [], "runs": 30, "flops": 30.0, "seconds": 10.0}
    moves = [{"word": "lr:2e-3", "by": "grid", "gain": 0.1, "flops": 1.0}]
    raced = {"kind": "raced", "trials": [], "base_runs": [], "base_failed": "", "fresh": [], "carry": [], "runs": 12}
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        fence = ledger.campaigns.begin()
        accepted = {"word": "lr:2e-3", "point": "b", "by": "grid", "gain": 0.1, "flops": 1.0, "status": "accepted"}
        accepted |= {"gains": [], "fresh": [], "worth": True}
        for event in (
            {"kind": "opened", "champion": "a", "asked": {}},
            {**raced, "flops": 10.0},
            {**court, "point": "a", "better": False, "moves": [], "effect": None},
            {**raced, "flops": 10.0, "trials": [accepted]},
            {**court, "point": "b", "better": True, "moves": moves, "effect": 0.1},
        ):
            ledger.campaigns.append(TRACK, fence, event)
        first, second = steps(ledger, TRACK)
    assert (first.point, first.runs, first.word) == ("a", 0, "")
    assert (second.point, second.runs, second.flops, second.word) == ("b", 84, 80.0, "lr:2e-3")

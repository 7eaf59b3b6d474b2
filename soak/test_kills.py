"""Kills at any moment: nothing finished is lost or trained again, nothing is promoted twice, nothing is stuck."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.compare.session import Lab, Settings
from foundry.ledger.ledger import Ledger
from soak.killer import kill_often
from soak.lab import BASELINE, home_of_its_own, run_fake
from tests.home import write_tiny

KILLS = int(os.environ.get("SOAK_KILLS", "300"))
REAL_KILLS = int(os.environ.get("SOAK_REAL_KILLS", "20"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return home_of_its_own(tmp_path, monkeypatch)


def test_a_campaign_survives_kills_of_controller_and_workers(place: Path) -> None:
    seen = kill_often(lambda: run_fake(400), KILLS, seed=1)
    print(f"{seen.kills} kills, {seen.restarts} commands done, {len(seen.runs)} scores, {seen.promotions}")
    assert seen.kills == KILLS and len(seen.runs) > 100 and len(seen.promotions) > 1


def forgetful() -> Any:
    """The negative control: a controller that starts by throwing away what it finished last."""
    with Ledger.open() as ledger:
        rows = ledger._file.rows("SELECT id FROM runs WHERE status = 'done' ORDER BY seq DESC LIMIT 3")  # pyright: ignore
        for row in rows:
            ledger.runs.forget(row["id"])
    return run_fake(400)


def promotes_again() -> Any:
    """Another one: it puts the last promotion on record a second time."""
    with Ledger.open() as ledger, ledger._file.writing() as write:  # pyright: ignore
        names = "track, kind, from_fp, to_fp, mutation, verdict, old_text, new_text, effect, created, written"
        write.execute(
            f"INSERT INTO promotions(id, {names}) SELECT id || hex(randomblob(4)), {names} FROM promotions "
            "WHERE kind = 'promote' ORDER BY seq DESC LIMIT 1"
        )
    return run_fake(400)


@pytest.mark.parametrize(
    ("broken", "found"), [(forgetful, "lost|trained again"), (promotes_again, "has a gap|promoted twice")]
)
def test_the_same_kills_catch_a_broken_controller(place: Path, broken: Any, found: str) -> None:
    run_fake(200)  # so that there is something to lose
    with pytest.raises(AssertionError, match=found):
        kill_often(broken, 6, seed=2)


def test_real_training_survives_kills(place: Path) -> None:
    write_tiny(BASELINE, train__optimizer__lr=1e-5, budget__tokens=64 * 40)

    def controller() -> Any:
        with Lab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
            plan = CampaignPlan(Limits(runs=60), "grid")
            return campaign(lab, BASELINE, plan, lambda *pair: None, lambda event, state: None)

    seen = kill_often(controller, REAL_KILLS, seed=3, longest=10.0, workers=0.3, patience=600.0)
    assert seen.kills == REAL_KILLS and len(seen.runs) > 20

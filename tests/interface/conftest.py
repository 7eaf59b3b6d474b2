"""A place where a campaign has promoted something, on runs that take no time: what skins show of a ledger."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.policy import Limits
from foundry.campaign.run import CampaignPlan, campaign
from foundry.documents.campaign import Campaign
from soak.endless import InstantLab
from soak.trainer import noise
from tests.home import write_tiny

BASELINE = Path("experiments/baseline.yaml")


def score(spec: Any, split: str) -> float:
    """Better with the learning rate up to 1e-2, on any budget."""
    lr = spec.recipe.to_dict()["train"]["optimizer"]["lr"]
    return 3.0 + 0.1 * abs(math.log10(lr) + 2.0) + noise(spec.seed, split, spec.recipe.fingerprint)


@pytest.fixture(scope="session")
def climbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, Campaign]:
    """A place where a campaign has promoted something, and its document."""
    place = tmp_path_factory.mktemp("climbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("FOUNDRY_CACHE", str(cache))
        patch.setenv("FOUNDRY_KEYS", str(place / "keys"))
        write_tiny(BASELINE, train__optimizer__lr=1e-5, budget__tokens=64 * 32)
        space = Path("space.yaml")
        space.write_text("mutations: [lr:1e-2, lr:1e-4, norm:rmsnorm, weight_decay:0, warmup:0, ema:0.9, init:zero]\n")
        with InstantLab(score=score) as lab:
            plan = CampaignPlan(Limits(runs=140), "evolve", space)
            document = campaign(lab, BASELINE, plan, lambda *pair: None, lambda event, state: None)
    assert document["promotions"]
    return place, document


@pytest.fixture
def promoted(climbed: tuple[Path, Campaign], home: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """The same, in a place of the test's own, with keys that know of no other copy of it."""
    shutil.copytree(climbed[0], home, dirs_exist_ok=True)
    shutil.move(home / "keys", kept := home.with_name(f"{home.name}-keys"))
    monkeypatch.setenv("FOUNDRY_KEYS", str(kept))
    return climbed[1]


@pytest.fixture
def instant(promoted: Campaign, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """The same, and every verb's lab trains in no time."""
    for room in ("compare.session", "promote.reproduce"):
        monkeypatch.setattr(f"foundry.{room}.Lab", lambda settings, watcher, say: InstantLab(score=score))
    return promoted

"""A campaign in which every promotion is earned and the next gain is always there, on runs that take no time at all.

Driver, court, error budget, ledger and baseline file are the campaign's own; runs are recorded one by one and trained
by nobody. May not: be imported by a worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, final

import pytest

from foundry.campaign import campaign as loop
from foundry.campaign import run as running
from foundry.campaign.policy import Policy
from foundry.campaign.run import CampaignPlan, campaign
from foundry.campaign.strategies import Proposal, Scene, Strategy
from foundry.compare.session import Lab, Settings
from foundry.ledger.ledger import Ledger
from soak.lab import BASELINE
from soak.trainer import noise, truth

SHORT_SEASONS = {"control": "fwer", "q": 0.08, "base_pairs": 12, "max_pairs": 12}
"""About ten tests each."""
GAIN_BPB, FIRST_BPB, RUNG = 0.05, 1000.0, 1e-6
POLICY = Policy(believed=48, fewest=0, court_z=0.0, regret=1.0, prune_share=0.0, batch=2)


@final
class Ladder(Strategy):
    """Proposes the next rung, a learning rate a millionth above the last."""

    name = "ladder"

    def __init__(self) -> None:
        self.rung = 0

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        self.rung += 1
        while not scene.is_new(word(self.rung)):
            self.rung += 1
        return [Proposal(word(self.rung), self.name)]


def word(rung: int) -> str:
    return f"lr:{1e-3 + rung * RUNG:.9g}"


Score = Callable[[Any, str], float]
"""Bits per byte of a run's spec on a split."""


class InstantLab(Lab):
    """Runs are claimed, recorded as trained and scored in the order asked, one a turn."""

    def __init__(self, jobs: int = 2, score: Score | None = None) -> None:
        super().__init__(Settings(jobs=jobs, device="cpu", judged_bytes=2048))
        engine: Any = self.engine
        scored = score or on_the_ladder
        self.ledger._file._connection.execute("PRAGMA synchronous = OFF")  # pyright: ignore[reportPrivateUsage]

        def turn() -> None:
            ask = engine._due.popleft()
            if ask.stage == "train":
                facts = {"tokens": ask.spec.budget_tokens, "train_loss": 1.0, "seconds": 0.002, "steps": 1}
                engine._trained(ask, facts)
            engine._judged(ask, {**SCORE, "bpb": scored(ask.spec, ask.split)})

        def end(ask: Any, result: Any) -> None:
            del engine._asks[ask.key]
            engine._ready.append(result)

        engine._turn, engine._end, engine._has_weights = turn, end, lambda ask: True


SCORE = {"bytes": 1, "tokens": 1, "seconds": 0.0, "probes": {}}


def on_the_ladder(spec: Any, split: str) -> float:
    """Each rung gains as much as the one before it."""
    training = spec.recipe.to_dict()["train"]
    rung = round((training["optimizer"]["lr"] - 1e-3) / RUNG)
    return FIRST_BPB - GAIN_BPB * rung + 0.05 * noise(spec.seed, split, json.dumps(training))


def as_trained(spec: Any, split: str) -> float:
    """As the fake workers would have it."""
    recipe = spec.recipe.to_dict()
    return truth(recipe["model"], recipe["train"]) + noise(spec.seed, split, json.dumps([recipe]))


class Enough(Exception):
    """There were as many promotions as were wanted."""


def climb(
    promotions: int, rules: dict[str, Any] | None = None, told: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """An endless campaign, stopped from outside after so many promotions."""
    count = 0

    def counted(event: dict[str, Any], state: Any) -> None:
        nonlocal count
        if told is not None:
            told(event)
        count += event["kind"] == "certified" and event["better"]
        if count == promotions:
            raise Enough

    with pytest.MonkeyPatch.context() as patch, InstantLab() as lab:
        patch.setattr(running.strategies, "make", lambda *asked: Ladder())
        patch.setattr(loop, "make", lambda *asked: Ladder())
        if rules is not None:
            lab.ledger.budget.new_season(rules, "the soak", "short seasons")
        with pytest.raises(Enough):
            campaign(lab, BASELINE, CampaignPlan(policy=POLICY), lambda *pair: None, counted)


def seasons() -> list[tuple[float, float]]:
    """What each season of `better` has spent, and its q."""
    with Ledger.open() as ledger:
        rows = ledger._file.rows("SELECT id FROM seasons WHERE stream = 'better' ORDER BY id")  # pyright: ignore
        found = [ledger.budget.history(row["id"]) for row in rows]
    return [(each.alpha, each.rules["q"]) for each in found]

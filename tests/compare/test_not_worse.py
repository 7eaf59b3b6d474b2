"""What pruning's certification promises, on fake runs whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.campaign.certifier import LedgerCertifier
from foundry.campaign.live_environment import LiveEnvironment
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.comparison import Question, ask
from foundry.compare.session import Settings
from foundry.mutate import mutate
from foundry.promote.promote import settle
from foundry.recipe import Recipe
from soak.lab import BASELINE, FakeLab, home_of_its_own

NO_OP = "weight_decay:0.03"
"""Fake scores don't know it: its arms differ by noise alone, 0.014 bpb in a pair."""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLab]:
    home_of_its_own(tmp_path, monkeypatch)
    with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
        yield lab


def asked(lab: FakeLab, mutation: str, margin: float) -> dict[str, Any]:
    baseline = Recipe.load(BASELINE)
    arms = lab.arm_of(baseline), lab.arm_of(mutate(baseline, mutation)[0])
    return ask(lab, Question(*arms, "tokens", "certification", -margin), False, lambda *pair: None)


def test_a_no_op_is_not_worse_by_a_margin_above_the_noise_and_not_shown_to_be_by_one_below_it(lab: FakeLab) -> None:
    wide, narrow = asked(lab, NO_OP, 0.05), asked(lab, NO_OP, 0.0005)
    assert wide["verdict"] == "better" and abs(wide["effect_bpb"]) < 0.02
    assert wide["interval_bpb"][0] < 0.0 < wide["interval_bpb"][1]
    assert narrow["verdict"] in ("not_better", "underpowered")
    assert "is not worse than baseline by 0.05 bpb or more" in wide["says"]
    assert [guard["name"] for guard in wide["guards"]] == ["divergence", "tail", "plausible", "tail", "plausible"]
    season = lab.ledger.budget.season("not_worse")
    assert season is not None and lab.ledger.budget.season() is None, "a stream of its own"
    assert lab.ledger.budget.history(season["id"]).tests == 2 and lab.ledger.budget.open_tests() == []


def test_what_is_worse_by_more_than_the_margin_is_not_let_through_and_asking_again_is_free(lab: FakeLab) -> None:
    found = asked(lab, "lr:3e-4", 0.02)  # by 0.2 in truth
    assert found["verdict"] == "not_better" and found["remeasured"] is None
    tests = lab.ledger.budget.history(1).tests
    assert asked(lab, "lr:3e-4", 0.02) == found
    assert lab.ledger.budget.history(1).tests == tests


def test_a_simpler_champion_is_promoted_once_with_its_verdict(lab: FakeLab) -> None:
    field = LiveEnvironment(lab, settle(lab.ledger, BASELINE), None)
    court = LedgerCertifier(field, BASELINE, BudgetRules(), 0.0, lambda *pair: None, None)
    champion = field.champion
    simpler = field.apply(champion, NO_OP)
    for _ in range(2):  # the second time as after a kill
        ruling = court.certify(champion, simpler, "without it", None, 0.05)
        assert ruling.better and ruling.promotion
    assert Recipe.load(BASELINE).fingerprint == simpler == field.champion
    kinds = [entry["kind"] for entry in lab.ledger.promotions.lineage(str(BASELINE))]
    assert kinds == ["adopt", "promote"]

"""A record with every kind of entry, made once, and copies of it to be changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.campaign.certifier import LedgerCertifier
from foundry.campaign.live_environment import LiveEnvironment
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.session import Settings
from foundry.promote.promote import revert, settle
from foundry.promote.sweep import SweepPlan, sweep
from soak.lab import BASELINE, FakeLab, home_of_its_own

NO_OP = "weight_decay:0.03"
"""Fake scores don't know it."""


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose lineage has every kind of entry: of a sweep, a revert, a person's edit, a campaign's
    court, and one that was certified as not worse."""
    folder = tmp_path_factory.mktemp("honest")
    with pytest.MonkeyPatch.context() as patched:
        home = home_of_its_own(folder, patched)
        patched.setenv("FOUNDRY_KEYS", str(home / "keys"))
        with FakeLab(Settings(jobs=2, device="cpu", judged_bytes=2048)) as lab:
            with lab.ledger._file.writing() as write:  # pyright: ignore[reportPrivateUsage]
                write.execute("INSERT INTO secrets VALUES ('seeds', ?, 0)", (b"the same seeds each time",))
            for word in ("norm:rmsnorm", NO_OP):
                sweep(lab, BASELINE, SweepPlan((word,), promote=True), lambda *pair: None)
            revert(lab.ledger, BASELINE)
            BASELINE.write_text(BASELINE.read_text().replace("layers: 1", "layers: 2"))
            field = LiveEnvironment(lab, settle(lab.ledger, BASELINE), None)
            court = LedgerCertifier(field, BASELINE, BudgetRules(), 0.0, lambda *pair: None, None)
            for word, margin in (("norm:rmsnorm", 0.0), (NO_OP, 0.0), (NO_OP, 0.05)):
                court.certify(field.champion, field.apply(field.champion, word), word, None, margin)
            verdicts = [(each["kind"], each["verdict"]) for each in reversed(lab.ledger.verdicts.latest(9))]
            kinds = [entry["kind"] for entry in lab.ledger.promotions.all()]
        assert kinds == ["adopt", "promote", "revert", "adopt", "promote", "promote"]
        assert [kind for kind, word in verdicts if word == "better"] == ["certify", "certify", "not_worse"]
        assert len(verdicts) > 3, "and some that promote nothing"
        for weights in home.glob("runs/*/checkpoint"):
            shutil.rmtree(weights)
    return home.rename(folder / "kept")


@pytest.fixture
def recorded(honest: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """It, to be changed: a copy at the same place, for the text's path is in its recipes. This process stands in it."""
    home = shutil.copytree(honest, honest.with_name("home"))
    monkeypatch.setenv("FOUNDRY_KEYS", str(home / "keys"))
    for name in ("FOUNDRY_RUNS", "FOUNDRY_EXPERIMENTS", "FOUNDRY_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(home)
    yield home
    shutil.rmtree(home)
